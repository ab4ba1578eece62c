// Decoder of the 32-bit instruction set (ARM DDI 0100, chapter A3; ARMv5TE).
// Issue cycles: facts of the ARM9E-S, see timing.cpp.
#include "arm/alu.hpp"
#include "arm/control.hpp"
#include "arm/decode.hpp"
#include "arm/multiple.hpp"
#include "arm/multiply.hpp"

#include <array>

namespace spindl::emulator {
namespace {

u8 field(u32 word, u32 at) { return static_cast<u8>(word >> at & 15); }
bool bit(u32 word, u32 at) { return word >> at & 1; }
u32 one(u32 reg) { return 1u << reg; }

Decoded finish(Decoded d, Handler body, u32 word) {
    const bool reads_pc = (d.usage.reads & 0x18000) != 0;
    guard(d.op, body, word >> 28, reads_pc);
    return d;
}

Decoded undefined(u32 word) {
    Decoded d;
    d.op.imm = word;
    d.usage.branches = true;
    guard(d.op, &general<&control::undefined>, word >> 28 == 15 ? 14 : word >> 28, false);
    return d;
}

// The second operand of data processing: sets imm, rm, rs, and returns its kind.
u32 second_operand(Decoded& d, u32 word) {
    if (bit(word, 25)) {
        const u32 rotation = word >> 7 & 30;
        d.op.imm = std::rotr(word & 255, static_cast<int>(rotation));
        return rotation ? alu::immediate_rotated : alu::immediate;
    }
    d.op.rm = field(word, 0);
    d.usage.reads |= one(d.op.rm);
    const u32 type = word >> 5 & 3;
    if (bit(word, 4)) {
        d.op.rs = field(word, 8);
        d.usage.reads |= one(d.op.rs);
        return alu::lsl_register + type;
    }
    d.op.imm = word >> 7 & 31;
    if (d.op.imm == 0) {
        if (type == 0) return alu::plain_register;
        if (type == 3) return alu::rrx;
        d.op.imm = 32;
    }
    return alu::lsl_immediate + type;
}

Decoded data_processing(u32 word) {
    Decoded d;
    const u32 operation = word >> 21 & 15;
    const bool flags = bit(word, 20), tests = alu::is_test(operation);
    const bool register_shift = !bit(word, 25) && bit(word, 4);
    d.op.rn = field(word, 16);
    d.op.rd = field(word, 12);
    if (operation != alu::MOV && operation != alu::MVN) d.usage.reads |= one(d.op.rn);
    const u32 kind = second_operand(d, word);
    if (register_shift) {
        if (d.op.rn == 15) d.op.rn = 16;
        if (d.op.rm == 15) d.op.rm = 16;
        d.op.cycles = 2;
    }
    const bool to_pc = d.op.rd == 15 && !tests;
    if (to_pc) {
        d.op.rd = 16;
        d.op.cycles = static_cast<u8>(d.op.cycles + 2);
        d.usage.branches = true;
    }
    return finish(d, data_processing_handler(operation, flags, kind, to_pc), word);
}

// MUL, MLA and the long multiplies: op.rd is the (low) result, op.rn the accumulator or the high result.
Decoded multiplies(u32 word) {
    Decoded d;
    const bool flags = bit(word, 20), accumulate = bit(word, 21), is_signed = bit(word, 22);
    d.op.rm = field(word, 0);
    d.op.rs = field(word, 8);
    d.usage.reads = one(d.op.rm) | one(d.op.rs);
    d.usage.latency = 1;
    d.usage.forwards = true;
    if (!bit(word, 23)) {
        if (is_signed) return undefined(word);
        d.op.rd = field(word, 16);
        d.op.rn = field(word, 12);
        if (accumulate) d.usage.accumulates = one(d.op.rn);
        d.usage.result = d.op.rd;
        d.op.cycles = flags ? 4 : 2;
        constexpr std::array<Handler, 4> handlers{&plain<&multiply::mul<false, false>>, &plain<&multiply::mul<false, true>>,
                                                  &plain<&multiply::mul<true, false>>, &plain<&multiply::mul<true, true>>};
        return finish(d, handlers[accumulate * 2u + flags], word);
    }
    d.op.rd = field(word, 12);
    d.op.rn = field(word, 16);
    if (accumulate) d.usage.accumulates = one(d.op.rd) | one(d.op.rn);
    d.usage.result = d.op.rn;
    d.usage.forwards = false;
    d.op.cycles = flags ? 5 : 3;
    constexpr std::array<Handler, 8> handlers{
        &plain<&multiply::mul_long<false, false, false>>, &plain<&multiply::mul_long<false, false, true>>,
        &plain<&multiply::mul_long<false, true, false>>,  &plain<&multiply::mul_long<false, true, true>>,
        &plain<&multiply::mul_long<true, false, false>>,  &plain<&multiply::mul_long<true, false, true>>,
        &plain<&multiply::mul_long<true, true, false>>,   &plain<&multiply::mul_long<true, true, true>>};
    return finish(d, handlers[is_signed * 4u + accumulate * 2u + flags], word);
}

// SMLAxy, SMLAWy/SMULWy, SMLALxy, SMULxy
Decoded half_multiplies(u32 word) {
    Decoded d;
    const u32 kind = word >> 21 & 3, x = bit(word, 5), y = bit(word, 6);
    d.op.rd = field(word, 16);
    d.op.rn = field(word, 12);
    d.op.rs = field(word, 8);
    d.op.rm = field(word, 0);
    d.usage.reads = one(d.op.rm) | one(d.op.rs);
    d.usage.latency = 1;
    d.usage.forwards = true;
    if (kind == 0) {
        d.usage.accumulates = one(d.op.rn);
        constexpr std::array<Handler, 4> handlers{&plain<&multiply::smla<false, false>>, &plain<&multiply::smla<false, true>>,
                                                  &plain<&multiply::smla<true, false>>, &plain<&multiply::smla<true, true>>};
        d.usage.result = d.op.rd;
        return finish(d, handlers[x * 2 + y], word);
    }
    if (kind == 1) {
        if (!x) d.usage.accumulates = one(d.op.rn);
        constexpr std::array<Handler, 4> handlers{&plain<&multiply::smlaw<false>>, &plain<&multiply::smlaw<true>>,
                                                  &plain<&multiply::smulw<false>>, &plain<&multiply::smulw<true>>};
        d.usage.result = d.op.rd;
        return finish(d, handlers[x * 2 + y], word);
    }
    if (kind == 2) {
        d.op.rn = field(word, 16);
        d.op.rd = field(word, 12);
        d.usage.accumulates = one(d.op.rn) | one(d.op.rd);
        d.usage.result = d.op.rn;
        d.op.cycles = 2;
        constexpr std::array<Handler, 4> handlers{&plain<&multiply::smlal<false, false>>, &plain<&multiply::smlal<false, true>>,
                                                  &plain<&multiply::smlal<true, false>>, &plain<&multiply::smlal<true, true>>};
        return finish(d, handlers[x * 2 + y], word);
    }
    constexpr std::array<Handler, 4> handlers{&plain<&multiply::smul<false, false>>, &plain<&multiply::smul<false, true>>,
                                              &plain<&multiply::smul<true, false>>, &plain<&multiply::smul<true, true>>};
    d.usage.result = d.op.rd;
    return finish(d, handlers[x * 2 + y], word);
}

// The holes of the compare space: MRS, MSR, BX, BLX, CLZ, saturating arithmetic, BKPT, half multiplies.
Decoded miscellaneous(u32 word) {
    Decoded d;
    const u32 kind = word >> 21 & 3, low = word >> 4 & 15;
    d.op.rd = field(word, 12);
    d.op.rm = field(word, 0);
    if (bit(word, 25)) {
        if (!bit(word, 21)) return undefined(word);
        d.op.extra = field(word, 16);
        d.op.imm = std::rotr(word & 255, static_cast<int>(word >> 7 & 30));
        d.op.cycles = 3;
        return finish(d, bit(word, 22) ? &general<&control::msr<true, true>> : &general<&control::msr<false, true>>, word);
    }
    if (low == 0 && !bit(word, 21)) {
        d.op.cycles = 2;
        return finish(d, bit(word, 22) ? &plain<&control::mrs<true>> : &plain<&control::mrs<false>>, word);
    }
    d.usage.reads = one(d.op.rm);
    if (low == 0) {
        d.op.extra = field(word, 16);
        d.op.cycles = 3;
        return finish(d, bit(word, 22) ? &general<&control::msr<true, false>> : &general<&control::msr<false, false>>, word);
    }
    if (kind == 1 && (low == 1 || low == 3)) {
        d.op.cycles = 3;
        d.usage.branches = true;
        return finish(d, low == 1 ? &general<&control::branch_exchange<false>> : &general<&control::branch_exchange<true>>, word);
    }
    if (kind == 3 && low == 1) return finish(d, &plain<&alu::count_leading_zeros>, word);
    if (low == 5) {
        d.op.rn = field(word, 16);
        d.usage.reads |= one(d.op.rn);
        d.usage.result = d.op.rd;
        d.usage.latency = 1;
        constexpr std::array<Handler, 4> handlers{
            &plain<&multiply::saturating<false, false>>, &plain<&multiply::saturating<true, false>>,
            &plain<&multiply::saturating<false, true>>, &plain<&multiply::saturating<true, true>>};
        return finish(d, handlers[kind], word);
    }
    if (kind == 1 && low == 7) {
        d.usage.branches = true;
        d.usage.reads = 0;
        return finish(d, &general<&control::breakpoint>, word);
    }
    if ((low & 9) == 8) return half_multiplies(word);
    return undefined(word);
}

u32 indexing_of(u32 word) {
    if (!bit(word, 24)) return transfer::post_indexed;
    return bit(word, 21) ? transfer::pre_indexed : transfer::offset;
}

Decoded word_transfer(u32 word, u32 address) {
    Decoded d;
    const bool is_load = bit(word, 20), is_byte = bit(word, 22), up = bit(word, 23);
    const u32 kind = is_load ? (is_byte ? transfer::ldrb : transfer::ldr) : (is_byte ? transfer::strb : transfer::str);
    const u32 indexing = indexing_of(word);
    d.op.rn = field(word, 16);
    d.op.rd = field(word, 12);
    if (is_load) {
        d.usage.result = d.op.rd;
        d.usage.latency = is_byte ? 2 : 1;
    }
    if (!bit(word, 25) && d.op.rn == 15 && indexing == transfer::offset && kind == transfer::ldr && d.op.rd != 15) {
        d.op.imm = address + 8 + (up ? word & 0xfff : 0 - (word & 0xfff));
        return finish(d, &fast_or_general<&transfer::literal_fast, &transfer::literal>, word);
    }
    d.usage.reads = one(d.op.rn);
    u32 how = transfer::immediate;
    if (bit(word, 25)) {
        if (bit(word, 4)) return undefined(word);
        d.op.rm = field(word, 0);
        d.usage.reads |= one(d.op.rm);
        d.op.imm = word >> 7 & 31;
        const u32 type = word >> 5 & 3;
        if (d.op.imm == 0 && type == 0) {
            how = up ? transfer::register_add : transfer::register_subtract;
        } else {
            d.op.cycles = 2;
            d.op.extra = static_cast<u8>(alu::lsl_immediate + type);
            if (d.op.imm == 0) {
                d.op.imm = 32;
                if (type == 3) d.op.extra = alu::rrx;
            }
            how = up ? (type == 0 ? transfer::lsl_add : transfer::scaled_add) : transfer::scaled_subtract;
        }
    } else {
        d.op.imm = up ? word & 0xfff : 0 - (word & 0xfff);
    }
    bool to_pc = false;
    if (is_load && d.op.rd == 15) {
        if (is_byte) return undefined(word);
        to_pc = d.usage.branches = true;
        d.op.rd = 16;
        d.op.cycles = static_cast<u8>(d.op.cycles + 4);
    }
    if (!is_load) {
        if (d.op.rd == 15) d.op.rd = 16;
        d.usage.reads |= one(d.op.rd);
    }
    return finish(d, transfer_handler(kind, how, indexing, to_pc), word);
}

template <bool Load, u32 How>
Handler doubleword_handler(u32 indexing) {
    constexpr std::array<Handler, 3> handlers{&general<&transfer::doubleword<Load, How, 0>>,
                                              &general<&transfer::doubleword<Load, How, 1>>,
                                              &general<&transfer::doubleword<Load, How, 2>>};
    return handlers[indexing];
}

Handler doubleword_handler(bool load, u32 how, u32 indexing) {
    switch (how) {
        case transfer::immediate:
            return load ? doubleword_handler<true, transfer::immediate>(indexing)
                        : doubleword_handler<false, transfer::immediate>(indexing);
        case transfer::register_add:
            return load ? doubleword_handler<true, transfer::register_add>(indexing)
                        : doubleword_handler<false, transfer::register_add>(indexing);
        default:
            return load ? doubleword_handler<true, transfer::register_subtract>(indexing)
                        : doubleword_handler<false, transfer::register_subtract>(indexing);
    }
}

// Halfwords, signed bytes, doublewords; also swaps, which share the space.
Decoded extra_transfer(u32 word) {
    Decoded d;
    const bool is_load = bit(word, 20), up = bit(word, 23);
    const u32 type = word >> 5 & 3, indexing = indexing_of(word);
    d.op.rn = field(word, 16);
    d.op.rd = field(word, 12);
    d.op.rm = field(word, 0);
    d.usage.reads = one(d.op.rn);
    if (type == 0) {
        if ((word >> 23 & 3) != 2 || bit(word, 21) || is_load) return undefined(word);
        d.usage.reads |= one(d.op.rm);
        d.usage.result = d.op.rd;
        d.usage.latency = bit(word, 22) ? 2 : 1;
        d.op.cycles = 2;
        return finish(d, bit(word, 22) ? &general<&transfer::swap<Width::byte>> : &general<&transfer::swap<Width::word>>, word);
    }
    u32 how = transfer::immediate;
    if (bit(word, 22)) {
        const u32 value = (word >> 4 & 0xf0) | (word & 15);
        d.op.imm = up ? value : 0 - value;
    } else {
        how = up ? transfer::register_add : transfer::register_subtract;
        d.usage.reads |= one(d.op.rm);
    }
    if (!is_load && type >= 2) {
        if (d.op.rd & 1 || d.op.rd == 14) return undefined(word);
        const bool doubleword_load = type == 2;
        d.op.cycles = 2;
        if (doubleword_load) {
            d.usage.result = static_cast<u8>(d.op.rd + 1);
            d.usage.latency = 1;
        } else {
            d.usage.reads |= one(d.op.rd) | one(d.op.rd + 1u);
        }
        return finish(d, doubleword_handler(doubleword_load, how, indexing), word);
    }
    if (d.op.rd == 15) return undefined(word);
    constexpr std::array<u32, 4> loads{0, transfer::ldrh, transfer::ldrsb, transfer::ldrsh};
    if (is_load) {
        d.usage.result = d.op.rd;
        d.usage.latency = 2;
    } else {
        d.usage.reads |= one(d.op.rd);
    }
    return finish(d, transfer_handler(is_load ? loads[type] : transfer::strh, how, indexing, false), word);
}

Decoded block_transfer(u32 word) {
    Decoded d;
    const bool is_load = bit(word, 20), write_back = bit(word, 21), user_bank = bit(word, 22), up = bit(word, 23),
               before = bit(word, 24);
    const u32 list = word & 0xffff, count = static_cast<u32>(std::popcount(list));
    d.op.rn = field(word, 16);
    if (count == 0 || d.op.rn == 15) return undefined(word);
    d.op.imm = list;
    const u32 bytes = 4 * count;
    const u32 lowest = up ? (before ? 4 : 0) : 0 - bytes + (before ? 0 : 4);
    d.op.extra = static_cast<u8>(lowest);
    d.op.rs = static_cast<u8>(up ? bytes : 0 - bytes);
    const bool to_pc = is_load && list >> 15;
    d.usage.reads = one(d.op.rn) | (is_load ? 0 : list & 0x7fff);
    d.usage.branches = to_pc;
    d.op.cycles = static_cast<u8>(count == 1 ? 2 : count);
    if (to_pc) d.op.cycles = static_cast<u8>(count + 4);
    if (is_load && !to_pc && count > 1) {
        d.usage.result = static_cast<u8>(31 - std::countl_zero(list));
        d.usage.latency = 1;
    }
    const bool stores_pc = !is_load && list >> 15;
    return finish(d, multiple_handler(is_load, write_back, user_bank, to_pc || stores_pc), word);
}

Decoded branch(u32 word, u32 address) {
    Decoded d;
    d.op.imm = address + 8 + static_cast<u32>(static_cast<i32>(word << 8) >> 6);
    d.usage.branches = true;
    d.op.condition = static_cast<u8>(word >> 28);
    d.op.handler = d.op.body = offset_of(branch_handler(word >> 28, bit(word, 24)));
    return d;
}

Decoded unconditional(u32 word, u32 address) {
    Decoded d;
    if ((word >> 25 & 7) == 5) {
        d.op.imm = address + 8 + static_cast<u32>(static_cast<i32>(word << 8) >> 6) + (bit(word, 24) ? 2 : 0);
        d.op.cycles = 3;
        d.usage.branches = true;
        guard(d.op, &general<&control::branch_link_exchange>, 14, false);
        return d;
    }
    if ((word & 0x0d70f000) == 0x0550f000) {  // PLD
        guard(d.op, &plain<&control::nothing>, 14, false);
        return d;
    }
    return undefined(word);
}

Decoded coprocessor(u32 word) {
    if (bit(word, 24)) {
        Decoded d;
        d.op.imm = word;
        d.op.cycles = 3;
        d.usage.branches = true;
        return finish(d, &general<&control::supervisor_call>, word);
    }
    if (!bit(word, 4) || (word >> 8 & 15) != 15) return undefined(word);
    Decoded d;
    d.op.imm = word;
    d.op.rd = field(word, 12);
    return finish(d, &general<&control::coprocessor>, word);
}

}  // namespace

Decoded decode_arm(u32 word, u32 address) {
    if (word >> 28 == 15) return unconditional(word, address);
    switch (word >> 25 & 7) {
        case 0:
            if ((word & 0x90) == 0x90) {
                if ((word & 0x60) != 0) return extra_transfer(word);
                return bit(word, 24) ? extra_transfer(word) : multiplies(word);
            }
            [[fallthrough]];
        case 1:
            return (word >> 23 & 3) == 2 && !bit(word, 20) ? miscellaneous(word) : data_processing(word);
        case 2:
        case 3: return word_transfer(word, address);
        case 4: return block_transfer(word);
        case 5: return branch(word, address);
        case 6: return undefined(word);
        default: return coprocessor(word);
    }
}

}  // namespace spindl::emulator
