/* options: -Oz -mthumb */
/* Tuned contractions whose results are pixels: convolutions and the gradients of their inputs. */
#include "call.h"

/* An image tensor, or the part of it that belongs to a group of channels. */
typedef struct {
    uint8_t *base;
    uint32_t rows, columns;
    uint32_t pitch; /* bytes from column to column */
} image_tensor;

/* Pixels of the result, row by row, and where tap 0 meets the other tensor. [0] is for rows, [1] for columns. */
typedef struct {
    uint32_t count[2], first[2], step[2];
    int32_t from_first[2], from_step[2];
} area;

/* Sums over channels of an image tensor, for the pixels of another. */
typedef struct {
    image_tensor from, result;
    const uint8_t *b; /* columns of tap 0 */
    mantissas w;      /* weights of the first group, as they lie */
    uint32_t channels, columns, group;
    uint32_t groups; /* 1, or all where sums are made by the definition */
    bool by_words;
    bool joined;     /* all taps make one sum: columns lie tap after tap */
    uint32_t taps, entry; /* number of taps; where the loop is entered */
    uint32_t in_row; /* taps that lie side by side in memory, if they are all inside: 1 or kernel_columns */
    int32_t span[2]; /* rows and columns from the first tap to the last, if these are not negative */
} contraction;

/* Puts `count` places of the sum, from place k on, of one tap of 4 pixels into a panel of pairs; k and count are even
 * where whole words can be moved. A last place without a partner is left with any: the columns have 0 there. Returns how
 * many pixels have the tap inside the other tensor. */
HOT APART static uint32_t gather(const call *c, const contraction *n, uint32_t *panel, uint32_t k, uint32_t count,
                             const spindl_pixel pixels[4], const spindl_tap *at) {
    if (n->by_words) return spindl_gather_rows(panel + 2 * k, count / 2, pixels, at, &c->bounds);
    uint32_t inside = 0;
    for (uint32_t row = 0; row < 4; row++, pixels++) {
        int16_t *const to = (int16_t *)panel + (k >> 1) * 8 + 2 * row + (k & 1);
        const bool is = (uint32_t)(pixels->row + at->row) < c->bounds.rows &&
                        (uint32_t)(pixels->column + at->column) < c->bounds.columns;
        mantissas from = is ? (mantissas)(const void *)(pixels->from + at->from) : c->bounds.zeros;
        spindl_move_values(to, from, count, 2, k & 1 ? 14 : 2, k & 1 ? 2 : 14);
        inside += is;
    }
    return inside;
}

HOT static bool all_inside(const call *c, const contraction *n, const spindl_pixel pixels[4]) {
    for (uint32_t i = 0; i < 4; i++) {
        if (pixels[i].row < 0 || pixels[i].row + n->span[0] >= (int32_t)c->bounds.rows || pixels[i].column < 0 ||
            pixels[i].column + n->span[1] >= (int32_t)c->bounds.columns) {
            return false;
        }
    }
    return true;
}

/* One run of all taps. */
HOT static void fill_joined(call *c, const contraction *n, const spindl_pixel pixels[4]) {
    const uint32_t sum = n->taps * n->channels, even = scratch_even(sum);
    uint32_t *const panel = (uint32_t *)c->sweep - 3 - 2 * even;
    c->sweep->panel = panel;
    panel[0] = n->entry;
    const uint32_t step = n->in_row > 1 && all_inside(c, n, pixels) ? n->in_row : 1;
    const uint32_t count = step * n->channels;
    for (uint32_t i = 0, k = 0; i < n->taps; i += step, k += count) {
        gather(c, n, panel + 1, k, count, pixels, &c->taps[i]);
    }
    panel[1 + 2 * even] = SPINDL_SENTINEL;
    c->sweep->b = n->b;
}

/* One run for each tap that meets anything; false if there is none. */
HOT static bool fill_runs(call *c, const contraction *n, const spindl_pixel pixels[4]) {
    const uint32_t even = scratch_even(n->channels), run = 2 * even + SCRATCH_RUN_WORDS;
    uint32_t *at = (uint32_t *)c->sweep - 3 - 2 * even; /* backwards from the last run */
    int32_t later = 0;
    bool any = false;
    for (uint32_t i = n->taps; i-- > 0;) {
        if (!gather(c, n, at + 1, 0, n->channels, pixels, &c->taps[i])) continue;
        at[0] = n->entry;
        at[1 + 2 * even] = SPINDL_SENTINEL;
        if (any) {
            at[2 + 2 * even] = (uint32_t)(uintptr_t)spindl_next_run;
            at[3 + 2 * even] = (uint32_t)(later - c->taps[i].b - (int32_t)even * c->sweep->pitch);
        }
        later = c->taps[i].b;
        any = true;
        c->sweep->panel = at;
        c->sweep->b = n->b + later;
        at -= run;
    }
    return any;
}

/* Exact sums of a pixel: for all columns of n->groups groups. */
APART static void sum_exactly(call *c, const contraction *n, const spindl_pixel *at) {
    spindl_wide *const sums = c->exact_sums;
    const uint32_t inputs = c->t->inputs, outputs = c->t->outputs;
    const int32_t pitch = 2 * (int32_t)(c->t->kernel_rows * c->t->kernel_columns * inputs); /* from output to output */
    spindl_fill((uint32_t *)(void *)sums, 2 * n->groups * n->columns, 0);
    for (const spindl_tap *tap = c->taps; tap < c->taps + n->taps; tap++) {
        if ((uint32_t)(at->row + tap->row) >= c->bounds.rows) continue;
        if ((uint32_t)(at->column + tap->column) >= c->bounds.columns) continue;
        mantissas from = (mantissas)(const void *)(at->from + tap->from);
        const uint8_t *w = (const uint8_t *)n->w + tap->w;
        if (inputs == 1 && outputs == 1) {
            spindl_add_products(sums, from, 2, (mantissas)(const void *)w, pitch, n->groups);
            continue;
        }
        spindl_wide *to = sums;
        for (uint32_t g = n->groups; g; g--, to += n->columns, from += n->channels) {
            for (uint32_t o = 0; o < outputs; o++, w += pitch) {
                mantissas weights = (mantissas)(const void *)w;
                if (n->joined) to[o] += spindl_dot(from, 2, weights, 2, inputs);
                else spindl_add_products(to, from + o, 0, weights, 2, inputs);
            }
        }
    }
}

/* Results of some pixels by their definition. After a sweep whose sums did not fit, `swept` is true: wrapped sums have
 * been added where results are added. */
APART static void define(call *c, const contraction *n, const spindl_pixel *pixels, uint32_t count, bool swept) {
    for (; count; count--, pixels++) {
        sum_exactly(c, n, pixels);
        for (uint32_t i = 0; i < n->groups * n->columns; i++) {
            const int64_t sum = c->exact_sums[i];
            const uint32_t channel = n->group * n->columns + i;
            if (c->rounded) ((int16_t *)(void *)pixels->out)[i] = (int16_t)spindl_finish_sum(&c->finish, sum, channel);
            else ((spindl_wide *)(void *)pixels->out)[i] += sum - (swept ? (int32_t)sum : 0);
        }
    }
    if (c->rounded) spindl_set_threshold(c->sweep);
}

/* The results of the last `count` of four pixels. The others are not there: they give what the first one gives, which
 * is written over it once more, or zeros where results are added. */
HOT static void four_pixels(call *c, const contraction *n, spindl_pixel pixels[4], uint32_t count) {
    const uint32_t missing = 4 - count;
    if (c->exact) {
        define(c, n, pixels + missing, count, false);
        return;
    }
    for (uint32_t i = 0; i < missing; i++) {
        pixels[i] = pixels[missing];
        if (!c->rounded) pixels[i].row = INT32_MIN / 2;
    }
    spindl_sweep *const s = c->sweep;
    for (uint32_t i = 0; i < 3; i++) s->next_row[i] = pixels[i + 1].out - pixels[i].out - (c->rounded ? 2 : 0);
    if (n->joined) {
        fill_joined(c, n, pixels);
    } else if (!fill_runs(c, n, pixels)) { /* no tap meets anything */
        for (uint32_t i = missing; c->rounded && i < 4; i++) {
            for (uint32_t j = 0; j < n->columns; j++) ((int16_t *)(void *)pixels[i].out)[j] = 0;
        }
        return;
    }
    const before old = seen(c);
    if (spindl_sweep_columns(c, s->b, pixels[0].out, n->columns, 0xff & 0xff << 2 * missing, false)) return;
    forget(c, old);
    define(c, n, pixels + missing, count, true);
}

APART HOT static void all_pixels(call *c, const contraction *n, const area *area) {
    spindl_pixel pixels[4];
    uint32_t count = 0;
    c->bounds.rows = n->from.rows;
    c->bounds.columns = n->from.columns;
    const uint32_t from_step = (uint32_t)area->from_step[1] * n->from.pitch, out_step = area->step[1] * n->result.pitch;
    for (uint32_t image = 0; image < c->t->images; image++) {
        for (uint32_t u = 0; u < area->count[0]; u++) {
            const uint32_t y = area->first[0] + u * area->step[0];
            const int32_t row = area->from_first[0] + (int32_t)u * area->from_step[0];
            const uint32_t result_row = (image * n->result.rows + y) * n->result.columns;
            const uint32_t from_row = (image * c->bounds.rows + (uint32_t)row) * c->bounds.columns;
            spindl_pixel at = {row, area->from_first[1],
                        n->from.base + (from_row + (uint32_t)area->from_first[1]) * n->from.pitch,
                        n->result.base + (result_row + area->first[1]) * n->result.pitch};
            for (uint32_t v = area->count[1]; v; v--) {
                pixels[count++] = at;
                at.column += area->from_step[1];
                at.from += from_step;
                at.out += out_step;
                if (count == 4) {
                    four_pixels(c, n, pixels, 4);
                    count = 0;
                }
            }
        }
    }
    if (!count) return;
    for (uint32_t i = count; i-- > 0;) pixels[4 - count + i] = pixels[i];
    four_pixels(c, n, pixels, count);
}

/* Numbers that the sums of a group begin with: bias and half. If one does not fit, all sums are made exactly. */
static void begin_with_bias(call *c, uint32_t group) {
    if (!c->finish.bias || c->exact) return;
    const uint32_t outputs = c->t->outputs;
    const int32_t half = half_of(c->sweep->shift);
    for (uint32_t o = 0; o < outputs; o++) {
        const int64_t value = spindl_rsh(c->finish.bias[group * outputs + o], c->finish.bias_shift) + half;
        c->start[o] = (int32_t)value;
        if (value != c->start[o]) c->exact = true;
    }
}

/* Exact sums that overwrite what lies there are added to zeros. */
APART static void clear(const call *c, uint32_t address, uint32_t pixels, uint32_t channels, uint32_t pitch) {
    if (c->rounded || c->t->flags & SPINDL_FLAG_ADD) return;
    uint32_t *to = SPINDL_POINTER(uint32_t, address);
    for (; pixels; pixels--, to += 2 * pitch) spindl_fill(to, 2 * channels, 0);
}

int spindl_convolution(const spindl_convolution_arguments *arguments, spindl_context *context) {
    const spindl_tile *const t = (const spindl_tile *)arguments;
    call c;
    const int error = spindl_call_begin(&c, t, SPINDL_RESULT_Y, context);
    if (error) return error;
    const uint32_t taps = t->kernel_rows * t->kernel_columns, sum = taps * t->inputs, even = scratch_even(sum);
    const uint32_t result_bytes = result_bytes_of(&c);
    clear(&c, t->y, t->images * t->y_rows * t->y_columns, t->groups * t->outputs, t->y_pitch);
    contraction n = {
        .from = {SPINDL_POINTER(uint8_t, t->x), t->x_rows, t->x_columns, 2 * t->x_pitch},
        .result = {SPINDL_POINTER(uint8_t, t->y), t->y_rows, t->y_columns, result_bytes * t->y_pitch},
        .channels = t->inputs,
        .columns = t->outputs,
        .by_words = !(t->inputs & 1) && scratch_aligned(t->x, t->x_pitch, t->groups, t->inputs),
        .taps = taps,
        .entry = entry_of(spindl_sweep_nt, even / 2, SWEEP_PAIRS, SWEEP_PAIR_BYTES),
        .joined = true,
        .in_row = t->dilation_columns == 1 && t->x_pitch == t->inputs ? t->kernel_columns : 1,
        .span = {(int32_t)((t->kernel_rows - 1) * t->dilation_rows),
                 (int32_t)((t->kernel_columns - 1) * t->dilation_columns)},
    };
    const area area = {.count = {t->y_rows, t->y_columns},
                       .step = {1, 1},
                       .from_first = {t->top, t->left},
                       .from_step = {(int32_t)t->stride_rows, (int32_t)t->stride_columns}};
    spindl_tap *at = c.taps;
    for (uint32_t i = 0; i < t->kernel_rows; i++) {
        for (uint32_t j = 0; j < t->kernel_columns; j++, at++) {
            at->row = (int32_t)(i * t->dilation_rows);
            at->column = (int32_t)(j * t->dilation_columns);
            at->w = 2 * (int32_t)((i * t->kernel_columns + j) * t->inputs);
            at->from = (int32_t)((i * t->dilation_rows * t->x_columns + j * t->dilation_columns) * n.from.pitch);
        }
    }
    c.sweep->out_step = 2 * (int32_t)result_bytes;
    c.sweep->pitch = 2 * (int32_t)even - 4;
    c.sweep->b_step = 4 * (int32_t)even;
    c.alone = 0x55;
    c.alone_pitch = -4;
    for (; n.group < t->groups; n.group += n.groups) {
        mantissas w = SPINDL_POINTER(const int16_t, t->w) + n.group * t->outputs * sum;
        n.w = w;
        begin_with_bias(&c, n.group);
        n.groups = c.exact ? t->groups - n.group : 1;
        if (!c.exact && scratch_copies_columns(t, SPINDL_RESULT_Y)) w = spindl_copy_even(&c, w, t->outputs, sum, sum);
        n.b = (const uint8_t *)w;
        all_pixels(&c, &n, &area);
        n.from.base += 2 * t->inputs;
        n.result.base += result_bytes * t->outputs;
    }
    return spindl_call_end(&c);
}

APART static spindl_phase phase_of(uint32_t number, uint32_t taps, uint32_t stride, uint32_t dilation, int32_t first) {
    return spindl_phase_of(number, taps, stride, dilation, first); /* once, though called for rows and for columns */
}

int spindl_convolution_input_gradient(const spindl_convolution_input_gradient_arguments *arguments,
                                      spindl_context *context) {
    const spindl_tile *const t = (const spindl_tile *)arguments;
    call c;
    const int error = spindl_call_begin(&c, t, SPINDL_RESULT_X, context);
    if (error) return error;
    const bool copy = scratch_copies_columns(t, SPINDL_RESULT_X);
    const uint32_t taps = t->kernel_rows * t->kernel_columns, inputs = copy ? scratch_even(t->inputs) : t->inputs;
    const uint32_t result_bytes = result_bytes_of(&c);
    clear(&c, t->x, t->images * t->x_rows * t->x_columns, t->groups * t->inputs, t->x_pitch);
    contraction n = {
        .from = {SPINDL_POINTER(uint8_t, t->y), t->y_rows, t->y_columns, 2 * t->y_pitch},
        .result = {SPINDL_POINTER(uint8_t, t->x), t->x_rows, t->x_columns, result_bytes * t->x_pitch},
        .channels = t->outputs,
        .columns = t->inputs,
        .by_words = !(t->outputs & 1) && scratch_aligned(t->y, t->y_pitch, t->groups, t->outputs),
        .entry = entry_of(spindl_sweep_nn, (t->outputs + 1) / 2, SWEEP_PAIRS, SWEEP_PAIR_BYTES),
    };
    c.sweep->out_step = 2 * (int32_t)result_bytes;
    c.sweep->pitch = 2 * (int32_t)(taps * inputs);
    c.sweep->b_step = 4;
    c.alone = 0x55;
    c.alone_pitch = c.sweep->pitch;
    n.groups = c.exact ? t->groups : 1;
    for (; n.group < t->groups; n.group += n.groups) {
        mantissas w = SPINDL_POINTER(const int16_t, t->w) + n.group * t->outputs * taps * t->inputs;
        n.w = w;
        if (!c.exact && copy) {
            w = spindl_copy_even(&c, w, t->outputs * taps, t->inputs, t->inputs);
            const uint32_t row = taps * inputs / 2; /* words */
            if (t->outputs & 1) spindl_fill((uint32_t *)(void *)c.columns + t->outputs * row, row, 0);
        }
        n.b = (const uint8_t *)w;
        for (uint32_t a = 0; a < t->stride_rows; a++) {
            const spindl_phase rows = phase_of(a, t->kernel_rows, t->stride_rows, t->dilation_rows, t->top);
            for (uint32_t b = 0; b < t->stride_columns; b++) {
                const spindl_phase columns =
                    phase_of(b, t->kernel_columns, t->stride_columns, t->dilation_columns, t->left);
                const area area = {.count = {spindl_count_from(a, t->x_rows, t->stride_rows),
                                             spindl_count_from(b, t->x_columns, t->stride_columns)},
                                   .first = {a, b},
                                   .step = {t->stride_rows, t->stride_columns},
                                   .from_first = {rows.origin, columns.origin},
                                   .from_step = {1, 1}};
                spindl_tap *at = c.taps;
                for (uint32_t i = 0; i < rows.count; i++) {
                    for (uint32_t j = 0; j < columns.count; j++, at++) {
                        at->row = (int32_t)i * rows.step;
                        at->column = (int32_t)j * columns.step;
                        at->from = (at->row * (int32_t)t->y_columns + at->column) * (int32_t)n.from.pitch;
                        const uint32_t number = (rows.first_tap + i * rows.tap_step) * t->kernel_columns +
                                                columns.first_tap + j * columns.tap_step;
                        at->b = 2 * (int32_t)(number * inputs);
                        at->w = 2 * (int32_t)(number * t->inputs);
                    }
                }
                n.taps = (uint32_t)(at - c.taps);
                all_pixels(&c, &n, &area);
            }
        }
        n.from.base += 2 * t->outputs;
        n.result.base += result_bytes * t->inputs;
    }
    return spindl_call_end(&c);
}
