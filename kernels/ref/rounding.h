/* Rounding, as docs/numbers.md defines it, with the statistics that a site keeps. */
#ifndef SPINDL_ROUNDING_H
#define SPINDL_ROUNDING_H

#include <stdbool.h>

#include "spindl_kernel.h"

#define SPINDL_NO_SITE 0xffffffffu
#define SPINDL_EMPTY (-32768)
#define SPINDL_CHUNK 32 /* exact values that a kernel hands over at a time */

enum { SPINDL_RELU = 1, SPINDL_RELU6 = 2 };

/* int64 in memory: at multiples of 4, where LDRD would fault. */
typedef int64_t spindl_wide __attribute__((aligned(4)));
typedef uint32_t __attribute__((may_alias)) spindl_two; /* two int16 */
typedef struct {
    int32_t mantissa, exponent;
} spindl_pair;

static inline bool spindl_known(const spindl_context *context, uint32_t value) {
    return value < context->exponent_count;
}

static inline int32_t spindl_least(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t spindl_most(int32_t a, int32_t b) {
    return a > b ? a : b;
}

static inline int64_t spindl_clamp(int64_t x, int64_t limit) {
    return x > limit ? limit : x < -limit ? -limit : x;
}

static inline uint64_t spindl_magnitude(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

static inline int32_t spindl_bits32(uint32_t x) {
    return x ? 32 - __builtin_clz(x) : 0;
}

static inline int32_t spindl_bits(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32);
    return high ? 32 + spindl_bits32(high) : spindl_bits32((uint32_t)x);
}

/* RSH(x, shift) for |x| < 2^62 and results below 2^63. */
int64_t spindl_rsh(int64_t x, int32_t shift);

/* T(x, shift) = clamp(RSH(x, shift), 2^59) for |x| < 2^62: a term of an update. */
int64_t spindl_term(int64_t x, int32_t shift);

/* 6.0 at an exponent, 2^15 where no int16 reaches it. */
int32_t spindl_six(int32_t exponent);

/* The exponent that operands of a sum are aligned to. */
int32_t spindl_common_exponent(int32_t a, int32_t b);

/* A rounding in progress: the site's statistics until they are written back. */
typedef struct {
    spindl_site *site;   /* 0: values are not rounded */
    uint64_t magnitude;  /* has as many bits as the largest exact magnitude so far */
    int32_t exponent;    /* of the exact values */
    int32_t shift;       /* e_site - exponent */
    int32_t limit;       /* 2^(bits-1) - 1 */
    int32_t low, high;   /* bounds of the result: those of the activation within +-limit */
    int32_t fast;        /* RSH(x) within +-fast changes neither extent nor count, and is above `high` for no value */
    uint32_t width;      /* 2 * fast + 1, or 0 where there is no such range */
    uint32_t saturated;
} spindl_rounding;

/* False if the site, the bits or the activation are not legal. */
bool spindl_rounding_begin(spindl_rounding *rounding, spindl_context *context, uint32_t site, uint32_t bits,
                           uint32_t activation, int32_t exponent);
void spindl_rounding_end(const spindl_rounding *rounding);

/* Rounds one exact value, |x| < 2^62, with all statistics. */
int32_t spindl_round_slow(spindl_rounding *rounding, int64_t x);

/* Rounds `count` exact values to int16 at y, or without a site stores them as int64; returns what is behind the last.
 * y may be x. */
void *spindl_round_chunk(spindl_rounding *rounding, const spindl_wide *x, uint32_t count, void *y);

/* The part of a rounding that loops keep in registers. Usable where 0 <= shift <= 16: then a value that does not fit 32 bits
 * is out of range anyway. */
typedef struct {
    int32_t fast, low, shift, half;
    uint32_t width;
} spindl_quick;

static inline bool spindl_is_quick(const spindl_rounding *rounding) {
    return rounding->site && rounding->shift >= 0 && rounding->shift <= 16;
}

static inline spindl_quick spindl_quick_begin(const spindl_rounding *rounding) {
    const int32_t half = rounding->shift > 0 ? 1 << (rounding->shift - 1) : 0;
    return (spindl_quick){rounding->fast, rounding->low, rounding->shift, half, rounding->width};
}

static inline int32_t spindl_quick_slow(spindl_rounding *rounding, spindl_quick *quick, int64_t x) {
    const int32_t y = spindl_round_slow(rounding, x);
    quick->fast = rounding->fast;
    quick->width = rounding->width;
    return y;
}

/* Rounds a value to which the half is already added: v = x + quick->half, 32 bits. */
static inline int32_t spindl_quick32(spindl_rounding *rounding, spindl_quick *quick, int32_t v) {
    const int32_t y = v >> quick->shift;
    if (__builtin_expect((uint32_t)(y + quick->fast) < quick->width, 1)) return y < quick->low ? quick->low : y;
    return spindl_quick_slow(rounding, quick, (int64_t)v - quick->half);
}

/* The same for 64 bits. */
static inline int32_t spindl_quick64(spindl_rounding *rounding, spindl_quick *quick, int64_t v) {
    const int32_t low = (int32_t)v;
    if (__builtin_expect((int32_t)(v >> 32) == low >> 31, 1)) {
        const int32_t y = low >> quick->shift;
        if (__builtin_expect((uint32_t)(y + quick->fast) < quick->width, 1)) return y < quick->low ? quick->low : y;
    }
    return spindl_quick_slow(rounding, quick, v - quick->half);
}

#endif
