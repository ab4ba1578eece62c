"""Rounding and saturation: the two operations that lose information, defined once.

Everything else in spindl's arithmetic is exact integer arithmetic (docs/numbers.md).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[Any]
"""An array of int64, or of Python integers (dtype object) where int64 could overflow."""

WIDE_LIMIT = 2**62
"""Exact accumulators ("wide" values) stay below this magnitude, so that one addition cannot overflow int64."""


def limit(bits: int) -> int:
    """Largest magnitude of a symmetric two's-complement format of `bits` bits: -2^(bits-1) never occurs."""
    return (1 << (bits - 1)) - 1


def shift_right_half_up(x: Integers, shift: int) -> Integers:
    """RSH(x, s) = floor((x + 2^(s-1)) / 2^s) for s >= 1; the exact x * 2^-s for s <= 0.

    Args:
        x: int64 or object array; int64 values must be below 2^62 in magnitude.
        shift: any integer. Left shifts of an int64 array go through Python integers if they could overflow.
    """
    if shift <= 0:
        return exact_left_shift(x, -shift)
    if x.dtype == object:
        return (x + (1 << (shift - 1))) >> shift
    if shift > 62:  # |x| < 2^62 <= 2^(s-1): every such value rounds to 0 (a tie at -2^(s-1) would also give 0)
        return np.zeros_like(x)
    return (x + np.int64(1 << (shift - 1))) >> np.int64(shift)


def shift_right_half_even(x: Integers, shift: int) -> Integers:
    """RSH(x, s) with ties to the even neighbour; arguments and left shifts as for `shift_right_half_up`.

    Where few bits are discarded ties are frequent, and half-up would shift the mean of a tensor by up to a quarter of
    its last place.
    """
    if shift <= 0:
        return exact_left_shift(x, -shift)
    if shift > 62 and x.dtype != object:
        return np.zeros_like(x)
    above = shift_right_half_up(x, shift)
    tie = (x & ((1 << shift) - 1)) == 1 << (shift - 1)
    result: Integers = above - (tie & (above & 1 == 1))
    return result


def exact_left_shift(x: Integers, shift: int) -> Integers:
    """x * 2^shift exactly; the result is an object array where int64 could overflow."""
    if x.dtype == object:
        return x << shift
    largest = int(np.abs(x).max(initial=0))
    if largest.bit_length() + shift <= 62:
        return x << np.int64(shift)
    return x.astype(object) << shift


def clamp(x: Integers, largest: int) -> NDArray[np.int64]:
    """Saturate to [-largest, largest] and return int64."""
    if x.dtype == object:
        return np.clip(x, -largest, largest).astype(np.int64)
    return np.clip(x, np.int64(-largest), np.int64(largest))


def bit_length(value: int) -> int:
    """Bits of the magnitude: 0 for 0, else floor(log2|value|) + 1."""
    return abs(value).bit_length()


def largest_magnitude(x: Integers) -> int:
    """max |x| as a Python integer; 0 for an empty array."""
    return int(max(x.max(initial=0), -x.min(initial=0))) if x.size else 0


def scalar_shift_right_half_up(x: int, shift: int) -> int:
    """RSH on one Python integer of any size."""
    return (x + (1 << (shift - 1))) >> shift if shift > 0 else x << -shift
