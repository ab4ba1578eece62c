#include "arm/bare.hpp"

#include <cstring>

namespace spindl::emulator {

BareCore::BareCore(u32 ram_size)
    : itcm_(itcm_size), dtcm_(dtcm_size), ram_(ram_size), arm_(new Op[arm_ops + 1]), thumb_(new Op[thumb_ops + 1]) {
    core.itcm = itcm_.data();
    core.dtcm = dtcm_.data();
    core.arm_table = arm_.get();
    core.thumb_table = thumb_.get();
    core.bus = this;
    reset(core);
    core.cp15_control = 0;  // low vectors, no alignment check
    jump(core, 0);
}

const u8* BareCore::memory_at(u32 address, u32 size) const {
    if (u64{address} + size <= itcm_size) return itcm_.data() + address;
    if (address >= dtcm_base && u64{address} - dtcm_base + size <= dtcm_size) return dtcm_.data() + (address - dtcm_base);
    if (address >= ram_base && u64{address} - ram_base + size <= ram_.size()) return ram_.data() + (address - ram_base);
    return nullptr;
}

bool BareCore::load(Core&, u32 address, Width width, u32& value) {
    const u8* from = memory_at(address, static_cast<u32>(width));
    if (from == nullptr) return false;
    value = 0;
    std::memcpy(&value, from, static_cast<std::size_t>(width));
    return true;
}

bool BareCore::store(Core&, u32 address, Width width, u32 value) {
    return poke(address, reinterpret_cast<const u8*>(&value), static_cast<u32>(width));
}

void BareCore::report(Core&, Fault fault, u32 address) {
    if (reports.size() < 1000) reports.emplace_back(fault, address);
}

bool BareCore::peek(u32 address, u8* to, u32 size) const {
    const u8* from = memory_at(address, size);
    if (from != nullptr) std::memcpy(to, from, size);
    return from != nullptr;
}

bool BareCore::poke(u32 address, const u8* from, u32 size) {
    const u8* to = memory_at(address, size);
    if (to == nullptr || size == 0) return to != nullptr;
    std::memcpy(const_cast<u8*>(to), from, size);
    if (in_itcm(address)) forget_code(core, address, size);
    return true;
}

void BareCore::run(i64 limit) {
    core.waiting = false;
    run_until(core, core.now() + limit);
}

void BareCore::step() {
    core.waiting = false;
    run_until(core, core.now() + 1);
    core.set_now(core.now());
}

}  // namespace spindl::emulator
