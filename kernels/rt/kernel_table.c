/* options: -Os -mthumb */
/* Which function a kernel's number means. */
#include "runtime.h"
#include "spindl_selection.h" /* SPINDL_SELECTED(X): X(name) for every kernel of this image; the builder writes it */

#define INDEX(name) INDEX_##name,
enum { INDEX_none, SPINDL_SELECTED(INDEX) INDEX_end };

#define PLACE(name) [SPINDL_NUMBER_##name] = INDEX_##name,
static const uint8_t index_of[] = {SPINDL_SELECTED(PLACE)};

#define ENTRY(name) {(spindl_kernel)spindl_##name, sizeof(spindl_##name##_arguments) / 4},
static const kernel_entry entries[] = {{0, 0}, SPINDL_SELECTED(ENTRY)};

const kernel_entry *find_kernel(uint32_t number) {
    if (number >= sizeof index_of || index_of[number] == INDEX_none) return 0;
    return &entries[index_of[number]];
}
