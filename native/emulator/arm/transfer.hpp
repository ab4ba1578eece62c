// Single loads and stores, and swaps.
#pragma once

#include "arm/alu.hpp"

#include <cstring>

namespace spindl::emulator::transfer {

enum Kind : u32 { ldr, ldrb, ldrh, ldrsb, ldrsh, str, strb, strh };

// Address offset: a signed immediate, or a register with a shift that is added or subtracted. `scaled` reads the kind
// of shift from op.extra (an alu::Operand) and covers everything that is not a plain register or lsl.
enum Offset : u32 { immediate, register_add, register_subtract, lsl_add, scaled_add, scaled_subtract };

enum Indexing : u32 { offset, pre_indexed, post_indexed };

constexpr bool is_load(u32 kind) { return kind <= ldrsh; }
constexpr Width width_of(u32 kind) {
    if (kind == ldr || kind == str) return Width::word;
    return kind == ldrb || kind == ldrsb || kind == strb ? Width::byte : Width::half;
}

inline u32 scaled(const Core& core, const Op& op) {
    switch (op.extra) {
        case alu::lsl_immediate: return alu::shift<alu::lsl_immediate>(core, op).value;
        case alu::lsr_immediate: return alu::shift<alu::lsr_immediate>(core, op).value;
        case alu::asr_immediate: return alu::shift<alu::asr_immediate>(core, op).value;
        case alu::ror_immediate: return alu::shift<alu::ror_immediate>(core, op).value;
        default: return alu::shift<alu::rrx>(core, op).value;
    }
}

template <u32 How>
u32 offset_of_address(const Core& core, const Op& op) {
    if constexpr (How == immediate) return op.imm;
    if constexpr (How == register_add) return core.r[op.rm];
    if constexpr (How == register_subtract) return 0 - core.r[op.rm];
    if constexpr (How == lsl_add) return core.r[op.rm] << op.imm;
    if constexpr (How == scaled_add) return scaled(core, op);
    return 0 - scaled(core, op);
}

template <u32 KindOf>
u32 extend(u32 value) {
    if constexpr (KindOf == ldrsb) return static_cast<u32>(static_cast<std::int8_t>(value));
    if constexpr (KindOf == ldrsh) return static_cast<u32>(static_cast<std::int16_t>(value));
    return value;
}

// Offset of an access in the DTCM if it is aligned, inside, and not watched; rotating the low bits to the top makes
// both tests one comparison.
template <Width W>
bool fast_dtcm(const Core& core, u32 address, u32& at) {
    constexpr int shift = W == Width::word ? 2 : W == Width::half ? 1 : 0;
    at = address - dtcm_base;
    return std::rotr(at, shift) < core.fast_words << (2 - shift);
}

template <u32 KindOf, u32 How, u32 Index>
bool fast(Core& core, const Op& op) {
    const u32 base = core.r[op.rn], moved = base + offset_of_address<How>(core, op);
    constexpr Width width = width_of(KindOf);
    u32 at;
    if (!fast_dtcm<width>(core, Index == post_indexed ? base : moved, at)) return false;
    u32 value = 0;
    if constexpr (is_load(KindOf)) {
        std::memcpy(&value, core.dtcm + at, static_cast<std::size_t>(width));
        if constexpr (Index != offset) core.r[op.rn] = moved;
        core.r[op.rd] = extend<KindOf>(value);
    } else {
        value = core.r[op.rd];
        std::memcpy(core.dtcm + at, &value, static_cast<std::size_t>(width));
        if constexpr (Index != offset) core.r[op.rn] = moved;
    }
    return true;
}

inline const Op* data_abort(Core& core, const Op& op) {
    enter_exception(core, Exception::data_abort, core.pc_of(&op));
    return nullptr;
}

// A load into r15 branches, with interworking (ARMv5).
inline const Op* branch_exchange(Core& core, u32 target) {
    core.thumb = target & 1;
    jump(core, target & (target & 1 ? ~1u : ~3u));
    return nullptr;
}

template <u32 KindOf, u32 How, u32 Index>
const Op* slow(Core& core, const Op& op) {
    const u32 base = core.r[op.rn], moved = base + offset_of_address<How>(core, op);
    const u32 address = Index == post_indexed ? base : moved;
    constexpr Width width = width_of(KindOf);
    u32 value = 0;
    if constexpr (is_load(KindOf)) {
        if (!load(core, address, width, value)) return data_abort(core, op);
        if constexpr (KindOf == ldr) value = std::rotr(value, static_cast<int>(address & 3) * 8);
        if constexpr (Index != offset) core.r[op.rn] = moved;
        core.r[op.rd] = extend<KindOf>(value);
        if (op.rd == 16) return branch_exchange(core, value);
    } else {
        if (!store(core, address, width, core.r[op.rd])) return data_abort(core, op);
        if constexpr (Index != offset) core.r[op.rn] = moved;
    }
    return &op + 1;
}

// LDR rd, [pc, #n] from the ITCM: the address is known when it is decoded.
inline bool literal_fast(Core& core, const Op& op) {
    if (op.imm > itcm_size - 4 || core.fast_words == 0) return false;
    std::memcpy(&core.r[op.rd], core.itcm + op.imm, 4);
    return true;
}

inline const Op* literal(Core& core, const Op& op) {
    u32 value = 0;
    if (!load(core, op.imm, Width::word, value)) return data_abort(core, op);
    core.r[op.rd] = value;
    return &op + 1;
}

// LDRD/STRD: rd even; address must be a multiple of 8 where alignment is checked.
template <bool Load, u32 How, u32 Index>
const Op* doubleword(Core& core, const Op& op) {
    const u32 base = core.r[op.rn], moved = base + offset_of_address<How>(core, op);
    const u32 address = Index == post_indexed ? base : moved;
    u32 low = core.r[op.rd], high = core.r[op.rd + 1];
    if (address & 4) core.bus->report(core, Fault::unaligned, address);
    if ((address & 4 && core.cp15_control & 2)) return data_abort(core, op);
    if constexpr (Load) {
        if (!load(core, address, Width::word, low) || !load(core, address + 4, Width::word, high)) return data_abort(core, op);
    } else {
        if (!store(core, address, Width::word, low) || !store(core, address + 4, Width::word, high)) return data_abort(core, op);
    }
    if constexpr (Index != offset) core.r[op.rn] = moved;
    if constexpr (Load) {
        core.r[op.rd] = low;
        core.r[op.rd + 1] = high;
    }
    return &op + 1;
}

template <Width W>
const Op* swap(Core& core, const Op& op) {
    const u32 address = core.r[op.rn];
    u32 value = 0;
    if (!load(core, address, W, value) || !store(core, address, W, core.r[op.rm])) return data_abort(core, op);
    if constexpr (W == Width::word) value = std::rotr(value, static_cast<int>(address & 3) * 8);
    core.r[op.rd] = value;
    return &op + 1;
}

}  // namespace spindl::emulator::transfer
