// Data processing: one definition per operation, one per kind of second operand.
#pragma once

#include "arm/dispatch.hpp"

namespace spindl::emulator::alu {

enum Operation : u32 { AND, EOR, SUB, RSB, ADD, ADC, SBC, RSC, TST, TEQ, CMP, CMN, ORR, MOV, BIC, MVN };

enum Operand : u32 {
    immediate,          // carry unchanged
    immediate_rotated,  // carry = bit 31 of the value
    plain_register, lsl_immediate, lsr_immediate, asr_immediate, ror_immediate, rrx,
    lsl_register, lsr_register, asr_register, ror_register
};

constexpr bool is_logical(u32 op) { return op == AND || op == EOR || op == TST || op == TEQ || op >= ORR; }
constexpr bool is_test(u32 op) { return op >= TST && op <= CMN; }

struct Shifted {
    u32 value, carry;
};

// Shift amounts: 1..31 for lsl/ror immediates, 1..32 for lsr/asr immediates, the low byte of Rs for registers.
template <u32 Kind>
Shifted shift(const Core& core, const Op& op) {
    const u32 m = core.r[op.rm];
    const u32 amount = Kind >= lsl_register ? core.r[op.rs] & 255 : op.imm;
    if constexpr (Kind == immediate) return {op.imm, core.c};
    if constexpr (Kind == immediate_rotated) return {op.imm, op.imm >> 31};
    if constexpr (Kind == plain_register) return {m, core.c};
    if constexpr (Kind == rrx) return {core.c << 31 | m >> 1, m & 1};
    if constexpr (Kind == lsl_immediate) return {m << amount, m >> (32 - amount) & 1};
    if constexpr (Kind == lsr_immediate) return {static_cast<u32>(u64{m} >> amount), m >> (amount - 1) & 1};
    if constexpr (Kind == asr_immediate) {
        return {static_cast<u32>(i64{static_cast<i32>(m)} >> amount), m >> (amount - 1) & 1};
    }
    if constexpr (Kind == ror_immediate) return {std::rotr(m, static_cast<int>(amount)), m >> (amount - 1) & 1};
    if (amount == 0) return {m, core.c};
    if constexpr (Kind == lsl_register) {
        if (amount > 32) return {0, 0};
        return {static_cast<u32>(u64{m} << amount), static_cast<u32>(u64{m} << amount >> 32) & 1};
    }
    if constexpr (Kind == lsr_register) {
        if (amount > 32) return {0, 0};
        return {static_cast<u32>(u64{m} >> amount), m >> (amount - 1) & 1};
    }
    if constexpr (Kind == asr_register) {
        const u32 by = amount > 32 ? 32 : amount;
        return {static_cast<u32>(i64{static_cast<i32>(m)} >> by), m >> (by - 1) & 1};
    }
    const u32 value = std::rotr(m, static_cast<int>(amount & 31));
    return {value, value >> 31};
}

inline void set_nz(Core& core, u32 value) { core.n = core.z = value; }

inline u32 add_flags(Core& core, u32 a, u32 b, u32 carry_in) {
    const u64 sum = u64{a} + b + carry_in;
    const u32 result = static_cast<u32>(sum);
    set_nz(core, result);
    core.c = static_cast<u32>(sum >> 32);
    core.v = (a ^ result) & (b ^ result);
    return result;
}

template <u32 Operation, bool Flags>
u32 arithmetic(Core& core, u32 a, u32 b) {
    if constexpr (Flags) {
        if constexpr (Operation == SUB || Operation == CMP) return add_flags(core, a, ~b, 1);
        if constexpr (Operation == RSB) return add_flags(core, b, ~a, 1);
        if constexpr (Operation == ADD || Operation == CMN) return add_flags(core, a, b, 0);
        if constexpr (Operation == ADC) return add_flags(core, a, b, core.c);
        if constexpr (Operation == SBC) return add_flags(core, a, ~b, core.c);
        return add_flags(core, b, ~a, core.c);
    }
    if constexpr (Operation == SUB) return a - b;
    if constexpr (Operation == RSB) return b - a;
    if constexpr (Operation == ADD) return a + b;
    if constexpr (Operation == ADC) return a + b + core.c;
    if constexpr (Operation == SBC) return a - b - 1 + core.c;
    return b - a - 1 + core.c;
}

template <u32 Operation>
u32 logical(u32 a, u32 b) {
    if constexpr (Operation == AND || Operation == TST) return a & b;
    if constexpr (Operation == EOR || Operation == TEQ) return a ^ b;
    if constexpr (Operation == ORR) return a | b;
    if constexpr (Operation == MOV) return b;
    if constexpr (Operation == BIC) return a & ~b;
    return ~b;
}

template <u32 Operation, bool Flags, u32 Kind>
void data_processing(Core& core, const Op& op) {
    const Shifted second = shift<Kind>(core, op);
    const u32 first = core.r[op.rn];
    u32 result;
    if constexpr (is_logical(Operation)) {
        result = logical<Operation>(first, second.value);
        if constexpr (Flags) {
            set_nz(core, result);
            core.c = second.carry;
        }
    } else {
        result = arithmetic<Operation, Flags>(core, first, second.value);
    }
    if constexpr (!is_test(Operation)) core.r[op.rd] = result;
}

// Destination r15 (decoded as r16). With S this returns from an exception: the status comes from the SPSR instead.
template <u32 Operation, bool Restore, u32 Kind>
const Op* data_processing_pc(Core& core, const Op& op) {
    data_processing<Operation, false, Kind>(core, op);
    if constexpr (Restore) write_cpsr(core, read_spsr(core));
    jump(core, core.r[16] & (core.thumb ? ~1u : ~3u));
    return nullptr;
}

inline void count_leading_zeros(Core& core, const Op& op) { core.r[op.rd] = static_cast<u32>(std::countl_zero(core.r[op.rm])); }

}  // namespace spindl::emulator::alu
