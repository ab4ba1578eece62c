// What the boot ROM does until SC&MP runs: takes the image from the host (Ethernet chip) or from neighbours.
//
// Not the ROM's code: its duty, as seen from outside (facts of the two protocols: spinnaker_tools scamp-boot.c and the
// SpiNNMan boot messages).
#pragma once

#include "chip/packet.hpp"

#include <vector>

namespace spindl::emulator {

struct BootRom {
    static constexpr u32 image_limit = 32 * 1024, block_words = 256;

    bool active = true;           // false once the image runs
    u8 image[image_limit] = {};
    u32 blocks = 0;               // announced by the sender
    u32 received = 0;             // bit per block
    u32 block = 0, words = 0;     // the block now arriving over links

    // True when the image is complete and is to be started.
    bool take_packet(const Packet& packet);
    bool take_datagram(const u8* data, u32 size);
};

}  // namespace spindl::emulator
