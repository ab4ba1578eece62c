// Exception entry of ARMv5TE (ARM DDI 0100, chapter A2.6).
#pragma once

#include "arm/core.hpp"

namespace spindl::emulator {

enum class Exception : u8 { undefined = 1, supervisor_call = 2, prefetch_abort = 3, data_abort = 4, irq = 6, fiq = 7 };

// `pc` is the address of the instruction that caused it, or of the next one for interrupts.
void enter_exception(Core& core, Exception exception, u32 pc);

}  // namespace spindl::emulator
