/* options: -Os -mthumb */
/* Barriers.
 *
 * On a chip: each core has one bit in the system controller's flag register. A barrier is over when all bits have changed:
 * those of the members all become 1, at the next barrier all become 0 again. Whoever sees that he is the last adds 1 to the
 * chip's word and wakes the others by the interrupt that SC&MP uses too; a core that slept through it looks again every
 * millisecond. Nothing has to be prepared but that all bits are equal at the start, as SC&MP leaves them.
 *
 * Between chips: before the leading core of a chip lets its chip go, it tells that of chip 0, by a multicast packet, and waits
 * for its answer. The payload is the barrier's number; nothing hangs on one packet: who waits says so again, and chip 0
 * repeats its answer to those that ask for a barrier that is over.
 */
#include "runtime.h"

enum { AGAIN = 2, RELEASE_DUE = 1 << 16 }; /* AGAIN: ticks after which an arrival is repeated */

static struct {
    uint32_t number;              /* of the next barrier between chips; counts from 1 */
    volatile uint32_t here[2];    /* chip 0: bits of those that have arrived */
    volatile uint32_t released;   /* the last barrier that is over, as packets say */
} chips;

void packets_start(void) {
    chips.number = 1;
    streams_start();
    COMMS_CONTROL = 0; /* multicast */
    while (COMMS_STATUS & COMMS_RECEIVED) (void)COMMS_KEY;
}

void packet_arrived(uint32_t key, uint32_t payload) {
    const uint32_t kind = key & SPINDL_KEY_MASK, chip = key & 63;
    if (kind == SPINDL_KEY_RELEASE) {
        chips.released = payload;
    } else if (kind == SPINDL_KEY_ARRIVE) {
        if (payload == chips.number) chips.here[chip >> 5] |= 1u << (chip & 31);
        else answers_due |= RELEASE_DUE;
    } else {
        stream_arrived(key, payload);
    }
}

void answer_again(void) {
    const uint32_t due = answers_due;
    answers_due = 0; /* one that comes at this moment may be forgotten: who waits asks again */
    if (due & RELEASE_DUE) send_packet(SPINDL_KEY_RELEASE, chips.number - 1);
    if (due) acknowledge_again(due);
}

static uint32_t missing_chips(uint32_t half) {
    const uint32_t count = place.chips - 32 * half;
    const uint32_t wanted = place.chips <= 32 * half ? 0 : count >= 32 ? 0xffffffffu : (1u << count) - 1;
    return wanted & ~chips.here[half] & (half ? 0xffffffffu : ~1u);
}

static int all_chips_here(uint32_t unused) {
    (void)unused;
    return !(missing_chips(0) | missing_chips(1));
}

static int chips_released(uint32_t number) {
    return (int32_t)(chips.released - number) >= 0;
}

static void late_gathering(uint32_t waited) {
    if (waited > time_out) {
        const uint32_t low = missing_chips(0);
        stop(SPINDL_STOP_MACHINE_TIME_OUT, low ? low : missing_chips(1), chips.number);
    }
}

static void late_waiting(uint32_t waited) {
    if (waited > time_out) stop(SPINDL_STOP_MACHINE_TIME_OUT, 0, chips.number);
    if (waited % AGAIN == 0) send_packet(SPINDL_KEY_ARRIVE | place.chip, chips.number);
}

static void meet_chips(void) {
    if (place.chip == 0) {
        counters.barrier += sleep_until(all_chips_here, 0, late_gathering);
        const uint32_t number = chips.number++; /* before the bits go: a repeated arrival must not set one again */
        chips.here[0] = chips.here[1] = 0;
        send_packet(SPINDL_KEY_RELEASE, number);
    } else {
        send_packet(SPINDL_KEY_ARRIVE | place.chip, chips.number);
        counters.barrier += sleep_until(chips_released, chips.number, late_waiting);
        chips.number++;
    }
}

static uint32_t goal; /* what the members' flags shall become */

static uint32_t missing(void) {
    return (SYSTEM_SET_FLAGS ^ goal) & place.members;
}

static int all_here(uint32_t unused) {
    (void)unused;
    return !missing();
}

static int word_changed(uint32_t before) {
    return *place.meeting != before;
}

static void late(uint32_t waited) {
    if (waited > time_out) stop(SPINDL_STOP_BARRIER_TIME_OUT, missing(), place.members);
}

void meet(int all_chips) {
    volatile uint32_t *const word = place.meeting;
    const uint32_t before = *word;
    goal = SYSTEM_SET_FLAGS & own_flag ? 0 : place.members;
    if (goal) SYSTEM_SET_FLAGS = own_flag;
    else SYSTEM_CLEAR_FLAGS = own_flag;
    if (!all_chips) {
        if (missing()) {
            counters.barrier += sleep_until(word_changed, before, late);
            return;
        }
    } else if (place.index != 0) {
        if (!missing()) SYSTEM_RAISE = SYSTEM_PASSWORD | 1u << place.leader;
        counters.barrier += sleep_until(word_changed, before, late);
        return;
    } else {
        counters.barrier += sleep_until(all_here, 0, late);
        if (place.chips > 1) meet_chips();
    }
    *word = before + 1;
    SYSTEM_RAISE = SYSTEM_PASSWORD | place.wake;
}
