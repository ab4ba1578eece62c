"""Native per-channel scalars of batch normalisation against the Python integers that define them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spindl import _native as native
from spindl.graph.graph import Format, Node
from spindl.graph.operations import OPERATIONS, Value
from spindl.graph.ops.batch_norm import FRACTION_BITS

repeatable = settings(deadline=None, derandomize=True, max_examples=300)
EXPONENTS = st.integers(-80, 40)


def near_powers(bits: int) -> st.SearchStrategy[int]:
    """Integers of every size up to `bits` bits, and those beside powers of two."""
    beside = st.builds(lambda k, d: (1 << k) + d, st.integers(0, bits), st.integers(-2, 2))
    limit = 2**bits - 1
    return st.one_of(beside, st.integers(0, bits).flatmap(lambda k: st.integers(0, 2**k))).map(lambda v: min(v, limit))


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.builds(lambda v, negative: -v if negative else v, near_powers(bits), st.booleans())


COUNTS = near_powers(31).map(lambda v: max(v, 1))
PAIRS = st.one_of(
    st.just((0, 0)),
    st.tuples(
        st.builds(lambda m, s: s * m, st.integers(2**30, 2**31 - 1), st.sampled_from([-1, 1])), st.integers(-120, 90)
    ),
    st.tuples(st.sampled_from([2**30, -(2**30), 2**31 - 1, 1 - 2**31]), st.integers(-120, 90)),
)
EPS = st.tuples(st.integers(2**30, 2**31 - 1), st.integers(-75, -31))  # up to 1


@st.composite
def statistics(draw: st.DrawFn) -> tuple[int, int, int]:
    """count, S1 and S2 as some data of int16 would give them: S1^2 <= count * S2."""
    count = draw(COUNTS)
    largest = draw(st.integers(0, 32767))
    s1 = draw(st.integers(-count * largest, count * largest))
    lowest = -(-s1 * s1 // count)
    highest = max(lowest, count * largest * largest)
    return count, s1, draw(st.one_of(st.integers(lowest, highest), st.sampled_from([lowest, highest])))


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def pair_array(*values: tuple[int, int]) -> np.ndarray:
    return np.array(values, dtype=np.int64).reshape(-1, 2)


def site(exponent: int) -> Value:
    return Value(np.zeros(16, dtype=np.int64), exponent)


def defined(op: str, *values: Value, **attributes: Any) -> np.ndarray:
    node = Node(op, (), attributes, (), Format("wide"))
    result = OPERATIONS[op].meaning(node, *values).mantissa
    assert result.dtype == np.int64
    return result


def assert_same(native_call: Callable[[], np.ndarray], definition: Callable[[], np.ndarray]) -> None:
    """Equal arrays, or the same kind of failure."""
    try:
        expected = definition()
    except OverflowError:
        with pytest.raises(OverflowError):
            native_call()
        return
    result = native_call()
    assert result.dtype == np.int64
    assert result.shape == expected.shape
    assert result.tolist() == expected.tolist()


@repeatable
@given(statistics(), EXPONENTS, EPS)
@example((2**31 - 1, (2**31 - 1) * 32767, (2**31 - 1) * 32767**2), -80, (2**30, -30))
@example((2**31 - 1, 0, (2**31 - 1) * 32767**2), 40, (2**30, -30))
@example((2**31 - 1, 0, (2**31 - 1) * 32767**2), -32, (2**30, -30))
@example((1, 32767, 32767**2), -33, (2**30, -75))
def test_inverse_deviation(sums: tuple[int, int, int], exponent: int, eps: tuple[int, int]) -> None:
    count, s1, s2 = sums
    expected = defined(
        "inverse_deviation", Value(integers(s1), exponent), Value(integers(s2), 2 * exponent), count=count, eps=eps
    )
    result = native.inverse_deviation(integers(s1), integers(s2), exponent, count, *eps)
    assert result.tolist() == expected.tolist()


@repeatable
@given(st.tuples(st.integers(2**30, 2**31 - 1), st.integers(-120, 90)), EPS)
def test_running_inverse_deviation(variance: tuple[int, int], eps: tuple[int, int]) -> None:
    assert_same(
        lambda: native.running_inverse_deviation(pair_array(variance, (0, 0)), *eps),
        lambda: defined("running_inverse_deviation", Value(pair_array(variance, (0, 0))), eps=eps),
    )


@repeatable
@given(signed(31), EXPONENTS, PAIRS, st.integers(-140, 140))
def test_scale(gamma: int, gamma_exponent: int, inverse: tuple[int, int], target: int) -> None:
    assert_same(
        lambda: native.batch_norm_scale(integers(gamma), gamma_exponent, pair_array(inverse), target),
        lambda: defined(
            "batch_norm_scale",
            Value(integers(gamma), gamma_exponent),
            Value(pair_array(inverse)),
            site(target + FRACTION_BITS),
            Value(integers(0), 0),
        ),
    )


@repeatable
@given(signed(63), EXPONENTS, signed(31), signed(63), COUNTS, st.integers(-140, 140))
@example(-(2**63), 70, -(2**31 - 1), -(2**63), 1, 0)
@example(2**31 - 1, 40, 2**31 - 1, 2**46, 2**31 - 1, -80)
def test_offset(beta: int, beta_exponent: int, scale: int, s1: int, count: int, target: int) -> None:
    assert_same(
        lambda: native.batch_norm_offset(integers(beta), beta_exponent, integers(scale), integers(s1), count, target),
        lambda: defined(
            "batch_norm_offset",
            Value(integers(beta), beta_exponent),
            Value(integers(scale), 0),
            Value(integers(s1), 0),
            site(target + FRACTION_BITS),
            count=count,
        ),
    )


@repeatable
@given(signed(31), EXPONENTS, signed(31), EXPONENTS, PAIRS, st.integers(-140, 140))
def test_running_offset(
    beta: int, beta_exponent: int, scale: int, scale_exponent: int, mean: tuple[int, int], target: int
) -> None:
    mean_exponent = target - scale_exponent - FRACTION_BITS
    assert_same(
        lambda: native.running_offset(
            integers(beta), beta_exponent, integers(scale), pair_array(mean), mean_exponent, target
        ),
        lambda: defined(
            "running_offset",
            Value(integers(beta), beta_exponent),
            Value(integers(scale), scale_exponent),
            Value(pair_array(mean)),
            site(target + FRACTION_BITS),
        ),
    )


@repeatable
@given(signed(63), signed(63), signed(63), st.integers(-160, 80), PAIRS, COUNTS)
@example(-(2**63), -(2**63), -(2**63), 0, (2**31 - 1, 0), 2**31 - 1)
@example(2**63 - 1, -(2**63), 2**63 - 1, 0, (-(2**30), 0), 2**31 - 1)
def test_gamma_gradient(sg: int, sgx: int, s1: int, exponent: int, inverse: tuple[int, int], count: int) -> None:
    assert_same(
        lambda: native.gamma_gradient(integers(sg), integers(sgx), integers(s1), exponent, pair_array(inverse), count),
        lambda: defined(
            "gamma_gradient",
            Value(integers(sg), 0),
            Value(integers(sgx), exponent),
            Value(integers(s1), 0),
            Value(pair_array(inverse)),
            count=count,
        ),
    )


@repeatable
@given(signed(31), EXPONENTS, PAIRS, PAIRS, COUNTS, st.integers(-300, 200))
def test_slope(
    gamma: int, gamma_exponent: int, inverse: tuple[int, int], gradient: tuple[int, int], count: int, target: int
) -> None:
    assert_same(
        lambda: native.batch_norm_slope(
            integers(gamma), gamma_exponent, pair_array(inverse), pair_array(gradient), count, target
        ),
        lambda: defined(
            "batch_norm_slope",
            Value(integers(gamma), gamma_exponent),
            Value(pair_array(inverse)),
            Value(pair_array(gradient)),
            Value(integers(0), 0),
            site(target + FRACTION_BITS),
            count=count,
        ),
    )


@repeatable
@given(signed(31), signed(31), signed(63), signed(63), COUNTS)
@example(2**31 - 1, -(2**31 - 1), -(2**63), -(2**63), 1)
def test_gradient_offset(scale: int, slope: int, sg: int, s1: int, count: int) -> None:
    assert_same(
        lambda: native.batch_norm_gradient_offset(integers(scale), integers(slope), integers(sg), integers(s1), count),
        lambda: defined(
            "batch_norm_gradient_offset",
            Value(integers(scale), 0),
            Value(integers(slope), 0),
            Value(integers(sg), 0),
            Value(integers(s1), 0),
            site(0),
            count=count,
        ),
    )


@repeatable
@given(PAIRS, statistics(), EXPONENTS, st.integers(0, 2**15))
def test_running_statistics(running: tuple[int, int], sums: tuple[int, int, int], exponent: int, momentum: int) -> None:
    count, s1, s2 = sums
    assert_same(
        lambda: native.running_mean(pair_array(running), integers(s1), exponent, count, momentum),
        lambda: defined(
            "running_mean", Value(pair_array(running)), Value(integers(s1), exponent), count=count, momentum=momentum
        ),
    )
    assert_same(
        lambda: native.running_variance(pair_array(running), integers(s1), integers(s2), exponent, count, momentum),
        lambda: defined(
            "running_variance",
            Value(pair_array(running)),
            Value(integers(s1), exponent),
            Value(integers(s2), 2 * exponent),
            count=count,
            momentum=momentum,
        ),
    )


@repeatable
@given(st.lists(PAIRS, max_size=5), st.integers(-200, 200))
def test_pair_to_wide(items: list[tuple[int, int]], exponent: int) -> None:
    assert_same(
        lambda: native.pair_to_wide(pair_array(*items), exponent),
        lambda: defined("pair_to_wide", Value(pair_array(*items)), site(exponent)),
    )


def test_many_channels_keep_their_places() -> None:
    generator = np.random.default_rng(5)
    channels, count = 2048, 8 * 7 * 7
    x = generator.integers(-32767, 32768, (count, channels))
    s1, s2 = x.sum(axis=0), (x * x).sum(axis=0)
    eps = (1407374884, -47)
    inverse = native.inverse_deviation(s1, s2, -12, count, *eps)
    expected = defined("inverse_deviation", Value(s1, -12), Value(s2, -24), count=count, eps=eps)
    assert np.array_equal(inverse, expected)
    variance = native.running_variance(expected, s1, s2, -12, count, 3277)
    assert np.array_equal(
        variance,
        defined("running_variance", Value(expected), Value(s1, -12), Value(s2, -24), count=count, momentum=3277),
    )


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: native.inverse_deviation(integers(0), integers(0), 0, 0, 2**30, -40), ValueError, "count is 0"),
        (
            lambda: native.inverse_deviation(integers(0), integers(0), 0, 2**31, 2**30, -40),
            ValueError,
            "count < 2\\^31",
        ),
        (
            lambda: native.inverse_deviation(integers(0), integers(0, 1), 0, 1, 2**30, -40),
            ValueError,
            "s2 has 2 channels",
        ),
        (lambda: native.inverse_deviation(integers(0), integers(0), 0, 1, 2**31, 0), ValueError, "eps holds"),
        (
            lambda: native.inverse_deviation(integers(0), integers(0), -40, 2**31 - 1, 2**30, 10),
            OverflowError,
            "128 bits",
        ),
        (lambda: native.running_inverse_deviation(pair_array((-(2**30), 0)), 2**30, -40), ValueError, "not above 0"),
        (lambda: native.pair_to_wide(pair_array((2**31, 0)), 0), ValueError, "pairs holds"),
        (
            lambda: native.batch_norm_offset(integers(0), 0, integers(2**31), integers(0), 1, 0),
            ValueError,
            "scale holds 2147483648",
        ),
        (lambda: native.pair_to_wide(integers(1, 2, 3), 0), TypeError, "incompatible"),
        (lambda: native.batch_norm_scale(np.zeros(1, np.int32), 0, pair_array((0, 0)), 0), TypeError, "incompatible"),
    ],
)
def test_wrong_arguments(call: Callable[[], object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
