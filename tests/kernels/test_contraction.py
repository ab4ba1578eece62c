"""Contractions on the cores equal the interpreter: bits of the results, extents, counts of clamped elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.contraction_cases import DIRECTIONS, Case, cases, exact, exponent_of, rounded, run_case
from tests.kernels.harness import Site

EMULATED = 25
"""Examples of each property on an emulated core."""


def check_rounded(case: Case, direction: str, where: str) -> None:
    sums = exact(case, direction)
    expected, site = rounded(case, direction, sums)
    if direction == "convolution_weight_gradient":
        expected = expected.sum(axis=0)
    found, result = run_case(case, direction, where)
    assert np.array_equal(found, expected)
    assert result.sites[1] == site
    if direction == "convolution_weight_gradient" and case.images == 1:
        found, result = run_case(case, direction, where, narrow=True)
        assert np.array_equal(found, expected)
        assert result.sites[1] == site


def check_sums(case: Case, direction: str, where: str) -> None:
    expected = exact(case, direction).mantissa
    if direction == "convolution_weight_gradient":
        expected = expected.sum(axis=0)
    before = np.random.default_rng(case.seed).integers(-(2**40), 2**40, expected.shape)
    found, result = run_case(case, direction, where, sums=True)
    assert np.array_equal(found, expected)
    found, _ = run_case(case, direction, where, sums=True, before=before)
    assert np.array_equal(found, before + expected)
    assert result.sites[1] == Site(exponent_of(direction) + case.shift)


@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=250, deadline=None)
@given(case=cases())
def test_rounded_on_the_host(direction: str, case: Case) -> None:
    check_rounded(case, direction, "host")


@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_sums_on_the_host(direction: str, case: Case) -> None:
    check_sums(case, direction, "host")


@pytest.mark.parametrize("where", ["ref-on-arm", "arm"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=EMULATED, deadline=None)
@given(case=cases(), sums=st.booleans())
def test_on_an_emulated_core(direction: str, where: str, case: Case, sums: bool) -> None:
    (check_sums if sums else check_rounded)(case, direction, where)
