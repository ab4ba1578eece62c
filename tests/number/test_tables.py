"""The tables of 2^-f and log2 against mpmath, and the functions made from them against the real ones."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindl.number import tables


@pytest.fixture(autouse=True)
def precision() -> None:
    mpmath.mp.prec = 200


def test_power_table_is_rounded_exactly() -> None:
    expected = [int(mpmath.floor(mpmath.mpf(2) ** (30 - mpmath.mpf(i) / 256) + 0.5)) for i in range(257)]
    assert tables.power_table().tolist() == expected


def test_log_table_is_rounded_exactly() -> None:
    expected = [int(mpmath.floor(2**16 * mpmath.log(1 + mpmath.mpf(i) / 256, 2) + 0.5)) for i in range(257)]
    assert tables.log_table().tolist() == expected


def test_constants() -> None:
    assert int(mpmath.nint(mpmath.log(mpmath.e, 2) * 2**24)) == tables.LOG2_E_Q24
    assert int(mpmath.nint(mpmath.log(2) * 2**16)) == tables.LN_2_Q16


def test_power_of_two_everywhere() -> None:
    t = np.arange(0, 1 << 16, dtype=np.int64)  # every fraction, at the integer parts 0, 1, 17, 30, 39
    exact = np.exp2(30 - t.astype(np.longdouble) / 2**16)
    for part in (0, 1, 17, 30, 39):
        found = tables.power_of_two(t + (part << 16))
        assert (
            np.abs(found - np.ldexp(exact, -part)).max() <= 1 + 990 * 2.0**-part
        )  # 0.92e-6 of 2^30, and the last shift
        assert (np.diff(found) <= 0).all(), "2^-t never rises"
    assert tables.power_of_two(np.array([0]))[0] == tables.ONE_Q30
    assert tables.power_of_two(np.array([40 << 16, 2**62]))[0] == 0


@given(st.integers(1, 2**62 - 1))
@example(1)
@example(2**62 - 1)
@example(2**17 - 1)
@example(2**30)
@example(2**61)
def test_log2(x: int) -> None:
    found = int(tables.log2_q16(np.array([x]))[0])
    exact = 2**16 * mpmath.log(x, 2)
    # below: 1.44 for the bits after the 17 leading ones, 0.18 for the curve; table and interpolation: half a unit each
    assert -2.65 <= found - exact <= 1.05
    assert x & (x - 1) or found == (x.bit_length() - 1) << 16


def test_log2_never_falls() -> None:
    x = np.arange(1, 1 << 18, dtype=np.int64)
    assert (np.diff(tables.log2_q16(x)) >= 0).all()


@given(st.integers(0, 2**17 - 1), st.integers(-120, 120))
@example(2**17 - 1, 60)
@example(1, 120)
@example(1, -60)
@example(2**17 - 1, -60)
def test_scaled_to_log2(d: int, exponent: int) -> None:
    found = int(tables.scaled_to_log2_q16(np.array([d]), exponent)[0])
    exact = min(mpmath.ldexp(d * mpmath.log(mpmath.e, 2), exponent + 16), mpmath.mpf(tables.LARGEST_POWER_Q16))
    slack = exact * 2**-24 + 1  # the constant's 25 bits; the cut to 16 fraction bits, downwards
    assert exact - slack <= found <= exact + exact * 2**-24


def test_exponential_end_to_end() -> None:
    d = np.arange(0, 1 << 15, 7, dtype=np.int64)
    for exponent in (-14, -11, -8):
        found = tables.power_of_two(tables.scaled_to_log2_q16(d, exponent)) / 2.0**30
        exact = np.exp(-np.ldexp(d.astype(float), exponent))
        assert (np.abs(found - exact) <= 1.3e-5 * exact + 2.0**-29).all()
