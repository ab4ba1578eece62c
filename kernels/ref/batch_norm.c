/* BatchNorm's numbers per channel (docs/numbers.md, "Batch normalisation"; names as there). */
#include "pairs.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

#define FRACTION SPINDL_BATCH_NORM_FRACTION_BITS
#define WIDES(name) const spindl_wide *name = SPINDL_POINTER(const spindl_wide, a->name)
#define PAIRS(name) const spindl_pair_in_memory *name = SPINDL_POINTER(const spindl_pair_in_memory, a->name)
#define WIDE_RESULT spindl_wide *y = SPINDL_POINTER(spindl_wide, a->y)
#define PAIR_RESULT spindl_pair_in_memory *y = SPINDL_POINTER(spindl_pair_in_memory, a->y)
#define INT32S(name) const int32_t *name = SPINDL_POINTER(const int32_t, a->name)
#define SITE_EXPONENT (context->sites[a->site].exponent)

/* y = n * x - a * b */
SPINDL_SMALL static void centred(spindl_int128 *y, uint32_t n, int64_t x, int64_t a, int64_t b) {
    spindl_int128 product;
    spindl_product(&product, n, x);
    spindl_product(y, a, b);
    spindl_minus(y);
    spindl_plus(y, &product);
}

SPINDL_SMALL static int64_t mean_q16(int64_t s1, uint32_t count) {
    return spindl_floor_divide(s1 * (1 << FRACTION) + (count >> 1), count);
}

SPINDL_SMALL static spindl_pair moving_average(spindl_pair running, spindl_pair new, uint32_t momentum) {
    const spindl_pair difference = spindl_add_pairs(new, spindl_negate(running));
    const int64_t step = (int64_t)spindl_mantissa(difference) * (int32_t)momentum;
    return spindl_add_pairs(running, spindl_normalise(step, spindl_exponent(difference) - 15));
}

/* beta at another exponent, less RSH(scale * mean, 16). */
SPINDL_SMALL static int64_t offset_of(int32_t beta, int32_t shift, int32_t scale, int64_t mean) {
    const int64_t product = scale * mean;
    return spindl_clamped_rsh(beta, shift, SPINDL_BATCH_NORM_OFFSET_LIMIT) - spindl_rsh(product, FRACTION);
}

SPINDL_SMALL int spindl_inverse_deviation(const spindl_inverse_deviation_arguments *a, spindl_context *context) {
    WIDES(s1);
    WIDES(s2);
    PAIR_RESULT;
    const int32_t exponent = context->exponents[a->s1_exponent];
    const int32_t lifted = spindl_most(exponent, SPINDL_BATCH_NORM_LOWEST_EXPONENT);
    spindl_int128 eps;
    spindl_product(&eps, (int64_t)a->count * a->count, a->eps_mantissa);
    spindl_rsh128(&eps, 2 * lifted - a->eps_exponent);
    for (uint32_t c = 0; c < a->channels; c++) {
        spindl_int128 total;
        centred(&total, a->count, s2[c], s1[c], s1[c]);
        spindl_rsh128(&total, 2 * (lifted - exponent));
        spindl_plus(&total, &eps);
        if (total.high == 0 && total.low == 0) total.low = 1;
        const spindl_pair inverse = spindl_inverse_square_root(&total, 2 * lifted);
        y[c] = spindl_normalise((int64_t)spindl_mantissa(inverse) * a->count, spindl_exponent(inverse));
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_running_inverse_deviation(const spindl_running_inverse_deviation_arguments *a,
                                                    spindl_context *context) {
    (void)context;
    PAIRS(variance);
    PAIR_RESULT;
    const spindl_pair eps = spindl_pair_of(a->eps_mantissa, a->eps_exponent);
    for (uint32_t c = 0; c < a->channels; c++) {
        const spindl_pair total = spindl_add_pairs(variance[c], eps);
        spindl_int128 wide = {(uint32_t)total, 0};
        if (spindl_mantissa(total) <= 0) return SPINDL_ERROR_RANGE;
        y[c] = spindl_inverse_square_root(&wide, spindl_exponent(total));
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_batch_norm_scale(const spindl_batch_norm_scale_arguments *a, spindl_context *context) {
    INT32S(gamma);
    PAIRS(inverse);
    WIDE_RESULT;
    const int32_t exponent = SITE_EXPONENT - FRACTION - context->exponents[a->reference_exponent];
    for (uint32_t c = 0; c < a->channels; c++) {
        const spindl_pair g = spindl_normalise(gamma[c], context->exponents[a->gamma_exponent]);
        y[c] = spindl_to_integer(spindl_multiply(g, inverse[c]), exponent, SPINDL_BATCH_NORM_SCALE_LIMIT);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_batch_norm_offset(const spindl_batch_norm_offset_arguments *a, spindl_context *context) {
    INT32S(beta);
    WIDES(scale);
    WIDES(s1);
    WIDE_RESULT;
    const int32_t shift = SITE_EXPONENT - FRACTION - context->exponents[a->beta_exponent];
    for (uint32_t c = 0; c < a->channels; c++)
        y[c] = offset_of(beta[c], shift, (int32_t)scale[c], mean_q16(s1[c], a->count));
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_running_offset(const spindl_running_offset_arguments *a, spindl_context *context) {
    INT32S(beta);
    WIDES(scale);
    PAIRS(mean);
    WIDE_RESULT;
    const int32_t exponent = SITE_EXPONENT - FRACTION, shift = exponent - context->exponents[a->beta_exponent];
    const int32_t mean_exponent = exponent - context->exponents[a->scale_exponent] - FRACTION;
    for (uint32_t c = 0; c < a->channels; c++)
        y[c] = offset_of(beta[c], shift, (int32_t)scale[c],
                         spindl_to_integer(mean[c], mean_exponent, SPINDL_BATCH_NORM_SCALE_LIMIT));
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_gamma_gradient(const spindl_gamma_gradient_arguments *a, spindl_context *context) {
    WIDES(sg);
    WIDES(sgx);
    WIDES(s1);
    PAIRS(inverse);
    PAIR_RESULT;
    for (uint32_t c = 0; c < a->channels; c++) {
        spindl_int128 total;
        centred(&total, a->count, sgx[c], s1[c], sg[c]);
        const spindl_pair sum = spindl_normalise128(&total, context->exponents[a->sgx_exponent]);
        y[c] = spindl_divide_pair(spindl_multiply(sum, inverse[c]), a->count, 0);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_running_gamma_gradient(const spindl_running_gamma_gradient_arguments *a,
                                                 spindl_context *context) {
    WIDES(sg);
    WIDES(sgx);
    PAIRS(mean);
    PAIRS(inverse);
    PAIR_RESULT;
    const int32_t e_sg = context->exponents[a->sg_exponent], e_sgx = context->exponents[a->sgx_exponent];
    for (uint32_t c = 0; c < a->channels; c++) {
        const spindl_pair shift = spindl_negate(spindl_multiply(spindl_normalise(sg[c], e_sg), mean[c]));
        y[c] = spindl_multiply(spindl_add_pairs(spindl_normalise(sgx[c], e_sgx), shift), inverse[c]);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_batch_norm_slope(const spindl_batch_norm_slope_arguments *a, spindl_context *context) {
    INT32S(gamma);
    PAIRS(inverse);
    PAIRS(gradient);
    WIDE_RESULT;
    const int32_t exponent = SITE_EXPONENT - FRACTION - context->exponents[a->s1_exponent];
    for (uint32_t c = 0; c < a->channels; c++) {
        spindl_pair slope = spindl_normalise(gamma[c], context->exponents[a->gamma_exponent]);
        slope = spindl_multiply(spindl_multiply(spindl_multiply(slope, inverse[c]), inverse[c]), gradient[c]);
        slope = spindl_negate(spindl_divide_pair(slope, a->count, 0));
        y[c] = spindl_to_integer(slope, exponent, SPINDL_BATCH_NORM_SCALE_LIMIT);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_batch_norm_gradient_offset(const spindl_batch_norm_gradient_offset_arguments *a,
                                                     spindl_context *context) {
    (void)context;
    WIDES(scale);
    WIDES(slope);
    WIDES(sg);
    WIDES(s1);
    WIDE_RESULT;
    const spindl_int128 count = {a->count, 0};
    for (uint32_t c = 0; c < a->channels; c++) {
        spindl_int128 twice;
        spindl_product(&twice, 2 * scale[c], sg[c]);
        spindl_plus(&twice, &count);
        y[c] = -spindl_floor_divide128(&twice, 2 * a->count) -
               spindl_rsh((int32_t)slope[c] * mean_q16(s1[c], a->count), FRACTION);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_running_mean(const spindl_running_mean_arguments *a, spindl_context *context) {
    PAIRS(running);
    WIDES(s1);
    PAIR_RESULT;
    for (uint32_t c = 0; c < a->channels; c++) {
        const spindl_pair sum = spindl_normalise(s1[c], context->exponents[a->s1_exponent]);
        y[c] = moving_average(running[c], spindl_divide_pair(sum, a->count, 0), a->momentum);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_running_variance(const spindl_running_variance_arguments *a, spindl_context *context) {
    PAIRS(running);
    WIDES(s1);
    WIDES(s2);
    PAIR_RESULT;
    for (uint32_t c = 0; c < a->channels; c++) {
        spindl_int128 total;
        centred(&total, a->count, s2[c], s1[c], s1[c]);
        spindl_pair new = spindl_normalise128(&total, 2 * context->exponents[a->s1_exponent]);
        new = spindl_divide_pair(spindl_divide_pair(new, a->count, 0), a->count > 1 ? a->count - 1 : 1, 0);
        y[c] = moving_average(running[c], new, a->momentum);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_pair_to_wide(const spindl_pair_to_wide_arguments *a, spindl_context *context) {
    PAIRS(x);
    WIDE_RESULT;
    for (uint32_t c = 0; c < a->channels; c++)
        y[c] = spindl_to_integer(x[c], SITE_EXPONENT, SPINDL_BATCH_NORM_OFFSET_LIMIT);
    return SPINDL_OK;
}
