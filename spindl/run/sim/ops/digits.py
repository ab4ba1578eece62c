"""Contractions of int16 as four products of int8 matrices, for CPUs whose vector instructions multiply bytes.

m = 256 * high + low with low in -128..127 and high in -127..127, for |m| <= LARGEST. PyTorch multiplies int8 matrices
into int32 sums, which are exact up to TERMS terms. One product of stacked digits gives all four; they meet in float64.
Not for grouped convolutions, whose products are small.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from spindl.run.sim.ops.pieces import channels_first, channels_last
from spindl.run.sim.rounding import LONGEST_SHIFT, Exact, Halves

LARGEST = 127 * 256 + 127
"""Largest magnitude with two digits. Only 16-bit formats reach beyond; then others compute."""
TERMS = 2**16
"""Most products in a sum: two sums of so many products of bytes, at most 2^14 each, stay below 2^31 together."""
FEWEST_TERMS = 257
"""Shorter sums are as quick in float64: putting digits together costs the same for every sum."""
FEWEST_POSITIONS = 128
"""The same for weight gradients, where every gradient group is a product of its own."""
PIECE_BYTES = 1 << 21
"""Pieces are cut so that their columns and sums take about this much memory."""
PATCH_BYTES = 1 << 21
"""The same for convolutions."""
FEWEST_FILTERS = 32
"""A convolution with fewer filters is as quick in float64: cutting and copying the pictures costs the same for all."""
FILTERS = 256
"""Most filters of a product."""


@cache
def available() -> bool:
    """Whether int8 products are quick here, and exact for the largest digits (old instructions saturate in 16 bits)."""
    if not torch.cpu._is_vnni_supported() or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    pairs = [(a, b) for a in (127, -128) for b in (127, -128)]
    return all(bool((torch._int_mm(_filled(64, 256, a), _filled(256, 64, b)) == 256 * a * b).all()) for a, b in pairs)


def _filled(rows: int, columns: int, value: int) -> Tensor:
    return torch.full((rows, columns), value, dtype=torch.int8)


@dataclass(frozen=True, slots=True)
class Digits:
    """An int16 tensor of two digits, and the largest magnitude of the high one."""

    values: Tensor
    largest: int


def pair(values: Tensor) -> tuple[Tensor, Tensor]:
    """The low and the high digits, int8, of int16 values."""
    return values.to(torch.int8), ((values + 128) >> 8).to(torch.int8)


def split(x: Tensor) -> Digits | None:
    """The digits of int16 values, or None if two are too few."""
    low, high = torch.aminmax(x)
    largest = max(int(high), -int(low))
    if largest > LARGEST:
        return None
    return Digits(x, (largest + 128) >> 8)


def split_both(x: Tensor, y: Tensor, terms: int, fewest: int) -> tuple[Digits, Digits] | None:
    """The digits of both operands of a contraction with so many terms, or None if this is no way to compute it.

    PyTorch leaves sums of a single product of bytes undefined on some CPUs.
    """
    if x.device.type != "cpu" or not max(fewest, 2) <= terms <= TERMS or not available():
        return None
    first, second = split(x), split(y)
    return None if first is None or second is None else (first, second)


def joined(high: Tensor, middle: Tensor, low: Tensor, terms: int, x: Digits, y: Digits) -> Exact:
    """The exact sums 65536 * high + 256 * middle + low of so many products; `middle` is overwritten.

    Halves where 32 bits surely hold the upper one, with the half that rounding adds to it; else float64.

    Args:
        high, low: int32 sums of the products of both high and of both low digits.
        middle: int32 sums of the products of a high and a low digit.
        terms: of a sum.
        x, y: the operands.
    """
    largest = terms * (128 * (x.largest + y.largest) + 256 * x.largest * y.largest + 64)
    if largest + (1 << LONGEST_SHIFT) < 2**31:
        return Halves(middle.add_(high, alpha=256).add_(low >> 8), low)
    return middle.to(torch.float64).add_(high, alpha=256).mul_(256).add_(low)


def _joined(sums: Tensor, terms: int, x: Digits, y: Digits) -> Exact:
    """The exact sums (A, ...) from int32 (A, 2, 2, ...) with the low digits first."""
    return joined(sums[:, 1, 1], sums[:, 0, 1] + sums[:, 1, 0], sums[:, 0, 0], terms, x, y)


@dataclass(frozen=True, slots=True)
class Grid:
    """How pictures of bytes lie in memory so that each kernel position sees one long row.

    With stride 1 the sums are made at every cell of the padded picture, and those beyond the outputs mean nothing.
    Rows share their padding with the next row, pictures with the next picture.

    Attributes:
        picture: (H, W).
        cells: (H, W) of a padded picture.
        kernel, outputs: (KH, KW), (OH, OW).
        stride, dilation: of the convolution.
        start: cells before the first picture.
        margin: cells of a channel besides the pictures.
        places: (rows, columns) of the sums of a picture.
    """

    picture: tuple[int, ...]
    cells: tuple[int, int]
    kernel: tuple[int, ...]
    outputs: tuple[int, ...]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    start: int
    margin: int
    places: tuple[int, int]

    @property
    def area(self) -> int:
        """Cells of a padded picture."""
        return prod(self.cells)

    def padded(self, x: Digits, images: slice) -> Tensor:
        """(C, cells of a channel) int8: the margin at both ends, and all low digits before the high ones."""
        low, high = pair(channels_first(x.values)[:, images].contiguous())
        channels, number, height, width = low.shape
        size = 2 * number * self.area
        bare = self.margin == 0 and self.cells == self.picture
        make = torch.empty if bare else torch.zeros
        buffer = make((channels, size + self.margin), dtype=torch.int8)
        view = buffer[:, self.start : self.start + size].view(channels, 2, number, *self.cells)
        view[:, 0, :, :height, :width] = low
        view[:, 1, :, :height, :width] = high
        return buffer

    def columns(self, buffer: Tensor, size: int | None = None) -> Tensor:
        """What each sum of the padded pictures sees, int8.

        Returns:
            (C * KH * KW, sums of the low and of the high digits); with `size` images in a gradient group
            (gradient groups, 2 * C * KH * KW, sums).
        """
        width = self.cells[1]
        images = (buffer.shape[1] - self.margin) // (2 * self.area)
        taps = (buffer.stride(0), self.dilation[0] * width, self.dilation[1])
        shape = (len(buffer), *self.kernel)
        seen: tuple[int, ...] = (self.area,)
        steps: tuple[int, ...] = (1,)
        if self.stride != (1, 1):
            seen, steps = self.places, (self.stride[0] * width, self.stride[1])
        if size is None:
            return buffer.as_strided((*shape, 2 * images, *seen), (*taps, self.area, *steps)).reshape(prod(shape), -1)
        count = images // size
        grouped = buffer.as_strided(
            (count, 2, *shape, size, *seen),
            (size * self.area, images * self.area, *taps, self.area, *steps),
        )
        return grouped.reshape(count, 2 * prod(shape), -1)


def grid(picture: tuple[int, ...], kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any) -> Grid | None:
    """The grid of a convolution with such attributes; None for negative padding."""
    (above, below), (left, right) = a["padding"]
    if min(above, below, left, right) < 0:
        return None
    stride, dilation = tuple(a["stride"]), tuple(a["dilation"])
    height, width = picture[0] + max(above, below), picture[1] + max(left, right)
    if stride == (1, 1):
        height, width = max(height, outputs[0]), max(width, outputs[1])
    start = above * width + left
    reach = dilation[0] * (kernel[0] - 1) * width + dilation[1] * (kernel[1] - 1)
    places = (height, width) if stride == (1, 1) else (outputs[0], outputs[1])
    return Grid(picture, (height, width), kernel, outputs, stride, dilation, start, max(start, reach), places)


def convolved(x: Digits, w: Digits, outputs: tuple[int, ...], a: Any) -> Iterator[tuple[slice, slice, Exact]]:
    """The exact sums of a convolution: images, filters, (filters, images, OH, OW).

    Each output's patch lies in one row, channels innermost: then copying runs over KW * C bytes, and the products need
    not arrange the patches once more.

    Args:
        x: of (N, C, H, W).
        w: of (O, C, KH, KW).
        outputs: (OH, OW).
        a: stride, dilation and padding of the convolution, none of them negative.
    """
    images, filters, terms, places = len(x.values), len(w.values), prod(w.values.shape[1:]), prod(outputs)
    lines = torch.stack([v.permute(0, 2, 3, 1).reshape(filters, terms) for v in pair(w.values)], 1).flatten(0, 1)
    at_once = max(1, PATCH_BYTES // (2 * places * (terms + 8 * min(filters, FILTERS))))
    for first in range(0, images, at_once):
        part = slice(first, min(first + at_once, images))
        seen = _patches(_pixels(x, part, a["padding"]), tuple(w.values.shape[2:]), outputs, a).t()
        for line in range(0, filters, FILTERS):
            sums = torch._int_mm(lines[2 * line : 2 * (line + FILTERS)], seen)
            exact = _joined(sums.view(-1, 2, 2, part.stop - first, *outputs), terms, x, w)
            yield part, slice(line, line + FILTERS), exact


def _pixels(x: Digits, images: slice, padding: Any) -> Tensor:
    """The digits of padded pictures, int8 (2, images, H', W', C)."""
    (above, below), (left, right) = padding
    values = channels_last(x.values)[images]
    number, height, width, channels = values.shape
    bare = above == below == left == right == 0
    make = torch.empty if bare else torch.zeros
    pixels = make((2, number, above + height + below, left + width + right, channels), dtype=torch.int8)
    inside = pixels[:, :, above : above + height, left : left + width]
    inside[0] = values
    inside[1] = (values + 128).bitwise_right_shift_(8)
    return pixels


def _patches(pixels: Tensor, kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any) -> Tensor:
    """What each output sees of each digit: (2, images, H, W, C) -> int8 (2 * images * OH * OW, KH * KW * C)."""
    digit, image, row, column, _ = pixels.stride()
    (down, right), (dilation, spread) = a["stride"], a["dilation"]
    shape = (*pixels.shape[:2], *outputs, *kernel, pixels.shape[4])
    seen = pixels.as_strided(
        shape, (digit, image, down * row, right * column, dilation * row, spread * column, 1)
    )  # a view of the pixels themselves for 1x1 kernels without a stride
    return seen.reshape(2 * pixels.shape[1] * prod(outputs), -1)


def weight_gradients(
    dy: Digits, x: Digits, shape: Grid, size: int, filters_at_once: int
) -> Iterator[tuple[slice, slice, Exact]]:
    """The exact weight gradients: gradient groups, filters, (gradient groups, filters, C * KH * KW).

    Args:
        dy: of (N, O, OH, OW).
        x: of (N, C, H, W).
        shape: of the convolution.
        size: images of a gradient group; divides N.
        filters_at_once: the cut of O.
    """
    images, filters = dy.values.shape[:2]
    terms, places = x.values.shape[1] * prod(shape.kernel), prod(shape.places)
    heaviest = max(2 * (terms + filters) * places * size, 16 * min(filters, filters_at_once) * terms)
    at_once = max(1, PIECE_BYTES // heaviest) * size
    positions = size * prod(shape.outputs)
    for first in range(0, images, at_once):
        part = slice(first, min(first + at_once, images))
        count = (part.stop - first) // size
        seen = shape.columns(shape.padded(x, part), size).transpose(1, 2).unbind()
        gradient = torch.zeros((count, filters, 2, size, *shape.places), dtype=torch.int8)
        for digit, values in enumerate(pair(dy.values[part].contiguous())):
            grouped = values.reshape(count, size, filters, *shape.outputs).transpose(1, 2)
            gradient[:, :, digit, :, : shape.outputs[0], : shape.outputs[1]] = grouped
        lines = gradient.view(count, 2 * filters, -1)
        groups = slice(first // size, part.stop // size)
        for line in range(0, filters, filters_at_once):
            rows = slice(line, min(line + filters_at_once, filters))
            sums = torch.empty((count, 2 * (rows.stop - line), 2 * terms), dtype=torch.int32)
            for left, right, out in zip(lines[:, 2 * line : 2 * rows.stop].unbind(), seen, sums.unbind(), strict=True):
                torch._int_mm(left, right, out=out)
            exact = _joined(sums.view(-1, 2, 2, terms), positions, dy, x)
            yield groups, rows, exact.reshape(count, -1, terms)
