"""Soft floats: pairs (mantissa of 31 bits, exponent), for the few per-channel numbers that need a wide range.

A pair is (m, e) with value m * 2^e, where 2^30 <= |m| < 2^31, or (0, 0). All rules are integer rules: half-up rounding,
Python integers of any size (on the cores: 128 bits suffice, see docs/numbers.md).
"""

from __future__ import annotations

from fractions import Fraction
from math import isqrt

from spindl.number.rounding import scalar_shift_right_half_up

Pair = tuple[int, int]

MANTISSA_BITS = 31


def normalise(value: int, exponent: int) -> Pair:
    """The pair nearest to value * 2^exponent (ties towards +infinity)."""
    if value == 0:
        return 0, 0
    shift = abs(value).bit_length() - MANTISSA_BITS
    mantissa = scalar_shift_right_half_up(value, shift)
    if abs(mantissa) == 1 << MANTISSA_BITS:  # rounding carried into a 32nd bit
        mantissa, shift = mantissa >> 1, shift + 1
    return mantissa, exponent + shift


def multiply(a: Pair, b: Pair) -> Pair:
    """a * b, rounded once."""
    return normalise(a[0] * b[0], a[1] + b[1])


def add(a: Pair, b: Pair) -> Pair:
    """a + b, rounded once; an operand more than 62 binary places below the other is dropped."""
    if a[0] == 0:
        return b
    if b[0] == 0:
        return a
    high, low = (a, b) if a[1] >= b[1] else (b, a)
    if high[1] - low[1] > 62:
        return high
    return normalise((high[0] << (high[1] - low[1])) + low[0], low[1])


def negate(a: Pair) -> Pair:
    """-a, exactly."""
    return -a[0], a[1]


def divide_by_integer(a: Pair, n: int) -> Pair:
    """a / n for n >= 1: floor((m * 2^32 + n // 2) / n), normalised."""
    return normalise(((a[0] << 32) + n // 2) // n, a[1] - 32)


def divide(a: Pair, b: Pair) -> Pair:
    """a / b for b > 0: floor((m_a * 2^32 + m_b // 2) / m_b), normalised."""
    return normalise(((a[0] << 32) + b[0] // 2) // b[0], a[1] - 32 - b[1])


def to_integer(a: Pair, exponent: int, largest: int) -> int:
    """The integer k with k * 2^exponent nearest to a, saturated to +-largest."""
    shift = exponent - a[1]
    if shift < -64:  # far beyond any limit in use; avoids building a huge integer
        return largest if a[0] > 0 else -largest if a[0] < 0 else 0
    value = scalar_shift_right_half_up(a[0], shift)
    return max(-largest, min(largest, value))


def inverse_square_root(value: int, exponent: int) -> Pair:
    """1 / sqrt(value * 2^exponent) for value > 0, from one integer square root (largest relative error about 1e-9).

    The value is scaled by an even power of two into [2^60, 2^62), r = isqrt of it lies in [2^30, 2^31), and
    2^61 / r, rounded half up, is the mantissa.
    """
    if exponent % 2:
        value, exponent = value << 1, exponent - 1
    shift = value.bit_length() - 62
    shift += shift % 2
    scaled = value >> shift if shift > 0 else value << -shift
    root = isqrt(scaled)
    return normalise(((1 << 61) + root // 2) // root, -61 - (shift + exponent) // 2)


def square_root(value: int, exponent: int) -> Pair:
    """sqrt(value * 2^exponent) for value >= 0, from one integer square root."""
    if value == 0:
        return 0, 0
    if exponent % 2:
        value, exponent = value << 1, exponent - 1
    shift = value.bit_length() - 62
    shift += shift % 2
    scaled = value >> shift if shift > 0 else value << -shift
    return normalise(isqrt(scaled), (shift + exponent) // 2)


def from_fraction(value: Fraction, bits: int = MANTISSA_BITS) -> Pair:
    """(mantissa of `bits` bits, exponent) nearest to a rational number; how Python's numbers become integers."""
    if value == 0:
        return 0, 0
    exponent = value.numerator.bit_length() - value.denominator.bit_length() - bits
    while True:
        scaled = value / Fraction(2) ** exponent
        mantissa = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)  # half up
        if abs(mantissa) < 1 << (bits - 1):
            exponent -= 1
        elif abs(mantissa) >= 1 << bits:
            exponent += 1
        else:
            return mantissa, exponent


def to_float(a: Pair) -> float:
    """The pair as a float64 (exact: 31 bits fit)."""
    return float(a[0]) * 2.0 ** a[1]
