/* options: -Os */
/* Barriers by multicast packets. Every core tells core 0 of its chip that it has arrived; core 0 answers all.
 *
 * The payload is the barrier's number. Nothing hangs on one packet: who waits says so again every millisecond, and core 0
 * repeats its answer to a core that asks for a barrier that is over. Between chips it is the same: core 0 of each chip
 * tells core 0 of chip 0.
 */
#include "runtime.h"

enum { SEND_TRIES = 1000000, AGAIN = 2 }; /* AGAIN: ticks after which an arrival is repeated, a power of two */

/* One side of a barrier that gathers and one that waits. */
typedef struct {
    uint32_t number;             /* of the barrier to come; counts from 1 */
    volatile uint32_t here, here_high; /* bits of those that have arrived */
    volatile uint32_t released;  /* the last barrier that is over, as packets say */
    volatile uint32_t asked;     /* somebody waits for a barrier that is over */
} meeting;

static meeting chip, machine;

void packets_start(void) {
    chip.number = machine.number = 1;
    COMMS_CONTROL = 0; /* multicast */
    while (COMMS_STATUS & COMMS_RECEIVED) (void)COMMS_KEY;
}

void send_packet(uint32_t key, uint32_t payload) {
    for (uint32_t tries = 0; !(COMMS_CONTROL & COMMS_NOT_FULL); tries++) {
        if (tries > SEND_TRIES) stop(SPINDL_STOP_SEND_TIME_OUT, key, 0);
    }
    COMMS_SEND_PAYLOAD = payload;
    COMMS_SEND_KEY = key;
    counters.packets_sent++;
}

static void arrived(meeting *at, uint32_t who, uint32_t number) {
    if (number == at->number) {
        if (who < 32) at->here |= 1u << who;
        else if (who < 64) at->here_high |= 1u << (who - 32);
    } else {
        at->asked = 1;
    }
}

void packet_interrupt(void) {
    while (COMMS_STATUS & COMMS_RECEIVED) {
        const uint32_t payload = COMMS_PAYLOAD, key = COMMS_KEY;
        counters.packets_received++;
        switch (key & SPINDL_KEY_MASK) {
            case SPINDL_KEY_ARRIVE: arrived(&chip, key & 255, payload); break;
            case SPINDL_KEY_RELEASE: chip.released = payload; break;
            case SPINDL_KEY_MACHINE_ARRIVE: arrived(&machine, key & 255, payload); break;
            case SPINDL_KEY_MACHINE_RELEASE: machine.released = payload; break;
            default: break;
        }
    }
}

void answer_again(void) {
    if (chip.asked) {
        chip.asked = 0;
        send_packet(SPINDL_KEY_RELEASE, chip.number - 1);
    }
    if (machine.asked) {
        machine.asked = 0;
        send_packet(SPINDL_KEY_MACHINE_RELEASE, machine.number - 1);
    }
}

static uint32_t bits(uint32_t count) {
    return count >= 32 ? 0xffffffffu : (1u << count) - 1;
}

static uint32_t wanted, wanted_high, arrive_key, time_out_error; /* for the functions below */

static void late_gathering(uint32_t waited) {
    const meeting *at = time_out_error == SPINDL_STOP_BARRIER_TIME_OUT ? &chip : &machine;
    if (waited > time_out) {
        const uint32_t low = wanted & ~at->here, high = wanted_high & ~at->here_high;
        stop(time_out_error, low ? low : high, at->number);
    }
    answer_again();
}

static void late_waiting(uint32_t waited) {
    const meeting *at = time_out_error == SPINDL_STOP_BARRIER_TIME_OUT ? &chip : &machine;
    if (waited > time_out) stop(time_out_error, 0, at->number);
    if (waited % AGAIN == 0) send_packet(arrive_key, at->number);
}

static void gather(meeting *at, uint32_t count, uint32_t error) {
    wanted = bits(count) & ~1u;
    wanted_high = count > 32 ? bits(count - 32) : 0;
    time_out_error = error;
    SLEEP_UNTIL((at->here & wanted) == wanted && (at->here_high & wanted_high) == wanted_high, counters.barrier,
                late_gathering);
}

static void release(meeting *at, uint32_t key) {
    const uint32_t number = at->number++; /* before the bits go: a repeated arrival must not set one again */
    at->here = at->here_high = 0;
    send_packet(key, number);
}

static void wait_for_release(meeting *at, uint32_t key, uint32_t error) {
    arrive_key = key;
    time_out_error = error;
    send_packet(key, at->number);
    SLEEP_UNTIL((int32_t)(at->released - at->number) >= 0, counters.barrier, late_waiting);
    at->number++;
}

static void meet(uint32_t cores, int all_chips) {
    const uint32_t index = place.index;
    if (index != 0) {
        wait_for_release(&chip, SPINDL_KEY_ARRIVE | index, SPINDL_STOP_BARRIER_TIME_OUT);
        return;
    }
    gather(&chip, cores, SPINDL_STOP_BARRIER_TIME_OUT);
    if (all_chips && place.chips > 1) {
        if (place.chip == 0) {
            gather(&machine, place.chips, SPINDL_STOP_MACHINE_TIME_OUT);
            release(&machine, SPINDL_KEY_MACHINE_RELEASE);
        } else {
            wait_for_release(&machine, SPINDL_KEY_MACHINE_ARRIVE | place.chip, SPINDL_STOP_MACHINE_TIME_OUT);
        }
    }
    if (cores > 1) release(&chip, SPINDL_KEY_RELEASE);
}

void meet_chip(uint32_t cores) {
    meet(cores, 0);
}

void meet_machine(uint32_t cores) {
    meet(cores, 1);
}
