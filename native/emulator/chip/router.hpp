// Router of a chip (datasheet section 10): state. Behaviour is in router.cpp.
#pragma once

#include "chip/packet.hpp"

#include <vector>

namespace spindl::emulator {

constexpr u32 multicast_entries = 1024, p2p_words = 8192;
constexpr u32 ports = links_per_chip + cores_per_chip;  // bits of a route: 0-5 links, 6-23 physical cores

// How many packets a link can hold at the far end before the sender must wait. Real links hold fewer; eight cover the
// scheduling quantum, so that a link reaches its full rate.
constexpr u32 link_credits = 8;
constexpr u32 link_places = 16;  // replies to peeks and emergency second legs do not wait for credits

struct LinkOutput {
    i64 free_at = 0;             // end of the packet being serialised
    u32 credits = link_credits;
    Packet late;                 // a fault: passed on behind `late_after` later packets; 0: there is none
    u32 late_after = 0;
};

struct Router {
    u32 control = 0;
    u32 error_registers[4] = {};
    // The dump register holds the first dropped packet until its status is read.
    bool dumped = false, dump_overflow = false;
    Packet dump;
    u32 dump_phase = 0, dump_outputs = 0, dump_sticky = 0;

    u32 diagnostic_enable = 0;
    u32 filters[16] = {};
    u32 counters[16] = {};
    u32 timing_control = 0, diversion = 0, fixed_route = 0;
    u64 cycle_offset = 0;

    u32 route[multicast_entries] = {}, key[multicast_entries] = {}, mask[multicast_entries] = {};
    u32 p2p[p2p_words] = {};
    u32 entries_used = 0;        // 1 + highest multicast entry that can match

    Ring<TimedPacket, link_places> input[links_per_chip];
    u32 arrived = 0;             // inputs that hold a packet, bit per link
    LinkOutput output[links_per_chip];

    // Output stage: one packet at a time, held until all its ports have taken it or it is dropped.
    bool holding = false;
    Packet held;
    u32 waiting_ports = 0;
    u32 held_route = 0;
    i64 held_since = 0;
    i64 free_at = 0;             // when the next packet may enter

    u64 packets = 0, drops = 0, blocked_cycles = 0, emergency = 0;

    bool enabled() const { return control & 1; }
    u32 monitor() const { return control >> 8 & 31; }
    bool dump_interrupt() const { return dumped && (control & 4); }
};

// Results of looking up recent keys; a write to the table starts a new generation. Not part of a snapshot.
struct RouteCache {
    static constexpr u32 size = 1024;
    struct Entry {
        u32 key = 0, route = 0, generation = 0;
        bool matched = false;
    };
    std::vector<Entry> entries = std::vector<Entry>(size);
    u32 generation = 1;

    Entry& slot(u32 key) { return entries[(key ^ key >> 10 ^ key >> 20) % size]; }
};

// wait1 and wait2 are 8-bit floats in router clocks (datasheet); 0xff waits for ever.
i64 router_wait_cycles(u32 field);

}  // namespace spindl::emulator
