"""Rounding, its statistics, and the element-wise ops in torch."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.pointwise import common_exponent, six
from spindl.number.rounding import limit
from spindl.run.sim import rounding
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import Pending, SimValue


@implements("requantise")
def requantise(node: Node, x: SimValue, site: Value) -> SimValue:
    bits: Any = node.attributes["bits"]
    return SimValue(rounding.requantise(x.data, site.exponent - x.exponent, bits)[0], site.exponent)


@implements("extent")
def extent(node: Node, x: SimValue) -> Pending:
    return rounding.pending_extent(rounding.largest_magnitude(x.data), x.exponent)


@implements("saturation")
def saturation(node: Node, x: SimValue, site: Value) -> Pending:
    bits: Any = node.attributes["bits"]
    return Pending(rounding.requantise(x.data, site.exponent - x.exponent, bits)[1], Value)


@implements("narrow")
def narrow(node: Node, x: SimValue) -> SimValue:
    bits: Any = node.attributes["bits"]
    rounded = rounding.shift_right_half_up(x.data.to(torch.int64), 32 - bits).clamp(-limit(bits), limit(bits))
    return SimValue(rounded.to(torch.int16), x.exponent + 32 - bits, x.lift)


def aligned(x: SimValue, exponent: int) -> Tensor:
    """int64 mantissas of x at another exponent: exact to the left (which must fit), RSH to the right."""
    return rounding.shift_right_half_up(x.data.to(torch.int64), exponent - x.exponent)


@implements("add")
def add(node: Node, x: SimValue, y: SimValue) -> SimValue:
    exponent = common_exponent(x.exponent, y.exponent)
    return SimValue(aligned(x, exponent) + aligned(y, exponent), exponent)


def _per_channel(values: SimValue, like: Tensor) -> Tensor:
    return values.data.reshape(1, -1, *(1,) * (like.ndim - 2))


@implements("affine")
def affine(node: Node, x: SimValue, scale: SimValue, offset: SimValue) -> SimValue:
    total = _per_channel(scale, x.data) * x.data + _per_channel(offset, x.data)
    return SimValue(total, offset.exponent)


@implements("affine_pair")
def affine_pair(node: Node, x: SimValue, scale: SimValue, y: SimValue, slope: SimValue, offset: SimValue) -> SimValue:
    total = _per_channel(scale, x.data) * x.data + _per_channel(slope, y.data) * y.data
    return SimValue(total + _per_channel(offset, x.data), offset.exponent)


@implements("relu")
def relu(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.clamp(min=0), x.exponent)


@implements("relu_gradient")
def relu_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    return SimValue(dy.data * (y.data > 0), dy.exponent)


@implements("relu6")
def relu6(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.clamp(0, min(six(x.exponent), limit(16))), x.exponent)


@implements("relu6_gradient")
def relu6_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    inside = (y.data > 0) & (y.data.to(torch.int32) < six(y.exponent))
    return SimValue(dy.data * inside, dy.exponent)


_WORD = 0xFFFFFFFF


def _mix(x: Tensor) -> Tensor:
    # int64 products wrap modulo 2^64; their low 32 bits are right
    x = (x + 0x9E3779B9) & _WORD
    x = x ^ (x >> 16)
    x = (x * 0x7FEB352D) & _WORD
    x = x ^ (x >> 15)
    x = (x * 0x846CA68B) & _WORD
    return x ^ (x >> 16)


def hash32(first: int, second: int, third: int, *counters: Tensor) -> Tensor:
    """`spindl.number.hashing.hash32` of three host integers and broadcast tensors, as int64 in [0, 2^32)."""
    result = torch.zeros(1, dtype=torch.int64, device=counters[0].device)
    for counter in (first, second, third):
        result = _mix(result ^ (counter & _WORD))
    for tensor in counters:
        result = _mix(result ^ (tensor & _WORD))
    return result


@implements("dropout")
def dropout(node: Node, x: SimValue, positions: SimValue, seed: Value, step: Value) -> SimValue:
    a: Any = node.attributes
    place = positions.data.reshape(-1, *(1,) * (x.data.ndim - 1))
    _, channels, *spatial = x.data.shape
    index = torch.arange(channels * prod(spatial), device=x.data.device).reshape(*spatial, channels).movedim(-1, 0)
    draw = hash32(int(seed.mantissa), int(step.mantissa), a["site"], place, index)
    return SimValue(x.data * ((draw >= a["threshold"]) * a["multiplier"]), x.exponent - 14)


@implements("saturate32")
def saturate32(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.clamp(-limit(32), limit(32)).to(torch.int32), x.exponent)


@implements("batch_sum")
def batch_sum(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.sum(), x.exponent)
