/* One call of a tuned contraction: what its parts share. */
#ifndef SPINDL_CALL_H
#define SPINDL_CALL_H

#include "positions.h"
#include "scratch.h"
#include "sweep.h"

/* Most of the code around the loops is Thumb, which is small; what runs once for every panel is not. */
#define HOT __attribute__((target("arm")))
#define APART __attribute__((noinline)) /* kept once */

typedef const int16_t *mantissas;
typedef const uint32_t *words;

/* One call of a kernel. */
typedef struct {
    const spindl_tile *t;
    spindl_context *context;
    spindl_finish finish;
    spindl_sweep *sweep; /* this and the next ones lie in the scratch region */
    uint8_t *columns;
    spindl_tap *taps;
    int32_t *start;
    spindl_bounds bounds;
    spindl_wide *exact_sums; /* of a pixel */
    bool rounded;
    bool exact;          /* by the definition only: int32 sums would not do, or not be faster */
    const char *end;     /* code that finishes blocks */
    uint32_t alone;      /* places of a block whose second column is not there */
    int32_t alone_pitch; /* of such a block */
} call;

static inline int32_t half_of(int32_t shift) {
    return shift ? 1 << (shift - 1) : 0;
}

/* Where a loop is entered that is to make `count` steps. */
static inline uint32_t entry_of(const char *loop, uint32_t count, uint32_t steps, uint32_t bytes) {
    return (uint32_t)(uintptr_t)loop + (steps - 1 - (count - 1) % steps) * bytes;
}

/* The type of rounded and exact results. */
static inline uint32_t result_bytes_of(const call *c) {
    return c->sweep->kind == SWEEP_ADD64 ? 8 : c->sweep->kind == SWEEP_ADD32 ? 4 : 2;
}

/* Checks the arguments and divides the scratch region. */
int spindl_call_begin(call *c, const spindl_tile *t, spindl_side direction, spindl_context *context);

/* Writes the statistics back; returns SPINDL_OK. */
int spindl_call_end(const call *c);

/* Sweeps over `columns` columns, of which the last may be alone. False if a sum did not fit.
 * valid: places of each block that exist; where the others must not be touched, `careful` says so. */
bool spindl_sweep_columns(call *c, const void *b, void *out, uint32_t columns, uint32_t valid, bool careful);

/* Copies rows of values that shall begin at whole words. */
mantissas spindl_copy_even(const call *c, mantissas from, uint32_t rows, uint32_t count, uint32_t pitch);

/* The sums that change no statistics: with no more bits than the largest that was seen, and below clamping. */
void spindl_set_threshold(spindl_sweep *s);

/* What a sweep changes of the statistics, to be undone if its sums did not fit. */
typedef struct {
    uint64_t magnitude;
    int32_t fast;
    uint32_t width, saturated;
} before;

static inline before seen(const call *c) {
    const spindl_rounding *const r = &c->finish.rounding;
    return (before){r->magnitude, r->fast, r->width, r->saturated};
}

static inline void forget(call *c, before old) {
    spindl_rounding *const r = &c->finish.rounding;
    r->magnitude = old.magnitude;
    r->fast = old.fast;
    r->width = old.width;
    r->saturated = old.saturated;
    c->context->tiles_redone++;
}

#endif
