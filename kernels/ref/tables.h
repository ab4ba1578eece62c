/* 2^-t, log2, and what is made of them (docs/numbers.md, "Activations"). */
#ifndef SPINDL_TABLES_H
#define SPINDL_TABLES_H

#include "spindl_kernel.h"

/* L(d, e): d * 2^e * log2(e) in Q16 for 0 <= d < 2^17, at most 40. */
uint32_t spindl_powers(uint32_t d, int32_t exponent);
/* E(t): 2^-t in Q30 for t in Q16, 0 <= t <= 40. */
uint32_t spindl_decay(uint32_t t);
/* log2(v) in Q16 for 1 <= v < 2^62. */
int32_t spindl_log2(uint64_t v);
/* sigmoid(x * 2^exponent), or tanh, in Q30. */
int32_t spindl_sigmoid_q30(int32_t x, int32_t exponent, uint32_t hyperbolic);

/* Of a softmax: the first largest element and the sum of all E. */
typedef struct {
    uint64_t sum;
    uint32_t place;
    int32_t largest;
} spindl_softmax_sum;

spindl_softmax_sum spindl_softmax_begin(const int16_t *x, uint32_t length, uint32_t stride, int32_t exponent);
int32_t spindl_softmax_q30(const spindl_softmax_sum *sum, int32_t x, int32_t exponent);

#endif
