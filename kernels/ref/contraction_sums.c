/* options: -Oz -mthumb */
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

#ifdef __arm__
#define PRODUCTS __attribute__((target("arm"), noinline)) /* Thumb has no long multiplication */
#else
#define PRODUCTS
#endif

static mantissas behind(mantissas from, int32_t bytes) {
    return (mantissas)(const void *)((const uint8_t *)from + bytes);
}

/* Addresses are counted in bytes here: nothing is called, since a Thumb function is not inlined. */
PRODUCTS int64_t spindl_dot(mantissas a, int32_t a_step, mantissas b, int32_t b_step, uint32_t count) {
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    int64_t sum = 0;
    for (; count; count--, x += a_step, y += b_step) {
        sum += (int64_t)*(mantissas)(const void *)x * *(mantissas)(const void *)y;
    }
    return sum;
}

PRODUCTS void spindl_add_products(spindl_wide *sums, mantissas a, int32_t a_step, mantissas b, int32_t b_step,
                                  uint32_t count) {
    const uint8_t *x = (const uint8_t *)a, *y = (const uint8_t *)b;
    for (; count; count--, x += a_step, y += b_step) {
        *sums++ += (int64_t)*(mantissas)(const void *)x * *(mantissas)(const void *)y;
    }
}

spindl_window spindl_window_of(const spindl_tile *t, uint32_t i, uint32_t j) {
    const int32_t top = (int32_t)(i * t->dilation_rows) + t->top;
    const int32_t left = (int32_t)(j * t->dilation_columns) + t->left;
    const uint32_t above = spindl_before_start(t->y_rows, t->stride_rows, top);
    const uint32_t below = spindl_before_end(t->y_rows, t->stride_rows, top, t->x_rows);
    const uint32_t low = spindl_before_start(t->y_columns, t->stride_columns, left);
    const uint32_t high = spindl_before_end(t->y_columns, t->stride_columns, left, t->x_columns);
    if (above >= below || low >= high) return (spindl_window){0};
    const int32_t row = (int32_t)t->x_columns, pitch = (int32_t)t->x_pitch;
    const int32_t r = top + (int32_t)(above * t->stride_rows), s = left + (int32_t)(low * t->stride_columns);
    return (spindl_window){above,
                    low,
                    below - above,
                    high - low,
                    (r * row + s) * pitch,
                    2 * pitch * (int32_t)t->stride_columns,
                    2 * pitch * row * (int32_t)t->stride_rows};
}

void spindl_sums_y(const spindl_tile *t, uint32_t image, uint32_t p, uint32_t q, uint32_t group, uint32_t groups,
                   spindl_wide *sums) {
    const uint32_t inputs = t->inputs, taps = t->kernel_rows * t->kernel_columns;
    for (uint32_t i = 0; i < groups * t->outputs; i++) sums[i] = 0;
    for (uint32_t tap = 0, i = 0; i < t->kernel_rows; i++) {
        const uint32_t r = p * t->stride_rows + i * t->dilation_rows + (uint32_t)t->top; /* large if negative */
        for (uint32_t j = 0; j < t->kernel_columns; j++, tap++) {
            const uint32_t s = q * t->stride_columns + j * t->dilation_columns + (uint32_t)t->left;
            if (r >= t->x_rows || s >= t->x_columns) continue;
            mantissas x = pixel_x(t, image, r, s) + group * inputs;
            mantissas w = SPINDL_POINTER(const int16_t, t->w) + (group * t->outputs * taps + tap) * inputs;
            if (inputs == 1 && t->outputs == 1) {
                spindl_add_products(sums, x, 2, w, 2 * (int32_t)taps, groups);
                continue;
            }
            spindl_wide *to = sums;
            for (uint32_t g = groups; g; g--, x += inputs) {
                for (uint32_t o = t->outputs; o; o--, w += taps * inputs) *to++ += spindl_dot(x, 2, w, 2, inputs);
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
            if (inputs == 1 && t->outputs == 1) {
                spindl_add_products(sums, y, 2, w, 2 * (int32_t)taps, groups);
                continue;
            }
            spindl_wide *to = sums;
            for (uint32_t g = groups; g; g--, to += inputs) {
                for (uint32_t o = t->outputs; o; o--, w += taps * inputs) spindl_add_products(to, y++, 0, w, 2, inputs);
            }
        }
    }
}

int64_t spindl_sum_w(const spindl_tile *t, uint32_t image, uint32_t output, uint32_t i, uint32_t j, uint32_t channel) {
    const spindl_window v = spindl_window_of(t, i, j);
    channel += output / t->outputs * t->inputs;
    mantissas x = pixel_x(t, image, 0, 0) + channel + v.from, y = pixel_y(t, image, v.above, v.low) + output;
    int64_t sum = 0;
    for (uint32_t p = v.rows; p; p--, x = behind(x, v.row_step), y += t->y_columns * t->y_pitch) {
        sum += spindl_dot(x, v.step, y, 2 * (int32_t)t->y_pitch, v.columns);
    }
    return sum;
}
