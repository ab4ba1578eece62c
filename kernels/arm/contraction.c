/* options: -Oz -mthumb */
/* Tuned contractions: what gathers panels, and what begins, repeats and ends sweeps. The loops are in sweep.S. */
#include "positions.h"
#include "scratch.h"
#include "sweep.h"

#define HOT __attribute__((target("arm")))
#define APART __attribute__((noinline)) /* code that is not often run, kept once */

_Static_assert(offsetof(spindl_sweep, start) == SWEEP_START && offsetof(spindl_sweep, b) == SWEEP_B &&
                   offsetof(spindl_sweep, out) == SWEEP_OUT && offsetof(spindl_sweep, next_row) == SWEEP_NEXT_ROW &&
                   offsetof(spindl_sweep, threshold) == SWEEP_THRESHOLD && offsetof(spindl_sweep, sums) == SWEEP_SUMS,
               "sweep.h tells the assembler where the fields lie");
_Static_assert(sizeof(spindl_sweep) <= SCRATCH_SWEEP_BYTES, "scratch.h keeps room for it");

typedef const int16_t *mantissas;
typedef const uint32_t *words;

/* One call of a kernel. */
typedef struct {
    const spindl_tile *t;
    spindl_context *context;
    spindl_finish finish;
    spindl_sweep *sweep; /* this and the next ones lie in the scratch region */
    uint8_t *columns;
    spindl_tap *taps;
    int32_t *start;
    spindl_bounds bounds;
    spindl_wide *exact_sums; /* of a pixel */
    bool rounded;
    bool exact;          /* by the definition only: int32 sums would not do, or not be faster */
    const char *end;     /* code that finishes blocks */
    uint32_t alone;      /* places of a block whose second column is not there */
    int32_t alone_pitch; /* of such a block */
} call;

static int32_t half_of(int32_t shift) {
    return shift ? 1 << (shift - 1) : 0;
}

/* The sums that need no second look: below the largest binade that was seen, and below clamping. */
static void set_threshold(spindl_sweep *s) {
    const int32_t seen = spindl_bits(s->rounding->magnitude);
    const int32_t bits = spindl_least(seen - 1, s->shift + spindl_bits((uint32_t)s->rounding->limit) - 1);
    s->threshold = s->shift >= seen ? -1 : (int32_t)((1u << spindl_least(bits, 31)) - 1);
}

void spindl_sweep_slow(spindl_sweep *s) {
    const bool narrow = s->kind <= SWEEP_ROUND_RELU;
    uint8_t *row = s->out;
    s->out += s->out_step;
    const int32_t half = half_of(s->shift);
    for (uint32_t i = 0; i < 8; i++) {
        if (s->valid >> i & 1) {
            const int32_t sum = s->sums[i];
            if (s->kind == SWEEP_ADD64) {
                ((spindl_wide *)row)[i & 1] += sum;
            } else {
                const int32_t y = spindl_round(s->rounding, (int64_t)sum - half);
                if (narrow) ((int16_t *)row)[i & 1] = (int16_t)y;
                else ((int32_t *)row)[i & 1] += y;
            }
        }
        if (i & 1 && i < 7) row += s->next_row[i >> 1] + (narrow ? 2 : 0);
    }
    if (s->kind != SWEEP_ADD64) set_threshold(s);
}

/* Checks the arguments and divides the scratch region. */
APART static int begin(call *c, const spindl_tile *t, spindl_side direction, spindl_context *context) {
    const bool sums = t->flags & SPINDL_FLAG_SUMS;
    c->t = t;
    c->context = context;
    if (!spindl_tile_begin(&c->finish, t, direction, context)) return SPINDL_ERROR_ARGUMENT;
    const spindl_scratch_parts parts = scratch_parts(t, direction);
    if (t->scratch_bytes < parts.total) return SPINDL_ERROR_SCRATCH;
    uint8_t *at = SPINDL_POINTER(uint8_t, t->scratch);
    c->columns = at;
    c->taps = (spindl_tap *)(at += parts.columns);
    c->start = (int32_t *)(at += parts.taps);
    c->exact_sums = (spindl_wide *)(void *)(at += parts.start);
    c->bounds.zeros = (int16_t *)(at += parts.sums);
    spindl_fill((uint32_t *)(void *)at, parts.zeros / 4, 0);
    spindl_sweep *const s = c->sweep = (spindl_sweep *)(at + parts.zeros + parts.panel);
    const int32_t shift = sums ? 0 : c->finish.rounding.shift;
    s->rounding = &c->finish.rounding;
    s->shift = shift;
    c->rounded = !sums;
    c->exact = scratch_is_tiny(t) || shift < 0 || shift > 31 || c->finish.sum_shift;
    const bool add32 = direction == SPINDL_RESULT_W && !(t->flags & SPINDL_FLAG_NARROW);
    s->kind = sums ? SWEEP_ADD64 : add32 ? SWEEP_ADD32 : t->flags & SPINDL_FLAG_RELU;
    c->end = (const char *const[]){spindl_end_round, spindl_end_relu, spindl_end_add32, spindl_end_add64}[s->kind];
    if (!c->exact) spindl_fill((uint32_t *)c->start, parts.start / 4, (uint32_t)half_of(shift));
    if (!sums) set_threshold(s);
    return SPINDL_OK;
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

/* Where a loop is entered that is to make `count` steps. */
static uint32_t entry_of(const char *loop, uint32_t count, uint32_t steps, uint32_t bytes) {
    return (uint32_t)(uintptr_t)loop + (steps - 1 - (count - 1) % steps) * bytes;
}


/* Sweeps over `columns` columns, of which the last may be alone. False if a sum did not fit.
 * valid: places of each block that exist; where the others must not be touched, `careful` says so. */
HOT APART static bool sweep_columns(call *c, const void *b, void *out, uint32_t columns, uint32_t valid, bool careful) {
    spindl_sweep *const s = c->sweep;
    uint32_t *const end = (uint32_t *)s - 1;
    s->start = c->start;
    s->b = b;
    s->out = out;
    s->end = c->start + (columns & ~1u);
    s->valid = valid;
    *end = (uint32_t)(uintptr_t)(careful ? spindl_end_slow : c->end);
    const bool fit = spindl_sweep_run(s);
    if (!(columns & 1)) return fit;
    const int32_t pitch = s->pitch;
    s->end += 2;
    s->valid = valid & c->alone;
    s->pitch = c->alone_pitch;
    *end = (uint32_t)(uintptr_t)spindl_end_slow;
    const bool fits = spindl_sweep_run(s);
    s->pitch = pitch;
    return fit && fits;
}

/* What a sweep changes of the statistics, to be undone if its sums did not fit. */
typedef struct {
    uint64_t magnitude;
    int32_t fast;
    uint32_t width, saturated;
} before;

HOT static before seen(const call *c) {
    const spindl_rounding *const r = &c->finish.rounding;
    return (before){r->magnitude, r->fast, r->width, r->saturated};
}

static void forget(call *c, before old) {
    spindl_rounding *const r = &c->finish.rounding;
    r->magnitude = old.magnitude;
    r->fast = old.fast;
    r->width = old.width;
    r->saturated = old.saturated;
    c->context->tiles_redone++;
}


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
    void (*sums)(const spindl_tile *, uint32_t, uint32_t, uint32_t, uint32_t, uint32_t, spindl_wide *); /* definition */
    image_tensor from, result;
    const uint8_t *b; /* columns of tap 0 */
    uint32_t channels, columns, group;
    uint32_t groups; /* 1, or all where sums are made by the definition */
    bool by_words;
    bool joined;     /* all taps make one sum: columns lie tap after tap */
    uint32_t taps, entry; /* number of taps; where the loop is entered */
    uint32_t in_row; /* taps that lie side by side in memory, if they are all inside: 1 or kernel_columns */
    int32_t span[2]; /* rows and columns from the first tap to the last, if these are not negative */
} contraction;

/* Puts `count` places of the sum, from place k on, of one tap of 4 pixels into a panel of pairs; k and count are even where
 * whole words can be moved. A last place without a partner is left with any: the columns have 0 there. Returns how many
 * pixels have the tap inside the other tensor. */
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
    for (uint32_t i = 0, k = 0; i < n->taps; i += step, k += count) gather(c, n, panel + 1, k, count, pixels, &c->taps[i]);
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

/* Results of some pixels by their definition. After a sweep whose sums did not fit, `swept` is true: wrapped sums have
 * been added where results are added. */
APART static void define(call *c, const contraction *n, const spindl_pixel *pixels, uint32_t count, bool swept) {
    for (; count; count--, pixels++) {
        const uint32_t index = (uint32_t)(pixels->out - n->result.base) / n->result.pitch;
        const uint32_t row = index / n->result.columns, x = index - row * n->result.columns;
        const uint32_t image = row / n->result.rows, y = row - image * n->result.rows;
        n->sums(c->t, image, y, x, n->group, n->groups, c->exact_sums);
        for (uint32_t i = 0; i < n->groups * n->columns; i++) {
            const int64_t sum = c->exact_sums[i];
            const uint32_t channel = n->group * n->columns + i;
            if (c->rounded) ((int16_t *)(void *)pixels->out)[i] = (int16_t)spindl_finish_sum(&c->finish, sum, channel);
            else ((spindl_wide *)(void *)pixels->out)[i] += sum - (swept ? (int32_t)sum : 0);
        }
    }
    if (c->rounded) set_threshold(c->sweep);
}

/* The results of the last `count` of four pixels. The others are not there: they give what the first one gives, which is
 * written over it once more, or zeros where results are added. */
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
    if (sweep_columns(c, s->b, pixels[0].out, n->columns, 0xff & 0xff << 2 * missing, false)) return;
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

/* The type of rounded and exact results. */
static uint32_t result_bytes_of(const call *c) {
    return c->sweep->kind == SWEEP_ADD64 ? 8 : c->sweep->kind == SWEEP_ADD32 ? 4 : 2;
}

/* Exact sums that overwrite what lies there are added to zeros. */
APART static void clear(const call *c, uint32_t address, uint32_t pixels, uint32_t channels, uint32_t pitch) {
    if (c->rounded || c->t->flags & SPINDL_FLAG_ADD) return;
    uint32_t *to = SPINDL_POINTER(uint32_t, address);
    for (; pixels; pixels--, to += 2 * pitch) spindl_fill(to, 2 * channels, 0);
}

/* Copies rows of values that shall begin at whole words. */
APART static mantissas copy_even(const call *c, mantissas from, uint32_t rows, uint32_t count, uint32_t pitch) {
    int16_t *to = (int16_t *)(void *)c->columns;
    for (; rows; rows--, from += pitch) {
        for (uint32_t i = 0; i < count; i++) *to++ = from[i];
        if (count & 1) *to++ = 0;
    }
    return (mantissas)(void *)c->columns;
}

static int finished(call *c) {
    return c->rounded ? spindl_end(&c->finish.rounding) : SPINDL_OK;
}

int spindl_convolution(const spindl_convolution_arguments *arguments, spindl_context *context) {
    const spindl_tile *const t = (const spindl_tile *)arguments;
    call c;
    const int error = begin(&c, t, SPINDL_RESULT_Y, context);
    if (error) return error;
    const uint32_t taps = t->kernel_rows * t->kernel_columns, sum = taps * t->inputs, even = scratch_even(sum);
    const uint32_t result_bytes = result_bytes_of(&c);
    clear(&c, t->y, t->images * t->y_rows * t->y_columns, t->groups * t->outputs, t->y_pitch);
    contraction n = {
        .sums = spindl_sums_y,
        .from = {SPINDL_POINTER(uint8_t, t->x), t->x_rows, t->x_columns, 2 * t->x_pitch},
        .result = {SPINDL_POINTER(uint8_t, t->y), t->y_rows, t->y_columns, result_bytes * t->y_pitch},
        .channels = t->inputs,
        .columns = t->outputs,
        .by_words = !(t->inputs & 1) && scratch_aligned(t->x, t->x_pitch, t->groups, t->inputs),
        .taps = taps,
        .entry = entry_of(spindl_sweep_nt, even / 2, SWEEP_PAIRS, SWEEP_PAIR_BYTES),
        .joined = true,
        .in_row = t->dilation_columns == 1 && t->x_pitch == t->inputs ? t->kernel_columns : 1,
        .span = {(int32_t)((t->kernel_rows - 1) * t->dilation_rows), (int32_t)((t->kernel_columns - 1) * t->dilation_columns)},
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
        begin_with_bias(&c, n.group);
        n.groups = c.exact ? t->groups - n.group : 1;
        if (!c.exact && scratch_copies_columns(t, SPINDL_RESULT_Y)) w = copy_even(&c, w, t->outputs, sum, sum);
        n.b = (const uint8_t *)w;
        all_pixels(&c, &n, &area);
        n.from.base += 2 * t->inputs;
        n.result.base += result_bytes * t->outputs;
    }
    return finished(&c);
}

int spindl_convolution_input_gradient(const spindl_convolution_input_gradient_arguments *arguments,
                                      spindl_context *context) {
    const spindl_tile *const t = (const spindl_tile *)arguments;
    call c;
    const int error = begin(&c, t, SPINDL_RESULT_X, context);
    if (error) return error;
    const bool copy = scratch_copies_columns(t, SPINDL_RESULT_X);
    const uint32_t taps = t->kernel_rows * t->kernel_columns, inputs = copy ? scratch_even(t->inputs) : t->inputs;
    const uint32_t result_bytes = result_bytes_of(&c);
    clear(&c, t->x, t->images * t->x_rows * t->x_columns, t->groups * t->inputs, t->x_pitch);
    contraction n = {
        .sums = spindl_sums_x,
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
        if (!c.exact && copy) {
            w = copy_even(&c, w, t->outputs * taps, t->inputs, t->inputs);
            if (t->outputs & 1) spindl_fill((uint32_t *)(void *)c.columns + t->outputs * taps * inputs / 2, taps * inputs / 2, 0);
        }
        n.b = (const uint8_t *)w;
        for (uint32_t a = 0; a < t->stride_rows; a++) {
            const spindl_phase rows = spindl_phase_of(a, t->kernel_rows, t->stride_rows, t->dilation_rows, t->top);
            for (uint32_t b = 0; b < t->stride_columns; b++) {
                const spindl_phase columns = spindl_phase_of(b, t->kernel_columns, t->stride_columns, t->dilation_columns, t->left);
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
                        at->b = 2 * (int32_t)(((rows.first_tap + i * rows.tap_step) * t->kernel_columns +
                                               columns.first_tap + j * columns.tap_step) * inputs);
                    }
                }
                n.taps = (uint32_t)(at - c.taps);
                all_pixels(&c, &n, &area);
            }
        }
        n.from.base += 2 * t->outputs;
        n.result.base += result_bytes * t->inputs;
    }
    return finished(&c);
}

/* A weight of an output: tap and channel. */
typedef struct {
    uint32_t row, column, channel;
} weight;

static void next_weight(const spindl_tile *t, weight *w) {
    if (++w->channel < t->inputs) return;
    w->channel = 0;
    if (++w->column < t->kernel_columns) return;
    w->column = 0;
    w->row++;
}

/* x at four channels of one tap, for all positions of y in some images. */
static void gather_tap(const spindl_tile *t, uint32_t *to, mantissas x, uint32_t images,
                       const spindl_window *window) {
    const spindl_window v = *window;
    if (!v.rows) {
        spindl_fill(to, 2 * images * t->y_rows * t->y_columns, 0);
        return;
    }
    const uint32_t high = t->y_columns - v.low - v.columns, below = t->y_rows - v.above - v.rows;
    spindl_pairs from = {v.rows, v.low, v.columns, high, x + v.from, v.step, v.row_step};
    for (; images; images--, from.from += t->x_rows * t->x_columns * t->x_pitch) {
        if (v.above) to = spindl_fill(to, 2 * v.above * t->y_columns, 0);
        to = spindl_gather_pairs(to, &from);
        if (below) to = spindl_fill(to, 2 * below * t->y_columns, 0);
    }
}

/* x at one weight's place, value by value, into one row of a panel of zeros. */
static void gather_values(const spindl_tile *t, int16_t *to, mantissas x, uint32_t images, const weight *w) {
    const spindl_window v = spindl_window_of(t, w->row, w->column);
    to += 4 * (v.above * t->y_columns + v.low);
    x += v.from + (int32_t)w->channel;
    for (; images; images--, x += t->x_rows * t->x_columns * t->x_pitch, to += 4 * t->y_rows * t->y_columns) {
        for (uint32_t i = 0; i < v.rows; i++) {
            spindl_move_values(to + 4 * i * t->y_columns, (mantissas)(const void *)((const uint8_t *)x + (int32_t)i * v.row_step),
                               v.columns, v.step, 8, 8);
        }
    }
}

/* One weight of each output of a group by its definition; what a sweep has added is replaced. */
APART static void define_weight(call *c, const weight *w, uint32_t group, uint32_t at, uint32_t image, uint32_t images,
                                bool swept) {
    const spindl_tile *const t = c->t;
    const int32_t shift = c->sweep->shift, limit = c->finish.rounding.limit;
    for (uint32_t o = group * t->outputs; o < (group + 1) * t->outputs; o++) {
        int64_t exact = 0;
        for (uint32_t i = 0; i < images; i++) exact += spindl_sum_w(t, image + i, o, w->row, w->column, w->channel);
        if (c->sweep->kind == SWEEP_ROUND) {
            SPINDL_POINTER(int16_t, t->w)[at] = (int16_t)spindl_finish_sum(&c->finish, exact, 0);
        } else if (c->rounded) {
            const int32_t wrapped = swept ? (int32_t)((uint32_t)exact + (uint32_t)half_of(shift)) >> shift : 0;
            SPINDL_POINTER(int32_t, t->w)[at] +=
                spindl_finish_sum(&c->finish, exact, 0) - spindl_most(-limit, spindl_least(limit, wrapped));
        } else {
            SPINDL_POINTER(spindl_wide, t->w)[at] += exact - (swept ? (int32_t)exact : 0);
        }
        at += t->kernel_rows * t->kernel_columns * t->inputs;
    }
    if (c->rounded) set_threshold(c->sweep);
}

/* The weights of one group of channels, over some images, four neighbours at a time. */
APART static void weights_of(call *c, uint32_t group, uint32_t image, uint32_t images) {
    const spindl_tile *const t = c->t;
    spindl_sweep *const s = c->sweep;
    const uint32_t pixels = images * t->y_rows * t->y_columns, sum = t->kernel_rows * t->kernel_columns * t->inputs;
    mantissas y = SPINDL_POINTER(const int16_t, t->y) + image * t->y_rows * t->y_columns * t->y_pitch + group * t->outputs;
    mantissas x = SPINDL_POINTER(const int16_t, t->x) + image * t->x_rows * t->x_columns * t->x_pitch + group * t->inputs;
    s->pitch = 2 * (int32_t)t->y_pitch;
    if (!c->exact && scratch_copies_columns(t, SPINDL_RESULT_W)) {
        y = copy_even(c, y, pixels, t->outputs, t->y_pitch);
        s->pitch = 2 * (int32_t)scratch_even(t->outputs);
    }
    const bool by_words = !(t->inputs & 3) && !(t->x & 2) && !(t->x_pitch & 1);
    uint32_t *const panel = (uint32_t *)s - 3 - 2 * pixels;
    if (!c->exact) {
        s->panel = panel;
        panel[0] = entry_of(spindl_sweep_tn, pixels, SWEEP_SINGLES, SWEEP_SINGLE_BYTES);
        panel[1 + 2 * pixels] = SPINDL_SENTINEL;
    }
    c->alone_pitch = s->pitch;
    const uint32_t result_bytes = result_bytes_of(c);
    uint32_t at = group * t->outputs * sum;
    weight four[4];
    four->row = four->column = four->channel = 0;
    spindl_window window = {0};
    for (uint32_t left = sum; left;) {
        const uint32_t count = left < 4 ? left : 4;
        for (uint32_t i = 1; i < 4; i++) {
            four[i] = four[i - 1];
            next_weight(t, &four[i]);
        }
        bool fits = !c->exact;
        const before old = seen(c);
        if (fits) {
            if (by_words) {
                if (!four->channel) window = spindl_window_of(t, four->row, four->column);
                gather_tap(t, panel + 1, x + four->channel, images, &window);
            } else {
                spindl_fill(panel + 1, 2 * pixels, 0);
                for (uint32_t i = 0; i < count; i++) {
                    gather_values(t, (int16_t *)(void *)(panel + 1) + i, x, images, &four[i]);
                }
            }
            uint8_t *out = SPINDL_POINTER(uint8_t, t->w) + result_bytes * at;
            fits = sweep_columns(c, y, out, t->outputs, 0x11 * ((1u << count) - 1), count < 4);
            if (!fits) forget(c, old);
        }
        for (uint32_t i = 0; !fits && i < count; i++) define_weight(c, &four[i], group, at + i, image, images, !c->exact);
        four[0] = four[3];
        next_weight(t, four);
        at += count;
        left -= count;
    }
}

int spindl_convolution_weight_gradient(const spindl_convolution_weight_gradient_arguments *arguments,
                                       spindl_context *context) {
    const spindl_tile *const t = (const spindl_tile *)arguments;
    call c;
    const int error = begin(&c, t, SPINDL_RESULT_W, context);
    if (error) return error;
    const uint32_t sum = t->kernel_rows * t->kernel_columns * t->inputs, result_bytes = result_bytes_of(&c);
    if (!(t->flags & (SPINDL_FLAG_ADD | SPINDL_FLAG_NARROW))) {
        spindl_fill(SPINDL_POINTER(uint32_t, t->w), t->groups * t->outputs * sum * (result_bytes / 4), 0);
    }
    spindl_sweep *const s = c.sweep;
    const int32_t half_row = 2 * (int32_t)result_bytes, advanced = result_bytes == 2 ? 2 : 0;
    s->next_row[0] = s->next_row[2] = half_row - advanced;
    s->next_row[1] = (int32_t)(sum * result_bytes) - half_row - advanced;
    s->out_step = 2 * (int32_t)(sum * result_bytes);
    s->b_step = 4;
    c.alone = 0x0f;
    for (uint32_t group = 0; group < t->groups; group++) {
        if (!c.rounded) {
            weights_of(&c, group, 0, t->images);
            continue;
        }
        for (uint32_t image = 0; image < t->images; image++) weights_of(&c, group, image, 1);
    }
    return finished(&c);
}
