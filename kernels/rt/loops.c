/* A loop that is worth ARM code. */
#include "runtime.h"

uint32_t crc_of_words(const uint32_t *table, uint32_t crc, const uint32_t *words, uint32_t count) {
    for (const uint32_t *end = words + count; words != end; words++) {
        crc ^= *words;
        crc = crc >> 8 ^ table[crc & 255];
        crc = crc >> 8 ^ table[crc & 255];
        crc = crc >> 8 ^ table[crc & 255];
        crc = crc >> 8 ^ table[crc & 255];
    }
    return crc;
}
