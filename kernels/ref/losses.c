/* Losses: gradient, loss in nats in Q16, hits. */
#include "pairs.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"
#include "tables.h"

SPINDL_SMALL static int64_t nats(int64_t bits) {
    return (bits * SPINDL_LN_2_Q16 + (1 << 15)) >> 16;
}

static void put(uint32_t address, uint32_t image, int64_t value) {
    if (address) SPINDL_POINTER(spindl_wide, address)[image] = value;
}

SPINDL_SMALL int spindl_cross_entropy(const spindl_cross_entropy_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->z_exponent];
    const uint32_t classes = a->classes;
    const int16_t *z = SPINDL_POINTER(const int16_t, a->z);
    const int32_t *labels = SPINDL_POINTER(const int32_t, a->labels);
    int16_t *dz = SPINDL_POINTER(int16_t, a->dz);
    if (!classes || !spindl_begin(&r, context, &a->site, -30)) return SPINDL_ERROR_ARGUMENT;
    const int32_t share = (int32_t)spindl_divide(2 * a->smoothing + classes, 2 * classes);
    for (uint32_t image = 0; image < a->images; image++) {
        const uint32_t label = (uint32_t)labels[image];
        if (label >= classes) return SPINDL_ERROR_RANGE;
        const spindl_softmax_sum sum = spindl_softmax_begin(z, classes, 1, exponent);
        int64_t expected = 0;
        for (uint32_t c = 0; c < classes; c++, z++) {
            const int32_t target = share + (c == label ? (1 << 30) - (int32_t)a->smoothing : 0);
            expected += (int64_t)target * spindl_powers((uint32_t)(sum.largest - *z), exponent);
            if (a->dz) *dz++ = (int16_t)spindl_round(&r, (int64_t)spindl_softmax_q30(&sum, *z, exponent) - target);
        }
        put(a->loss, image, nats((expected >> 30) + spindl_log2(sum.sum) - (30 << 16)));
        put(a->correct, image, sum.place == label);
    }
    return spindl_end(&r);
}

SPINDL_SMALL int spindl_squared_error(const spindl_squared_error_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t e_z = context->exponents[a->z_exponent];
    const int32_t exponent = spindl_common_exponent(e_z, SPINDL_LOSS_TARGET_EXPONENT);
    const int16_t *z = SPINDL_POINTER(const int16_t, a->z);
    const int32_t *target = SPINDL_POINTER(const int32_t, a->target);
    int16_t *dz = SPINDL_POINTER(int16_t, a->dz);
    if (!spindl_begin(&r, context, &a->site, exponent - SPINDL_LOSS_MULTIPLIER_BITS)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t image = 0; image < a->images; image++) {
        int64_t sum = 0;
        for (uint32_t f = a->features; f; f--) {
            const int64_t difference = spindl_rsh(*z++, exponent - e_z) -
                                       spindl_rsh(*target++, exponent - SPINDL_LOSS_TARGET_EXPONENT);
            if (a->dz) *dz++ = (int16_t)spindl_round(&r, spindl_clamp(difference, (int64_t)1 << 40) * a->multiplier);
            const int64_t q8 = spindl_clamped_rsh(difference, -8 - exponent, 1 << 20);
            sum += q8 * q8;
        }
        put(a->loss, image, (int64_t)spindl_quotient((uint64_t)sum, a->features));
    }
    return spindl_end(&r);
}

SPINDL_SMALL int spindl_binary_cross_entropy(const spindl_binary_cross_entropy_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->z_exponent];
    const int16_t *z = SPINDL_POINTER(const int16_t, a->z);
    const int32_t *target = SPINDL_POINTER(const int32_t, a->target);
    int16_t *dz = SPINDL_POINTER(int16_t, a->dz);
    if (!spindl_begin(&r, context, &a->site, -30)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t image = 0; image < a->images; image++) {
        int64_t sum = 0;
        bool same = true;
        for (uint32_t f = a->features; f; f--) {
            const int32_t v = *z++, t = *target++;
            if ((uint32_t)t > 1u << 16) return SPINDL_ERROR_RANGE;
            if (a->dz) {
                const int32_t difference = spindl_sigmoid_q30(v, exponent, 0) - (t << 14);
                const int64_t exact = spindl_rsh((int64_t)difference * (int32_t)a->multiplier, SPINDL_LOSS_MULTIPLIER_BITS);
                *dz++ = (int16_t)spindl_round(&r, exact);
            }
            const uint32_t magnitude = spindl_powers((uint32_t)(v < 0 ? -v : v), exponent);
            const uint32_t weight = (uint32_t)(v >= 0 ? (1 << 16) - t : t);
            sum += nats((int64_t)(((uint64_t)magnitude * weight) >> 16) +
                        spindl_log2((1u << 30) + spindl_decay(magnitude)) - (30 << 16));
            same = same && (v >= 0) == (t >= 1 << 15);
        }
        put(a->loss, image, spindl_floor_divide(sum + a->features / 2, a->features));
        put(a->correct, image, same);
    }
    return spindl_end(&r);
}
