/* DMA: one queue of transfers, carried out in order, row by row. The engine has two places: one row runs, one waits. */
#include "runtime.h"

enum { QUEUE = 16 }; /* a power of two; the walker has at most seven ranges under way */

/* All in one place, so that the interrupt finds everything from one address. */
static struct {
    uint32_t rows, system, tcm, system_pitch, tcm_pitch, description; /* of the transfer under way */
    uint32_t in_engine;                   /* rows given to the engine and not yet acknowledged */
    uint32_t left;                        /* transfers behind the one under way, in its range */
    const spindl_schedule_transfer *next; /* the first of them */
    uint32_t taken, queued;               /* ranges; counted, never wrapped by hand */
    struct {
        const spindl_schedule_transfer *first;
        uint32_t count;
    } queue[QUEUE];
} engine;

volatile uint32_t rows_done;
volatile uint32_t dma_failed;
uint32_t rows_asked;

/* Makes the next transfer the one under way. 0: there is none. */
static __attribute__((noinline)) uint32_t next_transfer(void) {
    if (engine.left == 0) {
        if (engine.taken == engine.queued) return 0;
        engine.next = engine.queue[engine.taken % QUEUE].first;
        engine.left = engine.queue[engine.taken % QUEUE].count;
        engine.taken++;
    }
    const spindl_schedule_transfer *t = engine.next++;
    engine.left--;
    engine.system = t->sdram;
    engine.tcm = t->dtcm;
    engine.system_pitch = t->sdram_pitch;
    engine.tcm_pitch = t->dtcm_pitch;
    engine.description = t->bytes | DMA_BURSTS | (t->direction ? DMA_TO_SYSTEM : 0);
    return engine.rows = t->rows;
}

/* With IRQ masked: gives the engine what it has room for. */
static inline void feed(void) {
    while (engine.in_engine < 2) {
        if (engine.rows == 0 && next_transfer() == 0) return;
        DMA_SYSTEM = engine.system;
        DMA_TCM = engine.tcm;
        DMA_START = engine.description;
        engine.system += engine.system_pitch;
        engine.tcm += engine.tcm_pitch;
        engine.rows--;
        engine.in_engine++;
    }
}

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
    rows_asked += rows;
    if (engine.queued - engine.taken == QUEUE) dma_wait(rows_asked - rows);
    const uint32_t status = disable_interrupts();
    engine.queue[engine.queued % QUEUE].first = first;
    engine.queue[engine.queued % QUEUE].count = count;
    engine.queued++;
    feed();
    restore_interrupts(status);
    return bytes;
}

void dma_interrupt(void) {
    const uint32_t status = DMA_STATUS;
    uint32_t done = 1;
    DMA_CONTROL = DMA_CLEAR_DONE;
    if (status & DMA_DONE_TWICE_BIT) {
        DMA_CONTROL = DMA_CLEAR_DONE;
        done = 2;
    }
    rows_done += done;
    engine.in_engine -= done;
    feed();
}

void dma_error_interrupt(void) {
    dma_failed = DMA_STATUS;
    VIC_DISABLE = 1u << SOURCE_DMA_ERROR;
}

static int ready(uint32_t rows) {
    return (int32_t)(rows_done - rows) >= 0 || dma_failed;
}

static void late(uint32_t waited) {
    if (waited > time_out) stop(SPINDL_STOP_DMA_TIME_OUT, rows_asked, rows_done);
}

void dma_wait(uint32_t rows) {
    if (!ready(rows)) counters.dma += sleep_until(ready, rows, late);
    if (dma_failed) stop(SPINDL_STOP_DMA, dma_failed, engine.system);
}
