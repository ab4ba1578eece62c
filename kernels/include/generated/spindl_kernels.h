/* Generated from spindl.program.kernels. */
#ifndef SPINDL_KERNELS_H
#define SPINDL_KERNELS_H

#include "spindl_kernel.h"

enum spindl_kernel_number {
};

/* X(name) for every kernel. */
#define SPINDL_EVERY_KERNEL(X) \

#endif
