// A machine: chips, the links between them, simulated time, and the threads that run it.
#pragma once

#include "chip/chip.hpp"

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

namespace spindl::emulator {

// Steps chips in parallel, one quantum at a time. Which thread steps which chip never matters: chips only meet between
// quanta, on the calling thread.
//
// Each thread has a share of the chips, whose state stays in its cache, and helps itself to the others' when it is done.
// Nobody waits for a thread that has not come: the calling thread then steps all chips itself.
class Workers {
public:
    explicit Workers(u32 threads);
    ~Workers();
    Workers(const Workers&) = delete;
    Workers& operator=(const Workers&) = delete;

    void step(const std::vector<Chip*>& chips, i64 begin, i64 end);

private:
    // Round, end and next chip of a share in one word, so that a thread that comes late can take nothing.
    struct alignas(64) Share {
        std::atomic<u64> ticket{0};
    };

    void work(u32 thread);
    void drain(u32 thread, u32 round);

    const std::vector<Chip*>* chips_ = nullptr;
    i64 begin_ = 0, end_ = 0;
    std::vector<Share> shares_;
    std::atomic<u32> finished_{0};
    alignas(64) std::atomic<u32> round_{0};
    std::atomic<u32> sleepers_{0};
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

// Something that came from outside, and when: together with the configuration it determines everything.
struct Arrival {
    i64 time;
    u32 chip;
    u32 kind;  // 0 Ethernet frame, 1 boot datagram
    std::vector<u8> data;
};

class Machine {
public:
    static constexpr i64 cycles_per_microsecond = 200;

    explicit Machine(MachineConfig config);

    void power_on();
    // Advances simulated time to the first quantum boundary not before `until`.
    void run_until_time(i64 until);
    i64 now() const { return now_; }

    // From outside, at the current simulated time; recorded if `recording`.
    void arrive(u32 chip, u32 kind, const std::vector<u8>& data);
    // Runs to `until`, feeding recorded arrivals at their times.
    void replay(const std::vector<Arrival>& arrivals, i64 until);

    Chip& chip(u32 index) { return *chips_[index]; }
    u32 size() const { return static_cast<u32>(chips_.size()); }
    // A hash of all state that software can see; equal machines have equal hashes.
    u64 fingerprint();

    std::vector<u8> snapshot();
    void restore(const std::vector<u8>& data);

    MachineConfig config;  // only its faults may change
    bool recording = false;
    std::vector<Arrival> record;

private:
    bool exchange(const std::vector<Chip*>& stepped);
    void run_due(i64 others, i64 until);

    i64 now_ = 0;
    std::vector<std::unique_ptr<Chip>> chips_;
    std::vector<Chip*> due_;
    std::unique_ptr<Workers> workers_;
};

}  // namespace spindl::emulator
