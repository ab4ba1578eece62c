/* Cycles and scratch bytes of contractions. The cycles are those of the tuned kernels on the emulator: what a call does is
 * counted as the kernel does it, times constants that bench/kernels.py fits. Not in them: tiles that are computed again
 * because a sum left int32, and blocks whose sums are the largest that a site has seen in the step (about 500 cycles
 * each; 35 for those whose largest sum has as many bits). */
#include "../arm/scratch.h"
#include "../arm/sweep.h"
#include "contraction_cost.h"
#include "positions.h"

/* Loops of sweep.S and gather.S, whose cycles are known. */
static uint64_t loop_cycles(uint32_t count, uint32_t turn, uint32_t cycles) {
    return (uint64_t)count * cycles + 4 * ((count - 1) / turn) + 7;
}

static uint64_t block_cycles(uint32_t flags, bool of_weights) {
    static const uint32_t ends[] = {50, 61, 72, 62};
    const uint32_t rounded = of_weights && !(flags & SPINDL_FLAG_NARROW) ? SWEEP_ADD32 : flags & SPINDL_FLAG_RELU;
    return 24 + ends[flags & SPINDL_FLAG_SUMS ? SWEEP_ADD64 : rounded];
}

static uint64_t zero_cycles(uint32_t words) {
    return 16 + words / 16 * 20 + words % 16 * 5;
}

/* places: results of a block of two columns that exist; of rows where the last column is alone. */
static void add_sweep(spindl_counts *n, const spindl_tile *t, uint32_t columns, uint64_t block, uint32_t places,
                      bool slow) {
    const uint32_t blocks = columns / 2, alone = columns & 1, slow_blocks = (slow ? blocks : 0) + alone;
    n->of[COUNT_SWEEPS]++;
    n->known += (blocks + alone) * block;
    n->of[COUNT_ALONE] += alone;
    n->of[COUNT_SLOW] += slow_blocks;
    n->of[t->flags & SPINDL_FLAG_SUMS ? COUNT_SLOW_SUMS : COUNT_SLOW_ROUNDED] +=
        (slow ? blocks * places : 0) + alone * places / 2;
}

static void add_gather(spindl_counts *n, uint32_t count, bool by_words) {
    n->of[COUNT_GATHERS]++;
    if (by_words) n->known += count / 16 * 68 + count / 2 % 8 * 12;
    else n->known += 4 * (count / 4 * 12 + count % 4 * 9);
    n->of[COUNT_VALUE_GATHERS] += !by_words;
}

/* Sums one by one. */
static void add_definition(spindl_counts *n, const spindl_tile *t, spindl_side direction) {
    const uint64_t taps = t->kernel_rows * t->kernel_columns, y = (uint64_t)t->images * t->y_rows * t->y_columns;
    const uint64_t x = (uint64_t)t->images * t->x_rows * t->x_columns;
    const uint64_t sums = t->groups * (direction == SPINDL_RESULT_Y   ? y * t->outputs
                                       : direction == SPINDL_RESULT_X ? x * t->inputs
                                                                      : taps * t->inputs * t->outputs * t->images);
    uint64_t rows = 0, columns = 0; /* positions of y and taps that meet x */
    for (uint32_t i = 0; i < t->kernel_rows; i++) {
        const int32_t first = (int32_t)(i * t->dilation_rows) + t->top;
        rows += spindl_before_end(t->y_rows, t->stride_rows, first, t->x_rows);
        rows -= spindl_before_start(t->y_rows, t->stride_rows, first);
    }
    for (uint32_t j = 0; j < t->kernel_columns; j++) {
        const int32_t first = (int32_t)(j * t->dilation_columns) + t->left;
        columns += spindl_before_end(t->y_columns, t->stride_columns, first, t->x_columns);
        columns -= spindl_before_start(t->y_columns, t->stride_columns, first);
    }
    n->of[t->flags & SPINDL_FLAG_SUMS ? COUNT_SUMS : COUNT_SUMS_ROUNDED] += sums;
    const uint64_t pixels = direction == SPINDL_RESULT_Y ? y : direction == SPINDL_RESULT_X ? x : 0;
    n->of[COUNT_SINGLE_PIXELS] += pixels;
    n->of[COUNT_TERMS] += pixels ? pixels * taps : sums * t->y_rows;
    const uint64_t loops = t->images * rows * columns * t->groups * (direction == SPINDL_RESULT_W ? 0 : t->outputs);
    n->of[t->inputs == 1 && t->outputs == 1 ? COUNT_ONES : COUNT_INNER] += loops;
    if (loops && t->inputs == 1 && t->outputs == 1) return;
    n->of[COUNT_PRODUCTS] += t->images * rows * columns * t->groups * t->inputs * t->outputs;
}

typedef struct {
    uint32_t rows, columns;         /* of the tensor that is gathered */
    uint32_t taps[2];               /* rows and columns of taps that meet it */
    int32_t step[2];                /* from tap to tap */
    uint32_t count[2];              /* pixels of the result */
    int32_t first[2], pixel_step[2];/* where tap 0 of the first pixel lies; from pixel to pixel */
} pixels_of;

/* Panels of four pixels as all_pixels() makes them. */
static void add_pixels(spindl_counts *n, const spindl_tile *t, const pixels_of *a, uint32_t channels, uint32_t columns,
                       bool by_words, uint32_t in_row, bool joined) {
    const uint32_t pixels = a->count[0] * a->count[1], total = t->images * pixels, taps = a->taps[0] * a->taps[1];
    const uint64_t end = block_cycles(t->flags, false);
    n->of[COUNT_ROWS] += t->images * a->count[0];
    n->of[COUNT_PIXELS] += total;
    for (uint32_t first = 0; first < total; first += 4) {
        const uint32_t there = total - first < 4 ? total - first : 4;
        int32_t row[4], column[4];
        bool inside = there == 4 || !(t->flags & SPINDL_FLAG_SUMS);
        for (uint32_t i = 0; i < there; i++) {
            const uint32_t place = (first + i) % pixels;
            row[i] = a->first[0] + (int32_t)(place / a->count[1]) * a->pixel_step[0];
            column[i] = a->first[1] + (int32_t)(place % a->count[1]) * a->pixel_step[1];
            inside = inside && row[i] >= 0 && row[i] + ((int32_t)a->taps[0] - 1) * a->step[0] < (int32_t)a->rows &&
                     column[i] >= 0 && column[i] + ((int32_t)a->taps[1] - 1) * a->step[1] < (int32_t)a->columns;
        }
        n->of[COUNT_PANELS]++;
        if (joined) {
            const uint32_t step = inside ? in_row : 1;
            for (uint32_t i = 0; i < taps; i += step) add_gather(n, step * channels, by_words);
            add_sweep(n, t, columns, end + loop_cycles((taps * channels + 1) / 2, SWEEP_PAIRS, 22), 2 * there, false);
            continue;
        }
        uint32_t live = 0;
        for (uint32_t i = 0; i < taps; i++) {
            bool meets = false;
            for (uint32_t k = 0; k < there; k++) {
                meets = meets || ((uint32_t)(row[k] + (int32_t)(i / a->taps[1]) * a->step[0]) < a->rows &&
                                  (uint32_t)(column[k] + (int32_t)(i % a->taps[1]) * a->step[1]) < a->columns);
            }
            add_gather(n, channels, by_words);
            live += meets;
        }
        if (!live) {
            if (!(t->flags & SPINDL_FLAG_SUMS)) n->of[COUNT_EMPTY] += columns * there;
            continue;
        }
        const uint64_t run = loop_cycles((channels + 1) / 2, SWEEP_PAIRS, 22);
        n->of[COUNT_RUNS] += live;
        add_sweep(n, t, columns, end + live * run + (live - 1) * 7, 2 * there, false);
    }
}

static void add_clear(spindl_counts *n, uint32_t rows, uint32_t words) {
    n->known += rows * zero_cycles(words);
    n->of[COUNT_ROWS_CLEARED] += rows;
}

static void add_copy(spindl_counts *n, uint32_t rows, uint32_t count) {
    n->of[COUNT_ROWS_COPIED] += rows;
    n->of[COUNT_COPIED] += rows * count;
}

static void count_forward(spindl_counts *n, const spindl_tile *t) {
    const uint32_t taps = t->kernel_rows * t->kernel_columns, pixels = t->images * t->y_rows * t->y_columns;
    const bool fresh = (t->flags & (SPINDL_FLAG_SUMS | SPINDL_FLAG_ADD)) == SPINDL_FLAG_SUMS;
    if (fresh) add_clear(n, pixels, 2 * t->groups * t->outputs);
    n->of[COUNT_TAPS] += taps;
    n->of[COUNT_GROUPS] += t->groups;
    if (t->bias) n->of[COUNT_BIASES] += t->groups * t->outputs;
    const pixels_of a = {t->x_rows,
                         t->x_columns,
                         {t->kernel_rows, t->kernel_columns},
                         {(int32_t)t->dilation_rows, (int32_t)t->dilation_columns},
                         {t->y_rows, t->y_columns},
                         {t->top, t->left},
                         {(int32_t)t->stride_rows, (int32_t)t->stride_columns}};
    const bool by_words = !(t->inputs & 1) && scratch_aligned(t->x, t->x_pitch, t->groups, t->inputs);
    const uint32_t in_row = t->dilation_columns == 1 && t->x_pitch == t->inputs ? t->kernel_columns : 1;
    for (uint32_t group = 0; group < t->groups; group++) {
        if (scratch_copies_columns(t, SPINDL_RESULT_Y)) add_copy(n, t->outputs, taps * t->inputs);
        add_pixels(n, t, &a, t->inputs, t->outputs, by_words, in_row, true);
    }
}

static void count_backward(spindl_counts *n, const spindl_tile *t) {
    const uint32_t pixels = t->images * t->x_rows * t->x_columns;
    const bool fresh = (t->flags & (SPINDL_FLAG_SUMS | SPINDL_FLAG_ADD)) == SPINDL_FLAG_SUMS;
    if (fresh) add_clear(n, pixels, 2 * t->groups * t->inputs);
    n->of[COUNT_GROUPS] += t->groups;
    const bool by_words = !(t->outputs & 1) && scratch_aligned(t->y, t->y_pitch, t->groups, t->outputs);
    for (uint32_t group = 0; group < t->groups; group++) {
        if (scratch_copies_columns(t, SPINDL_RESULT_X)) {
            add_copy(n, t->outputs * t->kernel_rows * t->kernel_columns, t->inputs);
        }
        for (uint32_t a = 0; a < t->stride_rows; a++) {
            const spindl_phase rows = spindl_phase_of(a, t->kernel_rows, t->stride_rows, t->dilation_rows, t->top);
            for (uint32_t b = 0; b < t->stride_columns; b++) {
                const spindl_phase columns =
                    spindl_phase_of(b, t->kernel_columns, t->stride_columns, t->dilation_columns, t->left);
                const pixels_of area = {t->y_rows,
                                        t->y_columns,
                                        {rows.count, columns.count},
                                        {rows.step, columns.step},
                                        {spindl_count_from(a, t->x_rows, t->stride_rows),
                                         spindl_count_from(b, t->x_columns, t->stride_columns)},
                                        {rows.origin, columns.origin},
                                        {1, 1}};
                n->of[COUNT_PHASES]++;
                n->of[COUNT_TAPS] += rows.count * columns.count;
                add_pixels(n, t, &area, t->outputs, t->inputs, by_words, 1, false);
            }
        }
    }
}

static void count_weights(spindl_counts *n, const spindl_tile *t) {
    const bool sums = t->flags & SPINDL_FLAG_SUMS;
    const uint32_t sum = t->kernel_rows * t->kernel_columns * t->inputs, images = sums ? t->images : 1;
    const uint32_t pixels = images * t->y_rows * t->y_columns;
    if (!(t->flags & (SPINDL_FLAG_ADD | SPINDL_FLAG_NARROW))) {
        n->known += zero_cycles(t->groups * t->outputs * sum * (sums ? 2 : 1));
    }
    const bool by_words = !(t->inputs & 3) && !(t->x & 2) && !(t->x_pitch & 1);
    const uint64_t block = block_cycles(t->flags, true) + loop_cycles(pixels, SWEEP_SINGLES, 11);
    const uint32_t calls = t->groups * (sums ? 1 : t->images);
    n->of[COUNT_GROUPS] += calls;
    for (uint32_t call = 0; call < calls; call++) {
        if (scratch_copies_columns(t, SPINDL_RESULT_W)) add_copy(n, pixels, t->outputs);
        for (uint32_t first = 0; first < sum; first += 4) {
            const uint32_t there = sum - first < 4 ? sum - first : 4;
            n->of[COUNT_PANELS]++;
            add_sweep(n, t, t->outputs, block, 2 * there, there < 4);
            if (!by_words) n->known += zero_cycles(2 * pixels);
            for (uint32_t i = 0; i < (by_words ? 1 : there); i++) {
                const uint32_t tap = (first + i) / t->inputs;
                const int32_t top = (int32_t)(tap / t->kernel_columns * t->dilation_rows) + t->top;
                const int32_t left = (int32_t)(tap % t->kernel_columns * t->dilation_columns) + t->left;
                const uint32_t above = spindl_before_start(t->y_rows, t->stride_rows, top);
                const uint32_t below = spindl_before_end(t->y_rows, t->stride_rows, top, t->x_rows);
                const uint32_t low = spindl_before_start(t->y_columns, t->stride_columns, left);
                const uint32_t high = spindl_before_end(t->y_columns, t->stride_columns, left, t->x_columns);
                n->of[by_words ? COUNT_GATHERS : COUNT_VALUE_GATHERS]++;
                if (above >= below || low >= high) {
                    if (by_words) n->known += zero_cycles(2 * pixels);
                    continue;
                }
                const uint32_t edge = low + t->y_columns - high, count = high - low;
                const uint32_t rows = images * (below - above);
                n->of[by_words ? COUNT_PAIR_ROWS : COUNT_VALUE_ROWS] += rows;
                if (!by_words) {
                    n->known += rows * (count / 4 * 12 + count % 4 * 9);
                    continue;
                }
                n->known += rows * (6 * edge + count / 8 * 40 + count % 8 * 8);
                if (above) n->known += images * zero_cycles(2 * above * t->y_columns);
                if (below < t->y_rows) n->known += images * zero_cycles(2 * (t->y_rows - below) * t->y_columns);
            }
        }
    }
}

spindl_counts spindl_contraction_counts(const spindl_tile *t, spindl_side direction) {
    spindl_counts n = {0, {0}};
    const bool rounded = !(t->flags & SPINDL_FLAG_SUMS);
    n.of[scratch_is_tiny(t) ? COUNT_SINGLE_CALLS : COUNT_CALLS] = 1;
    n.of[COUNT_ROUNDED_CALLS] = rounded && !scratch_is_tiny(t);
    n.known = zero_cycles(direction == SPINDL_RESULT_X ? t->inputs : t->outputs);
    if (scratch_is_tiny(t)) add_definition(&n, t, direction);
    else if (direction == SPINDL_RESULT_Y) count_forward(&n, t);
    else if (direction == SPINDL_RESULT_X) count_backward(&n, t);
    else count_weights(&n, t);
    return n;
}

/* Cycles of one of each, by direction (x, w, y); from bench/kernels.py --fit. */
static const uint32_t constants[3][COUNTS] = {
    {[COUNT_CALLS] = 750, [COUNT_SINGLE_CALLS] = 2337, [COUNT_ROUNDED_CALLS] = 562, [COUNT_TAPS] = 201,
     [COUNT_ROWS_COPIED] = 20, [COUNT_COPIED] = 9, [COUNT_ROWS_CLEARED] = 14, [COUNT_PHASES] = 503, [COUNT_ROWS] =
     39, [COUNT_PANELS] = 291, [COUNT_GATHERS] = 124, [COUNT_VALUE_GATHERS] = 167, [COUNT_RUNS] = 59, [COUNT_EMPTY]
     = 5, [COUNT_SWEEPS] = 82, [COUNT_ALONE] = 390, [COUNT_SLOW_ROUNDED] = 89, [COUNT_SLOW_SUMS] = 2,
     [COUNT_SINGLE_PIXELS] = 281, [COUNT_SUMS] = 56, [COUNT_SUMS_ROUNDED] = 108, [COUNT_TERMS] = 32, [COUNT_INNER]
     = 51, [COUNT_PRODUCTS] = 21, [COUNT_ONES] = 18},
    {[COUNT_CALLS] = 822, [COUNT_SINGLE_CALLS] = 4189, [COUNT_ROUNDED_CALLS] = 463, [COUNT_GROUPS] = 463,
     [COUNT_ROWS_COPIED] = 17, [COUNT_COPIED] = 9, [COUNT_PANELS] = 73, [COUNT_GATHERS] = 408,
     [COUNT_VALUE_GATHERS] = 324, [COUNT_VALUE_ROWS] = 60, [COUNT_PAIR_ROWS] = 25, [COUNT_ALONE] = 67, [COUNT_SLOW]
     = 308, [COUNT_SLOW_ROUNDED] = 90, [COUNT_SLOW_SUMS] = 8, [COUNT_SUMS] = 366, [COUNT_SUMS_ROUNDED] = 619,
     [COUNT_TERMS] = 53, [COUNT_PRODUCTS] = 10},
    {[COUNT_CALLS] = 1043, [COUNT_SINGLE_CALLS] = 1515, [COUNT_ROUNDED_CALLS] = 524, [COUNT_GROUPS] = 132,
     [COUNT_TAPS] = 50, [COUNT_BIASES] = 86, [COUNT_ROWS_COPIED] = 20, [COUNT_COPIED] = 9, [COUNT_ROWS_CLEARED] =
     14, [COUNT_ROWS] = 53, [COUNT_PANELS] = 389, [COUNT_GATHERS] = 144, [COUNT_VALUE_GATHERS] = 164, [COUNT_ALONE]
     = 401, [COUNT_SLOW_ROUNDED] = 87, [COUNT_SINGLE_PIXELS] = 282, [COUNT_SUMS] = 60, [COUNT_SUMS_ROUNDED] = 128,
     [COUNT_TERMS] = 75, [COUNT_INNER] = 62, [COUNT_PRODUCTS] = 14, [COUNT_ONES] = 15},
};

static uint32_t cycles_of(const spindl_tile *t, spindl_side direction) {
    const spindl_counts n = spindl_contraction_counts(t, direction);
    uint64_t cycles = n.known;
    for (uint32_t i = 0; i < COUNTS; i++) cycles += n.of[i] * constants[direction][i];
    return cycles > UINT32_MAX ? UINT32_MAX : (uint32_t)cycles;
}

uint32_t spindl_convolution_cycles(const spindl_convolution_arguments *a) {
    return cycles_of((const spindl_tile *)a, SPINDL_RESULT_Y);
}

uint32_t spindl_convolution_input_gradient_cycles(const spindl_convolution_input_gradient_arguments *a) {
    return cycles_of((const spindl_tile *)a, SPINDL_RESULT_X);
}

uint32_t spindl_convolution_weight_gradient_cycles(const spindl_convolution_weight_gradient_arguments *a) {
    return cycles_of((const spindl_tile *)a, SPINDL_RESULT_W);
}

uint32_t spindl_convolution_scratch(const spindl_convolution_arguments *a) {
    return scratch_parts((const spindl_tile *)a, SPINDL_RESULT_Y).total;
}

uint32_t spindl_convolution_input_gradient_scratch(const spindl_convolution_input_gradient_arguments *a) {
    return scratch_parts((const spindl_tile *)a, SPINDL_RESULT_X).total;
}

uint32_t spindl_convolution_weight_gradient_scratch(const spindl_convolution_weight_gradient_arguments *a) {
    return scratch_parts((const spindl_tile *)a, SPINDL_RESULT_W).total;
}

/* Of a call, and of a result whose sum fits 32 bits (bench/convolutions.py); with a bias it goes through 64 bits. */
enum { ROUNDING_CALL = 400, ROUNDING_RESULT = 30, ROUNDING_WITH_BIAS = 130 };

uint32_t spindl_round_sums_cycles(const spindl_round_sums_arguments *a) {
    return ROUNDING_CALL + a->rows * a->columns * (a->bias ? ROUNDING_WITH_BIAS : ROUNDING_RESULT);
}

uint32_t spindl_add_rounded_sums_cycles(const spindl_add_rounded_sums_arguments *a) {
    return ROUNDING_CALL + a->count * ROUNDING_RESULT;
}

uint32_t spindl_round_sums_scratch(const spindl_round_sums_arguments *a) {
    (void)a;
    return 0;
}

uint32_t spindl_add_rounded_sums_scratch(const spindl_add_rounded_sums_arguments *a) {
    (void)a;
    return 0;
}
