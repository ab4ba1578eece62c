// Packets, and the small fixed-size queue that holds them in every buffer of the chip.
#pragma once

#include "arm/core.hpp"

namespace spindl::emulator {

constexpr u32 cores_per_chip = 18;
constexpr u32 links_per_chip = 6;  // 0 E, 1 NE, 2 N, 3 W, 4 SW, 5 S
constexpr u8 from_core = 7;        // route field of a packet that a core of this chip sent
constexpr i64 never = INT64_MAX / 4;

constexpr u32 opposite(u32 link) { return (link + 3) % links_per_chip; }

enum PacketType : u8 { multicast = 0, point_to_point = 1, nearest_neighbour = 2, fixed_route = 3 };

// Control byte (datasheet section 8): [7:6] type, [1] payload present; [5:4] emergency routing (multicast, fixed route)
// or sequence code (p2p); nearest neighbour: [5] peek or poke, [4:2] link.
struct Packet {
    u32 key = 0;  // p2p: source chip in the upper half, destination in the lower
    u32 payload = 0;
    u8 control = 0;
    u8 route = from_core;  // link it came by
    bool default_routed = false;

    PacketType type() const { return static_cast<PacketType>(control >> 6); }
    bool has_payload() const { return control & 2; }
    u32 bits() const { return has_payload() ? 72 : 40; }
};

struct TimedPacket {
    Packet packet;
    i64 time = 0;
};

// A ring buffer that can be copied as bytes.
template <class T, u32 Capacity>
struct Ring {
    T items[Capacity] = {};
    u32 head = 0, count = 0;

    bool empty() const { return count == 0; }
    bool full() const { return count == Capacity; }
    const T& front() const { return items[head]; }
    const T& back() const { return items[(head + count - 1) % Capacity]; }
    void push(const T& item) { items[(head + count++) % Capacity] = item; }
    void pop() {
        head = (head + 1) % Capacity;
        --count;
    }
};

}  // namespace spindl::emulator
