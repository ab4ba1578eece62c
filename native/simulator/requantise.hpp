// Rounding of an exact accumulator to a mantissa: y = clamp(RSH(acc, shift), -limit, limit), ties up or to even, and
// what is recorded with it.
#pragma once

#include <cstdint>

namespace spindl::simulator {

// Of the exact accumulators, before rounding and clamping: the largest magnitude, and how many elements were clamped.
struct Statistics {
    uint64_t max_abs = 0;
    int64_t saturated = 0;

    void merge(const Statistics& other) {
        max_abs = max_abs > other.max_abs ? max_abs : other.max_abs;
        saturated += other.saturated;
    }
};

// An accumulator a is clamped to +limit iff a >= high and to -limit iff a < low; between them no shift can overflow.
// Accumulators must satisfy |a| < 2^62.
struct Requantise {
    int32_t shift;  // in [-16, 63]; larger magnitudes give the same results as these ends
    int32_t limit;  // in [1, 32767]
    int64_t high;
    int64_t low;
    int32_t floor;  // smallest result: -limit, or 0 where a ReLU follows
    bool even;      // ties go to the even neighbour; only the element-wise kernels know this

    static Requantise make(int64_t shift, int32_t limit, bool relu, bool even = false) {
        const int32_t s = static_cast<int32_t>(shift < -16 ? -16 : shift > 63 ? 63 : shift);
        Requantise q{s, limit, INT64_MAX, INT64_MIN, relu ? 0 : -limit, even && s >= 1};
        if (s >= 1) {
            // (2 limit + 1) * 2^(s-1), if any accumulator reaches it
            const int64_t odd = 2 * int64_t{limit} + 1;
            if (odd < int64_t{1} << (63 - s)) {
                q.high = odd << (s - 1);
                q.low = -q.high;
                if (q.even) {  // the tie at the limit goes beyond an odd limit, and not beyond an even one
                    q.high += 1 - limit % 2;
                    q.low = 1 - q.high;
                }
            }
        } else {
            q.high = (limit >> -s) + 1;
            q.low = -(limit >> -s);
        }
        return q;
    }

    // RSH of an accumulator within [low, high).
    int64_t shifted(int64_t a) const {
        if (shift < 1) {
            return a << -shift;
        }
        const int64_t twice = a >> (shift - 1);
        const int64_t above = (twice + 1) >> 1;
        const bool tie = twice << (shift - 1) == a && twice % 2 != 0;
        return above - (even && tie ? above & 1 : 0);
    }
};

// Rounds one accumulator and records it.
inline int16_t requantise(int64_t a, const Requantise& q, Statistics& statistics) {
    const uint64_t magnitude = a < 0 ? uint64_t{0} - static_cast<uint64_t>(a) : static_cast<uint64_t>(a);
    statistics.max_abs = magnitude > statistics.max_abs ? magnitude : statistics.max_abs;
    int64_t y = 0;
    if (a >= q.high) {
        y = q.limit;
        ++statistics.saturated;
    } else if (a < q.low) {
        y = -q.limit;
        ++statistics.saturated;
    } else {
        y = q.shifted(a);
    }
    return static_cast<int16_t>(y < q.floor ? q.floor : y);
}

// The same for accumulators that carry the rounding half (acc + half) in wrapping int32 registers, valid where
// |acc| + half < 2^31 and 0 <= shift <= 30. Elements outside [low, high] are clamped.
struct Requantise32 {
    int32_t shift;
    int32_t limit;
    int32_t floor;
    int32_t half;
    int32_t high;
    int32_t low;

    static Requantise32 make(const Requantise& q) {
        const int64_t half = q.shift >= 1 ? int64_t{1} << (q.shift - 1) : 0;
        const int64_t high = q.high + half - 1;
        const int64_t low = q.low + half;
        return {q.shift,
                q.limit,
                q.floor,
                static_cast<int32_t>(half),
                static_cast<int32_t>(high > INT32_MAX ? INT32_MAX : high),
                static_cast<int32_t>(low < INT32_MIN ? INT32_MIN : low)};
    }
};

}  // namespace spindl::simulator
