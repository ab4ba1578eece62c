// Memory map of a chip (datasheet section 4; offsets of each block in its own header).
#include "chip/chip.hpp"
#include "chip/registers.hpp"

#include <algorithm>
#include <cstring>

namespace spindl::emulator {
namespace {

constexpr u32 dump_status = 0x28;  // router register; reading it clears the dump interrupt

// Selects the wanted part of a register word, as the bus does for narrow reads.
u32 narrow(u32 word, u32 address, Width width) {
    const u32 shifted = word >> (address & 3) * 8;
    return width == Width::word ? word : width == Width::half ? shifted & 0xffff : shifted & 0xff;
}

// Just beyond a tightly coupled memory it is most likely a pointer or a stack that ran over.
Fault nothing_there(u32 address) {
    const bool near = address < 2 * itcm_size || address - (dtcm_base - dtcm_size) < 3 * dtcm_size;
    return near ? Fault::tcm_overrun : Fault::unmapped;
}

bool is_vic(u32 address) { return address >= 0xfffff000 || address >> 24 == 0x1f || address >> 24 == 0x2f; }

// A register that is missing in a block that is there.
bool is_unknown_private(u32 address) {
    const u32 block = address >> 24;
    if (is_vic(address)) return !known_vic_register(address & 0xfff);
    const bool in_block = block == 0x10 || block == 0x20 || block == 0x11 || block == 0x21 || block == 0x30 || block == 0x40;
    return in_block && !known_private_register(address);
}

}  // namespace

void Chip::mark_sdram(u32 offset, u32 size) {
    for (u32 block = offset / sdram_block; block <= (offset + size - 1) / sdram_block; ++block) {
        sdram_written[block / 32] |= 1u << block % 32;
    }
    if (!machine.tracks()) return;
    for (u32 word = offset >> 2; word <= (offset + size - 1) >> 2; ++word) sdram_known.data()[word >> 3] |= static_cast<u8>(1u << (word & 7));
}

void Chip::mark_dtcm(u32 core, u32 offset, u32 size) {
    for (u32 word = offset >> 2; word <= (offset + size - 1) >> 2; ++word) cores[core].dtcm_written[word >> 5] |= 1u << (word & 31);
}

// Memory that all cores of the chip, its DMA engines and its neighbours' peeks can reach. SDRAM repeats every 128 MB.
u8* Chip::shared_memory(u32 address) {
    const u32 top = address >> 24;
    if (top >= 0x60 && top < 0x80) return sdram() + (address & (sdram_size - 1));
    if ((top & 0xef) == 0xe5) return system_ram() + (address & (system_ram_size - 1));
    if (address >= 0xffff0000 && address < 0xfffff000 && system.boot_area_is_ram()) {
        return system_ram() + (address & (system_ram_size - 1));
    }
    return nullptr;
}

bool Chip::load(Core& core, u32 address, Width width, u32& value) {
    const u32 top = address >> 24;
    if (u8* at = shared_memory(address)) {
        value = 0;
        std::memcpy(&value, at, static_cast<std::size_t>(width));
        if (top < 0x80) {
            if (machine.tracks() && !sdram_is_known(address & (sdram_size - 1))) report(core, Fault::uninitialised, address);
            ++cpu_accesses;
            disturb(core.now());
            core.wait(machine.costs.sdram + static_cast<u32>(std::max<i64>(0, std::min<i64>(sdram_free_at - core.now(), 1000))));
        } else {
            core.wait(machine.costs.system_ram);
        }
        return true;
    }
    u32 word = 0;
    if (top < 0x50 || is_vic(address)) {
        core.wait(machine.costs.peripheral);
        if (!private_load(core, address & ~3u, word)) {
            report(core, nothing_there(address), address);
            return false;
        }
    } else if (top >= 0xe0 && top < 0xff && (top & 15) <= 6) {
        core.wait(machine.costs.system_register);
        word = system_register_load(address & ~3u, core.now());
        if (!known_system_register(address)) report(core, Fault::unimplemented_register, address);
        if ((top & 15) == 1 && (address & 0x1fffc) == dump_status) refresh_all(core.now());
    } else {
        report(core, Fault::unmapped, address);
        return false;
    }
    value = narrow(word, address, width);
    return true;
}

bool Chip::store(Core& core, u32 address, Width width, u32 value) {
    const u32 top = address >> 24;
    if (u8* at = shared_memory(address)) {
        std::memcpy(at, &value, static_cast<std::size_t>(width));
        if (top < 0x80) {
            mark_sdram(address & (sdram_size - 1), static_cast<u32>(width));
            ++cpu_accesses;
            disturb(core.now());
            core.wait(machine.costs.sdram + static_cast<u32>(std::max<i64>(0, std::min<i64>(sdram_free_at - core.now(), 1000))));
        } else {
            core.wait(machine.costs.system_ram);
        }
        return true;
    }
    if (top < 0x50 || is_vic(address)) {
        core.wait(machine.costs.peripheral);
        if (private_store(core, address & ~3u, value)) return true;
    } else if (top >= 0xe0 && top < 0xff && (top & 15) <= 6) {
        core.wait(machine.costs.system_register);
        system_register_store(address, width, value, core.now(), core.index);
        if (!known_system_register(address)) report(core, Fault::unimplemented_register, address);
        return true;
    }
    report(core, nothing_there(address), address);
    return false;
}

bool Chip::private_load(Core& core, u32 address, u32& value) {
    Peripherals& p = peripherals[core.index];
    const u32 offset = address & 0xfff;
    if (is_unknown_private(address)) report(core, Fault::unimplemented_register, address);
    if (is_vic(address)) {
        value = p.vic.read(offset);
        if (offset == 0x30) refresh(core.index, core.now());
        return true;
    }
    switch (address >> 24) {
        case 0x10: case 0x20:
            value = p.comms.read(offset);
            if (offset == 0x14) refresh(core.index, core.now());
            return true;
        case 0x11: case 0x21: value = p.timers[offset >> 5 & 1].read(offset & 0x1f, core.now()); return true;
        case 0x30: case 0x40: value = p.dma.read(offset, core.index); return true;
        default: return false;
    }
}

bool Chip::private_store(Core& core, u32 address, u32 value) {
    Peripherals& p = peripherals[core.index];
    const u32 offset = address & 0xfff;
    if (is_unknown_private(address)) report(core, Fault::unimplemented_register, address);
    if (is_vic(address)) {
        p.vic.write(offset, value);
    } else {
        switch (address >> 24) {
            case 0x10: case 0x20:
                if (p.comms.write(offset, value, core.now())) {
                    transmitting |= 1u << core.index;
                    disturb(core.now());
                    traced(PacketEvent::sent, core.now(), core.index, p.comms.transmit.back().packet);
                }
                break;
            case 0x11: case 0x21:
                p.timers[offset >> 5 & 1].write(offset & 0x1f, value, core.now());
                note_timers(core.index);
                core.yield = core.attention = true;
                break;
            case 0x30: case 0x40:
                p.dma.write(offset, value, core.now());
                if (p.dma.active) {
                    transferring |= 1u << core.index;
                    disturb(core.now());
                }
                break;
            default: return false;
        }
    }
    refresh(core.index, core.now());
    return true;
}

u32 Chip::router_load(u32 offset) {
    Router& r = router;
    if (offset >= 0x4000 && offset < 0x5000) return r.route[(offset - 0x4000) / 4];
    if (offset >= 0x8000 && offset < 0x9000) return r.key[(offset - 0x8000) / 4];
    if (offset >= 0xc000 && offset < 0xd000) return r.mask[(offset - 0xc000) / 4];
    if (offset >= 0x10000 && offset < 0x18000) return r.p2p[(offset - 0x10000) / 4];
    if (offset >= 0x200 && offset < 0x240) return r.filters[(offset - 0x200) / 4];
    if (offset >= 0x300 && offset < 0x340) return r.counters[(offset - 0x300) / 4];
    switch (offset) {
        case 0x00: return r.control;
        case 0x04: return (r.holding ? 1u << 16 | 2u << 24 : 0) | (r.dumped ? 1u << 29 : 0) | (r.dump_interrupt() ? 1u << 31 : 0);
        case 0x18: return r.dump_phase << 6 | u32{r.dump.control} << 16 | u32{r.dump.route} << 24;
        case 0x1c: return r.dump.key;
        case 0x20: return r.dump.payload;
        case 0x24: return r.dump_outputs;
        case 0x28: {
            const u32 status = r.dump_sticky | (r.dump_overflow ? 1u << 30 : 0) | (r.dumped ? 1u << 31 : 0);
            r.dumped = r.dump_overflow = false;
            r.dump_sticky = 0;
            return status;
        }
        case 0x2c: return r.diagnostic_enable;
        case 0x30: return r.timing_control;
        case 0x80: return r.diversion;
        case 0x84: return r.fixed_route;
        default: return 0;
    }
}

void Chip::router_store(u32 offset, u32 value) {
    Router& r = router;
    const auto table = [&](u32* entries, u32 base) {
        entries[(offset - base) / 4] = value;
        ++cache_.generation;
        const u32 entry = (offset - base) / 4;
        // An entry that can never match, key bits outside the mask, does not count as used.
        if ((r.key[entry] & ~r.mask[entry]) == 0) r.entries_used = std::max(r.entries_used, entry + 1);
    };
    if (offset >= 0x4000 && offset < 0x5000) {
        r.route[(offset - 0x4000) / 4] = value;
        ++cache_.generation;
    } else if (offset >= 0x8000 && offset < 0x9000) {
        table(r.key, 0x8000);
    } else if (offset >= 0xc000 && offset < 0xd000) {
        table(r.mask, 0xc000);
    } else if (offset >= 0x10000 && offset < 0x18000) {
        r.p2p[(offset - 0x10000) / 4] = value;
    } else if (offset >= 0x200 && offset < 0x240) {
        r.filters[(offset - 0x200) / 4] = value;
    } else if (offset == 0x00) {
        r.control = value;
    } else if (offset == 0x2c) {
        r.diagnostic_enable = value & 0xffff;
        for (u32 i = 0; i < 16; ++i) {
            if (value >> (16 + i) & 1) r.counters[i] = 0;
        }
    } else if (offset == 0x30) {
        r.timing_control = value;
    } else if (offset == 0x80) {
        r.diversion = value;
    } else if (offset == 0x84) {
        r.fixed_route = value;
    }
}

u32 Chip::system_register_load(u32 address, i64 now) {
    switch (address >> 24 & 15) {
        case 0: return (address & 0xffff) == 0x300 ? 1u << 18 : 0;  // PL340: the delay-locked loop has locked
        case 1: return router_load(address & 0x1ffff);
        case 2: {
            return system.read(address & 0xfff, sleeping);
        }
        case 3: return watchdog.read(address & 0xffc, now);
        case 4: return config.ethernet ? ethernet.read(address & 0xffff) : 0;
        default: return 0;
    }
}

void Chip::system_register_store(u32 address, Width width, u32 value, i64 now, u32 by) {
    switch (address >> 24 & 15) {
        case 1:
            router_store(address & 0x1fffc, value);
            if ((address & 0x1ffff) == 0) refresh_all(now);
            break;
        case 2: {
            const u32 before = running();
            u32 released = 0;
            system.write(address & 0xffc, value, released);
            if (released != 0 || before != running()) disturb(now);
            // A core that resets itself is still in the middle of the store; it starts over when its slice ends.
            if (by < cores_per_chip && (released >> by & 1)) {
                self_reset_ = true;
                cores[by].yield = cores[by].attention = true;
                released &= ~(1u << by);
            }
            if (released != 0) reset_cores(released, now);
            // A core that stopped itself or was stopped must leave its run loop; one that starts again starts now.
            const u32 changed = before ^ running();
            for (u32 left = changed; left != 0; left &= left - 1) {
                Core& core = cores[std::countr_zero(left)];
                core.yield = core.attention = true;
                if (!core.waiting && core.index != by) core.set_now(std::max(core.now(), now));
            }
            const u32 offset = address & 0xffc;
            if (offset == 0x08 || offset == 0x0c || changed != 0) refresh_all(now);
            break;
        }
        case 3:
            watchdog.write(address & 0xffc, value, now);
            disturb(now);
            refresh_all(now);
            wake_at = std::min(wake_at, watchdog.zero_at);
            break;
        case 4:
            if (config.ethernet) {
                ethernet.write(address & 0xffff, width, value, now, machine.costs.ethernet_frame);
                if ((address & 0xffff) >= 0xc000) refresh_all(now);
            }
            break;
        default: break;  // the memory controller's settings change nothing here
    }
}

bool Chip::peek(u32 core, u32 address, u8* to, u32 size) {
    for (u32 i = 0; i < size; ++i) {
        const u32 at = address + i;
        if (in_itcm(at)) {
            to[i] = itcm(core)[at];
        } else if (in_dtcm(at)) {
            to[i] = dtcm(core)[at - dtcm_base];
        } else if (const u8* shared = shared_memory(at)) {
            to[i] = *shared;
        } else {
            return false;
        }
    }
    return true;
}

bool Chip::poke(u32 core, u32 address, const u8* from, u32 size) {
    for (u32 i = 0; i < size; ++i) {
        const u32 at = address + i;
        if (in_itcm(at)) {
            itcm(core)[at] = from[i];
            forget_code(cores[core], at, 1);
        } else if (in_dtcm(at)) {
            dtcm(core)[at - dtcm_base] = from[i];
            if (machine.tracks()) mark_dtcm(core, at - dtcm_base, 1);
        } else if (u8* shared = shared_memory(at)) {
            *shared = from[i];
            if (at >> 24 < 0x80) mark_sdram(at & (sdram_size - 1), 1);
        } else {
            return false;
        }
    }
    return true;
}

u32 Chip::peek_register(u32 address, i64 now) {
    const Router saved_router = router;
    const SystemController saved_system = system;
    u32 value = 0;
    if (address >> 24 >= 0xe0 && address < 0xff000000) value = system_register_load(address & ~3u, now);
    router = saved_router;
    system = saved_system;
    return value;
}

}  // namespace spindl::emulator
