/* options: -Oz -mthumb */
/* The tuned gradient of a convolution's weights. */
#include "call.h"

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
            const uint8_t *const row = (const uint8_t *)x + (int32_t)i * v.row_step;
            int16_t *const at = to + 4 * i * t->y_columns;
            spindl_move_values(at, (mantissas)(const void *)row, v.columns, v.step, 8, 8);
        }
    }
}

/* One weight of each output of a group by its definition; what a sweep has added is replaced. x and y: of the first
 * image. */
APART static void define_weight(call *c, const weight *w, uint32_t at, mantissas x, mantissas y, uint32_t images,
                                bool swept) {
    const spindl_tile *const t = c->t;
    const int32_t shift = c->sweep->shift, limit = c->finish.rounding.limit;
    const spindl_window v = spindl_window_of(t, w->row, w->column);
    x += v.from + (int32_t)w->channel;
    y += (v.above * t->y_columns + v.low) * t->y_pitch;
    for (uint32_t o = 0; o < t->outputs; o++, y++, at += t->kernel_rows * t->kernel_columns * t->inputs) {
        int64_t exact = 0;
        for (uint32_t image = 0; image < images; image++) {
            mantissas row_x = x + image * t->x_rows * t->x_columns * t->x_pitch;
            mantissas row_y = y + image * t->y_rows * t->y_columns * t->y_pitch;
            for (uint32_t p = v.rows; p; p--, row_y += t->y_columns * t->y_pitch) {
                exact += spindl_dot(row_x, v.step, row_y, 2 * (int32_t)t->y_pitch, v.columns);
                row_x = (mantissas)(const void *)((const uint8_t *)row_x + v.row_step);
            }
        }
        if (c->sweep->kind == SWEEP_ROUND) {
            SPINDL_POINTER(int16_t, t->w)[at] = (int16_t)spindl_finish_sum(&c->finish, exact, 0);
        } else if (c->rounded) {
            const int32_t wrapped = swept ? (int32_t)((uint32_t)exact + (uint32_t)half_of(shift)) >> shift : 0;
            SPINDL_POINTER(int32_t, t->w)[at] +=
                spindl_finish_sum(&c->finish, exact, 0) - spindl_most(-limit, spindl_least(limit, wrapped));
        } else {
            SPINDL_POINTER(spindl_wide, t->w)[at] += exact - (swept ? (int32_t)exact : 0);
        }
    }
    if (c->rounded) spindl_set_threshold(c->sweep);
}

/* The weights of one group of channels, over some images, four neighbours at a time. */
APART static void weights_of(call *c, uint32_t group, uint32_t image, uint32_t images) {
    const spindl_tile *const t = c->t;
    spindl_sweep *const s = c->sweep;
    const uint32_t pixels = images * t->y_rows * t->y_columns, sum = t->kernel_rows * t->kernel_columns * t->inputs;
    mantissas y = SPINDL_POINTER(const int16_t, t->y) + group * t->outputs;
    mantissas x = SPINDL_POINTER(const int16_t, t->x) + group * t->inputs;
    y += image * t->y_rows * t->y_columns * t->y_pitch;
    x += image * t->x_rows * t->x_columns * t->x_pitch;
    const mantissas given = y;
    s->pitch = 2 * (int32_t)t->y_pitch;
    if (!c->exact && scratch_copies_columns(t, SPINDL_RESULT_W)) {
        y = spindl_copy_even(c, y, pixels, t->outputs, t->y_pitch);
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
            fits = spindl_sweep_columns(c, y, out, t->outputs, 0x11 * ((1u << count) - 1), count < 4);
            if (!fits) forget(c, old);
        }
        for (uint32_t i = 0; !fits && i < count; i++) define_weight(c, &four[i], at + i, x, given, images, !c->exact);
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
    const int error = spindl_call_begin(&c, t, SPINDL_RESULT_W, context);
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
    return spindl_call_end(&c);
}
