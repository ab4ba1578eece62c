#include "chip/boot_rom.hpp"

#include <cstring>

namespace spindl::emulator {
namespace {

constexpr u32 block_bytes = BootRom::block_words * 4;

u32 crc32(const u8* data, u32 size) {
    u32 crc = 0xffffffff;
    for (u32 i = 0; i < size; ++i) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

u32 big_endian(const u8* at) { return u32{at[0]} << 24 | u32{at[1]} << 16 | u32{at[2]} << 8 | at[3]; }

u32 all(u32 blocks) { return blocks >= 32 ? 0xffffffffu : (1u << blocks) - 1; }

}  // namespace

bool BootRom::take_packet(const Packet& packet) {
    const u32 command = packet.key >> 24 & 15, index = packet.key >> 16 & 255;
    if (!active || !packet.has_payload()) return false;
    switch (command) {
        case 1:
            blocks = (packet.payload >> 16 & 255) + 1;
            received = 0;
            return false;
        case 2:
            block = index;
            words = (packet.key >> 8 & 255) + 1;
            return false;
        case 3: {
            const u32 at = index * block_bytes + (packet.key >> 8 & 255) * 4;
            if (at + 4 <= image_limit) std::memcpy(image + at, &packet.payload, 4);
            return false;
        }
        case 4:
            if (index < 32 && index == block && crc32(image + index * block_bytes, words * 4) == packet.payload) {
                received |= 1u << index;
            }
            return false;
        case 5: return blocks != 0 && blocks <= 32 && (received & all(blocks)) == all(blocks);
        default: return false;
    }
}

bool BootRom::take_datagram(const u8* data, u32 size) {
    if (!active || size < 18 || data[0] != 0 || (data[1] != 1)) return false;
    const u32 opcode = big_endian(data + 2), first = big_endian(data + 6), third = big_endian(data + 14);
    if (opcode == 1) {
        blocks = third + 1;
        received = 0;
    } else if (opcode == 3) {
        const u32 index = first & 255, bytes = size - 18;
        if (index >= 32 || bytes > block_bytes || bytes % 4 != 0) return false;
        for (u32 i = 0; i < bytes; i += 4) {
            const u32 word = big_endian(data + 18 + i);  // the host swaps every word
            std::memcpy(image + index * block_bytes + i, &word, 4);
        }
        received |= 1u << index;
    } else if (opcode == 5) {
        return blocks != 0 && blocks <= 32 && (received & all(blocks)) == all(blocks);
    }
    return false;
}

}  // namespace spindl::emulator
