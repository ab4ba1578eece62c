/* options: -Os -mthumb */
/* Steps through the schedule table: loads, kernel, stores, barriers, in the order that spindl.program.schedule defines. */
#include "runtime.h"

typedef struct {
    const spindl_schedule_step *step;
    const spindl_schedule_transfer *loads, *stores;
    const uint32_t *words;
    const kernel_entry *kernel;
} open_step;

/* Blocks of the steps k - 1 (its stores may still be in the queue), k and k + 1, then k + 2 over k - 1. */
static uint32_t blocks[FETCHES][SPINDL_LARGEST_BLOCK / 4];
static open_step opened[2]; /* steps k and k + 1, in turn */
static uint32_t stored;     /* what engine.rows_done is when all stores are done */
const spindl_schedule_step *current_step;

static uint32_t after(uint32_t slot) {
    return slot == FETCHES - 1 ? 0 : slot + 1;
}

static void here(uint32_t number, const spindl_schedule_step *step) {
    counters.step = number;
    current_step = step;
}

static uint32_t fetch_block(uint32_t slot, uint32_t number, uint32_t offset, uint32_t bytes) {
    if (bytes - sizeof(spindl_schedule_step) > SPINDL_LARGEST_BLOCK - sizeof(spindl_schedule_step) || bytes & 3 ||
        offset + bytes > table_bytes) {
        here(number, 0);
        stop(SPINDL_STOP_SCHEDULE_BLOCK, bytes, table_bytes - offset);
    }
    return fetch(slot, table_at + offset, (uint32_t)(uintptr_t)blocks[slot], bytes);
}

/* Words from the first to the last of some rows; more than there is memory if that is what they are. */
static uint32_t span(uint32_t rows, uint32_t pitch, uint32_t bytes) {
    const uint32_t high = (rows - 1) * (pitch >> 16); /* below 2^32: both have 16 bits */
    if (high >= 1u << 12) return (1u << 30) - 1;
    return (high << 14) + (rows - 1) * ((pitch & 0xffff) >> 2) + (bytes >> 2);
}

static void check_transfers(const spindl_schedule_transfer *t, uint32_t count, uint32_t direction) {
    for (; count; count--, t++) {
        const uint32_t rows = t->rows, bytes = t->bytes;
        uint32_t dtcm = bytes >> 2, sdram = dtcm; /* words */
        if (bytes - 1 >= (1u << 17) - 1 || rows == 0 || t->direction != direction ||
            (bytes | t->sdram | t->dtcm | t->sdram_pitch | t->dtcm_pitch) & 3) {
            stop(SPINDL_STOP_TRANSFER_SHAPE, bytes, rows << 16 | t->direction);
        }
        if (rows > 1) {
            dtcm = span(rows, t->dtcm_pitch, bytes);
            sdram = span(rows, t->sdram_pitch, bytes);
        }
        if (!in_tiles(t->dtcm, dtcm)) stop(SPINDL_STOP_TRANSFER_DTCM, t->dtcm, dtcm << 2);
        if (!in_regions(t->sdram, sdram, direction)) stop(SPINDL_STOP_TRANSFER_SDRAM, t->sdram, sdram << 2);
    }
}

/* Checks the block that has come and finds its parts. */
static open_step *open_block(uint32_t slot, uint32_t number, uint32_t bytes) {
    open_step *const o = &opened[number & 1];
    const spindl_schedule_step *const step = (const spindl_schedule_step *)blocks[slot];
    here(number, step);
    o->step = step;
    o->loads = (const spindl_schedule_transfer *)(step + 1);
    o->stores = o->loads + step->loads;
    o->words = (const uint32_t *)(o->stores + step->stores);
    const uint32_t content = (uint32_t)((uintptr_t)(o->words + step->words) - (uintptr_t)step);
    if (content != bytes) stop(SPINDL_STOP_SCHEDULE_BLOCK, bytes, content);
    o->kernel = 0;
    if (step->kernel) {
        o->kernel = find_kernel(step->kernel);
        if (!o->kernel) stop(SPINDL_STOP_KERNEL, step->kernel, 0);
        if (o->kernel->words != step->words) stop(SPINDL_STOP_KERNEL_WORDS, o->kernel->words, step->words);
    }
    if (step->flags & SPINDL_STEP_IF_SET && (step->condition & 3 || !in_tiles(step->condition, 1))) {
        stop(SPINDL_STOP_CONDITION, step->condition, 0);
    }
    check_transfers(o->loads, step->loads, SPINDL_TRANSFER_TO_DTCM);
    check_transfers(o->stores, step->stores, SPINDL_TRANSFER_TO_SDRAM);
    return o;
}

static void barrier(uint32_t flags) {
    dma_wait(stored);
    if (flags & SPINDL_STEP_MACHINE || header.cores > 1) meet((flags & SPINDL_STEP_MACHINE) != 0);
}

/* Queues the code of a step's kernel if it is not in the window; the kernel before it has returned. */
static int bring_code(const open_step *now) {
    static uint32_t there; /* number of the overlay in the window */
    static spindl_schedule_transfer transfer;
    const uint32_t number = now->kernel ? now->kernel->overlay : 0;
    if (number == 0 || number == there) return 0;
    transfer = (spindl_schedule_transfer){record->overlays + overlay_places[number - 1].offset,
                                          (uint32_t)(uintptr_t)overlay_start, overlay_places[number - 1].bytes, 1,
                                          SPINDL_TRANSFER_TO_DTCM, 0, 0};
    counters.read += dma_enqueue(&transfer, 1);
    counters.overlays++;
    there = number;
    return 1;
}

static void run_kernel(const open_step *now) {
    const uint32_t began = cycle_count();
    const int error = now->kernel->run(now->words, &context);
    counters.kernel += cycle_count() - began;
    if (error) stop((uint32_t)error, 0, 0);
    if (stack_guard != SPINDL_CORE_MAGIC) stop(SPINDL_STOP_STACK, 0, 0);
}

/* One store after the other waits for the SDRAM: only for those who ask for it. */
static void count_step(uint32_t number, uint32_t time) {
    static uint32_t kernel, dma, barriers; /* as they were after the step before */
    spindl_step_counters *of_step = (spindl_step_counters *)(uintptr_t)record->step_counters + number;
    if (number == 0) kernel = dma = barriers = 0;
    of_step->kernel = (uint32_t)counters.kernel - kernel;
    of_step->dma = (uint32_t)counters.dma - dma;
    of_step->barrier = (uint32_t)counters.barrier - barriers;
    of_step->total = time;
    kernel = (uint32_t)counters.kernel;
    dma = (uint32_t)counters.dma;
    barriers = (uint32_t)counters.barrier;
}

enum { NOT_EARLY = SPINDL_STEP_BARRIER_BEFORE | SPINDL_STEP_ORDERED | SPINDL_STEP_IF_SET };

void walk(void) {
    uint32_t clock = cycle_count();
    const int count_steps = record->step_counters != 0;
    stack_guard = SPINDL_CORE_MAGIC;
    read_regions();
    check_table();
    stored = rows_asked;
    uint32_t number = 0, slot = 0, bytes = header.first, offset = bytes, loaded = 0, loaded_next = 0, fetched = 0;
    uint32_t early = 0; /* the loads of this step are in the queue already */
    dma_wait(fetch_block(0, 0, 0, bytes));
    const open_step *now = open_block(0, 0, bytes), *next = now;
    bytes = now->step->next;
    if (!(now->step->flags & SPINDL_STEP_LAST)) fetched = fetch_block(1, 1, offset, bytes);
    for (;;) {
        const uint32_t flags = now->step->flags;
        uint32_t left_out = 0;
        if (answers_due) answer_again();
        here(number, now->step);
        /* Code comes before a barrier, while others still work, and ahead of what the next step loads. */
        if (!(flags & SPINDL_STEP_IF_SET) && bring_code(now)) loaded = rows_asked;
        if (!early) {
            if (flags & SPINDL_STEP_BARRIER_BEFORE) barrier(flags);
            if (flags & SPINDL_STEP_IF_SET) {
                left_out = *(const uint32_t *)(uintptr_t)now->step->condition == 0;
                if (!left_out) bring_code(now);
            }
            if (!left_out) counters.read += dma_enqueue(now->loads, now->step->loads);
            loaded = rows_asked;
        }
        if (!(flags & SPINDL_STEP_LAST)) {
            dma_wait(fetched);
            slot = after(slot);
            next = open_block(slot, number + 1, bytes);
            early = !(next->step->flags & NOT_EARLY) && !(flags & SPINDL_STEP_BARRIER_AFTER);
            if (early) counters.read += dma_enqueue(next->loads, next->step->loads);
            loaded_next = rows_asked;
            offset += bytes;
            bytes = next->step->next;
            if (!(next->step->flags & SPINDL_STEP_LAST)) fetched = fetch_block(after(slot), number + 2, offset, bytes);
            here(number, now->step);
        }
        dma_wait(loaded);
        if (!left_out) {
            if (now->kernel) run_kernel(now);
            if (now->step->stores) {
                counters.written += dma_enqueue(now->stores, now->step->stores);
                stored = rows_asked;
            }
        }
        if (flags & SPINDL_STEP_BARRIER_AFTER) barrier(flags);
        if (flags & SPINDL_STEP_LAST) dma_wait(rows_asked);
        counters.steps++;
        const uint32_t time = cycle_count();
        counters.cycles += time - clock;
        if (count_steps) count_step(number, time - clock);
        clock = time;
        if (flags & SPINDL_STEP_LAST) break;
        now = next;
        loaded = loaded_next;
        number++;
    }
    counters.tiles_redone = context.tiles_redone;
}
