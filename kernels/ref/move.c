/* Moves elements: reshape, permute, slice, transposition. */
#include "rounding.h"
#include "spindl_kernels.h"

SPINDL_SMALL int spindl_move(const spindl_move_arguments *a, spindl_context *context) {
    (void)context;
    const uint32_t bytes = a->bytes, count = a->count_3;
    const int32_t x_stride = a->x_stride_3, y_stride = a->y_stride_3;
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) return SPINDL_ERROR_ARGUMENT;
    const uint32_t whole = x_stride == (int32_t)bytes && y_stride == (int32_t)bytes ? bytes * count : 0;
    for (uint32_t i = 0; i < a->count_0; i++) {
        for (uint32_t j = 0; j < a->count_1; j++) {
            for (uint32_t k = 0; k < a->count_2; k++) {
                const uint32_t from = a->x + i * (uint32_t)a->x_stride_0 + j * (uint32_t)a->x_stride_1 +
                                      k * (uint32_t)a->x_stride_2;
                const uint32_t to = a->y + i * (uint32_t)a->y_stride_0 + j * (uint32_t)a->y_stride_1 +
                                    k * (uint32_t)a->y_stride_2;
                const uint8_t *x = SPINDL_POINTER(const uint8_t, from);
                uint8_t *y = SPINDL_POINTER(uint8_t, to);
                if (whole && !((from | to | whole) & 3u)) {
                    const uint32_t *xw = (const uint32_t *)(const void *)x;
                    uint32_t *yw = (uint32_t *)(void *)y;
                    for (uint32_t n = whole / 4; n; n--) *yw++ = *xw++;
                } else if (bytes == 1) {
                    for (uint32_t n = count; n; n--, x += x_stride, y += y_stride) *y = *x;
                } else if (bytes == 2) {
                    for (uint32_t n = count; n; n--, x += x_stride, y += y_stride)
                        *(uint16_t *)(void *)y = *(const uint16_t *)(const void *)x;
                } else {
                    for (uint32_t n = count; n; n--, x += x_stride, y += y_stride) {
                        ((uint32_t *)(void *)y)[0] = ((const uint32_t *)(const void *)x)[0];
                        if (bytes == 8) ((uint32_t *)(void *)y)[1] = ((const uint32_t *)(const void *)x)[1];
                    }
                }
            }
        }
    }
    return SPINDL_OK;
}
