// Status registers, banked registers and exceptions.
#include "arm/core.hpp"
#include "arm/exceptions.hpp"

#include <utility>

namespace spindl::emulator {
namespace {

u32 bank_of(Mode mode) {
    switch (mode) {
        case Mode::fiq: return 1;
        case Mode::irq: return 2;
        case Mode::supervisor: return 3;
        case Mode::abort: return 4;
        case Mode::undefined: return 5;
        default: return 0;
    }
}

bool is_mode(u32 bits) {
    return bits == 0x10 || bits == 0x11 || bits == 0x12 || bits == 0x13 || bits == 0x17 || bits == 0x1b || bits == 0x1f;
}

void switch_mode(Core& core, Mode to) {
    const u32 from_bank = bank_of(core.mode), to_bank = bank_of(to);
    if (from_bank != to_bank) {
        core.banks[from_bank].r13 = core.r[13];
        core.banks[from_bank].r14 = core.r[14];
        if (from_bank == 1 || to_bank == 1) {
            for (u32 i = 0; i < 5; ++i) std::swap(core.r[8 + i], core.fiq_high[i]);
        }
        core.r[13] = core.banks[to_bank].r13;
        core.r[14] = core.banks[to_bank].r14;
    }
    core.mode = to;
}

}  // namespace

u32 read_cpsr(const Core& core) {
    return (core.n & 0x80000000u) | (core.z == 0 ? 1u << 30 : 0) | core.c << 29 | (core.v >> 31) << 28 | core.q << 27 |
           (core.irq_masked ? 0x80u : 0) | (core.fiq_masked ? 0x40u : 0) | (core.thumb ? 0x20u : 0) | static_cast<u32>(core.mode);
}

void write_cpsr(Core& core, u32 value) {
    core.n = value;
    core.z = value >> 30 & 1 ? 0 : 1;
    core.c = value >> 29 & 1;
    core.v = value << 3;
    core.q = value >> 27 & 1;
    core.irq_masked = value >> 7 & 1;
    core.fiq_masked = value >> 6 & 1;
    core.thumb = value >> 5 & 1;
    if (is_mode(value & 31)) {
        switch_mode(core, static_cast<Mode>(value & 31));
    } else {
        core.bus->report(core, Fault::unpredictable, value & 31);
    }
    core.attention = true;
}

u32 read_spsr(const Core& core) {
    const u32 bank = bank_of(core.mode);
    return bank == 0 ? read_cpsr(core) : core.banks[bank].spsr;
}

void write_spsr(Core& core, u32 value) {
    const u32 bank = bank_of(core.mode);
    if (bank != 0) core.banks[bank].spsr = value;
}

u32& user_register(Core& core, u32 number) {
    if (number >= 8 && number <= 12 && core.mode == Mode::fiq) return core.fiq_high[number - 8];
    if ((number == 13 || number == 14) && bank_of(core.mode) != 0) return number == 13 ? core.banks[0].r13 : core.banks[0].r14;
    return core.r[number];
}

void jump(Core& core, u32 address) {
    core.op = nullptr;
    core.next_pc = address;
}

void reset(Core& core) {
    for (u32& value : core.r) value = 0;
    core.irq_line = core.fiq_line = core.waiting = false;
    core.cp15_control = 0x2078;
    for (Bank& bank : core.banks) bank = {};
    core.mode = Mode::supervisor;
    write_cpsr(core, 0xd3);
    jump(core, 0xffff0000);
}

void enter_exception(Core& core, Exception exception, u32 pc) {
    const u32 saved = read_cpsr(core);
    Mode mode = Mode::supervisor;
    u32 link = pc + 4;
    switch (exception) {
        case Exception::undefined: mode = Mode::undefined; link = pc + (core.thumb ? 2 : 4); break;
        case Exception::supervisor_call: link = pc + (core.thumb ? 2 : 4); break;
        case Exception::prefetch_abort: mode = Mode::abort; break;
        case Exception::data_abort: mode = Mode::abort; link = pc + 8; break;
        case Exception::irq: mode = Mode::irq; break;
        case Exception::fiq: mode = Mode::fiq; break;
    }
    switch_mode(core, mode);
    write_spsr(core, saved);
    core.r[14] = link;
    core.irq_masked = true;
    if (exception == Exception::fiq) core.fiq_masked = true;
    core.thumb = false;
    const u32 vectors = core.cp15_control >> 13 & 1 ? 0xffff0000u : 0;
    jump(core, vectors + 4 * static_cast<u32>(exception));
    core.budget -= 3;  // pipeline refill; ARM9E-S TRM, interrupt latency
    ++core.count.exceptions;
    if (exception == Exception::irq || exception == Exception::fiq) ++core.count.interrupts;
}

}  // namespace spindl::emulator
