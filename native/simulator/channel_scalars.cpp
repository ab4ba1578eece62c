#include "channel_scalars.hpp"

#include <nanobind/ndarray.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace spindl::simulator {
namespace {

namespace nb = nanobind;

__extension__ using Wide = __int128;
__extension__ using UnsignedWide = unsigned __int128;

constexpr int kMantissaBits = 31;
constexpr int kFractionBits = 16;
constexpr int64_t kScaleLimit = (int64_t{1} << 31) - 1;
constexpr int64_t kOffsetLimit = int64_t{1} << 61;
constexpr int64_t kLowestDeviationExponent = -32;
constexpr int64_t kLargestPairExponent = int64_t{1} << 30;

// mantissa * 2^exponent with 2^30 <= |mantissa| < 2^31, or (0, 0). Stored pairs may have any mantissa below 2^31.
struct Pair {
    int64_t mantissa;
    int64_t exponent;
};

UnsignedWide magnitude(Wide value) {
    return value < 0 ? UnsignedWide{0} - static_cast<UnsignedWide>(value) : static_cast<UnsignedWide>(value);
}

int64_t bit_length(UnsignedWide value) {
    const uint64_t high = static_cast<uint64_t>(value >> 64);
    const uint64_t low = static_cast<uint64_t>(value);
    return high != 0 ? 128 - __builtin_clzll(high) : low != 0 ? 64 - __builtin_clzll(low) : 0;
}

// value * 2^places, exactly.
Wide shift_left(Wide value, int64_t places) {
    if (value == 0) {
        return 0;
    }
    if (bit_length(magnitude(value)) + places > 127) {
        throw std::overflow_error("an intermediate value does not fit 128 bits");
    }
    return value << places;
}

// floor((value + 2^(shift-1)) / 2^shift) for shift >= 1, exact left shift otherwise. Shifting in two steps needs no
// room for the half; from shift 128 on every value rounds to 0, as it does at 128.
Wide round_shift(Wide value, int64_t shift) {
    if (shift <= 0) {
        return shift_left(value, -shift);
    }
    return ((value >> std::min<int64_t>(shift - 1, 127)) + 1) >> 1;
}

int64_t to_int64(Wide value) {
    if (value > INT64_MAX || value < INT64_MIN) {
        throw std::overflow_error("a result does not fit 64 bits");
    }
    return static_cast<int64_t>(value);
}

int64_t floor_divide(int64_t value, int64_t divisor) {
    const int64_t quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

// Most values fit 64 bits, whose division is several times faster.
Wide floor_divide(Wide value, int64_t divisor) {
    if (value >= INT64_MIN && value <= INT64_MAX) {
        return floor_divide(static_cast<int64_t>(value), divisor);
    }
    const Wide quotient = value / divisor;
    return value % divisor < 0 ? quotient - 1 : quotient;
}

// Any value: the left shift is at most by 30 places, of at most 30 bits.
Pair normalise(Wide value, int64_t exponent) {
    if (value == 0) {
        return {0, 0};
    }
    int64_t shift = bit_length(magnitude(value)) - kMantissaBits;
    int64_t mantissa = static_cast<int64_t>(round_shift(value, shift));
    if (mantissa == int64_t{1} << kMantissaBits || mantissa == -(int64_t{1} << kMantissaBits)) {
        mantissa >>= 1;
        ++shift;
    }
    return {mantissa, exponent + shift};
}

// Products of two mantissas stay below 2^62.
Pair multiply(Pair a, Pair b) {
    return normalise(a.mantissa * b.mantissa, a.exponent + b.exponent);
}

// The sum stays below 2^(31 + 62) + 2^31.
Pair add(Pair a, Pair b) {
    if (a.mantissa == 0) {
        return b;
    }
    if (b.mantissa == 0) {
        return a;
    }
    const Pair high = a.exponent >= b.exponent ? a : b;
    const Pair low = a.exponent >= b.exponent ? b : a;
    const int64_t distance = high.exponent - low.exponent;
    if (distance > 62) {
        return high;
    }
    return normalise((Wide{high.mantissa} << distance) + low.mantissa, low.exponent);
}

Pair negate(Pair a) {
    return {-a.mantissa, a.exponent};
}

// The numerator fits 64 bits: |mantissa| * 2^32 <= 2^63 - 2^32, and n / 2 < 2^30.
Pair divide_by_integer(Pair a, int64_t n) {
    return normalise(floor_divide((a.mantissa << 32) + n / 2, n), a.exponent - 32);
}

// Left shifts are at most by 64 places: below 2^95.
int64_t to_integer(Pair a, int64_t exponent, int64_t largest) {
    const int64_t shift = exponent - a.exponent;
    if (shift < -64) {
        return a.mantissa > 0 ? largest : a.mantissa < 0 ? -largest : 0;
    }
    return static_cast<int64_t>(std::clamp<Wide>(round_shift(a.mantissa, shift), -largest, largest));
}

// floor(sqrt(value)) for value < 2^62. The float estimate is corrected, so that no rounding of it can show.
int64_t integer_square_root(int64_t value) {
    int64_t root = static_cast<int64_t>(std::sqrt(static_cast<double>(value)));
    while (root * root > value) {
        --root;
    }
    while ((root + 1) * (root + 1) <= value) {
        ++root;
    }
    return root;
}

// value < 2^127, so that the doubling for an odd exponent fits. The scaled value lies in [2^60, 2^62).
Pair inverse_square_root(UnsignedWide value, int64_t exponent) {
    if (exponent & 1) {
        value <<= 1;
        --exponent;
    }
    int64_t shift = bit_length(value) - 62;
    shift += shift & 1;
    const int64_t scaled = static_cast<int64_t>(shift > 0 ? value >> shift : value << -shift);
    const int64_t root = integer_square_root(scaled);
    return normalise(((int64_t{1} << 61) + root / 2) / root, -61 - (shift + exponent) / 2);
}

// count * s2 < 2^94 and s1^2 <= 2^126 for any 64-bit sums.
Wide centred_square_sum(int64_t s1, int64_t s2, int64_t count) {
    return Wide{count} * s2 - Wide{s1} * s1;
}

// The variance is only shifted to the right. eps * count^2 < 2^93; its left shift is at most 2 * 32 + (exponent of
// eps), which is 34 for eps = 1: below 2^127.
Pair inverse_deviation_of(int64_t s1, int64_t s2, int64_t exponent, int64_t count, Pair eps) {
    const int64_t lifted = std::max(exponent, kLowestDeviationExponent);
    const Wide variance = round_shift(centred_square_sum(s1, s2, count), 2 * (lifted - exponent));
    const Wide offset = round_shift(Wide{eps.mantissa} * (count * count), 2 * lifted - eps.exponent);
    Wide total = 0;
    if (__builtin_add_overflow(variance, offset, &total)) {
        throw std::overflow_error("variance + eps does not fit 127 bits");
    }
    // A constant channel of large values, whose eps rounds to 0 at its exponent, counts as 1.
    const Wide positive = std::max(total, Wide{1});
    const Pair inverse = inverse_square_root(static_cast<UnsignedWide>(positive), 2 * lifted);
    return normalise(inverse.mantissa * count, inverse.exponent);
}

Pair running_inverse_deviation_of(Pair variance, Pair eps) {
    const Pair total = add(variance, eps);
    if (total.mantissa <= 0) {
        throw std::invalid_argument("running variance + eps is not above 0");
    }
    return inverse_square_root(static_cast<UnsignedWide>(total.mantissa), total.exponent);
}

// count * sgx < 2^94, s1 * sg <= 2^126 for any 64-bit sums.
Pair gamma_gradient_of(int64_t sg, int64_t sgx, int64_t s1, int64_t exponent, Pair inverse, int64_t count) {
    const Pair total = normalise(Wide{count} * sgx - Wide{s1} * sg, exponent);
    return divide_by_integer(multiply(total, inverse), count);
}

Pair slope_of(Pair gamma, Pair inverse, Pair gamma_gradient, int64_t count) {
    const Pair scale = multiply(gamma, inverse);
    return negate(divide_by_integer(multiply(multiply(scale, inverse), gamma_gradient), count));
}

// 2^16 * s1 < 2^79 for any 64-bit sum.
Wide mean_q16(int64_t s1, int64_t count) {
    return floor_divide((Wide{s1} << kFractionBits) + count / 2, count);
}

// RSH(factor * mean, 16) with |factor| < 2^31: below 2^110 before the shift.
Wide scaled_mean(int64_t factor, Wide mean) {
    return round_shift(factor * mean, kFractionBits);
}

// Left shifts are at most by 64 places: |beta| * 2^64 <= 2^127, which a two's complement of 128 bits holds for -2^63
// too.
Wide saturated_offset(int64_t beta, int64_t beta_exponent, int64_t exponent) {
    const int64_t shift = exponent - beta_exponent;
    const Wide value = shift > 0 ? round_shift(beta, shift) : Wide{beta} << std::min<int64_t>(-shift, 64);
    return std::clamp<Wide>(value, -kOffsetLimit, kOffsetLimit);
}

// 2 * scale * sg < 2^95.
int64_t gradient_offset_of(int64_t scale, int64_t slope, int64_t sg, int64_t s1, int64_t count) {
    const Wide mean_gradient = floor_divide(2 * Wide{scale} * sg + count, 2 * count);
    return to_int64(-mean_gradient - scaled_mean(slope, mean_q16(s1, count)));
}

// momentum is an int32: the product stays below 2^62.
Pair moving_average(Pair running, Pair fresh, int64_t momentum) {
    const Pair difference = add(fresh, negate(running));
    return add(running, normalise(difference.mantissa * momentum, difference.exponent - 15));
}

Pair mean_of(int64_t s1, int64_t exponent, int64_t count) {
    return divide_by_integer(normalise(s1, exponent), count);
}

Pair unbiased_variance_of(int64_t s1, int64_t s2, int64_t exponent, int64_t count) {
    const Pair total = normalise(centred_square_sum(s1, s2, count), 2 * exponent);
    return divide_by_integer(divide_by_integer(total, count), std::max<int64_t>(count - 1, 1));
}

// The bindings.

using Integers = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Pairs = nb::ndarray<const int64_t, nb::shape<-1, 2>, nb::c_contig, nb::device::cpu>;
using IntegerResult = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;
using PairResult = nb::ndarray<nb::numpy, int64_t, nb::shape<-1, 2>>;

void require(bool holds, const std::string& message) {
    if (!holds) {
        throw std::invalid_argument(message);
    }
}

void require_count(int64_t count) {
    require(count >= 1 && count < int64_t{1} << 31,
            "count is " + std::to_string(count) + ", expected 1 <= count < 2^31");
}

template <typename Array>
void require_channels(const char* name, const Array& array, size_t channels) {
    require(array.shape(0) == channels, std::string(name) + " has " + std::to_string(array.shape(0)) +
                                            " channels, expected " + std::to_string(channels));
}

void require_pair(const char* name, Pair pair) {
    require(magnitude(pair.mantissa) < UnsignedWide{1} << kMantissaBits &&
                magnitude(pair.exponent) <= static_cast<UnsignedWide>(kLargestPairExponent),
            std::string(name) + " holds (" + std::to_string(pair.mantissa) + ", " + std::to_string(pair.exponent) +
                "), expected a mantissa below 2^31 and an exponent up to 2^30 in magnitude");
}

Pair pair_at(const char* name, const Pairs& array, size_t channel) {
    const Pair pair{array.data()[2 * channel], array.data()[2 * channel + 1]};
    require_pair(name, pair);
    return pair;
}

int64_t scale_at(const char* name, const Integers& array, size_t channel) {
    const int64_t scale = array.data()[channel];
    require(scale >= -kScaleLimit && scale <= kScaleLimit,
            std::string(name) + " holds " + std::to_string(scale) + ", expected less than 2^31 in magnitude");
    return scale;
}

// A new array with rule(channel) for every channel.
template <typename Rule>
IntegerResult each_integer(size_t channels, const Rule& rule) {
    auto values = std::make_unique<int64_t[]>(channels);
    for (size_t c = 0; c < channels; ++c) {
        values[c] = rule(c);
    }
    int64_t* data = values.get();
    nb::capsule owner(values.release(), [](void* memory) noexcept { delete[] static_cast<int64_t*>(memory); });
    return IntegerResult(data, {channels}, owner);
}

template <typename Rule>
PairResult each_pair(size_t channels, const Rule& rule) {
    auto values = std::make_unique<int64_t[]>(2 * channels);
    for (size_t c = 0; c < channels; ++c) {
        const Pair pair = rule(c);
        values[2 * c] = pair.mantissa;
        values[2 * c + 1] = pair.exponent;
    }
    int64_t* data = values.get();
    nb::capsule owner(values.release(), [](void* memory) noexcept { delete[] static_cast<int64_t*>(memory); });
    return PairResult(data, {channels, 2}, owner);
}

PairResult inverse_deviation(Integers s1, Integers s2, int32_t exponent, int64_t count, int64_t eps_m, int32_t eps_e) {
    require_count(count);
    require_channels("s2", s2, s1.shape(0));
    const Pair eps{eps_m, eps_e};
    require_pair("eps", eps);
    return each_pair(s1.shape(0),
                     [&](size_t c) { return inverse_deviation_of(s1.data()[c], s2.data()[c], exponent, count, eps); });
}

PairResult running_inverse_deviation(Pairs variance, int64_t eps_m, int32_t eps_e) {
    const Pair eps{eps_m, eps_e};
    require_pair("eps", eps);
    return each_pair(variance.shape(0),
                     [&](size_t c) { return running_inverse_deviation_of(pair_at("variance", variance, c), eps); });
}

IntegerResult batch_norm_scale(Integers gamma, int32_t gamma_exponent, Pairs inverse, int32_t target_exponent) {
    require_channels("inverse", inverse, gamma.shape(0));
    return each_integer(gamma.shape(0), [&](size_t c) {
        const Pair scale = multiply(normalise(gamma.data()[c], gamma_exponent), pair_at("inverse", inverse, c));
        return to_integer(scale, target_exponent, kScaleLimit);
    });
}

IntegerResult batch_norm_offset(Integers beta, int32_t beta_exponent, Integers scale, Integers s1, int64_t count,
                                int32_t target_exponent) {
    require_count(count);
    require_channels("scale", scale, beta.shape(0));
    require_channels("s1", s1, beta.shape(0));
    return each_integer(beta.shape(0), [&](size_t c) {
        return to_int64(saturated_offset(beta.data()[c], beta_exponent, target_exponent) -
                        scaled_mean(scale_at("scale", scale, c), mean_q16(s1.data()[c], count)));
    });
}

IntegerResult running_offset(Integers beta, int32_t beta_exponent, Integers scale, Pairs mean, int32_t mean_exponent,
                             int32_t target_exponent) {
    require_channels("scale", scale, beta.shape(0));
    require_channels("mean", mean, beta.shape(0));
    return each_integer(beta.shape(0), [&](size_t c) {
        return to_int64(
            saturated_offset(beta.data()[c], beta_exponent, target_exponent) -
            scaled_mean(scale_at("scale", scale, c), to_integer(pair_at("mean", mean, c), mean_exponent, kScaleLimit)));
    });
}

PairResult gamma_gradient(Integers sg, Integers sgx, Integers s1, int32_t sgx_exponent, Pairs inverse, int64_t count) {
    require_count(count);
    require_channels("sgx", sgx, sg.shape(0));
    require_channels("s1", s1, sg.shape(0));
    require_channels("inverse", inverse, sg.shape(0));
    return each_pair(sg.shape(0), [&](size_t c) {
        return gamma_gradient_of(sg.data()[c], sgx.data()[c], s1.data()[c], sgx_exponent,
                                 pair_at("inverse", inverse, c), count);
    });
}

IntegerResult batch_norm_slope(Integers gamma, int32_t gamma_exponent, Pairs inverse, Pairs gradient, int64_t count,
                               int32_t target_exponent) {
    require_count(count);
    require_channels("inverse", inverse, gamma.shape(0));
    require_channels("gamma_gradient", gradient, gamma.shape(0));
    return each_integer(gamma.shape(0), [&](size_t c) {
        const Pair slope = slope_of(normalise(gamma.data()[c], gamma_exponent), pair_at("inverse", inverse, c),
                                    pair_at("gamma_gradient", gradient, c), count);
        return to_integer(slope, target_exponent, kScaleLimit);
    });
}

IntegerResult batch_norm_gradient_offset(Integers scale, Integers slope, Integers sg, Integers s1, int64_t count) {
    require_count(count);
    require_channels("slope", slope, scale.shape(0));
    require_channels("sg", sg, scale.shape(0));
    require_channels("s1", s1, scale.shape(0));
    return each_integer(scale.shape(0), [&](size_t c) {
        return gradient_offset_of(scale_at("scale", scale, c), scale_at("slope", slope, c), sg.data()[c], s1.data()[c],
                                  count);
    });
}

PairResult running_mean(Pairs running, Integers s1, int32_t s1_exponent, int64_t count, int32_t momentum) {
    require_count(count);
    require_channels("s1", s1, running.shape(0));
    return each_pair(running.shape(0), [&](size_t c) {
        return moving_average(pair_at("running", running, c), mean_of(s1.data()[c], s1_exponent, count), momentum);
    });
}

PairResult running_variance(Pairs running, Integers s1, Integers s2, int32_t s1_exponent, int64_t count,
                            int32_t momentum) {
    require_count(count);
    require_channels("s1", s1, running.shape(0));
    require_channels("s2", s2, running.shape(0));
    return each_pair(running.shape(0), [&](size_t c) {
        return moving_average(pair_at("running", running, c),
                              unbiased_variance_of(s1.data()[c], s2.data()[c], s1_exponent, count), momentum);
    });
}

IntegerResult pair_to_wide(Pairs pairs, int32_t exponent) {
    return each_integer(pairs.shape(0),
                        [&](size_t c) { return to_integer(pair_at("pairs", pairs, c), exponent, kOffsetLimit); });
}

}  // namespace

void bind_channel_scalars(nb::module_& module) {
    using nb::arg;
    const auto array = [](const char* name) { return arg(name).noconvert(); };
    module.def("inverse_deviation", inverse_deviation, array("s1"), array("s2"), arg("exponent"), arg("count"),
               arg("eps_m"), arg("eps_e"),
               "1 / sqrt(var + eps) from sums s1, s2 (int64 [C]) of mantissas and their squares, the mantissas at "
               "2^exponent. -> pairs (int64 [C, 2])");
    module.def("running_inverse_deviation", running_inverse_deviation, array("variance"), arg("eps_m"), arg("eps_e"),
               "1 / sqrt(variance + eps), pairs (int64 [C, 2]) -> pairs");
    module.def("batch_norm_scale", batch_norm_scale, array("gamma"), arg("gamma_exponent"), array("inverse"),
               arg("target_exponent"),
               "gamma (int64 [C]) * inverse (pairs) as integers below 2^31 at 2^target_exponent. -> int64 [C]");
    module.def("batch_norm_offset", batch_norm_offset, array("beta"), arg("beta_exponent"), array("scale"), array("s1"),
               arg("count"), arg("target_exponent"),
               "beta - scale * s1 / count, int64 [C] each; the result, and scale times s1, at 2^target_exponent. -> "
               "int64 [C]");
    module.def("running_offset", running_offset, array("beta"), arg("beta_exponent"), array("scale"), array("mean"),
               arg("mean_exponent"), arg("target_exponent"),
               "beta - scale * mean / 2^16, mean (pairs) as an int32 at 2^mean_exponent, which is that of the result "
               "less that "
               "of scale less 16; the result at 2^target_exponent. -> int64 [C]");
    module.def("gamma_gradient", gamma_gradient, array("sg"), array("sgx"), array("s1"), arg("sgx_exponent"),
               array("inverse"), arg("count"),
               "(count * sgx - s1 * sg) * inverse / count, int64 [C] and pairs [C, 2] -> pairs");
    module.def("batch_norm_slope", batch_norm_slope, array("gamma"), arg("gamma_exponent"), array("inverse"),
               array("gamma_gradient"), arg("count"), arg("target_exponent"),
               "-gamma * inverse^2 * gamma_gradient / count as integers below 2^31 at 2^target_exponent. -> int64 [C]");
    module.def("batch_norm_gradient_offset", batch_norm_gradient_offset, array("scale"), array("slope"), array("sg"),
               array("s1"), arg("count"),
               "-(scale * sg + slope * s1) / count with the roundings of the definition. -> int64 [C]");
    module.def("running_mean", running_mean, array("running"), array("s1"), arg("s1_exponent"), arg("count"),
               arg("momentum"),
               "running + (s1 / count - running) * momentum / 2^15, pairs [C, 2] and int64 [C] -> pairs");
    module.def("running_variance", running_variance, array("running"), array("s1"), array("s2"), arg("s1_exponent"),
               arg("count"), arg("momentum"),
               "running + (unbiased variance - running) * momentum / 2^15, pairs [C, 2] and int64 [C] -> pairs");
    module.def("pair_to_wide", pair_to_wide, array("pairs"), arg("exponent"),
               "Pairs as integers at 2^exponent, saturated to +-2^61. -> int64 [C]");
}

}  // namespace spindl::simulator
