#include "elementwise.hpp"

#include <algorithm>
#include <vector>

#include "elementwise_loops.hpp"
#include "scratch.hpp"
#include "threads.hpp"
#include "vector_path.hpp"

namespace spindl::simulator {
namespace {

constexpr int64_t kAloneBelow = 16384;   // fewer elements take no longer than waking a second thread
constexpr int64_t kPatternLength = 256;  // channels are repeated to at least this many entries
constexpr int64_t kChannelBlock = 128;   // channels of one task of a pooling gradient

const ElementwiseLoops& loops() {
    const Kernels* const path = &kernels();
    if (path == &portable_kernels()) {
        return elementwise_loops_portable();
    }
    return path == &avx2_kernels() ? elementwise_loops_avx2() : elementwise_loops_avx512();
}

// Calls body(range, statistics) for pieces of [0, units), concurrently if there are enough elements.
template <typename Body>
Statistics split(int64_t units, int64_t elements, const Body& body) {
    const int workers = threads();
    if (elements < kAloneBelow || workers == 1) {
        Statistics statistics;
        body(Range{0, units}, statistics);
        return statistics;
    }
    std::vector<Statistics> parts(static_cast<size_t>(workers));
    parallel(workers, [&](int index, int count) {
        Statistics statistics;
        const Range range = share(units, index, count);
        if (range.begin < range.end) {
            body(range, statistics);
        }
        parts[static_cast<size_t>(index)] = statistics;
    });
    Statistics all;
    for (const Statistics& part : parts) {
        all.merge(part);
    }
    return all;
}

int64_t half_of(const Requantise& q) {
    return q.shift >= 1 ? int64_t{1} << (q.shift - 1) : 0;
}

// Channels repeated so often that inner loops are long.
int64_t pattern_length(int64_t channels, int64_t pixels) {
    return channels * std::max<int64_t>(1, std::min((kPatternLength + channels - 1) / channels, pixels));
}

struct Factors {
    std::vector<int32_t> scale;
    std::vector<int32_t> slope;
    std::vector<int64_t> offset;

    Factors(int64_t channels, int64_t length, const int64_t* scales, const int64_t* slopes, const int64_t* offsets,
            const Requantise& q) {
        for (int64_t i = 0; i < length; ++i) {
            scale.push_back(static_cast<int32_t>(scales[i % channels]));
            slope.push_back(slopes == nullptr ? 0 : static_cast<int32_t>(slopes[i % channels]));
            offset.push_back(offsets[i % channels] + half_of(q));
        }
    }

    Pattern pattern() const { return {scale.data(), slope.data(), offset.data(), static_cast<int64_t>(offset.size())}; }
};

// Calls body(first, count, statistics) for runs of elements that start at channel 0.
template <typename Body>
Statistics split_rows(int64_t pixels, int64_t channels, int64_t length, const Body& body) {
    const int64_t total = pixels * channels;
    const int64_t rows = (total + length - 1) / length;
    return split(rows, total, [&](Range range, Statistics& statistics) {
        const int64_t first = range.begin * length;
        body(first, std::min(range.end * length, total) - first, statistics);
    });
}

template <typename T, typename Loop>
Statistics affine_of(Loop loop, const T* x, int64_t pixels, int64_t channels, const int64_t* scale,
                     const int64_t* offset, const Requantise& q, int16_t* out) {
    const int64_t length = pattern_length(channels, pixels);
    const Factors factors(channels, length, scale, nullptr, offset, q);
    const Pattern pattern = factors.pattern();
    return split_rows(pixels, channels, length, [&](int64_t first, int64_t count, Statistics& statistics) {
        loop(x + first, pattern, count, q, out + first, statistics);
    });
}

template <typename Sum>
void channel_totals(int64_t pixels, int64_t channels, int64_t* total, const Sum& sum) {
    const int64_t length = pattern_length(channels, pixels);
    const bool alone = pixels * channels < kAloneBelow;
    const int count = alone ? 1 : threads();
    std::vector<int64_t> totals(static_cast<size_t>(count * length), 0);
    const int64_t rows = (pixels * channels + length - 1) / length;
    const auto part = [&](int index, int parts) {
        const Range range = share(rows, index, parts);
        const int64_t first = range.begin * length;
        const int64_t elements = std::min(range.end * length, pixels * channels) - first;
        if (elements > 0) {
            sum(first, elements, length, totals.data() + index * length);
        }
    };
    if (alone) {
        part(0, 1);
    } else {
        parallel(count, part);
    }
    std::fill_n(total, channels, 0);
    for (size_t i = 0; i < totals.size(); ++i) {
        total[static_cast<int64_t>(i) % channels] += totals[i];
    }
}

template <typename T, typename Loop>
uint64_t extent_of(Loop loop, const T* x, int64_t count) {
    return split(count, count,
                 [&](Range range, Statistics& statistics) {
                     statistics.max_abs = loop(x + range.begin, range.end - range.begin);
                 })
        .max_abs;
}

// The kernel positions of one axis that lie inside [0, size) for an output position.
struct Taps {
    int64_t first, end, start;  // input position of kernel position k: start + k * dilation
};

Taps taps(int64_t out, int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
    const int64_t start = out * stride - padding;
    const int64_t first = start >= 0 ? 0 : (-start + dilation - 1) / dilation;
    const int64_t end = start >= size ? 0 : std::min(kernel, (size - 1 - start) / dilation + 1);
    return {first, std::max(first, end), start};
}

Taps row_taps(const PoolGeometry& g, int64_t row) {
    return taps(row, g.height, g.kernel[0], g.stride[0], g.padding[0], g.dilation[0]);
}

Taps column_taps(const PoolGeometry& g, int64_t column) {
    return taps(column, g.width, g.kernel[1], g.stride[1], g.padding[1], g.dilation[1]);
}

// Calls body(kernel index, input pixel) for every cell of a window, in row-major order.
template <typename Body>
void for_each_cell(const PoolGeometry& g, const Taps& rows, const Taps& columns, const Body& body) {
    for (int64_t kh = rows.first; kh < rows.end; ++kh) {
        for (int64_t kw = columns.first; kw < columns.end; ++kw) {
            body(kh * g.kernel[1] + kw,
                 (rows.start + kh * g.dilation[0]) * g.width + columns.start + kw * g.dilation[1]);
        }
    }
}

}  // namespace

void channel_sum(const int16_t* x, int64_t pixels, int64_t channels, int64_t* total) {
    const ElementwiseLoops& l = loops();
    channel_totals(pixels, channels, total, [&](int64_t first, int64_t count, int64_t length, int64_t* to) {
        l.sum(x + first, count, length, to);
    });
}

void channel_dot(const int16_t* x, const int16_t* y, int64_t pixels, int64_t channels, int64_t* total) {
    const ElementwiseLoops& l = loops();
    channel_totals(pixels, channels, total, [&](int64_t first, int64_t count, int64_t length, int64_t* to) {
        l.dot(x + first, y + first, count, length, to);
    });
}

Statistics affine(const int16_t* x, int64_t pixels, int64_t channels, const int64_t* scale, const int64_t* offset,
                  const Requantise& q, int16_t* out) {
    return affine_of(loops().affine16, x, pixels, channels, scale, offset, q, out);
}

Statistics affine(const uint8_t* x, int64_t pixels, int64_t channels, const int64_t* scale, const int64_t* offset,
                  const Requantise& q, int16_t* out) {
    return affine_of(loops().affine8, x, pixels, channels, scale, offset, q, out);
}

Statistics affine_pair(const int16_t* x, const int16_t* y, int64_t pixels, int64_t channels, const int64_t* scale,
                       const int64_t* slope, const int64_t* offset, const Requantise& q, int16_t* out) {
    const ElementwiseLoops& l = loops();
    const int64_t length = pattern_length(channels, pixels);
    const Factors factors(channels, length, scale, slope, offset, q);
    const Pattern pattern = factors.pattern();
    return split_rows(pixels, channels, length, [&](int64_t first, int64_t count, Statistics& statistics) {
        l.affine_pair(x + first, y + first, pattern, count, q, out + first, statistics);
    });
}

Statistics add(const int16_t* x, int32_t x_shift, const int16_t* y, int32_t y_shift, int64_t count, const Requantise& q,
               int16_t* out) {
    const ElementwiseLoops& l = loops();
    return split(count, count, [&](Range r, Statistics& statistics) {
        l.add(x + r.begin, x_shift, y + r.begin, y_shift, r.end - r.begin, q, out + r.begin, statistics);
    });
}

Statistics requantise(const int32_t* x, int64_t count, const Requantise& q, int16_t* out) {
    const ElementwiseLoops& l = loops();
    return split(count, count, [&](Range r, Statistics& statistics) {
        l.requantise32(x + r.begin, r.end - r.begin, q, out + r.begin, statistics);
    });
}

Statistics requantise(const int64_t* x, int64_t count, const Requantise& q, int16_t* out) {
    const ElementwiseLoops& l = loops();
    return split(count, count, [&](Range r, Statistics& statistics) {
        l.requantise64(x + r.begin, r.end - r.begin, q, out + r.begin, statistics);
    });
}

uint64_t extent(const int16_t* x, int64_t count) {
    return extent_of(loops().extent16, x, count);
}

uint64_t extent(const int32_t* x, int64_t count) {
    return extent_of(loops().extent32, x, count);
}

uint64_t extent(const int64_t* x, int64_t count) {
    return extent_of(loops().extent64, x, count);
}

void relu(const int16_t* x, int64_t count, int16_t* out) {
    const ElementwiseLoops& l = loops();
    split(count, count, [&](Range r, Statistics&) { l.relu(x + r.begin, r.end - r.begin, out + r.begin); });
}

void gate(const int16_t* dy, const int16_t* y, int32_t cap, int64_t count, int16_t* out) {
    const ElementwiseLoops& l = loops();
    split(count, count,
          [&](Range r, Statistics&) { l.gate(dy + r.begin, y + r.begin, cap, r.end - r.begin, out + r.begin); });
}

bool every_window_has_a_cell(const PoolGeometry& g) {
    bool result = true;
    for (int64_t row = 0; row < g.out_height; ++row) {
        const Taps t = row_taps(g, row);
        result = result && t.first < t.end;
    }
    for (int64_t column = 0; column < g.out_width; ++column) {
        const Taps t = column_taps(g, column);
        result = result && t.first < t.end;
    }
    return result;
}

void max_pool(const PoolGeometry& g, const int16_t* x, int16_t* out) {
    const ElementwiseLoops& l = loops();
    const int64_t elements = g.images * g.out_height * g.out_width * g.channels;
    split(g.images * g.out_height, elements, [&](Range range, Statistics&) {
        for (int64_t line = range.begin; line < range.end; ++line) {
            const Taps rows = row_taps(g, line % g.out_height);
            const int16_t* image = x + line / g.out_height * g.height * g.width * g.channels;
            for (int64_t column = 0; column < g.out_width; ++column) {
                int16_t* best = out + (line * g.out_width + column) * g.channels;
                std::fill_n(best, g.channels, INT16_MIN);
                for_each_cell(g, rows, column_taps(g, column),
                              [&](int64_t, int64_t pixel) { l.maximum(image + pixel * g.channels, g.channels, best); });
            }
        }
    });
}

Statistics max_pool_gradient(const PoolGeometry& g, const int16_t* dy, const int16_t* x, const Requantise& q,
                             int16_t* out) {
    const ElementwiseLoops& l = loops();
    const int64_t blocks = (g.channels + kChannelBlock - 1) / kChannelBlock;
    const int64_t pixels = g.height * g.width;
    return split(g.images * blocks, g.images * pixels * g.channels, [&](Range range, Statistics& statistics) {
        thread_local Scratch memory;
        int16_t best[kChannelBlock];
        int16_t winner[kChannelBlock];
        for (int64_t task = range.begin; task < range.end; ++task) {
            const int64_t image = task / blocks;
            const int64_t channel = task % blocks * kChannelBlock;
            const int64_t count = std::min(kChannelBlock, g.channels - channel);
            const int16_t* source = x + image * pixels * g.channels + channel;
            int32_t* const total = memory.get<int32_t>(pixels * count);
            std::fill_n(total, pixels * count, 0);
            for (int64_t row = 0; row < g.out_height; ++row) {
                const Taps rows = row_taps(g, row);
                for (int64_t column = 0; column < g.out_width; ++column) {
                    const Taps columns = column_taps(g, column);
                    std::fill_n(best, count, INT16_MIN);
                    for_each_cell(g, rows, columns, [&](int64_t index, int64_t pixel) {
                        l.first_maximum(source + pixel * g.channels, count, static_cast<int16_t>(index), best, winner);
                    });
                    const int16_t* gradient =
                        dy + ((image * g.out_height + row) * g.out_width + column) * g.channels + channel;
                    for_each_cell(g, rows, columns, [&](int64_t index, int64_t pixel) {
                        l.route(gradient, winner, static_cast<int16_t>(index), count, total + pixel * count);
                    });
                }
            }
            int16_t* const to = out + image * pixels * g.channels + channel;
            if (count == g.channels) {
                l.requantise32(total, pixels * count, q, to, statistics);
                continue;
            }
            for (int64_t pixel = 0; pixel < pixels; ++pixel) {
                l.requantise32(total + pixel * count, count, q, to + pixel * g.channels, statistics);
            }
        }
    });
}

Statistics window_sum(const WindowGeometry& g, const int16_t* x, const Requantise& q, int16_t* out) {
    const ElementwiseLoops& l = loops();
    return split(g.images * g.out_height, g.images * g.height * g.width * g.channels,
                 [&](Range range, Statistics& statistics) {
                     thread_local Scratch memory;
                     int32_t* const total = memory.get<int32_t>(g.channels);
                     for (int64_t line = range.begin; line < range.end; ++line) {
                         const int64_t row = line % g.out_height;
                         const int16_t* image = x + line / g.out_height * g.height * g.width * g.channels;
                         for (int64_t column = 0; column < g.out_width; ++column) {
                             std::fill_n(total, g.channels, 0);
                             for (int64_t y = g.rows[2 * row]; y < g.rows[2 * row + 1]; ++y) {
                                 for (int64_t at = g.columns[2 * column]; at < g.columns[2 * column + 1]; ++at) {
                                     l.accumulate(image + (y * g.width + at) * g.channels, g.channels, total);
                                 }
                             }
                             l.requantise_scaled(total, g.multiplier[row * g.out_width + column], g.channels, q,
                                                 out + (line * g.out_width + column) * g.channels, statistics);
                         }
                     }
                 });
}

Statistics window_sum_gradient(const WindowGeometry& g, const int16_t* dy, const Requantise& q, int16_t* out) {
    const ElementwiseLoops& l = loops();
    return split(g.images * g.height, g.images * g.height * g.width * g.channels,
                 [&](Range range, Statistics& statistics) {
                     thread_local Scratch memory;
                     int64_t* const total = memory.get<int64_t>(g.channels);
                     for (int64_t line = range.begin; line < range.end; ++line) {
                         const int64_t y = line % g.height;
                         const int16_t* image = dy + line / g.height * g.out_height * g.out_width * g.channels;
                         for (int64_t at = 0; at < g.width; ++at) {
                             std::fill_n(total, g.channels, 0);
                             for (int64_t row = 0; row < g.out_height; ++row) {
                                 for (int64_t column = 0; column < g.out_width; ++column) {
                                     if (g.rows[2 * row] <= y && y < g.rows[2 * row + 1] &&
                                         g.columns[2 * column] <= at && at < g.columns[2 * column + 1]) {
                                         const int64_t window = row * g.out_width + column;
                                         l.accumulate_scaled(image + window * g.channels, g.multiplier[window],
                                                             g.channels, total);
                                     }
                                 }
                             }
                             l.requantise64(total, g.channels, q, out + (line * g.width + at) * g.channels, statistics);
                         }
                     }
                 });
}

}  // namespace spindl::simulator
