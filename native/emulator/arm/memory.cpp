// Data accesses that do not hit the DTCM fast path.
#include "arm/core.hpp"

#include <cstring>

namespace spindl::emulator {
namespace {

u32 read_little(const u8* at, Width width) {
    if (width == Width::byte) return *at;
    if (width == Width::half) {
        u16 value;
        std::memcpy(&value, at, 2);
        return value;
    }
    u32 value;
    std::memcpy(&value, at, 4);
    return value;
}

void write_little(u8* at, Width width, u32 value) { std::memcpy(at, &value, static_cast<std::size_t>(width)); }

}  // namespace

bool in_itcm(u32 address) { return address < itcm_size; }
bool in_dtcm(u32 address) { return address - dtcm_base < dtcm_size; }

bool was_executed(const Core& core, u32 address) {
    const u32 word = address >> 2;
    return core.arm_table[word].handler != 0 || core.thumb_table[2 * word].handler != 0 || core.thumb_table[2 * word + 1].handler != 0;
}

// Unaligned accesses abort when CP15 control bit 1 is set (SARK sets it); otherwise ARMv5 ignores the low address bits,
// and the caller rotates a loaded word.
static bool aligned(Core& core, u32& address, Width width) {
    const u32 low = address & (static_cast<u32>(width) - 1);
    if (low == 0) return true;
    core.bus->report(core, Fault::unaligned, address);
    if (core.cp15_control & 2) return false;
    address -= low;
    return true;
}

bool load(Core& core, u32 address, Width width, u32& value) {
    if (!aligned(core, address, width)) return false;
    if (in_itcm(address)) {
        value = read_little(core.itcm + address, width);
        return true;
    }
    if (in_dtcm(address)) {
        const u32 offset = address - dtcm_base;
        if (core.dtcm_written != nullptr && (core.dtcm_written[offset >> 7] >> (offset >> 2 & 31) & 1) == 0) {
            core.bus->report(core, Fault::uninitialised, address);
        }
        value = read_little(core.dtcm + offset, width);
        return true;
    }
    return core.bus->load(core, address, width, value);
}

bool store(Core& core, u32 address, Width width, u32 value) {
    if (!aligned(core, address, width)) return false;
    if (in_itcm(address)) {
        if (core.dtcm_written != nullptr && was_executed(core, address)) core.bus->report(core, Fault::code_write, address);
        write_little(core.itcm + address, width, value);
        forget_code(core, address, static_cast<u32>(width));
        return true;
    }
    if (in_dtcm(address)) {
        const u32 offset = address - dtcm_base;
        if (core.dtcm_written != nullptr) core.dtcm_written[offset >> 7] |= 1u << (offset >> 2 & 31);
        write_little(core.dtcm + offset, width, value);
        return true;
    }
    return core.bus->store(core, address, width, value);
}

}  // namespace spindl::emulator
