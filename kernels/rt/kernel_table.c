/* options: -Os -mthumb */
/* Which function a kernel's number means. */
#include "runtime.h"
#include "spindl_selection.h" /* the builder writes it: kernels of this image by number, their overlays */

#define ENTRY(name) {(spindl_kernel)spindl_##name, sizeof(spindl_##name##_arguments) / 4, SPINDL_OVERLAY_##name, SPINDL_NUMBER_##name},
static const kernel_entry entries[] = {SPINDL_SELECTED(ENTRY)};

const kernel_entry *find_kernel(uint32_t number) {
    uint32_t low = 0, high = sizeof entries / sizeof entries[0];
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (entries[middle].number == number) return &entries[middle];
        if (entries[middle].number < number) low = middle + 1;
        else high = middle;
    }
    return 0;
}
