/* Sums per channel over the pixels of a tile. */
#include "rounding.h"
#include "spindl_kernels.h"

/* Sums of x and of x * y of one channel. */
typedef struct {
    int64_t dot;
    int32_t sum;
} sums;

/* Two channels side by side in words. */
__attribute__((noinline)) static void pair_sums(sums *s, const int16_t *x, const int16_t *y, uint32_t n, uint32_t pitch) {
    typedef uint32_t __attribute__((may_alias)) two;
    int64_t dot = 0, next_dot = 0;
    int32_t sum = 0, next_sum = 0;
    for (; n; n--, x += pitch, y += pitch) {
        const int32_t v = (int32_t) * (const two *)x, w = (int32_t) * (const two *)y;
        dot += (int16_t)v * (int16_t)w;
        next_dot += (v >> 16) * (w >> 16);
        sum = spindl_smlabb(v, 1, sum);
        next_sum += v >> 16;
    }
    s[0] = (sums){dot, sum};
    s[1] = (sums){next_dot, next_sum};
}

__attribute__((noinline)) static void single_sums(sums *s, const int16_t *x, const int16_t *y, uint32_t n, uint32_t pitch) {
    int64_t dot = 0;
    int32_t sum = 0;
    for (; n; n--, x += pitch, y += pitch) {
        dot += *x * *y;
        sum += *x;
    }
    *s = (sums){dot, sum};
}

SPINDL_SMALL int spindl_channel_sums(const spindl_channel_sums_arguments *a, spindl_context *context) {
    (void)context;
    sums s[2];
    const uint32_t channels = a->channels, together = (channels | a->x >> 1 | a->y >> 1) & 1 ? 1 : 2;
    if (a->pixels > 65535) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t c = 0; c < channels; c += together) {
        const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c, *y = SPINDL_POINTER(const int16_t, a->y) + c;
        if (together == 2) pair_sums(s, x, y, a->pixels, channels);
        else single_sums(s, x, y, a->pixels, channels);
        for (uint32_t i = 0; i < together; i++) {
            spindl_wide *sum = SPINDL_POINTER(spindl_wide, a->sum) + c + i, *dot = SPINDL_POINTER(spindl_wide, a->dot) + c + i;
            if (a->sum) *sum = (a->first ? 0 : *sum) + s[i].sum;
            if (a->dot) *dot = (a->first ? 0 : *dot) + s[i].dot;
        }
    }
    return SPINDL_OK;
}
