/* options: -Oz -mthumb */
/* Begins, repeats and ends sweeps. */
#include "call.h"

_Static_assert(offsetof(spindl_sweep, start) == SWEEP_START && offsetof(spindl_sweep, b) == SWEEP_B &&
                   offsetof(spindl_sweep, out) == SWEEP_OUT && offsetof(spindl_sweep, next_row) == SWEEP_NEXT_ROW &&
                   offsetof(spindl_sweep, threshold) == SWEEP_THRESHOLD &&
                   offsetof(spindl_sweep, half) == SWEEP_HALF &&
                   offsetof(spindl_sweep, largest) == SWEEP_LARGEST && offsetof(spindl_sweep, sums) == SWEEP_SUMS,
               "sweep.h tells the assembler where the fields lie");
_Static_assert(sizeof(spindl_sweep) <= SCRATCH_SWEEP_BYTES, "scratch.h keeps room for it");

void spindl_set_threshold(spindl_sweep *s) {
    const int32_t seen = spindl_bits(s->rounding->magnitude);
    const int32_t inside = s->shift + spindl_bits((uint32_t)s->rounding->limit) - 1;
    s->threshold = s->shift >= seen ? -1 : (int32_t)((1u << spindl_least(spindl_least(seen - 1, inside), 31)) - 1);
    /* A magnitude of 31 bits may be a sum that wrapped without its half. */
    s->largest = (1u << spindl_least(spindl_least(seen, inside), 30)) - 1;
}

void spindl_sweep_slow(spindl_sweep *s) {
    const bool narrow = s->kind <= SWEEP_ROUND_RELU;
    uint8_t *row = s->out;
    s->out += s->out_step;
    for (uint32_t i = 0; i < 8; i++) {
        if (s->valid >> i & 1) {
            const int32_t sum = s->sums[i];
            if (s->kind == SWEEP_ADD64) {
                ((spindl_wide *)row)[i & 1] += sum;
            } else {
                const int32_t y = spindl_round(s->rounding, (int64_t)sum - s->half);
                if (narrow) ((int16_t *)row)[i & 1] = (int16_t)y;
                else ((int32_t *)row)[i & 1] += y;
            }
        }
        if (i & 1 && i < 7) row += s->next_row[i >> 1] + (narrow ? 2 : 0);
    }
    if (s->kind != SWEEP_ADD64) spindl_set_threshold(s);
}

int spindl_call_begin(call *c, const spindl_tile *t, spindl_side direction, spindl_context *context) {
    const bool sums = t->flags & SPINDL_FLAG_SUMS;
    c->t = t;
    c->context = context;
    if (!spindl_tile_begin(&c->finish, t, direction, context)) return SPINDL_ERROR_ARGUMENT;
    const spindl_scratch_parts parts = scratch_parts(t, direction);
    if (t->scratch_bytes < parts.total) return SPINDL_ERROR_SCRATCH;
    uint8_t *at = SPINDL_POINTER(uint8_t, t->scratch);
    c->columns = at;
    c->taps = (spindl_tap *)(at += parts.columns);
    c->start = (int32_t *)(at += parts.taps);
    c->exact_sums = (spindl_wide *)(void *)(at += parts.start);
    c->bounds.zeros = (int16_t *)(at += parts.sums);
    spindl_fill((uint32_t *)(void *)at, parts.zeros / 4, 0);
    spindl_sweep *const s = c->sweep = (spindl_sweep *)(at + parts.zeros + parts.panel);
    const int32_t shift = sums ? 0 : c->finish.rounding.shift;
    s->rounding = &c->finish.rounding;
    s->shift = shift;
    s->half = half_of(shift);
    c->rounded = !sums;
    c->exact = scratch_is_tiny(t) || shift < 0 || shift > 31 || c->finish.sum_shift;
    const bool add32 = direction == SPINDL_RESULT_W && !(t->flags & SPINDL_FLAG_NARROW);
    s->kind = sums ? SWEEP_ADD64 : add32 ? SWEEP_ADD32 : t->flags & SPINDL_FLAG_RELU;
    c->end = (const char *const[]){spindl_end_round, spindl_end_relu, spindl_end_add32, spindl_end_add64}[s->kind];
    if (!c->exact) spindl_fill((uint32_t *)c->start, parts.start / 4, (uint32_t)s->half);
    if (!sums) spindl_set_threshold(s);
    return SPINDL_OK;
}

int spindl_call_end(const call *c) {
    return c->rounded ? spindl_end(&c->finish.rounding) : SPINDL_OK;
}

HOT bool spindl_sweep_columns(call *c, const void *b, void *out, uint32_t columns, uint32_t valid, bool careful) {
    spindl_sweep *const s = c->sweep;
    uint32_t *const end = (uint32_t *)s - 1;
    s->start = c->start;
    s->b = b;
    s->out = out;
    s->end = c->start + (columns & ~1u);
    s->valid = valid;
    *end = (uint32_t)(uintptr_t)(careful ? spindl_end_slow : c->end);
    const bool fit = spindl_sweep_run(s);
    if (!(columns & 1)) return fit;
    const int32_t pitch = s->pitch;
    s->end += 2;
    s->valid = valid & c->alone;
    s->pitch = c->alone_pitch;
    *end = (uint32_t)(uintptr_t)spindl_end_slow;
    const bool fits = spindl_sweep_run(s);
    s->pitch = pitch;
    return fit && fits;
}

mantissas spindl_copy_even(const call *c, mantissas from, uint32_t rows, uint32_t count, uint32_t pitch) {
    int16_t *to = (int16_t *)(void *)c->columns;
    for (; rows; rows--, from += pitch) {
        for (uint32_t i = 0; i < count; i++) *to++ = from[i];
        if (count & 1) *to++ = 0;
    }
    return (mantissas)(void *)c->columns;
}
