"""Batch normalisation: the numbers per channel against rational arithmetic, the whole against PyTorch in float64."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spindl.graph.operations import Value
from spindl.graph.ops.batch_norm import (
    centred_square_sum,
    inverse_deviation_of,
    mean_of,
    moving_average,
    pairs_from_floats,
    pairs_to_floats,
    unbiased_variance_of,
)
from spindl.number import pairs
from tests.graph.cases import INT16, INT32, PAIR, WIDE, Maker, evaluate, site

EPS = pairs.from_fraction(Fraction("0.00001"))
ROWS = st.lists(st.integers(-32767, 32767), min_size=2, max_size=12)


def value(pair: pairs.Pair) -> Fraction:
    return Fraction(pair[0]) * Fraction(2) ** pair[1]


def sums(row: list[int]) -> tuple[int, int]:
    return sum(row), sum(v * v for v in row)


@given(ROWS)
def test_centred_sum_is_the_variance_exactly(row: list[int]) -> None:
    s1, s2 = sums(row)
    n = len(row)
    mean = Fraction(s1, n)
    assert centred_square_sum(s1, s2, n) == n * sum((v - mean) ** 2 for v in row)


@settings(max_examples=200)
@given(ROWS, st.integers(-32, 0))
@example([32767, -32767], 0)
@example([5, 5, 5], -12)
def test_inverse_deviation(row: list[int], exponent: int) -> None:
    s1, s2 = sums(row)
    n = len(row)
    found = value(inverse_deviation_of(s1, s2, exponent, n, EPS))
    # eps enters as an integer at 2e: exact to half a unit of N^2 var, which is what the comparison allows for
    unit = Fraction(4) ** exponent / n**2
    exact = Fraction(centred_square_sum(s1, s2, n), n**2) * Fraction(4) ** exponent + value(EPS)
    low, high = max(exact - unit / 2, unit), max(exact + unit / 2, unit)
    assert (1 - Fraction(1, 2**28)) / high <= found**2 <= (1 + Fraction(1, 2**28)) / low


@pytest.mark.parametrize("exponent", [-60, -40, -33, -32, -12, -4, 0, 3, 20, 60])
@pytest.mark.parametrize("count", [2, 8, 2**31 - 1])
@pytest.mark.parametrize("level", [0, 1, -32767])
def test_constant_channel_at_any_exponent(exponent: int, count: int, level: int) -> None:
    """A channel without variance has the inverse 1/sqrt(eps), or what its resolution allows; never 1/0."""
    found = value(inverse_deviation_of(level * count, level * level * count, exponent, count, EPS))
    assert found > 0
    resolution = Fraction(4) ** exponent / count**2
    if resolution < value(EPS) / 2**10:
        assert abs(found**2 * value(EPS) - 1) < Fraction(1, 2**9)
    else:
        assert found**2 <= 2 / min(resolution, value(EPS))


@given(ROWS, st.integers(-60, -33))
def test_tiny_inputs_are_rounded_at_the_lowest_exponent(row: list[int], exponent: int) -> None:
    found = value(inverse_deviation_of(*sums(row), exponent, len(row), EPS))
    assert abs(found**2 * value(EPS) - 1) < Fraction(1, 10**4)  # a deviation below 2^-17 is lost in eps, sqrt(2^-16.6)


@given(ROWS, st.integers(-60, 40))
def test_mean_and_variance_for_the_running_statistics(row: list[int], exponent: int) -> None:
    s1, s2 = sums(row)
    n = len(row)
    unit = Fraction(2) ** exponent
    assert abs(value(mean_of(s1, exponent, n)) - Fraction(s1, n) * unit) <= abs(Fraction(s1, n) * unit) / 2**29
    variance = Fraction(centred_square_sum(s1, s2, n), n * (n - 1)) * unit**2
    assert abs(value(unbiased_variance_of(s1, s2, exponent, n)) - variance) <= variance / 2**28


@given(st.integers(0, 2**40), st.integers(0, 2**40), st.integers(-60, 30), st.integers(1, 2**15))
def test_running_variance_never_turns_negative(old: int, new: int, exponent: int, momentum: int) -> None:
    running, fresh = pairs.normalise(old, -20), pairs.normalise(new, exponent)
    found = value(moving_average(running, fresh, momentum))
    exact = value(running) + (value(fresh) - value(running)) * momentum / 2**15
    assert found >= 0
    assert abs(found - exact) <= (value(running) + value(fresh)) / 2**29


def test_floats_become_pairs_exactly() -> None:
    values = np.array([0.0, 1.0, -2.5, 1e-30, 3.4e38], dtype=np.float32)
    assert pairs_to_floats(pairs_from_floats(values)).astype(np.float32).tolist() == values.tolist()


def forward_backward(
    x: np.ndarray, dy: np.ndarray, gamma: np.ndarray, beta: np.ndarray, ex: int, ey: int, eg: int, ed: int
):  # type: ignore[no-untyped-def]
    """(y, dx, dgamma, dbeta) by the integer ops, as floats; x (N, C, H, W)."""
    count = x.size // x.shape[1]
    images, gradients = (INT16, Value(x, ex)), (INT16, Value(dy, eg))
    g, b = ((INT32, Value(np.round(v * 2**27).astype(np.int64), -27)) for v in (gamma, beta))
    s1, s2 = (WIDE, evaluate("channel_sum", images)), (WIDE, evaluate("channel_dot", images, images))
    inverse = PAIR, evaluate("inverse_deviation", s1, s2, count=count, eps=EPS)
    scale = WIDE, evaluate("batch_norm_scale", g, inverse, site(ey), s1)
    offset = WIDE, evaluate("batch_norm_offset", b, scale, s1, site(ey), count=count)
    y = evaluate("affine", images, scale, offset)
    sg, sgx = (WIDE, evaluate("channel_sum", gradients)), (WIDE, evaluate("channel_dot", gradients, images))
    dgamma = PAIR, evaluate("gamma_gradient", sg, sgx, s1, inverse, count=count)
    back = WIDE, evaluate("batch_norm_scale", g, inverse, site(ed), sg)
    slope = WIDE, evaluate("batch_norm_slope", g, inverse, dgamma, s1, site(ed), count=count)
    rest = WIDE, evaluate("batch_norm_gradient_offset", back, slope, sg, s1, site(ed), count=count)
    dx = evaluate("affine_pair", gradients, back, images, slope, rest)
    real = [np.ldexp(v.mantissa.astype(float), v.exponent) for v in (y, dx, sg[1])]
    return real[0], real[1], pairs_to_floats(dgamma[1].mantissa), real[2]


@pytest.mark.parametrize("shape", [(8, 3, 4, 4), (1, 2, 3, 3), (2, 4, 1, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_whole_normalisation_follows_float64(shape: tuple[int, ...], seed: int) -> None:
    m = Maker(np.random.default_rng(seed))
    x, dy = m.int16(shape, bits=15)[1].mantissa, m.int16(shape, bits=15)[1].mantissa
    gamma, beta = m.generator.uniform(-2, 2, shape[1]), m.generator.normal(0, 1, shape[1])
    # the sites' exponents as delayed scaling would choose them: 15 bits, one free
    y, dx, dgamma, dbeta = forward_backward(x, dy, gamma, beta, -12, -11, -20, -21)
    tx = torch.tensor(np.ldexp(x.astype(float), -12), requires_grad=True)
    tg, tb = (torch.tensor(v, requires_grad=True) for v in (gamma, beta))
    ty = torch.nn.functional.batch_norm(tx, None, None, tg, tb, training=True, eps=1e-5)
    ty.backward(torch.tensor(np.ldexp(dy.astype(float), -20)))
    assert tx.grad is not None and tg.grad is not None and tb.grad is not None
    # A is a multiple of 2^-16 of the last place of y for one place of x: errors are below |x| * 2^-17 places, and one
    assert np.abs(y - ty.detach().numpy()).max() <= 2.0**-11
    assert np.abs(dx - tx.grad.numpy()).max() <= 2.0**-21
    # N^2 eps is rounded to an integer: 671 for N = 2 at this exponent, half a unit of which is 7e-4 of eps
    assert np.abs(dgamma - tg.grad.numpy()).max() <= 1e-6 * np.abs(tg.grad.numpy()).max() + 1e-12
    assert np.abs(dbeta - tb.grad.numpy()).max() <= 1e-12


def test_constant_channel_beside_a_large_one() -> None:
    """Large activations at a high exponent and a dead channel, where N^2 eps rounds to 0: the dead one gives beta."""
    x = np.zeros((2, 2, 1, 1), dtype=np.int64)
    x[:, 1, 0, 0] = (16000, -16000)
    dy = np.array([[100, 5], [300, -7]]).reshape(2, 2, 1, 1)
    y, dx, _, _ = forward_backward(x, dy, np.ones(2), np.array([0.5, 0.0]), 8, -12, -20, -21)
    assert y[:, 0].reshape(-1).tolist() == [0.5, 0.5]
    assert dx[0, 0, 0, 0] == -dx[1, 0, 0, 0] and dx[1, 0, 0, 0] > 0  # g minus its mean, times the inverse
    assert np.abs(y[:, 1].reshape(-1) - [1, -1]).max() < 2.0**-11


def test_evaluation_uses_the_running_statistics() -> None:
    m = Maker(np.random.default_rng(5))
    x = m.int16((3, 4, 2, 2), -12)
    mean, variance = m.generator.normal(0, 1, 4), m.generator.uniform(0.1, 5, 4)
    gamma, beta = m.generator.uniform(0.5, 2, 4), m.generator.normal(0, 1, 4)
    g, b = ((INT32, Value(np.round(v * 2**27).astype(np.int64), -27)) for v in (gamma, beta))
    inverse = PAIR, evaluate("running_inverse_deviation", (PAIR, Value(pairs_from_floats(variance))), eps=EPS)
    scale = WIDE, evaluate("batch_norm_scale", g, inverse, site(-9), (INT16, evaluate_exponent(x)))
    offset = WIDE, evaluate("running_offset", b, scale, (PAIR, Value(pairs_from_floats(mean))), site(-9))
    y = evaluate("affine", x, scale, offset)
    per_channel = (1, -1, 1, 1)
    real = np.ldexp(x[1].mantissa.astype(float), -12)
    expected = (real - mean.reshape(per_channel)) / np.sqrt(variance + 1e-5).reshape(per_channel)
    expected = expected * gamma.reshape(per_channel) + beta.reshape(per_channel)
    assert np.abs(np.ldexp(y.mantissa.astype(float), y.exponent) - expected).max() < 2.0**-9


def evaluate_exponent(x):  # type: ignore[no-untyped-def]
    found = evaluate("exponent_of", x)
    assert int(found.mantissa) == 0
    return found


# --- scales and offsets, exactly -----------------------------------------------------------------------------------

SUM = st.integers(-(2**40), 2**40)
SCALE = st.integers(1 - 2**31, 2**31 - 1)
COUNT = st.integers(2, 2**20)


def half_up(x: Fraction) -> int:
    return floor(x + Fraction(1, 2))


def mean16(s1: int, count: int) -> int:
    """2^16 * S1 / N: half up, but for odd N nearest (there are no ties)."""
    return floor(Fraction(2**16 * s1 + count // 2, count))


def wide(mantissa: int, exponent: int = 0) -> tuple:  # type: ignore[type-arg]
    return WIDE, Value(np.array([mantissa]), exponent)


@given(SCALE, SCALE, SUM, COUNT, st.integers(-60, 60))
@example(0, 3, 1, 2**17, 0)
@example(0, 2**31 - 1, -1, 2, 0)
def test_offset(beta: int, scale: int, s1: int, count: int, target: int) -> None:
    s1 = max(-32767 * count, min(32767 * count, s1))
    found = evaluate(
        "batch_norm_offset", (INT32, Value(np.array([beta]), -27)), wide(scale), wide(s1), site(target), count=count
    )
    at_e = half_up(beta * Fraction(2) ** (-27 - (target - 16)))
    clamped = max(-(2**61), min(2**61, at_e))
    assert found.exponent == target - 16
    assert int(found.mantissa[0]) == clamped - half_up(Fraction(scale * mean16(s1, count), 2**16))


@given(SCALE, SCALE, SUM, SUM, COUNT)
@example(1, 1, -1, 1, 2)
@example(2**31 - 1, 1, 1, 1, 2**17)
def test_gradient_offset(scale: int, slope: int, sg: int, s1: int, count: int) -> None:
    sg, s1 = (max(-32767 * count, min(32767 * count, v)) for v in (sg, s1))
    given = wide(scale), wide(slope), wide(sg), wide(s1)
    found = evaluate("batch_norm_gradient_offset", *given, site(3), count=count)
    expected = -half_up(Fraction(scale * sg, count)) - half_up(Fraction(slope * mean16(s1, count), 2**16))
    assert (int(found.mantissa[0]), found.exponent) == (expected, 3 - 16)


@given(SCALE, st.integers(2**30, 2**31 - 1), st.integers(-60, 10), st.integers(-60, 60), st.integers(-30, 30))
def test_scale_is_the_nearest_integer(gamma: int, mantissa: int, exponent: int, target: int, reference: int) -> None:
    inverse = PAIR, Value(np.array([[mantissa, exponent]]))
    x = INT16, Value(np.array([[1]]), reference)
    found = evaluate("batch_norm_scale", (INT32, Value(np.array([gamma]), -27)), inverse, site(target), x)
    at = target - 16 - reference
    exact = gamma * mantissa * Fraction(2) ** (exponent - 27 - at)
    assert found.exponent == at
    if abs(exact) >= 2**31:
        assert abs(int(found.mantissa[0])) == 2**31 - 1
    else:  # the product is first rounded to 31 bits
        assert abs(int(found.mantissa[0]) - exact) <= Fraction(1, 2) + abs(exact) / 2**31
