// Decoder of the 16-bit instruction set (ARM DDI 0100, chapter A7): every instruction becomes the op of its ARM twin.
#include "arm/alu.hpp"
#include "arm/control.hpp"
#include "arm/decode.hpp"
#include "arm/multiple.hpp"
#include "arm/multiply.hpp"

#include <array>

namespace spindl::emulator {
namespace {

u8 low(u32 half, u32 at) { return static_cast<u8>(half >> at & 7); }
bool bit(u32 half, u32 at) { return half >> at & 1; }
u32 one(u32 reg) { return 1u << reg; }

Decoded finish(Decoded d, Handler body) {
    guard(d.op, body, 14, (d.usage.reads & 0x18000) != 0);
    return d;
}

Decoded undefined(u32 half) {
    Decoded d;
    d.op.imm = half;
    d.usage.branches = true;
    return finish(d, &general<&control::undefined>);
}

Decoded data_processing(u32 operation, u8 rd, u8 rn, u8 rm) {
    Decoded d;
    d.op.rd = rd;
    d.op.rn = rn;
    d.op.rm = rm;
    d.usage.reads = one(rm) | (operation == alu::MOV || operation == alu::MVN ? 0 : one(rn));
    return finish(d, data_processing_handler(operation, true, alu::plain_register, false));
}

Decoded with_immediate(u32 operation, bool flags, u8 rd, u8 rn, u32 value) {
    Decoded d;
    d.op.rd = rd;
    d.op.rn = rn;
    d.op.imm = value;
    if (operation != alu::MOV) d.usage.reads = one(rn);
    return finish(d, data_processing_handler(operation, flags, alu::immediate, false));
}

Decoded shift_immediate(u32 half) {
    Decoded d;
    d.op.rd = low(half, 0);
    d.op.rm = low(half, 3);
    d.op.imm = half >> 6 & 31;
    d.usage.reads = one(d.op.rm);
    u32 kind = alu::lsl_immediate + (half >> 11 & 3);
    if (d.op.imm == 0) {
        if (kind == alu::lsl_immediate) kind = alu::plain_register;
        d.op.imm = 32;
    }
    return finish(d, data_processing_handler(alu::MOV, true, kind, false));
}

Decoded register_operation(u32 half) {
    const u8 rd = low(half, 0), rm = low(half, 3);
    const u32 code = half >> 6 & 15;
    switch (code) {
        case 0: return data_processing(alu::AND, rd, rd, rm);
        case 1: return data_processing(alu::EOR, rd, rd, rm);
        case 5: return data_processing(alu::ADC, rd, rd, rm);
        case 6: return data_processing(alu::SBC, rd, rd, rm);
        case 8: return data_processing(alu::TST, rd, rd, rm);
        case 9: return with_immediate(alu::RSB, true, rd, rm, 0);
        case 10: return data_processing(alu::CMP, rd, rd, rm);
        case 11: return data_processing(alu::CMN, rd, rd, rm);
        case 12: return data_processing(alu::ORR, rd, rd, rm);
        case 14: return data_processing(alu::BIC, rd, rd, rm);
        case 15: return data_processing(alu::MVN, rd, rd, rm);
        default: break;
    }
    Decoded d;
    d.op.rd = rd;
    d.usage.reads = one(rd) | one(rm);
    if (code == 13) {
        d.op.rm = rd;
        d.op.rs = rm;
        d.op.cycles = 4;  // MULS
        d.usage.result = rd;
        d.usage.latency = 1;
        d.usage.forwards = true;
        return finish(d, &plain<&multiply::mul<false, true>>);
    }
    d.op.rm = rd;
    d.op.rs = rm;
    d.op.cycles = 2;
    const u32 kind = code == 2 ? alu::lsl_register : code == 3 ? alu::lsr_register : code == 4 ? alu::asr_register
                                                                                              : alu::ror_register;
    return finish(d, data_processing_handler(alu::MOV, true, kind, false));
}

// ADD, CMP, MOV on all 16 registers; BX, BLX.
Decoded high_registers(u32 half) {
    Decoded d;
    const u32 code = half >> 8 & 3;
    const u8 rd = static_cast<u8>((half & 7) | (half >> 4 & 8)), rm = static_cast<u8>(half >> 3 & 15);
    d.op.rm = rm;
    d.usage.reads = one(rm);
    if (code == 3) {
        d.op.cycles = 3;
        d.usage.branches = true;
        return finish(d, bit(half, 7) ? &general<&control::branch_exchange<true>> : &general<&control::branch_exchange<false>>);
    }
    d.op.rn = d.op.rd = rd;
    if (code != 2) d.usage.reads |= one(rd);
    const u32 operation = code == 0 ? alu::ADD : code == 1 ? alu::CMP : alu::MOV;
    const bool to_pc = rd == 15 && code != 1;
    if (to_pc) {
        d.op.rd = 16;
        d.op.cycles = 3;
        d.usage.branches = true;
    }
    return finish(d, data_processing_handler(operation, code == 1, alu::plain_register, to_pc));
}

Decoded transfer_op(u32 kind, u32 how, u8 rd, u8 rn, u8 rm, u32 offset) {
    Decoded d;
    d.op.rd = rd;
    d.op.rn = rn;
    d.op.rm = rm;
    d.op.imm = offset;
    d.usage.reads = one(rn) | (how == transfer::register_add ? one(rm) : 0);
    if (transfer::is_load(kind)) {
        d.usage.result = rd;
        d.usage.latency = kind == transfer::ldr ? 1 : 2;
    } else {
        d.usage.reads |= one(rd);
    }
    return finish(d, transfer_handler(kind, how, transfer::offset, false));
}

Decoded register_transfer(u32 half) {
    constexpr std::array<u32, 8> kinds{transfer::str, transfer::strh, transfer::strb, transfer::ldrsb,
                                       transfer::ldr, transfer::ldrh, transfer::ldrb, transfer::ldrsh};
    return transfer_op(kinds[half >> 9 & 7], transfer::register_add, low(half, 0), low(half, 3), low(half, 6), 0);
}

Decoded multiple_op(bool is_load, u8 rn, u32 list, u32 lowest, u32 change, bool write_back) {
    Decoded d;
    const u32 count = static_cast<u32>(std::popcount(list));
    d.op.rn = rn;
    d.op.imm = list;
    d.op.extra = static_cast<u8>(lowest);
    d.op.rs = static_cast<u8>(change);
    d.usage.reads = one(rn) | (is_load ? 0 : list);
    const bool to_pc = is_load && list >> 15;
    d.usage.branches = to_pc;
    d.op.cycles = static_cast<u8>(to_pc ? count + 4 : count == 1 ? 2 : count);
    if (is_load && !to_pc && count > 1) {
        d.usage.result = static_cast<u8>(31 - std::countl_zero(list));
        d.usage.latency = 1;
    }
    return finish(d, multiple_handler(is_load, write_back, false, to_pc));
}

Decoded push_pop(u32 half) {
    const bool is_load = bit(half, 11);
    u32 list = half & 255;
    if (bit(half, 8)) list |= is_load ? 0x8000 : 0x4000;
    if (list == 0) return undefined(half);
    const u32 bytes = 4 * static_cast<u32>(std::popcount(list));
    return is_load ? multiple_op(true, 13, list, 0, bytes, true) : multiple_op(false, 13, list, 0 - bytes, 0 - bytes, true);
}

Decoded miscellaneous(u32 half) {
    if ((half >> 8 & 15) == 0) {
        const u32 value = (half & 127) * 4;
        return with_immediate(bit(half, 7) ? alu::SUB : alu::ADD, false, 13, 13, value);
    }
    if ((half & 0x0600) == 0x0400) return push_pop(half);
    if ((half & 0x0f00) == 0x0e00) {
        Decoded d;
        d.usage.branches = true;
        return finish(d, &general<&control::breakpoint>);
    }
    return undefined(half);
}

Decoded branch(u32 condition, u32 target) {
    Decoded d;
    d.op.imm = target;
    d.usage.branches = true;
    d.op.condition = static_cast<u8>(condition);
    d.op.handler = d.op.body = offset_of(branch_handler(condition, false));
    return d;
}

Decoded conditional_branch(u32 half, u32 address) {
    const u32 condition = half >> 8 & 15;
    if (condition == 14) return undefined(half);
    if (condition == 15) {
        Decoded d;
        d.op.imm = half;
        d.op.cycles = 3;
        d.usage.branches = true;
        return finish(d, &general<&control::supervisor_call>);
    }
    return branch(condition, address + 4 + static_cast<u32>(static_cast<std::int8_t>(half)) * 2);
}

// B, and the halves of BL and BLX.
Decoded long_branch(u32 half, u32 address) {
    const u32 code = half >> 11 & 3, offset = half & 0x7ff;
    if (code == 0) return branch(14, address + 4 + static_cast<u32>(static_cast<i32>(offset << 21) >> 20));
    if (code == 2) return with_immediate(alu::MOV, false, 14, 0, address + 4 + static_cast<u32>(static_cast<i32>(offset << 21) >> 9));
    Decoded d;
    d.op.imm = offset * 2;
    d.op.cycles = 3;
    d.usage.reads = one(14);
    d.usage.branches = true;
    if (code == 1 && bit(half, 0)) return undefined(half);
    return finish(d, code == 1 ? &general<&control::thumb_branch_link<true>> : &general<&control::thumb_branch_link<false>>);
}

}  // namespace

Decoded decode_thumb(u16 instruction, u32 address) {
    const u32 half = instruction;
    const u8 middle = low(half, 8);
    switch (half >> 12) {
        case 0: return shift_immediate(half);
        case 1:
            if (!bit(half, 11)) return shift_immediate(half);
            if (bit(half, 10)) return with_immediate(bit(half, 9) ? alu::SUB : alu::ADD, true, low(half, 0), low(half, 3), low(half, 6));
            return data_processing(bit(half, 9) ? alu::SUB : alu::ADD, low(half, 0), low(half, 3), low(half, 6));
        case 2: return with_immediate(bit(half, 11) ? alu::CMP : alu::MOV, true, middle, middle, half & 255);
        case 3: return with_immediate(bit(half, 11) ? alu::SUB : alu::ADD, true, middle, middle, half & 255);
        case 4:
            if (bit(half, 11)) {
                Decoded d;
                d.op.rd = middle;
                d.op.imm = ((address + 4) & ~3u) + (half & 255) * 4;
                d.usage.result = middle;
                d.usage.latency = 1;
                return finish(d, &fast_or_general<&transfer::literal_fast, &transfer::literal>);
            }
            return bit(half, 10) ? high_registers(half) : register_operation(half);
        case 5: return register_transfer(half);
        case 6:
            return transfer_op(bit(half, 11) ? transfer::ldr : transfer::str, transfer::immediate, low(half, 0), low(half, 3), 0,
                               (half >> 6 & 31) * 4);
        case 7:
            return transfer_op(bit(half, 11) ? transfer::ldrb : transfer::strb, transfer::immediate, low(half, 0), low(half, 3), 0,
                               half >> 6 & 31);
        case 8:
            return transfer_op(bit(half, 11) ? transfer::ldrh : transfer::strh, transfer::immediate, low(half, 0), low(half, 3), 0,
                               (half >> 6 & 31) * 2);
        case 9:
            return transfer_op(bit(half, 11) ? transfer::ldr : transfer::str, transfer::immediate, middle, 13, 0, (half & 255) * 4);
        case 10:
            if (bit(half, 11)) return with_immediate(alu::ADD, false, middle, 13, (half & 255) * 4);
            return with_immediate(alu::MOV, false, middle, 0, ((address + 4) & ~3u) + (half & 255) * 4);
        case 11: return miscellaneous(half);
        case 12: {
            const bool is_load = bit(half, 11);
            const u32 list = half & 255, bytes = 4 * static_cast<u32>(std::popcount(list));
            if (list == 0) return undefined(half);
            return multiple_op(is_load, middle, list, 0, bytes, !(is_load && bit(list, middle)));
        }
        case 13: return conditional_branch(half, address);
        default: return long_branch(half, address);
    }
}

}  // namespace spindl::emulator
