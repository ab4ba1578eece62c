/* Element-wise kernels: rounding, sums, maps per channel, ReLU. */
#include "rounding.h"
#include "spindl_kernels.h"

SPINDL_SMALL int spindl_requantise(const spindl_requantise_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->wide_exponent];
    const int32_t shift = exponent - context->exponents[a->x_exponent];
    if (!spindl_is_width(a->x_bytes) || !spindl_begin(&r, context, &a->site, exponent)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t row = 0; row < a->rows; row++) {
        const void *x = SPINDL_POINTER(const void, a->x + row * a->x_pitch);
        int16_t *y = SPINDL_POINTER(int16_t, a->y + row * a->y_pitch);
        const bool plain = a->x_bytes == 8 && shift == 0;
        for (uint32_t i = 0; i < a->columns; i++) {
            const int64_t v = plain ? ((const spindl_wide *)x)[i] : spindl_rsh(spindl_element(x, a->x_bytes, i), shift);
            *y++ = (int16_t)spindl_round(&r, v);
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

SPINDL_SMALL static bool halves(int32_t *packed, int64_t factor, int32_t left) {
    const int64_t v = factor * ((int64_t)1 << left) + 0x8000;
    *packed = (int32_t)((uint64_t)(v >> 16) << 16 | (uint64_t)((v - 0x8000) & 0xffff));
    return v >> 31 == v >> 63;
}

/* False where it does not fit. */
SPINDL_SMALL static bool map_of(map *m, const spindl_rounding *r, int64_t start, int32_t factor, int32_t second) {
    const int32_t left = 16 - r->quick;
    const int64_t v = (int64_t)((uint64_t)(start + r->half) << left);
    m->low = (int32_t)(v & 0xffff);
    m->top = (int32_t)(v >> 16);
    return r->before == 0 && r->shift >= 0 && spindl_bits(spindl_magnitude(start)) < 45 - left &&
           halves(&m->factor, factor, left) && halves(&m->second, second, left);
}

/* n pixels of a channel on their way; `fast`, `least` as in spindl_quick. */
typedef struct {
    const int16_t *x, *y;
    int16_t *z;
    uint32_t pitch; /* bytes from pixel to pixel */
    int32_t factor, second, low, top, fast, least;
    uint32_t n;
} run;

/* Maps until a pixel takes the slow way; returns how many are left then. */
uint32_t spindl_map_quickly(const run *r);

#ifdef __arm__ /* compilers spill: all fourteen registers are needed */
__asm__(".section .text.spindl_map_quickly, \"ax\"\n"
        ".arm\n.syntax unified\n.balign 4\n.global spindl_map_quickly\n.type spindl_map_quickly, %function\n"
        "spindl_map_quickly:\n"
        "    push {r4-r11, lr}\n"
        "    ldm r0, {r0-r10}\n" /* x y z pitch factor second low top fast least n */
        "1:  ldrsh r11, [r0], r3\n"
        "    ldrsh r12, [r1], r3\n"
        "    smlabb lr, r4, r11, r6\n"
        "    smlatb r11, r4, r11, r7\n"
        "    smlabb lr, r5, r12, lr\n"
        "    smlatb r11, r5, r12, r11\n"
        "    add r11, r11, lr, asr #16\n"
        "    add lr, r11, r8\n"
        "    cmp lr, r8, lsl #1\n"
        "    bhi 2f\n"
        "    cmp r11, r9\n"
        "    movlt r11, r9\n"
        "    subs r10, r10, #1\n"
        "    strh r11, [r2], r3\n"
        "    bne 1b\n"
        "2:  mov r0, r10\n"
        "    pop {r4-r11, pc}\n"
        ".text\n");
#else
uint32_t spindl_map_quickly(const run *r) {
    const uint32_t pitch = r->pitch / 2;
    for (uint32_t i = 0; i < r->n; i++) {
        const int32_t v = r->x[i * pitch], w = r->y[i * pitch];
        const int32_t q = spindl_smlatb(r->second, w, spindl_smlatb(r->factor, v, r->top)) +
                          (spindl_smlabb(r->second, w, spindl_smlabb(r->factor, v, r->low)) >> 16);
        if ((uint32_t)(q + r->fast) > 2 * (uint32_t)r->fast) return r->n - i;
        r->z[i * pitch] = (int16_t)spindl_most(q, r->least);
    }
    return 0;
}
#endif

/* z = scale * x + slope * y + offset; without a slope y is x. */
typedef struct {
    uint32_t x, y, z, scale, slope, offset, pixels, channels;
} maps;

SPINDL_SMALL static int map_all(const maps *a, spindl_context *context, int32_t exponent, const uint32_t *rounding) {
    spindl_rounding r;
    map m = {0};
    const spindl_wide *scale = SPINDL_POINTER(const spindl_wide, a->scale);
    const spindl_wide *slope = SPINDL_POINTER(const spindl_wide, a->slope);
    const spindl_wide *offset = SPINDL_POINTER(const spindl_wide, a->offset);
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *z = SPINDL_POINTER(int16_t, a->z);
    const uint32_t channels = a->channels;
    if (!spindl_begin(&r, context, rounding, exponent)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t c = 0; c < channels; c++) { /* down a channel: its numbers stay in registers */
        const int32_t factor = (int32_t)scale[c], second = a->slope ? (int32_t)slope[c] : 0;
        const bool fits = !r.even && map_of(&m, &r, offset[c], factor, second);
        for (uint32_t n = a->pixels, at = c; n; n--, at += channels) {
            if (fits && r.width) {
                const run quick = {x + at, y + at, z + at, 2 * channels, m.factor, m.second, m.low, m.top, r.fast, r.low, n};
                const uint32_t left = spindl_map_quickly(&quick);
                if (!left) break;
                at += (n - left) * channels;
                n = left;
            }
            const int64_t exact = (int64_t)factor * x[at] + (int64_t)second * y[at] + offset[c];
            z[at] = (int16_t)(fits ? spindl_round_slow(&r, exact) : spindl_round(&r, exact));
        }
    }
    return spindl_end(&r);
}

int spindl_affine(const spindl_affine_arguments *a, spindl_context *context) {
    maps m = {a->x, a->x, a->y, a->scale, 0, a->offset, a->pixels, a->channels};
    if (a->x_bytes - 1 > 1) return SPINDL_ERROR_ARGUMENT;
    if (a->x_bytes == 1) { /* first made int16, where they go */
        const uint8_t *x = SPINDL_POINTER(const uint8_t, a->x);
        int16_t *y = SPINDL_POINTER(int16_t, a->y);
        for (uint32_t n = a->pixels * a->channels; n; n--) *y++ = *x++;
        m.x = m.y = a->y;
    }
    return map_all(&m, context, context->exponents[a->offset_exponent], &a->site);
}

SPINDL_SMALL int spindl_affine_pair(const spindl_affine_pair_arguments *a, spindl_context *context) {
    const maps m = {a->x, a->y, a->z, a->scale, a->slope, a->offset, a->pixels, a->channels};
    return map_all(&m, context, context->exponents[a->offset_exponent], &a->site);
}
