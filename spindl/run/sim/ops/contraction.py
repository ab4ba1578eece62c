"""Contractions in torch: columns of the input times a matrix, in float64.

int16 products are below 2^30, so a float64 sum of fewer than 2^23 of them is an integer below 2^53: exact in any order,
also inside a blocked matrix product. Only plain matrix products are used, never a library's convolution, whose
transforms may round. Longer sums are cut and added in int64.
"""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.ops.contraction import ALIGNMENT, taps
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import shift_right_half_up
from spindl.run.sim.values import SimValue

EXACT_TERMS = 2**23 - 1
"""Most products of two int16 values that a float64 sum holds exactly."""
COLUMN_BYTES = {True: 1 << 24, False: 1 << 31}
"""Batches are cut so that their columns take about this much memory on a CPU (True: its caches) and elsewhere."""


def exact_product(a: Tensor, b: Tensor) -> Tensor:
    """(..., M, K) @ (..., K, N) of float64 tensors that hold int16 values, as exact int64."""
    terms = a.shape[-1]
    if terms <= EXACT_TERMS:
        return (a @ b).to(torch.int64)
    first = exact_product(a[..., :EXACT_TERMS], b[..., :EXACT_TERMS, :])
    return first + exact_product(a[..., EXACT_TERMS:], b[..., EXACT_TERMS:, :])


def channels_last(x: Tensor, groups: int) -> Tensor:
    """(N, C, H, W) -> float64 (N, H, W, groups, C/groups)."""
    n, c, h, w = x.shape
    doubles = x.permute(0, 2, 3, 1).to(torch.float64, memory_format=torch.contiguous_format)
    return doubles.view(n, h, w, groups, c // groups)


def columns(x: Tensor, kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any) -> Tensor:
    """What each output sees: (N, C, H, W) -> float64 (groups, N, OH * OW, KH * KW * C/groups)."""
    (top, bottom), (left, right) = a["padding"]
    source = channels_last(x, a["groups"])
    if top or bottom or left or right:
        source = torch.nn.functional.pad(source, (0, 0, 0, 0, left, right, top, bottom))
    images, _, _, groups, channels = source.shape
    image, row, column, group, channel = source.stride()
    stride, dilation = a["stride"], a["dilation"]
    seen = source.as_strided(
        (groups, images, *outputs, *kernel, channels),
        (group, image, row * stride[0], column * stride[1], row * dilation[0], column * dilation[1], channel),
    )
    return seen.reshape(groups, images, prod(outputs), prod(kernel) * channels)


def rows_of(w: Tensor, groups: int) -> Tensor:
    """(O, C/groups, KH, KW) -> float64 (groups, O/groups, KH * KW * C/groups), in the order of `columns`."""
    return w.permute(0, 2, 3, 1).to(torch.float64).reshape(groups, w.shape[0] // groups, -1)


def pixels(y: Tensor, groups: int) -> Tensor:
    """(N, O, OH, OW) -> float64 (groups, N, OH * OW, O/groups)."""
    return channels_last(y, groups).flatten(1, 2).permute(2, 0, 1, 3)


def _by_group(x: Tensor, count: int) -> Tensor:
    """(groups, images, pixels, ...) -> (groups, count, pixels of a gradient group, ...)."""
    return x.reshape(x.shape[0], count, -1, x.shape[-1])


def _batches(images: int, doubles_per_image: int, device: torch.device, multiple: int = 1) -> Iterator[slice]:
    """The batch in pieces (multiples of `multiple` images) whose columns fit the budget."""
    budget = COLUMN_BYTES[device.type == "cpu"]
    size = max(1, budget // max(1, 8 * doubles_per_image * multiple)) * multiple
    for start in range(0, images, size):
        yield slice(start, min(start + size, images))


@implements("convolution")
def convolution(node: Node, x: SimValue, w: SimValue) -> SimValue:
    a: Any = node.attributes
    groups, kernel, outputs = a["groups"], tuple(w.data.shape[2:]), node.shape[2:]
    weight = rows_of(w.data, groups).transpose(1, 2)
    y = torch.empty((node.shape[0], *outputs, node.shape[1]), dtype=torch.int64, device=x.data.device)
    for part in _batches(node.shape[0], groups * weight.shape[1] * prod(outputs), x.data.device):
        seen = columns(x.data[part], kernel, outputs, a).flatten(1, 2)
        result = exact_product(seen, weight)  # (groups, pixels, O/groups)
        y[part] = result.transpose(0, 1).reshape(-1, *outputs, node.shape[1])
    return SimValue(y.permute(0, 3, 1, 2), x.exponent + w.exponent)


@implements("convolution_input_gradient")
def convolution_input_gradient(node: Node, dy: SimValue, w: SimValue) -> SimValue:
    a: Any = node.attributes
    groups, kernel = a["groups"], tuple(w.data.shape[2:])
    channels, *spatial = a["input_shape"]
    outputs = tuple(dy.data.shape[2:])
    weight = rows_of(w.data, groups)
    # the sum over kernel positions is taken in float64, too, while the bound allows
    exact = weight.shape[1] * prod(kernel) <= EXACT_TERMS
    dx = torch.empty((node.shape[0], *spatial, channels), dtype=torch.int64, device=dy.data.device)
    for part in _batches(node.shape[0], groups * weight.shape[2] * prod(outputs), dy.data.device):
        gradient = pixels(dy.data[part], groups).flatten(1, 2)
        seen = gradient @ weight if exact else exact_product(gradient, weight)
        spread = seen.view(groups, -1, *outputs, *kernel, channels // groups)
        piece = spread.new_zeros((groups, spread.shape[1], *spatial, channels // groups))
        for i, j, read, write in taps(tuple(spatial), outputs, kernel, a):
            piece[:, :, *read] += spread[:, :, *write, i, j]
        dx[part] = piece.permute(1, 2, 3, 0, 4).reshape(-1, *spatial, channels)
    return SimValue(dx.permute(0, 3, 1, 2), dy.exponent + w.exponent)


def weight_gradient_parts(node: Node, dy: Tensor, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The exact weight gradients, a few gradient groups at a time.

    Yields (which groups, int64 (groups of images, O, C/groups, KH, KW)).
    """
    a: Any = node.attributes
    groups, size = a["groups"], a["group_size"]
    outputs, (filters, channels, *kernel) = tuple(dy.shape[2:]), a["weight_shape"]
    for part in _batches(dy.shape[0], groups * channels * prod(kernel) * prod(outputs), dy.device, size):
        gradient, source = dy[part], x[part]
        missing = -gradient.shape[0] % size  # images of zeros fill the last group up and add nothing
        if missing:
            gradient = torch.cat([gradient, gradient.new_zeros((missing, *gradient.shape[1:]))])
            source = torch.cat([source, source.new_zeros((missing, *source.shape[1:]))])
        count = gradient.shape[0] // size
        left = _by_group(pixels(gradient, groups), count)  # (groups, count, pixels, O/groups)
        right = _by_group(columns(source, tuple(kernel), outputs, a), count)
        result = exact_product(left.transpose(2, 3), right)  # (groups, count, O/groups, KH * KW * C/groups)
        first = part.start // size
        result = result.transpose(0, 1).reshape(count, filters, *kernel, channels)
        yield slice(first, first + count), result.permute(0, 1, 4, 2, 3)


@implements("convolution_weight_gradient")
def convolution_weight_gradient(node: Node, dy: SimValue, x: SimValue) -> SimValue:
    dw = torch.empty(node.shape, dtype=torch.int64, device=dy.data.device)
    for part, wide in weight_gradient_parts(node, dy.data, x.data):
        dw[part] = wide
    return SimValue(dw, dy.exponent + x.exponent)


@implements("sum_groups")
def sum_groups(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.sum(0, dtype=torch.int32), x.exponent)


@implements("add_bias")
def add_bias(node: Node, accumulator: SimValue, bias: SimValue) -> SimValue:
    exponent = max(accumulator.exponent, bias.exponent - ALIGNMENT)
    total = shift_right_half_up(accumulator.data, exponent - accumulator.exponent)
    aligned = shift_right_half_up(bias.data.to(torch.int64), exponent - bias.exponent)
    return SimValue(total + aligned.reshape(1, -1, *(1,) * (total.ndim - 2)), exponent)
