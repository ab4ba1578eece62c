#include "rounding.h"

#include "spindl_numbers.h"

int64_t spindl_clamp(int64_t x, int64_t limit) {
    return x > limit ? limit : x < -limit ? -limit : x;
}

uint64_t spindl_magnitude(int64_t x) {
    return x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
}

int32_t spindl_bits(uint64_t x) {
    const uint32_t high = (uint32_t)(x >> 32), low = (uint32_t)x;
    return high ? 64 - __builtin_clz(high) : low ? 32 - __builtin_clz(low) : 0;
}

SPINDL_SMALL int64_t spindl_rsh(int64_t x, int32_t shift) {
    if (shift > 62) return 0;
    if (shift > 0) return (x + ((int64_t)1 << (shift - 1))) >> shift;
    return (int64_t)((uint64_t)x << spindl_least(-shift, 63));
}

SPINDL_SMALL int64_t spindl_clamped_rsh(int64_t x, int32_t shift, int64_t limit) {
    if (shift < 0 && spindl_magnitude(x) > (uint64_t)limit >> spindl_least(-shift, 63)) return x < 0 ? -limit : limit;
    return spindl_clamp(spindl_rsh(x, shift), limit);
}

int32_t spindl_six(int32_t exponent) {
    return exponent < -12 ? 1 << 15 : (int32_t)spindl_rsh(6, exponent);
}

int32_t spindl_common_exponent(int32_t a, int32_t b) {
    return spindl_most(spindl_least(a, b), spindl_most(a, b) - SPINDL_ALIGNMENT);
}

int64_t spindl_element(const void *x, uint32_t bytes, uint32_t index) {
    if (bytes == 2) return ((const int16_t *)x)[index];
    return bytes == 4 ? ((const int32_t *)x)[index] : ((const spindl_wide *)x)[index];
}

bool spindl_is_width(uint32_t bytes) {
    return bytes == 2 || bytes == 4 || bytes == 8;
}

SPINDL_SMALL void spindl_report(spindl_site *site, int32_t exponent, uint64_t magnitude, uint32_t saturated) {
    const int32_t extent = magnitude ? exponent + spindl_bits(magnitude) : SPINDL_SITE_EMPTY;
    if (extent > site->extent) site->extent = (int16_t)extent;
    site->saturated += saturated;
}

/* With L = bit_length of the largest magnitude so far: |RSH(x, s)| < 2^(L-s) means |x| < 2^L. */
SPINDL_SMALL static void set_fast(spindl_rounding *r) {
    const int32_t bits = spindl_bits(r->magnitude) - r->shift;
    r->width = 0;
    if (bits < 0 || (uint32_t)r->shift > 62) return;
    r->fast = spindl_least(r->high, bits > 15 ? 32767 : (1 << bits) - 1);
    r->width = 2 * (uint32_t)r->fast + 1;
}

SPINDL_SMALL bool spindl_begin(spindl_rounding *r, spindl_context *context, const uint32_t *rounding,
                                 int32_t exponent) {
    const uint32_t number = rounding[0], bits = rounding[1], activation = rounding[2], ties = rounding[3];
    if (number >= context->site_count || bits < 2 || bits > 16 || activation > SPINDL_RELU6 || ties > 1) return false;
    spindl_site *const site = &context->sites[number];
    const int32_t shift = site->exponent - exponent, seen = site->extent - exponent;
    const int32_t inside = spindl_most(0, spindl_least(shift, 62));
    r->site = site;
    r->exponent = exponent;
    r->shift = shift;
    r->half = inside ? (int64_t)1 << (inside - 1) : 0;
    r->even = ties && shift > 0 && shift <= 62;
    r->quick = spindl_least(inside, 16);
    r->before = inside - r->quick;
    r->limit = r->high = (1 << (bits - 1)) - 1;
    r->low = activation ? 0 : -r->limit;
    if (activation == SPINDL_RELU6) r->high = spindl_least(r->limit, spindl_six(site->exponent));
    r->saturated = 0;
    r->magnitude = seen > 0 ? (uint64_t)1 << (spindl_least(seen, 63) - 1) : 0; /* EMPTY is far below */
    set_fast(r);
    return true;
}

SPINDL_SMALL int spindl_end(const spindl_rounding *r) {
    spindl_report(r->site, r->exponent, r->magnitude, r->saturated);
    return SPINDL_OK;
}

/* above: x rounded half up. */
SPINDL_SMALL __attribute__((noinline)) static int32_t settle_tie(const spindl_rounding *r, int64_t x, int32_t above) {
    return ((x + r->half) & (2 * r->half - 1)) == 0 ? above & ~1 : above;
}

SPINDL_SMALL __attribute__((noinline)) int32_t spindl_round_slow(spindl_rounding *r, int64_t x) {
    const uint64_t magnitude = spindl_magnitude(x);
    const int32_t limit = r->limit;
    int32_t y = (int32_t)spindl_clamped_rsh(x, r->shift, limit + 1);
    if (r->even) y = settle_tie(r, x, y); /* limit + 1 is even */
    if (y > limit || y < -limit) {
        r->saturated++;
        y = y < 0 ? -limit : limit;
    }
    if (magnitude & ~r->magnitude) {
        r->magnitude |= magnitude;
        set_fast(r);
    }
    return spindl_most(r->low, spindl_least(y, r->high));
}

int32_t spindl_round(spindl_rounding *r, int64_t x) {
    int64_t v = x + r->half;
    if (r->before) v >>= r->before; /* floor in two steps: what then does not fit 32 bits is out of range */
    const int32_t low = (int32_t)v;
    int32_t y = low >> r->quick;
    if (r->even) y = settle_tie(r, x, y);
    if ((int32_t)(v >> 32) == low >> 31 && (uint32_t)(y + r->fast) < r->width) return spindl_most(y, r->low);
    return spindl_round_slow(r, x);
}
