"""Contractions on the cores equal the interpreter: bits of the results, extents, counts of clamped elements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spindl.graph.operations import Value
from spindl.program.kernels.contraction import FLAGS
from tests.kernels.contraction_cases import (
    DIRECTIONS,
    EXPONENTS,
    Case,
    arguments_of,
    cases,
    exact,
    exponent_of,
    rounded,
    run_case,
)
from tests.kernels.harness import Site, run

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


@pytest.mark.parametrize("where", ["host", "arm"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=EMULATED, deadline=None)
@given(case=cases(), cut=st.integers(1, 8))
def test_tiles_of_rows_make_the_whole(direction: str, where: str, case: Case, cut: int) -> None:
    """Halves of an image in two calls, the second with the site of the first; a weight gradient adds exact sums."""
    rows = case.shape[0] if direction == "convolution_input_gradient" else case.y_shape[0]
    cut = min(cut, rows - 1)
    windows = [(0, rows)] if cut < 1 else [(0, cut), (cut, rows)]
    expected = exact(case, direction)
    if direction == "convolution_weight_gradient":
        total: NDArray[Any] | None = None
        for window in windows:
            total, _ = run_case(case, direction, where, sums=True, before=total, window=window)
        assert np.array_equal(total, expected.mantissa.sum(axis=0))
        return
    parts, site = [], None
    for window in windows:
        part, result = run_case(case, direction, where, window=window, site=site)
        parts.append(part)
        site = result.sites[1]
    values, last = rounded(case, direction, expected)
    assert np.array_equal(np.concatenate(parts, axis=2), values)
    assert site == last


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("shift", [{"x": 2}, {"w": 2}, {"y": 2}, {"x": 2, "w": 2, "y": 2}])
@pytest.mark.parametrize("channels", [4, 5])
def test_operands_need_not_begin_at_whole_words(direction: str, shift: dict[str, int], channels: int) -> None:
    case = Case(inputs=channels, outputs=channels + 1, shape=(4, 5), kernel=(2, 3), padding=((1, 0), (0, 1)))
    narrow = direction == "convolution_weight_gradient"
    expected, site = rounded(case, direction, exact(case, direction))
    found, result = run_case(case, direction, "arm", shift=shift, narrow=narrow)
    assert np.array_equal(found, expected.sum(axis=0) if narrow else expected)
    assert result.sites[1] == site


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("outputs", [6, 7])
def test_sums_that_leave_int32_are_made_again(direction: str, sums: bool, outputs: int) -> None:
    case = Case(inputs=8, outputs=outputs, shape=(6, 7), values="extreme", shift=20, bits=16)
    expected = exact(case, direction)
    assert abs(expected.mantissa).max() >= 2**31
    found, result = run_case(case, direction, "arm", sums=sums)
    values = expected.mantissa if sums else rounded(case, direction, expected)[0]
    assert np.array_equal(found, values.sum(axis=0) if direction == "convolution_weight_gradient" else values)
    assert result.tiles_redone > 0
    if not sums:
        assert result.sites[1] == rounded(case, direction, expected)[1]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_sum_that_leaves_int32_with_its_half_only(direction: str) -> None:
    two = {"convolution": "inputs", "convolution_input_gradient": "outputs"}
    case = replace(Case(inputs=1, outputs=1, shape=(1, 1), kernel=(1, 1), shift=20, bits=16), values="largest")
    case = replace(case, **{two[direction]: 2}) if direction in two else replace(case, shape=(1, 2))
    expected, site = rounded(case, direction, exact(case, direction))
    found, result = run_case(case, direction, "arm")
    assert np.array_equal(found, expected.sum(axis=0) if direction == "convolution_weight_gradient" else expected)
    assert result.tiles_redone > 0
    assert result.sites[1] == site


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_only_what_overflows_is_made_again(direction: str) -> None:
    case = Case(inputs=8, outputs=8, shape=(6, 7), shift=18)
    _, result = run_case(case, direction, "arm")
    assert result.tiles_redone == 0


@pytest.mark.parametrize("where", ["host", "arm"])
@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"bits": 7}, 1),
        ({"bits": 17}, 1),
        ({"site": 2}, 1),
        ({"first_exponent": 4}, 1),
        ({"second_exponent": 4}, 1),
        ({"flags": 16}, 1),
        ({"flags": FLAGS["ADD"]}, 1),
        ({"flags": FLAGS["NARROW"]}, 1),
        ({"inputs": 0}, 1),
        ({"stride_rows": 0}, 1),
        ({"x_pitch": 3}, 1),
        ({"y_pitch": 3}, 1),
        ({"scratch_bytes": 8}, 2),
    ],
)
def test_illegal_arguments_are_refused(where: str, change: dict[str, int], error: int) -> None:
    case = Case()
    call = arguments_of(case, "convolution")
    sites = (Site(0), Site(-11))
    result = run("convolution", {**call.arguments, **change}, call.buffers, (*EXPONENTS, 0), sites, where)
    assert result.error == error
    assert np.array_equal(result.buffers["y"], call.buffers["y"])


@settings(max_examples=200, deadline=None)
@given(
    sums=st.lists(st.integers(-(2**61), 2**61) | st.integers(-(2**34), 2**34), min_size=1, max_size=24),
    shift=st.integers(-3, 63) | st.integers(10, 24),
    bits=st.sampled_from([8, 15, 16]),
    bias=st.sampled_from([None, -27, -60, 10]),
    where=st.sampled_from(["host", "host", "host", "ref-on-arm", "image"]),
    columns=st.integers(1, 4),
    relu=st.booleans(),
)
def test_exact_sums_are_rounded(
    sums: list[int], shift: int, bits: int, bias: int | None, where: str, columns: int, relu: bool
) -> None:
    rows = -(-len(sums) // columns)
    values = np.zeros((rows, columns), np.int64)
    values.flat[: len(sums)] = sums
    case = Case(outputs=columns, shift=shift, bits=bits, bias=bias, relu=relu)
    expected, after = rounded(case, "convolution", Value(values, exponent_of("convolution")))
    sites = (Site(0), Site(exponent_of("convolution") + shift))
    buffers: dict[str, NDArray[Any]] = {"sums": values, "y": np.full((rows, columns + 1), -7, np.int16)}
    if bias is not None:
        buffers["bias"] = case.bias_mantissas().astype(np.int32)
    arguments: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "y_pitch": columns + 1,
        "first_exponent": 0,
        "second_exponent": 1,
        "bias": 0 if bias is None else "bias",
        "bias_exponent": 3,
        "site": 1,
        "bits": bits,
        "flags": FLAGS["RELU"] * relu,
    }
    result = run("round_sums", arguments, buffers, (*EXPONENTS, bias or 0), sites, where)
    assert result.error == 0
    assert np.array_equal(result.buffers["y"][:, :columns], expected)
    assert (result.buffers["y"][:, columns] == -7).all()
    assert result.sites[1] == after


@settings(max_examples=100, deadline=None)
@given(
    sums=st.lists(st.integers(-(2**61), 2**61) | st.integers(-(2**34), 2**34), min_size=1, max_size=24),
    shift=st.integers(-3, 63) | st.integers(10, 24),
    add=st.booleans(),
    where=st.sampled_from(["host", "host", "host", "ref-on-arm", "image"]),
)
def test_rounded_sums_are_added(sums: list[int], shift: int, add: bool, where: str) -> None:
    values = np.array(sums, np.int64)
    case = Case(shift=shift, bits=16)
    direction = "convolution_weight_gradient"
    expected, after = rounded(case, direction, Value(values, exponent_of(direction)))
    before = np.arange(len(sums), dtype=np.int32) * 1000 - 5000
    arguments = {
        "count": len(sums),
        "first_exponent": 0,
        "second_exponent": 2,
        "site": 1,
        "bits": 16,
        "flags": FLAGS["ADD"] * add,
    }
    sites = (Site(0), Site(exponent_of(direction) + shift))
    result = run("add_rounded_sums", arguments, {"sums": values, "y": before}, EXPONENTS, sites, where)
    assert result.error == 0
    assert np.array_equal(result.buffers["y"], expected + (before if add else 0))
    assert result.sites[1] == after
