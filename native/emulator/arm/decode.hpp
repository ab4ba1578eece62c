// From instruction words to predecoded ops, with what the pipeline model needs to know about each.
#pragma once

#include "arm/core.hpp"
#include "arm/dispatch.hpp"

namespace spindl::emulator {

// Registers as the interlock rules see them (facts in timing.cpp).
struct Usage {
    u32 reads = 0;        // bit per register needed at the start of execution
    u32 accumulates = 0;  // bits read only as the accumulator of a multiply
    u8 result = 255;      // register that arrives late, 255 if none
    u8 latency = 0;       // cycles by which it is late
    bool forwards = false;  // a late multiply result that a following accumulate gets in time
    bool branches = false;  // may change the pc
};

struct Decoded {
    Op op;
    Usage usage;
};

Decoded decode_arm(u32 word, u32 address);
Decoded decode_thumb(u16 half, u32 address);

// Puts the condition (0..14) in front; `reads_pc` adds the prefix that makes r15 readable.
void guard(Op& op, Handler body, u32 condition, bool reads_pc);

Handler data_processing_handler(u32 operation, bool flags, u32 operand, bool to_pc);
Handler transfer_handler(u32 kind, u32 offset, u32 indexing, bool to_pc);
Handler multiple_handler(bool load, bool write_back, bool user_bank, bool to_pc);
Handler branch_handler(u32 condition, bool link);

// Interlock cycles that `first` costs when it falls through into `second` and `third`; `before` precedes `first`.
u32 interlock(const Decoded& before, const Decoded& first, const Decoded& second, const Decoded& third);

}  // namespace spindl::emulator
