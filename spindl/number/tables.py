"""Tables of 2^-f and log2, built from integers alone so that no platform's libm can leak in."""

from __future__ import annotations

from functools import cache
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from spindl.number.rounding import Integers

LOG2_E_Q24 = 24204406
"""round(log2(e) * 2^24)."""
LN_2_Q16 = 45426
"""round(ln(2) * 2^16)."""
ONE_Q30 = 1 << 30
LARGEST_POWER_Q16 = 40 << 16
"""2^-40 is zero in Q30: larger powers are clamped here."""


@cache
def power_table() -> NDArray[np.int64]:
    """257 entries: round(2^30 * 2^(-i/256)), by eight integer square roots of 2^(256*(30+64) - i)."""
    guard = 64
    entries = []
    for i in range(257):
        value = 1 << (256 * (30 + guard) - i)
        for _ in range(8):
            value = isqrt(value)
        entries.append((value + (1 << (guard - 1))) >> guard)
    return np.array(entries, dtype=np.int64)


@cache
def log_table() -> NDArray[np.int64]:
    """257 entries: floor(2^16 * log2(1 + i/256) + 1/2), bit by bit by repeated squaring with 128-bit mantissas."""
    entries = []
    for i in range(257):
        one = 1 << 128
        mantissa = one + (i << 120)
        result = 0
        if mantissa == 2 * one:
            entries.append(1 << 16)
            continue
        for _ in range(17):  # one bit more than kept, for rounding
            mantissa = (mantissa * mantissa) >> 128
            result <<= 1
            if mantissa >= 2 * one:
                mantissa >>= 1
                result |= 1
        entries.append((result + 1) >> 1)
    return np.array(entries, dtype=np.int64)


def power_of_two(t: Integers) -> Integers:
    """2^-t in Q30 for t >= 0 in Q16: table of 256 steps, linear interpolation, then a shift by the integer part."""
    table = power_table()
    t = np.minimum(t, LARGEST_POWER_Q16)
    index, rest = (t & 0xFFFF) >> 8, t & 0xFF
    value = table[index] - (((table[index] - table[index + 1]) * rest + 128) >> 8)
    result: Integers = value >> (t >> 16)
    return result


def log2_q16(x: Integers) -> Integers:
    """log2(x) in Q16 for integers 1 <= x < 2^62: position of the leading bit, then table and linear interpolation."""
    table = log_table()
    length = np.array([int(v).bit_length() for v in x.reshape(-1)], dtype=np.int64).reshape(x.shape)
    normalised = np.where(length > 17, x >> np.maximum(length - 17, 0), x << np.maximum(17 - length, 0))  # [2^16, 2^17)
    index, rest = (normalised >> 8) & 0xFF, normalised & 0xFF
    fraction = table[index] + (((table[index + 1] - table[index]) * rest + 128) >> 8)
    result: Integers = ((length - 1) << 16) + fraction
    return result


def scaled_to_log2_q16(d: Integers, exponent: int) -> Integers:
    """d * 2^exponent * log2(e) in Q16 for 0 <= d < 2^17, clamped to 40: the argument of `power_of_two`."""
    product = d * LOG2_E_Q24
    shift = 8 - exponent
    if shift >= 0:
        scaled: Integers = product >> min(shift, 62)
    else:
        scaled = np.minimum(product, LARGEST_POWER_Q16) << min(-shift, 36)
    return np.minimum(scaled, LARGEST_POWER_Q16)
