// What the owner decides about a machine before it is switched on. The numbers come from spindl/machine, with sources.
#pragma once

#include "chip/packet.hpp"

#include <array>
#include <string>
#include <vector>

namespace spindl::emulator {

// All in core cycles (200 MHz).
struct Costs {
    u32 peripheral = 4;           // registers in the core's own subsystem
    u32 system_register = 12;     // router, system controller, Ethernet: over the System NoC
    u32 system_ram = 12;
    u32 sdram = 20;
    double sdram_bytes_per_cycle = 3.0;  // of the chip: 600 MB/s
    double dma_bytes_per_cycle = 4.0 / 3.0;  // of one engine: 15 ns per word
    u32 hop = 64;                 // from router to router; also the length of a scheduling quantum
    double link_cycles_per_symbol = 4.0;  // 20 ns per 4-bit symbol
    u32 ethernet_frame = 6000;    // 30 us before a sent frame reaches the host (SC&MP frees its tag late)
};

struct ChipConfig {
    u32 x = 0, y = 0;
    std::array<i32, links_per_chip> neighbour{-1, -1, -1, -1, -1, -1};  // index of the chip, -1: nothing there
    u32 working_cores = 0x3ffff;  // physical cores that pass their self-test
    bool ethernet = false;
    std::array<u8, 4> ip{};       // of the Ethernet chip
    u32 board = 0;
};

// Faults that a user asks for beyond dead parts; rates are per event.
struct FaultConfig {
    u64 seed = 0;
    double packet_loss = 0;        // per packet and link
    double packet_corruption = 0;  // one payload or key bit flipped, framing error not detected
    double sdram_bit_error = 0;    // one bit flipped, per DMA burst
    // Of multicast packets only, so that SC&MP's own are left alone; per packet and link.
    double multicast_loss = 0, multicast_repeat = 0, multicast_reorder = 0;
};

// Both `warn` and `stop` remember which memory was written and which code was executed, and report what goes against
// it; that is slower. `stop` also stops the core, unless it is the monitor.
enum class Strictness : u32 { off, warn, stop };

struct MachineConfig {
    std::vector<ChipConfig> chips;
    Costs costs;
    FaultConfig faults;
    u32 hardware_version = 5;
    u32 threads = 1;
    Strictness strict = Strictness::off;

    bool tracks() const { return strict != Strictness::off; }
};

}  // namespace spindl::emulator
