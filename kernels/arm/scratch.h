/* How the tuned contractions divide their scratch region; the planner's numbers come from here as well. */
#ifndef SPINDL_SCRATCH_H
#define SPINDL_SCRATCH_H

#include "contraction.h"

enum { SCRATCH_SWEEP_BYTES = 128, SCRATCH_RUN_WORDS = 4 };

/* Bytes of each part, in the order in which they lie. */
typedef struct {
    uint32_t columns; /* a copy of the side that is not gathered, where it does not lie at whole words */
    uint32_t taps;    /* a list of them, 20 bytes each */
    uint32_t start;   /* numbers that sums begin with */
    uint32_t sums;    /* exact ones, of a pixel */
    uint32_t zeros;   /* what lies outside of an image */
    uint32_t panel;
    uint32_t total;
} spindl_scratch_parts;

static inline uint32_t scratch_even(uint32_t count) {
    return (count + 1) & ~1u;
}

/* Channels of a group begin at whole words in every pixel. */
static inline bool scratch_aligned(uint32_t address, uint32_t pitch, uint32_t groups, uint32_t channels) {
    return !(address & 2) && !(pitch & 1) && (groups == 1 || !(channels & 1));
}

/* Groups so small that the definition itself is as fast: sums are made one by one. */
static inline bool scratch_is_tiny(const spindl_tile *t) {
    return t->groups > 1 && t->inputs * t->outputs < 8;
}

static inline bool scratch_copies_columns(const spindl_tile *t, spindl_side direction) {
    const uint32_t sum = t->kernel_rows * t->kernel_columns * t->inputs;
    if (direction == SPINDL_RESULT_Y) return t->w & 2 || sum & 1;
    if (direction == SPINDL_RESULT_X) return t->w & 2 || t->inputs & 1 || t->outputs & 1;
    return t->outputs & 1 || !scratch_aligned(t->y, t->y_pitch, t->groups, t->outputs);
}

static inline spindl_scratch_parts scratch_parts(const spindl_tile *t, spindl_side direction) {
    const uint32_t taps = t->kernel_rows * t->kernel_columns, inputs = scratch_even(t->inputs);
    const uint32_t outputs = scratch_even(t->outputs), sum = scratch_even(taps * t->inputs);
    const bool copy = scratch_copies_columns(t, direction);
    spindl_scratch_parts parts = {0, 20 * taps, 0, 0, 0, 0, 0};
    parts.start = 4 * (direction == SPINDL_RESULT_X ? inputs : outputs);
    if (direction == SPINDL_RESULT_Y) parts.sums = 8 * t->groups * t->outputs;
    if (direction == SPINDL_RESULT_X) parts.sums = 8 * t->groups * t->inputs;
    if (scratch_is_tiny(t)) {
        parts.panel = 0;
    } else if (direction == SPINDL_RESULT_Y) {
        parts.columns = copy ? 2 * t->outputs * sum : 0;
        parts.zeros = 2 * inputs;
        parts.panel = 8 * sum + 4 * SCRATCH_RUN_WORDS;
    } else if (direction == SPINDL_RESULT_X) {
        parts.columns = copy ? 2 * outputs * taps * inputs : 0;
        parts.zeros = 2 * outputs;
        parts.panel = taps * (8 * outputs + 4 * SCRATCH_RUN_WORDS);
    } else {
        const uint32_t images = t->flags & SPINDL_FLAG_SUMS ? t->images : 1, pixels = images * t->y_rows * t->y_columns;
        parts.columns = copy ? 2 * pixels * outputs : 0;
        parts.panel = 8 * pixels + 4 * SCRATCH_RUN_WORDS;
    }
    parts.total = parts.columns + parts.taps + parts.start + parts.sums + parts.zeros + parts.panel;
    parts.total += SCRATCH_SWEEP_BYTES;
    return parts;
}

#endif
