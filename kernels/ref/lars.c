/* The rate of LARS (docs/numbers.md, "Optimisers"). */
#include "pairs.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

/* The root of a squared norm; s as in squared_norm. */
SPINDL_SMALL static spindl_pair norm(uint32_t sum, uint32_t largest, int32_t exponent) {
    const int32_t shift = spindl_most(0, *SPINDL_POINTER(const int32_t, largest) - (SPINDL_NORM_BITS - 1));
    return spindl_square_root(*SPINDL_POINTER(const spindl_wide, sum), 2 * (exponent + shift));
}

SPINDL_SMALL int spindl_lars_rate(const spindl_lars_rate_arguments *a, spindl_context *context) {
    const spindl_pair rate = *SPINDL_POINTER(const spindl_pair_in_memory, a->rate);
    const spindl_pair decay = *SPINDL_POINTER(const spindl_pair_in_memory, a->decay);
    const spindl_pair weight = norm(a->weight_norm, a->weight_largest, context->exponents[a->weight_exponent]);
    const spindl_pair gradient = norm(a->gradient_norm, a->gradient_largest, context->exponents[a->gradient_exponent]);
    const spindl_pair eps = spindl_pair_of(a->eps_mantissa, a->eps_exponent);
    const spindl_pair eta = spindl_pair_of(a->eta_mantissa, a->eta_exponent);
    spindl_pair y = rate;
    if (weight && gradient) {
        const spindl_pair full = spindl_normalise((int64_t)spindl_mantissa(rate) * a->batch, spindl_exponent(rate));
        const spindl_pair decayed =
            spindl_multiply(spindl_normalise(spindl_mantissa(decay), spindl_exponent(decay)), weight);
        const spindl_pair below = spindl_add_pairs(spindl_add_pairs(gradient, decayed), eps);
        const spindl_pair above = spindl_multiply(spindl_multiply(full, eta), weight);
        if (spindl_mantissa(below) <= 0) return SPINDL_ERROR_RANGE;
        const spindl_pair exact = spindl_divide_pair(above, (uint32_t)below, spindl_exponent(below));
        int32_t rounded = ((spindl_mantissa(exact) >> 15) + 1) >> 1, exponent = spindl_exponent(exact) + 16;
        if (rounded == 1 << 15) { /* the carry into a 16th bit */
            rounded >>= 1;
            exponent++;
        }
        y = above ? spindl_pair_of(rounded, exponent) : 0;
    }
    *SPINDL_POINTER(spindl_pair_in_memory, a->y) = y;
    return SPINDL_OK;
}
