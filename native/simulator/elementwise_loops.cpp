// Compiled once for each instruction set: SPINDL_LOOPS is the name of the function that returns the table. No library
// templates are used, since the linker might share their code between the two.
#include "elementwise_loops.hpp"

namespace spindl::simulator {
namespace {

constexpr int64_t kBlock = 512;  // accumulators between making and rounding them: in the first-level cache

// Accumulators carry the half of a right shift; a left shift has none.
inline int64_t half_of(const Requantise& q) {
    return q.shift >= 1 ? int64_t{1} << (q.shift - 1) : 0;
}

inline int64_t larger(int64_t a, int64_t b) {
    return a > b ? a : b;
}

inline int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Rounds a block of accumulators that carry the half.
void round_block(const int64_t* __restrict sums, int64_t count, const Requantise& q, int16_t* __restrict out,
                 Statistics& statistics) {
    if (q.shift < 1) {
        for (int64_t i = 0; i < count; ++i) {
            out[i] = requantise(sums[i], q, statistics);
        }
        return;
    }
    const int64_t half = half_of(q);
    const int32_t shift = q.shift;
    const int64_t limit = q.limit;
    const int64_t floor = q.floor;
    int64_t largest = half;
    int64_t smallest = half;
    if (q.even) {
        const int64_t discarded = 2 * half - 1;
        for (int64_t i = 0; i < count; ++i) {
            largest = larger(largest, sums[i]);
            smallest = smaller(smallest, sums[i]);
            const int64_t above = sums[i] >> shift;  // one too many if it is odd and came from a tie
            const int64_t tie = (sums[i] & discarded) == 0 ? above & 1 : 0;
            out[i] = static_cast<int16_t>(smaller(larger(above - tie, floor), limit));
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            largest = larger(largest, sums[i]);
            smallest = smaller(smallest, sums[i]);
            out[i] = static_cast<int16_t>(smaller(larger(sums[i] >> shift, floor), limit));
        }
    }
    statistics.max_abs = static_cast<uint64_t>(
        larger(static_cast<int64_t>(statistics.max_abs), larger(largest - half, half - smallest)));
    if (largest - half >= q.high || smallest - half < q.low) {
        for (int64_t i = 0; i < count; ++i) {
            statistics.saturated += sums[i] - half >= q.high || sums[i] - half < q.low;
        }
    }
}

template <typename T>
void affine(const T* x, const Pattern& p, int64_t count, const Requantise& q, int16_t* out, Statistics& statistics) {
    alignas(64) int64_t sums[kBlock];
    for (int64_t first = 0; first < count; first += p.length) {
        const int64_t end = smaller(p.length, count - first);
        for (int64_t at = 0; at < end; at += kBlock) {
            const int64_t n = smaller(kBlock, end - at);
            const T* __restrict xs = x + first + at;
            const int32_t* __restrict scale = p.scale + at;
            const int64_t* __restrict offset = p.offset + at;
            for (int64_t i = 0; i < n; ++i) {
                sums[i] = int64_t{scale[i]} * int32_t{xs[i]} + offset[i];
            }
            round_block(sums, n, q, out + first + at, statistics);
        }
    }
}

void affine_pair(const int16_t* x, const int16_t* y, const Pattern& p, int64_t count, const Requantise& q, int16_t* out,
                 Statistics& statistics) {
    alignas(64) int64_t sums[kBlock];
    for (int64_t first = 0; first < count; first += p.length) {
        const int64_t end = smaller(p.length, count - first);
        for (int64_t at = 0; at < end; at += kBlock) {
            const int64_t n = smaller(kBlock, end - at);
            const int16_t* __restrict xs = x + first + at;
            const int16_t* __restrict ys = y + first + at;
            const int32_t* __restrict scale = p.scale + at;
            const int32_t* __restrict slope = p.slope + at;
            const int64_t* __restrict offset = p.offset + at;
            for (int64_t i = 0; i < n; ++i) {
                sums[i] = int64_t{scale[i]} * int32_t{xs[i]} + int64_t{slope[i]} * int32_t{ys[i]} + offset[i];
            }
            round_block(sums, n, q, out + first + at, statistics);
        }
    }
}

void add(const int16_t* x, int32_t x_shift, const int16_t* y, int32_t y_shift, int64_t count, const Requantise& q,
         int16_t* out, Statistics& statistics) {
    alignas(64) int64_t sums[kBlock];
    const int64_t half = half_of(q);
    for (int64_t first = 0; first < count; first += kBlock) {
        const int64_t n = smaller(kBlock, count - first);
        const int16_t* __restrict xs = x + first;
        const int16_t* __restrict ys = y + first;
        for (int64_t i = 0; i < n; ++i) {
            sums[i] = (int64_t{xs[i]} << x_shift) + (int64_t{ys[i]} << y_shift) + half;
        }
        round_block(sums, n, q, out + first, statistics);
    }
}

template <typename T>
void requantise_all(const T* x, int64_t count, const Requantise& q, int16_t* out, Statistics& statistics) {
    alignas(64) int64_t sums[kBlock];
    const int64_t half = half_of(q);
    for (int64_t first = 0; first < count; first += kBlock) {
        const int64_t n = smaller(kBlock, count - first);
        const T* __restrict xs = x + first;
        for (int64_t i = 0; i < n; ++i) {
            sums[i] = int64_t{xs[i]} + half;
        }
        round_block(sums, n, q, out + first, statistics);
    }
}

void requantise_scaled(const int32_t* total, int32_t factor, int64_t count, const Requantise& q, int16_t* out,
                       Statistics& statistics) {
    alignas(64) int64_t sums[kBlock];
    const int64_t half = half_of(q);
    for (int64_t first = 0; first < count; first += kBlock) {
        const int64_t n = smaller(kBlock, count - first);
        const int32_t* __restrict from = total + first;
        for (int64_t i = 0; i < n; ++i) {
            sums[i] = int64_t{from[i]} * factor + half;
        }
        round_block(sums, n, q, out + first, statistics);
    }
}

template <typename T>
uint64_t extent(const T* x, int64_t count) {
    T largest = 0;
    T smallest = 0;
    for (int64_t i = 0; i < count; ++i) {
        largest = x[i] > largest ? x[i] : largest;
        smallest = x[i] < smallest ? x[i] : smallest;
    }
    const uint64_t above = static_cast<uint64_t>(int64_t{largest});
    const uint64_t below = uint64_t{0} - static_cast<uint64_t>(int64_t{smallest});
    return above > below ? above : below;
}

// Channels in blocks, rows in runs that int32 sums of int16 can hold.
void sum(const int16_t* x, int64_t count, int64_t length, int64_t* total) {
    constexpr int64_t kRun = 32768;
    alignas(64) int32_t sums[kBlock];
    for (int64_t at = 0; at < length; at += kBlock) {
        const int64_t n = smaller(kBlock, length - at);
        int64_t row = 0;
        for (; (row + 1) * length <= count;) {
            for (int64_t i = 0; i < n; ++i) {
                sums[i] = 0;
            }
            for (int64_t run = 0; run < kRun && (row + 1) * length <= count; ++run, ++row) {
                const int16_t* __restrict xs = x + row * length + at;
                for (int64_t i = 0; i < n; ++i) {
                    sums[i] += xs[i];
                }
            }
            for (int64_t i = 0; i < n; ++i) {
                total[at + i] += sums[i];
            }
        }
        for (int64_t i = row * length + at; i < smaller(count, row * length + at + n); ++i) {
            total[i - row * length] += x[i];
        }
    }
}

void dot(const int16_t* x, const int16_t* y, int64_t count, int64_t length, int64_t* total) {
    for (int64_t at = 0; at < length; at += kBlock) {
        const int64_t block = smaller(kBlock, length - at);
        int64_t* __restrict sums = total + at;
        for (int64_t first = at; first < count; first += length) {
            const int64_t n = smaller(block, count - first);
            const int16_t* __restrict xs = x + first;
            const int16_t* __restrict ys = y + first;
            for (int64_t i = 0; i < n; ++i) {
                sums[i] += int64_t{int32_t{xs[i]} * int32_t{ys[i]}};
            }
        }
    }
}

void relu(const int16_t* x, int64_t count, int16_t* out) {
    for (int64_t i = 0; i < count; ++i) {
        out[i] = x[i] > 0 ? x[i] : int16_t{0};
    }
}

void gate(const int16_t* dy, const int16_t* y, int32_t cap, int64_t count, int16_t* out) {
    const auto last = static_cast<int16_t>(cap - 1);
    for (int64_t i = 0; i < count; ++i) {
        const int16_t gradient = dy[i];  // read in any case: a conditional read is not vectorised
        const bool open = (y[i] > 0) & (y[i] <= last);
        out[i] = open ? gradient : int16_t{0};
    }
}

void maximum(const int16_t* __restrict x, int64_t count, int16_t* __restrict best) {
    for (int64_t i = 0; i < count; ++i) {
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}

void first_maximum(const int16_t* __restrict x, int64_t count, int16_t index, int16_t* __restrict best,
                   int16_t* __restrict winner) {
    for (int64_t i = 0; i < count; ++i) {
        winner[i] = x[i] > best[i] ? index : winner[i];
        best[i] = x[i] > best[i] ? x[i] : best[i];
    }
}

void route(const int16_t* __restrict dy, const int16_t* __restrict winner, int16_t index, int64_t count,
           int32_t* __restrict total) {
    for (int64_t i = 0; i < count; ++i) {
        const int32_t gradient = dy[i];
        total[i] += winner[i] == index ? gradient : 0;
    }
}

void accumulate(const int16_t* __restrict x, int64_t count, int32_t* __restrict total) {
    for (int64_t i = 0; i < count; ++i) {
        total[i] += x[i];
    }
}

void accumulate_scaled(const int16_t* __restrict x, int32_t factor, int64_t count, int64_t* __restrict total) {
    for (int64_t i = 0; i < count; ++i) {
        total[i] += int64_t{factor} * int32_t{x[i]};
    }
}

constexpr ElementwiseLoops kLoops{affine<int16_t>,
                                  affine<uint8_t>,
                                  affine_pair,
                                  add,
                                  requantise_all<int32_t>,
                                  requantise_all<int64_t>,
                                  extent<int16_t>,
                                  extent<int32_t>,
                                  extent<int64_t>,
                                  sum,
                                  dot,
                                  relu,
                                  gate,
                                  maximum,
                                  first_maximum,
                                  route,
                                  accumulate,
                                  accumulate_scaled,
                                  requantise_scaled};

}  // namespace

const ElementwiseLoops& SPINDL_LOOPS() {
    return kLoops;
}

}  // namespace spindl::simulator
