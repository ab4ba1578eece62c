"""Rounding and saturation against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindl.number.rounding import (
    WIDE_LIMIT,
    bit_length,
    clamp,
    exact_left_shift,
    largest_magnitude,
    limit,
    scalar_shift_right_half_up,
    shift_right_half_even,
    shift_right_half_up,
)

WIDE = st.integers(-WIDE_LIMIT + 1, WIDE_LIMIT - 1)
SHIFTS = st.integers(-130, 200)


def half_up(x: int, shift: int) -> int:
    """floor(x / 2^shift + 1/2), the definition in rational numbers."""
    return floor(Fraction(x) / Fraction(2) ** shift + Fraction(1, 2))


@given(st.lists(WIDE, max_size=8), SHIFTS)
@example([WIDE_LIMIT - 1, 1 - WIDE_LIMIT], 62)
@example([WIDE_LIMIT - 1, 1 - WIDE_LIMIT], 63)
@example([WIDE_LIMIT - 1, 1 - WIDE_LIMIT], 1)
@example([-1, 1, 0, -3, 3], 1)
@example([], 5)
@example([], -70)
def test_shift_of_int64(values: list[int], shift: int) -> None:
    result = shift_right_half_up(np.array(values, dtype=np.int64), shift)
    assert [int(v) for v in result] == [half_up(v, shift) for v in values]


@given(st.lists(st.integers(-(2**200), 2**200), min_size=1, max_size=4), SHIFTS)
def test_shift_of_python_integers(values: list[int], shift: int) -> None:
    result = shift_right_half_up(np.array(values, dtype=object), shift)
    assert list(result) == [half_up(v, shift) for v in values]
    assert [scalar_shift_right_half_up(v, shift) for v in values] == [half_up(v, shift) for v in values]


@given(st.lists(WIDE, max_size=8), SHIFTS)
@example([WIDE_LIMIT - 1, 1 - WIDE_LIMIT], 62)
@example([WIDE_LIMIT - 1, 1 - WIDE_LIMIT], 63)
@example([2**61, -(2**61), 2**60], 62)
@example(list(range(-9, 10)), 1)
@example(list(range(-9, 10)), 2)
def test_ties_to_even(values: list[int], shift: int) -> None:
    expected = [round(Fraction(v) / Fraction(2) ** shift) for v in values]  # Python rounds fractions half to even
    assert [int(v) for v in shift_right_half_even(np.array(values, dtype=np.int64), shift)] == expected
    assert list(shift_right_half_even(np.array(values, dtype=object), shift)) == expected


@pytest.mark.parametrize("x", range(-9, 10))
def test_ties_go_up(x: int) -> None:
    # the tie at -1/2 goes to 0, at -3/2 to -1: never away from zero, never to even
    assert scalar_shift_right_half_up(2 * x + 1, 1) == x + 1
    assert shift_right_half_up(np.array([4 * x + 2]), 2)[0] == x + 1


@given(st.lists(WIDE, max_size=6), st.integers(0, 100))
def test_left_shift_is_exact(values: list[int], shift: int) -> None:
    result = exact_left_shift(np.array(values, dtype=np.int64), shift)
    assert [int(v) for v in result] == [v << shift for v in values]
    assert result.dtype == object or all(abs(int(v)) < WIDE_LIMIT for v in result)


@given(st.lists(st.integers(-(2**100), 2**100), max_size=6), st.integers(1, 2**62))
def test_clamp(values: list[int], largest: int) -> None:
    for kind in (object, np.int64):
        kept = [v for v in values if kind is object or abs(v) < 2**63]
        result = clamp(np.array(kept, dtype=kind), largest)
        assert result.dtype == np.int64
        assert result.tolist() == [max(-largest, min(largest, v)) for v in kept]


@given(st.integers(-(2**80), 2**80))
def test_bit_length(value: int) -> None:
    length = bit_length(value)
    assert abs(value) < 2**length and (value == 0 or abs(value) >= 2 ** (length - 1))


@given(st.lists(WIDE, max_size=6))
def test_largest_magnitude(values: list[int]) -> None:
    expected = max((abs(v) for v in values), default=0)
    assert largest_magnitude(np.array(values, dtype=np.int64)) == expected
    assert largest_magnitude(np.array(values, dtype=object)) == expected


@pytest.mark.parametrize("bits", range(8, 33))
def test_formats_are_symmetric(bits: int) -> None:
    assert limit(bits) == 2 ** (bits - 1) - 1
