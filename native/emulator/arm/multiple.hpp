// LDM and STM. op.imm is the register list; op.extra the signed byte offset of the lowest address from the base (as i8),
// op.rs the signed byte change of the base on write-back.
#pragma once

#include "arm/transfer.hpp"

#include <cstdlib>

namespace spindl::emulator::multiple {

inline u32 from_signed_byte(u8 value) { return static_cast<u32>(static_cast<std::int8_t>(value)); }

inline u32 registers_in(const Op& op) { return static_cast<u32>(std::abs(static_cast<std::int8_t>(op.rs))) / 4; }

// The whole transfer lies in the DTCM, aligned, and touches neither r15 nor the user bank.
template <bool Load, bool WriteBack>
bool fast(Core& core, const Op& op) {
    const u32 base = core.r[op.rn];
    const u32 start = base + from_signed_byte(op.extra);
    u32 at;
    if (!transfer::fast_dtcm<Width::word>(core, start, at)) return false;
    u32 list = op.imm;
    if ((at >> 2) + registers_in(op) > core.fast_words) return false;
    const u32 moved = base + from_signed_byte(op.rs);
    if constexpr (!Load) {
        // The base is stored unchanged if it is the lowest register of the list, else written back first.
        u8* to = core.dtcm + at;
        bool first = true;
        for (; list != 0; list &= list - 1, to += 4, first = false) {
            const u32 number = static_cast<u32>(std::countr_zero(list));
            std::memcpy(to, &core.r[number], 4);
            if (WriteBack && first) core.r[op.rn] = moved;
        }
    } else {
        const u8* from = core.dtcm + at;
        if constexpr (WriteBack) core.r[op.rn] = moved;
        for (; list != 0; list &= list - 1, from += 4) std::memcpy(&core.r[std::countr_zero(list)], from, 4);
    }
    return true;
}

template <bool Load, bool WriteBack, bool UserBank>
const Op* slow(Core& core, const Op& op) {
    const u32 base = core.r[op.rn], moved = base + from_signed_byte(op.rs);
    u32 address = base + from_signed_byte(op.extra);
    const bool loads_pc = Load && (op.imm & 0x8000);
    const bool user_bank = UserBank && !loads_pc;
    if constexpr (!Load) core.r[15] = core.pc_of(&op) + 12;  // ARM9E-S stores its address + 12
    u32 values[16];
    bool first = true;
    for (u32 list = op.imm & 0xffff; list != 0; list &= list - 1, address += 4, first = false) {
        const u32 number = static_cast<u32>(std::countr_zero(list));
        if constexpr (Load) {
            if (!load(core, address, Width::word, values[number])) return transfer::data_abort(core, op);
        } else {
            u32 value = user_bank ? user_register(core, number) : core.r[number];
            if (WriteBack && !first && number == op.rn) value = moved;
            if (!store(core, address, Width::word, value)) return transfer::data_abort(core, op);
        }
    }
    if constexpr (WriteBack) core.r[op.rn] = moved;
    if constexpr (!Load) return &op + 1;
    for (u32 list = op.imm & 0x7fff; list != 0; list &= list - 1) {
        const u32 number = static_cast<u32>(std::countr_zero(list));
        (user_bank ? user_register(core, number) : core.r[number]) = values[number];
    }
    if (!loads_pc) return &op + 1;
    if constexpr (UserBank) {
        write_cpsr(core, read_spsr(core));
        jump(core, values[15] & (core.thumb ? ~1u : ~3u));
        return nullptr;
    }
    return transfer::branch_exchange(core, values[15]);
}

}  // namespace spindl::emulator::multiple
