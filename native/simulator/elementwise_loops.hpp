// The inner loops of the element-wise kernels, one table per instruction set. The same plain loops are compiled once
// for any processor and once for AVX-512 (see CMakeLists.txt); ranges are chosen by the caller, one thread at a time.
//
// Tensors are channels-last: element i of [pixels][channels] belongs to channel i % channels.
#pragma once

#include <cstdint>

#include "requantise.hpp"

namespace spindl::simulator {

// Per-channel factors repeated to a length that fills vectors: entry i belongs to channel i % channels.
struct Pattern {
    const int32_t* scale;
    const int32_t* slope;   // of a second operand, or nullptr
    const int64_t* offset;  // with the half of the rounding in it
    int64_t length;         // a multiple of the channels
};

struct ElementwiseLoops {
    // acc = scale * x + offset (+ slope * y) for elements [0, count), element 0 belonging to channel 0.
    void (*affine16)(const int16_t* x, const Pattern& pattern, int64_t count, const Requantise& q, int16_t* out,
                     Statistics&);
    void (*affine8)(const uint8_t* x, const Pattern& pattern, int64_t count, const Requantise& q, int16_t* out,
                    Statistics&);
    void (*affine_pair)(const int16_t* x, const int16_t* y, const Pattern& pattern, int64_t count, const Requantise& q,
                        int16_t* out, Statistics&);
    // acc = (x << x_shift) + (y << y_shift)
    void (*add)(const int16_t* x, int32_t x_shift, const int16_t* y, int32_t y_shift, int64_t count,
                const Requantise& q, int16_t* out, Statistics&);
    void (*requantise32)(const int32_t* x, int64_t count, const Requantise& q, int16_t* out, Statistics&);
    void (*requantise64)(const int64_t* x, int64_t count, const Requantise& q, int16_t* out, Statistics&);
    uint64_t (*extent16)(const int16_t* x, int64_t count);
    uint64_t (*extent32)(const int32_t* x, int64_t count);
    uint64_t (*extent64)(const int64_t* x, int64_t count);

    // total[i % length] += x[i] (* y[i]) for i < count
    void (*sum)(const int16_t* x, int64_t count, int64_t length, int64_t* total);
    void (*dot)(const int16_t* x, const int16_t* y, int64_t count, int64_t length, int64_t* total);

    void (*relu)(const int16_t* x, int64_t count, int16_t* out);
    // dy where 0 < y < cap, else 0
    void (*gate)(const int16_t* dy, const int16_t* y, int32_t cap, int64_t count, int16_t* out);

    // best[c] = max(best[c], x[c])
    void (*maximum)(const int16_t* x, int64_t count, int16_t* best);
    // where x[c] > best[c]: best[c] = x[c], winner[c] = index
    void (*first_maximum)(const int16_t* x, int64_t count, int16_t index, int16_t* best, int16_t* winner);
    // where winner[c] == index: total[c] += dy[c]
    void (*route)(const int16_t* dy, const int16_t* winner, int16_t index, int64_t count, int32_t* total);
    // total[c] += x[c]
    void (*accumulate)(const int16_t* x, int64_t count, int32_t* total);
    // total[c] += factor * x[c]
    void (*accumulate_scaled)(const int16_t* x, int32_t factor, int64_t count, int64_t* total);
    // acc = factor * total
    void (*requantise_scaled)(const int32_t* total, int32_t factor, int64_t count, const Requantise& q, int16_t* out,
                              Statistics&);
};

const ElementwiseLoops& elementwise_loops_portable();
const ElementwiseLoops& elementwise_loops_avx2();
const ElementwiseLoops& elementwise_loops_avx512();

}  // namespace spindl::simulator
