// The DMA engines of a chip and their competition for the SDRAM.
//
// Each burst occupies the SDRAM for its size over the chip's bandwidth, and its own engine for its size over the engine's
// bandwidth (Costs). The engine that has waited longest goes first; ties by core number.
#include "chip/chip.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace spindl::emulator {
namespace {

u32 crc32_word(u32 crc, u32 word) {
    crc ^= word;
    for (int bit = 0; bit < 32; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    return crc;
}

}  // namespace

// What a strict machine says about one burst from `system` to `tcm`, of a transfer that has `left` bytes to go.
void Chip::check_dma_to_tcm(u32 i, u32 system_address, u32 tcm, u32 bytes, u32 left) {
    Core& core = cores[i];
    if (in_dtcm(tcm)) mark_dtcm(i, tcm - dtcm_base, bytes);
    for (u32 at = 0; at < bytes; at += 4) {
        const u32 from = system_address + at;
        if (from >> 24 < 0x80 && !sdram_is_known(from & (sdram_size - 1))) {
            report(core, Fault::uninitialised, from);
            break;
        }
    }
    // To load code by DMA is an overlay, and no fault, unless the core is executing what is being replaced.
    if (in_itcm(tcm) && core.pc() - tcm < left) report(core, Fault::code_write, tcm);
}

void Chip::dma_burst(u32 i, i64 start) {
    Dma& dma = peripherals[i].dma;
    Transfer& t = dma.current;
    const u32 bytes = std::min(t.burst_bytes(), t.bytes_left);
    u8* system_side = shared_memory(t.system);
    u8* tcm_side = in_itcm(t.tcm) ? itcm(i) + t.tcm : in_dtcm(t.tcm) ? dtcm(i) + (t.tcm - dtcm_base) : nullptr;
    const bool fits = system_side != nullptr && tcm_side != nullptr && (in_itcm(t.tcm) ? in_itcm(t.tcm + bytes - 1) : in_dtcm(t.tcm + bytes - 1));
    if (!fits) {
        report(cores[i], system_side == nullptr ? Fault::unmapped : Fault::tcm_overrun, system_side == nullptr ? t.system : t.tcm);
        dma.error = true;
        dma.active = dma.queued = false;
        dma.ready_at = never;
        refresh(i, start);
        return;
    }
    const bool is_sdram = t.system >> 24 < 0x80;
    if (t.to_system()) {
        std::memcpy(system_side, tcm_side, bytes);
        if (is_sdram) mark_sdram(t.system & (sdram_size - 1), bytes);
    } else {
        std::memcpy(tcm_side, system_side, bytes);
        if (is_sdram && chance(machine.faults.sdram_bit_error)) tcm_side[events % bytes] ^= static_cast<u8>(1u << events / bytes % 8);
        if (machine.tracks()) check_dma_to_tcm(i, t.system, t.tcm, bytes, t.bytes_left);
        if (in_itcm(t.tcm)) forget_code(cores[i], t.tcm, bytes);
    }
    if (t.with_crc()) {
        for (u32 at = 0; at + 4 <= bytes; at += 4) {
            u32 word;
            std::memcpy(&word, tcm_side + at, 4);
            dma.crc = crc32_word(dma.crc, word);
        }
    }
    t.system += bytes;
    t.tcm += bytes;
    t.bytes_left -= bytes;
    const i64 shared_cycles = is_sdram ? std::llround(bytes / machine.costs.sdram_bytes_per_cycle) : 1;
    const i64 own_cycles = std::llround(bytes / machine.costs.dma_bytes_per_cycle);
    if (is_sdram) {
        sdram_free_at = start + shared_cycles;
        sdram_bytes += bytes;
        sdram_busy += static_cast<u64>(shared_cycles);
    }
    dma.ready_at = start + std::max(shared_cycles, own_cycles);
}

void Chip::run_dma(i64 end) {
    if (cpu_accesses != 0) {
        // A single word costs the SDRAM about one short burst.
        sdram_free_at += static_cast<i64>(cpu_accesses * 16 / machine.costs.sdram_bytes_per_cycle);
        sdram_busy += static_cast<u64>(cpu_accesses * 16 / machine.costs.sdram_bytes_per_cycle);
        sdram_bytes += cpu_accesses * 4;
        cpu_accesses = 0;
        sdram_free_at = std::min(sdram_free_at, end + 64);
    }
    for (;;) {
        const bool open = sdram_free_at < end;
        u32 first = cores_per_chip;
        for (u32 left = transferring; left != 0; left &= left - 1) {
            const u32 i = static_cast<u32>(std::countr_zero(left));
            const Dma& dma = peripherals[i].dma;
            if (!dma.active) transferring &= ~(1u << i);
            if (!dma.active || dma.ready_at >= end || (!open && dma.wants_sdram())) continue;
            if (first == cores_per_chip || dma.ready_at < peripherals[first].dma.ready_at) first = i;
        }
        if (first == cores_per_chip) return;
        Dma& dma = peripherals[first].dma;
        if (dma.current.bytes_left == 0) {
            const i64 at = dma.ready_at;
            dma.finish(at);
            refresh(first, at);
            continue;
        }
        dma_burst(first, dma.wants_sdram() ? std::max(dma.ready_at, sdram_free_at) : dma.ready_at);
    }
}

}  // namespace spindl::emulator
