#include "rounding.h"

#include "spindl_numbers.h"

int64_t spindl_rsh(int64_t x, int32_t shift) {
    if (shift > 62) return 0;
    if (shift > 0) return (x + ((int64_t)1 << (shift - 1))) >> shift;
    return (int64_t)((uint64_t)x << spindl_least(-shift, 63));
}

int64_t spindl_term(int64_t x, int32_t shift) {
    if (shift < 0) { /* clamped before it is shifted, with one to spare */
        shift = spindl_most(shift, -60);
        x = spindl_clamp(x, (SPINDL_TERM_LIMIT >> -shift) + 1);
    }
    return spindl_clamp(spindl_rsh(x, shift), SPINDL_TERM_LIMIT);
}

int32_t spindl_six(int32_t exponent) {
    return exponent < -12 ? 1 << 15 : (int32_t)spindl_rsh(6, exponent);
}

int32_t spindl_common_exponent(int32_t a, int32_t b) {
    return spindl_most(spindl_least(a, b), spindl_most(a, b) - SPINDL_ALIGNMENT);
}

/* With L = bit_length of the largest magnitude so far: |RSH(x, s)| < 2^(L-s) means |x| < 2^L. */
static void set_fast(spindl_rounding *rounding) {
    const int32_t bits = spindl_bits(rounding->magnitude) - rounding->shift;
    rounding->width = 0;
    if (bits < 0 || rounding->shift < 0) return;
    rounding->fast = spindl_least(rounding->high, bits > 15 ? 32767 : (1 << bits) - 1);
    rounding->width = 2 * (uint32_t)rounding->fast + 1;
}

bool spindl_rounding_begin(spindl_rounding *rounding, spindl_context *context, uint32_t site, uint32_t bits,
                           uint32_t activation, int32_t exponent) {
    *rounding = (spindl_rounding){.exponent = exponent};
    if (site == SPINDL_NO_SITE) return activation == 0;
    if (site >= context->site_count || bits < 2 || bits > 16 || activation > SPINDL_RELU6) return false;
    spindl_site *const at = &context->sites[site];
    rounding->site = at;
    rounding->shift = at->exponent - exponent;
    rounding->limit = rounding->high = (1 << (bits - 1)) - 1;
    rounding->low = activation ? 0 : -rounding->limit;
    if (activation == SPINDL_RELU6) rounding->high = spindl_least(rounding->limit, spindl_six(at->exponent));
    const int32_t seen = at->extent == SPINDL_SITE_EMPTY ? 0 : at->extent - exponent;
    if (seen > 0) rounding->magnitude = (uint64_t)1 << (spindl_least(seen, 63) - 1);
    set_fast(rounding);
    return true;
}

void spindl_rounding_end(const spindl_rounding *rounding) {
    spindl_site *const site = rounding->site;
    if (!site || !rounding->magnitude) return;
    const int32_t extent = rounding->exponent + spindl_bits(rounding->magnitude);
    if (extent > site->extent) site->extent = (int16_t)extent;
    site->saturated += rounding->saturated;
}

int32_t spindl_round_slow(spindl_rounding *rounding, int64_t x) {
    const uint64_t magnitude = spindl_magnitude(x);
    const int32_t shift = rounding->shift, limit = rounding->limit;
    int64_t y;
    if (shift >= 0) {
        y = spindl_rsh(x, shift);
    } else if (magnitude > (uint64_t)limit >> spindl_least(-shift, 16)) {
        y = x < 0 ? -limit - 1 : limit + 1; /* any value that is clamped */
    } else {
        y = magnitude ? (int64_t)((uint64_t)x << -shift) : 0;
    }
    if (y > limit || y < -limit) {
        rounding->saturated++;
        y = spindl_clamp(y, limit);
    }
    if (magnitude & ~rounding->magnitude) {
        rounding->magnitude |= magnitude;
        set_fast(rounding);
    }
    return spindl_most(rounding->low, spindl_least((int32_t)y, rounding->high));
}

void *spindl_round_chunk(spindl_rounding *rounding, const spindl_wide *x, uint32_t count, void *to) {
    if (!rounding->site) {
        spindl_wide *y = to;
        for (; count; count--) *y++ = *x++;
        return y;
    }
    int16_t *y = to;
    if (spindl_is_quick(rounding)) {
        spindl_quick quick = spindl_quick_begin(rounding);
        for (; count; count--) *y++ = (int16_t)spindl_quick64(rounding, &quick, *x++ + quick.half);
    } else if (rounding->shift > 16 && rounding->shift <= 62) { /* floor in two steps: first to a shift of 16 */
        const int32_t before = rounding->shift - 16;
        const int64_t half = (int64_t)1 << (rounding->shift - 1);
        for (; count; count--) {
            const int64_t v = (*x + half) >> before;
            const int32_t low = (int32_t)v, q = low >> 16;
            *y++ = (int16_t)((int32_t)(v >> 32) == low >> 31 && (uint32_t)(q + rounding->fast) < rounding->width
                                 ? spindl_most(q, rounding->low)
                                 : spindl_round_slow(rounding, *x));
            x++;
        }
    } else {
        for (; count; count--) *y++ = (int16_t)spindl_round_slow(rounding, *x++);
    }
    return y;
}
