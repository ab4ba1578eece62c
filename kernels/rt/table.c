/* options: -Os -mthumb */
/* Before the walk: is this a table for this core, and is the code there that it needs? */
#include "runtime.h"

enum { CRC_PIECE = 4096 };

spindl_schedule_header header;
uint32_t table_at, table_bytes;
spindl_context context;
static uint32_t checked_at, checked_crc; /* the table whose CRC was right */
static spindl_schedule_transfer fetches[FETCHES];

/* Asks for bytes of the table; they are there when rows_done has reached the result. */
uint32_t fetch(uint32_t slot, uint32_t sdram, uint32_t dtcm, uint32_t bytes) {
    fetches[slot] = (spindl_schedule_transfer){sdram, dtcm, bytes, 1, SPINDL_TRANSFER_TO_DTCM, 0, 0};
    counters.read += dma_enqueue(&fetches[slot], 1);
    return rows_asked;
}

/* zlib's CRC-32, begun with `crc`, of bytes in SDRAM, through the tiles' memory. */
static uint32_t crc_of_sdram(uint32_t crc, uint32_t at, uint32_t bytes) {
    uint32_t *const table = (uint32_t *)(uintptr_t)SPINDL_TILES_START;
    const uint32_t room[2] = {SPINDL_TILES_START + 1024, SPINDL_TILES_START + 1024 + CRC_PIECE};
    uint32_t there = 0;
    for (uint32_t done = 0, piece = 0; done < bytes; done += CRC_PIECE, piece ^= 1) {
        const uint32_t left = bytes - done, here = left < CRC_PIECE ? left : CRC_PIECE;
        if (done == 0) there = fetch(piece, at, room[piece], here);
        dma_wait(there);
        if (left > CRC_PIECE) {
            const uint32_t more = left - CRC_PIECE;
            there = fetch(piece ^ 1, at + done + CRC_PIECE, room[piece ^ 1], more < CRC_PIECE ? more : CRC_PIECE);
        }
        crc = crc_of_words(table, crc, (const uint32_t *)(uintptr_t)room[piece], here / 4);
    }
    return crc;
}

static void make_crc_table(void) {
    uint32_t *const table = (uint32_t *)(uintptr_t)SPINDL_TILES_START;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t value = i;
        for (int bit = 0; bit < 8; bit++) value = value >> 1 ^ (value & 1 ? 0xedb88320u : 0);
        table[i] = value;
    }
}

/* Of the header without its last word and of all blocks. */
static uint32_t table_crc(void) {
    make_crc_table();
    const uint32_t *const table = (const uint32_t *)(uintptr_t)SPINDL_TILES_START;
    const uint32_t crc = crc_of_words(table, 0xffffffff, (const uint32_t *)&header, sizeof header / 4 - 1);
    return ~crc_of_sdram(crc, table_at, table_bytes);
}

/* Once after the start. */
void check_overlays(void) {
    static uint32_t checked;
    const uint32_t from = record->overlays;
    if (checked || overlay_places[0].bytes == 0) return;
    if (from & 3 || from < 0x60000000u || from >= 0x68000000u) stop(SPINDL_STOP_OVERLAYS, from, 0);
    make_crc_table();
    for (uint32_t i = 0; i < 8 && overlay_places[i].bytes; i++) {
        const uint32_t crc = ~crc_of_sdram(0xffffffff, from + overlay_places[i].offset, overlay_places[i].bytes);
        if (crc != overlay_places[i].crc) stop(SPINDL_STOP_OVERLAY_CRC, i + 1, crc);
    }
    checked = 1;
}

void check_table(void) {
    const uint32_t at = record->schedule, bytes = record->schedule_bytes;
    if (at & 3 || bytes & 3 || bytes < sizeof header || !in_regions(at, bytes >> 2, 0)) stop(SPINDL_STOP_SCHEDULE_PLACE, at, bytes);
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
    if (exponents && (header.exponents & 3 || !in_tiles(header.exponents, (exponents + 3) >> 2))) {
        stop(SPINDL_STOP_SCHEDULE_TABLES, header.exponents, exponents);
    }
    if (sites && (header.sites & 3 || !in_tiles(header.sites, sites >> 2))) stop(SPINDL_STOP_SCHEDULE_TABLES, header.sites, sites);
    context = (spindl_context){(int16_t *)(uintptr_t)header.exponents, (spindl_site *)(uintptr_t)header.sites,
                               header.exponent_count, header.site_count, 0};
}
