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

from spindl.run.sim.ops.pieces import channels_last
from spindl.run.sim.rounding import LONGEST_SHIFT, Exact, Halves

LARGEST = 127 * 256 + 127
"""Largest magnitude with two digits. Only 16-bit formats reach beyond; then others compute."""
TERMS = 2**16
"""Most products in a sum: two sums of so many products of bytes, at most 2^14 each, stay below 2^31 together."""
FEWEST_TERMS = 257
"""Shorter sums are as quick in float64: putting digits together costs the same for every sum."""
FEWEST_POSITIONS = 128
"""The same for weight gradients, where every gradient group is a product of its own."""
PIECE_BYTES = 1 << 24
"""Pieces are cut so that their columns and sums take about this much memory."""
PATCH_BYTES = 1 << 21
"""The same for convolutions."""
FEWEST_FILTERS = 32
"""A convolution with fewer filters is as quick in float64: cutting and copying the pictures costs the same for all."""


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
    low, high = torch.aminmax(channels_last(x))  # which lies in one piece: else it would be copied
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
    if _halves_hold(terms, x, y):
        return Halves(middle.add_(high, alpha=256).add_(low >> 8), low)
    return middle.to(torch.float64).add_(high, alpha=256).mul_(256).add_(low)


def _halves_hold(terms: int, x: Digits, y: Digits) -> bool:
    """Whether 32 bits hold the upper half of sums of so many products, and the half that rounding adds to it."""
    largest = terms * (128 * (x.largest + y.largest) + 256 * x.largest * y.largest + 64)
    return largest + (1 << LONGEST_SHIFT) < 2**31


def convolved(x: Digits, w: Digits, outputs: tuple[int, ...], a: Any) -> Iterator[tuple[slice, Exact]]:
    """The exact sums of a convolution: images, (filters, images, OH, OW).

    Each output's patch lies in one row, channels innermost: then copying runs over KW * C bytes, and the products need
    not arrange the patches once more.

    Args:
        x: of (N, C, H, W).
        w: of (O, C, KH, KW).
        outputs: (OH, OW).
        a: stride, dilation and padding of the convolution, none of them negative.
    """
    images, filters, terms, places = len(x.values), len(w.values), prod(w.values.shape[1:]), prod(outputs)
    pixels = channels_last(x.values)
    at_once = max(1, PATCH_BYTES // (2 * places * (terms + 6 * filters)))
    lines = _lines(channels_last(w.values))
    for first in range(0, images, at_once):
        part = slice(first, min(first + at_once, images))
        seen = _patches(_padded(pixels[part], a["padding"]), tuple(w.values.shape[2:]), outputs, a)
        sums = torch._int_mm(lines, seen.reshape(-1, 2 * terms).t())
        high, middle, low = sums.view(3, -1, part.stop - first, *outputs).unbind()
        yield part, joined(high, middle, low, terms, x, w)


def _lines(weights: Tensor) -> Tensor:
    """What makes the three sums of the two digits of every channel: (O, KH, KW, C) to int8 (3 * O, KH * KW * C * 2)."""
    low, high = pair(weights)
    nothing = torch.zeros_like(low)
    return torch.stack([torch.stack(p, -1) for p in ((nothing, high), (high, low), (low, nothing))]).view(
        3 * len(weights), -1
    )


def _interleaved(values: Tensor) -> Tensor:
    """int16 (..., C) to their digits, int8 (..., C * 2), the low one first; contiguous values."""
    digits = torch.add(values.reshape(-1), 128).bitwise_xor_(128)  # a negative low byte leaves one more in the high one
    return digits.view(torch.int8).view(*values.shape[:-1], 2 * values.shape[-1])


def _padded(values: Tensor, padding: Any) -> Tensor:
    """int16 (images, H, W, C) to the digits of padded pictures, int8 (images, H', W', C * 2), the low one first."""
    (above, below), (left, right) = padding
    number, height, width, channels = values.shape
    if above == below == left == right == 0:
        return _interleaved(values)
    padded = torch.empty((number, above + height + below, left + width + right, channels), dtype=torch.int16)
    for edge in (padded[:, :above], padded[:, above + height :], padded[:, :, :left], padded[:, :, left + width :]):
        edge.fill_(128)
    torch.add(values, 128, out=padded[:, above : above + height, left : left + width])
    return padded.bitwise_xor_(128).view(torch.int8)


def _patches(pixels: Tensor, kernel: tuple[int, ...], outputs: tuple[int, ...], a: Any) -> Tensor:
    """What each output sees: (images, H, W, numbers) as (images, OH, OW, KH, KW, numbers), a view."""
    image, row, column, _ = pixels.stride()
    (down, right), (dilation, spread) = a["stride"], a["dilation"]
    return pixels.as_strided(
        (len(pixels), *outputs, *kernel, pixels.shape[3]),
        (image, down * row, right * column, dilation * row, spread * column, 1),
    )


def weight_gradients(
    dy: Digits, x: Digits, kernel: tuple[int, ...], a: Any, size: int, filters_at_once: int
) -> Iterator[tuple[slice, slice, Exact]]:
    """The exact weight gradients: gradient groups, filters, (gradient groups, KH, KW, C, filters).

    Args:
        dy: of (N, O, OH, OW).
        x: of (N, C, H, W).
        kernel: (KH, KW).
        a: stride, dilation and padding of the convolution, none of them negative.
        size: images of a gradient group; divides N.
        filters_at_once: the cut of O.
    """
    images, filters, *outputs = dy.values.shape
    channels = x.values.shape[1]
    terms, places = channels * prod(kernel), prod(outputs)
    heaviest = max(2 * (terms + filters) * places * size, 16 * min(filters, filters_at_once) * terms)
    at_once = max(1, PIECE_BYTES // heaviest) * size
    left, right = channels_last(x.values), channels_last(dy.values)
    for first in range(0, images, at_once):
        part = slice(first, min(first + at_once, images))
        count = (part.stop - first) // size
        seen = _patches(_padded(left[part], a["padding"]), kernel, tuple(outputs), a)
        lines = seen.reshape(count, size * places, 2 * terms).transpose(1, 2).unbind()
        gradient = _interleaved(right[part]).view(count, size * places, 2 * filters)
        groups = slice(first // size, part.stop // size)
        for line in range(0, filters, filters_at_once):
            cut = slice(line, min(line + filters_at_once, filters))
            wide = gradient[..., 2 * cut.start : 2 * cut.stop].contiguous()
            sums = torch.empty((count, 2 * terms, wide.shape[2]), dtype=torch.int32)
            for each, column, out in zip(lines, wide.unbind(), sums.unbind(), strict=True):
                torch._int_mm(each, column, out=out)
            low, high = sums.view(count, *kernel, channels, 2, wide.shape[2]).unbind(4)
            yield groups, cut, _joined_columns(low, high, size * places, x, dy)


def _joined_columns(low: Tensor, high: Tensor, terms: int, x: Digits, y: Digits) -> Exact:
    """`joined` of the sums of x's low and high digits with y's, (..., filters * 2), the low one first."""
    filters = low.shape[-1] // 2
    paired = (*low.shape[:-1], filters, 2)
    if not _halves_hold(terms, x, y):
        (ll, lh), (hl, hh) = (half.view(paired).unbind(-1) for half in (low, high))
        return joined(hh, lh + hl, ll, terms, x, y)
    upper = low.bitwise_right_shift(torch.tensor([8, 0], dtype=torch.int32).repeat(filters))
    upper.addcmul_(high, torch.tensor([1, 256], dtype=torch.int32).repeat(filters))
    left, right = upper.view(paired).unbind(-1)  # (ll >> 8) + hl and lh + 256 * hh
    return Halves(left + right, low.view(paired)[..., 0])
