// Python module spindl._native: checks arguments, releases the GIL, calls the kernels of native/simulator.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "channel_scalars.hpp"
#include "contraction.hpp"
#include "elementwise.hpp"
#include "threads.hpp"
#include "update.hpp"
#include "vector_path.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using namespace spindl::simulator;

namespace {

using Input = nb::ndarray<nb::ro, nb::device::cpu>;
using Output = nb::ndarray<nb::device::cpu>;
using Pair = std::array<int64_t, 2>;
using Shape = std::vector<int64_t>;
using Result = std::pair<uint64_t, int64_t>;  // largest magnitude of the accumulators, elements saturated

[[noreturn]] void fail(const std::string& what) {
    throw std::invalid_argument(what);
}

std::string text(const Shape& shape) {
    std::string result = "(";
    for (size_t i = 0; i < shape.size(); ++i) {
        result += (i == 0 ? "" : ", ") + (shape[i] < 0 ? std::string("any") : std::to_string(shape[i]));
    }
    return result + ")";
}

template <typename T>
constexpr const char* type_name() {
    if constexpr (std::is_same_v<T, int16_t>) {
        return "int16";
    } else if constexpr (std::is_same_v<T, int32_t>) {
        return "int32";
    } else if constexpr (std::is_same_v<T, int64_t>) {
        return "int64";
    } else {
        static_assert(std::is_same_v<T, uint8_t>);
        return "uint8";
    }
}

template <typename Array>
Shape shape_of(const Array& array) {
    Shape shape(array.ndim());
    for (size_t i = 0; i < shape.size(); ++i) {
        shape[i] = static_cast<int64_t>(array.shape(i));
    }
    return shape;
}

// Row-major without gaps; the stride of an axis of length 1 does not matter.
template <typename Array>
bool contiguous(const Array& array) {
    int64_t expected = 1;
    bool empty = false;
    bool result = true;
    for (size_t i = array.ndim(); i-- > 0;) {
        const auto length = static_cast<int64_t>(array.shape(i));
        empty = empty || length == 0;
        result = result && (length == 1 || array.stride(i) == expected);
        expected *= length;
    }
    return empty || result;
}

// The data of an array, after checking its element type, that it is contiguous, and its shape (-1 allows any length).
template <typename T, typename Array>
auto checked(const Array& array, const char* name, const Shape& expected) {
    if (array.dtype() != nb::dtype<T>()) {
        fail(std::string(name) + ": expected element type " + type_name<T>() + ", got type code " +
             std::to_string(array.dtype().code) + " of " + std::to_string(array.dtype().bits) + " bits");
    }
    const Shape shape = shape_of(array);
    bool same = shape.size() == expected.size();
    for (size_t i = 0; same && i < shape.size(); ++i) {
        same = expected[i] < 0 || expected[i] == shape[i];
    }
    if (!same) {
        fail(std::string(name) + ": expected shape " + text(expected) + ", got " + text(shape));
    }
    if (!contiguous(array)) {
        fail(std::string(name) + ": expected contiguous memory");
    }
    if constexpr (std::is_same_v<Array, Input>) {
        return static_cast<const T*>(array.data());
    } else {
        return static_cast<T*>(array.data());
    }
}

Requantise rounding(int64_t shift, int64_t limit, bool relu, bool even = false) {
    if (shift < -40 || shift > 80) {
        fail("shift: expected -40 .. 80, got " + std::to_string(shift));
    }
    if (limit < 1 || limit > 32767) {
        fail("limit: expected 1 .. 32767, got " + std::to_string(limit));
    }
    return Requantise::make(shift, static_cast<int32_t>(limit), relu, even);
}

Pair pair(std::pair<int64_t, int64_t> value, const char* name, int64_t smallest) {
    if (value.first < smallest || value.second < smallest) {
        fail(std::string(name) + ": expected two numbers of at least " + std::to_string(smallest) + ", got (" +
             std::to_string(value.first) + ", " + std::to_string(value.second) + ")");
    }
    return {value.first, value.second};
}

using PairArgument = std::pair<int64_t, int64_t>;

// Axes from the arrays' shapes; `filter` is a weight or its gradient.
Geometry geometry(const Shape& x, const Shape& filter, const Shape& y, PairArgument stride, PairArgument padding,
                  PairArgument dilation, int64_t groups) {
    if (x.size() != 4 || filter.size() != 4 || y.size() != 4) {
        fail("convolution: expected four axes for input, weights and output, got " + text(x) + ", " + text(filter) +
             ", " + text(y));
    }
    Geometry g{};
    g.images = x[0], g.height = x[1], g.width = x[2], g.channels = x[3];
    g.out_height = y[1], g.out_width = y[2], g.out_channels = y[3];
    g.kernel_height = filter[1], g.kernel_width = filter[2];
    g.stride = pair(stride, "stride", 1);
    g.padding = pair(padding, "padding", 0);
    g.dilation = pair(dilation, "dilation", 1);
    g.groups = groups;
    if (y[0] != x[0]) {
        fail("convolution: images differ: input " + text(x) + ", output " + text(y));
    }
    if (groups < 1 || g.channels % groups != 0 || g.out_channels % groups != 0 || g.channels == 0 ||
        g.out_channels == 0) {
        fail("groups: expected a divisor of the channels " + std::to_string(g.channels) + " and " +
             std::to_string(g.out_channels) + ", got " + std::to_string(groups));
    }
    if (filter[0] != g.out_channels || filter[3] != g.channels / groups || filter[1] < 1 || filter[2] < 1) {
        fail("weights: expected shape " + text({g.out_channels, -1, -1, g.channels / groups}) + ", got " +
             text(filter));
    }
    return g;
}

Result result(const Statistics& statistics) {
    return {statistics.max_abs, statistics.saturated};
}

bool is_int64(const Output& array) {
    return array.dtype() == nb::dtype<int64_t>();
}

Destination destination(const Output& out, const char* name) {
    if (is_int64(out)) {
        return {nullptr, checked<int64_t>(out, name, shape_of(out))};
    }
    return {checked<int16_t>(out, name, shape_of(out)), nullptr};
}

Result py_convolution(Input x, Input w, std::optional<Input> bias, Output out, PairArgument stride,
                      PairArgument padding, PairArgument dilation, int64_t groups, int64_t shift, int64_t limit,
                      bool relu) {
    const Geometry g = geometry(shape_of(x), shape_of(w), shape_of(out), stride, padding, dilation, groups);
    const auto* xs = checked<int16_t>(x, "x", {-1, -1, -1, -1});
    const auto* ws = checked<int16_t>(w, "w", {-1, -1, -1, -1});
    const auto* bs = bias ? checked<int64_t>(*bias, "bias", {g.out_channels}) : nullptr;
    const Destination to = destination(out, "out");
    const Requantise q = rounding(shift, limit, relu);
    nb::gil_scoped_release release;
    return result(convolution(g, xs, ws, bs, to, q));
}

Result py_convolution_input_gradient(Input dy, Input w, Output out, PairArgument stride, PairArgument padding,
                                     PairArgument dilation, int64_t groups, int64_t shift, int64_t limit) {
    const Geometry g = geometry(shape_of(out), shape_of(w), shape_of(dy), stride, padding, dilation, groups);
    const auto* dys = checked<int16_t>(dy, "dy", {-1, -1, -1, -1});
    const auto* ws = checked<int16_t>(w, "w", {-1, -1, -1, -1});
    const Destination to = destination(out, "out");
    const Requantise q = rounding(shift, limit, false);
    nb::gil_scoped_release release;
    return result(convolution_input_gradient(g, dys, ws, to, q));
}

Result py_convolution_weight_gradient(Input dy, Input x, Output out, PairArgument stride, PairArgument padding,
                                      PairArgument dilation, int64_t groups, int64_t group_size, int64_t shift,
                                      int64_t limit) {
    const Geometry g = geometry(shape_of(x), shape_of(out), shape_of(dy), stride, padding, dilation, groups);
    const auto* dys = checked<int16_t>(dy, "dy", {-1, -1, -1, -1});
    const auto* xs = checked<int16_t>(x, "x", {-1, -1, -1, -1});
    int64_t* exact = is_int64(out) ? checked<int64_t>(out, "out", {-1, -1, -1, -1}) : nullptr;
    int32_t* sums = exact == nullptr ? checked<int32_t>(out, "out", {-1, -1, -1, -1}) : nullptr;
    const Requantise q = rounding(shift, limit, false);
    if (group_size < 1) {
        fail("group_size: expected at least 1, got " + std::to_string(group_size));
    }
    nb::gil_scoped_release release;
    return result(convolution_weight_gradient(g, dys, xs, sums, exact, group_size, q));
}

// Number of elements, and of pixels where the last axis holds the channels.
int64_t size_of(const Shape& shape) {
    int64_t size = 1;
    for (const int64_t length : shape) {
        size *= length;
    }
    return size;
}

struct Rows {
    Shape shape;
    int64_t pixels, channels;
};

Rows rows_of(const Input& x, const char* name) {
    const Shape shape = shape_of(x);
    if (shape.empty() || shape.back() == 0) {
        fail(std::string(name) + ": expected shape (..., channels), got " + text(shape));
    }
    return {shape, size_of(shape) / shape.back(), shape.back()};
}

// Factors of channels that must fit 32 bits.
const int64_t* factors(const Input& array, const char* name, int64_t channels) {
    const auto* values = checked<int64_t>(array, name, {channels});
    for (int64_t c = 0; c < channels; ++c) {
        if (values[c] < -INT32_MAX || values[c] > INT32_MAX) {
            fail(std::string(name) + ": expected magnitudes below 2^31, got " + std::to_string(values[c]));
        }
    }
    return values;
}

using Totals = nb::ndarray<nb::numpy, int64_t, nb::ndim<1>>;

Totals new_totals(int64_t channels) {
    auto* memory = new int64_t[static_cast<size_t>(channels)]();
    const nb::capsule owner(memory, [](void* p) noexcept { delete[] static_cast<int64_t*>(p); });
    return Totals(memory, {static_cast<size_t>(channels)}, owner);
}

Totals py_channel_sum(Input x) {
    const Rows rows = rows_of(x, "x");
    const auto* xs = checked<int16_t>(x, "x", rows.shape);
    Totals totals = new_totals(rows.channels);
    int64_t* const to = totals.data();
    {
        nb::gil_scoped_release release;
        channel_sum(xs, rows.pixels, rows.channels, to);
    }
    return totals;
}

Totals py_channel_dot(Input x, Input y) {
    const Rows rows = rows_of(x, "x");
    const auto* xs = checked<int16_t>(x, "x", rows.shape);
    const auto* ys = checked<int16_t>(y, "y", rows.shape);
    Totals totals = new_totals(rows.channels);
    int64_t* const to = totals.data();
    {
        nb::gil_scoped_release release;
        channel_dot(xs, ys, rows.pixels, rows.channels, to);
    }
    return totals;
}

Result py_affine(Input x, Input scale, Input offset, Output out, int64_t shift, int64_t limit, bool relu) {
    const Rows rows = rows_of(x, "x");
    const auto* scales = factors(scale, "scale", rows.channels);
    const auto* offsets = checked<int64_t>(offset, "offset", {rows.channels});
    auto* to = checked<int16_t>(out, "out", rows.shape);
    const Requantise q = rounding(shift, limit, relu);
    if (x.dtype() == nb::dtype<uint8_t>()) {
        const auto* xs = checked<uint8_t>(x, "x", rows.shape);
        nb::gil_scoped_release release;
        return result(affine(xs, rows.pixels, rows.channels, scales, offsets, q, to));
    }
    const auto* xs = checked<int16_t>(x, "x", rows.shape);
    nb::gil_scoped_release release;
    return result(affine(xs, rows.pixels, rows.channels, scales, offsets, q, to));
}

Result py_affine_pair(Input x, Input scale, Input y, Input slope, Input offset, Output out, int64_t shift,
                      int64_t limit) {
    const Rows rows = rows_of(x, "x");
    const auto* xs = checked<int16_t>(x, "x", rows.shape);
    const auto* ys = checked<int16_t>(y, "y", rows.shape);
    const auto* scales = factors(scale, "scale", rows.channels);
    const auto* slopes = factors(slope, "slope", rows.channels);
    const auto* offsets = checked<int64_t>(offset, "offset", {rows.channels});
    auto* to = checked<int16_t>(out, "out", rows.shape);
    const Requantise q = rounding(shift, limit, false);
    nb::gil_scoped_release release;
    return result(affine_pair(xs, ys, rows.pixels, rows.channels, scales, slopes, offsets, q, to));
}

int32_t alignment(int64_t shift, const char* name) {
    if (shift < 0 || shift > 30) {
        fail(std::string(name) + ": expected 0 .. 30, got " + std::to_string(shift));
    }
    return static_cast<int32_t>(shift);
}

Result py_add(Input x, int64_t x_shift, Input y, int64_t y_shift, Output out, int64_t shift, int64_t limit, bool relu,
              bool even) {
    const Shape shape = shape_of(x);
    const auto* xs = checked<int16_t>(x, "x", shape);
    const auto* ys = checked<int16_t>(y, "y", shape);
    auto* to = checked<int16_t>(out, "out", shape);
    const int32_t x_left = alignment(x_shift, "x_shift");
    const int32_t y_left = alignment(y_shift, "y_shift");
    const Requantise q = rounding(shift, limit, relu, even);
    nb::gil_scoped_release release;
    return result(add(xs, x_left, ys, y_left, size_of(shape), q, to));
}

Result py_requantise(Input x, Output out, int64_t shift, int64_t limit, bool relu) {
    const Shape shape = shape_of(x);
    auto* to = checked<int16_t>(out, "out", shape);
    const Requantise q = rounding(shift, limit, relu);
    if (x.dtype() == nb::dtype<int32_t>()) {
        const auto* xs = checked<int32_t>(x, "x", shape);
        nb::gil_scoped_release release;
        return result(requantise(xs, size_of(shape), q, to));
    }
    const auto* xs = checked<int64_t>(x, "x", shape);
    nb::gil_scoped_release release;
    return result(requantise(xs, size_of(shape), q, to));
}

uint64_t py_extent(Input x) {
    const Shape shape = shape_of(x);
    if (x.dtype() == nb::dtype<int16_t>()) {
        const auto* xs = checked<int16_t>(x, "x", shape);
        nb::gil_scoped_release release;
        return extent(xs, size_of(shape));
    }
    if (x.dtype() == nb::dtype<int32_t>()) {
        const auto* xs = checked<int32_t>(x, "x", shape);
        nb::gil_scoped_release release;
        return extent(xs, size_of(shape));
    }
    const auto* xs = checked<int64_t>(x, "x", shape);
    nb::gil_scoped_release release;
    return extent(xs, size_of(shape));
}

void py_relu(Input x, Output out) {
    const Shape shape = shape_of(x);
    const auto* xs = checked<int16_t>(x, "x", shape);
    auto* to = checked<int16_t>(out, "out", shape);
    nb::gil_scoped_release release;
    relu(xs, size_of(shape), to);
}

void py_relu6_gradient(Input dy, Input y, int64_t cap, Output out) {
    const Shape shape = shape_of(dy);
    const auto* dys = checked<int16_t>(dy, "dy", shape);
    const auto* ys = checked<int16_t>(y, "y", shape);
    auto* to = checked<int16_t>(out, "out", shape);
    if (cap < 0 || cap > 32768) {
        fail("cap: expected 0 .. 32768, got " + std::to_string(cap));
    }
    nb::gil_scoped_release release;
    gate(dys, ys, static_cast<int32_t>(cap), size_of(shape), to);
}

void py_relu_gradient(Input dy, Input y, Output out) {
    py_relu6_gradient(std::move(dy), std::move(y), 32768, std::move(out));
}

PoolGeometry pool_geometry(const Shape& x, const Shape& y, PairArgument kernel, PairArgument stride,
                           PairArgument padding, PairArgument dilation) {
    if (x.size() != 4 || y.size() != 4 || x[0] != y[0] || x[3] != y[3]) {
        fail("max_pool: expected (images, height, width, channels) twice with equal images and channels, got " +
             text(x) + " and " + text(y));
    }
    const PoolGeometry g{x[0],
                         x[1],
                         x[2],
                         x[3],
                         y[1],
                         y[2],
                         pair(kernel, "kernel", 1),
                         pair(stride, "stride", 1),
                         pair(padding, "padding", 0),
                         pair(dilation, "dilation", 1)};
    if (g.kernel[0] * g.kernel[1] > 32767) {
        fail("kernel: expected at most 32767 cells, got " + std::to_string(g.kernel[0] * g.kernel[1]));
    }
    if (!every_window_has_a_cell(g)) {
        fail("max_pool: a window of output " + text(y) + " lies entirely outside the input " + text(x));
    }
    return g;
}

void py_max_pool(Input x, Output out, PairArgument kernel, PairArgument stride, PairArgument padding,
                 PairArgument dilation) {
    const PoolGeometry g = pool_geometry(shape_of(x), shape_of(out), kernel, stride, padding, dilation);
    const auto* xs = checked<int16_t>(x, "x", shape_of(x));
    auto* to = checked<int16_t>(out, "out", shape_of(out));
    nb::gil_scoped_release release;
    max_pool(g, xs, to);
}

Result py_max_pool_gradient(Input dy, Input x, Output out, PairArgument kernel, PairArgument stride,
                            PairArgument padding, PairArgument dilation, int64_t shift, int64_t limit, bool even) {
    const PoolGeometry g = pool_geometry(shape_of(x), shape_of(dy), kernel, stride, padding, dilation);
    const auto* dys = checked<int16_t>(dy, "dy", shape_of(dy));
    const auto* xs = checked<int16_t>(x, "x", shape_of(x));
    auto* to = checked<int16_t>(out, "out", shape_of(x));
    const Requantise q = rounding(shift, limit, false, even);
    nb::gil_scoped_release release;
    return result(max_pool_gradient(g, dys, xs, q, to));
}

// Bounds [first, end) within [0, size), one pair for each output.
const int32_t* bounds(const Input& array, const char* name, int64_t outputs, int64_t size) {
    const auto* values = checked<int32_t>(array, name, {outputs, 2});
    for (int64_t i = 0; i < outputs; ++i) {
        if (values[2 * i] < 0 || values[2 * i] > values[2 * i + 1] || values[2 * i + 1] > size) {
            fail(std::string(name) + ": expected 0 <= first <= end <= " + std::to_string(size) + ", got (" +
                 std::to_string(values[2 * i]) + ", " + std::to_string(values[2 * i + 1]) + ")");
        }
    }
    return values;
}

WindowGeometry window_geometry(const Shape& x, const Shape& y, const Input& rows, const Input& columns,
                               const Input& multiplier) {
    if (x.size() != 4 || y.size() != 4 || x[0] != y[0] || x[3] != y[3]) {
        fail("window_sum: expected (images, height, width, channels) twice with equal images and channels, got " +
             text(x) + " and " + text(y));
    }
    if (x[1] * x[2] > 65535) {
        fail("window_sum: expected at most 65535 pixels of an image, got " + std::to_string(x[1] * x[2]));
    }
    return {x[0],
            x[1],
            x[2],
            x[3],
            y[1],
            y[2],
            bounds(rows, "rows", y[1], x[1]),
            bounds(columns, "columns", y[2], x[2]),
            checked<int32_t>(multiplier, "multiplier", {y[1], y[2]})};
}

Result py_window_sum(Input x, Input rows, Input columns, Input multiplier, Output out, int64_t shift, int64_t limit,
                     bool even) {
    const WindowGeometry g = window_geometry(shape_of(x), shape_of(out), rows, columns, multiplier);
    const auto* xs = checked<int16_t>(x, "x", shape_of(x));
    auto* to = checked<int16_t>(out, "out", shape_of(out));
    const Requantise q = rounding(shift, limit, false, even);
    nb::gil_scoped_release release;
    return result(window_sum(g, xs, q, to));
}

Result py_window_sum_gradient(Input dy, Input rows, Input columns, Input multiplier, Output out, int64_t shift,
                              int64_t limit, bool even) {
    const WindowGeometry g = window_geometry(shape_of(out), shape_of(dy), rows, columns, multiplier);
    const auto* dys = checked<int16_t>(dy, "dy", shape_of(dy));
    auto* to = checked<int16_t>(out, "out", shape_of(out));
    const Requantise q = rounding(shift, limit, false, even);
    nb::gil_scoped_release release;
    return result(window_sum_gradient(g, dys, q, to));
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Exact integer kernels of the simulator: int16 tensors, channels last, every result rounded once.";
    m.def("set_threads", &set_threads, "count"_a, "Sets the number of threads of all kernels (at least 1).");
    m.def("threads", &threads, "Number of threads of all kernels.");
    m.def("set_vector_path", &set_vector_path, "name"_a, "Chooses one of vector_paths(); results are the same.");
    m.def("vector_path", &vector_path, "Name of the instruction set in use.");
    m.def("vector_paths", &vector_paths, "Instruction sets that this processor has kernels for, the fastest first.");
    bind_channel_scalars(m);
    bind_update(m);
    m.def("convolution", &py_convolution, "x"_a, "w"_a, "bias"_a.none(), "out"_a, "stride"_a = PairArgument{1, 1},
          "padding"_a = PairArgument{0, 0}, "dilation"_a = PairArgument{1, 1}, "groups"_a = 1, "shift"_a = 0,
          "limit"_a = 32767, "relu"_a = false);
    m.def("convolution_input_gradient", &py_convolution_input_gradient, "dy"_a, "w"_a, "out"_a,
          "stride"_a = PairArgument{1, 1}, "padding"_a = PairArgument{0, 0}, "dilation"_a = PairArgument{1, 1},
          "groups"_a = 1, "shift"_a = 0, "limit"_a = 32767);
    m.def("convolution_weight_gradient", &py_convolution_weight_gradient, "dy"_a, "x"_a, "out"_a,
          "stride"_a = PairArgument{1, 1}, "padding"_a = PairArgument{0, 0}, "dilation"_a = PairArgument{1, 1},
          "groups"_a = 1, "group_size"_a = 1, "shift"_a = 0, "limit"_a = 32767);
    m.def("channel_sum", &py_channel_sum, "x"_a);
    m.def("channel_dot", &py_channel_dot, "x"_a, "y"_a);
    m.def("affine", &py_affine, "x"_a, "scale"_a, "offset"_a, "out"_a, "shift"_a = 0, "limit"_a = 32767,
          "relu"_a = false);
    m.def("affine_pair", &py_affine_pair, "x"_a, "scale"_a, "y"_a, "slope"_a, "offset"_a, "out"_a, "shift"_a = 0,
          "limit"_a = 32767);
    m.def("add", &py_add, "x"_a, "x_shift"_a, "y"_a, "y_shift"_a, "out"_a, "shift"_a = 0, "limit"_a = 32767,
          "relu"_a = false, "even"_a = false);
    m.def("requantise", &py_requantise, "x"_a, "out"_a, "shift"_a = 0, "limit"_a = 32767, "relu"_a = false);
    m.def("extent", &py_extent, "x"_a);
    m.def("relu", &py_relu, "x"_a, "out"_a);
    m.def("relu_gradient", &py_relu_gradient, "dy"_a, "y"_a, "out"_a);
    m.def("relu6_gradient", &py_relu6_gradient, "dy"_a, "y"_a, "cap"_a, "out"_a);
    m.def("max_pool", &py_max_pool, "x"_a, "out"_a, "kernel"_a, "stride"_a, "padding"_a = PairArgument{0, 0},
          "dilation"_a = PairArgument{1, 1});
    m.def("max_pool_gradient", &py_max_pool_gradient, "dy"_a, "x"_a, "out"_a, "kernel"_a, "stride"_a,
          "padding"_a = PairArgument{0, 0}, "dilation"_a = PairArgument{1, 1}, "shift"_a = 0, "limit"_a = 32767,
          "even"_a = false);
    m.def("window_sum", &py_window_sum, "x"_a, "rows"_a, "columns"_a, "multiplier"_a, "out"_a, "shift"_a = 0,
          "limit"_a = 32767, "even"_a = false);
    m.def("window_sum_gradient", &py_window_sum_gradient, "dy"_a, "rows"_a, "columns"_a, "multiplier"_a, "out"_a,
          "shift"_a = 0, "limit"_a = 32767, "even"_a = false);
}
