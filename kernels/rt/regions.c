/* options: -Os -mthumb */
/* What the schedule may touch in SDRAM. */
#include "runtime.h"

static spindl_region regions[SPINDL_LARGEST_REGIONS];
static uint32_t region_count;

int in_regions(uint32_t start, uint32_t words, uint32_t writable) {
    for (uint32_t i = 0; i < region_count; i++) {
        const spindl_region *r = &regions[i];
        if (start >= r->start && start < r->end && words <= (r->end - start) >> 2 && (r->flags & writable) == writable) return 1;
    }
    return 0;
}

void read_regions(void) {
    const spindl_region *from = (const spindl_region *)(uintptr_t)record->regions;
    region_count = record->region_count;
    if (region_count > SPINDL_LARGEST_REGIONS) {
        const uint32_t asked = region_count;
        region_count = 0;
        stop(SPINDL_STOP_REGIONS, asked, 0);
    }
    for (uint32_t i = 0; i < region_count; i++) regions[i] = from[i];
}
