/* One element of a contraction, as an exact sum, and what becomes of sums. docs/numbers.md, contractions. */
#ifndef SPINDL_CONTRACTION_H
#define SPINDL_CONTRACTION_H

#include "rounding.h"
#include "spindl_kernels.h"

enum { SPINDL_FLAG_RELU = 1, SPINDL_FLAG_SUMS = 2, SPINDL_FLAG_ADD = 4, SPINDL_FLAG_NARROW = 8 };

/* The arguments of each of the three directions: the same words, which no kernel writes. */
typedef spindl_convolution_arguments spindl_tile;

typedef enum { SPINDL_RESULT_X, SPINDL_RESULT_W, SPINDL_RESULT_Y } spindl_side;

/* What is known of the rounding of a tile's sums. */
typedef struct {
    spindl_rounding rounding; /* of sums with bias, at their common exponent */
    const int32_t *bias;      /* 0: none */
    int32_t sum_shift;        /* RSH of a sum to the common exponent */
    int32_t bias_shift;       /* RSH of a bias to the common exponent */
} spindl_finish;

/* False if a size, address, exponent or flag is not legal. Without SUMS it begins the rounding. */
bool spindl_tile_begin(spindl_finish *finish, const spindl_tile *tile, spindl_side direction,
                       spindl_context *context);
bool spindl_finish_begin(spindl_finish *finish, spindl_context *context, uint32_t first_exponent,
                         uint32_t second_exponent, uint32_t bias, uint32_t bias_exponent, uint32_t site, uint32_t bits,
                         uint32_t relu);

/* The rounded value of one exact sum; `channel` is the number of its bias. */
static inline int32_t spindl_finish_sum(spindl_finish *finish, int64_t sum, uint32_t channel) {
    if (finish->bias) {
        sum = spindl_rsh(sum, finish->sum_shift) + spindl_rsh(finish->bias[channel], finish->bias_shift);
    }
    return spindl_round(&finish->rounding, sum);
}

/* y[image][p][q] for all outputs of some groups: exact sums, one for each output. */
void spindl_sums_y(const spindl_tile *tile, uint32_t image, uint32_t p, uint32_t q, uint32_t group, uint32_t groups,
                   spindl_wide *sums);

/* x[image][r][s] for all inputs of some groups. */
void spindl_sums_x(const spindl_tile *tile, uint32_t image, uint32_t r, uint32_t s, uint32_t group, uint32_t groups,
                   spindl_wide *sums);

/* w[output][i][j][channel] over the positions of one image; output counted over all groups, channel in its group. */
int64_t spindl_sum_w(const spindl_tile *tile, uint32_t image, uint32_t output, uint32_t i, uint32_t j,
                     uint32_t channel);

/* Sum of a * b over `count` places that are some bytes apart. */
int64_t spindl_dot(const int16_t *a, int32_t a_step, const int16_t *b, int32_t b_step, uint32_t count);

/* sums[i] += a * b at `count` places. */
void spindl_add_products(spindl_wide *sums, const int16_t *a, int32_t a_step, const int16_t *b, int32_t b_step,
                         uint32_t count);

#endif
