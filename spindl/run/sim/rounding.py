"""The two operations that lose information, on int64 tensors; the definition is `spindl.number.rounding`.

None of them waits for the device: shifts are known on the host, statistics stay on the device as 0-d tensors.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spindl.graph.operations import Value
from spindl.number.rounding import limit
from spindl.number.sites import EMPTY
from spindl.run.sim.values import Pending

TERM_LIMIT = 2**59
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


def requantise(x: Tensor, shift: int, bits: int, even: bool = False) -> tuple[Tensor, Tensor]:
    """clamp(RSH(x, shift)) as int16, ties up or to even; and how many elements were clamped as a 0-d tensor."""
    largest = limit(bits)
    rounded = shift_right_half_even(x, shift) if even and shift > 0 else saturating_shift(x, shift, INT16_BOUND)
    clamped = rounded.clamp(-largest, largest)
    return clamped.to(torch.int16), torch.count_nonzero(rounded != clamped)
