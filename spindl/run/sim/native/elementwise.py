"""Element-wise kernels, sums per channel and pooling, natively."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from spindl import _native as kernels
from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.contraction import ALIGNMENT
from spindl.graph.ops.pointwise import common_exponent, six
from spindl.graph.ops.pooling import RECIPROCAL_BITS, reciprocals
from spindl.number.rounding import limit
from spindl.run.sim.memory import Memory, memory_array
from spindl.run.sim.native.table import OPERATIONS, ROUNDINGS, enters, flat, integers, rows
from spindl.run.sim.rounding import extent_of
from spindl.run.sim.roundings import Rounded, Target
from spindl.run.sim.values import AnyValue, SimValue

# ruff: noqa: D103  (the op table documents each op)

Pair = tuple[int, int]


def _result(memory: Memory, node: Node, target: Target) -> SimValue:
    return memory.take(node.shape, torch.int16, target.exponent)


@enters(ROUNDINGS, "affine")
def affine(
    memory: Memory, node: Node, target: Target, x: SimValue, scale: AnyValue, offset: AnyValue
) -> Rounded | None:
    exponent, out = _exponent(offset), _result(memory, node, target)
    largest, saturated = kernels.affine(
        rows(x), integers(scale), integers(offset), rows(out), *target.rounding(exponent), target.relu
    )
    return Rounded(out, largest, saturated, exponent)


def _exponent(x: AnyValue) -> int:
    assert isinstance(x, SimValue | Value)
    return x.exponent


@enters(ROUNDINGS, "affine_pair")
def affine_pair(
    memory: Memory,
    node: Node,
    target: Target,
    x: SimValue,
    scale: AnyValue,
    y: SimValue,
    slope: AnyValue,
    offset: AnyValue,
) -> Rounded | None:
    if target.relu:
        return None
    exponent, out = _exponent(offset), _result(memory, node, target)
    largest, saturated = kernels.affine_pair(
        rows(x), integers(scale), rows(y), integers(slope), integers(offset), rows(out), *target.rounding(exponent)
    )
    return Rounded(out, largest, saturated, exponent)


@enters(ROUNDINGS, "add")
def add(memory: Memory, node: Node, target: Target, x: SimValue, y: SimValue) -> Rounded | None:
    """Not if the exponents are so far apart that one operand is rounded first."""
    exponent = common_exponent(x.exponent, y.exponent)
    if max(x.exponent, y.exponent) - min(x.exponent, y.exponent) > ALIGNMENT:
        return None
    out = _result(memory, node, target)
    largest, saturated = kernels.add(
        flat(x), x.exponent - exponent, flat(y), y.exponent - exponent, flat(out), *target.rounding(exponent),
        target.relu, target.even,
    )  # fmt: skip
    return Rounded(out, largest, saturated, exponent)


@enters(OPERATIONS, "narrow")
def narrow(memory: Memory, node: Node, x: SimValue) -> SimValue:
    bits: Any = node.attributes["bits"]
    out = memory.take(node.shape, torch.int16, x.exponent + 32 - bits)
    kernels.requantise(flat(x), flat(out), 32 - bits, limit(bits))
    return out


@enters(OPERATIONS, "channel_sum")
def channel_sum(memory: Memory, node: Node, x: SimValue) -> Value:
    return Value(kernels.channel_sum(rows(x)), x.exponent)


@enters(OPERATIONS, "channel_dot")
def channel_dot(memory: Memory, node: Node, x: SimValue, y: SimValue) -> Value:
    return Value(kernels.channel_dot(rows(x), rows(y)), x.exponent + y.exponent)


@enters(OPERATIONS, "extent")
def extent(memory: Memory, node: Node, x: SimValue) -> Value:
    return extent_of(kernels.extent(flat(x)), x.exponent)


@enters(OPERATIONS, "relu")
def relu(memory: Memory, node: Node, x: SimValue) -> SimValue:
    out = memory.take(node.shape, torch.int16, x.exponent)
    kernels.relu(flat(x), flat(out))
    return out


@enters(OPERATIONS, "relu_gradient")
def relu_gradient(memory: Memory, node: Node, dy: SimValue, y: SimValue) -> SimValue:
    out = memory.take(node.shape, torch.int16, dy.exponent)
    kernels.relu_gradient(flat(dy), flat(y), flat(out))
    return out


@enters(OPERATIONS, "relu6_gradient")
def relu6_gradient(memory: Memory, node: Node, dy: SimValue, y: SimValue) -> SimValue:
    out = memory.take(node.shape, torch.int16, dy.exponent)
    kernels.relu6_gradient(flat(dy), flat(y), six(y.exponent), flat(out))
    return out


def _window(node: Node) -> tuple[Pair, Pair, Pair, Pair]:
    """kernel, stride, padding before, dilation."""
    a: Any = node.attributes
    return a["kernel"], a["stride"], (a["padding"][0][0], a["padding"][1][0]), a["dilation"]


@enters(OPERATIONS, "max_pool")
def max_pool(memory: Memory, node: Node, x: SimValue) -> SimValue:
    out = memory.take(node.shape, torch.int16, x.exponent)
    kernels.max_pool(memory_array(x), memory_array(out), *_window(node))
    return out


@enters(ROUNDINGS, "max_pool_gradient")
def max_pool_gradient(memory: Memory, node: Node, target: Target, dy: SimValue, x: SimValue) -> Rounded | None:
    if target.relu:
        return None
    out = _result(memory, node, target)
    largest, saturated = kernels.max_pool_gradient(
        memory_array(dy),
        memory_array(x),
        memory_array(out),
        *_window(node),
        *target.rounding(dy.exponent),
        target.even,
    )
    return Rounded(out, largest, saturated, dy.exponent)


@cache
def _windows(
    ranges: tuple[tuple[tuple[int, int], ...], ...], divisor: int | None
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Rows (OH, 2), columns (OW, 2) and multipliers (OH, OW) of an average pool."""
    multiplier = reciprocals({"rows": ranges[0], "columns": ranges[1], "divisor": divisor})
    first, second = (np.array(r, dtype=np.int32).reshape(-1, 2) for r in ranges)
    return first, second, multiplier.astype(np.int32)


@enters(ROUNDINGS, "window_sum")
def window_sum(memory: Memory, node: Node, target: Target, x: SimValue) -> Rounded | None:
    return _pooled(kernels.window_sum, memory, node, target, x)


@enters(ROUNDINGS, "window_sum_gradient")
def window_sum_gradient(memory: Memory, node: Node, target: Target, dy: SimValue) -> Rounded | None:
    return _pooled(kernels.window_sum_gradient, memory, node, target, dy)


def _pooled(kernel: Any, memory: Memory, node: Node, target: Target, x: SimValue) -> Rounded | None:
    if target.relu:
        return None
    a: Any = node.attributes
    exponent, out = x.exponent - RECIPROCAL_BITS, _result(memory, node, target)
    windows = _windows((a["rows"], a["columns"]), a["divisor"])
    largest, saturated = kernel(memory_array(x), *windows, memory_array(out), *target.rounding(exponent), target.even)
    return Rounded(out, largest, saturated, exponent)
