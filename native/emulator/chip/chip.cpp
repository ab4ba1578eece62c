// Life of a chip: power, boot, and one quantum of simulated time.
#include "chip/chip.hpp"

#include <algorithm>
#include <cstring>

namespace spindl::emulator {
namespace {

constexpr std::size_t memory_bytes = sdram_size + system_ram_size + cores_per_chip * (itcm_size + dtcm_size);
constexpr u32 watchdog_reset = 1;  // reset code (spinnaker.h RST_WDT)
constexpr u32 all_cores = (1u << cores_per_chip) - 1;
constexpr std::size_t ops_per_core = arm_ops + 1 + thumb_ops + 1;

template <class T>
void make_new(T& object) {
    std::destroy_at(&object);
    std::construct_at(&object);
}

}  // namespace

Chip::Chip(const MachineConfig& owner, u32 number)
    : machine(owner), config(owner.chips[number]), index(number), working(config.working_cores), memory(memory_bytes),
      tables(cores_per_chip * ops_per_core * sizeof(Op)), sdram_written(sdram_size / sdram_block / 32),
      sdram_known(sdram_size / 4 / 8) {
    if (machine.tracks()) dtcm_written.resize(cores_per_chip * dtcm_size / 4 / 32);
    wire();
    power_on();
}

void Chip::wire() {
    Op* ops = reinterpret_cast<Op*>(tables.data());
    for (u32 i = 0; i < cores_per_chip; ++i) {
        Core& core = cores[i];
        core.itcm = itcm(i);
        core.dtcm = dtcm(i);
        core.arm_table = ops + i * ops_per_core;
        core.thumb_table = core.arm_table + arm_ops + 1;
        core.window = core.arm_table;
        core.window_address = 0;
        core.window_shift = 2;
        core.op = nullptr;
        core.bus = this;
        core.index = i;
        core.dtcm_written = machine.tracks() ? dtcm_written.data() + i * (dtcm_size / 4 / 32) : nullptr;
        core.fast_words = machine.tracks() ? 0 : dtcm_size / 4;
    }
}

void Chip::power_on() {
    reports.clear();
    memory.clear();
    sdram_known.clear();
    std::fill(sdram_written.begin(), sdram_written.end(), 0u);
    std::fill(dtcm_written.begin(), dtcm_written.end(), 0u);
    reset_chip(0);
}

void Chip::reset_chip(u32 code) {
    tables.clear();
    for (u32 i = 0; i < cores_per_chip; ++i) {
        make_new(cores[i]);
        make_new(peripherals[i]);
    }
    wire();
    make_new(system);
    system.cores_ok = config.working_cores;
    system.reset_code = code;
    make_new(watchdog);
    make_new(router);
    for (u32& word : router.p2p) word = 0x00db6db6;  // every destination dropped
    for (u32& key : router.key) key = 0xffffffff;
    ++cache_.generation;
    make_new(rom);
    make_new(ethernet);
    working = config.working_cores;
    started = transmitting = transferring = sleeping = stopped = cpu_accesses = 0;
    std::fill(std::begin(timer_due), std::end(timer_due), never);
    sdram_free_at = 0;
    for (Outbox& box : outbox) box = Outbox{};
    outgoing = 0;
    first_timer = never;
    wake_at = never;
    // The ROM's choice, visible to SC&MP: lowest working core is the monitor. The router is on, so that links can be probed.
    system.monitor = working == 0 ? 0 : static_cast<u32>(std::countr_zero(working));
    router.control = 1 | system.monitor << 8;
}

void Chip::boot(const std::vector<u8>& image, i64 now) {
    if (working == 0 || image.size() > BootRom::image_limit) return;
    const u32 monitor = system.monitor;
    rom.active = false;

    // 32-byte block that the ROM reads from the serial ROM: flags, MAC, IP, gateway, mask, port. Flags: 0x8000 present,
    // 0x00f0 hardware version, 1 Ethernet fitted.
    u8 block[32] = {};
    const u32 flags = config.ethernet ? 0x8001u | (machine.hardware_version & 15) << 4 : 0;
    block[0] = static_cast<u8>(flags);
    block[1] = static_cast<u8>(flags >> 8);
    if (config.ethernet) {
        const u8 mac[6] = {2, 0, config.ip[0], config.ip[1], config.ip[2], config.ip[3]};
        std::memcpy(block + 2, mac, 6);
        std::memcpy(block + 8, config.ip.data(), 4);
        const u8 mask[4] = {255, 0, 0, 0};
        std::memcpy(block + 16, mask, 4);
        block[20] = 17893 & 255;
        block[21] = 17893 >> 8;
    }
    std::memcpy(system_ram() + 0x7fe0, block, sizeof block);

    const u32 size = static_cast<u32>(image.size());
    poke(monitor, dtcm_base + 0x8000, image.data(), size);
    poke(monitor, 0, image.data(), size);
    Core& core = cores[monitor];
    reset(core);
    jump(core, 0);
    core.set_now(now);
    note_timers(monitor);
    started |= 1u << monitor;
    wake_at = now;
}

void Chip::start_core(u32 i, u32 address, i64 now) {
    if (!(working >> i & 1)) return;
    reset_cores(1u << i, now);
    jump(cores[i], address & ~1u);
    cores[i].thumb = address & 1;
    wake_at = std::min(wake_at, now);
}

void Chip::reset_cores(u32 which, i64 now) {
    started |= which & working;
    for (u32 left = which; left != 0; left &= left - 1) {
        const u32 i = static_cast<u32>(std::countr_zero(left));
        make_new(peripherals[i]);
        transmitting &= ~(1u << i);
        transferring &= ~(1u << i);
        sleeping &= ~(1u << i);
        stopped &= ~(1u << i);
        if (machine.tracks()) std::fill_n(cores[i].arm_table, ops_per_core, Op{});  // no code has been executed yet
        note_timers(i);
        reset(cores[i]);
        cores[i].set_now(std::max(now, cores[i].now()));
        refresh(i, now);
    }
}

void Chip::refresh(u32 i, i64 now) {
    Peripherals& p = peripherals[i];
    p.vic.lines = (watchdog.interrupting() ? 1u << watchdog_interrupt : 0) | (p.timers[0].interrupting() ? 1u << timer1_interrupt : 0) |
                  (p.timers[1].interrupting() ? 1u << timer2_interrupt : 0) | p.comms.lines() |
                  (p.dma.interrupting() ? 1u << dma_done_interrupt : 0) | (p.dma.erring() ? 1u << 13 : 0) |
                  (system.interrupts >> i & 1) << cpu_interrupt | (router.dump_interrupt() ? 1u << router_dump_interrupt : 0) |
                  (ethernet.transmit_done ? 1u << ethernet_transmit_interrupt : 0) |
                  (ethernet.receive_line() ? 1u << ethernet_receive_interrupt : 0);
    Core& core = cores[i];
    core.irq_line = p.vic.irq();
    core.fiq_line = p.vic.fiq();
    if (!core.irq_line && !core.fiq_line) return;
    core.attention = true;
    if (core.waiting) {
        if (i != alone_) disturb(now);
        core.waiting = false;
        sleeping &= ~(1u << i);
        core.set_now(std::max(core.now(), now));
    }
}

void Chip::refresh_all(i64 now) {
    for (u32 left = running(); left != 0; left &= left - 1) refresh(static_cast<u32>(std::countr_zero(left)), now);
}

bool Chip::at_breakpoint(u32 i) const {
    const u32 pc = cores[i].pc();
    return std::find(breakpoints.begin(), breakpoints.end(), std::pair{i, pc}) != breakpoints.end();
}

// One instruction, remembered. A core that has just been let go executes the instruction at its breakpoint first.
void Chip::run_watched(u32 i) {
    Core& core = cores[i];
    InstructionTrace entry{core.now(), i, core.pc(), 0, 0, {}, core.thumb};
    peek(i, entry.pc & ~3u, reinterpret_cast<u8*>(&entry.word), 4);
    if (core.thumb) entry.word = entry.pc & 2 ? entry.word >> 16 : entry.word & 0xffff;
    run_until(core, core.now() + 1);
    entry.cpsr = read_cpsr(core);
    std::copy(core.r, core.r + 15, entry.registers);
    history.push_back(entry);
    if (history.size() > history_limit) history.pop_front();
    if (!breakpoints.empty() && at_breakpoint(i)) halted |= 1u << i;
}

void Chip::debug_step(u32 i, i64 now) {
    Core& core = cores[i];
    if (core.waiting) return;
    core.set_now(std::max(core.now(), now));
    run_watched(i);
    halted |= 1u << i;
    wake_at = std::min(wake_at, now);  // what it did to others takes effect when time goes on
}

void Chip::run_core(u32 i, i64 end) {
    Core& core = cores[i];
    while (running() >> i & 1) {
        const i64 due = timer_due[i];
        if (core.waiting) {
            sleeping |= 1u << i;
            if (due >= end) return;
            core.set_now(std::max(core.now(), due));
        } else if (core.now() < end && core.now() < due) {
            if (watched >> i & 1) {
                run_watched(i);
            } else {
                run_until(core, std::min(end, due));
            }
            if (alone_ != cores_per_chip && disturbed_at_ != never) return;
            if (self_reset_) {
                self_reset_ = false;
                reset_cores(1u << i, core.now());
                continue;
            }
        } else if (core.now() >= end && due >= end) {
            return;
        }
        if (due <= core.now()) {
            for (Timer& timer : peripherals[i].timers) {
                if (timer.zero_at <= core.now()) timer.expire();
            }
            note_timers(i);
            refresh(i, core.now());
        }
    }
}

void Chip::step(i64 begin, i64 end) { step_from(0, begin, end); }

void Chip::step_from(u32 first, i64 begin, i64 end) {
    u32 woken_by_timer = 0;
    const bool timers = first_timer < end;
    if (timers) {
        for (u32 i = first; i < cores_per_chip; ++i) woken_by_timer |= u32{timer_due[i] < end} << i;
    }
    // In order of number; a core may wake a later one.
    for (u32 left = all_cores & ~0u << first; left != 0;) {
        const u32 busy = running() & (~sleeping | woken_by_timer) & left;
        if (busy == 0) break;
        const u32 i = static_cast<u32>(std::countr_zero(busy));
        run_core(i, end);
        left = all_cores & ~1u << i;
    }
    if (timers) first_timer = *std::min_element(timer_due, timer_due + cores_per_chip);
    if (transferring != 0 || cpu_accesses != 0) run_dma(end);
    run_router(begin, end);
    if (watchdog.zero_at < end) watchdog_expired();
    wake_at = next_event(end);
}

void Chip::watchdog_expired() {
    const i64 at = watchdog.zero_at;
    if (!watchdog.expire()) {
        refresh_all(at);
        return;
    }
    // Packets in its buffers are lost, but their places are free again for the neighbours.
    u32 owed[links_per_chip];
    for (u32 link = 0; link < links_per_chip; ++link) owed[link] = router.input[link].count + outbox[link].credits;
    reset_chip(watchdog_reset);
    for (u32 link = 0; link < links_per_chip; ++link) {
        outbox[link].credits = owed[link];
        if (owed[link] != 0) outgoing |= 1u << link;
    }
}

i64 Chip::run_alone(i64 begin, i64 limit) {
    const u32 awake = running() & ~sleeping;
    const bool one = awake != 0 && (awake & (awake - 1)) == 0;
    if (!one || transmitting != 0 || transferring != 0 || cpu_accesses != 0 || router.holding || router.arrived != 0) return begin;
    const i64 quantum = machine.costs.hop;
    const u32 core = static_cast<u32>(std::countr_zero(awake));
    for (u32 i = 0; i < cores_per_chip; ++i) {
        if (i != core && (running() >> i & 1)) limit = std::min(limit, timer_due[i]);
    }
    limit = std::min(limit, watchdog.zero_at) / quantum * quantum;
    if (limit <= begin + quantum) return begin;
    alone_ = core;
    disturbed_at_ = never;
    run_core(core, limit);
    alone_ = cores_per_chip;
    if (disturbed_at_ == never) {
        wake_at = next_event(limit);
        return limit;
    }
    // The quantum in which it happened is finished as any other.
    const i64 start = std::max(begin, disturbed_at_ / quantum * quantum);
    run_core(core, start + quantum);
    step_from(core + 1, start, start + quantum);
    return start + quantum;
}

void Chip::disturb(i64 now) {
    if (alone_ == cores_per_chip || disturbed_at_ != never) return;
    disturbed_at_ = now;
    cores[alone_].yield = cores[alone_].attention = true;
}

i64 Chip::next_event(i64 end) {
    const u32 alive = running();
    if (transmitting != 0 || router.holding || (alive & ~sleeping) != 0) return end;
    i64 next = first_timer;
    if (alive != all_cores) {
        next = never;
        for (u32 left = alive; left != 0; left &= left - 1) next = std::min(next, timer_due[std::countr_zero(left)]);
    }
    for (u32 left = router.arrived; left != 0; left &= left - 1) {
        next = std::min(next, router.input[std::countr_zero(left)].front().time);
    }
    next = std::min(next, watchdog.zero_at);
    for (u32 left = transferring; left != 0; left &= left - 1) {
        next = std::min(next, peripherals[std::countr_zero(left)].dma.ready_at);
    }
    return std::max(next, end);
}

void Chip::accept(u32 link, const Outbox& from) {
    for (const TimedPacket& packet : from.packets) {
        if (router.input[link].full()) {
            ++links[link].lost;
            continue;
        }
        router.input[link].push(packet);
        router.arrived |= 1u << link;
        wake_at = std::min(wake_at, packet.time);
    }
    router.output[link].credits = std::min(router.output[link].credits + from.credits, link_credits);
    if (router.holding) wake_at = 0;
}

void Chip::ethernet_frame(const Frame& frame, i64 now) {
    ethernet.arrive(frame);
    refresh_all(now);
    wake_at = std::min(wake_at, now);
}

void Chip::report(Core& core, Fault fault, u32 address) {
    const u32 pc = core.pc();
    // SC&MP reads what it has not written and moves its own code; its chip would be lost if that stopped it.
    const bool is_monitor = !rom.active && core.index == system.monitor;
    if (machine.strict == Strictness::stop && !is_monitor) {
        stopped |= 1u << core.index;
        core.yield = core.attention = true;
    }
    for (Report& known : reports) {
        if (known.fault == fault && known.core == core.index && known.pc == pc) {
            ++known.count;
            return;
        }
    }
    if (reports.size() >= 1000) return;
    Report& made = reports.emplace_back(Report{fault, core.index, pc, address, core.now(), 1, read_cpsr(core), {}});
    std::copy(core.r, core.r + 15, made.registers);
}

}  // namespace spindl::emulator
