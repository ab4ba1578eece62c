/* options: -Os -mthumb */
/* Waiting without polling. */
#include "runtime.h"

uint32_t sleep_until(int (*ready)(uint32_t), uint32_t argument, void (*late)(uint32_t waited)) {
    const uint32_t began = cycle_count(), first = ticks;
    uint32_t seen = first;
    for (;;) {
        if (answers_due) answer_again(); /* others may wait for this core */
        /* Masked from the question to the sleep: an interrupt between them still ends the sleep. */
        const uint32_t status = disable_interrupts();
        const int done = ready(argument);
        if (!done) wait_for_interrupt();
        restore_interrupts(status);
        if (done) return cycle_count() - began;
        if (ticks != seen) {
            seen = ticks;
            late(seen - first);
        }
    }
}
