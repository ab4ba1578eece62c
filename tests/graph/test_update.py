"""The ops of the optimiser step against rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindl.graph.operations import Value
from spindl.graph.ops.update import OVERFLOW_THRESHOLD, TERM_LIMIT
from spindl.number import pairs
from tests.graph.cases import INT32, WIDE, evaluate, full, scalar, site

HALF = Fraction(1, 2)
INTEGER32 = st.integers(1 - 2**31, 2**31 - 1)
WIDES = st.integers(1 - 2**62, 2**62 - 1)
FACTOR = st.integers(0, 32768)
EXPONENT = st.integers(-60, 60)


def term(mantissa: int, exponent: int, target: int) -> int:
    exact = floor(mantissa * Fraction(2) ** (exponent - target) + HALF)
    return max(-TERM_LIMIT, min(TERM_LIMIT, exact))


def one(format, mantissa: int, exponent: int = 0):  # type: ignore[no-untyped-def]
    return format, Value(np.array([mantissa]), exponent)


def number(value: Value) -> int:
    return int(np.asarray(value.mantissa).reshape(-1)[0])


@given(INTEGER32, EXPONENT, FACTOR, EXPONENT, EXPONENT, st.lists(st.tuples(WIDES, EXPONENT), max_size=5))
@example(2**31 - 1, 60, 32767, 60, -60, [(2**62 - 1, 60)] * 5)
@example(-1, 0, 1, 0, 1, [(-1, 0), (1, 0)])
def test_direction(w: int, ew: int, decay: int, ed: int, target: int, gradients: list[tuple[int, int]]) -> None:
    found = evaluate(
        "direction", one(INT32, w, ew), scalar(decay, ed), site(target), *[one(WIDE, *g) for g in gradients]
    )
    assert found.exponent == target
    assert number(found) == term(w * decay, ew + ed, target) + sum(term(g, e, target) for g, e in gradients)


@given(INTEGER32, EXPONENT, WIDES, EXPONENT, FACTOR, EXPONENT)
def test_momentum(v: int, ev: int, d: int, ed: int, factor: int, ef: int) -> None:
    d = max(-6 * TERM_LIMIT, min(6 * TERM_LIMIT, d))
    found = evaluate("momentum", one(INT32, v, ev), one(WIDE, d, ed), scalar(factor, ef))
    assert found.exponent == ed
    assert number(found) == term(v * factor, ev + ef, ed) + d


@given(INTEGER32, EXPONENT, INTEGER32, EXPONENT, FACTOR, EXPONENT)
@example(OVERFLOW_THRESHOLD, -30, 0, 0, 0, 0)
@example(-OVERFLOW_THRESHOLD - 1, -30, 0, 0, 0, 0)
@example(2**31 - 1, -60, 1 - 2**31, 60, 32767, 60)
def test_descend(w: int, ew: int, u: int, eu: int, rate: int, er: int) -> None:
    arguments = one(INT32, w, ew), one(INT32, u, eu), scalar(rate, er)
    exact = w - term(u * rate, eu + er, ew)

    def clamp(x: int) -> int:
        return max(1 - 2**31, min(2**31 - 1, x))

    fixed, free = (evaluate("descend", *arguments, fixed=kept) for kept in (True, False))
    assert (number(fixed), fixed.exponent) == (clamp(exact), ew)
    if abs(exact) > OVERFLOW_THRESHOLD:
        assert (number(free), free.exponent) == (clamp((exact + 1) >> 1), ew + 1)
    else:
        assert (number(free), free.exponent) == (exact, ew)


def test_one_large_weight_moves_the_whole_tensor() -> None:
    w = INT32, Value(np.array([OVERFLOW_THRESHOLD, 3, -3]), -31)
    nothing = full(INT32, (3,), 0)
    assert evaluate("descend", w, nothing, scalar(1), fixed=False).exponent == -31
    raised = evaluate("descend", w, (INT32, Value(np.array([-1, 0, 0]), -31)), scalar(1), fixed=False)
    assert raised.exponent == -30 and raised.mantissa.tolist() == [(OVERFLOW_THRESHOLD + 2) >> 1, 2, -1]


@given(st.lists(WIDES, min_size=1, max_size=8), EXPONENT)
@example([2**62 - 1] * 8, 60)
@example([0, 0], 3)
@example([2**16 - 1, 1], 0)  # rounds up into a 16th bit
def test_squared_norm(values: list[int], exponent: int) -> None:
    found = evaluate("squared_norm", (WIDE, Value(np.array(values), exponent)))
    shift = max(0, max(abs(v) for v in values).bit_length() - 15)
    short = [floor(Fraction(v, 2**shift) + HALF) for v in values]
    assert (number(found), found.exponent) == (sum(v * v for v in short), 2 * (exponent + shift))


NORM = st.tuples(st.integers(1, 2**61), EXPONENT)


@given(NORM, NORM, st.integers(2**14, 2**15 - 1), st.integers(0, 2**15 - 1), st.integers(1, 4096), st.booleans())
@example((4, 0), (4, 0), 2**14, 0, 1, False)
def test_lars_rate(
    weight: tuple[int, int], gradient: tuple[int, int], rate: int, decay: int, batch: int, with_eps: bool
) -> None:
    eta, eps = Fraction(1, 1000), Fraction(1, 100) * with_eps
    attributes = {"batch": batch, "eta": pairs.from_fraction(eta), "eps": pairs.from_fraction(eps)}
    norms = [(WIDE, Value(np.array(m), 2 * e)) for m, e in (weight, gradient)]
    found = evaluate("lars_rate", *norms, scalar(rate, -22), scalar(decay, -25), **attributes)
    assert 2**14 <= number(found) < 2**15
    w, g = (float(m) ** 0.5 * 2.0**e for m, e in (weight, gradient))
    expected = rate * 2.0**-22 * batch * float(eta) * w / (g + decay * 2.0**-25 * w + float(eps))
    assert number(found) * 2.0**found.exponent == pytest.approx(expected, rel=2.0**-15 + 1e-8)


@pytest.mark.parametrize(("weight", "gradient"), [(0, 5), (5, 0), (0, 0)])
def test_lars_without_a_norm_takes_the_plain_rate(weight: int, gradient: int) -> None:
    attributes = {"batch": 8, "eta": pairs.from_fraction(Fraction(1, 1000)), "eps": (0, 0)}
    norms = [full(WIDE, (), v) for v in (weight, gradient)]
    found = evaluate("lars_rate", *norms, scalar(20000, -22), scalar(5, -25), **attributes)
    assert (number(found), found.exponent) == (20000, -22)


@given(WIDES, EXPONENT, FACTOR, EXPONENT, EXPONENT)
@example(2**62 - 1, 60, 32768, 60, -60)
def test_scale_direction(d: int, ed: int, rate: int, er: int, target: int) -> None:
    found = evaluate("scale_direction", one(WIDE, d, ed), scalar(rate, er), site(target))
    clamped = max(-(2**46), min(2**46, d))
    assert (number(found), found.exponent) == (term(clamped * rate, ed + er, target), target)
