/* Sigmoid, tanh, softmax and their gradients. */
#include "pairs.h"
#include "spindl_kernels.h"
#include "tables.h"

SPINDL_SMALL int spindl_sigmoid(const spindl_sigmoid_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->x_exponent];
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    if (!spindl_begin(&r, context, &a->site, -30)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t n = a->count; n; n--) *y++ = (int16_t)spindl_round(&r, spindl_sigmoid_q30(*x++, exponent, a->hyperbolic));
    return spindl_end(&r);
}

SPINDL_SMALL int spindl_sigmoid_gradient(const spindl_sigmoid_gradient_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t e_y = context->exponents[a->y_exponent];
    const int16_t *dy = SPINDL_POINTER(const int16_t, a->dy), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *dx = SPINDL_POINTER(int16_t, a->dx);
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->dy_exponent] + 2 * e_y)) return SPINDL_ERROR_ARGUMENT;
    const bool hyperbolic = a->hyperbolic;
    const int64_t one = spindl_rsh(1, e_y), bound = hyperbolic ? one * one : one;
    for (uint32_t n = a->count; n; n--) {
        const int32_t g = *dy++, v = *y++;
        *dx++ = (int16_t)spindl_round(&r, (bound - v * (hyperbolic ? v : 1)) * (hyperbolic ? g : g * v));
    }
    return spindl_end(&r);
}

SPINDL_SMALL int spindl_softmax(const spindl_softmax_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t exponent = context->exponents[a->x_exponent];
    const int16_t *x = SPINDL_POINTER(const int16_t, a->x);
    int16_t *y = SPINDL_POINTER(int16_t, a->y);
    if (!spindl_begin(&r, context, &a->site, -30)) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t o = 0; o < a->outer; o++) {
        for (uint32_t i = 0; i < a->inner; i++) {
            const spindl_softmax_sum sum = spindl_softmax_begin(x + i, a->length, a->inner, exponent);
            for (uint32_t at = i; at < a->length * a->inner; at += a->inner)
                y[at] = (int16_t)spindl_round(&r, spindl_softmax_q30(&sum, x[at], exponent));
        }
        x += a->length * a->inner;
        y += a->length * a->inner;
    }
    return spindl_end(&r);
}

SPINDL_SMALL int spindl_softmax_gradient(const spindl_softmax_gradient_arguments *a, spindl_context *context) {
    spindl_rounding r;
    const int32_t e_y = context->exponents[a->y_exponent];
    const int16_t *dy = SPINDL_POINTER(const int16_t, a->dy), *y = SPINDL_POINTER(const int16_t, a->y);
    int16_t *dx = SPINDL_POINTER(int16_t, a->dx);
    if (!spindl_begin(&r, context, &a->site, context->exponents[a->dy_exponent] + 2 * e_y)) return SPINDL_ERROR_ARGUMENT;
    const int64_t one = spindl_rsh(1, e_y);
    for (uint32_t o = 0; o < a->outer; o++) {
        for (uint32_t i = 0; i < a->inner; i++) {
            int64_t total = 0;
            const uint32_t start = o * a->length * a->inner + i, end = start + a->length * a->inner;
            for (uint32_t at = start; at < end; at += a->inner) total += dy[at] * y[at];
            for (uint32_t at = start; at < end; at += a->inner)
                dx[at] = (int16_t)spindl_round(&r, (dy[at] * one - total) * y[at]);
        }
    }
    return spindl_end(&r);
}
