/* Soft floats and numbers of 128 bits (docs/numbers.md, "Soft floats"). */
#ifndef SPINDL_PAIRS_H
#define SPINDL_PAIRS_H

#include "rounding.h"

/* A pair {mantissa, exponent} in one number, as it lies in memory: it travels in registers. */
typedef uint64_t spindl_pair;
typedef spindl_pair __attribute__((aligned(4))) spindl_pair_in_memory;

static inline spindl_pair spindl_pair_of(int32_t mantissa, int32_t exponent) {
    return (uint64_t)(uint32_t)exponent << 32 | (uint32_t)mantissa;
}

static inline int32_t spindl_mantissa(spindl_pair x) {
    return (int32_t)(uint32_t)x;
}

static inline int32_t spindl_exponent(spindl_pair x) {
    return (int32_t)(uint32_t)(x >> 32);
}

/* high * 2^64 + low */
typedef struct {
    uint64_t low;
    int64_t high;
} spindl_int128;

/* y = a * b */
void spindl_product(spindl_int128 *y, int64_t a, int64_t b);
/* y = y + x */
void spindl_plus(spindl_int128 *y, const spindl_int128 *x);
/* y = -y */
void spindl_minus(spindl_int128 *y);
/* y = RSH(y, shift); the result must fit 128 bits. */
void spindl_rsh128(spindl_int128 *y, int32_t shift);

/* floor(a / n) for n >= 1. */
uint64_t spindl_divide(uint64_t a, uint64_t n);
int64_t spindl_floor_divide(int64_t a, uint64_t n);
/* floor((a + floor(n / 2)) / n) for n >= 1. */
uint64_t spindl_quotient(uint64_t a, uint64_t n);
/* floor(a / n) for 1 <= n < 2^32, |a| < 2^95 and quotients below 2^63. */
int64_t spindl_floor_divide128(const spindl_int128 *a, uint32_t n);

/* The pair nearest to x * 2^exponent; x is spent. */
spindl_pair spindl_normalise128(spindl_int128 *x, int32_t exponent);
spindl_pair spindl_normalise(int64_t x, int32_t exponent);
spindl_pair spindl_multiply(spindl_pair a, spindl_pair b);
spindl_pair spindl_add_pairs(spindl_pair a, spindl_pair b);
/* a / (n * 2^exponent) */
spindl_pair spindl_divide_pair(spindl_pair a, uint32_t n, int32_t exponent);
spindl_pair spindl_negate(spindl_pair a);
/* 1 / sqrt(x * 2^exponent), x > 0 (x < 2^126 where the exponent is odd); x is spent. */
spindl_pair spindl_inverse_square_root(spindl_int128 *x, int32_t exponent);
/* sqrt(x * 2^exponent), 0 <= x < 2^63. */
spindl_pair spindl_square_root(int64_t x, int32_t exponent);
/* The integer at an exponent, within +-limit. */
int64_t spindl_to_integer(spindl_pair x, int32_t exponent, int64_t limit);

#endif
