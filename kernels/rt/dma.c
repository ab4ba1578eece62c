/* options: -Os -mthumb */
/* DMA: one queue of transfers, carried out in order, row by row. The engine has two places: one row runs, one waits. The
 * interrupt that keeps them full is in dma.S.
 */
#include "runtime.h"

dma_engine engine;
volatile uint32_t dma_failed;
uint32_t rows_asked;

void dma_start(void) {
    DMA_CONTROL = 0x3f; /* forget whatever there was */
    while (DMA_STATUS & DMA_DONE_BIT) DMA_CONTROL = DMA_CLEAR_DONE;
    DMA_CONTROL = DMA_CLEAR_ERROR;
    DMA_GLOBAL = DMA_INTERRUPTS;
}

uint32_t dma_enqueue(const spindl_schedule_transfer *first, uint32_t count) {
    uint32_t rows = 0, bytes = 0;
    if (count == 0) return 0;
    for (const spindl_schedule_transfer *t = first, *end = first + count; t != end; t++) {
        rows += t->rows;
        bytes += t->rows * t->bytes;
    }
    if (engine.queued - engine.taken == DMA_QUEUE) dma_wait(rows_asked);
    rows_asked += rows;
    const uint32_t status = disable_interrupts();
    const uint32_t place = engine.queued++ % DMA_QUEUE;
    engine.queue[place].first = first;
    engine.queue[place].count = count;
    dma_feed();
    restore_interrupts(status);
    return bytes;
}

void dma_error_interrupt(void) {
    dma_failed = DMA_STATUS;
    VIC_DISABLE = 1u << SOURCE_DMA_ERROR;
}

static int ready(uint32_t rows) {
    return (int32_t)(engine.rows_done - rows) >= 0 || dma_failed;
}

static void late(uint32_t waited) {
    if (waited > time_out) stop(SPINDL_STOP_DMA_TIME_OUT, rows_asked, engine.rows_done);
}

void dma_wait(uint32_t rows) {
    if (!ready(rows)) counters.dma += sleep_until(ready, rows, late);
    if (dma_failed) stop(SPINDL_STOP_DMA, dma_failed, engine.system);
}
