/* Exact sums of partial results; norms. */
#include "rounding.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

int spindl_sum_rows(const spindl_sum_rows_arguments *a, spindl_context *context) {
    (void)context;
    const uint32_t count = a->count, rows = a->rows;
    if (!spindl_is_width(a->x_bytes) || a->y_bytes < 4 || !spindl_is_width(a->y_bytes) || a->y_bytes < a->x_bytes) return SPINDL_ERROR_ARGUMENT;
    void *y = SPINDL_POINTER(void, a->y);
    uint32_t *zero = y;
    for (uint32_t left = a->first ? count * a->y_bytes / 4 : 0; left; left--) *zero++ = 0;
    for (uint32_t row = 0; row < rows; row++) {
        const void *x = SPINDL_POINTER(const void, a->x + row * a->x_pitch);
        if (a->y_bytes == 8) {
            spindl_wide *to = y;
            for (uint32_t i = 0; i < count; i++) to[i] += spindl_element(x, a->x_bytes, i);
        } else if (a->x_bytes == 4) {
            int32_t *to = y;
            const int32_t *from = x;
            for (uint32_t i = count; i; i--) *to++ += *from++;
        } else {
            int32_t *to = y;
            const int16_t *from = x;
            for (uint32_t i = count; i; i--) *to++ += *from++;
        }
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_largest_bits(const spindl_largest_bits_arguments *a, spindl_context *context) {
    (void)context;
    if (!spindl_is_width(a->x_bytes)) return SPINDL_ERROR_ARGUMENT;
    const void *x = SPINDL_POINTER(const void, a->x);
    int32_t *largest = SPINDL_POINTER(int32_t, a->largest);
    uint64_t magnitude = 0;
    for (uint32_t i = 0; i < a->count; i++) magnitude |= spindl_magnitude(spindl_element(x, a->x_bytes, i));
    *largest = spindl_most(spindl_bits(magnitude), a->first ? 0 : *largest);
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_squared_norm(const spindl_squared_norm_arguments *a, spindl_context *context) {
    (void)context;
    if (!spindl_is_width(a->x_bytes)) return SPINDL_ERROR_ARGUMENT;
    const void *x = SPINDL_POINTER(const void, a->x);
    const int32_t shift = spindl_most(0, *SPINDL_POINTER(const int32_t, a->largest) - (SPINDL_NORM_BITS - 1));
    spindl_wide *y = SPINDL_POINTER(spindl_wide, a->y);
    int64_t sum = a->first ? 0 : *y;
    for (uint32_t i = 0; i < a->count; i++) {
        const int32_t v = (int32_t)spindl_rsh(spindl_element(x, a->x_bytes, i), shift); /* at most 2^15 */
        sum += v * v;
    }
    *y = sum;
    return SPINDL_OK;
}
