/* Sites and exponents of a step. */
#include "rounding.h"
#include "spindl_kernels.h"
#include "spindl_numbers.h"

SPINDL_SMALL int spindl_begin_sites(const spindl_begin_sites_arguments *a, spindl_context *context) {
    const spindl_site_state *states = SPINDL_POINTER(const spindl_site_state, a->states);
    if (a->count > context->site_count) return SPINDL_ERROR_ARGUMENT;
    for (uint32_t i = 0; i < a->count; i++)
        context->sites[i] = (spindl_site){states[i].exponent, SPINDL_SITE_EMPTY, 0};
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_merge_sites(const spindl_merge_sites_arguments *a, spindl_context *context) {
    (void)context;
    spindl_site *y = SPINDL_POINTER(spindl_site, a->y);
    for (uint32_t row = 0; row < a->rows; row++) {
        const spindl_site *x = SPINDL_POINTER(const spindl_site, a->x + row * a->x_pitch);
        for (uint32_t i = 0; i < a->count; i++) {
            if (x[i].extent > y[i].extent) y[i].extent = x[i].extent;
            y[i].saturated += x[i].saturated;
        }
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_next_sites(const spindl_next_sites_arguments *a, spindl_context *context) {
    (void)context;
    spindl_site_state *states = SPINDL_POINTER(spindl_site_state, a->states);
    const spindl_site *sites = SPINDL_POINTER(const spindl_site, a->sites);
    for (uint32_t i = 0; i < a->count; i++) {
        spindl_site_state *state = &states[i];
        int16_t *history = &state->extent_0;
        int32_t largest = SPINDL_SITE_EMPTY;
        const bool empty = sites[i].extent == SPINDL_SITE_EMPTY;
        for (uint32_t k = SPINDL_SITE_HISTORY; k--;) {
            history[k] = empty ? SPINDL_SITE_EMPTY : k ? history[k - 1] : sites[i].extent;
            largest = spindl_most(largest, history[k]);
        }
        const int32_t next = empty ? state->exponent - SPINDL_SITE_ZERO_STEP
                                   : spindl_least(largest + state->headroom - (state->bits - 1), SPINDL_SITE_HIGHEST_EXPONENT);
        state->exponent = (int16_t)spindl_most(next, state->lowest);
    }
    return SPINDL_OK;
}

SPINDL_SMALL int spindl_exponents(const spindl_exponents_arguments *a, spindl_context *context) {
    const spindl_exponent_rule *rule = SPINDL_POINTER(const spindl_exponent_rule, a->rules);
    int32_t *state = SPINDL_POINTER(int32_t, a->state);
    for (uint32_t left = a->count; left; left--, rule++) {
        const uint32_t kind = rule->rule & 0xff;
        const bool to_state = rule->rule & SPINDL_EXPONENT_TARGET_STATE;
        int32_t x = 0, y = 0;
        if (rule->target >= (to_state ? a->state_count : context->exponent_count)) return SPINDL_ERROR_ARGUMENT;
        if (kind == SPINDL_EXPONENT_SITE) {
            if (rule->a >= context->site_count) return SPINDL_ERROR_ARGUMENT;
            x = context->sites[rule->a].exponent;
        } else if (kind == SPINDL_EXPONENT_STATE) {
            if (rule->a >= a->state_count) return SPINDL_ERROR_ARGUMENT;
            x = state[rule->a];
        } else if (kind != SPINDL_EXPONENT_CONSTANT) {
            if (rule->a >= context->exponent_count) return SPINDL_ERROR_ARGUMENT;
            x = context->exponents[rule->a];
        }
        if (kind == SPINDL_EXPONENT_RAISED) {
            if (rule->b >= a->state_count) return SPINDL_ERROR_ARGUMENT;
            x += state[rule->b] != 0;
        } else if (kind >= SPINDL_EXPONENT_SUM) {
            if (rule->b >= context->exponent_count) return SPINDL_ERROR_ARGUMENT;
            y = context->exponents[rule->b];
        }
        switch (kind) {
            case SPINDL_EXPONENT_CONSTANT:
            case SPINDL_EXPONENT_VALUE:
            case SPINDL_EXPONENT_SITE:
            case SPINDL_EXPONENT_STATE:
            case SPINDL_EXPONENT_RAISED: break;
            case SPINDL_EXPONENT_SUM: x += y; break;
            case SPINDL_EXPONENT_DIFFERENCE: x -= y; break;
            case SPINDL_EXPONENT_MINIMUM: x = spindl_least(x, y); break;
            case SPINDL_EXPONENT_MAXIMUM: x = spindl_most(x, y); break;
            case SPINDL_EXPONENT_ALIGN: x = spindl_common_exponent(x, y); break;
            default: return SPINDL_ERROR_ARGUMENT;
        }
        x += rule->constant;
        if (to_state) state[rule->target] = x;
        else context->exponents[rule->target] = (int16_t)x;
    }
    return SPINDL_OK;
}
