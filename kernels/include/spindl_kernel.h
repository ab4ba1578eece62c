/* What every kernel of the cores shares: its context, its errors, its view of memory.
 *
 * A kernel is a function of its arguments (words of the schedule table, `spindl_kernels.h`) and of the context. It reads
 * and writes DTCM only; the walker moves data between SDRAM and DTCM before and after it. The same C source is compiled for
 * the cores and for the host, where addresses count from the start of a block of host memory.
 */
#ifndef SPINDL_KERNEL_H
#define SPINDL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __arm__
#define SPINDL_POINTER(type, address) ((type *)(uintptr_t)(address))
#else
extern uint8_t *spindl_host_memory;
#define SPINDL_POINTER(type, address) ((type *)(void *)(spindl_host_memory + (address)))
#endif

/* A place where values are rounded: exponent in use, and what this core has seen in this step. */
typedef struct {
    int16_t exponent;   /* of the rounded values */
    int16_t extent;     /* largest exponent + bit_length(max |exact sum|) so far, SPINDL_SITE_EMPTY if all were zero */
    uint32_t saturated; /* elements clamped so far */
} spindl_site;

typedef struct {
    int16_t *exponents;     /* exponent of each value of the step, by its number */
    spindl_site *sites;     /* by number of the site */
    uint32_t exponent_count;
    uint32_t site_count;
    uint32_t tiles_redone;  /* tiles whose int32 sums overflowed and were computed again exactly */
} spindl_context;

/* Results of kernels. The runtime reports them with the number of the step. */
enum spindl_error {
    SPINDL_OK = 0,
    SPINDL_ERROR_ARGUMENT = 1,  /* an argument is outside the kernel's legal range */
    SPINDL_ERROR_SCRATCH = 2,   /* the scratch region is too small */
    SPINDL_ERROR_RANGE = 3,     /* a value that the training graph excludes, e.g. a label out of range */
};

typedef int (*spindl_kernel)(const void *arguments, spindl_context *context);

#endif
