// Branches, status registers, coprocessor 15, exceptions on purpose.
#pragma once

#include "arm/transfer.hpp"

namespace spindl::emulator::control {

constexpr i64 taken_cycles = 3;

// B and BL, ARM and 16-bit Thumb; op.imm is the target. Not taken costs one cycle.
template <u32 Condition, bool Link>
void branch(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    if (!passes<Condition>(core)) return go(core, op + 1, budget - 1 - op->stall, count + 1, stalls + op->stall);
    if constexpr (Link) core.r[14] = core.pc_of(op) + 4;
    const u32 target = op->imm;
    if (target < itcm_size && core.window_address == 0) [[likely]]
        return go(core, core.window + (target >> core.window_shift), budget - taken_cycles, count + 1, stalls);
    return leave(core, locate(core, target), budget - taken_cycles, count + 1, stalls);
}

// BX, BLX register
template <bool Link>
const Op* branch_exchange(Core& core, const Op& op) {
    const u32 target = core.r[op.rm];
    if constexpr (Link) core.r[14] = core.thumb ? (core.pc_of(&op) + 2) | 1 : core.pc_of(&op) + 4;
    return transfer::branch_exchange(core, target);
}

// BLX label (ARM): op.imm is the Thumb target
inline const Op* branch_link_exchange(Core& core, const Op& op) {
    core.r[14] = core.pc_of(&op) + 4;
    core.thumb = true;
    jump(core, op.imm);
    return nullptr;
}

// Second half of Thumb BL and BLX: the first half left the upper part of the target in lr.
template <bool Exchange>
const Op* thumb_branch_link(Core& core, const Op& op) {
    const u32 target = core.r[14] + op.imm;
    core.r[14] = (core.pc_of(&op) + 2) | 1;
    if constexpr (Exchange) {
        core.thumb = false;
        jump(core, target & ~3u);
    } else {
        jump(core, target & ~1u);
    }
    return nullptr;
}

template <bool Saved>
void mrs(Core& core, const Op& op) {
    core.r[op.rd] = Saved ? read_spsr(core) : read_cpsr(core);
}

// op.extra: field mask c x s f; op.imm: value if `Immediate`. User mode may change only the flags.
template <bool Saved, bool Immediate>
const Op* msr(Core& core, const Op& op) {
    const u32 value = Immediate ? op.imm : core.r[op.rm];
    u32 mask = (op.extra & 1 ? 0xffu : 0) | (op.extra & 8 ? 0xf8000000u : 0);
    if constexpr (Saved) {
        write_spsr(core, (read_spsr(core) & ~mask) | (value & mask));
    } else {
        if (core.mode == Mode::user) mask &= 0xf8000000u;
        mask &= ~0x20u;  // the Thumb bit changes only by exchange
        write_cpsr(core, (read_cpsr(core) & ~mask) | (value & mask));
        core.attention = mask & 0xc0;  // an unmasked interrupt is taken at once
    }
    return &op + 1;
}

inline const Op* supervisor_call(Core& core, const Op& op) {
    enter_exception(core, Exception::supervisor_call, core.pc_of(&op));
    return nullptr;
}

inline const Op* breakpoint(Core& core, const Op& op) {
    enter_exception(core, Exception::prefetch_abort, core.pc_of(&op));
    return nullptr;
}

inline const Op* undefined(Core& core, const Op& op) {
    core.bus->report(core, Fault::undefined_instruction, core.pc_of(&op));
    enter_exception(core, Exception::undefined, core.pc_of(&op));
    return nullptr;
}

// CP15 of the ARM968E-S (DDI 0311, chapter 2): id, TCM size, control, wait-for-interrupt. op.imm is the raw word.
inline const Op* coprocessor(Core& core, const Op& op) {
    const u32 word = op.imm, crn = word >> 16 & 15, crm = word & 15, second = word >> 5 & 7;
    const bool read = word >> 20 & 1;
    u32& reg = core.r[op.rd];
    if ((word >> 8 & 15) != 15 || core.mode == Mode::user) return undefined(core, op);
    if (crn == 0 && read) {
        reg = second == 2 ? 0x00140180 : 0x41059680;
    } else if (crn == 1 && crm == 0) {
        if (read) reg = core.cp15_control; else core.cp15_control = reg;
    } else if (crn == 7 && !read && ((crm == 0 && second == 4) || (crm == 8 && second == 2))) {
        // An interrupt that is pending already, masked or not, lets it go on at once.
        core.waiting = !core.irq_line && !core.fiq_line;
        core.attention = true;
    } else if (crn == 7 && !read) {
        // drain write buffer and flushes: nothing is buffered here
    } else {
        core.bus->report(core, Fault::unimplemented_register, word);
        if (read) reg = 0;
    }
    return &op + 1;
}

inline void nothing(Core&, const Op&) {}

}  // namespace spindl::emulator::control
