// Communications controller of one core (datasheet section 8).
#pragma once

#include "chip/packet.hpp"
#include "chip/vic.hpp"

namespace spindl::emulator {

struct Comms {
    // Depth of the buffers is not documented. Four hides the scheduling quantum; a full receive buffer holds the router.
    static constexpr u32 depth = 4;

    u8 control = 0;
    u32 payload = 0, source = 0x07000000;
    bool payload_written = false, full_seen = false, overrun = false;
    Packet last;  // most recently read
    Ring<TimedPacket, depth> transmit;
    Ring<Packet, depth> receive;

    u32 lines() const {
        u32 lines = (transmit.empty() ? 1u << transmit_empty_interrupt : 0) |
                    (transmit.full() ? 0 : 1u << transmit_not_full_interrupt);
        if (!receive.empty()) lines |= 1u << packet_interrupt | 1u << first_packet_type_interrupt << receive.front().type();
        return lines;
    }

    static u32 key_as_received(const Packet& packet) {
        if (packet.type() != point_to_point) return packet.key;
        return packet.key >> 16 | (packet.control >> 4 & 3u) << 16;
    }

    u32 read(u32 offset) {
        switch (offset) {
            case 0x00:
                return (transmit.empty() ? 1u << 31 : 0) | (full_seen ? 1u << 30 : 0) | (overrun ? 1u << 29 : 0) |
                       (transmit.full() ? 0 : 1u << 28) | u32{control} << 16;
            case 0x0c: {
                if (receive.empty()) return u32{last.route} << 24 | u32{last.control} << 16;
                const Packet& p = receive.front();
                return 1u << 31 | 1u << 27 | u32{p.route} << 24 | u32{p.control} << 16 | 1u << p.type();
            }
            case 0x10: return receive.empty() ? last.payload : receive.front().payload;
            case 0x14:
                if (!receive.empty()) {
                    last = receive.front();
                    receive.pop();
                }
                return key_as_received(last);
            case 0x18: return source;
            default: return 0;
        }
    }

    // True if this queued a packet.
    bool write(u32 offset, u32 value, i64 now) {
        switch (offset) {
            case 0x00:
                control = static_cast<u8>(value >> 16);
                if (!(value >> 30 & 1)) full_seen = false;
                if (!(value >> 29 & 1)) overrun = false;
                return false;
            case 0x04:
                payload = value;
                payload_written = true;
                return false;
            case 0x08: return send(value, now);
            case 0x0c: return false;
            case 0x18: source = value; return false;
            default: return false;
        }
    }

private:
    bool send(u32 key, i64 now) {
        if (transmit.full()) {
            overrun = true;
            return false;
        }
        Packet packet;
        packet.control = payload_written ? control | 2 : control;
        packet.key = key;
        packet.payload = payload;
        packet.route = static_cast<u8>(source >> 24 & 7);
        if (packet.type() == point_to_point) {
            packet.key = (source & 0xffff) << 16 | (key & 0xffff);
            packet.control = static_cast<u8>((packet.control & ~0x30) | (key >> 16 & 3) << 4);
        }
        payload_written = false;
        transmit.push({packet, now});
        full_seen |= transmit.full();
        return true;
    }
};

}  // namespace spindl::emulator
