/* Dropout: draws are hashes of where they are used (docs/numbers.md, "Random draws"). */
#include "rounding.h"
#include "spindl_kernels.h"

static uint32_t hash(uint32_t x) {
    x += 0x9e3779b9u;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

SPINDL_LEAN int spindl_dropout(const spindl_dropout_arguments *a, spindl_context *context) {
    spindl_rounding r;
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->x_exponent] - 14)) return SPINDL_ERROR_ARGUMENT;
    const int32_t *positions = SPINDL_POINTER(const int32_t, a->positions);
    const uint32_t seed = *SPINDL_POINTER(const uint32_t, a->seed), step = *SPINDL_POINTER(const uint32_t, a->step);
    const int32_t multiplier = (int32_t)a->multiplier;
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    for (uint32_t image = 0; image < a->images; image++) {
        const uint32_t before = hash(hash(hash(hash(seed) ^ step) ^ a->place) ^ (uint32_t)positions[image]);
        for (uint32_t i = 0; i < a->elements; i++) {
            const int32_t v = *x++;
            const bool kept = hash(before ^ (a->first_element + i)) >= a->threshold;
            *y++ = (int16_t)spindl_round(&r, kept ? (int64_t)multiplier * v : 0);
        }
    }
    return spindl_end(&r);
}
