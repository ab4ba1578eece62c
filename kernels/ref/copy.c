/* Moves words inside DTCM. */
#include "spindl_kernels.h"

int spindl_copy(const spindl_copy_arguments *arguments, spindl_context *context) {
    (void)context;
    if ((arguments->x | arguments->y) & 3u) return SPINDL_ERROR_ARGUMENT;
    const uint32_t *x = SPINDL_POINTER(const uint32_t, arguments->x);
    uint32_t *y = SPINDL_POINTER(uint32_t, arguments->y);
    uint32_t words = arguments->words; /* a local: the compiler cannot know that y is not the arguments */
    for (; words >= 4; words -= 4) {
        const uint32_t a = *x++, b = *x++, c = *x++, d = *x++;
        *y++ = a;
        *y++ = b;
        *y++ = c;
        *y++ = d;
    }
    for (; words; words--) *y++ = *x++;
    return SPINDL_OK;
}
