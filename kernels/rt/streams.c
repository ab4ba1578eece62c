/* options: -Os -mthumb */
/* Streams: blocks of words between cores as multicast packets; spindl.program.stream says what the packets mean.
 *
 * The packets of a block that a core listens to are put in their places by the interrupt (packets.S); all other packets come
 * to packet_arrived, which only takes notes. Sending and answering happen outside interrupts.
 */
#include "runtime.h"

enum { BLOCKS = 16, PLACES = 1024, REQUESTS = 8, RUNS_AT_ONCE = 8, SAY_AGAIN = 2, LONGEST = 1023 };
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

static struct {
    uint32_t key, receiver; /* of the last complete block of a slot; key 0: none */
} complete[2];

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
    for (uint32_t slot = 0; slot < 2; slot++) {
        if (key == complete[slot].key) answers_due |= 1u << slot; /* the sender has not heard of it */
    }
}

void acknowledge_again(uint32_t slots) {
    for (uint32_t slot = 0; slot < 2; slot++) {
        if (slots >> slot & 1) {
            send_packet(complete[slot].key + (1u << 14), check_of(complete[slot].key) | complete[slot].receiver);
        }
    }
}

static void send_places(uint32_t first, uint32_t count) {
    if (first > sending.count) return;
    const uint32_t end = count > sending.count + 1 - first ? sending.count + 1 : first + count;
    if (first == 0 && end > 0) send_packet(sending.data_key, sending.head);
    if (first == 0) first = 1;
    if (first < end) send_words(sending.data_key + first, sending.words + first - 1, end - first, sending.gap);
}

static int heard(uint32_t receivers) {
    return (receivers & ~sending.acknowledged) == 0 || sending.asked != sending.served || answers_due;
}

static uint32_t awaited; /* for late_acknowledgement */
static uint32_t total;   /* milliseconds that this block has taken in earlier sleeps */

static void late_acknowledgement(uint32_t waited) {
    total++;
    if (total > time_out) {
        stop(SPINDL_STOP_ACKNOWLEDGE_TIME_OUT, sending.data_key, awaited & ~sending.acknowledged);
    }
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
        answer_again();
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

static void begin(uint32_t slot) {
    listener *l = &listeners.of[slot];
    for (uint32_t i = 0; i < PLACES / 32; i++) l->seen[i] = 0;
    l->missing = listeners.place[slot].capacity;
}

int spindl_listen(const spindl_listen_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot, count = arguments->words;
    if (slot > 1 || count < 1 || count > LONGEST || arguments->stream >> 18 || arguments->stream & 1 || arguments->y & 3 ||
        arguments->y < SPINDL_TILES_START || arguments->y + 4 * (count + 1) > SPINDL_TILES_END) {
        return SPINDL_ERROR_ARGUMENT;
    }
    const uint32_t status = disable_interrupts();
    listeners.place[slot].key = STREAM_KEY(arguments->stream, arguments->block);
    listeners.place[slot].capacity = count + 1;
    listeners.of[slot].buffer = (uint32_t *)(uintptr_t)arguments->y;
    begin(slot);
    restore_interrupts(status);
    return SPINDL_OK;
}

static int seen(const listener *l, uint32_t place) {
    return l->seen[place / 32] >> place % 32 & 1;
}

static uint32_t awaiting, me, last_missing; /* slot, number, places missing at the last look; for late_block */

static void late_block(uint32_t waited) {
    (void)waited;
    const listener *l = &listeners.of[awaiting];
    const uint32_t key = listeners.place[awaiting].key, end = listeners.place[awaiting].capacity, missing = l->missing;
    if (++total > time_out) stop(SPINDL_STOP_RECEIVE_TIME_OUT, key, missing);
    answer_again();
    /* While packets come there is nothing to ask for; before the first one it is the sender who speaks again. */
    const int silent = missing == last_missing && missing != end;
    last_missing = missing;
    if (!silent) return;
    for (uint32_t place = 0, runs = 0; place < end && runs < RUNS_AT_ONCE; place++) {
        if (seen(l, place)) continue;
        const uint32_t first = place;
        runs++;
        if (runs == RUNS_AT_ONCE) place = end; /* many holes: the rest as a whole */
        while (place < end && !seen(l, place)) place++;
        send_packet(key + (1u << 14) + first, REQUEST | check_of(key) | (place - first) << 5 | me);
    }
}

static int all_there(uint32_t slot) {
    return listeners.of[slot].missing == 0;
}

int spindl_receive(const spindl_receive_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot;
    if (slot > 1 || arguments->receiver > 31 || listeners.place[slot].capacity == 0) return SPINDL_ERROR_ARGUMENT;
    const uint32_t count = listeners.place[slot].capacity - 1;
    const uint32_t *block = listeners.of[slot].buffer;
    awaiting = slot;
    me = arguments->receiver;
    last_missing = 0;
    total = 0;
    for (;;) {
        counters.stream += sleep_until(all_there, slot, late_block);
        if (block[0] == (checksum(block + 1, count) << 16 | count)) break;
        const uint32_t status = disable_interrupts(); /* a word was changed on its way: all of it again */
        begin(slot);
        restore_interrupts(status);
    }
    const uint32_t status = disable_interrupts();
    complete[slot].key = listeners.place[slot].key;
    complete[slot].receiver = me;
    listeners.place[slot].capacity = 0;
    restore_interrupts(status);
    answers_due |= 1u << slot;
    answer_again();
    return SPINDL_OK;
}
