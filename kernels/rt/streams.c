/* options: -Os -mthumb */
/* Streams: blocks of words between cores as multicast packets; spindl.program.stream says what the packets mean.
 *
 * The words of a block that a core listens to come in order, as a rule: the interrupt (packets.S) puts them in their places.
 * All other packets come to stream_arrived: it notes places that were passed over, and fills them. Sending, checking and
 * answering happen outside interrupts: in `send`, `listen` and `receive` for blocks that are complete or lack something,
 * between any two steps for senders who ask again. What was lost is always found by the sender: it says the head again
 * until all have acknowledged; who gets a head and lacks words asks for them.
 */
#include "runtime.h"

enum { BLOCKS = 16, PLACES = 1024, RUNS_AT_ONCE = 32, LONGEST = 1023, COMPLETE = 16, READY = 16 };
enum { SEND_TRIES = 1000000 }; /* also in packets.S */
#define STREAM_KEY(stream, block) ((stream) << 14 | (block) % BLOCKS << 10)
#define NOBODY 0xffffffffu
#define REQUEST (1u << 31)
#define CHECK 0x7fff0000u /* of an answer: of a request by the block's key, of an acknowledgement by its head */
#define IN_ORDER() __asm__ volatile("" ::: "memory")

void send_packet(uint32_t key, uint32_t payload) {
    for (uint32_t tries = SEND_TRIES; !(COMMS_CONTROL & COMMS_NOT_FULL); tries--) {
        if (!tries) stop(SPINDL_STOP_SEND_TIME_OUT, key, 0);
    }
    COMMS_SEND_PAYLOAD = payload;
    COMMS_SEND_KEY = key;
    counters.packets_sent++;
}

static uint32_t check_of(uint32_t data_key) {
    return (data_key << 6 ^ 0x5a5a0000) & CHECK;
}

listening listeners; /* packets.S knows its layout */
volatile uint32_t answers_due;
uint32_t run_salt;

static struct {
    uint32_t data_key, answer_key;
    const uint32_t *words;
    uint32_t count, gap;
    uint32_t listening; /* receivers that have said so */
    volatile uint32_t head, acknowledged;
    volatile uint32_t asked;     /* somebody has asked for places since the core last looked */
    uint32_t again[PLACES / 32]; /* a bit for each of them */
} sending;

/* The last complete block of each stream: its sender may not have heard of it. */
static struct {
    uint32_t key, head; /* key: of the block, and the receiver; head 0: none */
} complete[COMPLETE];

/* Who has said that he listens to which block: its answers' key, without the place, and the receiver. */
static volatile uint32_t ready[READY];
static uint32_t ready_count;

static __attribute__((noinline)) void mark(uint32_t *bits, uint32_t first, uint32_t end) {
    while (first < end) {
        const uint32_t from = first % 32, left = end - first, here = left < 32 - from ? left : 32 - from;
        bits[first / 32] |= NOBODY >> (32 - here) << from;
        first += here;
    }
}

/* A packet of a block that is listened to, out of order: places before it become holes, or it fills one. */
static void place_word(listener *l, uint32_t place, uint32_t payload) {
    const uint32_t expected = (uint32_t)(l->at - l->buffer);
    if (place == 0) l->head = 1;
    if (place >= expected) {
        l->holes += place - expected;
        mark(l->hole, expected, place);
        l->at = l->buffer + place + 1;
        l->next = place + 1 == l->places ? NOBODY : l->key + place + 1;
    } else if (l->hole[place / 32] >> place % 32 & 1) {
        l->hole[place / 32] ^= 1u << place % 32;
        l->holes--;
    } else {
        return;
    }
    l->buffer[place] = payload;
    if (place) l->sum += payload * (2 * (l->key + place) + 1);
}

/* From the packet interrupt: every packet that is not the next one of a block. */
void stream_arrived(uint32_t key, uint32_t payload) {
    listeners.of[0].event = 1;
    for (listener *l = listeners.of; l != listeners.of + 2; l++) {
        if (key - l->key < l->places) {
            place_word(l, key - l->key, payload);
            return;
        }
    }
    listeners.taken++;
    const uint32_t place = key % PLACES;
    if (place == LONGEST && key >> 14 & 1 && !(payload & REQUEST)) {
        ready[ready_count++ % READY] = key - place + payload;
    } else if (key - place == sending.answer_key) {
        if (payload & REQUEST) {
            const uint32_t end = place + (payload >> 5 & 0x7ff);
            if ((payload ^ check_of(sending.data_key)) & CHECK || end > PLACES) return; /* changed on its way */
            mark(sending.again, place, end);
            sending.asked = 1;
        } else if (sending.head && ((payload ^ sending.head >> 1) & CHECK) == 0) {
            sending.acknowledged |= 1u << (payload & 31);
        }
    } else if (place == 0) {
        for (uint32_t i = 0; i < COMPLETE; i++) {
            if (payload == complete[i].head && key == (complete[i].key & ~(PLACES - 1))) {
                answers_due |= 1u << i; /* the sender has not heard of it */
                return;
            }
        }
    }
}

void acknowledge_again(uint32_t due) {
    for (uint32_t i = 0; i < COMPLETE; i++) {
        const uint32_t key = complete[i].key;
        if (due >> i & 1) send_packet((key & ~(PLACES - 1)) + (1u << 14), (complete[i].head >> 1 & CHECK) | key % PLACES);
    }
}

static uint32_t missing(uint32_t slot) {
    const listener *l = &listeners.of[slot];
    return l->places - (uint32_t)(l->at - l->buffer) + l->holes;
}

/* A block that a core listens to, from `listen` to `receive`. */
enum { NOTHING, INCOMPLETE, CHECKED };
static struct {
    uint32_t state, key, places, receiver;
} slots[2];

static void begin(uint32_t slot) {
    listener *const l = &listeners.of[slot];
    for (uint32_t i = 1; i < PLACES / 32; i++) l->hole[i] = 0;
    l->hole[0] = l->holes = 1;
    l->head = 0;
    l->sum = run_salt;
    l->key = slots[slot].key;
    l->end = slots[slot].key + slots[slot].places;
    l->at = l->buffer + 1;
    IN_ORDER();
    l->places = slots[slot].places; /* from now on packets are taken */
    l->next = slots[slot].key + 1;
}

/* In place of the stream's block before, whose sender has heard of it: it would not send this one otherwise. */
static void note_complete(uint32_t key, uint32_t receiver, uint32_t head) {
    static uint32_t oldest;
    uint32_t entry = 0;
    while (entry < COMPLETE && (complete[entry].key ^ key) >> 14) entry++;
    if (entry == COMPLETE) entry = oldest++ % COMPLETE;
    complete[entry].head = 0;
    IN_ORDER();
    complete[entry].key = key | receiver;
    IN_ORDER();
    complete[entry].head = head;
    acknowledge_again(1u << entry);
}

static void ask(uint32_t slot, uint32_t first, uint32_t places) {
    const uint32_t key = slots[slot].key;
    send_packet(key + (1u << 14) + first, REQUEST | check_of(key) | places << 5 | slots[slot].receiver);
}

static void ask_for_missing(uint32_t slot) {
    const uint32_t *const hole = listeners.of[slot].hole;
    const uint32_t end = (uint32_t)(listeners.of[slot].at - listeners.of[slot].buffer), places = slots[slot].places;
    uint32_t place = 0;
    for (uint32_t runs = 1; runs < RUNS_AT_ONCE; runs++) {
        while (place < end && !(hole[place / 32] >> place % 32 & 1)) place++;
        if (place == end) break;
        const uint32_t first = place;
        while (place < end && hole[place / 32] >> place % 32 & 1) place++;
        ask(slot, first, place - first);
    }
    if (place < places) ask(slot, place, places - place); /* many holes: the rest as a whole */
}

static void look_at(uint32_t slot) {
    listener *const l = &listeners.of[slot];
    if (slots[slot].state != INCOMPLETE) return;
    if (missing(slot)) {
        if (!l->head) return;
        l->head = 0;
        ask_for_missing(slot);
        return;
    }
    const uint32_t places = slots[slot].places, head = (l->sum & ~(PLACES - 1)) | (places - 1);
    l->places = 0; /* what comes now must not change it any more */
    listeners.taken += places;
    if (l->buffer[0] == head) {
        slots[slot].state = CHECKED;
        note_complete(slots[slot].key, slots[slot].receiver, head);
    } else {
        begin(slot); /* a word was changed on its way: all of it again */
        ask(slot, 0, places);
    }
}

static int event(uint32_t unused) {
    (void)unused;
    return (int)(listeners.of[0].event | listeners.of[1].event);
}

/* After an event: checks blocks that are there and acknowledges them, asks for what is missing. */
static void look(void) {
    listeners.of[0].event = listeners.of[1].event = 0;
    look_at(0);
    look_at(1);
}

static void send_head(void) {
    counters.packets_repeated++;
    send_packet(sending.data_key, sending.head);
}

/* What was asked for, the head last. */
static void send_again(void) {
    uint32_t head = 0;
    sending.asked = 0;
    for (uint32_t i = 0; i < PLACES / 32; i++) {
        const uint32_t status = disable_interrupts();
        uint32_t bits = sending.again[i], place = 32 * i;
        sending.again[i] = 0;
        restore_interrupts(status);
        if (place == 0) {
            head = bits & 1;
            bits ^= head;
        }
        for (; bits; bits >>= 1, place++) {
            const uint32_t first = place;
            for (; bits & 1 && place <= sending.count; bits >>= 1) place++;
            if (place == first) continue;
            counters.packets_sent += place - first;
            counters.packets_repeated += place - first;
            send_words(sending.data_key + first, sending.words + first - 1, place - first, sending.gap);
        }
    }
    if (head) send_head();
}

static uint32_t awaited; /* receivers that have to acknowledge; slot that is received */
static uint32_t total;   /* milliseconds that this block has taken in earlier sleeps */

/* True if all receivers have said that they listen to the block. What each said is used once: numbers come again. */
static int all_listen(void) {
    for (uint32_t i = 0; i < READY; i++) {
        const uint32_t receiver = ready[i] ^ sending.answer_key;
        if (receiver >= 32) continue;
        ready[i] = 0;
        sending.listening |= 1u << receiver;
    }
    return !(awaited & ~sending.listening);
}

/* Their word was lost, or they are very late: they will ask for what they miss. */
static void late_listener(uint32_t waited) {
    if (waited < 2) return; /* the first tick may come at once */
    sending.listening = awaited;
    listeners.of[0].event = 1;
}

static void late_acknowledgement(uint32_t waited) {
    (void)waited;
    if (++total > time_out) {
        stop(SPINDL_STOP_ACKNOWLEDGE_TIME_OUT, sending.data_key, awaited & ~sending.acknowledged);
    }
    send_head(); /* who has the block answers, who lacks something asks */
}

int spindl_send(const spindl_send_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t count = arguments->words, key = STREAM_KEY(arguments->stream, arguments->block);
    if (count - 1 >= LONGEST || arguments->stream >> 18 || arguments->stream & 1 || arguments->x & 3) {
        return SPINDL_ERROR_ARGUMENT;
    }
    sending.words = (const uint32_t *)(uintptr_t)arguments->x;
    sending.count = count;
    sending.gap = arguments->gap;
    sending.head = sending.acknowledged = 0;
    sending.asked = 0;
    for (uint32_t i = 0; i < PLACES / 32; i++) sending.again[i] = 0;
    sending.data_key = key;
    sending.answer_key = key + (1u << 14);
    awaited = arguments->receivers;
    total = 0;
    for (sending.listening = 0; !all_listen(); look()) counters.stream += sleep_until(event, 0, late_listener);
    counters.packets_sent += count;
    const uint32_t sum = run_salt + send_words(key + 1, sending.words, count, sending.gap);
    sending.head = (sum & ~(PLACES - 1)) | count;
    send_packet(key, sending.head);
    while (awaited & ~sending.acknowledged) {
        counters.stream += sleep_until(event, 0, late_acknowledgement);
        look();
        if (sending.asked) send_again();
    }
    sending.answer_key = NOBODY;
    return SPINDL_OK;
}

int spindl_listen(const spindl_listen_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot, count = arguments->words;
    if (slot > 1 || count - 1 >= LONGEST || arguments->stream >> 18 || arguments->stream & 1 || arguments->y & 3 ||
        !in_tiles(arguments->y, count + 1) || arguments->receiver > 31 || slots[slot].state != NOTHING) {
        return SPINDL_ERROR_ARGUMENT;
    }
    const uint32_t key = STREAM_KEY(arguments->stream, arguments->block);
    slots[slot].state = INCOMPLETE;
    slots[slot].key = key;
    slots[slot].places = count + 1;
    slots[slot].receiver = arguments->receiver;
    listeners.of[slot].buffer = (uint32_t *)(uintptr_t)arguments->y;
    begin(slot);
    send_packet(key + (1u << 14) + LONGEST, arguments->receiver); /* its sender may wait for that */
    look();
    return SPINDL_OK;
}

static void late_block(uint32_t waited) {
    (void)waited;
    if (++total > time_out) stop(SPINDL_STOP_RECEIVE_TIME_OUT, slots[awaited].key, missing(awaited));
}

int spindl_receive(const spindl_receive_arguments *arguments, spindl_context *context) {
    (void)context;
    const uint32_t slot = arguments->slot;
    if (slot > 1 || slots[slot].state == NOTHING) return SPINDL_ERROR_ARGUMENT;
    awaited = slot;
    total = 0;
    for (look(); slots[slot].state != CHECKED; look()) counters.stream += sleep_until(event, 0, late_block);
    slots[slot].state = NOTHING;
    return SPINDL_OK;
}

void streams_start(void) {
    listeners.of[0].next = listeners.of[1].next = sending.answer_key = NOBODY;
}
