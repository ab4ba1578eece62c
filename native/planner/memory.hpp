// Who writes and reads each word of a chip's SDRAM, phase by phase: the rules "owners" and "races" of spindl/plan/check.py.
#pragma once

#include <cstdint>
#include <span>

namespace spindl::planner {

// A transfer of rows of words. In a phase all stores come before the loads.
struct Access {
    std::int64_t phase, core;
    std::int64_t call;    // number of the call among those of its core in the phase
    std::int64_t store;   // 1: it writes SDRAM, 0: it reads
    std::int64_t buffer;  // number
    std::int64_t start, words, rows, pitch;  // words of SDRAM, and of a row
    std::int64_t end;     // the word behind the buffer
};

enum class Mistake : int { none, outside, two_writers, read_while_written, read_behind_store, foreign };

struct Found {
    Mistake mistake = Mistake::none;
    std::int64_t access = -1;  // its number
    std::int64_t word = -1;    // the first wrong one, for `foreign`
    std::int64_t owner = -1;   // the buffer that it belongs to; -1: it was never written
};

// The first access that breaks a rule. `owner`: of each word of SDRAM the buffer that the host left there, or -1; changed.
Found check_memory(std::span<const Access> accesses, std::span<std::int32_t> owner);

}  // namespace spindl::planner
