/* Sums per channel over the pixels of a tile. */
#include "rounding.h"
#include "spindl_kernels.h"

int spindl_channel_sums(const spindl_channel_sums_arguments *a, spindl_context *context) {
    (void)context;
    const uint32_t channels = a->channels, pixels = a->pixels, first = a->first;
    if (pixels > 65535) return SPINDL_ERROR_ARGUMENT;
    spindl_wide *sums = SPINDL_POINTER(spindl_wide, a->sum), *dots = SPINDL_POINTER(spindl_wide, a->dot);
    const bool with_sum = a->sum != 0, with_dot = a->dot != 0;
    for (uint32_t c = 0; c < channels; c++) {
        const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c, *y = SPINDL_POINTER(const int16_t, a->y) + c;
        int32_t sum = 0;
        int64_t dot = 0;
        if (with_dot) {
            for (uint32_t n = pixels; n; n--, x += channels, y += channels) {
                sum += *x;
                dot += *x * *y;
            }
            dots[c] = (first ? 0 : dots[c]) + dot;
        } else {
            for (uint32_t n = pixels; n; n--, x += channels) sum += *x;
        }
        if (with_sum) sums[c] = (first ? 0 : sums[c]) + sum;
    }
    return SPINDL_OK;
}
