/* options: -Os --target=thumb-freestanding-eabi */
/* Contractions by their definition: one exact int64 sum after the other. */
#include "contraction.h"

typedef const int16_t *mantissas;

/* Position of tap `tap` at position `y` of the output, or a number that is at least `size` if that lies outside. */
static uint32_t place(uint32_t y, uint32_t tap, uint32_t stride, uint32_t dilation, int32_t first) {
    return y * stride + tap * dilation + (uint32_t)first;
}

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

static mantissas weights(const spindl_tile *t, uint32_t output, uint32_t i, uint32_t j) {
    const uint32_t taps = (output * t->kernel_rows + i) * t->kernel_columns + j;
    return SPINDL_POINTER(const int16_t, t->w + 2 * taps * t->inputs);
}

int64_t spindl_sum_y(const spindl_tile *t, uint32_t image, uint32_t p, uint32_t q, uint32_t output) {
    const uint32_t group = output / t->outputs;
    int64_t sum = 0;
    for (uint32_t i = 0; i < t->kernel_rows; i++) {
        const uint32_t r = place(p, i, t->stride_rows, t->dilation_rows, t->top);
        if (r >= t->x_rows) continue;
        for (uint32_t j = 0; j < t->kernel_columns; j++) {
            const uint32_t s = place(q, j, t->stride_columns, t->dilation_columns, t->left);
            if (s >= t->x_columns) continue;
            const mantissas x = pixel_x(t, image, r, s) + group * t->inputs, w = weights(t, output, i, j);
            for (uint32_t c = 0; c < t->inputs; c++) sum += (int64_t)x[c] * w[c];
        }
    }
    return sum;
}

/* The output position whose tap `tap` meets position `x`, or a large number if there is none. */
static uint32_t origin(uint32_t x, uint32_t tap, uint32_t stride, uint32_t dilation, int32_t first) {
    const int32_t distance = (int32_t)(x - tap * dilation) - first;
    if (distance < 0 || (uint32_t)distance % stride) return UINT32_MAX;
    return (uint32_t)distance / stride;
}

int64_t spindl_sum_x(const spindl_tile *t, uint32_t image, uint32_t r, uint32_t s, uint32_t channel) {
    const uint32_t group = channel / t->inputs, pitch = t->kernel_rows * t->kernel_columns * t->inputs;
    int64_t sum = 0;
    for (uint32_t i = 0; i < t->kernel_rows; i++) {
        const uint32_t p = origin(r, i, t->stride_rows, t->dilation_rows, t->top);
        if (p >= t->y_rows) continue;
        for (uint32_t j = 0; j < t->kernel_columns; j++) {
            const uint32_t q = origin(s, j, t->stride_columns, t->dilation_columns, t->left);
            if (q >= t->y_columns) continue;
            mantissas y = pixel_y(t, image, p, q) + group * t->outputs;
            mantissas w = weights(t, group * t->outputs, i, j) + channel % t->inputs;
            for (uint32_t o = 0; o < t->outputs; o++, w += pitch) sum += (int64_t)y[o] * *w;
        }
    }
    return sum;
}

int64_t spindl_sum_w(const spindl_tile *t, uint32_t image, uint32_t output, uint32_t i, uint32_t j, uint32_t channel) {
    channel += output / t->outputs * t->inputs;
    int64_t sum = 0;
    for (uint32_t p = 0; p < t->y_rows; p++) {
        const uint32_t r = place(p, i, t->stride_rows, t->dilation_rows, t->top);
        if (r >= t->x_rows) continue;
        for (uint32_t q = 0; q < t->y_columns; q++) {
            const uint32_t s = place(q, j, t->stride_columns, t->dilation_columns, t->left);
            if (s >= t->x_columns) continue;
            sum += (int64_t)pixel_y(t, image, p, q)[output] * pixel_x(t, image, r, s)[channel];
        }
    }
    return sum;
}

bool spindl_finish_begin(spindl_finish *finish, spindl_context *context, uint32_t first_exponent,
                         uint32_t second_exponent, uint32_t bias, uint32_t bias_exponent, uint32_t site, uint32_t bits,
                         uint32_t relu) {
    if (!spindl_known(context, first_exponent) || !spindl_known(context, second_exponent)) return false;
    int32_t exponent = context->exponents[first_exponent] + context->exponents[second_exponent];
    *finish = (spindl_finish){0};
    if (bias) {
        if ((bias & 3) || !spindl_known(context, bias_exponent)) return false;
        const int32_t of_bias = context->exponents[bias_exponent], common = spindl_most(exponent, of_bias - 30);
        finish->bias = SPINDL_POINTER(const int32_t, bias);
        finish->sum_shift = common - exponent;
        finish->bias_shift = common - of_bias;
        exponent = common;
    }
    return site != SPINDL_NO_SITE && bits >= 8 &&
           spindl_rounding_begin(&finish->rounding, context, site, bits, relu ? SPINDL_RELU : 0, exponent);
}

bool spindl_tile_begin(spindl_finish *finish, const spindl_tile *t, spindl_side direction,
                       spindl_context *context) {
    const bool sums = t->flags & SPINDL_FLAG_SUMS, whole = sums || direction == SPINDL_RESULT_W;
    const bool forward = direction == SPINDL_RESULT_Y;
    const uint32_t result = direction == SPINDL_RESULT_X ? t->x : direction == SPINDL_RESULT_W ? t->w : t->y;
    *finish = (spindl_finish){0};
    if ((t->x | t->w | t->y) & 1 || (whole && result & 3) || t->scratch & 3) return false;
    if (!t->images || !t->x_rows || !t->x_columns || !t->y_rows || !t->y_columns || !t->groups || !t->inputs) return false;
    if (!t->outputs || !t->kernel_rows || !t->kernel_columns || !t->stride_rows || !t->stride_columns) return false;
    if (t->x_pitch < t->groups * t->inputs || t->y_pitch < t->groups * t->outputs) return false;
    if (t->flags & ~7u || ((t->flags & SPINDL_FLAG_ADD) && !whole)) return false;
    if ((t->flags & SPINDL_FLAG_RELU || t->bias) && (sums || !forward)) return false;
    if (sums) return true;
    return spindl_finish_begin(finish, context, t->first_exponent, t->second_exponent, t->bias, t->bias_exponent,
                               t->site, t->bits, t->flags & SPINDL_FLAG_RELU);
}

/* Results of a tile [images][rows][columns][pitch], of which `channels` of each pixel are computed. */
static int by_pixels(const spindl_tile *t, spindl_side direction, spindl_context *context) {
    spindl_finish finish;
    if (!spindl_tile_begin(&finish, t, direction, context)) return SPINDL_ERROR_ARGUMENT;
    const bool forward = direction == SPINDL_RESULT_Y, sums = t->flags & SPINDL_FLAG_SUMS;
    const uint32_t rows = forward ? t->y_rows : t->x_rows, columns = forward ? t->y_columns : t->x_columns;
    const uint32_t pitch = forward ? t->y_pitch : t->x_pitch;
    const uint32_t channels = t->groups * (forward ? t->outputs : t->inputs);
    uint32_t at = forward ? t->y : t->x;
    for (uint32_t image = 0; image < t->images; image++) {
        for (uint32_t row = 0; row < rows; row++) {
            for (uint32_t column = 0; column < columns; column++) {
                for (uint32_t c = 0; c < channels; c++) {
                    const int64_t sum = forward ? spindl_sum_y(t, image, row, column, c)
                                                : spindl_sum_x(t, image, row, column, c);
                    if (sums) {
                        spindl_wide *to = SPINDL_POINTER(spindl_wide, at) + c;
                        *to = sum + (t->flags & SPINDL_FLAG_ADD ? *to : 0);
                    } else {
                        SPINDL_POINTER(int16_t, at)[c] = (int16_t)spindl_finish_sum(&finish, sum, c);
                    }
                }
                at += pitch * (sums ? 8 : 2);
            }
        }
    }
    if (!sums) spindl_rounding_end(&finish.rounding);
    return SPINDL_OK;
}

int spindl_convolution(const spindl_convolution_arguments *arguments, spindl_context *context) {
    return by_pixels((const spindl_tile *)arguments, SPINDL_RESULT_Y, context);
}

int spindl_convolution_input_gradient(const spindl_convolution_input_gradient_arguments *arguments,
                                      spindl_context *context) {
    return by_pixels((const spindl_tile *)arguments, SPINDL_RESULT_X, context);
}

int spindl_convolution_weight_gradient(const spindl_convolution_weight_gradient_arguments *arguments,
                                       spindl_context *context) {
    const spindl_tile *t = (const spindl_tile *)arguments;
    spindl_finish finish;
    if (!spindl_tile_begin(&finish, t, SPINDL_RESULT_W, context)) return SPINDL_ERROR_ARGUMENT;
    const bool sums = t->flags & SPINDL_FLAG_SUMS;
    spindl_wide *wide = SPINDL_POINTER(spindl_wide, t->w);
    int32_t *narrow = SPINDL_POINTER(int32_t, t->w);
    for (uint32_t image = 0; image < t->images; image++) {
        const bool add = image || t->flags & SPINDL_FLAG_ADD;
        uint32_t at = 0;
        for (uint32_t o = 0; o < t->groups * t->outputs; o++) {
            for (uint32_t i = 0; i < t->kernel_rows; i++) {
                for (uint32_t j = 0; j < t->kernel_columns; j++) {
                    for (uint32_t c = 0; c < t->inputs; c++, at++) {
                        const int64_t sum = spindl_sum_w(t, image, o, i, j, c);
                        if (sums) wide[at] = sum + (add ? wide[at] : 0);
                        else narrow[at] = spindl_finish_sum(&finish, sum, 0) + (add ? narrow[at] : 0);
                    }
                }
            }
        }
    }
    if (!sums) spindl_rounding_end(&finish.rounding);
    return SPINDL_OK;
}

int spindl_round_sums(const spindl_round_sums_arguments *a, spindl_context *context) {
    spindl_finish finish;
    if (a->sums & 3 || a->y & 1 || a->flags & ~1u || a->y_pitch < a->columns ||
        !spindl_finish_begin(&finish, context, a->first_exponent, a->second_exponent, a->bias, a->bias_exponent, a->site,
                             a->bits, a->flags & SPINDL_FLAG_RELU)) {
        return SPINDL_ERROR_ARGUMENT;
    }
    const spindl_wide *sums = SPINDL_POINTER(const spindl_wide, a->sums);
    for (uint32_t row = 0; row < a->rows; row++) {
        int16_t *y = SPINDL_POINTER(int16_t, a->y) + row * a->y_pitch;
        for (uint32_t c = 0; c < a->columns; c++) *y++ = (int16_t)spindl_finish_sum(&finish, *sums++, c);
    }
    spindl_rounding_end(&finish.rounding);
    return SPINDL_OK;
}

int spindl_add_rounded_sums(const spindl_add_rounded_sums_arguments *a, spindl_context *context) {
    spindl_finish finish;
    if ((a->sums | a->y) & 3 || a->flags & ~(uint32_t)SPINDL_FLAG_ADD ||
        !spindl_finish_begin(&finish, context, a->first_exponent, a->second_exponent, 0, 0, a->site, a->bits, 0)) {
        return SPINDL_ERROR_ARGUMENT;
    }
    const spindl_wide *sums = SPINDL_POINTER(const spindl_wide, a->sums);
    int32_t *y = SPINDL_POINTER(int32_t, a->y);
    for (uint32_t i = 0; i < a->count; i++) {
        y[i] = spindl_finish_sum(&finish, sums[i], 0) + (a->flags & SPINDL_FLAG_ADD ? y[i] : 0);
    }
    spindl_rounding_end(&finish.rounding);
    return SPINDL_OK;
}
