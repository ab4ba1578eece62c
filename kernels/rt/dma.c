/* DMA: one queue of transfers, carried out in order, row by row. The engine has two places: one row runs, one waits. */
#include "runtime.h"

enum { QUEUE = 128 }; /* a power of two; a step has at most 41 transfers */

volatile uint32_t rows_done;
volatile uint32_t dma_failed;
uint32_t rows_asked;

static const spindl_schedule_transfer *volatile queue[QUEUE];
static volatile uint32_t queued, taken; /* counted, never wrapped by hand */
static uint32_t in_engine;              /* rows given to the engine and not yet acknowledged */
static struct {
    uint32_t rows, system, tcm, system_pitch, tcm_pitch, description;
} current;

/* With IRQ masked: gives the engine what it has room for. */
static inline void feed(void) {
    while (in_engine < 2) {
        if (current.rows == 0) {
            if (taken == queued) return;
            const spindl_schedule_transfer *next = queue[taken % QUEUE];
            taken++;
            current.rows = next->rows;
            current.system = next->sdram;
            current.tcm = next->dtcm;
            current.system_pitch = next->sdram_pitch;
            current.tcm_pitch = next->dtcm_pitch;
            current.description = next->bytes | DMA_BURSTS | (next->direction ? DMA_TO_SYSTEM : 0);
        }
        DMA_SYSTEM = current.system;
        DMA_TCM = current.tcm;
        DMA_START = current.description;
        current.system += current.system_pitch;
        current.tcm += current.tcm_pitch;
        current.rows--;
        in_engine++;
    }
}

void dma_start(void) {
    DMA_CONTROL = 0x3f; /* forget whatever there was */
    while (DMA_STATUS & DMA_DONE_BIT) DMA_CONTROL = DMA_CLEAR_DONE;
    DMA_CONTROL = DMA_CLEAR_ERROR;
    DMA_GLOBAL = DMA_INTERRUPTS;
}

void dma_enqueue(const spindl_schedule_transfer *transfer) {
    SLEEP_UNTIL(queued - taken < QUEUE, counters.dma, (void));
    const uint32_t status = disable_interrupts();
    queue[queued % QUEUE] = transfer;
    queued++;
    rows_asked += transfer->rows;
    feed();
    restore_interrupts(status);
}

void dma_interrupt(void) {
    uint32_t status = DMA_STATUS;
    DMA_CONTROL = DMA_CLEAR_DONE;
    rows_done++;
    in_engine--;
    if (status & DMA_DONE_TWICE_BIT) {
        DMA_CONTROL = DMA_CLEAR_DONE;
        rows_done++;
        in_engine--;
    }
    feed();
}

void dma_error_interrupt(void) {
    dma_failed = DMA_STATUS;
    VIC_DISABLE = 1u << SOURCE_DMA_ERROR;
}

static void late(uint32_t waited) {
    if (waited > time_out) stop(SPINDL_STOP_DMA_TIME_OUT, rows_asked, rows_done);
}

void dma_wait(uint32_t rows) {
    SLEEP_UNTIL((int32_t)(rows_done - rows) >= 0 || dma_failed, counters.dma, late);
    if (dma_failed) stop(SPINDL_STOP_DMA, dma_failed, current.system);
}
