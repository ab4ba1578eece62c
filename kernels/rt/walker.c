/* options: -Os */
/* Steps through the schedule table: loads, kernel, stores, barriers, in the order that spindl.program.schedule defines. */
#include "runtime.h"

enum { SLOTS = 3, CRC_PIECE = 4096 };

typedef struct {
    const spindl_schedule_step *step;
    const spindl_schedule_transfer *loads, *stores;
    const uint32_t *words;
    const kernel_entry *kernel;
} open_step;

/* Blocks of the steps k - 1 (its stores may still be in the queue), k and k + 1, then k + 2 over k - 1. */
static uint32_t blocks[SLOTS][SPINDL_LARGEST_BLOCK / 4];
static spindl_schedule_transfer fetches[SLOTS];
static spindl_region regions[SPINDL_LARGEST_REGIONS];
static uint32_t region_count;
static spindl_schedule_header header;
static uint32_t table_at, table_bytes;     /* of the blocks */
static uint32_t checked_at, checked_crc;   /* the table whose CRC was right */
static spindl_context context;

static int in_regions(uint32_t start, uint64_t bytes, uint32_t writable) {
    for (uint32_t i = 0; i < region_count; i++) {
        const spindl_region *r = &regions[i];
        if (start >= r->start && start < r->end && bytes <= r->end - start && (r->flags & writable) == writable) return 1;
    }
    return 0;
}

static int in_tiles(uint32_t start, uint64_t bytes) {
    return start >= SPINDL_TILES_START && start <= SPINDL_TILES_END && bytes <= SPINDL_TILES_END - start;
}

static void read_regions(void) {
    const spindl_region *from = (const spindl_region *)(uintptr_t)record->regions;
    region_count = record->region_count;
    if (region_count > SPINDL_LARGEST_REGIONS) {
        const uint32_t asked = region_count;
        region_count = 0;
        stop(SPINDL_STOP_REGIONS, asked, 0);
    }
    for (uint32_t i = 0; i < region_count; i++) regions[i] = from[i];
}

/* Asks for bytes of the table; they are there when rows_done has reached the result. */
static uint32_t fetch(uint32_t slot, uint32_t sdram, uint32_t dtcm, uint32_t bytes) {
    fetches[slot] = (spindl_schedule_transfer){sdram, dtcm, bytes, 1, SPINDL_TRANSFER_TO_DTCM, 0, 0};
    counters.read += dma_enqueue(&fetches[slot], 1);
    return rows_asked;
}

static uint32_t fetch_block(uint32_t number, uint32_t offset, uint32_t bytes) {
    if (bytes < sizeof(spindl_schedule_step) || bytes > SPINDL_LARGEST_BLOCK || bytes & 3 || offset + bytes > table_bytes) {
        counters.step = number;
        stop(SPINDL_STOP_SCHEDULE_BLOCK, bytes, table_bytes - offset);
    }
    const uint32_t slot = number % SLOTS;
    return fetch(slot, table_at + offset, (uint32_t)(uintptr_t)blocks[slot], bytes);
}

/* zlib's CRC-32 of the header without its last word and of all blocks, through the tiles' memory. */
static uint32_t table_crc(void) {
    uint32_t *table = (uint32_t *)(uintptr_t)SPINDL_TILES_START;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        table[i] = value;
    }
    uint32_t crc = 0xffffffff;
    const uint8_t *bytes = (const uint8_t *)&header;
    for (uint32_t i = 0; i < sizeof header - 4; i++) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    const uint32_t room[2] = {SPINDL_TILES_START + 1024, SPINDL_TILES_START + 1024 + CRC_PIECE};
    uint32_t there = 0;
    for (uint32_t done = 0, piece = 0; done < table_bytes; done += CRC_PIECE, piece ^= 1) {
        const uint32_t left = table_bytes - done, here = left < CRC_PIECE ? left : CRC_PIECE;
        if (done == 0) there = fetch(piece, table_at, room[piece], here);
        dma_wait(there);
        if (left > CRC_PIECE) {
            const uint32_t more = left - CRC_PIECE;
            there = fetch(piece ^ 1, table_at + done + CRC_PIECE, room[piece ^ 1], more < CRC_PIECE ? more : CRC_PIECE);
        }
        const uint32_t *words = (const uint32_t *)(uintptr_t)room[piece];
        for (uint32_t i = 0; i < here / 4; i++) {
            crc ^= words[i];
            crc = crc >> 8 ^ table[crc & 255];
            crc = crc >> 8 ^ table[crc & 255];
            crc = crc >> 8 ^ table[crc & 255];
            crc = crc >> 8 ^ table[crc & 255];
        }
    }
    return ~crc;
}

static void check_table(void) {
    const uint32_t at = record->schedule, bytes = record->schedule_bytes;
    if (at & 3 || bytes & 3 || bytes < sizeof header || !in_regions(at, bytes, 0)) stop(SPINDL_STOP_SCHEDULE_PLACE, at, bytes);
    dma_wait(fetch(0, at, (uint32_t)(uintptr_t)&header, sizeof header));
    table_at = at + sizeof header;
    table_bytes = header.bytes;
    if (header.magic != SPINDL_SCHEDULE_MAGIC) stop(SPINDL_STOP_SCHEDULE_MAGIC, header.magic, 0);
    if (header.version != SPINDL_SCHEDULE_VERSION) stop(SPINDL_STOP_SCHEDULE_VERSION, header.version, 0);
    if (header.image != image_version) stop(SPINDL_STOP_IMAGE, header.image, image_version);
    if (table_bytes & 3 || table_bytes > bytes - sizeof header) stop(SPINDL_STOP_SCHEDULE_PLACE, at, table_bytes);
    if (checked_at != at || checked_crc != header.crc) {
        const uint32_t crc = table_crc();
        if (crc != header.crc) stop(SPINDL_STOP_SCHEDULE_CRC, crc, header.crc);
        checked_at = at;
        checked_crc = crc;
    }
    uint32_t cores = 0;
    for (uint32_t left = place.members; left; left &= left - 1) cores++;
    if (header.cores > 1 && (cores != header.cores || !(place.members & own_flag))) {
        stop(SPINDL_STOP_SCHEDULE_CORES, header.cores, place.members);
    }
    const uint32_t exponents = 2u * header.exponent_count, sites = sizeof(spindl_site) * header.site_count;
    if (exponents && (header.exponents & 3 || !in_tiles(header.exponents, exponents))) {
        stop(SPINDL_STOP_SCHEDULE_TABLES, header.exponents, exponents);
    }
    if (sites && (header.sites & 3 || !in_tiles(header.sites, sites))) stop(SPINDL_STOP_SCHEDULE_TABLES, header.sites, sites);
    context = (spindl_context){(int16_t *)(uintptr_t)header.exponents, (spindl_site *)(uintptr_t)header.sites,
                               header.exponent_count, header.site_count, 0};
}

static void check_transfers(const spindl_schedule_transfer *t, uint32_t count, uint32_t direction) {
    for (; count; count--, t++) {
        const uint32_t rows = t->rows, bytes = t->bytes;
        if (bytes - 1 >= (1u << 17) - 1 || rows == 0 || t->direction != direction ||
            (bytes | t->sdram | t->dtcm | t->sdram_pitch | t->dtcm_pitch) & 3) {
            stop(SPINDL_STOP_TRANSFER_SHAPE, bytes, rows << 16 | t->direction);
        }
        const uint64_t sdram_span = (uint64_t)(rows - 1) * t->sdram_pitch + bytes;
        const uint64_t dtcm_span = (uint64_t)(rows - 1) * t->dtcm_pitch + bytes;
        if (!in_tiles(t->dtcm, dtcm_span)) stop(SPINDL_STOP_TRANSFER_DTCM, t->dtcm, (uint32_t)dtcm_span);
        if (!in_regions(t->sdram, sdram_span, direction)) stop(SPINDL_STOP_TRANSFER_SDRAM, t->sdram, (uint32_t)sdram_span);
    }
}

/* Checks the block that has come and finds its parts. */
static open_step open_block(uint32_t number, uint32_t bytes) {
    open_step opened;
    const spindl_schedule_step *step = (const spindl_schedule_step *)blocks[number % SLOTS];
    counters.step = number;
    counters.kernel_number = step->kernel;
    counters.node = step->node;
    const uint32_t transfers = (uint32_t)step->loads + step->stores;
    const uint32_t content = sizeof *step + transfers * sizeof(spindl_schedule_transfer) + 4u * step->words;
    if (content != bytes) stop(SPINDL_STOP_SCHEDULE_BLOCK, bytes, content);
    opened.step = step;
    opened.loads = (const spindl_schedule_transfer *)(step + 1);
    opened.stores = opened.loads + step->loads;
    opened.words = (const uint32_t *)(opened.stores + step->stores);
    opened.kernel = find_kernel(step->kernel);
    if (step->kernel) {
        if (!opened.kernel) stop(SPINDL_STOP_KERNEL, step->kernel, 0);
        if (opened.kernel->words != step->words) stop(SPINDL_STOP_KERNEL_WORDS, opened.kernel->words, step->words);
    }
    if (step->flags & SPINDL_STEP_IF_SET && (step->condition & 3 || !in_tiles(step->condition, 4))) {
        stop(SPINDL_STOP_CONDITION, step->condition, 0);
    }
    check_transfers(opened.loads, step->loads, SPINDL_TRANSFER_TO_DTCM);
    check_transfers(opened.stores, step->stores, SPINDL_TRANSFER_TO_SDRAM);
    return opened;
}

static uint32_t stored; /* what rows_done is when all stores are done */

static void barrier(uint32_t flags) {
    dma_wait(stored);
    if (flags & SPINDL_STEP_MACHINE || header.cores > 1) meet((flags & SPINDL_STEP_MACHINE) != 0);
}

static void here(const open_step *at, uint32_t number) {
    counters.step = number;
    counters.kernel_number = at->step->kernel;
    counters.node = at->step->node;
}

enum { NOT_EARLY = SPINDL_STEP_BARRIER_BEFORE | SPINDL_STEP_ORDERED | SPINDL_STEP_IF_SET | SPINDL_STEP_WAIT_STREAM };

void walk(void) {
    uint32_t clock = cycle_count();
    stack_guard = SPINDL_CORE_MAGIC;
    read_regions();
    check_table();
    stored = rows_asked;
    uint32_t number = 0, bytes = header.first, offset = 0, loaded = 0;
    spindl_step_counters *of_step = (spindl_step_counters *)(uintptr_t)record->step_counters;
    int early = 0; /* the loads of this step are in the queue already */
    dma_wait(fetch_block(0, 0, bytes));
    open_step now = open_block(0, bytes);
    offset = bytes;
    bytes = now.step->next;
    uint32_t fetched = bytes ? fetch_block(1, offset, bytes) : rows_asked;
    for (;;) {
        const uint32_t flags = now.step->flags;
        const uint32_t kernel_before = (uint32_t)counters.kernel, dma_before = (uint32_t)counters.dma;
        const uint32_t barrier_before = (uint32_t)counters.barrier;
        int left_out = 0;
        here(&now, number);
        if (!early) {
            if (flags & SPINDL_STEP_BARRIER_BEFORE) barrier(flags);
            left_out = flags & SPINDL_STEP_IF_SET && *(const uint32_t *)(uintptr_t)now.step->condition == 0;
            if (!left_out) counters.read += dma_enqueue(now.loads, now.step->loads);
            loaded = rows_asked;
        }
        open_step next = now;
        uint32_t loaded_next = 0;
        early = 0;
        if (!(flags & SPINDL_STEP_LAST)) {
            dma_wait(fetched);
            next = open_block(number + 1, bytes);
            early = !(next.step->flags & NOT_EARLY) && !(flags & SPINDL_STEP_BARRIER_AFTER);
            if (early) counters.read += dma_enqueue(next.loads, next.step->loads);
            loaded_next = rows_asked;
            offset += bytes;
            bytes = next.step->next;
            if (!(next.step->flags & SPINDL_STEP_LAST)) fetched = fetch_block(number + 2, offset, bytes);
            here(&now, number);
        }
        dma_wait(loaded);
        if (!left_out) {
            if (now.kernel) {
                const uint32_t began = cycle_count();
                const int error = now.kernel->run(now.words, &context);
                counters.kernel += cycle_count() - began;
                if (error) stop((uint32_t)error, 0, 0);
                if (stack_guard != SPINDL_CORE_MAGIC) stop(SPINDL_STOP_STACK, 0, 0);
            }
            if (now.step->stores) {
                counters.written += dma_enqueue(now.stores, now.step->stores);
                stored = rows_asked;
            }
        }
        if (flags & SPINDL_STEP_BARRIER_AFTER) barrier(flags);
        if (flags & SPINDL_STEP_LAST) dma_wait(rows_asked);
        counters.steps++;
        counters.tiles_redone = context.tiles_redone;
        const uint32_t time = cycle_count();
        counters.cycles += time - clock;
        if (of_step) {
            /* One store after the other: each waits for the SDRAM, so this is for those who ask for it. */
            of_step->kernel = (uint32_t)counters.kernel - kernel_before;
            of_step->dma = (uint32_t)counters.dma - dma_before;
            of_step->barrier = (uint32_t)counters.barrier - barrier_before;
            of_step->total = time - clock;
            of_step++;
        }
        clock = time;
        if (flags & SPINDL_STEP_LAST) return;
        now = next;
        loaded = loaded_next;
        number++;
    }
}
