"""Convolutions of int16 as three of bytes, by oneDNN's int8 convolution: no patches are copied.

With x = 256 xh + xl and w = 256 wh + wl the sum of x w is 65536 hh + 256 mid + ll, where hh sums xh wh, mid sums
xh wl + xl wh and ll sums xl wl. Each is one convolution of the pictures whose channels are the bytes of x, as they lie
in memory. oneDNN adds in int32, and the float32 result is exact as long as no sum exceeds 2^24, which the digits at
hand prove.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import torch
from torch import Tensor

from spindl.run.sim.ops.digits import Digits, split
from spindl.run.sim.ops.pieces import Pieces, channels_first, channels_last
from spindl.run.sim.rounding import Thirds

EXACT = 2**24
"""Integers of at most this magnitude are exact in float32."""
FEWEST_PRODUCTS = 1 << 22
"""Smaller convolutions are as quick in float64: three calls, and packing the weights, cost the same for all."""
PIECE = 1 << 20
"""Results of a call."""
BLOCK = 1 << 18
"""Results that are rounded at a time: they stay in the CPU's caches."""
ZERO = 128
"""What stands for zero: oneDNN wants the digits of pictures unsigned."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Stride, padding (equal before and after), dilation."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


@cache
def available() -> bool:
    """Whether int8 convolutions are quick here, and exact for the largest digits and longest sums."""
    if not torch.cpu._is_vnni_supported() or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return False
    return all(_exact(channels, kernel) for channels, kernel in ((1024, 1), (64, 3), (3, 3)))


def _exact(channels: int, kernel: int) -> bool:
    """One convolution whose sums are as large as possible or have any last bit, by its definition."""
    place = torch.arange(channels * 64 * 4).view(channels, 64, 4)
    pictures = torch.stack([place * 37 % 256, (place % 2) * 255, place * 0, place * 0 + 255])
    taps = torch.arange(32 * channels * kernel**2).view(32, channels, kernel, kernel)
    weights = (taps * 53 + taps // 7) % 256 - 128
    weights[0], weights[1] = -128, 127
    geometry = Geometry((1, 1), (kernel // 2, kernel // 2), (1, 1))
    images = pictures.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    found = _convolved(images, _packed(weights.to(torch.int8), geometry), geometry)
    zero = (pictures - ZERO).to(torch.float64)
    expected = torch.nn.functional.conv2d(zero, weights.to(torch.float64), padding=kernel // 2)
    fits = expected.abs() <= EXACT
    return bool((found.to(torch.float64)[fits] == expected[fits]).all())


@dataclass(frozen=True, slots=True)
class _Packed:
    """Weights as oneDNN wants them."""

    data: Tensor
    scales: Tensor
    zeros: Tensor


def _packed(weights: Tensor, g: Geometry, scale: float = 1.0) -> _Packed:
    """int8 (O, C, KH, KW), and a power of two by which the sums are multiplied."""
    scales, zeros = torch.full((len(weights),), scale), torch.zeros(len(weights), dtype=torch.int64)
    data = torch.ops.onednn.qconv_prepack(
        weights, scales, 1.0, ZERO, list(g.stride), list(g.padding), list(g.dilation), 1, None
    )
    return _Packed(data, scales, zeros)


def _convolved(pictures: Tensor, w: _Packed, g: Geometry) -> Tensor:
    """uint8 (N, C, H, W), ZERO for zero, to float32 (N, O, OH, OW), channels last."""
    sums: Tensor = torch.ops.onednn.qconv2d_pointwise(
        pictures, 1.0, ZERO, w.data, w.scales, w.zeros, None, list(g.stride), list(g.padding), list(g.dilation), 1,
        1.0, 0, torch.float32, "none", [], "",
    )  # fmt: skip
    return sums


def _weights(w: Tensor, g: Geometry) -> tuple[_Packed, _Packed, _Packed]:
    """Of int16 (O, C, KH, KW): what makes hh, mid and ll of (low, high) bytes of every channel."""
    low = w.to(torch.int8)
    high = ((w + 128) >> 8).to(torch.int8)
    nothing = torch.zeros_like(low)
    shape = (len(w), -1, *w.shape[2:])

    def packed(for_low: Tensor, for_high: Tensor, scale: float = 1.0) -> _Packed:
        return _packed(torch.stack((for_low, for_high), 2).view(shape), g, scale)

    return packed(nothing, high), packed(high, low), packed(low, nothing, 1 / 256)


def proven(terms: int, x: Digits, w: Digits) -> bool:
    """Whether sums of so many products of digits are exact and obey `Thirds`."""
    middle, low = 128 * (x.largest + w.largest), 128 * 128
    return terms * max(low, x.largest * w.largest, middle + low // 256) <= EXACT - 2**8


def convolved(out: Tensor, x: Tensor, w: Tensor, a: Any) -> Pieces | None:
    """The pieces of a convolution without groups, or None if this is no way to compute it.

    Args:
        out: the logical result.
        x, w: int16 (N, C, H, W) and (O, C, KH, KW).
        a: stride, dilation and padding.
    """
    terms, outputs = prod(w.shape[1:]), prod(out.shape[2:])
    if x.device.type != "cpu" or out.numel() * terms < FEWEST_PRODUCTS or not available():
        return None
    if any(before != after or before < 0 for before, after in a["padding"]):
        return None
    pictures, filters = split(x), split(w)
    if pictures is None or filters is None or not proven(terms, pictures, filters):
        return None
    geometry = Geometry(tuple(a["stride"]), tuple(p[0] for p in a["padding"]), tuple(a["dilation"]))
    return _pieces(out, pictures, filters, geometry, max(1, PIECE // (len(w) * outputs)))


def _pieces(out: Tensor, x: Digits, w: Digits, g: Geometry, at_once: int) -> Pieces:
    packed = _weights(w.values, g)
    pixels, target = channels_last(x.values), channels_first(out)
    for first in range(0, len(pixels), at_once):
        images = slice(first, first + at_once)
        # two's complement: the bytes of m + 128 + 2^15 are low + ZERO and high + ZERO
        values = pixels[images]
        shape = (*values.shape[:3], 2 * values.shape[3])
        pictures = torch.sub(values.reshape(-1), 2**15 - 128).view(torch.uint8).view(shape).movedim(-1, 1)
        high, middle, low = (channels_first(_convolved(pictures, part, g)) for part in packed)
        number = high.shape[1]
        step = max(1, number * BLOCK // high.numel())
        for i in range(0, number, step):
            place = target[:, first + i : first + min(i + step, number)]
            yield place, Thirds(high, middle, low)[:, i : i + step]
