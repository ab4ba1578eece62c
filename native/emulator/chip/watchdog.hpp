// Watchdog of a chip: ARM SP805 style (datasheet section 16). Its first expiry interrupts, the second resets the chip.
#pragma once

#include "chip/packet.hpp"

namespace spindl::emulator {

struct Watchdog {
    static constexpr u32 unlocking = 0x1acce551;

    u32 load = 0xffffffff, control = 0;
    bool locked = false, raised = false;
    i64 zero_at = never;
    u32 stopped_count = 0xffffffff;

    bool counting() const { return control & 1; }
    bool resetting() const { return control & 2; }
    bool interrupting() const { return raised && counting(); }

    // It counts the 133 MHz clock of the System AHB: three core cycles are two counts.
    static i64 cycles(u32 count) { return static_cast<i64>(count) * 3 / 2; }
    void start(i64 now) { zero_at = now + cycles(load > 0 ? load : 1); }

    u32 read(u32 offset, i64 now) const {
        switch (offset) {
            case 0x00: return load;
            case 0x04: return zero_at == never ? stopped_count : zero_at <= now ? 0 : static_cast<u32>((zero_at - now) * 2 / 3);
            case 0x08: return control;
            case 0x10: return raised;
            case 0x14: return interrupting();
            case 0xc00: return locked;
            default: return 0;
        }
    }

    void write(u32 offset, u32 value, i64 now) {
        if (offset == 0xc00) locked = value != unlocking;
        if (locked) return;
        switch (offset) {
            case 0x00:
                load = value;
                if (counting()) start(now);
                break;
            case 0x08: {
                const bool was = counting();
                const u32 left = read(0x04, now);
                control = value & 3;
                if (counting() && !was) start(now);
                if (!counting()) {
                    zero_at = never;
                    stopped_count = left;
                }
                break;
            }
            case 0x0c:
                raised = false;
                if (counting()) start(now);
                break;
            default: break;
        }
    }

    // True if the chip is to be reset.
    bool expire() {
        const bool reset = raised && resetting();
        raised = true;
        start(zero_at);
        return reset;
    }
};

}  // namespace spindl::emulator
