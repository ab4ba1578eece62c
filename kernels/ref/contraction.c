/* options: -Oz -mthumb */
/* Contractions by their definition. */
#include "contraction.h"

static bool known(const spindl_context *context, uint32_t value) {
    return value < context->exponent_count;
}

bool spindl_finish_begin(spindl_finish *finish, spindl_context *context, uint32_t first_exponent,
                         uint32_t second_exponent, uint32_t bias, uint32_t bias_exponent, uint32_t site, uint32_t bits,
                         uint32_t relu) {
    if (!known(context, first_exponent) || !known(context, second_exponent)) return false;
    int32_t exponent = context->exponents[first_exponent] + context->exponents[second_exponent];
    finish->bias = 0;
    finish->sum_shift = finish->bias_shift = 0;
    if (bias) {
        if ((bias & 3) || !known(context, bias_exponent)) return false;
        const int32_t of_bias = context->exponents[bias_exponent], common = spindl_most(exponent, of_bias - 30);
        finish->bias = SPINDL_POINTER(const int32_t, bias);
        finish->sum_shift = common - exponent;
        finish->bias_shift = common - of_bias;
        exponent = common;
    }
    const uint32_t rounding[] = {site, bits, relu ? SPINDL_RELU : 0, 0};
    return bits >= 8 && spindl_begin(&finish->rounding, context, rounding, exponent);
}

bool spindl_tile_begin(spindl_finish *finish, const spindl_tile *t, spindl_side direction,
                       spindl_context *context) {
    const uint32_t flags = t->flags;
    const bool sums = flags & SPINDL_FLAG_SUMS, of_weights = direction == SPINDL_RESULT_W;
    const bool wide = sums || (of_weights && !(flags & SPINDL_FLAG_NARROW)); /* a result of 32 or 64 bits */
    const uint32_t result = direction == SPINDL_RESULT_X ? t->x : of_weights ? t->w : t->y;
    finish->bias = 0;
    finish->sum_shift = 0;
    if ((t->x | t->w | t->y) & 1 || (wide && result & 3) || t->scratch & 3) return false;
    for (const uint32_t *size = &t->images; size <= &t->dilation_columns; size++) {
        if (!*size) return false;
    }
    if (t->x_pitch < t->groups * t->inputs || t->y_pitch < t->groups * t->outputs) return false;
    if (flags & ~15u || (flags & SPINDL_FLAG_ADD && !wide)) return false;
    if (flags & SPINDL_FLAG_NARROW && (sums || !of_weights || t->images > 1)) return false;
    if ((flags & SPINDL_FLAG_RELU || t->bias) && (sums || direction != SPINDL_RESULT_Y)) return false;
    if (sums) return true;
    return spindl_finish_begin(finish, context, t->first_exponent, t->second_exponent, t->bias, t->bias_exponent,
                               t->site, t->bits, flags & SPINDL_FLAG_RELU);
}

/* Results of a tile [images][rows][columns][pitch], of which `channels` of each pixel are computed. */
static int by_pixels(const spindl_tile *t, spindl_side direction, spindl_context *context) {
    spindl_finish finish;
    if (!spindl_tile_begin(&finish, t, direction, context)) return SPINDL_ERROR_ARGUMENT;
    const bool forward = direction == SPINDL_RESULT_Y, sums = t->flags & SPINDL_FLAG_SUMS;
    const uint32_t rows = forward ? t->y_rows : t->x_rows, columns = forward ? t->y_columns : t->x_columns;
    const uint32_t pitch = forward ? t->y_pitch : t->x_pitch;
    const uint32_t channels = t->groups * (forward ? t->outputs : t->inputs);
    if (t->scratch_bytes < 8 * channels) return SPINDL_ERROR_SCRATCH;
    spindl_wide *const exact = SPINDL_POINTER(spindl_wide, t->scratch);
    uint32_t at = forward ? t->y : t->x;
    for (uint32_t image = 0; image < t->images; image++) {
        for (uint32_t row = 0; row < rows; row++) {
            for (uint32_t column = 0; column < columns; column++, at += pitch * (sums ? 8 : 2)) {
                (forward ? spindl_sums_y : spindl_sums_x)(t, image, row, column, 0, t->groups, exact);
                for (uint32_t c = 0; c < channels; c++) {
                    spindl_wide *const to = SPINDL_POINTER(spindl_wide, at) + c;
                    if (sums) *to = exact[c] + (t->flags & SPINDL_FLAG_ADD ? *to : 0);
                    else SPINDL_POINTER(int16_t, at)[c] = (int16_t)spindl_finish_sum(&finish, exact[c], c);
                }
            }
        }
    }
    return sums ? SPINDL_OK : spindl_end(&finish.rounding);
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
    int32_t *rounded = SPINDL_POINTER(int32_t, t->w);
    for (uint32_t image = 0; image < t->images; image++) {
        const bool add = image || t->flags & SPINDL_FLAG_ADD;
        uint32_t at = 0;
        for (uint32_t o = 0; o < t->groups * t->outputs; o++) {
            for (uint32_t i = 0; i < t->kernel_rows; i++) {
                for (uint32_t j = 0; j < t->kernel_columns; j++) {
                    for (uint32_t c = 0; c < t->inputs; c++, at++) {
                        const int64_t sum = spindl_sum_w(t, image, o, i, j, c);
                        const int32_t y = sums ? 0 : spindl_finish_sum(&finish, sum, 0);
                        if (sums) wide[at] = sum + (add ? wide[at] : 0);
                        else if (t->flags & SPINDL_FLAG_NARROW) SPINDL_POINTER(int16_t, t->w)[at] = (int16_t)y;
                        else rounded[at] = y + (add ? rounded[at] : 0);
                    }
                }
            }
        }
    }
    return sums ? SPINDL_OK : spindl_end(&finish.rounding);
}
