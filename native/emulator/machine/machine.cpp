#include "machine/machine.hpp"

#include <algorithm>

namespace spindl::emulator {
namespace {

constexpr u32 worth_sharing = 12;  // awake cores; below this, waking the other threads costs more than it saves
constexpr int spins = 1500;        // some 20 to 50 us before a thread gives up its processor

constexpr u32 chip_bits = 20, round_mask = (1u << 24) - 1;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace

Workers::Workers(u32 threads) : shares_(threads) {
    for (u32 i = 1; i < threads; ++i) threads_.emplace_back([this, i] { work(i); });
}

Workers::~Workers() {
    stop_ = true;
    round_.fetch_add(1);
    round_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void Workers::drain(u32 thread, u32 round) {
    const u32 threads = static_cast<u32>(shares_.size());
    for (u32 k = 0; k < threads; ++k) {
        std::atomic<u64>& ticket = shares_[(thread + k) % threads].ticket;
        u64 seen = ticket.load(std::memory_order_acquire);
        for (;;) {
            const u32 next = seen & ((1u << chip_bits) - 1), last = seen >> chip_bits & ((1u << chip_bits) - 1);
            if (seen >> 2 * chip_bits != round || next >= last) break;
            if (!ticket.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
            (*chips_)[next]->step(begin_, end_);
            finished_.fetch_add(1, std::memory_order_release);
            seen = ticket.load(std::memory_order_acquire);
        }
    }
}

void Workers::work(u32 thread) {
    u32 seen = 0;
    for (;;) {
        for (int spin = 0; spin < spins && round_.load(std::memory_order_acquire) == seen; ++spin) relax();
        if (round_.load() == seen) {
            sleepers_.fetch_add(1);
            round_.wait(seen);
            sleepers_.fetch_sub(1);
        }
        seen = round_.load();
        if (stop_) return;
        drain(thread, seen & round_mask);
    }
}

void Workers::step(const std::vector<Chip*>& chips, i64 begin, i64 end) {
    u32 awake = 0;
    if (!threads_.empty()) {
        for (const Chip* chip : chips) awake += static_cast<u32>(std::popcount(chip->running() & ~chip->sleeping));
    }
    if (chips.size() < 2 || awake < worth_sharing) {
        for (Chip* chip : chips) chip->step(begin, end);
        return;
    }
    chips_ = &chips;
    begin_ = begin;
    end_ = end;
    finished_.store(0, std::memory_order_relaxed);
    const u32 round = round_.load(std::memory_order_relaxed) + 1;
    const u64 size = chips.size(), threads = shares_.size();
    for (u64 i = 0; i < threads; ++i) {
        const u64 first = size * i / threads, last = size * (i + 1) / threads;
        shares_[i].ticket.store(u64{round & round_mask} << 2 * chip_bits | last << chip_bits | first, std::memory_order_release);
    }
    round_.store(round);
    if (sleepers_.load() != 0) round_.notify_all();
    drain(0, round & round_mask);
    for (int spin = 0; finished_.load(std::memory_order_acquire) != size; ++spin) {
        if (spin < spins) relax();
        else std::this_thread::yield();
    }
}

Machine::Machine(MachineConfig wanted) : config(std::move(wanted)) {
    for (u32 i = 0; i < config.chips.size(); ++i) chips_.push_back(std::make_unique<Chip>(config, i));
    workers_ = std::make_unique<Workers>(std::max(1u, config.threads));
}

void Machine::power_on() {
    for (auto& chip : chips_) chip->power_on();
}

// True if anything passed between chips.
bool Machine::exchange(const std::vector<Chip*>& stepped) {
    bool passed = false;
    for (Chip* chip : stepped) {
        for (u32 left = chip->outgoing; left != 0; left &= left - 1) {
            const u32 link = static_cast<u32>(std::countr_zero(left));
            Outbox& box = chip->outbox[link];
            const i32 to = chip->config.neighbour[link];
            if (to >= 0) chips_[static_cast<u32>(to)]->accept(opposite(link), box);
            box.packets.clear();
            box.credits = 0;
            passed = true;
        }
        chip->outgoing = 0;
    }
    return passed;
}

// Runs the chips in `due_` quantum after quantum, until one of them sends something or a chip outside may wake (`others`).
void Machine::run_due(i64 others, i64 until) {
    const i64 quantum = config.costs.hop;
    for (;;) {
        i64 next = never;
        const i64 horizon = std::min(others / quantum * quantum, (until + quantum - 1) / quantum * quantum);
        const i64 reached = due_.size() == 1 ? due_[0]->run_alone(now_, horizon) : now_;
        if (reached == now_) {
            workers_->step(due_, now_, now_ + quantum);
            now_ += quantum;
        } else {
            now_ = reached;
        }
        if (exchange(due_)) return;
        for (const Chip* chip : due_) next = std::min(next, chip->wake_at);
        next = std::max(now_, next / quantum * quantum);
        if (next >= until || next + quantum > others) return;
        now_ = next;
    }
}

void Machine::run_until_time(i64 until) {
    const i64 quantum = config.costs.hop;
    while (now_ < until) {
        i64 next = never;
        for (const auto& chip : chips_) next = std::min(next, chip->wake_at);
        if (next >= until) {
            now_ = (until + quantum - 1) / quantum * quantum;
            return;
        }
        now_ = std::max(now_, next / quantum * quantum);
        i64 others = never;
        due_.clear();
        for (const auto& chip : chips_) {
            if (chip->wake_at < now_ + quantum) {
                due_.push_back(chip.get());
            } else {
                others = std::min(others, chip->wake_at);
            }
        }
        run_due(others, until);
    }
}

void Machine::arrive(u32 index, u32 kind, const std::vector<u8>& data) {
    if (recording) record.push_back({now_, index, kind, data});
    Chip& target = *chips_[index];
    if (kind == 0) {
        target.ethernet_frame(data, now_);
    } else if (target.rom.take_datagram(data.data(), static_cast<u32>(data.size()))) {
        target.boot({target.rom.image, target.rom.image + target.rom.blocks * BootRom::block_words * 4}, now_);
    }
}

void Machine::replay(const std::vector<Arrival>& arrivals, i64 until) {
    for (const Arrival& arrival : arrivals) {
        if (arrival.time > until) break;
        run_until_time(arrival.time);
        arrive(arrival.chip, arrival.kind, arrival.data);
    }
    run_until_time(until);
}

u64 Machine::fingerprint() {
    u64 hash = 0xcbf29ce484222325u;
    const auto add = [&hash](const void* data, std::size_t size) {
        const u8* bytes = static_cast<const u8*>(data);
        for (std::size_t i = 0; i < size; ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
    };
    for (const auto& chip : chips_) {
        for (u32 i = 0; i < cores_per_chip; ++i) {
            const Core& core = chip->cores[i];
            const u32 status = read_cpsr(core), pc = core.pc();
            add(core.r, 15 * sizeof(u32));
            add(&status, sizeof status);
            add(&pc, sizeof pc);
            add(&core.count, sizeof core.count);
        }
        add(chip->router.counters, sizeof chip->router.counters);
        add(&chip->router.packets, sizeof chip->router.packets);
        add(chip->system_ram(), system_ram_size);
    }
    return hash;
}

}  // namespace spindl::emulator

