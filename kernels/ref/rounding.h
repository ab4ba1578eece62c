/* Rounding, as docs/numbers.md defines it, with the statistics that a site keeps. */
#ifndef SPINDL_ROUNDING_H
#define SPINDL_ROUNDING_H

#include <stdbool.h>

#include "spindl_kernel.h"

/* For functions whose size matters more than their time: Thumb code, or ARM code for those with loops of 64-bit
 * products, which Thumb lacks. */
#if defined(__arm__) && defined(__clang__)
#define SPINDL_SMALL __attribute__((target("thumb"), minsize))
#define SPINDL_LEAN __attribute__((minsize))
#elif defined(__arm__)
#define SPINDL_SMALL __attribute__((target("thumb"), optimize("Os")))
#define SPINDL_LEAN __attribute__((optimize("Os")))
#else
#define SPINDL_SMALL
#define SPINDL_LEAN
#endif

enum { SPINDL_RELU = 1, SPINDL_RELU6 = 2 };

/* int64 in memory: at multiples of 4, where LDRD would fault. */
typedef int64_t spindl_wide __attribute__((aligned(4)));

/* c + a * b of low halves, and c + (top half of a) * (low half of b): one cycle each on the cores. */
#if defined(__arm__) && defined(__clang__)
#define spindl_smlabb __builtin_arm_smlabb
#define spindl_smlatb __builtin_arm_smlatb
#else
static inline int32_t spindl_smlabb(int32_t a, int32_t b, int32_t c) {
    return (int16_t)a * (int16_t)b + c;
}

static inline int32_t spindl_smlatb(int32_t a, int32_t b, int32_t c) {
    return (a >> 16) * (int16_t)b + c;
}
#endif

static inline int32_t spindl_least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t spindl_most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

int64_t spindl_clamp(int64_t x, int64_t limit);
uint64_t spindl_magnitude(int64_t x);
/* bit_length */
int32_t spindl_bits(uint64_t x);
/* RSH(x, shift) for |x| < 2^62 and results below 2^63. */
int64_t spindl_rsh(int64_t x, int32_t shift);
/* clamp(RSH(x, shift), limit) for |x| < 2^62 and any shift. */
int64_t spindl_clamped_rsh(int64_t x, int32_t shift, int64_t limit);
/* 6.0 at an exponent, 2^15 where no int16 reaches it. */
int32_t spindl_six(int32_t exponent);
/* The exponent that operands of a sum are aligned to. */
int32_t spindl_common_exponent(int32_t a, int32_t b);
/* Element `index` of an array of int16, int32 or int64. */
int64_t spindl_element(const void *x, uint32_t bytes, uint32_t index);
/* 2, 4 or 8 */
bool spindl_is_width(uint32_t bytes);
/* A site has seen values of this exponent, the bits of whose largest magnitude are those of `magnitude`. */
void spindl_report(spindl_site *site, int32_t exponent, uint64_t magnitude, uint32_t saturated);

/* A rounding in progress: the site's statistics until they are written back. */
typedef struct {
    spindl_site *site;
    uint64_t magnitude; /* has as many bits as the largest exact magnitude so far */
    int64_t half;       /* 2^(shift-1), or 0 */
    int32_t exponent;   /* of the exact values */
    int32_t shift;      /* e_site - exponent */
    int32_t before;     /* of the shift, in 0..62, the part above 16 */
    int32_t quick;      /* the rest */
    int32_t limit;      /* 2^(bits-1) - 1 */
    int32_t low, high;  /* bounds of the result: those of the activation within +-limit */
    int32_t fast;       /* RSH(x) within +-fast changes neither extent nor count, and is not above `high` */
    uint32_t width;     /* 2 * fast + 1, or 0 where there is no such range */
    uint32_t saturated;
    bool even;          /* ties go to the even neighbour */
} spindl_rounding;

/* rounding: the argument words site, bits, activation, ties. False if they are not legal. */
bool spindl_begin(spindl_rounding *r, spindl_context *context, const uint32_t *rounding, int32_t exponent);
/* Writes the statistics back; returns SPINDL_OK. */
int spindl_end(const spindl_rounding *r);
/* Rounds one exact value, |x| < 2^62. */
int32_t spindl_round(spindl_rounding *r, int64_t x);
int32_t spindl_round_slow(spindl_rounding *r, int64_t x);

/* The part of a rounding that loops keep in registers, for shifts up to 16: then a value that does not fit 32 bits is out
 * of range anyway. For other shifts `width` is 0, and every value takes the slow way. */
typedef struct {
    int32_t fast, low, shift, half;
    int32_t ties; /* the bits that are 0 in a tie to which the half is added; -1 where ties go up */
    uint32_t width;
} spindl_quick;

static inline spindl_quick spindl_quick_begin(const spindl_rounding *r) {
    const bool usable = r->before == 0;
    const int32_t ties = r->even ? (1 << r->quick) - 1 : -1;
    return (spindl_quick){r->fast, r->low, r->quick, usable ? (int32_t)r->half : 0, ties, usable ? r->width : 0};
}

static inline int32_t spindl_quick_slow(spindl_rounding *r, spindl_quick *quick, int64_t x) {
    const int32_t y = spindl_round_slow(r, x);
    if (r->before == 0) {
        quick->fast = r->fast;
        quick->width = r->width;
    }
    return y;
}

/* floor(v / 2^shift), made even where v came from a tie; with ties = -1 only v = 0 is touched, and stays 0. */
static inline int32_t spindl_quick_shift(const spindl_quick *quick, int32_t v) {
    const int32_t y = v >> quick->shift;
    return (v & quick->ties) == 0 ? y & ~1 : y;
}

/* Rounds a value to which the half is already added: v = x + quick->half, 32 bits. */
static inline int32_t spindl_quick32(spindl_rounding *r, spindl_quick *quick, int32_t v) {
    const int32_t y = spindl_quick_shift(quick, v);
    if (__builtin_expect((uint32_t)(y + quick->fast) < quick->width, 1)) return y < quick->low ? quick->low : y;
    return spindl_quick_slow(r, quick, (int64_t)v - quick->half);
}

#endif
