"""The table of layer rules: for each layer op, what it is in integers and its gradient, side by side.

    forward(b, node, x) -> (y, saved)         x, y: nodes of the integer graph; saved: what the gradient will need
    gradient(b, node, saved, dy) -> [dx, ...]  one entry per input of the layer, None where there is no gradient

A parameter's entry in the returned list is its gradient summed over the batch (int32 or wide), not rounded any further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import Any

from spindl.graph.graph import Node
from spindl.graph.operations import INT32, PAIR
from spindl.graph.ops.activation import BOUNDED_LOWEST_EXPONENT
from spindl.number import pairs
from spindl.train.builder import Builder
from spindl.train.settings import Formats, TrainingError

FIXED_EXPONENT = -27
"""Biases, gamma and beta are int32 with 27 fraction bits: they start at 0 or 1 and stay below 16."""
INT32_SUMS = (2**31 - 1) // 32767
"""Most gradient groups whose int16 gradients an int32 is sure to hold."""


@dataclass
class Saved:
    """What the forward rule keeps for the gradient: the layer's integer inputs and result, and named extras."""

    inputs: Sequence[int]
    needs: Sequence[bool]
    result: int = -1
    name: str = ""
    extra: dict[str, Any] = field(default_factory=dict)


Forward = Callable[[Builder, Node, Saved, Formats], int]
Gradient = Callable[[Builder, Node, Saved, int, Formats], list[int | None]]


@dataclass(frozen=True)
class Rule:
    """Integer meaning and gradient of one layer op."""

    forward: Forward
    gradient: Gradient


RULES: dict[str, Rule] = {}


def _rule(name: str, gradient: Gradient) -> Callable[[Forward], Forward]:
    def register(forward: Forward) -> Forward:
        RULES[name] = Rule(forward, gradient)
        return forward

    return register


# --- contractions --------------------------------------------------------------------------------------------------


def _convolve(b: Builder, saved: Saved, x: int, w: int, geometry: dict[str, Any], formats: Formats) -> int:
    """x (N, C, H, W), w (O, C/groups, KH, KW), and the bias of the layer if it has one -> int16 (N, O, OH, OW)."""
    saved.extra |= {"x": x, "w": w, "geometry": geometry}
    wide = b.emit("convolution", x, w, **geometry)
    if len(saved.inputs) == 3:
        wide = b.emit("add_bias", wide, saved.inputs[2])
    return b.round(wide, f"{saved.name}.output", formats.activations)


def _convolve_gradient(b: Builder, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    """dy (N, O, OH, OW) -> [dx (N, C, H, W), dw (O, C/groups, KH, KW), db (O,)]."""
    x, w, geometry = saved.extra["x"], saved.extra["w"], saved.extra["geometry"]
    result: list[int | None] = [None] * len(saved.inputs)
    if len(saved.inputs) == 3 and saved.needs[2]:
        result[2] = b.emit("channel_sum", dy)
    if saved.needs[1]:
        groups = -(-b.shape(x)[0] // formats.group_size)
        if groups > INT32_SUMS:
            raise TrainingError(
                f"a batch of {b.shape(x)[0]} has {groups} gradient groups; an int32 sum holds {INT32_SUMS}",
                saved.name,
                "choose a smaller batch or a larger group_size",
            )
        wide = b.emit(
            "convolution_weight_gradient",
            dy,
            x,
            **geometry,
            weight_shape=b.shape(w),
            group_size=formats.group_size,
        )
        result[1] = b.emit("sum_groups", b.round(wide, f"{saved.name}.weight_gradient", 16))
    if saved.needs[0]:
        wide = b.emit("convolution_input_gradient", dy, w, **geometry, input_shape=b.shape(x)[1:])
        result[0] = b.round(wide, f"{saved.name}.input_gradient", formats.gradients)
    return result


def _as_image(b: Builder, x: int) -> int:
    """(N, C, L) -> (N, C, 1, L); 4-D stays."""
    shape = b.shape(x)
    return b.reshape(x, (shape[1], 1, shape[2])) if len(shape) == 3 else x


def _two_dimensional(values: Sequence[Any], first: Any) -> tuple[Any, ...]:
    """Window settings of one axis become those of (height 1, width)."""
    return tuple(values) if len(values) == 2 else (first, *values)


def _convolution_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    gradients = _convolve_gradient(b, saved, _as_image(b, dy), formats)
    if gradients[0] is not None:
        gradients[0] = b.reshape(gradients[0], b.shape(saved.inputs[0])[1:])
    if gradients[1] is not None:
        gradients[1] = b.reshape_whole(gradients[1], b.shape(saved.inputs[1]))
    return gradients


@_rule("convolution", _convolution_gradient)
def _convolution(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    a = node.attributes
    geometry = {
        "stride": _two_dimensional(a["stride"], 1),
        "padding": _two_dimensional(a["padding"], (0, 0)),
        "dilation": _two_dimensional(a["dilation"], 1),
        "groups": a["groups"],
    }
    weight = b.shape(saved.inputs[1])
    w = b.reshape_whole(saved.inputs[1], (*weight[:2], 1, weight[2])) if len(weight) == 3 else saved.inputs[1]
    y = _convolve(b, saved, _as_image(b, saved.inputs[0]), w, geometry, formats)
    return b.reshape(y, node.shape[1:])


POINT = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
"""A Linear layer is a convolution with a 1x1 kernel."""


def _features_to_channels(b: Builder, x: int) -> int:
    """(N, ..., K) -> (N, K, rows, 1), with all axes between as rows."""
    shape = b.shape(x)
    rows, features = prod(shape[1:-1]), shape[-1]
    if rows > 1:
        x = b.emit("permute", b.reshape(x, (rows, features)), order=(0, 2, 1))
    return b.reshape(x, (features, rows, 1))


def _channels_to_features(b: Builder, x: int, shape: Sequence[int]) -> int:
    """(N, K, rows, 1) -> (N, *shape) with K as the last axis."""
    _, features, rows, _ = b.shape(x)
    if rows > 1:
        x = b.emit("permute", b.reshape(x, (features, rows)), order=(0, 2, 1))
    return b.reshape(x, shape)


def _linear_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    gradients = _convolve_gradient(b, saved, _features_to_channels(b, dy), formats)
    if gradients[0] is not None:
        gradients[0] = _channels_to_features(b, gradients[0], b.shape(saved.inputs[0])[1:])
    if gradients[1] is not None:
        gradients[1] = b.reshape_whole(gradients[1], b.shape(saved.inputs[1]))
    return gradients


@_rule("linear", _linear_gradient)
def _linear(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    w = b.reshape_whole(saved.inputs[1], (*b.shape(saved.inputs[1]), 1, 1))
    y = _convolve(b, saved, _features_to_channels(b, saved.inputs[0]), w, POINT, formats)
    return _channels_to_features(b, y, node.shape[1:])


# --- batch normalisation -------------------------------------------------------------------------------------------


def _running_states(b: Builder, node: Node) -> tuple[int, int]:
    shape = (node.shape[1], 2)
    mean = b.state(f"running/{node.attributes['running_mean']}", shape, PAIR, "running")
    return mean, b.state(f"running/{node.attributes['running_var']}", shape, PAIR, "running")


def _batch_norm_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    s = saved.extra
    sg = b.emit("channel_sum", dy)
    sgx = b.emit("channel_dot", dy, saved.inputs[0])
    count = s["count"]
    if s["frozen"]:
        dgamma = b.emit("running_gamma_gradient", sg, sgx, s["mean"], s["inverse"])
    else:
        dgamma = b.emit("gamma_gradient", sg, sgx, s["s1"], s["inverse"], count=count)
    gradients: list[int | None] = [None, dgamma, sg][: len(saved.inputs)]
    if saved.needs[0]:
        name = b.unique(f"{saved.name}.input_gradient")
        site = b.site(name)
        scale = b.emit("batch_norm_scale", s["gamma"], s["inverse"], site, sg)
        if s["frozen"]:
            none = b.constant((0,) * node.shape[1], 0, INT32)
            # Zeros, at the exponent that scale * dy has.
            offset = b.emit("batch_norm_offset", none, none, sg, site, count=count)
            wide = b.emit("affine", dy, scale, offset)
        else:
            slope = b.emit("batch_norm_slope", s["gamma"], s["inverse"], dgamma, s["s1"], site, count=count)
            offset = b.emit("batch_norm_gradient_offset", scale, slope, sg, s["s1"], site, count=count)
            wide = b.emit("affine_pair", dy, scale, saved.inputs[0], slope, offset)
        gradients[0] = b.round_at(wide, site, name, formats.gradients)
    return gradients


@_rule("batch_norm", _batch_norm_gradient)
def _batch_norm(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    x, channels = saved.inputs[0], node.shape[1]
    count = prod(node.shape) // channels
    if len(saved.inputs) == 3:
        gamma, beta = saved.inputs[1], saved.inputs[2]
    else:
        gamma = b.constant((1 << -FIXED_EXPONENT,) * channels, FIXED_EXPONENT, INT32)
        beta = b.constant((0,) * channels, FIXED_EXPONENT, INT32)
    if not 0 < node.attributes["eps"] <= 1:
        raise TrainingError(f"BatchNorm with eps={node.attributes['eps']}", saved.name, "choose 0 < eps <= 1")
    eps = pairs.from_fraction(Fraction(str(node.attributes["eps"])))
    name = b.unique(f"{saved.name}.output")
    site = b.site(name)
    frozen = bool(node.attributes.get("frozen", False))
    saved.extra |= {"gamma": gamma, "count": count, "frozen": frozen}
    mean, variance = _running_states(b, node)
    if b.training and not frozen:
        if count < 2:
            raise TrainingError(
                "BatchNorm over a single value per channel has no variance",
                saved.name,
                "use a batch of 2 images or more",
            )
        s1, s2 = b.emit("channel_sum", x), b.emit("channel_dot", x, x)
        inverse = b.emit("inverse_deviation", s1, s2, count=count, eps=eps)
        scale = b.emit("batch_norm_scale", gamma, inverse, site, s1)
        offset = b.emit("batch_norm_offset", beta, scale, s1, site, count=count)
        saved.extra |= {"inverse": inverse, "s1": s1}
        momentum = (Fraction(str(node.attributes["momentum"])) * 2**15 + Fraction(1, 2)).__floor__()
        a = {"count": count, "momentum": momentum}
        b.updates[f"running/{node.attributes['running_mean']}"] = b.emit("running_mean", mean, s1, **a)
        b.updates[f"running/{node.attributes['running_var']}"] = b.emit("running_variance", variance, s1, s2, **a)
    else:  # evaluation, or statistics frozen by `.eval()` on the layer
        inverse = b.emit("running_inverse_deviation", variance, eps=eps)
        scale = b.emit("batch_norm_scale", gamma, inverse, site, b.emit("exponent_of", x))
        offset = b.emit("running_offset", beta, scale, mean, site)
        saved.extra |= {"inverse": inverse, "mean": mean}
    return b.round_at(b.emit("affine", x, scale, offset), site, name, formats.activations)


# --- element-wise --------------------------------------------------------------------------------------------------


def _masked(op: str) -> Gradient:
    def gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
        return [b.emit(op, dy, saved.result)]

    return gradient


def _bounded(op: str) -> Gradient:
    """Gradient of sigmoid, tanh, softmax: from the gradient and the rounded result."""

    def gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
        wide = b.emit(op, dy, saved.result, **node.attributes)
        return [b.round(wide, f"{saved.name}.input_gradient", formats.gradients)]

    return gradient


def _exact(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    return b.emit(node.op, saved.inputs[0])


def _rounded(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    wide = b.emit(node.op, saved.inputs[0], **node.attributes)
    return b.round(wide, f"{saved.name}.output", formats.activations, BOUNDED_LOWEST_EXPONENT)


for _op in ("relu", "relu6"):
    _rule(_op, _masked(f"{_op}_gradient"))(_exact)
for _op in ("sigmoid", "tanh", "softmax"):
    _rule(_op, _bounded(f"{_op}_gradient"))(_rounded)


def _add_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    return [dy, dy]


@_rule("add", _add_gradient)
def _add(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    return b.round(b.emit("add", *saved.inputs), f"{saved.name}.output", formats.activations)


LARGEST_DROPOUT = Fraction(9999, 10000)
"""The multiplier 2^14 / (1-p) must stay a 31-bit integer."""


def _dropout_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    if "draw" not in saved.extra:
        return [dy]
    return [b.round(_drop(b, dy, saved.extra["draw"]), f"{saved.name}.input_gradient", formats.gradients)]


def _drop(b: Builder, x: int, draw: dict[str, Any]) -> int:
    return b.emit("dropout", x, draw["positions"], draw["seed"], draw["step"], **draw["attributes"])


@_rule("dropout", _dropout_gradient)
def _dropout(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    p = Fraction(str(node.attributes["p"]))
    if not b.training or p == 0:
        return saved.inputs[0]
    if not 0 < p <= LARGEST_DROPOUT:
        raise TrainingError(f"dropout with p={float(p)} leaves nothing", saved.name, "choose 0 <= p < 0.9999")
    draw: dict[str, Any] = dict(b.draws())
    draw["attributes"] = {
        "site": draw["site"],
        "threshold": int(p * 2**32 + Fraction(1, 2)),
        "multiplier": int(2**14 / (1 - p) + Fraction(1, 2)),
    }
    saved.extra["draw"] = draw
    return b.round(_drop(b, saved.inputs[0], draw), f"{saved.name}.output", formats.activations)


# --- pooling -------------------------------------------------------------------------------------------------------


def _max_pool_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    wide = b.emit("max_pool_gradient", _as_image(b, dy), saved.extra["x"], **saved.extra["window"])
    dx = b.round(wide, f"{saved.name}.input_gradient", formats.gradients)
    return [b.reshape(dx, b.shape(saved.inputs[0])[1:])]


@_rule("max_pool", _max_pool_gradient)
def _max_pool(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    a: Any = node.attributes
    window = {
        "kernel": _two_dimensional(a["kernel"], 1),
        "stride": _two_dimensional(a["stride"], 1),
        "padding": _two_dimensional(a["padding"], (0, 0)),
        "dilation": _two_dimensional(a["dilation"], 1),
    }
    saved.extra |= {"x": _as_image(b, saved.inputs[0]), "window": window}
    return b.reshape(b.emit("max_pool", saved.extra["x"], **window), node.shape[1:])


def _average_pool_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    shape = b.shape(saved.extra["x"])[2:]
    wide = b.emit("window_sum_gradient", _as_image(b, dy), **node.attributes, input_shape=shape)
    dx = b.round(wide, f"{saved.name}.input_gradient", formats.gradients)
    return [b.reshape(dx, b.shape(saved.inputs[0])[1:])]


@_rule("average_pool", _average_pool_gradient)
def _average_pool(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    saved.extra["x"] = _as_image(b, saved.inputs[0])
    wide = b.emit("window_sum", saved.extra["x"], **node.attributes)
    return b.reshape(b.round(wide, f"{saved.name}.output", formats.activations), node.shape[1:])


# --- layout --------------------------------------------------------------------------------------------------------


def _reshape_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    return [b.reshape(dy, b.shape(saved.inputs[0])[1:])]


@_rule("reshape", _reshape_gradient)
def _reshape(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    return b.reshape(saved.inputs[0], node.shape[1:])


def _permute_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    order: Any = node.attributes["order"]
    return [b.emit("permute", dy, order=tuple(order.index(axis) for axis in range(len(order))))]


@_rule("permute", _permute_gradient)
def _permute(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    return b.emit("permute", saved.inputs[0], **node.attributes)


def _concat_gradient(b: Builder, node: Node, saved: Saved, dy: int, formats: Formats) -> list[int | None]:
    axis: Any = node.attributes["axis"]
    gradients: list[int | None] = []
    start = 0
    for x in saved.inputs:
        stop = start + b.shape(x)[axis]
        gradients.append(b.emit("slice", dy, axis=axis, start=start, stop=stop))
        start = stop
    return gradients


@_rule("concat", _concat_gradient)
def _concat(b: Builder, node: Node, saved: Saved, formats: Formats) -> int:
    wide = b.emit("concat", *saved.inputs, **node.attributes)
    return b.round(wide, f"{saved.name}.output", formats.activations)
