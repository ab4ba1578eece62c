// System controller of a chip (datasheet section 14): identity, resets, interrupts between cores, locks.
#pragma once

#include "chip/packet.hpp"

namespace spindl::emulator {

struct SystemController {
    u32 clock_disabled = 0;       // bit per core
    u32 interrupts = 0;           // cpu interrupt line per core
    u32 cores_ok = 0x3ffff;
    u32 reset_level = 0;
    u32 reset_code = 0;
    u32 monitor = 0;
    u32 misc = 0;                 // [0] boot area at 0xffff0000 shows System RAM
    u32 gpio_out = 0, gpio_direction = 0;
    u32 pll1 = 0, pll2 = 0, clock_mux = 0;
    u32 flags = 0;                // the SYNC0/SYNC1 barrier, bit per virtual core
    u32 locks = 0;                // test-and-set bits
    u32 arbiters[32] = {};
    u32 link_disable = 0;

    static constexpr u32 chip_id = 0x59111012;

    bool boot_area_is_ram() const { return misc & 1; }

    u32 read(u32 offset, u32 sleeping) {
        if (offset >= 0x80 && offset < 0x100) return arbiters[(offset - 0x80) / 4];
        if (offset >= 0x100 && offset < 0x180) return test_and(offset - 0x100, true);
        if (offset >= 0x180 && offset < 0x200) return test_and(offset - 0x180, false);
        switch (offset) {
            case 0x00: return chip_id;
            case 0x04: return clock_disabled;
            case 0x08: case 0x0c: return interrupts;
            case 0x10: case 0x14: return cores_ok;
            case 0x18: return reset_level;
            case 0x30: return reset_code;
            case 0x34: return monitor;
            case 0x38: return misc;
            case 0x40: case 0x48: return gpio_out & 0xfffffffbu;  // bit 2: serial ROM data, always 0
            case 0x44: return gpio_direction;
            case 0x4c: return gpio_out;
            case 0x50: return pll1;
            case 0x54: return pll2;
            case 0x58: case 0x5c: return flags;
            case 0x60: return clock_mux;
            case 0x64: return sleeping;
            case 0x68: case 0x6c: case 0x70: return 1u << 24 | 6000;  // conversion finished
            case 0x200: return link_disable;
            default: return 0;
        }
    }

    // Writes that act on cores return the cores concerned in `reset` or leave it 0.
    void write(u32 offset, u32 value, u32& reset) {
        const bool guarded = offset == 0x04 || offset == 0x08 || offset == 0x0c || (offset >= 0x18 && offset <= 0x2c) ||
                             offset == 0x34;
        const u32 cores = value & 0x3ffff;
        reset = 0;
        if (guarded && value >> 20 != 0x5ec) return;
        if (offset >= 0x80 && offset < 0x100) arbiters[(offset - 0x80) / 4] = value;
        switch (offset) {
            case 0x04: clock_disabled = cores; break;
            case 0x08: interrupts |= cores; break;
            case 0x0c: interrupts &= ~cores; break;
            case 0x10: cores_ok |= cores; break;
            case 0x14: cores_ok &= ~cores; break;
            case 0x18: case 0x1c:
                reset = reset_level & ~cores;
                reset_level = cores;
                break;
            case 0x24: case 0x28: reset = cores; break;
            case 0x34: monitor = value & 31; break;
            case 0x38: misc = value; break;
            case 0x40: gpio_out = value; break;
            case 0x44: gpio_direction = value; break;
            case 0x48: gpio_out |= value; break;
            case 0x4c: gpio_out &= ~value; break;
            case 0x50: pll1 = value; break;
            case 0x54: pll2 = value; break;
            case 0x58: flags |= value; break;
            case 0x5c: flags &= ~value; break;
            case 0x60: clock_mux = value; break;
            case 0x200: link_disable = value; break;
            default: break;
        }
    }

private:
    u32 test_and(u32 offset, bool set) {
        const u32 bit = 1u << offset / 4;
        const u32 old = locks & bit ? 1u << 31 : 0;
        locks = set ? locks | bit : locks & ~bit;
        return old;
    }
};

}  // namespace spindl::emulator
