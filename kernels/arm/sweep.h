/* The inner loops of contractions: one panel of 4 rows against many columns, two at a time.
 *
 * A panel is a stream of words that the loop reads in order; so is what follows it, and that says where to go on:
 *
 *     entry address, words, SENTINEL, [spindl_next_run, bytes to add to b, entry address, words, SENTINEL,] ... end
 *
 * where the end is an address of code, and behind it lies the spindl_sweep. The sentinel is a pair of mantissas that no
 * operand holds, -32768 and 0: so the loops need no counter, for which there is no register.
 *
 * Registers inside: r0-r3 operands, r4-r11 sums, r12 the stream, sp the columns, lr their pitch. The stack pointer is in
 * use as a number: exception handlers run on stacks of their own, as the banked ones are, never on this one.
 */
#ifndef SPINDL_SWEEP_H
#define SPINDL_SWEEP_H

#define SPINDL_SENTINEL 0x80000000

/* Offsets in spindl_sweep. */
#define SWEEP_START 4
#define SWEEP_B 12
#define SWEEP_PANEL 20
#define SWEEP_OUT 24
#define SWEEP_OUT_STEP 28
#define SWEEP_NEXT_ROW 32
#define SWEEP_SHIFT 44
#define SWEEP_THRESHOLD 48
#define SWEEP_STACK 52
#define SWEEP_HALF 56
#define SWEEP_LARGEST 60
#define SWEEP_SUMS 64

/* Steps in one turn of a loop, and bytes of code of each: entry addresses skip what the first turn leaves out. */
#define SWEEP_PAIRS 16 /* NT, NN: pairs of products */
#define SWEEP_PAIR_BYTES 88
#define SWEEP_SINGLES 32 /* TN: products */
#define SWEEP_SINGLE_BYTES 44

#ifndef __ASSEMBLER__
#include "contraction.h"

typedef struct {
    int32_t b_step;         /* bytes from a block's columns to the next block's */
    const int32_t *start;   /* two numbers that the sums of the next block begin with */
    const int32_t *end;     /* behind those of the last one */
    const void *b;          /* columns of the next block */
    int32_t pitch;          /* bytes between rows of b. NT: from one column to the other, less 4 */
    const uint32_t *panel;  /* its entry address */
    uint8_t *out;           /* first result of the next block */
    int32_t out_step;       /* bytes to the next block's */
    int32_t next_row[3];    /* bytes to the next row's first result from the second (int16) or first (others) */
    int32_t shift;          /* of the rounding, 0 to 31; the half is in the start */
    int32_t threshold;      /* sums from ~threshold to threshold change no statistics when they are rounded */
    void *stack;            /* the stack pointer meanwhile */
    int32_t half;           /* that the start has beside the bias */
    uint32_t largest;       /* sums without the half, up to this magnitude, change none either */
    int32_t sums[8];        /* of one block, for spindl_sweep_slow */
    spindl_rounding *rounding;
    uint32_t kind;          /* what becomes of sums, an index of spindl_sweep_ends */
    uint32_t valid;         /* bit i: sums[i] has a place in the result */
} spindl_sweep;

/* Four rows of two sums each. ROUND and ADD32 round them; ADD64 and ADD32 add them to what is there. */
enum { SWEEP_ROUND, SWEEP_ROUND_RELU, SWEEP_ADD32, SWEEP_ADD64 };

/* Runs all blocks; false if a sum left int32, and all results are to be computed again. */
bool spindl_sweep_run(spindl_sweep *sweep);

/* Finishes one block that the fast ways cannot: new statistics, clamped values, invalid places. */
void spindl_sweep_slow(spindl_sweep *sweep);

/* Addresses of code, for panels. */
extern const char spindl_sweep_nt[], spindl_sweep_nn[], spindl_sweep_tn[]; /* one turn of a loop */
extern const char spindl_next_run[], spindl_end_round[], spindl_end_relu[], spindl_end_add32[], spindl_end_add64[];
extern const char spindl_end_slow[];

/* One tap, from the first one: rows and columns of the tensor that is gathered, its bytes, and bytes of the columns. */
typedef struct {
    int32_t row, column, from, b;
    int32_t w; /* bytes of the weights, where those are not the columns themselves */
} spindl_tap;

/* A pixel of the result. */
typedef struct {
    int32_t row, column; /* where tap 0 meets the other tensor */
    const uint8_t *from; /* address of that place, if it exists */
    uint8_t *out;
} spindl_pixel;

/* Size of the tensor that is gathered, and what is read where it ends. */
typedef struct {
    uint32_t rows, columns;
    const int16_t *zeros;
} spindl_bounds;

/* Interleaves `words` words of the places where a tap of 4 pixels lies; returns how many are inside the tensor. */
uint32_t spindl_gather_rows(uint32_t *to, uint32_t words, const spindl_pixel pixels[4], const spindl_tap *tap,
                            const spindl_bounds *bounds);

/* Rows of places, `pitch` bytes apart, each with zeros before (low) and behind (high). */
typedef struct {
    uint32_t rows, low, count, high;
    const int16_t *from;
    int32_t pitch, row_pitch;
} spindl_pairs;

/* Copies 2 words of each place; at least one row. Returns what is behind the last. */
uint32_t *spindl_gather_pairs(uint32_t *to, const spindl_pairs *from);

/* Copies single values, `from_step` bytes apart, to places first_step, second_step, first_step, ... bytes apart. */
void spindl_move_values(int16_t *to, const int16_t *from, uint32_t count, int32_t from_step, int32_t first_step,
                        int32_t second_step);

/* Writes a word many times; returns what is behind the last. */
uint32_t *spindl_fill(uint32_t *to, uint32_t words, uint32_t value);
#endif
#endif
