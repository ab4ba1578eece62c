// Leaf functions in plain C++, shared by the instruction sets: each file that includes this compiles its own copy
// (internal linkage) with its own flags, so that code for one instruction set can never be picked for another.
#pragma once

#include "kernels.hpp"

namespace spindl::simulator {
namespace {

[[maybe_unused]] void add_strided_plain(float* total, const float* part, int64_t count, int64_t step) {
    if (step == 1) {
        for (int64_t i = 0; i < count; ++i) {
            total[i] += part[i];
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            total[i] += part[i * step];
        }
    }
}

// In lanes, so that the order of comparisons is free.
[[maybe_unused]] float largest_plain(const float* x, int64_t count) {
    float lanes[kLanes] = {};
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        for (int64_t lane = 0; lane < kLanes; ++lane) {
            lanes[lane] = x[i + lane] > lanes[lane] ? x[i + lane] : lanes[lane];
        }
    }
    float result = 0;
    for (; i < count; ++i) {
        result = x[i] > result ? x[i] : result;
    }
    for (const float lane : lanes) {
        result = lane > result ? lane : result;
    }
    return result;
}

[[maybe_unused]] void energies_plain(const int16_t* x, int64_t count, int64_t stride, int64_t channels, float* energy) {
    for (int64_t i = 0; i < count; ++i) {
        const int16_t* row = x + i * stride;
        uint64_t sum = 0;
        for (int64_t c = 0; c < channels; ++c) {
            const int32_t value = row[c];
            sum += static_cast<uint32_t>(value * value);
        }
        energy[i] = static_cast<float>(sum);
    }
}

[[maybe_unused]] void column_energies_plain(const int16_t* x, int64_t rows, int64_t stride, int64_t columns,
                                            float* energy) {
    for (int64_t r = 0; r < rows; ++r) {
        const int16_t* row = x + r * stride;
        for (int64_t c = 0; c < columns; ++c) {
            const int32_t value = row[c];
            energy[c] += static_cast<float>(value * value);
        }
    }
}

[[maybe_unused]] void pack_rows_plain(const int16_t* source, int64_t stride, int64_t lanes, int64_t width,
                                      int64_t length, int16_t* packed) {
    for (int64_t pair = 0; 2 * pair < length; ++pair) {
        int16_t* row = packed + pair * width * 2;
        for (int64_t lane = 0; lane < width; ++lane) {
            const int16_t* from = source + lane * stride + 2 * pair;
            row[2 * lane] = lane < lanes ? from[0] : int16_t{0};
            row[2 * lane + 1] = lane < lanes && 2 * pair + 1 < length ? from[1] : int16_t{0};
        }
    }
}

[[maybe_unused]] void pack_columns_plain(const int16_t* source, int64_t stride, int64_t lanes, int64_t width,
                                         int64_t length, int16_t* packed) {
    for (int64_t pair = 0; 2 * pair < length; ++pair) {
        int16_t* row = packed + pair * width * 2;
        const int16_t* first = source + 2 * pair * stride;
        const bool both = 2 * pair + 1 < length;
        for (int64_t lane = 0; lane < lanes; ++lane) {
            row[2 * lane] = first[lane];
            row[2 * lane + 1] = both ? first[stride + lane] : int16_t{0};
        }
        for (int64_t lane = lanes; lane < width; ++lane) {
            row[2 * lane] = 0;
            row[2 * lane + 1] = 0;
        }
    }
}

// Value of an accumulator that carries the half: rounded and clamped as Requantise32 says.
inline int32_t rounded32(int32_t a, const Requantise32& q) {
    int32_t y = a >> q.shift;
    y = y > q.limit ? q.limit : y;
    y = y < -q.limit ? -q.limit : y;
    return y;
}

struct Extent32 {
    int32_t largest;
    int32_t smallest;
};

inline void record(const Extent32& extent, const Requantise32& q, Statistics& statistics) {
    const int64_t above = int64_t{extent.largest} - q.half;
    const int64_t below = q.half - int64_t{extent.smallest};
    const uint64_t magnitude = static_cast<uint64_t>(above > below ? above : below);
    statistics.max_abs = magnitude > statistics.max_abs ? magnitude : statistics.max_abs;
}

inline int64_t count_saturated(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes,
                               const Requantise32& q) {
    int64_t saturated = 0;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
            const int32_t a = accumulators[r * width + lane];
            saturated += a > q.high || a < q.low;
        }
    }
    return saturated;
}

[[maybe_unused]] void finish32_plain(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes,
                                     const Requantise32& q, int16_t* out, int64_t out_stride, Statistics& statistics) {
    Extent32 extent{INT32_MIN, INT32_MAX};
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
            const int32_t a = accumulators[r * width + lane];
            extent.largest = a > extent.largest ? a : extent.largest;
            extent.smallest = a < extent.smallest ? a : extent.smallest;
            const int32_t y = rounded32(a, q);
            out[r * out_stride + lane] = static_cast<int16_t>(y < q.floor ? q.floor : y);
        }
    }
    record(extent, q, statistics);
    if (extent.largest > q.high || extent.smallest < q.low) {
        statistics.saturated += count_saturated(accumulators, rows, width, lanes, q);
    }
}

[[maybe_unused]] void add32_plain(const int32_t* accumulators, int64_t rows, int64_t width, int64_t lanes,
                                  const Requantise32& q, int32_t* out, int64_t out_stride, bool first,
                                  Statistics& statistics) {
    Extent32 extent{INT32_MIN, INT32_MAX};
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
            const int32_t a = accumulators[r * width + lane];
            extent.largest = a > extent.largest ? a : extent.largest;
            extent.smallest = a < extent.smallest ? a : extent.smallest;
            int32_t& sum = out[r * out_stride + lane];
            sum = rounded32(a, q) + (first ? 0 : sum);
        }
    }
    record(extent, q, statistics);
    if (extent.largest > q.high || extent.smallest < q.low) {
        statistics.saturated += count_saturated(accumulators, rows, width, lanes, q);
    }
}

[[maybe_unused]] void finish64_plain(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes,
                                     const Requantise& q, int16_t* out, int64_t out_stride, Statistics& statistics) {
    Statistics local;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
            out[r * out_stride + lane] = requantise(accumulators[r * width + lane], q, local);
        }
    }
    statistics.merge(local);
}

[[maybe_unused]] void add64_plain(const int64_t* accumulators, int64_t rows, int64_t width, int64_t lanes,
                                  const Requantise& q, int32_t* out, int64_t out_stride, bool first,
                                  Statistics& statistics) {
    Statistics local;
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t lane = 0; lane < lanes; ++lane) {
            int32_t& sum = out[r * out_stride + lane];
            const int32_t y = requantise(accumulators[r * width + lane], q, local);
            sum = y + (first ? 0 : sum);
        }
    }
    statistics.merge(local);
}

[[maybe_unused]] void outer_products_plain(const int16_t* dy, int64_t dy_stride, const int16_t* x, int64_t x_stride,
                                           int64_t images, int64_t rows, int64_t lanes, int32_t shift, int32_t half,
                                           int32_t* out, int64_t out_stride) {
    for (int64_t r = 0; r < rows; ++r) {
        int32_t* const to = out + r * out_stride;
        for (int64_t lane = 0; lane < lanes; ++lane) {
            to[lane] = 0;
        }
        for (int64_t image = 0; image < images; ++image) {
            const int32_t factor = dy[image * dy_stride + r];
            const int16_t* const from = x + image * x_stride;
            for (int64_t lane = 0; lane < lanes; ++lane) {
                to[lane] += (factor * from[lane] + half) >> shift;
            }
        }
    }
}

[[maybe_unused]] void widen_plain(const int32_t* part, int64_t* total, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        total[i] += part[i];
    }
}

// A table of everything above, without name and tiles.
inline Kernels plain_kernels() {
    Kernels kernels{};
    kernels.energies = energies_plain;
    kernels.column_energies = column_energies_plain;
    kernels.add_strided = add_strided_plain;
    kernels.largest = largest_plain;
    kernels.pack_rows = pack_rows_plain;
    kernels.pack_columns = pack_columns_plain;
    kernels.finish32 = finish32_plain;
    kernels.finish64 = finish64_plain;
    kernels.add32 = add32_plain;
    kernels.add64 = add64_plain;
    kernels.outer_products = outer_products_plain;
    kernels.widen = widen_plain;
    return kernels;
}

}  // namespace
}  // namespace spindl::simulator
