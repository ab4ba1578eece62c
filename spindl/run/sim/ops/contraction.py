"""Contractions in torch: a matrix times the columns of the input, in float64; or in bytes, where a CPU has
instructions for them (see `digits`).

int16 products are at most 2^30, so a float64 sum of at most 2^21 of them is an integer up to 2^51: exact in any order,
also inside a blocked matrix product. Only plain matrix products are used, never a library's convolution, whose
transforms may round. Longer sums are cut and added in int64.
"""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from collections.abc import Iterator
from itertools import product as product_of
from math import prod
from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.ops.contraction import ALIGNMENT, taps
from spindl.run.sim.ops import byte_convolution, digits
from spindl.run.sim.ops.pieces import BLOCK, Pieces, channels_first, empty, float64, in_pieces
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import Exact, as_tensor, shift_right_half_up
from spindl.run.sim.values import SimValue

EXACT_TERMS = 2**21
"""Most products of two int16 values that are summed in float64: up to 2^51, which leaves room for a bias."""
COLUMN_BYTES = {True: 1 << 22, False: 1 << 31}
"""Pieces are cut so that their columns take about this much memory on a CPU (True: its caches) and elsewhere."""

STACKING = 16
"""Most products wasted per column at which it pays to leave the vertical kernel positions out of the columns."""

FEWEST_OUTPUTS = 16
"""A product with fewer rows is slow."""
RESULT_PASSES = 4
"""Weight gradients per image are gone through so much more often than columns that they count so many times."""

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


def parts(
    images: int, outputs: tuple[int, ...], terms: int, device: torch.device, multiple: int = 1, results: int = 0
) -> Iterator[Part]:
    """Pieces of the batch with all rows of the output, or some of the rows where `multiple` images are too many.

    Args:
        images: of the batch.
        outputs: (OH, OW).
        terms: numbers of a column.
        device: a CPU has a small budget.
        multiple: a piece has a multiple of so many images, but for the last.
        results: doubles that are made per image.
    """
    budget = _budget(device)
    height = outputs[0]
    if terms * prod(outputs) * multiple > budget:
        height = max(1, min(height, budget // (terms * outputs[1] * multiple)))
    for part in images_at_once(images, max(terms * prod(outputs), results), device, multiple):
        for top in range(0, outputs[0], height):
            yield part, slice(top, min(top + height, outputs[0]))


def _budget(device: torch.device) -> int:
    return COLUMN_BYTES[device.type == "cpu"] // 8


def columns(x: Tensor, part: Part, kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any, stacked: bool) -> Tensor:
    """What each output of a part sees: (N, C, H, W) -> float64 (C, KH, KW, images, rows, OW).

    Args:
        x: int16.
        part: images and rows of the output.
        kernel, outputs: (KH, KW), (OH, OW).
        a: stride, dilation, and padding, of which a negative one means cells that are cut off.
        stacked: only with a vertical stride of 1. The axis KH is 1, and there are dilation * (KH - 1) more rows:
            position i of the kernel sees the rows from dilation * i on. A copy then holds less.
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
        padded = float64(inside.contiguous())
    else:
        padded = torch.zeros((channels, number, count, width), dtype=torch.float64, device=x.device)
        if top < bottom and start < stop:
            padded[:, :, top - first : bottom - first, start + left : stop + left] = inside.contiguous()
    channel, image, row, column = padded.stride()
    taps_down, seen_rows = (1, count) if stacked else (kernel[0], band.stop - band.start)
    return padded.as_strided(
        (channels, taps_down, kernel[1], number, seen_rows, outputs[1]),
        (channel, row * dilation, column * spread, image, row * down, column * right),
    )


def _convolved_in_float64(out: Tensor, x: Tensor, weight: Tensor, a: Any) -> Pieces:
    """weight is float64 (groups, O/groups, C/groups, KH, KW), out the logical result."""
    groups, filters, channels, *kernel = weight.shape
    outputs, dilation = tuple(out.shape[2:]), a["dilation"][0]
    worth = filters * dilation * (kernel[0] - 1) <= STACKING * outputs[0]
    stacked = a["stride"][0] == 1 and worth and channels * prod(kernel) <= EXACT_TERMS
    # (taps, groups, O/groups, terms)
    taps_down = weight.permute(3, 0, 1, 2, 4).flatten(3) if stacked else weight.flatten(2)[None]
    terms = taps_down.shape[3]
    for part in parts(x.shape[0], outputs, groups * terms, x.device):
        seen = columns(x, part, tuple(kernel), outputs, a, stacked)
        images, height = seen.shape[3], part[1].stop - part[1].start
        exact = _sum_over_taps(taps_down, seen.reshape(groups, terms, -1), dilation * outputs[1])
        exact = exact.view(groups * filters, images, -1, outputs[1])
        # stacked, the sums at the end of each image's rows reach across images and mean nothing
        yield channels_first(out)[:, part[0], part[1]], exact[:, :, :height]


def _sum_over_taps(weights: Tensor, columns: Tensor, step: int) -> Tensor:
    """The sum over taps i of weights[i] @ columns[..., i * step :], as wide as columns; undefined at the end.

    Args:
        weights: float64 (taps, groups, M, K).
        columns: float64 (groups, K, N).
    """
    if len(weights) == 1:
        return product(weights[0], columns)
    groups, width = len(columns), columns.shape[2]
    total = columns.new_empty((groups, weights.shape[2], width))
    size = width - step * (len(weights) - 1)
    for i, tap in enumerate(weights):
        sums, seen = total[:, :, :size], columns[:, :, i * step : i * step + size]
        if groups == 1:
            torch.addmm(sums[0], tap[0], seen[0], beta=min(i, 1), out=sums[0])
        else:
            torch.baddbmm(sums, tap, seen, beta=min(i, 1), out=sums)
    return total


@in_pieces("convolution")
def convolution(node: Node, out: Tensor, x: SimValue, w: SimValue) -> tuple[int, Pieces]:
    a: Any = node.attributes
    return x.exponent + w.exponent, _convolved(out, x.data, w.data, a)


def _convolved(out: Tensor, x: Tensor, w: Tensor, a: Any) -> Pieces:
    """A convolution of x with w (O, C/groups, KH, KW), out the logical result."""
    found = byte_convolution.convolved(out, x, w, a) if a["groups"] == 1 else None
    found = found if found is not None else _convolved_by_digits(out, x, w, a)
    return found if found is not None else _convolved_in_float64(out, x, _by_group(w, a["groups"]), a)


def _convolved_by_digits(out: Tensor, x: Tensor, w: Tensor, a: Any) -> Pieces | None:
    if min(*a["padding"][0], *a["padding"][1]) < 0 or a["groups"] > 1 or len(w) < digits.FEWEST_FILTERS:
        return None
    operands = digits.split_both(x, w, prod(w.shape[1:]), digits.FEWEST_TERMS)
    if operands is None:
        return None
    target = channels_first(out)
    found = digits.convolved(*operands, tuple(out.shape[2:]), a)
    return ((target[:, images], exact) for images, exact in found)


def _by_group(w: Tensor, groups: int) -> Tensor:
    """(O, C/groups, KH, KW) -> float64 (groups, O/groups, C/groups, KH, KW)."""
    return float64(w).reshape(groups, w.shape[0] // groups, *w.shape[1:])


@in_pieces("convolution_input_gradient")
def convolution_input_gradient(node: Node, out: Tensor, dy: SimValue, w: SimValue) -> tuple[int, Pieces]:
    """A convolution of dy, with zeros for a stride, with the weights turned round; or a sum over kernel positions."""
    a: Any = node.attributes
    exponent = dy.exponent + w.exponent
    reach = [d * (k - 1) for d, k in zip(a["dilation"], w.data.shape[2:], strict=True)]
    padding = tuple((r - p[0], r - p[1]) for r, p in zip(reach, a["padding"], strict=True))
    transposed = {"stride": (1, 1), "dilation": a["dilation"], "padding": padding, "groups": a["groups"]}
    by_group = w.data.flip(2, 3).reshape(a["groups"], -1, *w.data.shape[1:])
    turned = by_group.transpose(1, 2).flatten(0, 1)
    if tuple(a["stride"]) == (1, 1):
        return exponent, _convolved(out, dy.data, turned, transposed)
    found = None
    if a["groups"] == 1 and min(reach) > 0 and all(before == after >= 0 for before, after in padding):
        spaced = _spaced(out, dy.data, reach, padding, a["stride"])
        found = byte_convolution.convolved(out, spaced, turned, transposed)
    return exponent, found if found is not None else _spread(out, dy.data, _by_group(w.data, a["groups"]), a)


def _spaced(out: Tensor, dy: Tensor, reach: Any, padding: Any, stride: Any) -> Tensor:
    """dy with zeros between its rows and columns, and after them so many that equal padding gives `out`."""
    size = [n + r - 2 * p[0] for n, r, p in zip(out.shape[2:], reach, padding, strict=True)]
    spaced = empty((*dy.shape[:2], *size), torch.int16, dy.device).zero_()
    taken = [slice(0, (n - 1) * step + 1, step) for n, step in zip(dy.shape[2:], stride, strict=True)]
    spaced[:, :, taken[0], taken[1]] = dy
    return spaced


def _spread(out: Tensor, dy: Tensor, weight: Tensor, a: Any) -> Pieces:
    """weight is float64 (groups, O/groups, C/groups, KH, KW), out the logical result."""
    groups, terms, _, *kernel = weight.shape
    outputs, shape = tuple(dy.shape[2:]), tuple(out.shape[2:])
    lines = weight.flatten(2).transpose(1, 2)
    wide = torch.float64 if terms * prod(kernel) <= EXACT_TERMS else torch.int64
    for images in images_at_once(dy.shape[0], groups * lines.shape[1] * prod(outputs), dy.device):
        gradient = float64(channels_first(dy)[:, images].contiguous())
        spread = product(lines, gradient.reshape(groups, terms, -1)).to(wide)
        spread = spread.view(out.shape[1], *kernel, -1, *outputs)
        piece = spread.new_zeros((out.shape[1], spread.shape[3], *shape))
        for i, j, read, write in taps(shape, outputs, tuple(kernel), a):
            piece[(..., *read)] += spread[:, i, j, :, *write]
        yield channels_first(out)[:, images], piece


WeightPart = tuple[slice, slice, slice, tuple[int, ...]]
"""Gradient groups, outputs and rows of the kernel; the last two are cut alike for all gradient groups. And which of the
axes (O, C/groups, KH, KW) the axes of the exact values after the first are."""
AS_WEIGHTS = (0, 1, 2, 3)


def weight_gradient_parts(node: Node, dy: Tensor, x: Tensor) -> Iterator[tuple[WeightPart, Exact]]:
    """The exact weight gradients of each part, (gradient groups, four axes as told); int64 for long sums."""
    a: Any = node.attributes
    size, images = a["group_size"], dy.shape[0]
    whole = images - images % size
    for first, last, each in ((0, whole, size), (whole, images, images - whole)):  # the last group may be smaller
        if first < last:
            for (part, filters, lines, axes), wide in _weight_gradients(node, dy[first:last], x[first:last], each):
                groups = slice(part.start + first // size, part.stop + first // size)
                yield (groups, filters, lines, axes), wide


def _weight_gradients(node: Node, dy: Tensor, x: Tensor, size: int) -> Iterator[tuple[WeightPart, Exact]]:
    """The same where every gradient group has `size` images."""
    a: Any = node.attributes
    groups, outputs, (channels, *kernel) = a["groups"], tuple(dy.shape[2:]), a["weight_shape"][1:]
    filters, long = a["weight_shape"][0] // groups, size * prod(outputs) > EXACT_TERMS
    stacked = a["group_size"] == 1 and a["stride"][0] == 1
    lines = [slice(i, i + 1) for i in range(kernel[0])] if stacked else [slice(0, kernel[0])]
    terms = channels * kernel[1] * (1 if stacked else kernel[0])
    if groups == 1 and (found := _weight_gradients_by_digits(dy, x, size, a)) is not None:
        yield from found
        return
    totals: dict[tuple[int, int], Tensor] = {}
    at_once = filters if groups > 1 else min(filters, max(FEWEST_OUTPUTS, BLOCK // terms))
    results = RESULT_PASSES * groups * filters * terms // size
    for part in parts(dy.shape[0], outputs, groups * terms, dy.device, size, results):
        images, band = part
        count, pixels = (images.stop - images.start) // size, (band.stop - band.start) * outputs[1] * size
        gradient = float64(channels_first(dy)[:, images, band].contiguous()).reshape(groups, filters, count, pixels)
        left = gradient.transpose(1, 2).flatten(0, 1)
        seen = columns(x, part, tuple(kernel), outputs, a, stacked).reshape(groups, terms, count, -1)
        right = seen.permute(0, 2, 3, 1).flatten(0, 1)
        for line, first in product_of(lines, range(0, filters, at_once)):
            start = line.start * a["dilation"][0] * outputs[1] if stacked else 0
            exact = product(left[:, first : first + at_once], right[:, start : start + pixels])
            if band.start > 0:
                exact = totals.pop((line.start, first)).add_(exact)
            elif long:
                exact = exact.to(torch.int64)
            if band.stop < outputs[0]:
                totals[line.start, first] = exact
                continue
            wide = exact.reshape(groups, count, -1, terms).transpose(0, 1)
            shape = (count, wide.shape[1] * wide.shape[2], channels, line.stop - line.start, kernel[1])
            place = slice(first, first + shape[1])
            yield (slice(images.start // size, images.stop // size), place, line, AS_WEIGHTS), wide.reshape(shape)


def _weight_gradients_by_digits(dy: Tensor, x: Tensor, size: int, a: Any) -> Iterator[tuple[WeightPart, Exact]] | None:
    filters, channels, *kernel = a["weight_shape"]
    if min(*a["padding"][0], *a["padding"][1]) < 0:
        return None
    operands = digits.split_both(dy, x, size * prod(dy.shape[2:]), digits.FEWEST_POSITIONS)
    if operands is None:
        return None
    at_once = min(filters, max(FEWEST_OUTPUTS, BLOCK // (channels * prod(kernel))))
    parts_found = digits.weight_gradients(*operands, tuple(kernel), a, size, at_once)
    whole = slice(0, kernel[0])
    return (((groups, cut, whole, (2, 3, 1, 0)), wide) for groups, cut, wide in parts_found)


@implements("convolution_weight_gradient")
def convolution_weight_gradient(node: Node, dy: SimValue, x: SimValue) -> SimValue:
    dw = torch.empty(node.shape, dtype=torch.int64, device=dy.data.device)
    for (part, filters, lines, axes), wide in weight_gradient_parts(node, dy.data, x.data):
        dw[part, filters, :, lines].permute(0, *(1 + axis for axis in axes)).copy_(as_tensor(wide))
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
    for place, sums in pieces:
        exact = as_tensor(sums)
        bias_like = aligned.view(-1, *(1,) * (exact.ndim - 1))
        if exact.dtype == torch.float64 and shift == 0 and bias_shift >= -20:
            yield place, exact.add_(float64(bias_like))  # at most 2^51 + 2^31 * 2^20
        else:
            yield place, shift_right_half_up(exact.to(torch.int64), shift) + bias_like
