/* Generated from spindl.program.kernels. */
#ifndef SPINDL_KERNELS_H
#define SPINDL_KERNELS_H

#include "spindl_kernel.h"

enum spindl_kernel_number {
    SPINDL_KERNEL_COPY = 160,
};

/* The same, for macros that get the name of a kernel. */
#define SPINDL_NUMBER_copy 160

/* y = x, word by word. */
typedef struct {
    uint32_t x; /* source, a multiple of 4 */
    uint32_t y; /* destination, a multiple of 4; must not begin inside the source behind its first word */
    uint32_t words; /* number of 32-bit words */
} spindl_copy_arguments;
typedef char spindl_copy_arguments_size[sizeof(spindl_copy_arguments) == 12 ? 1 : -1];
int spindl_copy(const spindl_copy_arguments *arguments, spindl_context *context);
uint32_t spindl_copy_cycles(const spindl_copy_arguments *arguments);
uint32_t spindl_copy_scratch(const spindl_copy_arguments *arguments);

/* X(name) for every kernel. */
#define SPINDL_EVERY_KERNEL(X) \
    X(copy) \

#endif
