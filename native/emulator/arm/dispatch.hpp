// How instruction definitions become handlers, and how one handler goes on to the next.
//
// A handler ends by tail-calling the handler of the next instruction, so the cycle budget and the counts stay in machine
// registers. Builds without tail calls (sanitizers, debuggers) define SPINDL_LOOP_DISPATCH and return to run() instead.
#pragma once

#include "arm/core.hpp"
#include "arm/exceptions.hpp"

namespace spindl::emulator {

using Handler = void (*)(Core& core, const Op* op, i64 budget, u64 count, u64 stalls);

// The anchor: the handler of an all-zero Op. Decodes what it stands for, then runs that.
void undecoded(Core& core, const Op* op, i64 budget, u64 count, u64 stalls);

inline i32 offset_of(Handler handler) {
    return static_cast<i32>(reinterpret_cast<std::intptr_t>(handler) - reinterpret_cast<std::intptr_t>(&undecoded));
}

inline Handler handler_at(i32 offset) {
    return reinterpret_cast<Handler>(reinterpret_cast<std::intptr_t>(&undecoded) + offset);
}

// Out of line, so that handlers need no stack frame of their own.
[[gnu::noinline]] inline void leave(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    core.op = op;
    core.budget = budget;
    core.count.instructions += count;
    core.count.interlocks += stalls;
}

inline void go(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
#ifndef SPINDL_LOOP_DISPATCH
    if (budget > 0) [[likely]]
        return handler_at(op->handler)(core, op, budget, count, stalls);
#endif
    leave(core, op, budget, count, stalls);
}

// The op at `address` of the ITCM in the current instruction set, or null (then next_pc says where to fetch).
inline const Op* locate(Core& core, u32 address) {
    if (address < itcm_size) [[likely]] {
        core.window = core.thumb ? core.thumb_table : core.arm_table;
        core.window_shift = core.thumb ? 1 : 2;
        core.window_address = 0;
        return core.window + (address >> core.window_shift);
    }
    core.next_pc = address;
    return nullptr;
}

// An instruction that cannot fault, branch or wait.
template <auto Body>
void plain(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    Body(core, *op);
    return go(core, op + 1, budget - op->cycles, count + 1, stalls + op->stall);
}

// Runs Body with the core's own copy of budget and pc up to date. Body returns the next op, or null when core.next_pc
// (set by jump or by an exception) says where to go on.
template <auto Body>
void general(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    core.budget = budget;
    core.op = op;
    const Op* next = Body(core, *op);
    budget = core.budget - op->cycles;
    if (next == nullptr) next = locate(core, core.next_pc);
    if (next == nullptr || core.attention) [[unlikely]]
        return leave(core, next, budget, count + 1, stalls + op->stall);
    return go(core, next, budget, count + 1, stalls + op->stall);
}

// Tries Fast (returns false if it did nothing), else hands over to the general path.
template <auto Fast, auto Slow>
void fast_or_general(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    if (Fast(core, *op)) [[likely]]
        return go(core, op + 1, budget - op->cycles, count + 1, stalls + op->stall);
    return general<Slow>(core, op, budget, count, stalls);
}

template <u32 Condition>
bool passes(const Core& core) {
    const bool n = core.n >> 31, z = core.z == 0, c = core.c != 0, v = core.v >> 31;
    switch (Condition) {
        case 0: return z;
        case 1: return !z;
        case 2: return c;
        case 3: return !c;
        case 4: return n;
        case 5: return !n;
        case 6: return v;
        case 7: return !v;
        case 8: return c && !z;
        case 9: return !c || z;
        case 10: return n == v;
        case 11: return n != v;
        case 12: return !z && n == v;
        case 13: return z || n != v;
        default: return true;
    }
}

// Prefix: goes on to op->body if the condition holds; a failed instruction takes one cycle.
template <u32 Condition>
void conditional(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    if (passes<Condition>(core)) return handler_at(op->body)(core, op, budget, count, stalls);
    return go(core, op + 1, budget - 1 - op->stall, count + 1, stalls + op->stall);
}

// Prefix for instructions that read the pc: r15 is two instructions ahead; r16 three, for the two cases where the
// pipeline has moved on (stores of the pc, shifts by a register).
template <u32 Condition>
void with_pc(Core& core, const Op* op, i64 budget, u64 count, u64 stalls) {
    core.r[15] = core.pc_of(op) + (2u << core.window_shift);
    core.r[16] = core.r[15] + 4;
    return conditional<Condition>(core, op, budget, count, stalls);
}

}  // namespace spindl::emulator
