/* Element-wise kernels: rounding, sums, maps per channel, ReLU. */
#include "rounding.h"
#include "spindl_kernels.h"

int spindl_requantise(const spindl_requantise_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->wide_exponent];
    const int32_t shift = exponent - context->exponents[a->x_exponent];
    if (!spindl_is_width(a->x_bytes) || !spindl_begin(&r, context, &a->site, exponent)) return SPINDL_ERROR_ARGUMENT;
    spindl_quick quick = spindl_quick_begin(&r);
    const uint32_t columns = a->columns;
    for (uint32_t row = 0; row < a->rows; row++) {
        const void *x = SPINDL_POINTER(const void, a->x + row * a->x_pitch);
        int16_t *y = SPINDL_POINTER(int16_t, a->y + row * a->y_pitch);
        if (a->x_bytes == 8 && shift == 0 && r.before == 0) {
            const spindl_wide *from = x;
            for (uint32_t n = columns; n; n--) *y++ = (int16_t)spindl_quick64(&r, &quick, *from++ + quick.half);
        } else {
            for (uint32_t i = 0; i < columns; i++)
                *y++ = (int16_t)spindl_round(&r, spindl_rsh(spindl_element(x, a->x_bytes, i), shift));
        }
    }
    return spindl_end(&r);
}

int spindl_narrow(const spindl_narrow_arguments *a, spindl_context *context) {
    (void)context;
    const int32_t *x = SPINDL_POINTER(const int32_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    if (a->bits < 2 || a->bits > 16) return SPINDL_ERROR_ARGUMENT;
    const int32_t shift = 31 - (int32_t)a->bits, limit = (1 << (a->bits - 1)) - 1;
    for (uint32_t n = a->count; n; n--) { /* RSH(x, s) = ((x >> (s - 1)) + 1) >> 1 */
        const int32_t v = ((*x++ >> shift) + 1) >> 1;
        *y++ = (int16_t)spindl_most(-limit, spindl_least(v, limit));
    }
    return SPINDL_OK;
}

int spindl_relu(const spindl_relu_arguments *a, spindl_context *context) {
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    const int32_t high = a->activation == SPINDL_RELU6 ? spindl_six(context->exponents[a->x_exponent]) : 32767;
    for (uint32_t n = a->count; n; n--) {
        const int32_t v = *x++;
        *y++ = (int16_t)spindl_least(v & ~(v >> 31), high);
    }
    return SPINDL_OK;
}

int spindl_relu_gradient(const spindl_relu_gradient_arguments *a, spindl_context *context) {
    const int16_t *dy = SPINDL_POINTER(const int16_t, a->dy), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *dx = SPINDL_POINTER(int16_t, a->dx);
    const int32_t six = a->activation == SPINDL_RELU6 ? spindl_six(context->exponents[a->y_exponent]) : 32768;
    const uint32_t inside = six > 1 ? (uint32_t)six - 1 : 0; /* 0 < y < six: y - 1 below six - 1 */
    for (uint32_t n = a->count; n; n--) {
        const int32_t g = *dy++;
        *dx++ = (int16_t)((uint32_t)(*y++ - 1) < inside ? g : 0);
    }
    return SPINDL_OK;
}

int spindl_add(const spindl_add_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t e_x = context->exponents[a->x_exponent], e_y = context->exponents[a->y_exponent];
    const int32_t exponent = spindl_common_exponent(e_x, e_y), x_left = e_x - exponent, y_left = e_y - exponent;
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *z = SPINDL_POINTER(int16_t, a->z);
    if (!spindl_begin(&r, context, &a->site, exponent)) return SPINDL_ERROR_ARGUMENT;
    if (x_left >= 0 && x_left <= 14 && y_left >= 0 && y_left <= 14 && r.before == 0) {
        spindl_quick quick = spindl_quick_begin(&r);
        const int16_t x_factor = (int16_t)(1 << x_left), y_factor = (int16_t)(1 << y_left);
        for (uint32_t n = a->count; n; n--) {
            const int32_t v = *x++ * x_factor + quick.half + *y++ * y_factor;
            *z++ = (int16_t)spindl_quick32(&r, &quick, v);
        }
    } else {
        for (uint32_t n = a->count; n; n--)
            *z++ = (int16_t)spindl_round(&r, spindl_rsh(*x++, -x_left) + spindl_rsh(*y++, -y_left));
    }
    return spindl_end(&r);
}

int spindl_affine(const spindl_affine_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const spindl_wide *scale = SPINDL_POINTER(const spindl_wide, a->scale);
    const spindl_wide *offset = SPINDL_POINTER(const spindl_wide, a->offset);
    const uint32_t channels = a->channels, pixels = a->pixels, bytes = a->x_bytes;
    if (bytes - 1 > 1 || !spindl_begin(&r, context, &a->site, context->exponents[a->offset_exponent]))
        return SPINDL_ERROR_ARGUMENT;
    spindl_quick quick = spindl_quick_begin(&r);
    for (uint32_t c = 0; c < channels; c++) { /* down a channel: its scale and offset stay in registers */
        const int32_t factor = (int32_t)scale[c];
        const int64_t start = offset[c] + quick.half;
        int16_t *y = SPINDL_POINTER(int16_t, a->y) + c;
        if (bytes == 2) {
            const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c;
            for (uint32_t n = pixels; n; n--, x += channels, y += channels)
                *y = (int16_t)spindl_quick64(&r, &quick, start + (int64_t)factor * *x);
        } else {
            const uint8_t *x = SPINDL_POINTER(const uint8_t, a->x) + c;
            for (uint32_t n = pixels; n; n--, x += channels, y += channels)
                *y = (int16_t)spindl_quick64(&r, &quick, start + (int64_t)factor * *x);
        }
    }
    return spindl_end(&r);
}

int spindl_affine_pair(const spindl_affine_pair_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const spindl_wide *scale = SPINDL_POINTER(const spindl_wide, a->scale);
    const spindl_wide *slope = SPINDL_POINTER(const spindl_wide, a->slope);
    const spindl_wide *offset = SPINDL_POINTER(const spindl_wide, a->offset);
    const uint32_t channels = a->channels, pixels = a->pixels;
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->offset_exponent])) return SPINDL_ERROR_ARGUMENT;
    spindl_quick quick = spindl_quick_begin(&r);
    for (uint32_t c = 0; c < channels; c++) {
        const int32_t factor = (int32_t)scale[c], second = (int32_t)slope[c];
        const int64_t start = offset[c] + quick.half;
        const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c, *y = SPINDL_POINTER(const int16_t, a->y) + c;
        int16_t *z = SPINDL_POINTER(int16_t, a->z) + c;
        for (uint32_t n = pixels; n; n--, x += channels, y += channels, z += channels)
            *z = (int16_t)spindl_quick64(&r, &quick, start + (int64_t)factor * *x + (int64_t)second * *y);
    }
    return spindl_end(&r);
}
