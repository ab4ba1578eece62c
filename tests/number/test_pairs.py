"""Soft floats against rational arithmetic: every rule rounds once, by a stated rule, in at most 128 bits."""

from __future__ import annotations

from decimal import Decimal, getcontext
from fractions import Fraction
from math import floor

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from spindl.number import pairs
from spindl.number.pairs import Pair

HALF = Fraction(1, 2)
ONE_UNIT = Fraction(1, 2**30)
"""A unit in the last place of a normalised mantissa, relative to the value, at most."""


def value(pair: Pair) -> Fraction:
    return Fraction(pair[0]) * Fraction(2) ** pair[1]


def is_normal(pair: Pair) -> bool:
    return pair == (0, 0) or 2**30 <= abs(pair[0]) < 2**31


EXPONENTS = st.integers(-200, 200)
NORMAL = st.builds(pairs.normalise, st.integers(-(2**40), 2**40), EXPONENTS)
POSITIVE = st.builds(pairs.normalise, st.integers(1, 2**40), EXPONENTS)


@given(st.integers(-(2**127), 2**127), EXPONENTS)
@example(2**31 - 1, 0)
@example(2**32 - 1, 0)  # rounding carries into a 32nd bit
@example(-(2**32) + 1, 0)
@example(-(2**32) - 1, 0)
def test_normalise_is_the_nearest_pair(integer: int, exponent: int) -> None:
    result = pairs.normalise(integer, exponent)
    assert is_normal(result)
    if integer:
        # nearest, ties towards +infinity, on the grid of the integer's own leading bit
        spacing = Fraction(2) ** (exponent + abs(integer).bit_length() - 31)
        exact = Fraction(integer) * Fraction(2) ** exponent
        assert value(result) == floor(exact / spacing + HALF) * spacing


@given(NORMAL, NORMAL)
def test_multiply(a: Pair, b: Pair) -> None:
    result = pairs.multiply(a, b)
    assert is_normal(result)
    assert result == pairs.normalise(a[0] * b[0], a[1] + b[1])
    assert abs(value(result) - value(a) * value(b)) <= abs(value(a) * value(b)) * ONE_UNIT / 2


@given(NORMAL, NORMAL)
@example((2**30, 62), (1 << 30, 0))
@example((2**30, 63), (1 << 30, 0))
@example((2**30, 0), (-(2**30), 0))
def test_add(a: Pair, b: Pair) -> None:
    result = pairs.add(a, b)
    exact = value(a) + value(b)
    assert is_normal(result)
    if 0 not in (a[0], b[0]) and abs(a[1] - b[1]) > 62:
        assert result == max(a, b, key=lambda pair: pair[1])
    else:
        assert abs(value(result) - exact) <= abs(exact) * ONE_UNIT / 2
    assert result == pairs.add(b, a)
    assert pairs.add(a, pairs.negate(a)) == (0, 0)


@given(NORMAL, st.integers(1, 2**31 - 1))
def test_divide_by_integer(a: Pair, n: int) -> None:
    result = pairs.divide_by_integer(a, n)
    quotient = floor(Fraction(a[0] * 2**32 + n // 2, n))
    assert result == pairs.normalise(quotient, a[1] - 32)
    assert abs(value(result) - value(a) / n) <= abs(value(a) / n) * ONE_UNIT


@given(NORMAL, POSITIVE)
def test_divide(a: Pair, b: Pair) -> None:
    result = pairs.divide(a, b)
    assert is_normal(result)
    assert abs(value(result) - value(a) / value(b)) <= abs(value(a) / value(b)) * ONE_UNIT


@given(NORMAL, st.integers(-300, 300), st.sampled_from([32767, 2**31 - 1, 2**61]))
@example((2**30, 0), -31, 2**61)
@example((2**30, 0), -32, 2**61)
@example((-(2**30), 5), -60, 2**31 - 1)
@example((0, 0), -500, 2**31 - 1)
def test_to_integer(a: Pair, exponent: int, largest: int) -> None:
    exact = floor(value(a) / Fraction(2) ** exponent + HALF)
    assert pairs.to_integer(a, exponent, largest) == max(-largest, min(largest, exact))


@given(st.integers(1, 2**126), st.integers(-140, 140))
@example(1, 0)
@example(2**126, -1)
@example(2**62 - 1, 0)
def test_inverse_square_root(integer: int, exponent: int) -> None:
    result = pairs.inverse_square_root(integer, exponent)
    assert is_normal(result)
    # |r / exact - 1| <= d  <=>  (1 - d)^2 <= r^2 * x <= (1 + d)^2, without any square root
    square = value(result) ** 2 * integer * Fraction(2) ** exponent
    error = Fraction(3, 2 * 2**30)
    assert (1 - error) ** 2 <= square <= (1 + error) ** 2


@given(st.integers(0, 2**126), st.integers(-140, 140))
def test_square_root(integer: int, exponent: int) -> None:
    result = pairs.square_root(integer, exponent)
    assert is_normal(result)
    exact = integer * Fraction(2) ** exponent
    # truncated: never above, and at most one unit below
    assert value(result) ** 2 <= exact <= (value(result) * (1 + ONE_UNIT)) ** 2


@given(st.fractions(), st.sampled_from([15, 31]))
@example(Fraction(2**31 - 1, 2**31) * 2**20, 31)
@example(Fraction(0.1), 15)
@example(Fraction(-(2**30)) + HALF, 31)
def test_from_fraction(number: Fraction, bits: int) -> None:
    assume(abs(number) < 2**100)
    mantissa, exponent = pairs.from_fraction(number, bits)
    if number == 0:
        assert (mantissa, exponent) == (0, 0)
        return
    assert 2 ** (bits - 1) <= abs(mantissa) < 2**bits
    assert mantissa == floor(number / Fraction(2) ** exponent + HALF)


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_float32_survives(number: float) -> None:
    assert pairs.to_float(pairs.from_fraction(Fraction(number))) == number


def test_inverse_square_root_against_decimal() -> None:
    getcontext().prec = 60
    for integer, exponent in [(3, 0), (10**30, -7), (86, -23), (2**61 + 1, 3)]:
        exact = 1 / (Decimal(integer) * Decimal(2) ** exponent).sqrt()
        mantissa, e = pairs.inverse_square_root(integer, exponent)
        assert abs(Decimal(mantissa) * Decimal(2) ** e / exact - 1) < Decimal("1.4e-9")


@pytest.mark.parametrize("n", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("mantissa", [2**30, -(2**30), 2**31 - 1, 1 - 2**31])
def test_division_of_negatives_rounds_half_up(mantissa: int, n: int) -> None:
    nearest = floor(Fraction(mantissa << 32, n) + HALF)
    assert pairs.divide_by_integer((mantissa, 0), n) == pairs.normalise(nearest, -32)
