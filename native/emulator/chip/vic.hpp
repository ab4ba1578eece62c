// Vectored interrupt controller of one core: ARM PL190 (datasheet section 5).
#pragma once

#include "arm/core.hpp"

#include <bit>

namespace spindl::emulator {

enum Interrupt : u32 {
    watchdog_interrupt = 0, timer1_interrupt = 4, timer2_interrupt = 5, packet_interrupt = 6, transmit_empty_interrupt = 11, dma_done_interrupt = 12,
    dma_timeout_interrupt = 14, router_diagnostic_interrupt = 15, router_dump_interrupt = 16, cpu_interrupt = 18,
    ethernet_transmit_interrupt = 19, ethernet_receive_interrupt = 20, slow_timer_interrupt = 22,
    transmit_not_full_interrupt = 23, first_packet_type_interrupt = 24
};

struct Vic {
    u32 lines = 0, soft = 0, enable = 0, select = 0;
    u32 default_address = 0;
    u32 addresses[16] = {}, controls[16] = {};
    u32 in_service = 0;  // bit per priority level; 16 is the default vector

    u32 raw() const { return lines | soft; }
    u32 pending_irq() const { return raw() & enable & ~select; }
    bool fiq() const { return (raw() & enable & select) != 0; }
    bool irq() const {
        const u32 pending = pending_irq();
        return pending != 0 && best_level(pending) < current_level();
    }

    u32 read(u32 offset) {
        if (offset >= 0x100 && offset < 0x140) return addresses[(offset - 0x100) / 4];
        if (offset >= 0x200 && offset < 0x240) return controls[(offset - 0x200) / 4];
        switch (offset) {
            case 0x00: return pending_irq();
            case 0x04: return raw() & enable & select;
            case 0x08: return raw();
            case 0x0c: return select;
            case 0x10: return enable;
            case 0x18: return soft;
            case 0x30: return acknowledge();
            case 0x34: return default_address;
            default: return 0;
        }
    }

    void write(u32 offset, u32 value) {
        if (offset >= 0x100 && offset < 0x140) addresses[(offset - 0x100) / 4] = value;
        if (offset >= 0x200 && offset < 0x240) controls[(offset - 0x200) / 4] = value;
        switch (offset) {
            case 0x0c: select = value; break;
            case 0x10: enable |= value; break;
            case 0x14: enable &= ~value; break;
            case 0x18: soft |= value; break;
            case 0x1c: soft &= ~value; break;
            case 0x30: in_service &= in_service - 1; break;
            case 0x34: default_address = value; break;
            default: break;
        }
    }

private:
    u32 current_level() const { return in_service == 0 ? 17 : static_cast<u32>(std::countr_zero(in_service)); }

    u32 best_level(u32 pending) const {
        for (u32 slot = 0; slot < 16; ++slot) {
            if ((controls[slot] & 0x20) && (pending >> (controls[slot] & 31) & 1)) return slot;
        }
        return pending != 0 ? 16 : 17;
    }

    // Reading the vector address masks this priority and all below until the address register is written.
    u32 acknowledge() {
        const u32 level = best_level(pending_irq());
        in_service |= 1u << (level < 16 ? level : 16);
        return level < 16 ? addresses[level] : default_address;
    }
};

}  // namespace spindl::emulator
