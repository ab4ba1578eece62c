"""The two operations that lose information, on exact integers; the definition is `spindl.number.rounding`.

Integers are int64 tensors, or float64 tensors where all of them are known to be below 2^52: a CPU computes with those
several times faster. None of this waits for another device: shifts are known on the host, statistics stay on the device
as 0-d tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ldexp
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spindl.graph.operations import Value
from spindl.number.rounding import limit
from spindl.number.sites import EMPTY
from spindl.run.sim.values import Pending

TERM_LIMIT = 2**59
EXACT_LIMIT = 2**52
"""Integers of at most this magnitude are exact in float64, and so are they plus a half."""
INT32_LIMIT = 2**30
"""Exact values in int32 are below this magnitude, so that they may be rounded there."""
EXACT_SHIFT = 53
"""Largest shift at which such an integer * 2^-shift is still exact after adding a half."""
HALF = torch.tensor(0.5, dtype=torch.float64)
SHORT_HALF = torch.tensor(0.5)
INT16_BOUND = 2**16
"""Above every int16 magnitude: clamping to it before a left shift changes no int16 result and cannot overflow."""


def shift_right_half_up(x: Tensor, shift: int) -> Tensor:
    """RSH(x, shift) of int64 values below 2^62; left shifts (shift <= 0) must fit."""
    if shift <= 0:
        return x << -shift
    if shift > 62:
        return torch.zeros_like(x)
    return (x + (1 << (shift - 1))) >> shift


def shift_right_half_even(x: Tensor, shift: int) -> Tensor:
    """The same with ties to the even neighbour."""
    above = shift_right_half_up(x, shift)
    if not 0 < shift <= 62:
        return above
    tie = (x & ((1 << shift) - 1)) == 1 << (shift - 1)
    return above - (tie & (above & 1 == 1)).to(above.dtype)


def saturating_shift(x: Tensor, shift: int, bound: int) -> Tensor:
    """RSH(x, shift) with any left shift, right as long as only magnitudes up to `bound` < 2^60 are told apart."""
    if shift >= 0:
        return shift_right_half_up(x, shift)
    left = min(-shift, 60)
    return x.clamp(-(bound >> left) - 1, (bound >> left) + 1) << left


def term(x: Tensor, shift: int) -> Tensor:
    """RSH(x, shift), saturated to +-2^59: the terms of the optimiser's sums."""
    return saturating_shift(x, shift, TERM_LIMIT).clamp(-TERM_LIMIT, TERM_LIMIT)


def largest_magnitude(x: Tensor) -> Tensor:
    """max |x| as a 0-d int64 tensor."""
    low, high = torch.aminmax(x)
    return torch.maximum(high.to(torch.int64), -low.to(torch.int64))


def extent_of(largest: int, exponent: int) -> Value:
    """What the op `extent` says about exact values of this exponent and largest magnitude."""
    return Value(np.array(exponent + largest.bit_length() if largest else EMPTY))


def pending_extent(largest: Tensor, exponent: int) -> Pending:
    """`extent_of` a magnitude that the device still has."""

    def finish(raw: NDArray[np.int64]) -> Value:
        return extent_of(int(raw), exponent)

    return Pending(largest, finish)


def round_float(x: Tensor, shift: int, even: bool = False) -> Tensor:
    """RSH(x, shift) of float64 integers up to 2^52, or float32 up to 2^23, ties up or to even, in their own memory.

    x * 2^-shift is exact. Half-up adds 0.5, exactly for shift <= EXACT_SHIFT; beyond, |x * 2^-shift| <= 1/4 rounds
    to 0 anyhow.
    Left shifts are exact, too, but may leave the range in which a sum would be.
    """
    if shift:
        x.mul_(ldexp(1.0, -shift))
    if shift <= 0:
        return x
    return x.round_() if even else x.add_(0.5).floor_()


@dataclass(frozen=True, slots=True)
class Halves:
    """Exact values 256 * upper + (last & 255), on a CPU, where 32 bits hold the upper half: quicker than float64.

    Attributes:
        upper: int32, at most 2^31 - 2^LONGEST_SHIFT.
        last: int32.
    """

    upper: Tensor
    last: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of both."""
        return self.upper.shape

    @property
    def device(self) -> torch.device:
        """A CPU."""
        return self.upper.device

    def reshape(self, *shape: int) -> Halves:
        """Both in another shape."""
        return Halves(self.upper.reshape(*shape), self.last.reshape(*shape))

    def __getitem__(self, place: Any) -> Halves:
        return Halves(self.upper[place], self.last[place])

    def float64(self) -> Tensor:
        """The values."""
        return self.upper.to(torch.float64).mul_(256).add_(self.last & 255)

    def largest(self) -> int:
        """max |value|, or a larger number of as many bits."""
        low, high = (int(x) for x in torch.aminmax(self.upper))
        above, below = (256 * high, 256 * high + 255), (-256 * low - 255, -256 * low)
        bits = [max(above[i].bit_length(), below[i].bit_length()) for i in (0, 1)]
        if low < 0 < high and bits[0] == bits[1]:
            return max(above[1], below[1])
        return int(largest_magnitude(self.float64()))


@dataclass(frozen=True, slots=True)
class Thirds:
    """Exact values 65536 * high + 256 * middle + 256 * low, on a CPU: float32 convolves and rounds quicker than others.

    Attributes:
        high, middle: float32 integers of at most 2^24.
        low: float32 multiples of 1/256; |middle| + |low| is at most 2^24 - 2^8.
    """

    high: Tensor
    middle: Tensor
    low: Tensor

    @property
    def shape(self) -> torch.Size:
        """Of all three."""
        return self.high.shape

    @property
    def device(self) -> torch.device:
        """A CPU."""
        return self.high.device

    def reshape(self, *shape: int) -> Thirds:
        """All three in another shape."""
        return Thirds(self.high.reshape(*shape), self.middle.reshape(*shape), self.low.reshape(*shape))

    def __getitem__(self, place: Any) -> Thirds:
        return Thirds(self.high[place], self.middle[place], self.low[place])

    def float64(self) -> Tensor:
        """The values."""
        return self.high.to(torch.float64).mul_(256).add_(self.middle).add_(self.low).mul_(256)

    def rounded(self, shift: int) -> tuple[Tensor, int]:
        """RSH by 9 to 16 bits as float32, right up to 2^24 and larger beyond; and max |value|, or more of as many bits.

        floor(low) drops what is below 1, which a shift of 9 and more drops anyhow.
        """
        total = torch.floor(self.low).add_(self.middle)
        torch.add(SHORT_HALF, total, alpha=ldexp(1.0, 8 - shift), out=total)
        total.floor_().add_(self.high, alpha=ldexp(1.0, 16 - shift))
        return total, self._largest(int(total.amax()), int(total.amin()), shift)

    def _largest(self, high: int, low: int, shift: int) -> int:
        """From the extremes of the rounded values."""
        half = 1 << (shift - 1)
        above, below = (high << shift) + half - 1, half - (low << shift)  # most that is rounded to them, and -least
        least = max(above - 2 * half + 1, below - 2 * half + 1)
        most = max(above, below)
        if least > 0 and most < 1 << (24 + shift) and least.bit_length() == most.bit_length():
            return most
        return int(largest_magnitude(self.float64()))


Exact = Tensor | Halves | Thirds
"""Exact values: float64 integers up to 2^52, int64, halves or thirds; on a CPU also float32 up to 2^23, and int32 below
INT32_LIMIT."""
LONGEST_SHIFT = 24
"""Halves are rounded in int32 by up to this much more than 8 bits."""


def as_tensor(exact: Exact) -> Tensor:
    """A tensor of numbers."""
    return exact if isinstance(exact, Tensor) else exact.float64()


Statistic = int | Tensor
"""A number of a rounding: of a CPU an integer, of another device a 0-d tensor, so that nobody waits."""


def rounded_in_place(x: Exact, shift: int, bits: int, even: bool = False) -> tuple[Tensor, Statistic, Statistic]:
    """clamp(RSH(x, shift)), ties up or to even, for x that is not needed any more.

    Returns:
        the rounded values in the type of x, max |x| and how many elements were clamped.
    """
    bound = limit(bits)
    if isinstance(x, Halves) and 8 < shift <= 8 + LONGEST_SHIFT and not even:
        # the last eight bits are less than the half that is added, and change nothing
        largest: Statistic = x.largest()
        rounded = x.upper.add_(1 << (shift - 9)).bitwise_right_shift_(shift - 8)
    elif isinstance(x, Thirds) and 9 <= shift <= 16 and not even:
        rounded, largest = x.rounded(shift)
    else:
        rounded, largest = _rounded(as_tensor(x), shift, even)
    if isinstance(largest, int) and _fits(largest, shift, bound):
        return rounded, largest, 0
    clamped = rounded.clamp(-bound, bound)
    saturated = torch.count_nonzero(clamped != rounded)
    return clamped, largest, int(saturated) if isinstance(largest, int) else saturated


def _rounded(x: Tensor, shift: int, even: bool) -> tuple[Tensor, Statistic]:
    """RSH(x, shift) up to what clamping to int16 undoes, and max |x|."""
    if x.is_floating_point() and x.device.type == "cpu" and 0 < shift <= EXACT_SHIFT and not even:
        # x * 2^-shift + 0.5 is exact: one pass makes it, and its extremes tell those of x
        total = torch.add(HALF.to(x.dtype), x, alpha=ldexp(1.0, -shift), out=x if x.is_contiguous() else None)
        low, high = float(total.amin()), float(total.amax())  # two passes, and quicker than aminmax
        largest = int(ldexp(max(high - 0.5, 0.5 - low), shift))
        return total.floor_(), largest
    magnitude = largest_magnitude(x)
    if x.dtype == torch.int32:
        if 0 < shift < 30 and not even and int(magnitude) < INT32_LIMIT:  # x may be somebody's: not in its memory
            return torch.add(x, 1 << (shift - 1)).bitwise_right_shift_(shift), int(magnitude)
        x = x.to(torch.int64)
    if x.is_floating_point():
        rounded = round_float(x, shift, even)
    else:
        rounded = shift_right_half_even(x, shift) if even and shift > 0 else saturating_shift(x, shift, INT16_BOUND)
    return rounded, int(magnitude) if x.device.type == "cpu" else magnitude


def _fits(largest: int, shift: int, bound: int) -> bool:
    """Whether a magnitude is surely not clamped."""
    return ((largest + (1 << (shift - 1))) >> shift if shift > 0 else largest << min(-shift, 64)) <= bound


def requantise(x: Tensor, shift: int, bits: int, even: bool = False) -> tuple[Tensor, Statistic]:
    """clamp(RSH(x, shift)) of int64 as int16, ties up or to even; and how many were clamped."""
    rounded, _, saturated = rounded_in_place(x, shift, bits, even)
    return rounded.to(torch.int16), saturated
