// The run loop, decoding on first execution, and the interlock rules.
//
// Interlocks (ARM9E-S TRM DDI 0165B chapter 8, ARM9EJ-S TRM DDI 0222B table 8.2, GCC's arm926ejs pipeline model): a
// loaded word is late by one cycle, a loaded byte or halfword by two, a multiply result by one unless it is the
// accumulator of the next multiply, a saturated sum by one. The stall is decided in the decode stage, before the
// condition of the consumer is known, and depends only on instructions that follow each other in memory (a taken branch
// refills the pipeline and hides it), so it is computed once, when the producer is decoded.
#include "arm/decode.hpp"

#include <cstring>

namespace spindl::emulator {
namespace {

u32 wait_for(const Usage& producer, const Usage& consumer) {
    if (producer.result > 15) return 0;
    const u32 bit = 1u << producer.result;
    if (consumer.reads & bit) return producer.latency;
    if (consumer.accumulates & bit) return producer.forwards ? 0 : 1;
    return 0;
}

Decoded decode_at(const Core& core, u32 address) {
    if (address >= itcm_size) return {};
    if (core.thumb) {
        u16 half;
        std::memcpy(&half, core.itcm + address, 2);
        return decode_thumb(half, address);
    }
    u32 word;
    std::memcpy(&word, core.itcm + address, 4);
    return decode_arm(word, address);
}

// One instruction from outside the ITCM: fetched every time, since any core of the chip may have rewritten it.
bool fetch(Core& core) {
    const u32 address = core.next_pc;
    u32 word = 0;
    if (in_dtcm(address)) {  // the DTCM has no port for instructions
        core.bus->report(core, Fault::unmapped, address);
        return false;
    }
    if (!core.bus->load(core, address & ~3u, Width::word, word)) return false;
    const u16 half = static_cast<u16>(address & 2 ? word >> 16 : word);
    core.scratch[0] = (core.thumb ? decode_thumb(half, address) : decode_arm(word, address)).op;
    core.scratch[1] = {};
    core.window = core.op = core.scratch;
    core.window_address = address;
    core.window_shift = core.thumb ? 1 : 2;
    return true;
}

}  // namespace

u32 interlock(const Decoded& before, const Decoded& first, const Decoded& second, const Decoded& third) {
    u32 stall = wait_for(first.usage, second.usage);
    const bool two_late = first.usage.latency == 2 && stall == 0;
    if (two_late && !second.usage.branches && second.op.cycles == 1 && wait_for(second.usage, third.usage) == 0 &&
        wait_for(first.usage, third.usage) != 0) {
        stall = 1;
    }
    // A conditional branch between a byte load and its use: the wait shows when the branch falls through.
    if (first.usage.branches && before.usage.latency == 2 && wait_for(before.usage, first.usage) == 0 &&
        wait_for(before.usage, second.usage) != 0) {
        stall = 1;
    }
    return stall;
}

void undecoded(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    const u32 address = core.pc_of(op);
    if (core.window == core.scratch || address >= itcm_size) {
        core.next_pc = address;
        return leave(core, nullptr, budget, count, stalls);
    }
    const u32 size = core.thumb ? 2 : 4;
    const Decoded before = address >= size ? decode_at(core, address - size) : Decoded{};
    Decoded decoded = decode_at(core, address);
    const Decoded second = decode_at(core, address + size), third = decode_at(core, address + 2 * size);
    decoded.op.stall = static_cast<u8>(interlock(before, decoded, second, third));
    decoded.op.cycles = static_cast<u8>(decoded.op.cycles + decoded.op.stall);
    Op* table = core.thumb ? core.thumb_table : core.arm_table;
    table[op - table] = decoded.op;
    return go(core, op, budget, count, stalls);
}

void forget_code(Core& core, u32 address, u32 bytes) {
    const auto clear = [&](Op* table, u32 shift, u32 size) {
        const u32 first = (address >> shift) < 2 ? 0 : (address >> shift) - 2;
        const u32 last = (address + bytes - 1) >> shift;
        for (u32 i = first; i <= last + 1 && i < size; ++i) {
            if (table[i].handler != 0) table[i] = {};
        }
    };
    clear(core.arm_table, 2, arm_ops);
    clear(core.thumb_table, 1, thumb_ops);
}

void run_until(Core& core, i64 end) {
    const i64 start = core.now();
    core.budget = end - start;
    core.slice_end = end;
    core.yield = false;
    while (core.budget > 0 && !core.waiting && !core.yield) {
        core.attention = false;
        if (core.fiq_line && !core.fiq_masked) {
            enter_exception(core, Exception::fiq, core.pc());
        } else if (core.irq_line && !core.irq_masked) {
            enter_exception(core, Exception::irq, core.pc());
        }
        if (core.op == nullptr) core.op = locate(core, core.next_pc);
        if (core.op == nullptr && !fetch(core)) {
            enter_exception(core, Exception::prefetch_abort, core.next_pc);
            continue;
        }
        handler_at(core.op->handler)(core, core.op, core.budget, 0, 0);
    }
    core.count.cycles += static_cast<u64>(core.now() - start);
}

}  // namespace spindl::emulator
