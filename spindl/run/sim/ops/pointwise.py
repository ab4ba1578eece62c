"""Rounding, its statistics, and the element-wise ops in torch."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.contraction import ALIGNMENT
from spindl.graph.ops.pointwise import common_exponent, six
from spindl.number.rounding import limit
from spindl.run.sim import rounding
from spindl.run.sim.ops.pieces import Pieces, blocks, channels_first, channels_last, float64, in_pieces, lanes
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import Pending, SimValue


@implements("requantise")
def requantise(node: Node, x: SimValue, site: Value) -> SimValue:
    return SimValue(_requantised(node, x, site)[0], site.exponent)


@implements("extent")
def extent(node: Node, x: SimValue) -> Pending:
    return rounding.pending_extent(rounding.largest_magnitude(x.data), x.exponent)


@implements("saturation")
def saturation(node: Node, x: SimValue, site: Value) -> Pending | Value:
    count = _requantised(node, x, site)[1]
    return Value(np.array(count)) if isinstance(count, int) else Pending(count, Value)


def _requantised(node: Node, x: SimValue, site: Value) -> tuple[Tensor, rounding.Statistic]:
    bits: Any = node.attributes["bits"]
    even = node.attributes.get("ties") == "even"
    return rounding.requantise(x.data, site.exponent - x.exponent, bits, even)


@implements("narrow")
def narrow(node: Node, x: SimValue) -> SimValue:
    bits: Any = node.attributes["bits"]
    narrowed = torch.empty(x.data.shape, dtype=torch.int16, device=x.data.device)
    source, result = x.data.reshape(1, -1), narrowed.view(1, -1)
    for block in blocks(source.shape, source.device):
        rounded = rounding.round_float(float64(source[block]), 32 - bits)
        result[block] = rounded.clamp_(-limit(bits), limit(bits))
    return SimValue(narrowed, x.exponent + 32 - bits, x.lift)


def aligned(x: SimValue, exponent: int) -> Tensor:
    """int64 mantissas of x at another exponent: exact to the left (which must fit), RSH to the right."""
    return rounding.shift_right_half_up(x.data.to(torch.int64), exponent - x.exponent)


@in_pieces("add")
def add(node: Node, out: Tensor, x: SimValue, y: SimValue) -> tuple[int, Pieces]:
    exponent = common_exponent(x.exponent, y.exponent)
    return exponent, _added(out, x, y, exponent)


def _added(out: Tensor, x: SimValue, y: SimValue, exponent: int) -> Pieces:
    if max(x.exponent, y.exponent) - min(x.exponent, y.exponent) > ALIGNMENT:  # one of them is rounded
        yield channels_first(out), channels_first(aligned(x, exponent) + aligned(y, exponent))
        return
    result, first, second = lanes(out), lanes(x.data), lanes(y.data)
    scales = [2.0 ** (v.exponent - exponent) for v in (x, y)]  # at most 2^30, so sums are below 2^46
    short = max(scales) <= 2**7 and result.device.type == "cpu"  # below 2^23
    dtype = torch.float32 if short else torch.float64
    for block in blocks(result.shape, result.device):
        total = first[block].to(dtype).mul_(scales[0])
        yield result[block], total.add_(second[block].to(dtype), alpha=scales[1])


def _magnitude(x: SimValue) -> int:
    return int(rounding.largest_magnitude(channels_last(x.data)))


def _number_type(products: tuple[tuple[SimValue, SimValue], ...], offset: SimValue) -> torch.dtype:
    """int32 if every scale[c] * x + offset[c] is surely below its limit, which is quickest on a CPU; or float64.

    Another device than the CPU is not asked.
    """
    if offset.data.device.type != "cpu":
        return torch.int64
    scales = [_magnitude(scale) for _, scale in products]
    if _magnitude(offset) + sum(scale << 15 for scale in scales) > rounding.EXACT_LIMIT:
        return torch.int64
    bound = _magnitude(offset) + sum(scale * _magnitude(x) for scale, (x, _) in zip(scales, products, strict=True))
    return torch.int32 if bound < rounding.INT32_LIMIT else torch.float64


@in_pieces("affine")
def affine(node: Node, out: Tensor, x: SimValue, scale: SimValue, offset: SimValue) -> tuple[int, Pieces]:
    return offset.exponent, _affine(out, ((x, scale),), offset)


@in_pieces("affine_pair")
def affine_pair(
    node: Node, out: Tensor, x: SimValue, scale: SimValue, y: SimValue, slope: SimValue, offset: SimValue
) -> tuple[int, Pieces]:
    return offset.exponent, _affine(out, ((x, scale), (y, slope)), offset)


def _affine(out: Tensor, products: tuple[tuple[SimValue, SimValue], ...], offset: SimValue) -> Pieces:
    dtype = _number_type(products, offset)
    result = lanes(out)

    def along_a_row(values: SimValue) -> Tensor:
        return values.data.reshape(-1).to(dtype).repeat(result.shape[1] // values.data.numel())

    constant = along_a_row(offset)
    operands = [(lanes(x.data), along_a_row(scale)) for x, scale in products]
    for part, columns in blocks(result.shape, result.device):
        total = constant[columns]
        for values, factor in operands:
            total = values[part, columns].to(dtype).mul_(factor[columns]).add_(total)
        yield result[part, columns], total


@implements("relu")
def relu(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.clamp(min=0), x.exponent)


@implements("relu_gradient")
def relu_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    return SimValue(dy.data * y.data.clamp(0, 1), dy.exponent)  # all int16: quick, unlike comparisons


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
