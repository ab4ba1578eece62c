// How long the cores of a chip take for their schedules: a discrete-event model of kernels/rt/walker.c, of the DMA engines
// and of the SDRAM that they share. Times are core clock cycles since the start.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace spindl::planner {

enum Flag : std::uint32_t { barrier_before = 1, ordered = 2, left_out = 4 };

struct Step {
    double kernel;         // cycles of the kernel; negative: there is none
    double overlay;        // bytes of code that it brings; 0: none
    std::uint32_t block;   // bytes of its block
    std::uint32_t loads;   // transfers before the kernel
    std::uint32_t stores;  // transfers behind it
    std::uint32_t flags;
};

struct Transfer {
    std::uint32_t rows, bytes;
};

struct Span {
    double start = 0, end = 0;
};

// What a step took. The order in time: begin, (barrier), (dma), kernel, end.
struct Taken {
    double begin = 0, end = 0;
    Span overlay;           // of the DMA engine
    Span barrier;           // asleep, until the chip goes on
    double dma = 0;         // cycles asleep for DMA
    double dma_until = 0;   // when the last of these waits ended
    Span kernel;
};

struct Constants {
    double engine;      // bytes per cycle of a DMA engine
    double sdram;       // bytes per cycle of the chip's SDRAM
    double row;         // the interrupt of a row
    double row_least;   // cycles between the beginnings of two rows: what the interrupt needs at least
    double step_before; // of a step, before its barrier and loads
    double step_open;   // finding the parts of the next step's block
    double step_rest;   // the rest of a step
    double kernel;      // calling a kernel
    double queue;       // queueing a range of transfers
    double transfer;    // checking a transfer and beginning it
    double wake;        // from the end of what a core waits for until it goes on
    double barrier;     // from the arrival of the last core until the others run
    double barrier_core;// the same, for each core that is woken
    double counted;     // writing the counters of a step
};

// One chip: steps of all cores, core after core; `first` has the number of each core's first step, and behind the last
// core that of all steps. Transfers stand in the order of the steps, loads before stores. `start`: cycles that each core
// needs before it fetches its first block.
void walk(std::span<const Step> steps, std::span<const Transfer> transfers, std::span<const std::uint32_t> first,
          std::span<const double> start, const Constants& constants, std::span<Taken> taken, std::span<Span> moved);

}  // namespace spindl::planner
