/* What a call of a contraction does, counted. */
#ifndef SPINDL_CONTRACTION_COST_H
#define SPINDL_CONTRACTION_COST_H

#include "contraction.h"

enum {
    COUNT_CALLS,
    COUNT_SINGLE_CALLS, /* whose sums are made one by one */
    COUNT_ROUNDED_CALLS,
    COUNT_GROUPS,       /* of channels, for a weight gradient times images that are rounded */
    COUNT_TAPS,         /* in lists */
    COUNT_BIASES,
    COUNT_ROWS_COPIED,  /* columns that do not lie at whole words */
    COUNT_COPIED,       /* values of them */
    COUNT_ROWS_CLEARED, /* before sums are added */
    COUNT_PHASES,       /* of strides */
    COUNT_ROWS,         /* of pixels */
    COUNT_PIXELS,
    COUNT_PANELS,
    COUNT_GATHERS,      /* taps of four pixels */
    COUNT_VALUE_GATHERS,/* the same, value by value */
    COUNT_VALUE_ROWS,
    COUNT_PAIR_ROWS,    /* gathered two words at a time */
    COUNT_RUNS,         /* taps that meet something */
    COUNT_EMPTY,        /* results that no tap meets */
    COUNT_SWEEPS,
    COUNT_ALONE,        /* last columns without a partner */
    COUNT_SLOW,         /* blocks with places that do not exist */
    COUNT_SLOW_ROUNDED, /* results in them */
    COUNT_SLOW_SUMS,
    COUNT_SINGLE_PIXELS,
    COUNT_SUMS,         /* made one by one, their taps and their products */
    COUNT_SUMS_ROUNDED,
    COUNT_TERMS,
    COUNT_INNER,        /* loops over products */
    COUNT_PRODUCTS,
    COUNT_ONES,         /* products of groups with one input and one output */
    COUNTS
};

typedef struct {
    uint64_t known; /* cycles of loops */
    uint64_t of[COUNTS];
} spindl_counts;

spindl_counts spindl_contraction_counts(const spindl_tile *tile, spindl_side direction);

#endif
