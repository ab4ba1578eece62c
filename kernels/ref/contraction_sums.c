/* options: -Oz */
/* The exact sums of contractions. */
#include "positions.h"

typedef const int16_t *mantissas;

static mantissas pixel(uint32_t base, uint32_t image, uint32_t rows, uint32_t columns, uint32_t pitch, uint32_t row,
                       uint32_t column) {
    return SPINDL_POINTER(const int16_t, base + 2 * ((image * rows + row) * columns + column) * pitch);
}

static mantissas pixel_x(const spindl_tile *t, uint32_t image, uint32_t r, uint32_t s) {
    return pixel(t->x, image, t->x_rows, t->x_columns, t->x_pitch, r, s);
}

static mantissas pixel_y(const spindl_tile *t, uint32_t image, uint32_t p, uint32_t q) {
    return pixel(t->y, image, t->y_rows, t->y_columns, t->y_pitch, p, q);
}

void spindl_sums_y(const spindl_tile *t, uint32_t image, uint32_t p, uint32_t q, uint32_t group, uint32_t groups,
                   spindl_wide *sums) {
    const uint32_t inputs = t->inputs, taps = t->kernel_rows * t->kernel_columns;
    for (uint32_t i = 0; i < groups * t->outputs; i++) sums[i] = 0;
    for (uint32_t tap = 0, i = 0; i < t->kernel_rows; i++) {
        const uint32_t r = p * t->stride_rows + i * t->dilation_rows + (uint32_t)t->top; /* large where it is negative */
        for (uint32_t j = 0; j < t->kernel_columns; j++, tap++) {
            const uint32_t s = q * t->stride_columns + j * t->dilation_columns + (uint32_t)t->left;
            if (r >= t->x_rows || s >= t->x_columns) continue;
            mantissas x = pixel_x(t, image, r, s) + group * inputs;
            mantissas w = SPINDL_POINTER(const int16_t, t->w) + (group * t->outputs * taps + tap) * inputs;
            spindl_wide *to = sums;
            for (uint32_t g = groups; g; g--, x += inputs) {
                for (uint32_t o = t->outputs; o; o--, w += (taps - 1) * inputs) {
                    int64_t sum = *to;
                    for (uint32_t c = 0; c < inputs; c++) sum += (int64_t)x[c] * *w++;
                    *to++ = sum;
                }
            }
        }
    }
}

/* The output position whose tap `tap` meets position `x`, or a large number if there is none. */
static uint32_t origin(uint32_t x, uint32_t tap, uint32_t stride, uint32_t dilation, int32_t first) {
    const int32_t distance = (int32_t)(x - tap * dilation) - first;
    if (stride == 1) return (uint32_t)distance;
    if (distance < 0 || (uint32_t)distance % stride) return UINT32_MAX;
    return (uint32_t)distance / stride;
}

void spindl_sums_x(const spindl_tile *t, uint32_t image, uint32_t r, uint32_t s, uint32_t group, uint32_t groups,
                   spindl_wide *sums) {
    const uint32_t inputs = t->inputs, taps = t->kernel_rows * t->kernel_columns;
    for (uint32_t i = 0; i < groups * inputs; i++) sums[i] = 0;
    for (uint32_t tap = 0, i = 0; i < t->kernel_rows; i++) {
        const uint32_t p = origin(r, i, t->stride_rows, t->dilation_rows, t->top);
        for (uint32_t j = 0; j < t->kernel_columns; j++, tap++) {
            const uint32_t q = origin(s, j, t->stride_columns, t->dilation_columns, t->left);
            if (p >= t->y_rows || q >= t->y_columns) continue;
            mantissas y = pixel_y(t, image, p, q) + group * t->outputs;
            mantissas w = SPINDL_POINTER(const int16_t, t->w) + (group * t->outputs * taps + tap) * inputs;
            spindl_wide *to = sums;
            for (uint32_t g = groups; g; g--, to += inputs) {
                for (uint32_t o = t->outputs; o; o--, w += (taps - 1) * inputs) {
                    const int32_t value = *y++;
                    for (uint32_t c = 0; c < inputs; c++) to[c] += (int64_t)value * *w++;
                }
            }
        }
    }
}

int64_t spindl_sum_w(const spindl_tile *t, uint32_t image, uint32_t output, uint32_t i, uint32_t j, uint32_t channel) {
    const spindl_window v = spindl_window_of(t, i, j);
    channel += output / t->outputs * t->inputs;
    const uint8_t *row_x = (const uint8_t *)(pixel_x(t, image, 0, 0) + channel + v.from);
    mantissas row_y = pixel_y(t, image, v.above, v.low) + output;
    int64_t sum = 0;
    for (uint32_t p = v.rows; p; p--, row_x += v.row_step, row_y += t->y_columns * t->y_pitch) {
        const uint8_t *x = row_x;
        mantissas y = row_y;
        for (uint32_t q = v.columns; q; q--, x += v.step, y += t->y_pitch) sum += (int64_t)*y * *(mantissas)(const void *)x;
    }
    return sum;
}
