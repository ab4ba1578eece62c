// Ethernet MAC of a chip (datasheet section 12): one frame in view at a time, the PHY reads as "link up".
#pragma once

#include "chip/packet.hpp"

#include <cstring>
#include <deque>
#include <vector>

namespace spindl::emulator {

using Frame = std::vector<u8>;

struct Ethernet {
    static constexpr u32 transmit_size = 0x600, receive_size = 0xc00;
    static constexpr std::size_t waiting_limit = 63;  // STATUS counts frames in six bits

    u32 control = 0, mac_low = 0, mac_high = 0, phy = 0, length = 0;
    bool transmit_done = false, receive_pending = false;
    u8 transmit[transmit_size] = {}, receive[receive_size] = {};
    std::deque<Frame> waiting;                     // front is shown in `receive`
    std::deque<std::pair<i64, Frame>> sent;        // with the time each reaches the host
    u64 frames_in = 0, frames_out = 0, frames_lost = 0;

    bool receive_line() const { return receive_pending; }

    void arrive(const Frame& frame) {
        if (waiting.size() >= waiting_limit || frame.size() > receive_size || !(control & 1)) {
            ++frames_lost;
            return;
        }
        waiting.push_back(frame);
        ++frames_in;
        receive_pending = true;
        if (waiting.size() == 1) show();
    }

    u32 read(u32 offset) const {
        u32 value = 0;
        if (offset < transmit_size) std::memcpy(&value, transmit + (offset & ~3u), 4);
        if (offset >= 0x4000 && offset < 0x4000 + receive_size) std::memcpy(&value, receive + ((offset - 0x4000) & ~3u), 4);
        switch (offset) {
            case 0x8000: return waiting.empty() ? 0 : static_cast<u32>(waiting.front().size());
            case 0xc000: return control;
            case 0xc004: return static_cast<u32>(waiting.size()) << 1;
            case 0xc008: return length;
            case 0xc014: return mac_low;
            case 0xc018: return mac_high;
            case 0xc01c: return phy | 2;  // MDIO data in stuck at one: every PHY register reads 0xffff
            case 0xc020: return (transmit_done ? 1u : 0) | (receive_pending ? 0x10u : 0);
            default: return value;
        }
    }

    void write(u32 offset, Width width, u32 value, i64 now, u32 frame_delay) {
        const u32 size = static_cast<u32>(width);
        if (offset + size <= transmit_size) std::memcpy(transmit + offset, &value, size);
        switch (offset) {
            case 0xc000: control = value; break;
            case 0xc008: length = value & 0x7ff; break;
            case 0xc00c:
                if (length <= transmit_size) {
                    sent.emplace_back(now + frame_delay, Frame(transmit, transmit + length));
                    ++frames_out;
                    transmit_done = true;
                }
                break;
            case 0xc010:
                if (!waiting.empty()) waiting.pop_front();
                show();
                break;
            case 0xc014: mac_low = value; break;
            case 0xc018: mac_high = value; break;
            case 0xc01c: phy = value; break;
            case 0xc020:
                if (value & 1) transmit_done = false;
                // SC&MP clears it after it has seen no frame; one that came in between must not be forgotten.
                if (value & 0x10) receive_pending = !waiting.empty();
                break;
            default: break;
        }
    }

private:
    void show() {
        if (!waiting.empty()) std::memcpy(receive, waiting.front().data(), waiting.front().size());
    }
};

}  // namespace spindl::emulator
