// One SpiNNaker chip: 18 cores with their peripherals, shared memories, router and links.
//
// A chip is stepped through quanta no longer than the time a packet needs to the next chip, so chips never wait for each
// other inside a quantum. Within a quantum: cores in order of number, then DMA engines, then the router.
#pragma once

#include "chip/boot_rom.hpp"
#include "chip/comms.hpp"
#include "chip/config.hpp"
#include "chip/dma.hpp"
#include "chip/ethernet.hpp"
#include "chip/memory.hpp"
#include "chip/router.hpp"
#include "chip/system_controller.hpp"
#include "chip/timer.hpp"
#include "chip/vic.hpp"
#include "chip/watchdog.hpp"

#include <algorithm>
#include <deque>
#include <functional>
#include <memory>

namespace spindl::emulator {

constexpr u32 sdram_size = 128u << 20;
constexpr u32 system_ram_size = 32u << 10;
constexpr u32 sdram_block = 1u << 16;  // unit in which writes to SDRAM are remembered

struct Peripherals {
    Vic vic;
    Timer timers[2];
    Dma dma;
    Comms comms;
};

// What goes to one neighbour at the end of a quantum.
struct Outbox {
    std::vector<TimedPacket> packets;  // with arrival times
    u32 credits = 0;                   // places that became free in our input from that neighbour
    bool empty() const { return packets.empty() && credits == 0; }
};

struct Report {
    Fault fault;
    u32 core, pc, address;
    i64 time;
    u64 count;
    u32 cpsr;
    u32 registers[15];
};

enum class PacketEvent : u8 { sent, received, routed, forwarded, dropped, lost };

struct PacketTrace {
    i64 time;
    u32 x, y, place;  // core number, link number or route, by event
    PacketEvent event;
    Packet packet;
};

// One executed instruction: registers are those it left behind.
struct InstructionTrace {
    i64 time;
    u32 core, pc, word;
    u32 cpsr;
    u32 registers[15];
    bool thumb;
};

struct LinkCounters {
    u64 packets = 0, lost = 0, corrupted = 0, repeated = 0, reordered = 0;
};

class Chip final : public Bus {
public:
    Chip(const MachineConfig& machine, u32 index);

    // Bus of the cores.
    bool load(Core& core, u32 address, Width width, u32& value) override;
    bool store(Core& core, u32 address, Width width, u32 value) override;
    void report(Core& core, Fault fault, u32 address) override;

    void power_on();
    // As the watchdog does: all but the memories starts anew, the boot ROM waits. `code` is what software reads of the cause.
    void reset_chip(u32 code);
    // Starts the boot image on the monitor core, as the boot ROM does once it has all of it.
    void boot(const std::vector<u8>& image, i64 now);

    // Releases a core from reset at `address` (bit 0: Thumb), for programs that run without SC&MP.
    void start_core(u32 core, u32 address, i64 now);

    // Runs [begin, end). Afterwards `wake_at` is when it next has something to do without outside events.
    void step(i64 begin, i64 end);
    // When a single core is awake and nothing moves, quanta need no bookkeeping: runs that core towards `limit` (a quantum
    // boundary) until it does something that others can notice. Returns the boundary it got to, `begin` if it did not
    // start. The result is that of stepping quantum by quantum.
    i64 run_alone(i64 begin, i64 limit);
    void accept(u32 link, const Outbox& from);

    void ethernet_frame(const Frame& frame, i64 now);
    void stop_core(u32 core) { working &= ~(1u << core); }

    // Without side effects on timing. `core` selects whose private memories are meant. False: no memory there.
    bool peek(u32 core, u32 address, u8* to, u32 size);
    bool poke(u32 core, u32 address, const u8* from, u32 size);
    u32 peek_register(u32 address, i64 now);
    void poke_register(u32 address, u32 value, i64 now) { system_register_store(address, Width::word, value, now, cores_per_chip); }

    void wire();                 // sets the cores' pointers after construction or restoring
    void mark_sdram(u32 offset, u32 size);
    void mark_block(u32 offset) { sdram_written[offset / sdram_block / 32] |= 1u << offset / sdram_block % 32; }

    const MachineConfig& machine;
    const ChipConfig& config;
    const u32 index;

    // State that a snapshot copies as bytes.
    Core cores[cores_per_chip];
    Peripherals peripherals[cores_per_chip];
    SystemController system;
    Router router;
    BootRom rom;
    u32 working;                 // cores that are not dead
    u32 started = 0;             // cores that have been released from reset at least once
    // Digests of the cores' state, so that a quiet chip is stepped without touching 18 cores.
    u32 transmitting = 0;        // cores with packets waiting to enter the router
    u32 transferring = 0;        // cores whose DMA engine is busy
    u32 sleeping = 0;            // cores in wait-for-interrupt
    u32 stopped = 0;             // cores that strictness has stopped, until their next reset
    i64 timer_due[cores_per_chip];
    i64 first_timer = never;     // not after the earliest of them
    u32 memory_controller[1024] = {};
    Watchdog watchdog;
    i64 sdram_free_at = 0;
    u64 sdram_bytes = 0, sdram_busy = 0;
    u32 cpu_accesses = 0;        // to SDRAM since the DMA engines last ran
    u64 events = 0;              // counter of the fault generator
    LinkCounters links[links_per_chip];

    Ethernet ethernet;
    LazyMemory memory;           // SDRAM, System RAM, then ITCM and DTCM of each core
    LazyMemory tables;           // predecoded instructions
    std::vector<u32> sdram_written;  // bit per sdram_block
    std::vector<u32> dtcm_written;   // strict mode only: bit per word, per core
    LazyMemory sdram_known;          // strict mode only: bit per word that was written

    i64 wake_at = never;
    Outbox outbox[links_per_chip];  // emptied by the owner after each quantum
    u32 outgoing = 0;               // outboxes that hold something, bit per link
    std::vector<Report> reports;
    std::function<void(const PacketTrace&)> trace;  // empty unless packets are traced

    // Looking inside. A watched core is run one instruction at a time: the same results, slower.
    u32 watched = 0;                          // cores whose instructions are kept in `history`
    u32 halted = 0;                           // cores a debugger holds; all others go on
    std::deque<InstructionTrace> history;     // last `history_limit` instructions of the watched cores
    std::size_t history_limit = 4096;
    std::vector<std::pair<u32, u32>> breakpoints;  // (core, address): the core halts before executing it

    void debug_step(u32 core, i64 now);       // one instruction of a halted core

    u8* sdram() { return memory.data(); }
    u8* system_ram() { return memory.data() + sdram_size; }
    u8* itcm(u32 core) { return memory.data() + sdram_size + system_ram_size + core * (itcm_size + dtcm_size); }
    u8* dtcm(u32 core) { return itcm(core) + itcm_size; }

    // A core runs if it is out of reset, clocked and not dead.
    u32 running() const { return started & working & ~(halted | stopped) & ~system.clock_disabled & ~system.reset_level; }
    void refresh(u32 core, i64 now);  // recomputes its interrupt lines; wakes it at `now` if one is up
    void refresh_all(i64 now);

private:
    void step_from(u32 first_core, i64 begin, i64 end);
    void run_core(u32 core, i64 end);
    void run_watched(u32 core);
    bool at_breakpoint(u32 core) const;
    void disturb(i64 now);  // something happened that ends run_alone
    void reset_cores(u32 cores, i64 now);
    void watchdog_expired();
    void note_timers(u32 core) {
        timer_due[core] = std::min(peripherals[core].timers[0].zero_at, peripherals[core].timers[1].zero_at);
        first_timer = std::min(first_timer, timer_due[core]);
    }
    i64 next_event(i64 end);

    // Bus, in chip_bus.cpp
    bool private_load(Core& core, u32 address, u32& value);
    bool private_store(Core& core, u32 address, u32 value);
    u32 system_register_load(u32 address, i64 now);
    void system_register_store(u32 address, Width width, u32 value, i64 now, u32 by);
    u8* shared_memory(u32 address);
    bool sdram_is_known(u32 offset) const { return sdram_known.data()[offset >> 5] >> (offset >> 2 & 7) & 1; }
    void mark_dtcm(u32 core, u32 offset, u32 size);
    u32 router_load(u32 offset);
    void router_store(u32 offset, u32 value);

    // DMA engines, in dma.cpp
    void run_dma(i64 end);
    void dma_burst(u32 core, i64 start);
    void check_dma_to_tcm(u32 core, u32 system_address, u32 tcm, u32 bytes, u32 left);

    // Router, in router.cpp
    void run_router(i64 begin, i64 end);
    bool next_packet(i64 end);
    u32 route_of(Packet& packet, i64 now);
    u32 multicast_route(u32 key, bool& matched);
    bool offer(i64 now, i64 end, i64& retry);
    void send_on_link(u32 link, Packet packet, i64 now);
    void forward(u32 link, Packet packet, i64 now);
    void disturb(u32 link, const Packet& packet, i64 now);
    bool deliver(u32 core, const Packet& packet, i64 now);
    void drop(i64 now);
    void count_packet(const Packet& packet, u32 route, bool dropped);
    void direct_access(const Packet& request, i64 now);
    void traced(PacketEvent event, i64 now, u32 place, const Packet& packet) {
        if (trace) trace({now, config.x, config.y, place, event, packet});
    }
    bool chance(double rate);

    RouteCache cache_;
    u32 alone_ = cores_per_chip; // the core of run_alone, while that runs
    i64 disturbed_at_ = never;
    bool self_reset_ = false;    // the running core has written its own reset bit
};

}  // namespace spindl::emulator
