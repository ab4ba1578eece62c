// Exact int16 convolution in three directions on NHWC memory, each output rounded once. A matrix product is the 1x1
// case.
#pragma once

#include <array>
#include <cstdint>

#include "requantise.hpp"

namespace spindl::simulator {

// Axes of a convolution: x [images][height][width][channels], y [images][out_height][out_width][out_channels],
// w [out_channels][kernel_height][kernel_width][channels / groups]; all contiguous. Padding is at the top and at the
// left; what lies beyond the other sides follows from the output's size. Pairs are (vertical, horizontal).
struct Geometry {
    int64_t images, height, width, channels;
    int64_t out_height, out_width, out_channels;
    int64_t kernel_height, kernel_width;
    std::array<int64_t, 2> stride, padding, dilation;
    int64_t groups;

    int64_t group_channels() const { return channels / groups; }
    int64_t group_out_channels() const { return out_channels / groups; }
    int64_t taps() const { return kernel_height * kernel_width; }
};

// Where results go: rounded to int16, or (exact != nullptr) as they are.
struct Destination {
    int16_t* rounded = nullptr;
    int64_t* exact = nullptr;
};

// y = RSH(x * w + bias, shift), clamped; bias is [out_channels] at the accumulator's scale, or nullptr.
Statistics convolution(const Geometry& g, const int16_t* x, const int16_t* w, const int64_t* bias, Destination y,
                       const Requantise& q);

// dx = RSH(transposed convolution of dy with w, shift), clamped.
Statistics convolution_input_gradient(const Geometry& g, const int16_t* dy, const int16_t* w, Destination dx,
                                      const Requantise& q);

// dw = sum over groups of `group_size` consecutive images of RSH(exact sum over the group's pixels, shift), clamped;
// or, with exact != nullptr, the exact sum over all images (then group_size and q only feed the statistics of max_abs).
Statistics convolution_weight_gradient(const Geometry& g, const int16_t* dy, const int16_t* x, int32_t* dw,
                                       int64_t* exact, int64_t group_size, const Requantise& q);

}  // namespace spindl::simulator
