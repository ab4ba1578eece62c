/* Loops that are worth ARM code: packets out of the communications controller, checksums. */
#include "runtime.h"

enum { SEND_TRIES = 1000000 };

static inline void send(uint32_t key, uint32_t payload) {
    for (uint32_t tries = 0; !(COMMS_CONTROL & COMMS_NOT_FULL); tries++) {
        if (tries > SEND_TRIES) stop(SPINDL_STOP_SEND_TIME_OUT, key, 0);
    }
    COMMS_SEND_PAYLOAD = payload;
    COMMS_SEND_KEY = key;
}

void send_packet(uint32_t key, uint32_t payload) {
    send(key, payload);
    counters.packets_sent++;
}

void send_words(uint32_t key, const uint32_t *words, uint32_t count, uint32_t gap) {
    counters.packets_sent += count;
    uint32_t before = cycle_count();
    for (const uint32_t *end = words + count; words != end; words++) {
        send(key++, *words);
        if (gap) {
            while (cycle_count() - before < gap) {}
            before += gap;
        }
    }
}

/* Sum of the halves, each times its place, modulo 2^16 - 1. */
uint32_t checksum(const uint32_t *words, uint32_t count) {
    uint32_t sum = 0, weight = 1;
    for (uint32_t i = 0; i < count; i++) {
        sum += weight * (words[i] & 0xffff);
        sum = (sum & 0xffff) + (sum >> 16);
        sum += (weight + 1) * (words[i] >> 16);
        sum = (sum & 0xffff) + (sum >> 16);
        weight += 2;
    }
    while (sum >= 0xffff) sum -= 0xffff;
    return sum;
}

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
