"""Random and extreme inputs for every op of the table.

A case draws shapes, attributes, exponents and mantissas from a seeded generator, within what the op's formats promise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format, GraphError, Node
from spindl.graph.layers import infer, window_outputs
from spindl.graph.operations import COUNT, INT32, PAIR, SCALAR, SITE, WIDE, Value
from spindl.graph.ops.loss import MULTIPLIER_BITS
from spindl.number.pairs import normalise

INT16 = Format("int16", 16)
UINT8 = Format("uint8")
LABEL = Format("label")
LIMITS = {"int16": 2**15 - 1, "int32": 2**31 - 1, "wide": 2**61 - 1, "uint8": 255}


@dataclass(frozen=True)
class Case:
    """Inputs of one op, in order, with their formats, and its attributes."""

    inputs: list[tuple[Value, Format]]
    attributes: dict[str, Any] = field(default_factory=dict)


class Draw:
    """Random choices of one case."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """low <= result <= high."""
        return int(self.generator.integers(low, high + 1))

    def mantissas(self, shape: tuple[int, ...], largest: int, lowest: int | None = None) -> NDArray[np.int64]:
        """Spread over all magnitudes, or all at the ends of the range, or mostly small, or zero."""
        low = -largest if lowest is None else lowest
        manner = self.integer(0, 4)
        if manner == 0:
            return self.generator.choice(np.array([low, largest]), shape)
        if manner == 1:
            return self.generator.integers(low, largest, shape, endpoint=True)
        if manner == 2:
            return np.clip(self.generator.integers(-3, 4, shape), low, largest)
        if manner == 3:
            bits = self.generator.integers(0, largest.bit_length(), shape, endpoint=True)
            return np.clip(self.generator.integers(low, largest, shape, endpoint=True) >> bits, low, largest)
        return np.full(shape, self.generator.choice(np.array([0, low, largest])))

    def value(self, format: Format, shape: tuple[int, ...], exponent: int | None = None) -> tuple[Value, Format]:
        """A value of a format, its exponent anywhere in [-60, 30] unless given."""
        largest = LIMITS[format.kind]
        lowest = 0 if format.kind == "uint8" else None
        e = self.integer(-60, 30) if exponent is None else exponent
        return Value(self.mantissas(shape, largest, lowest), e), format

    def pairs(self, count: int, low: int = -60, high: int = 30, positive: bool = False) -> tuple[Value, Format]:
        """Soft floats of any sign, some zero."""
        items = []
        for _ in range(count):
            value = self.integer(1 if positive else -(2**31), 2**31)
            items.append(normalise(value, self.integer(low, high)))
        return Value(np.array(items, dtype=np.int64).reshape(-1, 2)), PAIR

    def site(self, low: int = -60, high: int = 30) -> tuple[Value, Format]:
        """A site with some history."""
        history = self.generator.integers(-60, 30, 16)
        if self.integer(0, 1):
            history[self.integer(0, 15) :] = -32768
        return Value(history, self.integer(low, high)), SITE

    def scalar(self, low: int = -40, high: int = 0) -> tuple[Value, Format]:
        """A positive or zero scalar of 15 bits."""
        return Value(np.array(self.integer(0, 2**15)), self.integer(low, high)), SCALAR

    def shape(self, axes: int = 4) -> tuple[int, ...]:
        """A small shape (N, C, ...)."""
        return tuple(self.integer(1, 5) for _ in range(axes))

    def any_shape(self) -> tuple[int, ...]:
        return self.shape(self.integer(2, 4))

    def window(self, largest_kernel: int = 3) -> dict[str, Any]:
        """kernel, stride, padding, dilation of a two-dimensional window, padding less than the kernel."""
        kernel = (self.integer(1, largest_kernel), self.integer(1, largest_kernel))
        return {
            "kernel": kernel,
            "stride": (self.integer(1, 3), self.integer(1, 3)),
            "padding": tuple((self.integer(0, k // 2), self.integer(0, k // 2)) for k in kernel),
            "dilation": (self.integer(1, 2), self.integer(1, 2)),
        }


def outputs_of(size: tuple[int, ...], window: dict[str, Any]) -> tuple[int, ...]:
    return tuple(
        window_outputs(size[i], window["kernel"][i], window["stride"][i], window["padding"][i], window["dilation"][i])
        for i in range(2)
    )


def fitting(draw: Draw, window: dict[str, Any]) -> tuple[int, ...]:
    """(H, W) that the window fits into."""
    while True:
        size = (draw.integer(1, 9), draw.integer(1, 9))
        if min(outputs_of(size, window)) >= 1:
            return size


def pooled(draw: Draw) -> tuple[dict[str, Any], tuple[int, ...]]:
    """A window and a (H, W) of which each of its positions sees something."""
    while True:
        window = draw.window()
        size = fitting(draw, window)
        try:
            infer("max_pool", [Node("input", shape=(1, 1, *size))], window)
        except GraphError:
            continue
        return window, size


@dataclass(frozen=True)
class Convolution:
    x: tuple[int, ...]
    w: tuple[int, ...]
    y: tuple[int, ...]
    attributes: dict[str, Any]


def convolution_of(draw: Draw) -> Convolution:
    window = draw.window()
    size = fitting(draw, window)
    groups = draw.integer(1, 3)
    inputs, outputs = draw.integer(1, 20), draw.integer(1, 9)
    if draw.integer(0, 3) == 0:  # depthwise
        groups, inputs, outputs = draw.integer(2, 20), 1, 1
    images = draw.integer(1, 4)
    kernel = window.pop("kernel")
    return Convolution(
        (images, groups * inputs, *size),
        (groups * outputs, inputs, *kernel),
        (images, groups * outputs, *outputs_of(size, {**window, "kernel": kernel})),
        {**window, "groups": groups},
    )


CASES: dict[str, Callable[[Draw], Case]] = {}


def case(op: str) -> Callable[[Callable[[Draw], Case]], Callable[[Draw], Case]]:
    def register(function: Callable[[Draw], Case]) -> Callable[[Draw], Case]:
        CASES[op] = function
        return function

    return register


@case("convolution")
def _(draw: Draw) -> Case:
    c = convolution_of(draw)
    return Case([draw.value(INT16, c.x), draw.value(INT16, c.w)], c.attributes)


@case("convolution_input_gradient")
def _(draw: Draw) -> Case:
    c = convolution_of(draw)
    return Case([draw.value(INT16, c.y), draw.value(INT16, c.w)], {**c.attributes, "input_shape": c.x[1:]})


@case("convolution_weight_gradient")
def _(draw: Draw) -> Case:
    c = convolution_of(draw)
    attributes = {**c.attributes, "weight_shape": c.w, "group_size": draw.integer(1, 3)}
    return Case([draw.value(INT16, c.y), draw.value(INT16, c.x)], attributes)


@case("sum_groups")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.shape(5))])


@case("add_bias")
def _(draw: Draw) -> Case:
    shape = draw.shape()
    accumulator = Value(draw.mantissas(shape, 2**50), draw.integer(-60, 30))
    return Case([(accumulator, WIDE), draw.value(INT32, shape[1:2], -27)])


@case("requantise")
def _(draw: Draw) -> Case:
    return Case([draw.value(WIDE, draw.any_shape()), draw.site()], {"bits": draw.integer(8, 16)})


@case("saturation")
def _(draw: Draw) -> Case:
    return CASES["requantise"](draw)


@case("extent")
def _(draw: Draw) -> Case:
    return Case([draw.value(WIDE, draw.any_shape())])


@case("next_site")
def _(draw: Draw) -> Case:
    extent = Value(np.array(draw.integer(-80, 60) if draw.integer(0, 2) else -32768))
    return Case([draw.site(), (extent, COUNT)], {"bits": draw.integer(8, 32), "headroom": 1, "lowest": -60})


@case("narrow")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT32, draw.any_shape())], {"bits": draw.integer(8, 16)})


@case("add")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    return Case([draw.value(INT16, shape), draw.value(INT16, shape)])


def per_channel(draw: Draw, channels: int, bits: int) -> tuple[Value, Format]:
    return Value(draw.mantissas((channels,), 2**bits - 1), draw.integer(-60, 0)), WIDE


@case("affine")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    x = draw.value(INT16 if draw.integer(0, 2) else UINT8, shape)
    return Case([x, per_channel(draw, shape[1], 31), per_channel(draw, shape[1], 60)])


@case("affine_pair")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    inputs = [draw.value(INT16, shape), per_channel(draw, shape[1], 31)]
    inputs += [draw.value(INT16, shape), per_channel(draw, shape[1], 31), per_channel(draw, shape[1], 60)]
    return Case(inputs)


@case("relu")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.any_shape())])


@case("relu6")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.any_shape(), draw.integer(-16, 3))])


@case("relu_gradient")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    y = Value(np.maximum(draw.mantissas(shape, 2**15 - 1), 0), draw.integer(-16, 3))
    return Case([draw.value(INT16, shape), (y, INT16)])


@case("relu6_gradient")
def _(draw: Draw) -> Case:
    return CASES["relu_gradient"](draw)


@case("dropout")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    positions = Value(draw.generator.integers(0, 2**40, shape[0]))
    counters = [(Value(np.array(draw.integer(0, 2**40))), SCALAR) for _ in range(2)]
    attributes = {"site": draw.integer(0, 99), "threshold": draw.integer(0, 2**32)}
    attributes["multiplier"] = draw.integer(1, 2**31 - 1)
    return Case([draw.value(INT16, shape), (positions, LABEL), *counters], attributes)


@case("saturate32")
def _(draw: Draw) -> Case:
    return Case([draw.value(WIDE, draw.any_shape())])


@case("batch_sum")
def _(draw: Draw) -> Case:
    return Case([(Value(draw.mantissas((draw.integer(1, 9),), 2**55), -16), WIDE)])


@case("channel_sum")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.any_shape())])


@case("channel_dot")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    x = draw.value(INT16, shape)
    return Case([x, x if draw.integer(0, 1) else draw.value(INT16, shape)])


@case("max_pool")
def _(draw: Draw) -> Case:
    window, size = pooled(draw)
    return Case([draw.value(INT16, (*draw.shape(2), *size))], window)


@case("max_pool_gradient")
def _(draw: Draw) -> Case:
    window, size = pooled(draw)
    shape = (*draw.shape(2), *size)
    return Case([draw.value(INT16, (*shape[:2], *outputs_of(shape[2:], window))), draw.value(INT16, shape)], window)


def ranges(draw: Draw, size: int) -> tuple[tuple[int, int], ...]:
    """Windows along one axis, also overlapping ones."""
    found = []
    for _ in range(draw.integer(1, 4)):
        start = draw.integer(0, size - 1)
        found.append((start, draw.integer(start + 1, size)))
    return tuple(sorted(found))


@case("window_sum")
def _(draw: Draw) -> Case:
    shape = (*draw.shape(2), draw.integer(1, 9), draw.integer(1, 9))
    attributes = {"rows": ranges(draw, shape[2]), "columns": ranges(draw, shape[3])}
    divisor = draw.integer(1, 9) if draw.integer(0, 1) else None
    return Case([draw.value(INT16, shape)], {**attributes, "divisor": divisor})


@case("window_sum_gradient")
def _(draw: Draw) -> Case:
    a = CASES["window_sum"](draw)
    shape = a.inputs[0][0].mantissa.shape
    outputs = (*shape[:2], len(a.attributes["rows"]), len(a.attributes["columns"]))
    return Case([draw.value(INT16, outputs)], {**a.attributes, "input_shape": shape[2:]})


@case("reshape")
def _(draw: Draw) -> Case:
    n, c, h, w = draw.shape()
    shape = [(c, h * w), (c * h * w,), (w, h, c)][draw.integer(0, 2)]
    return Case([draw.value(INT16, (n, c, h, w))], {"shape": shape})


@case("permute")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.shape(4))], {"order": (0, *(1 + draw.generator.permutation(3)).tolist())})


@case("concat")
def _(draw: Draw) -> Case:
    n, c, h, w = draw.shape()
    exponent = draw.integer(-60, 30)
    parts = [draw.value(INT16, (n, c + i, h, w), exponent + draw.integer(-40, 40)) for i in range(draw.integer(1, 3))]
    return Case(parts, {"axis": 1})


@case("slice")
def _(draw: Draw) -> Case:
    shape = draw.shape()
    axis = draw.integer(1, 3)
    start = draw.integer(0, shape[axis] - 1)
    stop = draw.integer(start + 1, shape[axis])
    return Case([draw.value(INT16, shape)], {"axis": axis, "start": start, "stop": stop})


def bounded(draw: Draw) -> Case:
    """A gradient, and a result in [-1, 1] at an exponent that sites of such results have."""
    shape = draw.any_shape()
    exponent = draw.integer(-20, -14)
    result = Value(draw.mantissas(shape, 2**15 - 1) >> max(0, 15 + exponent), exponent)
    return Case([draw.value(INT16, shape), (result, INT16)], {"axis": 1})


for _op in ("sigmoid_gradient", "tanh_gradient", "softmax_gradient"):
    case(_op)(bounded)


def activated(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.any_shape())], {"axis": 1})


for _op in ("sigmoid", "tanh", "softmax"):
    case(_op)(activated)


def classified(draw: Draw) -> Case:
    """Logits and labels; exponents small enough for the loss to fit."""
    images, classes = draw.integer(1, 6), draw.integer(2, 12)
    labels = Value(draw.generator.integers(0, classes, images))
    return Case(
        [draw.value(INT16, (images, classes), draw.integer(-60, 10)), (labels, LABEL)],
        {"smoothing": draw.integer(0, 2**30 - 1)},
    )


for _op in ("cross_entropy_gradient", "cross_entropy_loss", "correct"):
    case(_op)(classified)


def regressed(draw: Draw) -> Case:
    shape = draw.any_shape()
    z = draw.value(INT16, shape, draw.integer(-40, 4))
    features = int(np.prod(shape[1:]))
    return Case([z, draw.value(INT32, shape, -16)], {"multiplier": ((2 << MULTIPLIER_BITS) + features) // features})


for _op in ("squared_error_gradient", "squared_error_loss"):
    case(_op)(regressed)


def decided(draw: Draw) -> Case:
    """Logits and targets in [0, 1]."""
    shape = draw.any_shape()
    target = Value(draw.mantissas(shape, 2**16, 0), -16)
    features = int(np.prod(shape[1:]))
    multiplier = ((1 << MULTIPLIER_BITS) + features) // features
    return Case([draw.value(INT16, shape, draw.integer(-60, 10)), (target, INT32)], {"multiplier": multiplier})


for _op in ("binary_cross_entropy_gradient", "binary_cross_entropy_loss", "binary_correct"):
    case(_op)(decided)


# --- BatchNorm's numbers per channel --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Statistics:
    """Sums over `count` elements of two tensors that exist."""

    count: int
    s1: tuple[Value, Format]
    s2: tuple[Value, Format]
    sg: tuple[Value, Format]
    sgx: tuple[Value, Format]


def statistics(draw: Draw, channels: int) -> Statistics:
    count = draw.integer(2, 40)
    x, g = draw.mantissas((channels, count), 2**15 - 1), draw.mantissas((channels, count), 2**15 - 1)
    e, f = draw.integer(-60, 10), draw.integer(-60, 10)
    return Statistics(
        count,
        (Value(x.sum(axis=1), e), WIDE),
        (Value((x * x).sum(axis=1), 2 * e), WIDE),
        (Value(g.sum(axis=1), f), WIDE),
        (Value((g * x).sum(axis=1), e + f), WIDE),
    )


def deviations(draw: Draw, channels: int) -> tuple[Value, Format]:
    """Inverse deviations lie between 1/(largest value) and 1/sqrt(eps)."""
    return draw.pairs(channels, -60, -22, positive=True)


EPS = normalise(86, -23)


@case("inverse_deviation")
def _(draw: Draw) -> Case:
    s = statistics(draw, draw.integer(1, 6))
    return Case([s.s1, s.s2], {"count": s.count, "eps": EPS})


@case("running_inverse_deviation")
def _(draw: Draw) -> Case:
    return Case([draw.pairs(draw.integer(1, 6), -60, 0, positive=True)], {"eps": EPS})


@case("exponent_of")
def _(draw: Draw) -> Case:
    return Case([draw.value(INT16, draw.any_shape())])


@case("batch_norm_scale")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    reference = statistics(draw, channels).s1
    return Case([draw.value(INT32, (channels,), -27), deviations(draw, channels), draw.site(), reference])


@case("batch_norm_offset")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    inputs = [draw.value(INT32, (channels,), -27), per_channel(draw, channels, 31), s.s1, draw.site()]
    return Case(inputs, {"count": s.count})


@case("running_offset")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    inputs = [draw.value(INT32, (channels,), -27), per_channel(draw, channels, 31), draw.pairs(channels), draw.site()]
    return Case(inputs)


@case("gamma_gradient")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    return Case([s.sg, s.sgx, s.s1, deviations(draw, channels)], {"count": s.count})


@case("running_gamma_gradient")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    return Case([s.sg, s.sgx, draw.pairs(channels), deviations(draw, channels)])


@case("batch_norm_slope")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    inputs = [draw.value(INT32, (channels,), -27), deviations(draw, channels), draw.pairs(channels), s.s1, draw.site()]
    return Case(inputs, {"count": s.count})


@case("batch_norm_gradient_offset")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    inputs = [per_channel(draw, channels, 31), per_channel(draw, channels, 31), s.sg, s.s1, draw.site()]
    return Case(inputs, {"count": s.count})


@case("running_mean")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    return Case([draw.pairs(channels), s.s1], {"count": s.count, "momentum": draw.integer(1, 2**15)})


@case("running_variance")
def _(draw: Draw) -> Case:
    channels = draw.integer(1, 6)
    s = statistics(draw, channels)
    return Case([draw.pairs(channels), s.s1, s.s2], {"count": s.count, "momentum": draw.integer(1, 2**15)})


@case("pair_to_wide")
def _(draw: Draw) -> Case:
    return Case([draw.pairs(draw.integer(1, 6)), draw.site()])


# --- the optimiser --------------------------------------------------------------------------------------------------


@case("direction")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    gradients = [draw.value(INT32 if draw.integer(0, 1) else WIDE, shape) for _ in range(draw.integer(0, 3))]
    return Case([draw.value(INT32, shape), draw.scalar(), draw.site(), *gradients])


@case("momentum")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    step = Value(draw.mantissas(shape, 2**60), draw.integer(-60, 30))
    return Case([draw.value(INT32, shape), (step, WIDE), draw.scalar()])


@case("descend")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    inputs = [draw.value(INT32, shape), draw.value(INT32, shape), draw.scalar()]
    return Case(inputs, {"fixed": bool(draw.integer(0, 1))})


@case("squared_norm")
def _(draw: Draw) -> Case:
    return Case([draw.value([INT16, INT32, WIDE][draw.integer(0, 2)], draw.any_shape())])


@case("lars_rate")
def _(draw: Draw) -> Case:
    sums = [draw.integer(0, 3) and draw.integer(0, 2**50) for _ in range(2)]
    norms = [(Value(np.array(total), draw.integer(-60, 30)), WIDE) for total in sums]
    attributes = {"batch": draw.integer(1, 999), "eta": normalise(draw.integer(1, 999), -10), "eps": normalise(1, -20)}
    return Case([*norms, draw.scalar(), draw.scalar()], attributes)


@case("scale_direction")
def _(draw: Draw) -> Case:
    shape = draw.any_shape()
    return Case([draw.value(WIDE, shape), draw.scalar(), draw.site()])
