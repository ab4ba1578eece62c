/* Which positions of two image tensors belong together; for kernels and their cost. */
#ifndef SPINDL_POSITIONS_H
#define SPINDL_POSITIONS_H

#include "contraction.h"

/* Rows (or columns) of x whose number is the same modulo the stride: the taps that meet y there. */
typedef struct {
    uint32_t first_tap, tap_step, count;
    int32_t origin, step; /* in y: of the first tap at the first of these rows; from tap to tap */
} spindl_phase;

static inline spindl_phase spindl_phase_of(uint32_t number, uint32_t taps, uint32_t stride, uint32_t dilation,
                                           int32_t first) {
    if (stride == 1) return (spindl_phase){0, 1, taps, (int32_t)number - first, -(int32_t)dilation}; /* no divisions */
    spindl_phase found = {0};
    for (uint32_t i = 0; i < taps; i++) {
        const int32_t distance = (int32_t)(number - i * dilation) - first;
        if (distance % (int32_t)stride) continue;
        if (!found.count) {
            found.first_tap = i;
            found.origin = distance / (int32_t)stride;
        } else if (found.count == 1) {
            found.tap_step = i - found.first_tap;
            found.step = distance / (int32_t)stride - found.origin;
        }
        found.count++;
    }
    return found;
}

static inline uint32_t spindl_count_from(uint32_t first, uint32_t size, uint32_t step) {
    return first < size ? (size - 1 - first) / step + 1 : 0;
}

/* Of `count` positions, `stride` apart, the first one at `first`: how many lie before 0, and how many before `size`. */
static inline uint32_t spindl_before_start(uint32_t count, uint32_t stride, int32_t first) {
    uint32_t low = 0;
    for (; low < count && first < 0; low++) first += (int32_t)stride;
    return low;
}

static inline uint32_t spindl_before_end(uint32_t count, uint32_t stride, int32_t first, uint32_t size) {
    int32_t last = first + (int32_t)((count - 1) * stride);
    for (; count && last >= (int32_t)size; count--) last -= (int32_t)stride;
    return count;
}

/* Positions of y whose tap meets x, and where the first of them does. */
typedef struct {
    uint32_t above, low;     /* rows and columns before them */
    uint32_t rows, columns;  /* 0 if there are none */
    int32_t from;            /* in values from the beginning of x */
    int32_t step, row_step;  /* bytes of x from one to the next */
} spindl_window;

spindl_window spindl_window_of(const spindl_tile *tile, uint32_t i, uint32_t j);

#endif
