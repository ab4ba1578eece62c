// State of one ARM968E-S core (ARMv5TE) and the predecoded instruction it executes.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace spindl::emulator {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i32 = std::int32_t;
using i64 = std::int64_t;

// Tightly coupled memories of the ARM968 in SpiNNaker (datasheet v2.02, sections 3 and 19).
constexpr u32 itcm_size = 32 * 1024;
constexpr u32 dtcm_base = 0x00400000;
constexpr u32 dtcm_size = 64 * 1024;

constexpr u32 arm_ops = itcm_size / 4;
constexpr u32 thumb_ops = itcm_size / 2;

// One predecoded instruction. All-zero means "not decoded yet": handlers are stored as offsets from that handler, so
// that fresh memory from the operating system is a valid, lazily filled table.
struct Op {
    i32 handler = 0;  // what runs
    i32 body = 0;     // what runs after a condition or a "reads the pc" prefix
    u32 imm = 0;      // immediate, shift amount, register list, branch target or the raw word, by handler
    u8 rd = 0, rn = 0, rm = 0, rs = 0;
    u8 cycles = 1;    // when it falls through, including `stall`
    u8 stall = 0;     // interlock cycles it causes in its successors (see timing.hpp)
    u8 condition = 14;
    u8 extra = 0;     // small operand, by handler
};

enum class Mode : u8 { user = 0x10, fiq = 0x11, irq = 0x12, supervisor = 0x13, abort = 0x17, undefined = 0x1b, system = 0x1f };

enum class Width : u8 { byte = 1, half = 2, word = 4 };

// What a strict emulator reports and silicon would silently accept or silently get wrong.
enum class Fault : u8 {
    unaligned, unmapped, uninitialised, code_write, undefined_instruction, unpredictable, unimplemented_register, tcm_overrun
};

struct Core;

// Everything outside the two tightly coupled memories.
class Bus {
public:
    // False: the access aborts. Wait states are charged through `core.wait`.
    virtual bool load(Core& core, u32 address, Width width, u32& value) = 0;
    virtual bool store(Core& core, u32 address, Width width, u32 value) = 0;
    virtual void report(Core& core, Fault fault, u32 address) = 0;
    virtual ~Bus() = default;
};

struct Counters {
    u64 cycles = 0;        // awake cycles, stalls included
    u64 instructions = 0;
    u64 interlocks = 0;    // cycles lost to pipeline interlocks
    u64 waits = 0;         // cycles lost waiting for the bus
    u64 exceptions = 0;
    u64 interrupts = 0;
};

struct Bank {
    u32 r13 = 0, r14 = 0, spsr = 0;
};

// Plain data, so that a snapshot can copy it; the pointers at the end are set by the owner.
struct Core {
    u32 r[17] = {};  // r[15] is scratch for operands; r[16] receives results that go to the pc
    // Flags, unpacked: N is the sign of n, Z is z == 0, C is c (0 or 1), V is the sign of v.
    u32 n = 0, z = 1, c = 0, v = 0;
    u32 q = 0;
    bool irq_masked = true, fiq_masked = true, thumb = false;
    Mode mode = Mode::supervisor;
    Bank banks[6] = {};        // user/system, fiq, irq, supervisor, abort, undefined
    u32 fiq_high[5] = {};      // r8-r12 of the mode group that is not active
    u32 cp15_control = 0x2078; // high vectors, TCMs off-state is not modelled (they always answer)

    u32 next_pc = 0xffff0000;  // valid when op is null
    bool irq_line = false, fiq_line = false;
    bool waiting = false;      // in wait-for-interrupt
    bool attention = false;    // look at the interrupt lines again after this instruction
    bool yield = false;        // return to the owner after this instruction (its next timer event may have moved)

    i64 budget = 0;            // cycles left of this slice; valid outside handlers and in slow paths
    i64 slice_end = 0;         // simulated time (cycles) at which budget reaches 0
    Counters count = {};

    // Owner's wiring; not part of a snapshot.
    const Op* op = nullptr;        // next instruction, null when it must be fetched at next_pc
    const Op* window = nullptr;    // first op of the table being executed
    u32 window_address = 0;
    u32 window_shift = 2;
    u8* itcm = nullptr;
    u8* dtcm = nullptr;
    Op* arm_table = nullptr;       // arm_ops + 1 entries, lazily decoded
    Op* thumb_table = nullptr;     // thumb_ops + 1 entries
    Op scratch[2] = {};            // one instruction from outside the ITCM, never cached: others may write it
    u32 fast_words = dtcm_size / 4;  // words of DTCM the fast path may touch; 0 sends every access to the slow path
    u32* dtcm_written = nullptr;     // one bit per word, only in strict mode
    Bus* bus = nullptr;
    u32 index = 0;                   // physical core number, for reports

    i64 now() const { return slice_end - budget; }
    void set_now(i64 time) {
        slice_end = time;
        budget = 0;
    }
    u32 pc_of(const Op* at) const { return window_address + (static_cast<u32>(at - window) << window_shift); }
    u32 pc() const { return op != nullptr ? pc_of(op) : next_pc; }

    void wait(u32 cycles) {
        budget -= cycles;
        count.waits += cycles;
    }
};

u32 read_cpsr(const Core& core);
// Writes all of the status register; changes bank and Thumb state with it.
void write_cpsr(Core& core, u32 value);
u32 read_spsr(const Core& core);
void write_spsr(Core& core, u32 value);
// Registers of another mode, for user-bank transfers and debuggers.
u32& user_register(Core& core, u32 number);

void reset(Core& core);
// Runs until simulated time `end` (in cycles), to the end of the instruction that reaches it, or until the core waits.
void run_until(Core& core, i64 end);
// Forgets decoded instructions that depend on `bytes` of ITCM from `address`.
void forget_code(Core& core, u32 address, u32 bytes);
// True if the instruction in this word of ITCM ran since it was last written and the core last reset.
bool was_executed(const Core& core, u32 address);
void jump(Core& core, u32 address);  // keeps the Thumb state

// Slow-path data access, with alignment rules, TCM, bus and reports. False: the access aborts.
bool load(Core& core, u32 address, Width width, u32& value);
bool store(Core& core, u32 address, Width width, u32 value);

// Debugger's view: no side effects, no wait states; only the TCMs.
bool in_itcm(u32 address);
bool in_dtcm(u32 address);

}  // namespace spindl::emulator
