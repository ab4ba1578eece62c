/* options: -Os -mthumb */
/* Streams: blocks of words between cores as multicast packets; spindl.program.stream says what the packets mean.
 *
 * The packets of a block that a core listens to are put in their places by the interrupt (packets.S); all other packets come
 * to stream_arrived, which only takes notes. Sending, checking and answering happen outside interrupts: in `send`, `listen`
 * and `receive` for blocks that are complete or lack something, between any two steps for senders who ask again.
 */
#include "runtime.h"

enum { BLOCKS = 16, PLACES = 1024, REQUESTS = 8, RUNS_AT_ONCE = 8, SAY_AGAIN = 2, LONGEST = 1023 };
enum { COMPLETE = 16, EARLY = 4 };
#define STREAM_KEY(stream, block) ((stream) << 14 | (block) % BLOCKS << 10)
#define REQUEST (1u << 31)

/* What every answer to a block's packets contains. */
static uint32_t check_of(uint32_t data_key) {
    return ((data_key >> 10 ^ 0x5a5a) & 0x7fff) << 16;
}

listening listeners; /* packets.S knows its layout */
volatile uint32_t answers_due;

static struct {
    uint32_t data_key, answer_key;
    const uint32_t *words;
    uint32_t count, head, gap;
    volatile uint32_t acknowledged, asked, served; /* requests: counted, never wrapped by hand */
    struct {
        uint32_t first, count;
    } requests[REQUESTS];
} sending;

/* The last complete block of each stream: its sender may not have heard of it. Key 0: none. */
static struct {
    uint32_t key, receiver;
} complete[COMPLETE];

/* Heads that came before their block was listened to. */
static volatile uint32_t early[EARLY];
static uint32_t early_count;

/* From the packet interrupt: every packet that is not part of a block that is listened to. */
void stream_arrived(uint32_t key, uint32_t payload) {
    if ((key & ~(PLACES - 1)) == sending.answer_key) {
        if ((payload ^ check_of(sending.data_key)) & 0x7fff0000) return; /* changed on its way */
        if (!(payload & REQUEST)) {
            sending.acknowledged |= 1u << (payload & 31);
        } else if (sending.asked - sending.served < REQUESTS) {
            sending.requests[sending.asked % REQUESTS].first = key & (PLACES - 1);
            sending.requests[sending.asked % REQUESTS].count = payload >> 5 & 0x7ff;
            sending.asked++;
        }
        return;
    }
    if (key & (PLACES - 1)) return;
    for (uint32_t i = 0; i < COMPLETE; i++) {
        if (key == complete[i].key) { /* the sender has not heard of it */
            answers_due |= 1u << i;
            return;
        }
    }
    early[early_count++ % EARLY] = key;
}

void acknowledge_again(uint32_t due) {
    for (uint32_t i = 0; i < COMPLETE; i++) {
        if (due >> i & 1) send_packet(complete[i].key + (1u << 14), check_of(complete[i].key) | complete[i].receiver);
    }
}

/* A block that a core listens to, from `listen` to `receive`. */
enum { NOTHING, INCOMPLETE, CHECKED };
static struct {
    uint32_t state, key, places, receiver, last_missing;
} slots[2];

static void begin(uint32_t slot) {
    listener *l = &listeners.of[slot];
    for (uint32_t i = 0; i < PLACES / 32; i++) l->seen[i] = 0;
    l->missing = slots[slot].last_missing = slots[slot].places;
    listeners.place[slot].key = slots[slot].key;
    __asm__ volatile("" ::: "memory");
    listeners.place[slot].capacity = slots[slot].places; /* from now on packets are taken */
    __asm__ volatile("" ::: "memory");
}

/* In place of the stream's block before, whose sender has heard of it: it would not send this one otherwise. */
static void note_complete(uint32_t key, uint32_t receiver) {
    static uint32_t oldest;
    uint32_t entry = 0;
    while (entry < COMPLETE && (complete[entry].key ^ key) >> 14) entry++;
    if (entry == COMPLETE) entry = oldest++ % COMPLETE;
    complete[entry].receiver = receiver;
    complete[entry].key = key;
    acknowledge_again(1u << entry);
}

static void ask(uint32_t key, uint32_t first, uint32_t places, uint32_t receiver) {
    send_packet(key + (1u << 14) + first, REQUEST | check_of(key) | places << 5 | receiver);
}

static int arrived(uint32_t slot) {
    return slots[slot].state == INCOMPLETE && listeners.of[slot].missing == 0;
}

/* Checks blocks that are there, and acknowledges them. */
static void check_blocks(void) {
    for (uint32_t slot = 0; slot < 2; slot++) {
        if (!arrived(slot)) continue;
        listeners.place[slot].capacity = 0; /* what comes now must not change it any more */
        __asm__ volatile("" ::: "memory");
        const uint32_t *block = listeners.of[slot].buffer, count = slots[slot].places - 1;
        if (block[0] != (checksum(block + 1, count) << 16 | count)) {
            begin(slot); /* a word was changed on its way: all of it again */
            ask(slots[slot].key, 0, count + 1, slots[slot].receiver);
            continue;
        }
        slots[slot].state = CHECKED;
        note_complete(slots[slot].key, slots[slot].receiver);
    }
}

/* Asks for what is missing; about once in a millisecond. */
static void ask_for_missing(uint32_t slot) {
    const listener *l = &listeners.of[slot];
    const uint32_t end = slots[slot].places, missing = l->missing;
    if (slots[slot].state != INCOMPLETE) return;
    /* While packets come there is nothing to ask for; before the first one it is the sender who speaks again. */
    const int silent = missing == slots[slot].last_missing && missing != end && missing != 0;
    slots[slot].last_missing = missing;
    if (!silent) return;
    for (uint32_t place = 0, runs = 0; place < end && runs < RUNS_AT_ONCE; place++) {
        if (l->seen[place / 32] >> place % 32 & 1) continue;
        const uint32_t first = place;
        runs++;
        if (runs == RUNS_AT_ONCE) place = end; /* many holes: the rest as a whole */
        while (place < end && !(l->seen[place / 32] >> place % 32 & 1)) place++;
        ask(slots[slot].key, first, place - first, slots[slot].receiver);
    }
}

static void answer_all(void) {
    check_blocks();
    answer_again();
}

static void send_places(uint32_t first, uint32_t count) {
    if (first > sending.count) return;
    const uint32_t end = count > sending.count + 1 - first ? sending.count + 1 : first + count;
    if (first == 0 && end > 0) send_packet(sending.data_key, sending.head);
    if (first == 0) first = 1;
    if (first < end) send_words(sending.data_key + first, sending.words + first - 1, end - first, sending.gap);
}

static uint32_t awaited; /* receivers that have to acknowledge; slot that is received */
static uint32_t total;   /* milliseconds that this block has taken in earlier sleeps */

static int heard(uint32_t receivers) {
    return (receivers & ~sending.acknowledged) == 0 || sending.asked != sending.served || answers_due || arrived(0) ||
           arrived(1);
}

static void late_acknowledgement(uint32_t waited) {
    if (++total > time_out) {
        stop(SPINDL_STOP_ACKNOWLEDGE_TIME_OUT, sending.data_key, awaited & ~sending.acknowledged);
    }
    ask_for_missing(0);
    ask_for_missing(1);
    if (waited % SAY_AGAIN == 0) send_places(0, 1); /* who has the block answers, who lacks something asks */
}

int spindl_send(const spindl_send_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t count = arguments->words;
    if (count < 1 || count > LONGEST || arguments->stream >> 18 || arguments->stream & 1 || arguments->x & 3) {
        return SPINDL_ERROR_ARGUMENT;
    }
    sending.words = (const uint32_t *)(uintptr_t)arguments->x;
    sending.count = count;
    sending.gap = arguments->gap;
    sending.head = checksum(sending.words, count) << 16 | count;
    sending.acknowledged = 0;
    sending.served = sending.asked;
    sending.data_key = STREAM_KEY(arguments->stream, arguments->block);
    sending.answer_key = sending.data_key + (1u << 14);
    awaited = arguments->receivers;
    total = 0;
    send_places(0, count + 1);
    while (awaited & ~sending.acknowledged) {
        counters.stream += sleep_until(heard, awaited, late_acknowledgement);
        answer_all();
        while (sending.asked != sending.served) {
            const uint32_t first = sending.requests[sending.served % REQUESTS].first;
            const uint32_t places = sending.requests[sending.served % REQUESTS].count;
            sending.served++;
            send_places(first, places);
        }
    }
    sending.answer_key = 0;
    return SPINDL_OK;
}

int spindl_listen(const spindl_listen_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot, count = arguments->words;
    if (slot > 1 || count < 1 || count > LONGEST || arguments->stream >> 18 || arguments->stream & 1 || arguments->y & 3 ||
        arguments->y < SPINDL_TILES_START || arguments->y + 4 * (count + 1) > SPINDL_TILES_END || arguments->receiver > 31 ||
        slots[slot].state != NOTHING) {
        return SPINDL_ERROR_ARGUMENT;
    }
    const uint32_t key = STREAM_KEY(arguments->stream, arguments->block);
    slots[slot].state = INCOMPLETE;
    slots[slot].key = key;
    slots[slot].places = count + 1;
    slots[slot].receiver = arguments->receiver;
    listeners.of[slot].buffer = (uint32_t *)(uintptr_t)arguments->y;
    begin(slot);
    for (uint32_t i = 0; i < EARLY; i++) {
        if (early[i] != key) continue;
        early[i] = 0;
        ask(key, 0, count + 1, arguments->receiver); /* its sender waits already */
    }
    answer_all();
    return SPINDL_OK;
}

static int received(uint32_t slot) {
    return slots[slot].state == CHECKED || arrived(0) || arrived(1) || answers_due;
}

static void late_block(uint32_t waited) {
    (void)waited;
    if (++total > time_out) stop(SPINDL_STOP_RECEIVE_TIME_OUT, slots[awaited].key, listeners.of[awaited].missing);
    ask_for_missing(0);
    ask_for_missing(1);
}

int spindl_receive(const spindl_receive_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot;
    if (slot > 1 || slots[slot].state == NOTHING) return SPINDL_ERROR_ARGUMENT;
    awaited = slot;
    total = 0;
    while (slots[slot].state != CHECKED) {
        counters.stream += sleep_until(received, slot, late_block);
        answer_all();
    }
    slots[slot].state = NOTHING;
    return SPINDL_OK;
}
