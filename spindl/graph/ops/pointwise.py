"""Rounding, its statistics, and the element-wise ops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spindl.graph.graph import Format, Node
from spindl.graph.operations import COUNT, INT32, SITE, WIDE, Value, operation, same_shape
from spindl.graph.ops.contraction import ALIGNMENT
from spindl.number.hashing import hash32
from spindl.number.rounding import (
    Integers,
    bit_length,
    clamp,
    largest_magnitude,
    limit,
    shift_right_half_even,
    shift_right_half_up,
)
from spindl.number.sites import EMPTY, next_site


@operation(
    "requantise",
    lambda nodes, a: (nodes[0].shape, Format("int16", a["bits"])),
    combine="batch",
    formula="y = clamp(RSH(x, e_site - e_x), +-(2^(bits-1) - 1)), ties to even where `ties` is 'even'; e = e_site",
)
def requantise(node: Node, x: Value, site: Value) -> Value:
    """wide, site -> int16 at the exponent of the site. Attributes bits, ties ("up" if absent, or "even")."""
    rounded = _rounded(node, x, site)
    return Value(clamp(rounded, limit(node.attributes["bits"])), site.exponent)


def _rounded(node: Node, x: Value, site: Value) -> Integers:
    """RSH(x, e_site - e_x) by the node's rule for ties."""
    rule = shift_right_half_even if node.attributes.get("ties") == "even" else shift_right_half_up
    return rule(x.mantissa, site.exponent - x.exponent)


@operation(
    "extent",
    lambda nodes, a: ((), COUNT),
    combine="max",
    formula="e_x + bit_length(max |x|) of the exact sums; -32768 if all are zero",
)
def extent(node: Node, x: Value) -> Value:
    """wide -> count (): the exponent of the smallest power of two above every magnitude."""
    largest = largest_magnitude(x.mantissa)
    return Value(np.array(x.exponent + bit_length(largest) if largest else EMPTY))


@operation(
    "saturation",
    lambda nodes, a: ((), COUNT),
    combine="sum",
    formula="number of elements that `requantise` with the same inputs clamps",
)
def saturation(node: Node, x: Value, site: Value) -> Value:
    """wide, site -> count (): how many elements were clamped. Attributes bits, ties."""
    rounded = _rounded(node, x, site)
    return Value(np.array(np.count_nonzero(abs(rounded) > limit(node.attributes["bits"]))))


@operation(
    "next_site",
    lambda nodes, a: (nodes[0].shape, SITE),
    combine="whole",
    formula="history <- extent, older ones; e <- max(history) + headroom - (bits - 1), within lowest..60; all-zero: "
    "history cleared, e <- e - 8, not below lowest",
)
def next_site_op(node: Node, site: Value, extent: Value) -> Value:
    """site, count -> site for the next step. Attributes bits, headroom, lowest."""
    a = node.attributes
    before = (site.exponent, tuple(int(v) for v in site.mantissa))
    exponent, history = next_site(before, int(extent.mantissa), a["bits"], a["headroom"], a["lowest"])
    return Value(np.array(history, dtype=np.int64), exponent)


@operation(
    "narrow",
    lambda nodes, a: (nodes[0].shape, Format("int16", a["bits"])),
    combine="batch",
    formula="y = clamp(RSH(x, 32 - bits)); e = e_x + 32 - bits",
)
def narrow(node: Node, x: Value) -> Value:
    """int32 master weights -> the int16 copy that the cores compute with. Attribute bits."""
    bits = node.attributes["bits"]
    return Value(clamp(shift_right_half_up(x.mantissa, 32 - bits), limit(bits)), x.exponent + 32 - bits)


@operation(
    "add",
    lambda nodes, a: (nodes[0].shape, WIDE),
    combine="batch",
    formula="x + y exactly at min(e_x, e_y); exponents more than 30 apart: the smaller one's operand is first "
    "rounded to the larger - 30",
)
def add(node: Node, x: Value, y: Value) -> Value:
    """int16, int16 -> wide."""
    exponent = common_exponent(x.exponent, y.exponent)
    return Value(aligned(x, exponent) + aligned(y, exponent), exponent)


def common_exponent(*exponents: int) -> int:
    """The exponent that operands of a sum or concatenation are aligned to."""
    return max(min(exponents), max(exponents) - ALIGNMENT)


def aligned(x: Value, exponent: int) -> Integers:
    """Mantissas of x at another exponent: exact to the left, RSH to the right."""
    return shift_right_half_up(x.mantissa, exponent - x.exponent)


@operation(
    "affine",
    same_shape(WIDE),
    combine="batch",
    formula="y = scale[c] * x + offset[c] over channels (axis 1); e = e_offset (= e_scale + e_x by construction)",
)
def affine(node: Node, x: Value, scale: Value, offset: Value) -> Value:
    """int16 or uint8 (N, C, ...), wide (C,), wide (C,) -> wide."""
    per_channel = (1, -1, *(1,) * (x.mantissa.ndim - 2))
    return Value(
        scale.mantissa.reshape(per_channel) * x.mantissa + offset.mantissa.reshape(per_channel), offset.exponent
    )


@operation(
    "affine_pair",
    same_shape(WIDE),
    combine="batch",
    formula="z = scale[c] * x + slope[c] * y + offset[c] over channels (axis 1); e = e_offset",
)
def affine_pair(node: Node, x: Value, scale: Value, y: Value, slope: Value, offset: Value) -> Value:
    """int16 (N, C, ...), wide (C,), int16 (N, C, ...), wide (C,), wide (C,) -> wide."""
    per_channel = (1, -1, *(1,) * (x.mantissa.ndim - 2))
    total = scale.mantissa.reshape(per_channel) * x.mantissa + slope.mantissa.reshape(per_channel) * y.mantissa
    return Value(total + offset.mantissa.reshape(per_channel), offset.exponent)


def _same(nodes: Sequence[Node], attributes: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return nodes[0].shape, nodes[0].format


@operation("relu", _same, combine="batch", formula="max(x, 0); e = e_x")
def relu(node: Node, x: Value) -> Value:
    """int16 -> int16, exact."""
    return Value(np.maximum(x.mantissa, 0), x.exponent)


@operation("relu_gradient", _same, combine="batch", formula="dy where y > 0, else 0; e = e_dy")
def relu_gradient(node: Node, dy: Value, y: Value) -> Value:
    """int16 gradient, int16 result of relu -> int16, exact."""
    return Value(np.where(y.mantissa > 0, dy.mantissa, 0), dy.exponent)


def six(exponent: int) -> int:
    """6.0 as a mantissa at this exponent, saturated to 2^15 (above every int16)."""
    if exponent < -12:
        return 1 << 15
    return int(shift_right_half_up(np.array([6]), exponent)[0])


@operation("relu6", _same, combine="batch", formula="min(max(x, 0), RSH(6, e_x)); e = e_x")
def relu6(node: Node, x: Value) -> Value:
    """int16 -> int16."""
    return Value(np.clip(x.mantissa, 0, six(x.exponent)), x.exponent)


@operation("relu6_gradient", _same, combine="batch", formula="dy where 0 < y < RSH(6, e_y), else 0; e = e_dy")
def relu6_gradient(node: Node, dy: Value, y: Value) -> Value:
    """int16 gradient, int16 result of relu6 -> int16, exact."""
    inside = (y.mantissa > 0) & (y.mantissa < six(y.exponent))
    return Value(np.where(inside, dy.mantissa, 0), dy.exponent)


def channels_last_index(shape: tuple[int, ...]) -> Integers:
    """Index of each element of one image in channels-last order, shape (1, *shape[1:])."""
    _, channels, *spatial = shape
    index = np.arange(channels * int(np.prod(spatial, dtype=np.int64)), dtype=np.int64)
    return np.moveaxis(index.reshape(*spatial, channels), -1, 0)[None]


@operation(
    "dropout",
    same_shape(WIDE),
    combine="batch",
    formula="round(2^14 / (1-p)) * x where hash32(seed, step, site, position, element) >= round(2^32 p), else 0; e = "
    "e_x - 14; "
    "element counts in channels-last order",
)
def dropout(node: Node, x: Value, positions: Value, seed: Value, step: Value) -> Value:
    """int16 (N, ...), positions in the global batch (N,), seed (), step () -> wide.

    Attributes site (number of the place of the draw), threshold = round(2^32 p), multiplier = round(2^14 / (1-p)).
    """
    a = node.attributes
    place = positions.mantissa.reshape(-1, *(1,) * (x.mantissa.ndim - 1))
    draw = hash32(seed.mantissa, step.mantissa, a["site"], place, channels_last_index(x.mantissa.shape))
    kept = draw.astype(np.int64).reshape(x.mantissa.shape) >= a["threshold"]
    return Value(np.where(kept, a["multiplier"] * x.mantissa, 0), x.exponent - 14)


@operation("saturate32", same_shape(INT32), combine="whole", formula="clamp(x, +-(2^31 - 1)); e = e_x")
def saturate32(node: Node, x: Value) -> Value:
    """wide -> int32."""
    return Value(clamp(x.mantissa, 2**31 - 1), x.exponent)


@operation("batch_sum", lambda nodes, a: ((), COUNT), combine="sum", formula="sum over the batch; e = e_x")
def batch_sum(node: Node, x: Value) -> Value:
    """wide (N,) -> count ()."""
    return Value(np.array(x.mantissa.sum()), x.exponent)
