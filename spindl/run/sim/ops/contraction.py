"""Contractions in torch: a matrix times the columns of the input, in float64.

int16 products are at most 2^30, so a float64 sum of at most 2^21 of them is an integer up to 2^51: exact in any order,
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
from spindl.run.sim.ops.pieces import Pieces, channels_first, float64, in_pieces
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import shift_right_half_up
from spindl.run.sim.values import SimValue

EXACT_TERMS = 2**21
"""Most products of two int16 values that are summed in float64: up to 2^51, which leaves room for a bias."""
COLUMN_BYTES = {True: 1 << 22, False: 1 << 31}
"""Pieces are cut so that their columns take about this much memory on a CPU (True: its caches) and elsewhere."""

Part = tuple[slice, slice]
"""Images and rows of the output."""


def product(a: Tensor, b: Tensor) -> Tensor:
    """(..., M, K) @ (..., K, N) of float64 tensors that hold int16 values, exactly: float64, or int64 for long sums."""
    terms = a.shape[-1]
    if terms > EXACT_TERMS:
        cuts = range(0, terms, EXACT_TERMS)
        parts = [product(a[..., i : i + EXACT_TERMS], b[..., i : i + EXACT_TERMS, :]) for i in cuts]
        return torch.stack([part.to(torch.int64) for part in parts]).sum(0)
    if a.shape[:-2] == (1,):  # one large product uses all threads, a batch of one does not
        return (a[0] @ b[0])[None]
    return a @ b


def images_at_once(images: int, doubles: int, device: torch.device, multiple: int = 1) -> Iterator[slice]:
    """The batch in pieces (multiples of `multiple` images) of `doubles` per image that fit the budget."""
    size = max(1, _budget(device) // max(1, doubles * multiple)) * multiple
    for first in range(0, images, size):
        yield slice(first, min(first + size, images))


def parts(images: int, outputs: tuple[int, ...], terms: int, device: torch.device, multiple: int = 1) -> Iterator[Part]:
    """Pieces of the batch with all rows of the output, or some of the rows where `multiple` images are too many."""
    budget = _budget(device)
    height = outputs[0]
    if terms * prod(outputs) * multiple > budget:
        height = max(1, min(height, budget // (terms * outputs[1] * multiple)))
    for part in images_at_once(images, terms * prod(outputs), device, multiple):
        for top in range(0, outputs[0], height):
            yield part, slice(top, min(top + height, outputs[0]))


def _budget(device: torch.device) -> int:
    return COLUMN_BYTES[device.type == "cpu"] // 8


def columns(x: Tensor, part: Part, kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any) -> Tensor:
    """What each output of a part sees: (N, C, H, W) -> float64 (C, KH, KW, images, rows, OW).

    Padding may be negative: cells that are cut off.
    """
    images, band = part
    (above, _), (left, _) = a["padding"]
    (down, right), (dilation, spread) = a["stride"], a["dilation"]
    first, count = band.start * down - above, (band.stop - band.start - 1) * down + dilation * (kernel[0] - 1) + 1
    width = (outputs[1] - 1) * right + spread * (kernel[1] - 1) + 1
    source = channels_first(x)[:, images]
    channels, number, height, breadth = source.shape
    top, bottom = max(0, first), min(height, first + count)
    start, stop = max(0, -left), min(breadth, width - left)
    inside = source[:, :, top:bottom, start : max(start, stop)]
    if inside.shape[2:] == (count, width):
        padded = float64(inside).contiguous()
    else:
        padded = torch.zeros((channels, number, count, width), dtype=torch.float64, device=x.device)
        if top < bottom and start < stop:
            padded[:, :, top - first : bottom - first, start + left : stop + left] = inside
    channel, image, row, column = padded.stride()
    return padded.as_strided(
        (channels, *kernel, number, band.stop - band.start, outputs[1]),
        (channel, row * dilation, column * spread, image, row * down, column * right),
    )


def _convolved(out: Tensor, x: Tensor, weight: Tensor, kernel: tuple[int, ...], a: Any) -> Pieces:
    """weight is float64 (groups, O/groups, C/groups * KH * KW), out the logical result."""
    groups, filters, terms = weight.shape
    outputs = tuple(out.shape[2:])
    for part in parts(x.shape[0], outputs, groups * terms, x.device):
        seen = columns(x, part, kernel, outputs, a)
        exact = product(weight, seen.reshape(groups, terms, -1))
        yield channels_first(out)[:, part[0], part[1]], exact.view(groups * filters, *seen.shape[3:])


@in_pieces("convolution")
def convolution(node: Node, out: Tensor, x: SimValue, w: SimValue) -> tuple[int, Pieces]:
    a: Any = node.attributes
    groups, kernel = a["groups"], tuple(w.data.shape[2:])
    weight = float64(w.data).reshape(groups, w.data.shape[0] // groups, -1)
    return x.exponent + w.exponent, _convolved(out, x.data, weight, kernel, a)


@in_pieces("convolution_input_gradient")
def convolution_input_gradient(node: Node, out: Tensor, dy: SimValue, w: SimValue) -> tuple[int, Pieces]:
    """With stride 1 a convolution of dy with the weights turned round, else a sum over kernel positions."""
    a: Any = node.attributes
    groups, (filters, channels, *kernel) = a["groups"], w.data.shape
    exponent = dy.exponent + w.exponent
    weight = float64(w.data).reshape(groups, filters // groups, channels, *kernel)
    if tuple(a["stride"]) != (1, 1):
        return exponent, _spread(out, dy.data, weight.flatten(2).transpose(1, 2).contiguous(), tuple(kernel), a)
    turned = weight.flip(3, 4).transpose(1, 2).reshape(groups, channels, -1)
    reach = [d * (k - 1) for d, k in zip(a["dilation"], kernel, strict=True)]
    padding = tuple((r - p[0], r - p[1]) for r, p in zip(reach, a["padding"], strict=True))
    transposed = {"stride": (1, 1), "dilation": a["dilation"], "padding": padding}
    return exponent, _convolved(out, dy.data, turned, tuple(kernel), transposed)


def _spread(out: Tensor, dy: Tensor, weight: Tensor, kernel: tuple[int, ...], a: Any) -> Pieces:
    """weight is float64 (groups, C/groups * KH * KW, O/groups), out the logical result."""
    groups, lines, terms = weight.shape
    outputs, shape = tuple(dy.shape[2:]), tuple(out.shape[2:])
    wide = torch.float64 if terms * prod(kernel) <= EXACT_TERMS else torch.int64
    for images in images_at_once(dy.shape[0], groups * lines * prod(outputs), dy.device):
        gradient = float64(channels_first(dy)[:, images])
        spread = product(weight, gradient.reshape(groups, terms, -1)).to(wide)
        spread = spread.view(out.shape[1], *kernel, -1, *outputs)
        piece = spread.new_zeros((out.shape[1], spread.shape[3], *shape))
        for i, j, read, write in taps(shape, outputs, kernel, a):
            piece[(..., *read)] += spread[:, i, j, :, *write]
        yield channels_first(out)[:, images], piece


def weight_gradient_parts(node: Node, dy: Tensor, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The exact weight gradients, a few gradient groups at a time.

    Yields (which groups, (groups of images, O, C/groups, KH, KW) in float64, or int64 for long sums).
    """
    a: Any = node.attributes
    size, images = a["group_size"], dy.shape[0]
    whole = images - images % size
    for first, last, each in ((0, whole, size), (whole, images, images - whole)):  # the last group may be smaller
        if first < last:
            found = _weight_gradients(node, dy[first:last], x[first:last], each)
            yield from ((slice(s.start + first // size, s.stop + first // size), wide) for s, wide in found)


def _weight_gradients(node: Node, dy: Tensor, x: Tensor, size: int) -> Iterator[tuple[slice, Tensor]]:
    """The same where every group has `size` images."""
    a: Any = node.attributes
    groups, outputs, shape = a["groups"], tuple(dy.shape[2:]), a["weight_shape"]
    filters, terms = shape[0] // groups, prod(shape[1:])
    long = size * prod(outputs) > EXACT_TERMS
    total: Tensor | None = None
    for part in parts(dy.shape[0], outputs, groups * terms, dy.device, size):
        images, band = part
        count = (images.stop - images.start) // size
        seen = columns(x, part, shape[2:], outputs, a).reshape(groups, terms, count, -1)
        gradient = float64(channels_first(dy)[:, images, band]).reshape(groups, filters, count, -1)
        left, right = gradient.transpose(1, 2).flatten(0, 1), seen.permute(0, 2, 3, 1).flatten(0, 1)
        exact = product(left, right)
        if long:
            exact = exact.to(torch.int64)
        total = exact if total is None else total.add_(exact)
        if band.stop == outputs[0]:
            wide = total.reshape(groups, count, filters, terms).transpose(0, 1)
            yield slice(images.start // size, images.stop // size), wide.reshape(count, *shape)
            total = None


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


def with_bias(exponent: int, pieces: Pieces, bias: SimValue) -> tuple[int, Pieces]:
    """add_bias of pieces: the exponent and the exact values after it."""
    common = max(exponent, bias.exponent - ALIGNMENT)
    return common, _with_bias(pieces, common - exponent, common - bias.exponent, bias.data)


def _with_bias(pieces: Pieces, shift: int, bias_shift: int, bias: Tensor) -> Pieces:
    aligned = shift_right_half_up(bias.to(torch.int64), bias_shift)
    for place, exact in pieces:
        bias_like = aligned.view(-1, *(1,) * (exact.ndim - 1))
        if exact.dtype == torch.float64 and shift == 0 and bias_shift >= -20:
            yield place, exact.add_(float64(bias_like))  # at most 2^51 + 2^31 * 2^20
        else:
            yield place, shift_right_half_up(exact.to(torch.int64), shift) + bias_like
