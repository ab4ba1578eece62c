// DMA controller of one core (datasheet section 7). One transfer runs, one may be queued.
#pragma once

#include "chip/packet.hpp"

namespace spindl::emulator {

struct Transfer {
    u32 system = 0, tcm = 0, description = 0, bytes_left = 0;

    bool to_system() const { return description >> 19 & 1; }
    bool with_crc() const { return description >> 20 & 1; }
    u32 burst_bytes() const { return (description >> 24 & 1 ? 8u : 4u) << (description >> 21 & 7); }
};

struct Dma {
    u32 system = 0, tcm = 0, global = 0, statistics = 0, timeout = 0;
    bool active = false, queued = false;
    Transfer current, next;
    i64 ready_at = never;  // when the engine can issue its next burst, or has finished the last one
    u32 done = 0;          // finished transfers that software has not acknowledged
    bool error = false, aborted = false;
    u32 crc = 0, crc_wanted = 0;

    bool interrupting() const { return (done > 0 && (global >> 10 & 1)) || (done > 1 && (global >> 11 & 1)); }
    bool erring() const { return (error && (global >> 15 & 1)) || (aborted && (global >> 16 & 1)); }

    // What it waits for is a burst from or to SDRAM.
    bool wants_sdram() const { return active && current.bytes_left != 0 && current.system >> 24 < 0x80; }

    u32 status(u32 core) const {
        return (active ? 1u : 0) | (queued ? 4u : 0) | (done > 0 ? 1u << 10 : 0) | (done > 1 ? 1u << 11 : 0) |
               (error ? 1u << 15 : 0) | (aborted ? 1u << 16 : 0) | core << 24;
    }

    u32 read(u32 offset, u32 core) const {
        switch (offset) {
            case 0x04: return system;
            case 0x08: return tcm;
            case 0x0c: return queued ? next.description : current.description;
            case 0x14: return status(core);
            case 0x18: return global;
            case 0x1c: case 0x20: return crc;
            case 0x24: return timeout;
            case 0x28: return statistics;
            case 0x104: return current.system;
            case 0x108: return current.tcm;
            case 0x10c: return current.description;
            default: return 0;
        }
    }

    void write(u32 offset, u32 value, i64 now) {
        switch (offset) {
            case 0x04: system = value; break;
            case 0x08: tcm = value; break;
            case 0x0c: submit({system, tcm, value, value & 0x1fffc}, now); break;
            case 0x10: control(value); break;
            case 0x18: global = value; break;
            case 0x24: timeout = value; break;
            case 0x28: statistics = value; break;
            default: break;
        }
    }

    void finish(i64 now) {
        ++done;
        active = queued;
        ready_at = never;
        if (queued) {
            queued = false;
            begin(next, now);
        }
    }

private:
    void begin(const Transfer& transfer, i64 now) {
        current = transfer;
        active = true;
        ready_at = now;
        crc = 0xffffffff;
    }

    void submit(const Transfer& transfer, i64 now) {
        if (!active) {
            begin(transfer, now);
        } else {
            next = transfer;
            queued = true;
        }
    }

    void control(u32 value) {
        if (value & 1) queued = false;
        if (value & 2 && active) {
            active = queued = false;
            ready_at = never;
            aborted = true;
        }
        if (value & 4) error = aborted = false;
        if (value & 8 && done > 0) --done;
    }
};

}  // namespace spindl::emulator
