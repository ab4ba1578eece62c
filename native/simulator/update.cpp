#include "update.hpp"

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/variant.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "threads.hpp"
#include "vector_path.hpp"

namespace spindl::simulator {
namespace {

namespace nb = nanobind;

constexpr int64_t kTermLimit = int64_t{1} << 59;
constexpr int64_t kLimit32 = (int64_t{1} << 31) - 1;
constexpr int64_t kOverflowThreshold = 2104533975;  // floor(0.98 * 2^31)
constexpr int64_t kDirectionLimit = int64_t{1} << 46;
constexpr int kNormBits = 15;
constexpr int32_t kScalarLimit = 1 << 15;
constexpr int64_t kBlock = 1024;        // elements whose intermediate values stay in the first-level cache
constexpr int64_t kAloneBelow = 16384;  // fewer elements take no longer than waking a second thread

// Everything below that is always_inline is compiled once into each of the two functions that call a body, with and
// without AVX-512. Loops marked ivdep read and write the same index only, also where an array is updated in place.

[[gnu::always_inline]] inline int64_t clamped(int64_t x, int64_t limit) {
    x = x < limit ? x : limit;
    return x > -limit ? x : -limit;
}

// Wraps where the definition's int64 wraps.
[[gnu::always_inline]] inline int64_t wrapping_add(int64_t a, int64_t b) {
    return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

// RSH(x, shift) saturated to +-2^59, without a branch: clamp, shift left, add the half, shift right, clamp.
// Left: what lies above 2^59 / 2^left is clamped before it could overflow. Right: |x| < 2^62 needs no clamp, and rounds
// to 0 from shift 63 on.
struct Term {
    int64_t bound;
    int64_t half;
    int32_t left;
    int32_t right;

    static Term make(int64_t shift) {
        if (shift <= 0) {
            const int32_t left = static_cast<int32_t>(std::min<int64_t>(-shift, 60));
            return {(kTermLimit >> left) + 1, 0, left, 0};
        }
        if (shift > 62) {
            return {0, 0, 0, 0};
        }
        return {INT64_MAX, int64_t{1} << (shift - 1), 0, static_cast<int32_t>(shift)};
    }

    [[gnu::always_inline]] int64_t operator()(int64_t x) const {
        return clamped(wrapping_add(clamped(x, bound) << left, half) >> right, kTermLimit);
    }
};

// x * scalar, shifted. |x| <= 2^46 and |scalar| <= 2^15: products stay below 2^62.
struct Scaled {
    int32_t scalar;
    Term term;

    [[gnu::always_inline]] int64_t operator()(int64_t x) const { return term(x * scalar); }
};

struct Extremes {
    int64_t low = 0;
    int64_t high = 0;

    [[gnu::always_inline]] void merge(const Extremes& other) {
        low = other.low < low ? other.low : low;
        high = other.high > high ? other.high : high;
    }

    uint64_t magnitude() const {
        return std::max(static_cast<uint64_t>(high), uint64_t{0} - static_cast<uint64_t>(low));
    }
};

// ---- running a body over ranges, with threads and the chosen instruction set

#if defined(__x86_64__)
template <typename Body>
[[gnu::noinline, gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]] void call_avx512(const Body& body, Range range) {
    body(range);
}

template <typename Body>
[[gnu::noinline, gnu::target("avx2")]] void call_avx2(const Body& body, Range range) {
    body(range);
}
#endif

template <typename Body>
[[gnu::noinline]] void call_portable(const Body& body, Range range) {
    body(range);
}

// Calls body(range) for ranges of whole blocks that cover [0, total).
template <typename Body>
void over_ranges(int64_t total, const Body& body) {
    const Kernels* const path = &kernels();
    const auto part = [&](int index, int count) {
        const Range blocks = share((total + kBlock - 1) / kBlock, index, count);
        const Range range{blocks.begin * kBlock, std::min(total, blocks.end * kBlock)};
        if (range.begin >= range.end) {
            return;
        }
#if defined(__x86_64__)
        if (path == &avx512vnni_kernels()) {
            call_avx512(body, range);
            return;
        }
        if (path == &avx2_kernels()) {
            call_avx2(body, range);
            return;
        }
#else
        static_cast<void>(path);
#endif
        call_portable(body, range);
    };
    if (total < kAloneBelow) {
        part(0, 1);
    } else {
        parallel(part);
    }
}

// ---- the loops

template <typename T, typename Function>
[[gnu::always_inline]] inline void transform(const T* x, int64_t count, const Function& function, int64_t* out) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        out[i] = function(x[i]);
    }
}

template <typename T>
[[gnu::always_inline]] inline void add_term(const T* x, int64_t count, const Term& term, int64_t* out) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        out[i] = wrapping_add(out[i], term(x[i]));
    }
}

template <typename T>
[[gnu::always_inline]] inline Extremes extremes(const T* x, int64_t count) {
    int64_t low = 0;
    int64_t high = 0;
    for (int64_t i = 0; i < count; ++i) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return {low, high};
}

[[gnu::always_inline]] inline void saturate(const int64_t* x, int64_t count, int32_t* out) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<int32_t>(clamped(x[i], kLimit32));
    }
}

// U = factor * V + D into `out` (which may be D), and its extremes.
[[gnu::always_inline]] inline Extremes add_velocity(const int32_t* velocity, const int64_t* direction, int64_t count,
                                                    const Scaled& factor, int64_t* out) {
    int64_t low = 0;
    int64_t high = 0;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        const int64_t u = wrapping_add(factor(velocity[i]), direction[i]);
        low = u < low ? u : low;
        high = u > high ? u : high;
        out[i] = u;
    }
    return {low, high};
}

// The same saturated to int32.
[[gnu::always_inline]] inline Extremes next_velocity(const int32_t* velocity, const int64_t* direction, int64_t count,
                                                     const Scaled& factor, int32_t* out) {
    int64_t low = 0;
    int64_t high = 0;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        const int64_t u = wrapping_add(factor(velocity[i]), direction[i]);
        low = u < low ? u : low;
        high = u > high ? u : high;
        out[i] = static_cast<int32_t>(clamped(u, kLimit32));
    }
    return {low, high};
}

// W - rate * U, halved (half up) if `halve` is 1, saturated to int32; the extremes are those before halving.
[[gnu::always_inline]] inline Extremes new_weights(const int32_t* master, const int32_t* step, int64_t count,
                                                   const Scaled& rate, int32_t halve, int32_t* out) {
    int64_t low = 0;
    int64_t high = 0;
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        const int64_t weight = master[i] - rate(step[i]);
        low = weight < low ? weight : low;
        high = weight > high ? weight : high;
        out[i] = static_cast<int32_t>(clamped((weight + halve) >> halve, kLimit32));
    }
    return {low, high};
}

[[gnu::always_inline]] inline void narrow(const int32_t* x, int64_t count, int32_t shift, int32_t limit, int16_t* out) {
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
        const int32_t rounded = ((x[i] >> (shift - 1)) + 1) >> 1;
        const int32_t below = rounded < limit ? rounded : limit;
        out[i] = static_cast<int16_t>(below > -limit ? below : -limit);
    }
}

// ---- direction, and the whole step

struct Gradient {
    const int32_t* narrow;  // one of the two is null
    const int64_t* wide;
    Term term;
};

struct Direction {
    const int32_t* master;
    Scaled decay;
    std::vector<Gradient> gradients;

    [[gnu::always_inline]] void operator()(int64_t begin, int64_t count, int64_t* out) const {
        if (decay.scalar == 0) {
            std::fill(out, out + count, 0);
        } else {
            transform(master + begin, count, decay, out);
        }
        for (const Gradient& gradient : gradients) {
            if (gradient.narrow != nullptr) {
                add_term(gradient.narrow + begin, count, gradient.term, out);
            } else {
                add_term(gradient.wide + begin, count, gradient.term, out);
            }
        }
    }
};

struct Step {
    Direction direction;
    const int32_t* velocity;  // null: without momentum
    Scaled factor;
    std::optional<Scaled> nesterov;
    Scaled rate;
    int32_t narrow_bits;
    int32_t* out_master;
    int32_t* out_velocity;
    int16_t* out_narrow;  // may be null
};

struct StepExtremes {
    Extremes step;
    Extremes weights;
};

// One pass over [range). `again`: the second pass, with halved weights; out_velocity holds the new velocity then.
[[gnu::always_inline]] inline StepExtremes run_step(const Step& s, Range range, bool again) {
    int64_t direction[kBlock];
    int32_t saturated[kBlock];
    StepExtremes result;
    for (int64_t begin = range.begin; begin < range.end; begin += kBlock) {
        const int64_t count = std::min(kBlock, range.end - begin);
        const int32_t* step = saturated;
        if (s.velocity == nullptr) {
            s.direction(begin, count, direction);
            result.step.merge(extremes(direction, count));
            saturate(direction, count, saturated);
        } else {
            if (!again || s.nesterov) {
                s.direction(begin, count, direction);
            }
            if (!again) {
                result.step.merge(
                    next_velocity(s.velocity + begin, direction, count, s.factor, s.out_velocity + begin));
            }
            if (s.nesterov) {
                next_velocity(s.out_velocity + begin, direction, count, *s.nesterov, saturated);
            } else {
                step = s.out_velocity + begin;
            }
        }
        result.weights.merge(
            new_weights(s.direction.master + begin, step, count, s.rate, again ? 1 : 0, s.out_master + begin));
        if (s.out_narrow != nullptr) {
            narrow(s.out_master + begin, count, 32 - s.narrow_bits, (1 << (s.narrow_bits - 1)) - 1,
                   s.out_narrow + begin);
        }
    }
    return result;
}

StepExtremes run_step_everywhere(const Step& step, int64_t total, bool again) {
    std::mutex mutex;
    StepExtremes result;
    over_ranges(total, [&](Range range) __attribute__((always_inline)) {
        const StepExtremes part = run_step(step, range, again);
        const std::lock_guard lock(mutex);
        result.step.merge(part.step);
        result.weights.merge(part.weights);
    });
    return result;
}

// ---- checks

template <typename T>
using Input = nb::ndarray<const T, nb::c_contig, nb::device::cpu>;
template <typename T>
using Output = nb::ndarray<T, nb::c_contig, nb::device::cpu>;
using GradientInput = std::pair<std::variant<Input<int32_t>, Input<int64_t>>, int32_t>;

// The memory of an array, with its name for messages.
struct Memory {
    const char* name;
    const char* begin;
    const char* end;
};

template <typename Array>
Memory memory(const char* name, const Array& array) {
    const char* begin = reinterpret_cast<const char*>(array.data());
    return {name, begin, begin + array.nbytes()};
}

void require_apart(const Memory& out, std::initializer_list<Memory> others) {
    for (const Memory& other : others) {
        if (out.begin < other.end && other.begin < out.end) {
            throw std::invalid_argument(std::string(out.name) + " overlaps " + other.name +
                                        ": give it memory of its own");
        }
    }
}

// The same memory is fine, a shifted view of it is not.
void require_same_or_apart(const Memory& out, const Memory& other) {
    if (out.begin != other.begin) {
        require_apart(out, {other});
    }
}

template <typename Array>
void require_size(const char* name, const Array& array, size_t expected) {
    if (array.size() != expected) {
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(array.size()) +
                                    " elements, expected " + std::to_string(expected));
    }
}

Scaled scaled(const char* name, int32_t scalar, int32_t shift) {
    if (scalar < -kScalarLimit || scalar > kScalarLimit) {
        throw std::invalid_argument(std::string(name) + " is " + std::to_string(scalar) +
                                    ", expected at most 2^15 in magnitude");
    }
    return {scalar, Term::make(shift)};
}

Memory gradient_memory(const GradientInput& gradient) {
    return std::visit([](const auto& array) { return memory("a gradient", array); }, gradient.first);
}

Direction make_direction(const Input<int32_t>& master, int32_t decay_m, int32_t shift_w,
                         const std::vector<GradientInput>& gradients) {
    Direction result{master.data(), scaled("decay_m", decay_m, shift_w), {}};
    for (const GradientInput& gradient : gradients) {
        std::visit([&](const auto& array) { require_size("a gradient", array, master.size()); }, gradient.first);
        const auto* narrow = std::get_if<Input<int32_t>>(&gradient.first);
        const auto* wide = std::get_if<Input<int64_t>>(&gradient.first);
        result.gradients.push_back({narrow != nullptr ? narrow->data() : nullptr,
                                    wide != nullptr ? wide->data() : nullptr, Term::make(gradient.second)});
    }
    return result;
}

// ---- the bound functions

void direction(Input<int32_t> master, int32_t decay_m, int32_t shift_w, Output<int64_t> out,
               std::vector<GradientInput> gradients) {
    require_size("out", out, master.size());
    const Direction d = make_direction(master, decay_m, shift_w, gradients);
    require_apart(memory("out", out), {memory("master", master)});
    for (const GradientInput& gradient : gradients) {
        require_apart(memory("out", out), {gradient_memory(gradient)});
    }
    int64_t* to = out.data();
    const nb::gil_scoped_release release;
    over_ranges(static_cast<int64_t>(master.size()), [&](Range range) __attribute__((always_inline)) {
        for (int64_t begin = range.begin; begin < range.end; begin += kBlock) {
            d(begin, std::min(kBlock, range.end - begin), to + begin);
        }
    });
}

uint64_t momentum(Input<int32_t> velocity, int32_t mu_m, int32_t shift, Input<int64_t> step, Output<int64_t> out) {
    require_size("direction", step, velocity.size());
    require_size("out", out, velocity.size());
    require_apart(memory("out", out), {memory("velocity", velocity)});
    require_same_or_apart(memory("out", out), memory("direction", step));
    const Scaled factor = scaled("mu_m", mu_m, shift);
    const int32_t* v = velocity.data();
    const int64_t* d = step.data();
    int64_t* to = out.data();
    const nb::gil_scoped_release release;
    std::mutex mutex;
    Extremes result;
    over_ranges(static_cast<int64_t>(velocity.size()), [&](Range range) __attribute__((always_inline)) {
        const Extremes part =
            add_velocity(v + range.begin, d + range.begin, range.end - range.begin, factor, to + range.begin);
        const std::lock_guard lock(mutex);
        result.merge(part);
    });
    return result.magnitude();
}

void saturate32(Input<int64_t> x, Output<int32_t> out) {
    require_size("out", out, x.size());
    require_apart(memory("out", out), {memory("x", x)});
    const int64_t* from = x.data();
    int32_t* to = out.data();
    const nb::gil_scoped_release release;
    over_ranges(static_cast<int64_t>(x.size()), [&](Range range) __attribute__((always_inline)) {
        saturate(from + range.begin, range.end - range.begin, to + range.begin);
    });
}

int descend(Input<int32_t> master, Input<int32_t> step, int32_t rate_m, int32_t shift, bool fixed,
            Output<int32_t> out) {
    require_size("step", step, master.size());
    require_size("out", out, master.size());
    require_apart(memory("out", out), {memory("master", master), memory("step", step)});
    const Scaled rate = scaled("rate_m", rate_m, shift);
    const int32_t* w = master.data();
    const int32_t* u = step.data();
    int32_t* to = out.data();
    const int64_t total = static_cast<int64_t>(master.size());
    const nb::gil_scoped_release release;
    const auto run = [&](int32_t halve) {
        std::mutex mutex;
        Extremes weights;
        over_ranges(total, [&](Range range) __attribute__((always_inline)) {
            const Extremes part =
                new_weights(w + range.begin, u + range.begin, range.end - range.begin, rate, halve, to + range.begin);
            const std::lock_guard lock(mutex);
            weights.merge(part);
        });
        return static_cast<int64_t>(weights.magnitude());
    };
    if (run(0) <= kOverflowThreshold || fixed) {
        return 0;
    }
    run(1);
    return 1;
}

template <typename T>
std::pair<uint64_t, int> squared_norm(Input<T> x) {
    const T* from = x.data();
    const int64_t total = static_cast<int64_t>(x.size());
    const nb::gil_scoped_release release;
    std::mutex mutex;
    Extremes found;
    over_ranges(total, [&](Range range) __attribute__((always_inline)) {
        const Extremes part = extremes(from + range.begin, range.end - range.begin);
        const std::lock_guard lock(mutex);
        found.merge(part);
    });
    const uint64_t largest = found.magnitude();
    const int bits = largest == 0 ? 0 : 64 - __builtin_clzll(largest);
    const Term term = Term::make(std::max(0, bits - kNormBits));
    uint64_t sum = 0;  // squares are at most 2^30
    over_ranges(total, [&](Range range) __attribute__((always_inline)) {
        uint64_t part = 0;
        for (int64_t i = range.begin; i < range.end; ++i) {
            const int64_t rounded = term(from[i]);
            part += static_cast<uint64_t>(rounded * rounded);
        }
        const std::lock_guard lock(mutex);
        sum += part;
    });
    return {sum, std::max(0, bits - kNormBits)};
}

void scale_direction(Input<int64_t> step, int32_t rate_m, int32_t shift, Output<int64_t> out) {
    require_size("out", out, step.size());
    require_same_or_apart(memory("out", out), memory("step", step));
    const Scaled rate = scaled("rate_m", rate_m, shift);
    const int64_t* from = step.data();
    int64_t* to = out.data();
    const nb::gil_scoped_release release;
    over_ranges(static_cast<int64_t>(step.size()), [&](Range range) __attribute__((always_inline)) {
        const auto each = [&](int64_t x) __attribute__((always_inline)) { return rate(clamped(x, kDirectionLimit)); };
        transform(from + range.begin, range.end - range.begin, each, to + range.begin);
    });
}

std::pair<uint64_t, int> sgd_step(Input<int32_t> master, std::optional<Input<int32_t>> velocity,
                                  std::vector<GradientInput> gradients, int32_t decay_m, int32_t shift_w, int32_t mu_m,
                                  int32_t shift_v, std::optional<int32_t> nesterov_shift, int32_t rate_m,
                                  int32_t shift_rate, bool fixed, int32_t narrow_bits, Output<int32_t> out_master,
                                  std::optional<Output<int32_t>> out_velocity,
                                  std::optional<Output<int16_t>> out_narrow) {
    if (velocity.has_value() != out_velocity.has_value()) {
        throw std::invalid_argument("velocity and out_velocity: give both or neither");
    }
    if (nesterov_shift && !velocity) {
        throw std::invalid_argument("nesterov_shift is given without a velocity");
    }
    const Memory weights = memory("out_master", out_master);
    require_size("out_master", out_master, master.size());
    require_apart(weights, {memory("master", master)});
    for (const GradientInput& gradient : gradients) {
        require_apart(weights, {gradient_memory(gradient)});
    }
    if (velocity) {
        const Memory moved = memory("out_velocity", *out_velocity);
        require_size("velocity", *velocity, master.size());
        require_size("out_velocity", *out_velocity, master.size());
        require_same_or_apart(moved, memory("velocity", *velocity));
        require_apart(moved, {memory("master", master), weights});
        require_apart(weights, {memory("velocity", *velocity)});
        for (const GradientInput& gradient : gradients) {
            require_apart(moved, {gradient_memory(gradient)});
        }
    }
    if (out_narrow) {
        const Memory copy = memory("out_narrow", *out_narrow);
        require_size("out_narrow", *out_narrow, master.size());
        require_apart(copy, {memory("master", master), weights});
        if (velocity) {
            require_apart(copy, {memory("velocity", *velocity), memory("out_velocity", *out_velocity)});
        }
        for (const GradientInput& gradient : gradients) {
            require_apart(copy, {gradient_memory(gradient)});
        }
        if (narrow_bits < 2 || narrow_bits > 16) {
            throw std::invalid_argument("narrow_bits is " + std::to_string(narrow_bits) + ", expected 2 to 16");
        }
    }
    const Step step{
        make_direction(master, decay_m, shift_w, gradients),
        velocity ? velocity->data() : nullptr,
        scaled("mu_m", mu_m, shift_v),
        nesterov_shift ? std::optional(scaled("mu_m", mu_m, *nesterov_shift)) : std::nullopt,
        scaled("rate_m", rate_m, shift_rate),
        narrow_bits,
        out_master.data(),
        velocity ? out_velocity->data() : nullptr,
        out_narrow ? out_narrow->data() : nullptr,
    };
    const int64_t total = static_cast<int64_t>(master.size());
    const nb::gil_scoped_release release;
    const StepExtremes found = run_step_everywhere(step, total, false);
    const bool halve = !fixed && found.weights.magnitude() > static_cast<uint64_t>(kOverflowThreshold);
    if (halve) {
        run_step_everywhere(step, total, true);
    }
    return {found.step.magnitude(), halve ? 1 : 0};
}

}  // namespace

void bind_update(nb::module_& module) {
    using nb::arg;
    const auto array = [](const char* name) { return arg(name).noconvert(); };
    module.def(
        "direction", direction, array("master"), arg("decay_m"), arg("shift_w"), array("out"),
        array("gradients") = std::vector<GradientInput>{},
        "out (int64) = RSH(decay_m * master (int32), shift_w) + sum of RSH(gradient (int32 or int64), its shift).");
    module.def("momentum", momentum, array("velocity"), arg("mu_m"), arg("shift"), array("direction"), array("out"),
               "out (int64) = RSH(mu_m * velocity (int32), shift) + direction (int64). -> max |out|");
    module.def("saturate32", saturate32, array("x"), array("out"), "out (int32) = x (int64) clamped to +-(2^31 - 1).");
    module.def(
        "descend", descend, array("master"), array("step"), arg("rate_m"), arg("shift"), arg("fixed"), array("out"),
        "out = master - RSH(rate_m * step, shift), all int32; saturated if fixed, else halved if any magnitude exceeds "
        "0.98 * 2^31. -> what the exponent grows by (0 or 1)");
    module.def("squared_norm", squared_norm<int16_t>, array("x"));
    module.def("squared_norm", squared_norm<int32_t>, array("x"));
    module.def("squared_norm", squared_norm<int64_t>, array("x"),
               "x (int16, int32 or int64) -> (sum of RSH(x, shift)^2, shift), shift = max(0, bits of max |x| - 15).");
    module.def("scale_direction", scale_direction, array("step"), arg("rate_m"), arg("shift"), array("out"),
               "out (int64) = RSH(rate_m * clamp(step (int64), 2^46), shift).");
    module.def(
        "sgd_step", sgd_step, array("master"), array("velocity").none(), array("gradients"), nb::kw_only(),
        arg("decay_m"), arg("shift_w"), arg("mu_m") = 0, arg("shift_v") = 0, arg("nesterov_shift") = nb::none(),
        arg("rate_m"), arg("shift_rate"), arg("fixed"), arg("narrow_bits") = 16, array("out_master"),
        array("out_velocity").none() = nb::none(), array("out_narrow").none() = nb::none(),
        "direction, momentum, saturate32, [momentum on the new velocity, saturate32,] descend and narrow in one "
        "pass.\n\n"
        "U = RSH(mu_m * velocity, shift_v) + direction; out_velocity = saturate32(U); the step is out_velocity, or "
        "with\n"
        "nesterov_shift saturate32(RSH(mu_m * out_velocity, nesterov_shift) + direction), or without a velocity\n"
        "saturate32(direction); out_master = descend(master, step, rate_m, shift_rate, fixed); out_narrow (int16) =\n"
        "narrow(out_master, narrow_bits). -> (max |U| before saturation, what the exponent of master grows by)");
}

}  // namespace spindl::simulator
