"""One typical call of every element, channel and reduction kernel, by its size: for cycles, formulas and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.program.kernels.reductions import EXPONENT_RULE, EXPONENT_RULES, SITE_STATE
from tests.kernels.harness import SITE, Result, Site, run


@dataclass(frozen=True)
class Call:
    """A kernel call: arguments, buffers, exponents, sites; `elements` is what its cycles are counted per."""

    kernel: str
    arguments: Mapping[str, Any]
    buffers: Mapping[str, NDArray[Any]]
    exponents: tuple[int, ...] = ()
    sites: tuple[Site, ...] = ()
    elements: int = 1

    def run(self, where: str) -> Result:
        """Run it; it must not fail."""
        result = run(self.kernel, self.arguments, self.buffers, self.exponents, self.sites, where)
        assert result.error == 0
        return result


_RANDOM = np.random.default_rng(7)
WORDS = {"site": 0, "bits": 15, "activation": 0, "ties": 0}
EVEN = WORDS | {"ties": 1}
"""Of the ops whose ties go to even."""


def _short(*shape: int, bits: int = 14) -> NDArray[np.int16]:
    """Normally distributed, largest magnitude near 2^(bits-1)."""
    return np.clip(_RANDOM.normal(0, 2 ** (bits - 3), shape), -(2 ** (bits - 1)), 2 ** (bits - 1)).astype(np.int16)


def _ints(n: int, bits: int = 28) -> NDArray[np.int32]:
    return _RANDOM.normal(0, 2 ** (bits - 2), n).astype(np.int32)


def _pairs(n: int) -> NDArray[np.int32]:
    return np.stack([_RANDOM.integers(2**30, 2**31 - 1, n), _RANDOM.integers(-40, -25, n)], axis=1).astype(np.int32)


def _sites(exponent: int, extent: int) -> tuple[Site, ...]:
    """As they are after the first tiles: the largest magnitude is known."""
    return (Site(exponent, extent),)


def requantise(n: int, x_bytes: int = 8, shift: int = 12) -> Call:
    x = (_RANDOM.normal(0, 2 ** (shift + 11), n)).astype({2: np.int16, 4: np.int32, 8: np.int64}[x_bytes])
    arguments = {"x_bytes": x_bytes, "rows": 1, "columns": n, "x_pitch": 0, "y_pitch": 0}
    arguments |= {"x_exponent": 0, "wide_exponent": 0, **(EVEN if x_bytes == 2 else WORDS)}
    sites = _sites(shift, shift + 14)
    return Call("requantise", arguments, {"x": x, "y": np.zeros(n, np.int16)}, (0,), sites, n)


def move(rows: int, columns: int, transposed: bool = False, step: int = 2) -> Call:
    x = _short(rows, columns)
    arguments = dict.fromkeys(("x_stride_0", "x_stride_1", "y_stride_0", "y_stride_1"), 0)
    arguments |= {"bytes": 2, "count_0": 1, "count_1": 1}
    if transposed:
        arguments |= {"count_2": columns, "count_3": rows, "x_stride_2": 2, "x_stride_3": 2 * columns}
        arguments |= {"y_stride_2": 2 * rows, "y_stride_3": 2}
    else:
        arguments |= {"count_2": rows, "count_3": columns, "x_stride_2": 2 * columns, "x_stride_3": 2}
        arguments |= {"y_stride_2": 2 * columns, "y_stride_3": 2}
    return Call("move", arguments, {"x": x, "y": np.zeros_like(x)}, elements=rows * columns)


def narrow(n: int) -> Call:
    return Call("narrow", {"count": n, "bits": 14}, {"x": _ints(n, 30), "y": np.zeros(n, np.int16)}, elements=n)


def relu(n: int, activation: int = 1) -> Call:
    arguments = {"count": n, "activation": activation, "x_exponent": 0}
    return Call("relu", arguments, {"x": _short(n), "y": np.zeros(n, np.int16)}, (-12,), elements=n)


def relu_gradient(n: int, activation: int = 1) -> Call:
    arguments = {"count": n, "activation": activation, "y_exponent": 0, "dx": "dy"}
    return Call("relu_gradient", arguments, {"dy": _short(n), "y": np.maximum(_short(n), 0)}, (-12,), elements=n)


def add(n: int) -> Call:
    buffers = {"x": _short(n), "y": _short(n), "z": np.zeros(n, np.int16)}
    return Call("add", {"count": n, "x_exponent": 0, "y_exponent": 1, **EVEN}, buffers, (-12, -11), _sites(-11, 4), n)


def affine(pixels: int, channels: int, x_bytes: int = 2) -> Call:
    x: NDArray[Any] = _short(pixels, channels)
    if x_bytes == 1:
        x = _RANDOM.integers(0, 256, (pixels, channels)).astype(np.uint8)
    scale = _RANDOM.integers(2**13, 2**15, channels) * (1 if x_bytes == 2 else 64)
    offset = _RANDOM.integers(-(2**20), 2**20, channels)
    buffers = {"x": x, "scale": scale, "offset": offset, "y": np.zeros((pixels, channels), np.int16)}
    arguments = {"x_bytes": x_bytes, "pixels": pixels, "channels": channels, "offset_exponent": 0, **WORDS}
    return Call("affine", arguments, buffers, (0,), _sites(16, 30), pixels * channels)


def affine_pair(pixels: int, channels: int) -> Call:
    call = affine(pixels, channels)
    buffers = {
        **call.buffers,
        "slope": call.buffers["scale"] // 2,
        "z": call.buffers["y"],
        "y": _short(pixels, channels),
    }
    arguments = {key: value for key, value in call.arguments.items() if key != "x_bytes"}
    return Call("affine_pair", arguments, buffers, call.exponents, _sites(16, 30), call.elements)


def _window(size: int, channels: int, kernel: int, stride: int) -> dict[str, int]:
    outputs = (size - kernel) // stride + 1
    words = {"images": 1, "channels": channels, "height": size, "width": size, "first_row": 0, "rows": size}
    words |= {"first_output": 0, "outputs": outputs, "output_width": outputs}
    for name in ("height", "width"):
        words |= {f"kernel_{name}": kernel, f"stride_{name}": stride, f"dilation_{name}": 1}
    return words | {"padding_top": 0, "padding_left": 0}


def max_pool(size: int, channels: int, kernel: int = 2, stride: int = 2) -> Call:
    words = _window(size, channels, kernel, stride)
    y = np.zeros((words["outputs"], words["outputs"], channels), np.int16)
    return Call("max_pool", words, {"x": _short(size, size, channels), "y": y}, elements=y.size)


def max_pool_gradient(size: int, channels: int, kernel: int = 2, stride: int = 2) -> Call:
    words = _window(size, channels, kernel, stride) | {"first_dx_row": 0, "dx_rows": size, "dy_exponent": 0, **EVEN}
    dy = _short(words["outputs"], words["outputs"], channels)
    buffers = {"dy": dy, "x": _short(size, size, channels), "dx": np.zeros((size, size, channels), np.int16)}
    buffers["scratch"] = np.zeros(size * size * channels, np.int32)
    return Call("max_pool_gradient", words, buffers, (0,), _sites(0, 15), size * size * channels)


def _average(size: int, channels: int, windows: int) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
    ranges = np.array([(o * size // windows, (o + 1) * size // windows) for o in range(windows)], np.uint16)
    words = {"images": 1, "channels": channels, "width": size, "first_row": 0, "rows": size, "first_output": 0}
    words |= {"outputs": windows, "output_width": windows, "divisor": 0, **EVEN}
    return words, {"row_windows": ranges, "column_windows": ranges}


def window_sum(size: int, channels: int, windows: int = 1) -> Call:
    words, buffers = _average(size, channels, windows)
    buffers |= {"x": _short(size, size, channels), "y": np.zeros((windows, windows, channels), np.int16)}
    return Call("window_sum", words | {"x_exponent": 0}, buffers, (0,), _sites(0, 15), size * size * channels)


def window_sum_gradient(size: int, channels: int, windows: int = 1) -> Call:
    words, buffers = _average(size, channels, windows)
    buffers |= {"dy": _short(windows, windows, channels), "dx": np.zeros((size, size, channels), np.int16)}
    return Call(
        "window_sum_gradient", words | {"dy_exponent": 0}, buffers, (0,), _sites(-3, 15), size * size * channels
    )


def sigmoid(n: int, hyperbolic: int = 0) -> Call:
    arguments = {"count": n, "hyperbolic": hyperbolic, "x_exponent": 0, "y": "x", **WORDS}
    return Call("sigmoid", arguments, {"x": _short(n)}, (-11,), _sites(-14, 1), n)


def sigmoid_gradient(n: int, hyperbolic: int = 0) -> Call:
    arguments = {"count": n, "hyperbolic": hyperbolic, "dy_exponent": 0, "y_exponent": 1, "dx": "dy", **WORDS}
    return Call("sigmoid_gradient", arguments, {"dy": _short(n), "y": np.abs(_short(n))}, (0, -14), _sites(0, 14), n)


def softmax(outer: int, length: int, inner: int = 1) -> Call:
    arguments = {"outer": outer, "length": length, "inner": inner, "x_exponent": 0, **WORDS}
    x = _short(outer, length, inner)
    return Call("softmax", arguments, {"x": x, "y": np.zeros_like(x)}, (-11,), _sites(-14, 1), x.size)


def softmax_gradient(outer: int, length: int, inner: int = 1) -> Call:
    arguments = {
        "outer": outer,
        "length": length,
        "inner": inner,
        "dy_exponent": 0,
        "y_exponent": 1,
        "dx": "dy",
        **WORDS,
    }
    buffers = {"dy": _short(outer, length, inner), "y": np.abs(_short(outer, length, inner))}
    return Call("softmax_gradient", arguments, buffers, (0, -14), _sites(0, 14), outer * length * inner)


def dropout(images: int, elements: int) -> Call:
    buffers = {"x": _short(images, elements), "positions": np.arange(images, dtype=np.int32)}
    buffers |= {"seed": np.array([5], np.uint32), "step": np.array([9], np.uint32)}
    arguments = {"images": images, "elements": elements, "first_element": 0, "place": 1, "threshold": 1 << 31}
    arguments |= {"multiplier": 1 << 15, "x_exponent": 0, "y": "x", **EVEN}
    return Call("dropout", arguments, buffers, (0,), _sites(1, 15), images * elements)


def cross_entropy(images: int, classes: int) -> Call:
    z = _short(images, classes)
    buffers = {"z": z, "labels": np.zeros(images, np.int32), "dz": np.zeros_like(z)}
    buffers |= {"loss": np.zeros(images, np.int64), "correct": np.zeros(images, np.int64)}
    arguments = {"images": images, "classes": classes, "smoothing": 0, "z_exponent": 0, **WORDS}
    return Call("cross_entropy", arguments, buffers, (-11,), _sites(-14, 1), z.size)


def squared_error(images: int, features: int) -> Call:
    z = _short(images, features)
    buffers = {"z": z, "target": _ints(z.size, 18), "dz": np.zeros_like(z), "loss": np.zeros(images, np.int64)}
    arguments = {"images": images, "features": features, "multiplier": (1 << 21) // features, "z_exponent": 0, **WORDS}
    return Call("squared_error", arguments, buffers, (-12,), _sites(-10, 5), z.size)


def binary_cross_entropy(images: int, features: int) -> Call:
    z = _short(images, features)
    buffers = {"z": z, "target": _RANDOM.integers(0, 65537, z.shape).astype(np.int32), "dz": np.zeros_like(z)}
    buffers |= {"loss": np.zeros(images, np.int64), "correct": np.zeros(images, np.int64)}
    arguments = {"images": images, "features": features, "multiplier": (1 << 20) // features, "z_exponent": 0, **WORDS}
    return Call("binary_cross_entropy", arguments, buffers, (-11,), _sites(-14, 1), z.size)


def channel_sums(pixels: int, channels: int, parts: str = "both") -> Call:
    buffers = {"x": _short(pixels, channels), "y": _short(pixels, channels)}
    buffers |= {"sum": np.zeros(channels, np.int64), "dot": np.zeros(channels, np.int64)}
    arguments: dict[str, Any] = {"pixels": pixels, "channels": channels, "first": 0}
    if parts != "both":
        arguments["dot" if parts == "sum" else "sum"] = 0
    return Call("channel_sums", arguments, buffers, elements=pixels * channels)


def _statistics(n: int) -> dict[str, NDArray[Any]]:
    s1 = _RANDOM.integers(-(2**24), 2**24, n)
    buffers: dict[str, NDArray[Any]] = {
        "s1": s1,
        "s2": _RANDOM.integers(2**34, 2**36, n),
        "sg": s1 // 3,
        "sgx": s1 * 77,
    }
    buffers |= {"scale": _ints(n).astype(np.int64), "slope": _ints(n).astype(np.int64)}
    buffers |= {"beta": _ints(n), "gamma": _ints(n), "inverse": _pairs(n), "running": _pairs(n), "variance": _pairs(n)}
    return buffers | {"mean": _pairs(n), "gradient": _pairs(n), "x": _pairs(n)}


def per_channel(kernel: str, n: int) -> Call:
    """Any of BatchNorm's kernels."""
    from spindl.program.kernels import KERNELS

    names = [field.name for field in KERNELS[kernel].arguments]
    buffers = {name: array for name, array in _statistics(n).items() if name in names}
    wide = "pair" not in next(f.meaning for f in KERNELS[kernel].arguments if f.name == "y")
    buffers["y"] = np.zeros(n, np.int64) if wide else np.zeros((n, 2), np.int32)
    arguments = {
        "channels": n,
        "count": 50176,
        "momentum": 3277,
        "eps_mantissa": 1407374884,
        "eps_exponent": -47,
        "site": 0,
    }
    arguments = {name: value for name, value in arguments.items() if name in names}
    arguments |= {name: 0 for name in names if name.endswith("_exponent") and name != "eps_exponent"}
    return Call(kernel, arguments, buffers, (-12,), _sites(-12, 0), n)


def sum_rows(rows: int, count: int, x_bytes: int = 4, y_bytes: int = 4, first: int = 0) -> Call:
    kind = {2: np.int16, 4: np.int32, 8: np.int64}
    buffers = {"x": np.ones((rows, count), kind[x_bytes]), "y": np.zeros(count, kind[y_bytes])}
    arguments = {
        "x_bytes": x_bytes,
        "y_bytes": y_bytes,
        "rows": rows,
        "count": count,
        "x_pitch": x_bytes * count,
        "first": first,
    }
    return Call("sum_rows", arguments, buffers, elements=rows * count)


def begin_sites(n: int) -> Call:
    states = np.zeros(n * SITE_STATE.layout.size, np.uint8)
    return Call("begin_sites", {"count": n}, {"states": states}, (), (Site(0),) * n, n)


def merge_sites(rows: int, n: int) -> Call:
    table = np.frombuffer(SITE.pack({"exponent": 1, "extent": 5, "saturated": 0}) * (n * (rows + 1)), np.uint8)
    buffers = {"x": table[8 * n :].copy(), "y": table[: 8 * n].copy()}
    return Call("merge_sites", {"rows": rows, "count": n, "x_pitch": 8 * n}, buffers, elements=rows * n)


def next_sites(n: int) -> Call:
    names = [field.name for field in SITE_STATE.fields]
    state = SITE_STATE.pack(dict.fromkeys(names, -5) | {"bits": 15, "headroom": 1, "lowest": -60})
    buffers = {"states": np.frombuffer(state * n, np.uint8).copy()}
    buffers["sites"] = merge_sites(1, n).buffers["y"]
    return Call("next_sites", {"count": n}, buffers, elements=n)


def exponents(n: int) -> Call:
    rule = {"target": 0, "rule": EXPONENT_RULES["sum"], "a": 1, "b": 2, "constant": 3, "unused": 0}
    to_state = EXPONENT_RULE.pack(rule | {"rule": rule["rule"] + 256})
    buffers = {"rules": np.frombuffer(to_state * n, np.uint8).copy(), "state": np.zeros(1, np.int32)}
    return Call("exponents", {"count": n, "state_count": 1}, buffers, (0, 1, 2), elements=n)


def _scalars() -> dict[str, NDArray[Any]]:
    return {
        "decay": np.array([20000, -30], np.int32),
        "factor": np.array([29491, -15], np.int32),
        "rate": np.array([26214, -18], np.int32),
    }


def update(n: int, momentum: bool = True, decay: bool = True, nesterov: bool = False, gradient_bytes: int = 4) -> Call:
    buffers = {"master": _ints(n, 30), "velocity": _ints(n, 22), "y": np.zeros(n, np.int32), **_scalars()}
    buffers |= {"overflow": np.zeros(1, np.int32), "gradient": _ints(n, 16).astype(f"int{8 * gradient_bytes}")}
    arguments = {"count": n, "gradient_bytes": gradient_bytes, "ready": 0, "nesterov": int(nesterov), "fixed": 0}
    arguments |= {"master_exponent": 0, "velocity_exponent": 1, "gradient_exponent": 2, "site": 0, "change": 0}
    arguments |= {} if momentum else {"velocity": 0}
    arguments |= {} if decay else {"decay": 0}
    return Call("update", arguments, buffers, (-30, -36, -27), _sites(-36, -10), n)


def direction(n: int) -> Call:
    buffers = {
        "master": _ints(n, 30),
        "gradient": _ints(n, 16),
        "y": np.zeros(n, np.int64),
        "decay": _scalars()["decay"],
    }
    arguments = {"count": n, "gradient_bytes": 4, "first": 1, "watch": 1, "site": 0}
    return Call(
        "direction",
        arguments | {"master_exponent": 0, "gradient_exponent": 1},
        buffers,
        (-30, -27),
        _sites(-36, -10),
        n,
    )


def scale_direction(n: int) -> Call:
    buffers = {"step": _ints(n).astype(np.int64), "rate": _scalars()["rate"]}
    return Call(
        "scale_direction", {"count": n, "site": 0, "step_exponent": 0, "y": "step"}, buffers, (-36,), _sites(-33, 0), n
    )


def halve(n: int) -> Call:
    buffers = {"master": _ints(n, 30), "step": _ints(n, 22), "rate": _scalars()["rate"]}
    return Call(
        "halve", {"count": n, "site": 0, "master_exponent": 0, "y": "master"}, buffers, (-30,), _sites(-36, -10), n
    )


def largest_bits(n: int, x_bytes: int = 4) -> Call:
    buffers = {"x": _ints(n, 14).astype(f"int{8 * x_bytes}"), "largest": np.zeros(1, np.int32)}
    return Call("largest_bits", {"count": n, "x_bytes": x_bytes, "first": 0}, buffers, elements=n)


def squared_norm(n: int, x_bytes: int = 4) -> Call:
    buffers = {
        "x": _ints(n, 14).astype(f"int{8 * x_bytes}"),
        "largest": np.array([20], np.int32),
        "y": np.zeros(1, np.int64),
    }
    return Call("squared_norm", {"count": n, "x_bytes": x_bytes, "first": 0}, buffers, elements=n)


def lars_rate() -> Call:
    buffers = {
        "weight_norm": np.array([2**40]),
        "gradient_norm": np.array([2**41]),
        "y": np.zeros(2, np.int32),
        **_scalars(),
    }
    del buffers["factor"]
    buffers |= {"weight_largest": np.array([20], np.int32), "gradient_largest": np.array([25], np.int32)}
    arguments = {"batch": 256, "eta_mantissa": 2**30, "eta_exponent": -40, "eps_mantissa": 2**30, "eps_exponent": -50}
    return Call("lars_rate", arguments | {"weight_exponent": 0, "gradient_exponent": 1}, buffers, (-30, -27))


BATCH_NORM = (
    "inverse_deviation",
    "running_inverse_deviation",
    "batch_norm_scale",
    "batch_norm_offset",
    "running_offset",
    "gamma_gradient",
    "running_gamma_gradient",
    "batch_norm_slope",
    "batch_norm_gradient_offset",
    "running_mean",
    "running_variance",
    "pair_to_wide",
)

TABLE: tuple[tuple[str, Callable[[], Call]], ...] = (
    ("requantise int64, shift 12", lambda: requantise(1000)),
    ("requantise int64, shift 20", lambda: requantise(1000, 8, 20)),
    ("requantise int32", lambda: requantise(1000, 4)),
    ("move: rows of words", lambda: move(10, 100)),
    ("move: rows of halfwords", lambda: move(10, 101)),
    ("move: transposition", lambda: move(25, 40, True)),
    ("narrow", lambda: narrow(1000)),
    ("relu", lambda: relu(1000)),
    ("relu6", lambda: relu(1000, 2)),
    ("relu_gradient", lambda: relu_gradient(1000)),
    ("add", lambda: add(1000)),
    ("affine int16", lambda: affine(100, 16)),
    ("affine uint8", lambda: affine(100, 3, 1)),
    ("affine_pair", lambda: affine_pair(100, 16)),
    ("max_pool 2x2 (per output)", lambda: max_pool(14, 16)),
    ("max_pool 3x3 stride 2 (per output)", lambda: max_pool(15, 16, 3, 2)),
    ("max_pool_gradient 2x2 (per dx)", lambda: max_pool_gradient(14, 16)),
    ("window_sum 7x7 (per x)", lambda: window_sum(7, 32)),
    ("window_sum_gradient 7x7 (per dx)", lambda: window_sum_gradient(7, 32)),
    ("sigmoid", lambda: sigmoid(200)),
    ("tanh", lambda: sigmoid(200, 1)),
    ("sigmoid_gradient", lambda: sigmoid_gradient(500)),
    ("softmax over 10", lambda: softmax(20, 10)),
    ("softmax_gradient over 10", lambda: softmax_gradient(20, 10)),
    ("dropout", lambda: dropout(2, 300)),
    ("cross_entropy, 10 classes", lambda: cross_entropy(20, 10)),
    ("cross_entropy, 1000 classes", lambda: cross_entropy(1, 1000)),
    ("squared_error", lambda: squared_error(5, 50)),
    ("binary_cross_entropy", lambda: binary_cross_entropy(5, 50)),
    ("channel_sums: sum and dot", lambda: channel_sums(100, 16)),
    ("channel_sums: sum", lambda: channel_sums(100, 16, "sum")),
    ("channel_sums: dot", lambda: channel_sums(100, 16, "dot")),
    *((f"{kernel} (per channel)", lambda kernel=kernel: per_channel(kernel, 20)) for kernel in BATCH_NORM),
    ("sum_rows int16 to int32", lambda: sum_rows(4, 250, 2, 4)),
    ("sum_rows int32", lambda: sum_rows(4, 250)),
    ("sum_rows int64", lambda: sum_rows(4, 250, 8, 8)),
    ("begin_sites", lambda: begin_sites(50)),
    ("merge_sites", lambda: merge_sites(4, 50)),
    ("next_sites", lambda: next_sites(50)),
    ("exponents", lambda: exponents(100)),
    ("direction", lambda: direction(500)),
    ("scale_direction", lambda: scale_direction(500)),
    ("update: momentum, decay", lambda: update(500)),
    ("update: momentum", lambda: update(500, decay=False)),
    ("update: plain", lambda: update(500, momentum=False, decay=False)),
    ("update: Nesterov, decay", lambda: update(500, nesterov=True)),
    ("halve", lambda: halve(500)),
    ("largest_bits int32", lambda: largest_bits(500)),
    ("squared_norm int32", lambda: squared_norm(500)),
    ("lars_rate (once)", lars_rate),
)
"""What is measured: a label and the call; elements are those of `Call.elements`."""


def measure(where: str = "ref-on-arm") -> list[tuple[str, float]]:
    """(label, cycles per element) of every row of TABLE on the emulator."""
    return [(label, make().run(where).cycles / make().elements) for label, make in TABLE]


if __name__ == "__main__":
    for label, per_element in measure():
        print(f"{label:45s} {per_element:9.1f}")
