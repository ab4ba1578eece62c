/* Exact sums of a contraction that was cut into pieces: rounded. */
#include "contraction.h"

/* What rounds most sums: those that fit 32 bits, by shifts from 2 to 32, and change no statistics. */
typedef struct {
    int32_t shift; /* less 1: half up is floor((floor(x / 2^(shift-1)) + 1) / 2) */
    int32_t fast, low;
    uint32_t width; /* 0: nothing is rounded so */
} quick_rounding;

static inline quick_rounding quick_of(const spindl_finish *finish) {
    const spindl_rounding *r = &finish->rounding;
    const bool usable = !finish->bias && r->shift >= 2 && r->shift <= 32;
    return (quick_rounding){r->shift - 1, r->fast, r->low, usable ? r->width : 0};
}

static inline int32_t rounded(spindl_finish *finish, quick_rounding *quick, int64_t sum, uint32_t channel) {
    const int32_t low = (int32_t)sum;
    if (__builtin_expect((int32_t)(sum >> 32) == low >> 31 && quick->width, 1)) {
        const int32_t y = ((low >> quick->shift) + 1) >> 1;
        if (__builtin_expect((uint32_t)(y + quick->fast) < quick->width, 1)) return spindl_most(y, quick->low);
    }
    const int32_t y = spindl_finish_sum(finish, sum, channel);
    *quick = quick_of(finish);
    return y;
}

int spindl_round_sums(const spindl_round_sums_arguments *a, spindl_context *context) {
    spindl_finish finish;
    if (a->sums & 3 || a->y & 1 || a->flags & ~1u || a->y_pitch < a->columns ||
        !spindl_finish_begin(&finish, context, a->first_exponent, a->second_exponent, a->bias, a->bias_exponent, a->site,
                             a->bits, a->flags & SPINDL_FLAG_RELU)) {
        return SPINDL_ERROR_ARGUMENT;
    }
    quick_rounding quick = quick_of(&finish);
    const spindl_wide *sums = SPINDL_POINTER(const spindl_wide, a->sums);
    for (uint32_t row = 0; row < a->rows; row++) {
        int16_t *y = SPINDL_POINTER(int16_t, a->y) + row * a->y_pitch;
        for (uint32_t c = 0; c < a->columns; c++) *y++ = (int16_t)rounded(&finish, &quick, *sums++, c);
    }
    return spindl_end(&finish.rounding);
}

int spindl_add_rounded_sums(const spindl_add_rounded_sums_arguments *a, spindl_context *context) {
    spindl_finish finish;
    if ((a->sums | a->y) & 3 || a->flags & ~(uint32_t)SPINDL_FLAG_ADD ||
        !spindl_finish_begin(&finish, context, a->first_exponent, a->second_exponent, 0, 0, a->site, a->bits, 0)) {
        return SPINDL_ERROR_ARGUMENT;
    }
    quick_rounding quick = quick_of(&finish);
    const bool add = a->flags & SPINDL_FLAG_ADD;
    const spindl_wide *sums = SPINDL_POINTER(const spindl_wide, a->sums);
    int32_t *y = SPINDL_POINTER(int32_t, a->y);
    for (uint32_t i = 0; i < a->count; i++) {
        const int32_t value = rounded(&finish, &quick, sums[i], 0);
        y[i] = add ? y[i] + value : value;
    }
    return spindl_end(&finish.rounding);
}
