// Multiplies, the DSP multiplies of ARMv5TE and saturating arithmetic.
#pragma once

#include "arm/alu.hpp"

#include <limits>

namespace spindl::emulator::multiply {

inline u32 saturate(Core& core, i64 value) {
    constexpr i64 low = std::numeric_limits<i32>::min(), high = std::numeric_limits<i32>::max();
    if (value < low || value > high) {
        core.q = 1;
        return static_cast<u32>(value < low ? low : high);
    }
    return static_cast<u32>(value);
}

inline i64 as_signed(u32 value) { return static_cast<i32>(value); }

// rd = rm * rs (+ rn)
template <bool Accumulate, bool Flags>
void mul(Core& core, const Op& op) {
    const u32 result = core.r[op.rm] * core.r[op.rs] + (Accumulate ? core.r[op.rn] : 0);
    core.r[op.rd] = result;
    if constexpr (Flags) alu::set_nz(core, result);
}

// rn:rd = rm * rs (+ rn:rd), high word in rn
template <bool Signed, bool Accumulate, bool Flags>
void mul_long(Core& core, const Op& op) {
    u64 result = Signed ? static_cast<u64>(as_signed(core.r[op.rm]) * as_signed(core.r[op.rs]))
                        : u64{core.r[op.rm]} * core.r[op.rs];
    if constexpr (Accumulate) result += u64{core.r[op.rn]} << 32 | core.r[op.rd];
    core.r[op.rd] = static_cast<u32>(result);
    core.r[op.rn] = static_cast<u32>(result >> 32);
    if constexpr (Flags) {
        core.n = static_cast<u32>(result >> 32);
        core.z = static_cast<u32>(result >> 32) | static_cast<u32>(result);
    }
}

template <bool Top>
i32 half(u32 value) {
    return Top ? static_cast<i32>(value) >> 16 : static_cast<std::int16_t>(value);
}

// 32-bit accumulation wraps, and sets Q when it overflows.
inline u32 accumulate(Core& core, i32 product, u32 addend) {
    i32 sum;
    if (__builtin_add_overflow(product, static_cast<i32>(addend), &sum)) core.q = 1;
    return static_cast<u32>(sum);
}

template <bool X, bool Y>
void smla(Core& core, const Op& op) {
    core.r[op.rd] = accumulate(core, half<X>(core.r[op.rm]) * half<Y>(core.r[op.rs]), core.r[op.rn]);
}

template <bool X, bool Y>
void smul(Core& core, const Op& op) {
    core.r[op.rd] = static_cast<u32>(half<X>(core.r[op.rm]) * half<Y>(core.r[op.rs]));
}

template <bool Y>
i32 word_by_half(const Core& core, const Op& op) {
    return static_cast<i32>(as_signed(core.r[op.rm]) * half<Y>(core.r[op.rs]) >> 16);
}

template <bool Y>
void smlaw(Core& core, const Op& op) {
    core.r[op.rd] = accumulate(core, word_by_half<Y>(core, op), core.r[op.rn]);
}

template <bool Y>
void smulw(Core& core, const Op& op) {
    core.r[op.rd] = static_cast<u32>(word_by_half<Y>(core, op));
}

// rn:rd += half(rm) * half(rs)
template <bool X, bool Y>
void smlal(Core& core, const Op& op) {
    u64 sum = u64{core.r[op.rn]} << 32 | core.r[op.rd];
    sum += static_cast<u64>(i64{half<X>(core.r[op.rm]) * half<Y>(core.r[op.rs])});
    core.r[op.rd] = static_cast<u32>(sum);
    core.r[op.rn] = static_cast<u32>(sum >> 32);
}

// rd = sat(rm +/- rn), or sat(rm +/- sat(2 rn))
template <bool Subtract, bool Double>
void saturating(Core& core, const Op& op) {
    const i64 m = as_signed(core.r[op.rm]);
    i64 n = as_signed(core.r[op.rn]);
    if constexpr (Double) n = as_signed(saturate(core, 2 * n));
    core.r[op.rd] = saturate(core, Subtract ? m - n : m + n);
}

}  // namespace spindl::emulator::multiply
