// One of the two timers of a core: ARM SP804 style (datasheet section 6). Times are core cycles.
#pragma once

#include "chip/packet.hpp"

namespace spindl::emulator {

struct Timer {
    u32 load = 0, control = 0x20;
    i64 zero_at = never;   // when the count reaches zero
    u32 stopped_count = 0xffffffff;  // value while it is not counting
    bool raised = false;

    static constexpr i64 shortest = 16;  // a periodic timer of 0 would otherwise never let time pass

    bool enabled() const { return control & 0x80; }
    bool periodic() const { return control & 0x40; }
    bool one_shot() const { return control & 1; }
    i64 prescale() const {
        const u32 select = control >> 2 & 3;
        return select == 0 ? 1 : select == 1 ? 16 : 256;
    }
    u32 width_mask() const { return control & 2 ? 0xffffffffu : 0xffffu; }
    bool interrupting() const { return raised && (control & 0x20); }

    void start(i64 now, u32 count) { zero_at = now + static_cast<i64>(count & width_mask()) * prescale(); }

    u32 count(i64 now) const {
        if (zero_at == never) return stopped_count;
        return zero_at <= now ? 0 : static_cast<u32>((zero_at - now + prescale() - 1) / prescale());
    }

    // Called when `zero_at` has come: raises the interrupt and reloads, wraps or stops.
    void expire() {
        raised = true;
        if (one_shot()) {
            zero_at = never;
            stopped_count = 0;
        } else {
            const i64 period = periodic() ? static_cast<i64>(load & width_mask()) : static_cast<i64>(width_mask()) + 1;
            zero_at += (period > shortest ? period : shortest) * prescale();
        }
    }

    u32 read(u32 offset, i64 now) const {
        switch (offset) {
            case 0x00: case 0x18: return load;
            case 0x04: return count(now);
            case 0x08: return control;
            case 0x10: return raised;
            case 0x14: return interrupting();
            default: return 0;
        }
    }

    void write(u32 offset, u32 value, i64 now) {
        switch (offset) {
            case 0x00:
                load = value;
                stopped_count = value;
                if (enabled()) start(now, value);
                break;
            case 0x08: {
                const bool was = enabled();
                const u32 left = count(now);
                control = value;
                if (!enabled()) {
                    stopped_count = left;
                    zero_at = never;
                } else if (!was) {
                    // A one-shot that has run out stays at zero until it is loaded again.
                    if (left != 0 || !one_shot()) start(now, left);
                }
                break;
            }
            case 0x0c: raised = false; break;
            case 0x18: load = value; break;
            default: break;
        }
    }
};

}  // namespace spindl::emulator
