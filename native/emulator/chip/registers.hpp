// Which registers the emulator knows; an access to any other is reported. Offsets: the blocks' own headers.
#pragma once

#include "arm/core.hpp"

namespace spindl::emulator {

constexpr bool known_vic_register(u32 offset) {
    if ((offset >= 0x100 && offset < 0x140) || (offset >= 0x200 && offset < 0x240)) return true;
    return offset <= 0x20 || offset == 0x30 || offset == 0x34;
}

// In a core's own subsystem: communications, timers, DMA.
constexpr bool known_private_register(u32 address) {
    const u32 offset = address & 0xfff;
    switch (address >> 24) {
        case 0x10: case 0x20: return offset <= 0x18;
        case 0x11: case 0x21: return offset < 0x40 && (offset & 0x1f) <= 0x18;
        case 0x30: case 0x40:
            return (offset >= 0x04 && offset <= 0x28) || (offset >= 0x104 && offset <= 0x10c) || offset >= 0x180;
        default: return false;
    }
}

constexpr bool known_router_register(u32 offset) {
    if (offset >= 0x10000) return offset < 0x18000;
    if (offset >= 0x4000) return (offset & 0x3fff) < 0x1000;
    if ((offset >= 0x200 && offset < 0x240) || (offset >= 0x300 && offset < 0x340)) return true;
    return offset <= 0x30 || offset == 0x80 || offset == 0x84;
}

constexpr bool known_system_controller_register(u32 offset) {
    return offset <= 0x30 || offset == 0x34 || offset == 0x38 || (offset >= 0x40 && offset <= 0x70) ||
           (offset >= 0x80 && offset < 0x204);
}

constexpr bool known_ethernet_register(u32 offset) {
    if (offset < 0x600 || (offset >= 0x4000 && offset < 0x4c00) || (offset >= 0x8000 && offset < 0x8040)) return true;
    // c024 and c02c say where the frame in view begins and which descriptor is its: always the first.
    return (offset >= 0xc000 && offset <= 0xc024) || offset == 0xc02c;
}

// Reached over the System NoC, 0xe0000000 to 0xf6ffffff.
constexpr bool known_system_register(u32 address) {
    switch (address >> 24 & 15) {
        case 0: return (address & 0xffff) < 0x1000;
        case 1: return known_router_register(address & 0x1fffc);
        case 2: return known_system_controller_register(address & 0xffc);
        case 3: return (address & 0xffc) <= 0x14 || (address & 0xffc) == 0xc00;
        case 4: return known_ethernet_register(address & 0xfffc);
        default: return false;
    }
}

}  // namespace spindl::emulator
