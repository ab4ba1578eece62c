/* The optimiser step (docs/numbers.md, "Optimisers"; names as there). */
#include "pairs.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

#define LARGEST32 0x7fffffff

/* T(factor * x, shift) = clamp(RSH(factor * x, shift), 2^59), its usual case prepared: no clamp can happen, and a shift to
 * the left goes into the factor. */
typedef struct {
    int64_t half;
    int32_t usual, right; /* right < 0: not usual */
    int32_t factor, shift;
} term;

/* most_left: by how much factor * x may be shifted to the left and stay below 2^59. */
SPINDL_SMALL static term term_of(int32_t factor, int32_t shift, int32_t most_left) {
    term t = {0, factor, shift, factor, shift};
    if (shift > 62 || -shift > most_left) {
        t.right = -1;
    } else if (shift > 0) {
        t.half = (int64_t)1 << (shift - 1);
    } else {
        t.right = 0;
        t.usual = (int32_t)((uint32_t)factor << -shift);
    }
    return t;
}

/* Of a scalar, 15 bits: 2^15 * 2^31 * 2^12 is below 2^59. */
SPINDL_SMALL static term scaled(uint32_t scalar, int32_t shift) {
    const spindl_pair s = *SPINDL_POINTER(const spindl_pair_in_memory, scalar);
    return term_of(spindl_mantissa(s), shift - spindl_exponent(s), 12);
}

__attribute__((noinline)) static int64_t apply_unusual(const term *t, int32_t x) {
    return spindl_clamped_rsh((int64_t)t->factor * x, t->shift, SPINDL_TERM_LIMIT);
}

static inline int64_t apply(const term *t, int32_t x) {
    if (t->right < 0) return apply_unusual(t, x);
    const int64_t v = (int64_t)t->usual * x + t->half;
    return v >> t->right;
}

SPINDL_SMALL int spindl_direction(const spindl_direction_arguments *a, spindl_context *context) {
    if (a->site >= context->site_count) return SPINDL_ERROR_ARGUMENT;
    spindl_site *const site = &context->sites[a->site];
    const int32_t *master = SPINDL_POINTER(const int32_t, a->master);
    const void *gradient = SPINDL_POINTER(const void, a->gradient);
    spindl_wide *y = SPINDL_POINTER(spindl_wide, a->y);
    term decayed = {0};
    int32_t shift = 0;
    uint64_t magnitude = 0;
    if (a->master)
        decayed = scaled(a->decay, site->exponent - context->exponents[a->master_exponent]);
    if (a->gradient) shift = site->exponent - context->exponents[a->gradient_exponent];
    for (uint32_t i = 0; i < a->count; i++) {
        int64_t d = 0;
        if (a->gradient) d = spindl_clamped_rsh(spindl_element(gradient, a->gradient_bytes, i), shift, SPINDL_TERM_LIMIT);
        if (a->master) d += apply(&decayed, master[i]);
        if (!a->first) d += y[i];
        y[i] = d;
        magnitude |= spindl_magnitude(d);
    }
    if (a->watch) spindl_report(site, site->exponent, magnitude, 0);
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_scale_direction(const spindl_scale_direction_arguments *a, spindl_context *context) {
    const spindl_pair rate = *SPINDL_POINTER(const spindl_pair_in_memory, a->rate);
    const int32_t shift = context->sites[a->site].exponent - spindl_exponent(rate) - context->exponents[a->step_exponent];
    const spindl_wide *step = SPINDL_POINTER(const spindl_wide, a->step);
    spindl_wide *y = SPINDL_POINTER(spindl_wide, a->y);
    for (uint32_t i = 0; i < a->count; i++)
        y[i] = spindl_clamped_rsh(spindl_clamp(step[i], (int64_t)1 << 46) * spindl_mantissa(rate), shift, SPINDL_TERM_LIMIT);
    return SPINDL_OK;
}

/* Keeps the statistics of what saturate32 sees. */
typedef struct {
    uint64_t magnitude; /* of those that are clamped */
    uint32_t small;     /* of the others */
    uint32_t clamped;
} watch;

static int32_t saturated(watch *w, int64_t x) {
    const int32_t low = (int32_t)x;
    if ((int32_t)(x >> 32) == low >> 31 && low != -LARGEST32 - 1) {
        w->small |= (uint32_t)(low < 0 ? -low : low);
        return low;
    }
    w->magnitude |= spindl_magnitude(x);
    w->clamped++;
    return x < 0 ? -LARGEST32 : LARGEST32;
}

SPINDL_LEAN int spindl_update(const spindl_update_arguments *a, spindl_context *context) {
    if (a->site >= context->site_count || !spindl_is_width(a->gradient_bytes)) return SPINDL_ERROR_ARGUMENT;
    spindl_site *const site = &context->sites[a->site];
    const int32_t exponent = site->exponent, e_master = context->exponents[a->master_exponent];
    const int32_t shift = a->ready ? 0 : exponent - context->exponents[a->gradient_exponent];
    const bool narrow = a->gradient_bytes == 4, ready = a->ready, fixed = a->fixed, nesterov = a->nesterov;
    const term gradient_term = term_of(1, shift, 28);
    const term rated = scaled(a->rate, e_master - exponent);
    term decayed = {0}, kept = {0}, again = {0};
    if (a->decay) decayed = scaled(a->decay, exponent - e_master);
    if (a->velocity) {
        kept = scaled(a->factor, exponent - context->exponents[a->velocity_exponent]);
        again = scaled(a->factor, 0);
    }
    const int32_t *master = SPINDL_POINTER(const int32_t, a->master);
    const void *gradient = SPINDL_POINTER(const void, a->gradient);
    int32_t *velocity = SPINDL_POINTER(int32_t, a->velocity), *change = SPINDL_POINTER(int32_t, a->change);
    int32_t *y = SPINDL_POINTER(int32_t, a->y);
    const bool moves = a->velocity != 0, keeps = a->change != 0;
    const uint32_t count = a->count;
    watch w = {0, 0, 0}, unseen = {0, 0, 0};
    bool overflow = false;
    for (uint32_t i = 0; i < count; i++) {
        int64_t d;
        if (narrow) {
            d = apply(&gradient_term, ((const int32_t *)gradient)[i]);
        } else {
            d = ((const spindl_wide *)gradient)[i];
            if (!ready) d = spindl_clamped_rsh(d, shift, SPINDL_TERM_LIMIT);
        }
        if (decayed.factor) d += apply(&decayed, master[i]);
        int32_t u = saturated(&w, moves ? apply(&kept, velocity[i]) + d : d);
        if (moves) velocity[i] = u;
        if (nesterov) u = saturated(&unseen, apply(&again, u) + d);
        if (keeps) change[i] = u;
        const int64_t v = master[i] - apply(&rated, u);
        if (v > SPINDL_OVERFLOW_THRESHOLD || v < -(int64_t)SPINDL_OVERFLOW_THRESHOLD) overflow = true;
        y[i] = fixed ? saturated(&unseen, v) : (int32_t)(uint32_t)v;
    }
    if (overflow && !fixed) *SPINDL_POINTER(int32_t, a->overflow) = 1;
    spindl_report(site, exponent, w.magnitude | w.small, w.clamped);
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_halve(const spindl_halve_arguments *a, spindl_context *context) {
    const int32_t shift = context->exponents[a->master_exponent] - context->sites[a->site].exponent;
    const term rated = scaled(a->rate, shift);
    const int32_t *master = SPINDL_POINTER(const int32_t, a->master), *step = SPINDL_POINTER(const int32_t, a->step);
    int32_t *y = SPINDL_POINTER(int32_t, a->y);
    for (uint32_t i = 0; i < a->count; i++) {
        const int64_t change = apply(&rated, step[i]);
        const int32_t before = (int32_t)((uint32_t)master[i] + (uint32_t)change);
        y[i] = (int32_t)spindl_clamp((before - change + 1) >> 1, LARGEST32);
    }
    return SPINDL_OK;
}
