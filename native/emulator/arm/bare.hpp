// A core on its own, with its two memories and a little RAM: for instruction tests, cycle tests and kernel timing.
#pragma once

#include "arm/core.hpp"

#include <memory>
#include <vector>

namespace spindl::emulator {

class BareCore final : public Bus {
public:
    static constexpr u32 ram_base = 0x60000000;

    explicit BareCore(u32 ram_size);

    bool load(Core& core, u32 address, Width width, u32& value) override;
    bool store(Core& core, u32 address, Width width, u32 value) override;
    void report(Core& core, Fault fault, u32 address) override;

    // Host access; false if [address, address + size) is not memory.
    bool peek(u32 address, u8* to, u32 size) const;
    bool poke(u32 address, const u8* from, u32 size);
    // Runs until the pc is `stop` (checked at the end of each slice of one instruction if `stepwise`), the core waits,
    // or `limit` cycles have passed. Stops at once on wait-for-interrupt.
    void run(i64 limit);
    void step();

    Core core;
    std::vector<std::pair<Fault, u32>> reports;

private:
    const u8* memory_at(u32 address, u32 size) const;

    std::vector<u8> itcm_, dtcm_, ram_;
    std::unique_ptr<Op[]> arm_, thumb_;
};

}  // namespace spindl::emulator
