"""Element-wise ops, roundings and sums against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindl.graph.operations import Value
from spindl.number.hashing import hash32
from spindl.number.rounding import limit
from spindl.number.sites import EMPTY
from tests.graph.cases import COUNT, INT16, INT32, LABEL, WIDE, Case, count, evaluate, site

MANTISSA = st.integers(-32767, 32767)
EXPONENT = st.integers(-60, 60)
WIDES = st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=6)
HALF = Fraction(1, 2)


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def exact(value: Value) -> list[Fraction]:
    return [int(v) * power(value.exponent) for v in np.asarray(value.mantissa).reshape(-1)]


def rounded(x: Fraction, exponent: int) -> int:
    return floor(x / power(exponent) + HALF)


@given(WIDES, st.integers(-120, 120), EXPONENT, st.integers(8, 16))
@example([2**61 - 1, -(2**61)], 0, 60, 16)
@example([1, -1, 0], 120, -60, 8)
def test_requantise_and_its_count(mantissas: list[int], exponent: int, target: int, bits: int) -> None:
    wide = WIDE, Value(np.array(mantissas), exponent)
    y = evaluate("requantise", wide, site(target), bits=bits)
    largest = limit(bits)
    wanted = [rounded(x, target) for x in exact(wide[1])]
    assert y.exponent == target
    assert y.mantissa.tolist() == [max(-largest, min(largest, v)) for v in wanted]
    assert int(evaluate("saturation", wide, site(target), bits=bits).mantissa) == sum(abs(v) > largest for v in wanted)
    even = [round(x / power(target)) for x in exact(wide[1])]  # Python rounds fractions half to even
    y = evaluate("requantise", wide, site(target), bits=bits, ties="even")
    assert y.mantissa.tolist() == [max(-largest, min(largest, v)) for v in even]
    clamped = evaluate("saturation", wide, site(target), bits=bits, ties="even")
    assert int(clamped.mantissa) == sum(abs(v) > largest for v in even)


@given(WIDES, st.integers(-120, 120))
@example([0, 0], 3)
@example([-(2**40)], 0)
def test_extent(mantissas: list[int], exponent: int) -> None:
    wide = WIDE, Value(np.array(mantissas), exponent)
    found = int(evaluate("extent", wide).mantissa)
    largest = max(map(abs, exact(wide[1])))
    if largest == 0:
        assert found == EMPTY
    else:
        assert power(found - 1) <= largest < power(found)


@given(st.lists(st.tuples(MANTISSA, MANTISSA), min_size=1, max_size=5), EXPONENT, EXPONENT)
def test_add(values: list[tuple[int, int]], ex: int, ey: int) -> None:
    x, y = (Value(np.array(v), e) for v, e in zip(zip(*values, strict=True), (ex, ey), strict=True))
    total = evaluate("add", (INT16, x), (INT16, y))
    assert total.exponent == max(min(ex, ey), max(ex, ey) - 30)
    parts = [[rounded(v, total.exponent) for v in exact(operand)] for operand in (x, y)]
    assert total.mantissa.tolist() == [a + b for a, b in zip(*parts, strict=True)]
    if abs(ex - ey) <= 30:
        assert exact(total) == [a + b for a, b in zip(exact(x), exact(y), strict=True)]


@given(st.lists(st.tuples(MANTISSA, EXPONENT), min_size=1, max_size=5))
def test_concat_keeps_values(parts: list[tuple[int, int]]) -> None:
    inputs = tuple((INT16, Value(np.array([[m, -m]]), e)) for m, e in parts)
    found = evaluate("concat", *inputs, axis=1)
    exponents = [e for _, e in parts]
    assert found.exponent == max(min(exponents), max(exponents) - 30)
    wanted = [[rounded(s * m * power(e), found.exponent) for s in (1, -1)] for m, e in parts]
    assert found.mantissa.tolist() == [[v for part in wanted for v in part]]


@given(st.integers(-(2**61) + 1, 2**61 - 1), st.integers(-120, 120), st.integers(-(2**31) + 1, 2**31 - 1))
@example(2**61 - 1, -57, 2**31 - 1)
@example(12345, -58, -5)
def test_add_bias(accumulator: int, exponent: int, bias: int) -> None:
    acc, b = Value(np.array([[accumulator]]), exponent), Value(np.array([bias]), -27)
    found = evaluate("add_bias", (WIDE, acc), (INT32, b))
    assert found.exponent == max(exponent, -57)
    assert int(found.mantissa[0, 0]) == rounded(exact(acc)[0], found.exponent) + rounded(exact(b)[0], found.exponent)


@given(st.integers(-(2**31) + 1, 2**31 - 1), st.integers(8, 16))
def test_narrow(weight: int, bits: int) -> None:
    copy = evaluate("narrow", (INT32, Value(np.array([weight]), -31)), bits=bits)
    assert copy.exponent == -31 + 32 - bits
    assert int(copy.mantissa[0]) == max(-limit(bits), min(limit(bits), rounded(Fraction(weight), 32 - bits)))


def test_relu_and_its_gradient() -> None:
    x = np.array([[-32767, -1, 0, 1, 32767]])
    y = evaluate("relu", (INT16, Value(x, 5)))
    assert y.mantissa.tolist() == [[0, 0, 0, 1, 32767]] and y.exponent == 5
    dy = INT16, Value(np.array([[1, 2, 3, 4, 5]]), -9)
    assert evaluate("relu_gradient", dy, (INT16, y)).mantissa.tolist() == [[0, 0, 0, 4, 5]]


@given(MANTISSA, EXPONENT)
@example(24576, -12)
@example(32767, -13)
def test_relu6(mantissa: int, exponent: int) -> None:
    x = Value(np.array([[mantissa]]), exponent)
    y = evaluate("relu6", (INT16, x))
    six = rounded(Fraction(6), exponent)
    assert int(y.mantissa[0, 0]) == max(0, min(mantissa, six))
    gradient = evaluate("relu6_gradient", (INT16, Value(np.array([[9]]))), (INT16, y))
    assert int(gradient.mantissa[0, 0]) == (9 if 0 < mantissa < six else 0)


@given(
    st.lists(MANTISSA, min_size=2, max_size=2), st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=4, max_size=4)
)
def test_affine(x: list[int], scales: list[int]) -> None:
    offset = WIDE, Value(np.array([2**61, -(2**61)]), -28)
    images = INT16, Value(np.array([x]), -12)
    first, second = ((WIDE, Value(np.array(scales[i : i + 2]), -16)) for i in (0, 2))
    found = evaluate("affine", images, first, offset)
    assert found.mantissa.tolist() == [[scales[c] * x[c] + (1, -1)[c] * 2**61 for c in (0, 1)]]
    assert found.exponent == -28
    pair = evaluate("affine_pair", images, first, (INT16, Value(np.array([x[::-1]]), -12)), second, offset)
    wanted = [scales[c] * x[c] + scales[2 + c] * x[1 - c] + (1, -1)[c] * 2**61 for c in (0, 1)]
    assert pair.mantissa.tolist() == [wanted]


def dropout_case(x: np.ndarray, positions: np.ndarray, p: float, seed: int = 7, step: int = 3) -> Case:
    attributes = {"site": 1, "threshold": int(p * 2**32), "multiplier": round(2**14 / (1 - p))}
    inputs = ((INT16, Value(x, -9)), (LABEL, Value(positions)), count(seed), count(step))
    return Case("dropout", inputs, attributes)


def test_dropout_draws_by_place() -> None:
    x = np.arange(1, 1 + 2 * 3 * 2 * 2).reshape(2, 3, 2, 2)
    found = dropout_case(x, np.array([11, 40]), 0.5).run()
    assert found.exponent == -9 - 14
    for n, c, h, w in np.ndindex(*x.shape):
        element = (h * 2 + w) * 3 + c  # channels last
        kept = int(hash32(7, 3, 1, (11, 40)[n], element)[0]) >= 2**31
        assert int(found.mantissa[n, c, h, w]) == (int(x[n, c, h, w]) << 15 if kept else 0)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p: float) -> None:
    x = np.full((64, 500), 1000)
    found = dropout_case(x, np.arange(64), p).run().mantissa * 2.0**-14
    kept = np.count_nonzero(found) / x.size
    assert abs(kept - (1 - p)) < 5 * np.sqrt(p * (1 - p) / x.size)
    assert found.max() == pytest.approx(1000 / (1 - p), rel=1e-4)
    others = dropout_case(x, np.arange(64), p, step=4).run().mantissa
    assert (others != dropout_case(x, np.arange(64), p).run().mantissa).any()


@given(st.lists(st.integers(-(2**40), 2**40), max_size=5))
def test_batch_sum_and_saturate32(values: list[int]) -> None:
    wide = WIDE, Value(np.array(values, dtype=np.int64), -16)
    total = evaluate("batch_sum", wide)
    assert int(total.mantissa) == sum(values) and total.exponent == -16
    assert evaluate("saturate32", wide).mantissa.tolist() == [max(1 - 2**31, min(2**31 - 1, v)) for v in values]


def test_next_site_carries_history() -> None:
    after = evaluate("next_site", site(-12, 1, 2), (COUNT, Value(np.array(5))), bits=15, headroom=1, lowest=-60)
    assert after.exponent == 5 + 1 - 14
    assert after.mantissa.tolist() == [5, 1, 2] + [EMPTY] * 13


@pytest.mark.parametrize("op", ["reshape", "permute", "slice"])
def test_movers_never_change_an_element(op: str) -> None:
    x = np.arange(24).reshape(2, 3, 4)
    attributes: dict[str, Any] = {
        "reshape": {"shape": (12,)},
        "permute": {"order": (0, 2, 1)},
        "slice": {"axis": 2, "start": 1, "stop": 3},
    }
    expected = {"reshape": x.reshape(2, 12), "permute": x.swapaxes(1, 2), "slice": x[:, :, 1:3]}
    found = evaluate(op, (INT16, Value(x, -7)), **attributes[op])
    assert found.mantissa.tolist() == expected[op].tolist() and found.exponent == -7
