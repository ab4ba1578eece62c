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
        if (a->x_bytes == 8 && shift == 0) {
            const spindl_wide *from = x;
            for (uint32_t n = columns; n; n--, from++)
                *y++ = (int16_t)(quick.width ? spindl_quick64(&r, &quick, *from + quick.half) : spindl_round(&r, *from));
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

/* Two int16 in a word; all arrays begin at multiples of 4. */
typedef uint32_t __attribute__((may_alias)) two;
#define SIGNS 0x00010001u

static inline uint32_t mask_of(uint32_t bits) { /* 0xffff where a half is 1 */
    return (bits << 16) - bits;
}

int spindl_relu(const spindl_relu_arguments *a, spindl_context *context) {
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    uint32_t n = a->count;
    const bool six = a->activation == SPINDL_RELU6;
    const int32_t high = six ? spindl_six(context->exponents[a->x_exponent]) : 32767;
    if (!six && !((a->x | a->y) & 3)) {
        for (; n >= 4; n -= 4, x += 4, y += 4) {
            const uint32_t v = ((const two *)x)[0], w = ((const two *)x)[1];
            ((two *)y)[0] = v & ~mask_of(v >> 15 & SIGNS);
            ((two *)y)[1] = w & ~mask_of(w >> 15 & SIGNS);
        }
    }
    for (; n; n--) {
        const int32_t v = *x++;
        *y++ = (int16_t)spindl_least(v & ~(v >> 31), high);
    }
    return SPINDL_OK;
}

int spindl_relu_gradient(const spindl_relu_gradient_arguments *a, spindl_context *context) {
    const int16_t *dy = SPINDL_POINTER(const int16_t, a->dy), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *dx = SPINDL_POINTER(int16_t, a->dx);
    uint32_t n = a->count;
    const bool to_six = a->activation == SPINDL_RELU6;
    if (!to_six && !((a->dy | a->y | a->dx) & 3)) {
        for (; n >= 4; n -= 4, dy += 4, y += 4, dx += 4) { /* y >= 0: y + 0x7fff has its top bit set where y > 0 */
            const uint32_t v = ((const two *)y)[0] + 0x7fff7fffu, w = ((const two *)y)[1] + 0x7fff7fffu;
            ((two *)dx)[0] = ((const two *)dy)[0] & mask_of(v >> 15 & SIGNS);
            ((two *)dx)[1] = ((const two *)dy)[1] & mask_of(w >> 15 & SIGNS);
        }
    }
    const int32_t six = to_six ? spindl_six(context->exponents[a->y_exponent]) : 32768;
    const uint32_t inside = six > 1 ? (uint32_t)six - 1 : 0; /* 0 < y < six: y - 1 below six - 1 */
    for (; n; n--) {
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
        const int32_t x_factor = 1 << x_left, y_factor = 1 << y_left;
        for (uint32_t n = a->count; n; n--) {
            const int32_t v = spindl_smlabb(*y++, y_factor, spindl_smlabb(*x++, x_factor, quick.half));
            *z++ = (int16_t)spindl_quick32(&r, &quick, v);
        }
    } else {
        for (uint32_t n = a->count; n; n--)
            *z++ = (int16_t)spindl_round(&r, spindl_rsh(*x++, -x_left) + spindl_rsh(*y++, -y_left));
    }
    return spindl_end(&r);
}

/* A map of one channel for 16-bit x: factor = 2^16 * (top half) + (low half, signed), start likewise with its low half
 * unsigned, both after a shift to the left that makes the rounding one of 16 places. Then
 * RSH = top * x + start_top + ((low * x + start_low) >> 16), exactly, and no 32-bit sum of two maps can overflow:
 * 2 * 2^15 * 32767 + 65535 = 2^31 - 1. */
typedef struct {
    int32_t factor, second, low, top;
} map;

static bool halves(int32_t *packed, int64_t factor, int32_t left) {
    const int64_t v = (factor << left) + 0x8000;
    *packed = (int32_t)((v >> 16) << 16 | ((v - 0x8000) & 0xffff));
    return v >> 31 == v >> 63;
}

/* False where it does not fit. */
static bool map_of(map *m, const spindl_quick *quick, int64_t start, int64_t factor, int64_t second) {
    const int32_t left = 16 - quick->shift;
    const int64_t v = start << left;
    m->low = (int32_t)(v & 0xffff);
    m->top = (int32_t)(v >> 16);
    return spindl_bits(spindl_magnitude(start)) < 45 - left && halves(&m->factor, factor, left) &&
           halves(&m->second, second, left) && quick->width;
}

int spindl_affine(const spindl_affine_arguments *a, spindl_context *context) {
    spindl_rounding r;
    map m;
    const spindl_wide *scale = SPINDL_POINTER(const spindl_wide, a->scale);
    const spindl_wide *offset = SPINDL_POINTER(const spindl_wide, a->offset);
    const uint32_t channels = a->channels, bytes = a->x_bytes;
    if (bytes - 1 > 1 || !spindl_begin(&r, context, &a->site, context->exponents[a->offset_exponent]))
        return SPINDL_ERROR_ARGUMENT;
    spindl_quick quick = spindl_quick_begin(&r);
    for (uint32_t c = 0; c < channels; c++) { /* down a channel: its numbers stay in registers */
        const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c;
        const uint8_t *byte = SPINDL_POINTER(const uint8_t, a->x) + c;
        int16_t *y = SPINDL_POINTER(int16_t, a->y) + c;
        uint32_t n = a->pixels;
        if (map_of(&m, &quick, offset[c] + quick.half, scale[c], 0)) {
            const int32_t factor = m.factor, low = m.low, top = m.top;
            for (; n; n--, y += channels) {
                const int32_t v = bytes == 2 ? *x : *byte;
                const int32_t q = spindl_smlatb(factor, v, top) + (spindl_smlabb(factor, v, low) >> 16);
                *y = (int16_t)((uint32_t)(q + quick.fast) < quick.width
                                   ? spindl_most(q, quick.low)
                                   : spindl_quick_slow(&r, &quick, (int64_t)(int32_t)scale[c] * v + offset[c]));
                x += channels;
                byte += channels;
            }
        }
        for (; n; n--, x += channels, byte += channels, y += channels)
            *y = (int16_t)spindl_round(&r, (int64_t)(int32_t)scale[c] * (bytes == 2 ? *x : *byte) + offset[c]);
    }
    return spindl_end(&r);
}

int spindl_affine_pair(const spindl_affine_pair_arguments *a, spindl_context *context) {
    spindl_rounding r;
    map m;
    const spindl_wide *scale = SPINDL_POINTER(const spindl_wide, a->scale);
    const spindl_wide *slope = SPINDL_POINTER(const spindl_wide, a->slope);
    const spindl_wide *offset = SPINDL_POINTER(const spindl_wide, a->offset);
    const uint32_t channels = a->channels;
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->offset_exponent])) return SPINDL_ERROR_ARGUMENT;
    spindl_quick quick = spindl_quick_begin(&r);
    for (uint32_t c = 0; c < channels; c++) {
        const int16_t *x = SPINDL_POINTER(const int16_t, a->x) + c, *y = SPINDL_POINTER(const int16_t, a->y) + c;
        int16_t *z = SPINDL_POINTER(int16_t, a->z) + c;
        const bool fits = map_of(&m, &quick, offset[c] + quick.half, scale[c], slope[c]);
        const int32_t factor = m.factor, second = m.second, low = m.low, top = m.top;
        for (uint32_t n = a->pixels; n; n--, x += channels, y += channels, z += channels) {
            const int32_t v = *x, w = *y;
            if (fits) {
                const int32_t q = spindl_smlatb(second, w, spindl_smlatb(factor, v, top)) +
                                  (spindl_smlabb(second, w, spindl_smlabb(factor, v, low)) >> 16);
                if ((uint32_t)(q + quick.fast) < quick.width) {
                    *z = (int16_t)spindl_most(q, quick.low);
                    continue;
                }
            }
            *z = (int16_t)spindl_quick_slow(
                &r, &quick, (int64_t)(int32_t)scale[c] * v + (int64_t)(int32_t)slope[c] * w + offset[c]);
        }
    }
    return spindl_end(&r);
}
