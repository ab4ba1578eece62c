// Element-wise kernels, sums per channel and pooling on channels-last int16 tensors; each result is rounded once, as
// requantise.hpp says. All are threaded, and equal for any number of threads.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "requantise.hpp"

namespace spindl::simulator {

// Sums over pixels of x and of x * y, each [channels], exact.
void channel_sum(const int16_t* x, int64_t pixels, int64_t channels, int64_t* total);
void channel_dot(const int16_t* x, const int16_t* y, int64_t pixels, int64_t channels, int64_t* total);

// acc = scale[c] * x + offset[c]; |scale| < 2^31.
Statistics affine(const int16_t* x, int64_t pixels, int64_t channels, const int64_t* scale, const int64_t* offset,
                  const Requantise& q, int16_t* out);
Statistics affine(const uint8_t* x, int64_t pixels, int64_t channels, const int64_t* scale, const int64_t* offset,
                  const Requantise& q, int16_t* out);
// acc = scale[c] * x + slope[c] * y + offset[c]
Statistics affine_pair(const int16_t* x, const int16_t* y, int64_t pixels, int64_t channels, const int64_t* scale,
                       const int64_t* slope, const int64_t* offset, const Requantise& q, int16_t* out);
// acc = (x << x_shift) + (y << y_shift), shifts 0 .. 30
Statistics add(const int16_t* x, int32_t x_shift, const int16_t* y, int32_t y_shift, int64_t count, const Requantise& q,
               int16_t* out);
Statistics requantise(const int32_t* x, int64_t count, const Requantise& q, int16_t* out);
Statistics requantise(const int64_t* x, int64_t count, const Requantise& q, int16_t* out);

// max |x|
uint64_t extent(const int16_t* x, int64_t count);
uint64_t extent(const int32_t* x, int64_t count);
uint64_t extent(const int64_t* x, int64_t count);

void relu(const int16_t* x, int64_t count, int16_t* out);
// dy where 0 < y < cap, else 0; cap in 1 .. 32768
void gate(const int16_t* dy, const int16_t* y, int32_t cap, int64_t count, int16_t* out);

// Pooling windows over x [images][height][width][channels], results [images][out_height][out_width][channels].
struct PoolGeometry {
    int64_t images, height, width, channels, out_height, out_width;
    std::array<int64_t, 2> kernel, stride, padding, dilation;
};

// True if every window has at least one cell of the input.
bool every_window_has_a_cell(const PoolGeometry& g);

void max_pool(const PoolGeometry& g, const int16_t* x, int16_t* out);
// acc = sum of dy over the windows whose first maximum (in row-major order of the window) is the cell
Statistics max_pool_gradient(const PoolGeometry& g, const int16_t* dy, const int16_t* x, const Requantise& q,
                             int16_t* out);

// Windows [rows[i][0], rows[i][1]) x [columns[j][0], columns[j][1]); multiplier is [out_height][out_width].
struct WindowGeometry {
    int64_t images, height, width, channels, out_height, out_width;
    const int32_t* rows;
    const int32_t* columns;
    const int32_t* multiplier;
};

// acc = multiplier * sum of the window
Statistics window_sum(const WindowGeometry& g, const int16_t* x, const Requantise& q, int16_t* out);
// acc = sum over the windows that hold the cell of multiplier * dy
Statistics window_sum_gradient(const WindowGeometry& g, const int16_t* dy, const Requantise& q, int16_t* out);

}  // namespace spindl::simulator
