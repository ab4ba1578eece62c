/* Pooling over windows of images that lie as [row][column][channel]. */
#include "pairs.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

/* The geometry of max_pool_gradient begins as max_pool's. */
typedef spindl_max_pool_arguments geometry;
_Static_assert(offsetof(spindl_max_pool_gradient_arguments, dy) == offsetof(geometry, x), "the same geometry");

/* What a window sees along one axis: `cells` cells of x from `first` on, every `step`-th. */
typedef struct {
    uint32_t first, cells;
} span;

SPINDL_SMALL static span seen(uint32_t output, const uint32_t *size, const uint32_t *kernel) {
    /* kernel: kernel, stride, padding, dilation, each of both axes; size of the image along the axis */
    int32_t at = (int32_t)(output * kernel[2]) - (int32_t)kernel[4];
    uint32_t cells = kernel[0];
    for (; cells && at < 0; cells--) at += (int32_t)kernel[6];
    while (cells && at + (int32_t)((cells - 1) * kernel[6]) >= (int32_t)*size) cells--;
    return (span){(uint32_t)at, cells};
}

#define MOST_CELLS 256

/* The cells of one window: the first, where all are in elements from it, and how many they are. */
typedef struct {
    const int16_t *corner;
    const uint16_t *places;
    uint32_t cells, channels;
} cells;

/* The largest of all cells of each channel. */
__attribute__((noinline)) static void largest_of(const cells *w, int16_t *y) {
    for (uint32_t c = 0; c < w->channels; c++) y[c] = w->corner[c];
    for (uint32_t k = 1; k < w->cells; k++) {
        const int16_t *cell = w->corner + w->places[k];
        int16_t *to = y;
        uint32_t n = w->channels;
        for (; n >= 2; n -= 2, cell += 2, to += 2) { /* two at a time: no load is waited for */
            const int32_t first = cell[0], second = cell[1], one = to[0], other = to[1];
            if (first > one) to[0] = (int16_t)first;
            if (second > other) to[1] = (int16_t)second;
        }
        if (n && *cell > *to) *to = *cell;
    }
}

/* Each channel's gradient to the sum of its first largest cell; `at` is the corner's place among `total` sums. */
__attribute__((noinline)) static void scatter(const cells *w, const int16_t *dy, int32_t *sums, uint32_t at, uint32_t total) {
    const uint16_t *const places = w->places;
    const uint32_t cells = w->cells;
    for (uint32_t c = 0; c < w->channels; c++, at++) {
        const int16_t *corner = w->corner + c;
        int32_t largest = *corner;
        uint32_t winner = 0;
        for (uint32_t k = 1; k < cells; k++) {
            const int32_t v = corner[places[k]];
            if (v > largest) {
                largest = v;
                winner = k;
            }
        }
        const uint32_t place = at + places[winner];
        if (place < total) sums[place] += dy[c];
    }
}

/* Windows of one image: their largest to y, or y's gradient to the sums, which begin `above` elements before x and are
 * `total`. False where a window sees what x does not hold. */
SPINDL_SMALL static bool pool(const geometry *a, const int16_t *x, int16_t *y, int32_t *sums, uint32_t above, uint32_t total) {
    const uint32_t channels = a->channels, pitch = a->width * channels;
    uint16_t places[MOST_CELLS];
    if (a->kernel_height * a->kernel_width > MOST_CELLS || a->rows * pitch > 65535) return false;
    for (uint32_t p = 0; p < a->outputs; p++) {
        const span rows = seen(a->first_output + p, &a->height, &a->kernel_height);
        const uint32_t top = rows.first - a->first_row;
        if (!rows.cells || top + (rows.cells - 1) * a->dilation_height >= a->rows || top >= a->rows) return false;
        for (uint32_t q = 0; q < a->output_width; q++, y += channels) {
            const span columns = seen(q, &a->width, &a->kernel_width);
            const uint32_t start = top * pitch + columns.first * channels;
            cells w = {x + start, places, 0, channels};
            if (!columns.cells) return false;
            for (uint32_t i = 0; i < rows.cells; i++) {
                for (uint32_t j = 0; j < columns.cells; j++)
                    places[w.cells++] = (uint16_t)(i * a->dilation_height * pitch + j * a->dilation_width * channels);
            }
            if (sums) scatter(&w, y, sums, start + above, total);
            else largest_of(&w, y);
        }
    }
    return true;
}

SPINDL_SMALL int spindl_max_pool(const spindl_max_pool_arguments *a, spindl_context *context) {
    (void)context;
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    for (uint32_t image = a->images; image; image--) {
        if (!pool(a, x, y, 0, 0, 0)) return SPINDL_ERROR_ARGUMENT;
        x += a->rows * a->width * a->channels;
        y += a->outputs * a->output_width * a->channels;
    }
    return SPINDL_OK;
}

int spindl_max_pool_gradient(const spindl_max_pool_gradient_arguments *a, spindl_context *context) {
    spindl_rounding r;
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->dy_exponent])) return SPINDL_ERROR_ARGUMENT;
    const uint32_t pitch = a->width * a->channels, total = a->dx_rows * pitch;
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *dy = SPINDL_POINTER(int16_t, a->dy), *dx = SPINDL_POINTER(int16_t, a->dx);
    int32_t *sums = SPINDL_POINTER(int32_t, a->scratch);
    for (uint32_t image = a->images; image; image--) {
        for (uint32_t i = 0; i < total; i++) sums[i] = 0;
        if (!pool((const geometry *)a, x, dy, sums, (a->first_row - a->first_dx_row) * pitch, total))
            return SPINDL_ERROR_ARGUMENT;
        spindl_quick quick = spindl_quick_begin(&r); /* at shifts above 16 all are slow, and all but 0 are rare */
        for (uint32_t i = 0; i < total; i++) *dx++ = (int16_t)spindl_quick32(&r, &quick, sums[i] + quick.half);
        x += a->rows * pitch;
        dy += a->outputs * a->output_width * a->channels;
    }
    return spindl_end(&r);
}

/* Rows or columns that an average is taken over. */
typedef struct {
    uint16_t start, stop;
} window;

/* floor(2^20 / k + 1/2), k the divisor or the number of cells */
SPINDL_SMALL static int32_t reciprocal(uint32_t divisor, window rows, window columns) {
    const uint32_t cells = (uint32_t)(rows.stop - rows.start) * (uint32_t)(columns.stop - columns.start);
    const uint32_t k = divisor ? divisor : cells;
    return k ? (int32_t)spindl_divide((2u << SPINDL_RECIPROCAL_BITS) + k, 2 * k) : 0;
}

SPINDL_SMALL int spindl_window_sum(const spindl_window_sum_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->x_exponent] - SPINDL_RECIPROCAL_BITS;
    if (!spindl_begin(&r, context, &a->site, exponent)) return SPINDL_ERROR_ARGUMENT;
    const window *rows = SPINDL_POINTER(const window, a->row_windows);
    const window *columns = SPINDL_POINTER(const window, a->column_windows);
    const uint32_t channels = a->channels, pitch = a->width * channels;
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    for (uint32_t image = 0; image < a->images; image++, x += a->rows * pitch) {
        for (uint32_t p = 0; p < a->outputs; p++) {
            const window down = rows[a->first_output + p];
            if (down.start < a->first_row || down.stop > a->first_row + a->rows) return SPINDL_ERROR_ARGUMENT;
            for (uint32_t q = 0; q < a->output_width; q++) {
                const window across = columns[q];
                const int32_t factor = reciprocal(a->divisor, down, across);
                const uint32_t width = (uint32_t)(across.stop - across.start), back = pitch - width * channels;
                const int16_t *corner = x + (down.start - a->first_row) * pitch + across.start * channels;
                for (uint32_t c = 0; c < channels; c++) {
                    const int16_t *cell = corner + c;
                    int32_t sum = 0;
                    for (uint32_t i = (uint32_t)(down.stop - down.start); i; i--, cell += back) {
                        for (uint32_t j = width; j; j--, cell += channels) sum += *cell;
                    }
                    *y++ = (int16_t)spindl_round(&r, (int64_t)factor * sum);
                }
            }
        }
    }
    return spindl_end(&r);
}

#define TOGETHER 16 /* channels whose sums are in work at a time */

SPINDL_SMALL int spindl_window_sum_gradient(const spindl_window_sum_gradient_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->dy_exponent] - SPINDL_RECIPROCAL_BITS;
    if (!spindl_begin(&r, context, &a->site, exponent)) return SPINDL_ERROR_ARGUMENT;
    const window *rows = SPINDL_POINTER(const window, a->row_windows);
    const window *columns = SPINDL_POINTER(const window, a->column_windows);
    const uint32_t channels = a->channels, pitch = a->output_width * channels;
    const int16_t *dy = SPINDL_POINTER(const int16_t, a->dy);
    int16_t *dx = SPINDL_POINTER(int16_t, a->dx);
    for (uint32_t image = 0; image < a->images; image++, dy += a->outputs * pitch) {
        for (uint32_t row = a->first_row; row < a->first_row + a->rows; row++) {
            for (uint32_t column = 0; column < a->width; column++) {
                for (uint32_t c = 0, n; c < channels; c += n) {
                    int64_t sums[TOGETHER];
                    n = channels - c < TOGETHER ? channels - c : TOGETHER;
                    for (uint32_t i = 0; i < n; i++) sums[i] = 0;
                    for (uint32_t p = 0; p < a->outputs; p++) {
                        const window down = rows[a->first_output + p];
                        if (row < down.start || row >= down.stop) continue;
                        for (uint32_t q = 0; q < a->output_width; q++) {
                            const window across = columns[q];
                            if (column < across.start || column >= across.stop) continue;
                            const int32_t factor = reciprocal(a->divisor, down, across);
                            const int16_t *g = dy + p * pitch + q * channels + c;
                            for (uint32_t i = 0; i < n; i++) sums[i] += (int64_t)factor * g[i];
                        }
                    }
                    for (uint32_t i = 0; i < n; i++) *dx++ = (int16_t)spindl_round(&r, sums[i]);
                }
            }
        }
    }
    return spindl_end(&r);
}
