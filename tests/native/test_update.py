"""Native optimiser step against the ops that define it, on both vector paths and with one and two threads."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spindl import _native as native
from spindl.graph.graph import Format, Node
from spindl.graph.operations import OPERATIONS, Value

OVERFLOW_THRESHOLD = 2104533975
MANY = 70_001  # elements: enough for a second thread, and no whole number of blocks or vectors
SHIFTS = st.integers(-80, 80)
SCALARS = st.one_of(st.integers(0, 2**15), st.sampled_from([0, 1, 2**14, 2**15 - 1, 2**15]))

repeatable = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=native.vector_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.vector_path()
    native.set_vector_path(request.param)
    yield request.param
    native.set_vector_path(before)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = native.threads()
    native.set_threads(request.param)
    yield request.param
    native.set_threads(before)


def signed(bits: int) -> st.SearchStrategy[int]:
    """Integers below 2^bits in magnitude, of every size and beside powers of two."""
    limit = 2**bits - 1
    beside = st.builds(lambda k, d: (1 << k) + d, st.integers(0, bits), st.integers(-2, 2))
    sized = st.integers(0, bits).flatmap(lambda k: st.integers(0, 2**k))
    magnitude = st.one_of(beside, sized, st.just(limit)).map(lambda v: min(v, limit))
    return st.builds(lambda v, negative: -v if negative else v, magnitude, st.booleans())


def values(bits: int, size: int) -> st.SearchStrategy[list[int]]:
    return st.lists(signed(bits), min_size=size, max_size=size)


def random_values(generator: np.random.Generator, bits: int, size: int, dtype: type) -> np.ndarray:
    """Every size of magnitude below 2^bits equally often."""
    magnitude = generator.integers(0, 2**62, size) >> generator.integers(62 - bits, 63, size)
    return (magnitude * generator.choice([-1, 1], size)).astype(dtype)


def value(array: np.ndarray, exponent: int = 0) -> Value:
    return Value(array.astype(np.int64), exponent)


def scalar(mantissa: int) -> Value:
    return Value(np.array(mantissa, dtype=np.int64))


def defined(op: str, *operands: Value, **attributes: Any) -> Value:
    node = Node(op, (), attributes, operands[0].mantissa.shape, Format("wide"))
    return OPERATIONS[op].meaning(node, *operands)


def site(exponent: int = 0) -> Value:
    return Value(np.zeros(16, dtype=np.int64), exponent)


def defined_step(
    master: np.ndarray,
    velocity: np.ndarray | None,
    gradients: list[tuple[np.ndarray, int]],
    s: dict[str, Any],
) -> tuple[int, int, np.ndarray, np.ndarray | None, np.ndarray]:
    """The chain of ops that sgd_step fuses. The direction's exponent is 0, so that operands carry their shifts."""
    mu, rate = scalar(s["mu_m"]), scalar(s["rate_m"])
    gradient_values = [value(g, -shift) for g, shift in gradients]
    direction = defined("direction", value(master, -s["shift_w"]), scalar(s["decay_m"]), site(), *gradient_values)
    total = direction
    if velocity is not None:
        total = defined("momentum", value(velocity, -s["shift_v"]), direction, mu)
    step = new_velocity = defined("saturate32", total)
    if s["nesterov_shift"] is not None:
        again = defined("momentum", Value(new_velocity.mantissa, -s["nesterov_shift"]), direction, mu)
        step = defined("saturate32", again)
    weights = defined("descend", Value(value(master).mantissa, s["shift_rate"]), step, rate, fixed=s["fixed"])
    copy = defined("narrow", weights, bits=s["narrow_bits"])
    increment = weights.exponent - s["shift_rate"]
    largest = max(int(total.mantissa.max(initial=0)), -int(total.mantissa.min(initial=0)))
    kept = None if velocity is None else new_velocity.mantissa
    return largest, increment, weights.mantissa, kept, copy.mantissa


def check_step(
    master: np.ndarray,
    velocity: np.ndarray | None,
    gradients: list[tuple[np.ndarray, int]],
    s: dict[str, Any],
    in_place: bool = False,
) -> int:
    """Equality of sgd_step with the chain; returns the increment of the exponent."""
    largest, increment, weights, kept, copy = defined_step(master, velocity, gradients, s)
    out_master = np.empty_like(master)
    out_narrow = np.empty(master.shape, np.int16)
    out_velocity = None
    if velocity is not None:
        out_velocity = velocity = velocity.copy()
        if not in_place:
            out_velocity = np.empty_like(velocity)
    result = native.sgd_step(
        master, velocity, gradients, **s, out_master=out_master, out_velocity=out_velocity, out_narrow=out_narrow
    )
    assert result == (largest, increment)
    assert np.array_equal(out_master, weights)
    assert np.array_equal(out_narrow, copy)
    if out_velocity is not None:
        assert np.array_equal(out_velocity, kept)
    return increment


@st.composite
def direction_cases(draw: st.DrawFn) -> tuple[np.ndarray, int, int, list[tuple[np.ndarray, int]]]:
    size = draw(st.integers(0, 21))
    master = np.array(draw(values(31, size)), dtype=np.int32)
    gradients = []
    for _ in range(draw(st.integers(0, 3))):
        wide = draw(st.booleans())
        mantissas = np.array(draw(values(61 if wide else 31, size)), dtype=np.int64 if wide else np.int32)
        gradients.append((mantissas, draw(SHIFTS)))
    return master, draw(SCALARS), draw(SHIFTS), gradients


@repeatable
@given(case=direction_cases())
def test_direction(path: str, case: tuple[np.ndarray, int, int, list[tuple[np.ndarray, int]]]) -> None:
    master, decay, shift, gradients = case
    out = np.empty(master.shape, np.int64)
    native.direction(master, decay, shift, out, gradients)
    expected = defined(
        "direction", value(master, -shift), scalar(decay), site(), *[value(g, -shift) for g, shift in gradients]
    )
    assert out.tolist() == expected.mantissa.tolist()


@repeatable
@given(velocity=values(31, 9), direction=values(60, 9), mu=SCALARS, shift=SHIFTS)
def test_momentum(path: str, velocity: list[int], direction: list[int], mu: int, shift: int) -> None:
    v, d = np.array(velocity, np.int32), np.array(direction, np.int64)
    expected = defined("momentum", value(v, -shift), Value(d), scalar(mu)).mantissa
    out = np.empty_like(d)
    assert native.momentum(v, mu, shift, d, out) == int(abs(expected).max())
    assert out.tolist() == expected.tolist()
    native.momentum(v, mu, shift, d, d)
    assert d.tolist() == expected.tolist()


@repeatable
@given(x=values(62, 9))
def test_saturate32(path: str, x: list[int]) -> None:
    out = np.empty(9, np.int32)
    native.saturate32(np.array(x, np.int64), out)
    assert out.tolist() == defined("saturate32", Value(np.array(x, np.int64))).mantissa.tolist()


@repeatable
@given(master=values(31, 9), step=values(31, 9), rate=SCALARS, shift=SHIFTS, fixed=st.booleans())
@example(master=[OVERFLOW_THRESHOLD] * 9, step=[0] * 9, rate=1, shift=0, fixed=False)
@example(master=[OVERFLOW_THRESHOLD] * 8 + [-OVERFLOW_THRESHOLD - 1], step=[0] * 9, rate=1, shift=0, fixed=False)
@example(master=[1] * 8 + [2**31 - 1], step=[0] * 9, rate=1, shift=0, fixed=True)
@example(master=[2**31 - 1] * 9, step=[1 - 2**31] * 9, rate=2**15, shift=-80, fixed=False)
def test_descend(path: str, master: list[int], step: list[int], rate: int, shift: int, fixed: bool) -> None:
    w, u = np.array(master, np.int32), np.array(step, np.int32)
    expected = defined("descend", value(w, shift), value(u), scalar(rate), fixed=fixed)
    out = np.empty_like(w)
    assert native.descend(w, u, rate, shift, fixed, out) == expected.exponent - shift
    assert out.tolist() == expected.mantissa.tolist()


@repeatable
@given(data=st.data(), bits_and_type=st.sampled_from([(15, np.int16), (31, np.int32), (62, np.int64)]))
def test_squared_norm(path: str, data: st.DataObject, bits_and_type: tuple[int, type]) -> None:
    bits, dtype = bits_and_type
    x = np.array(data.draw(st.lists(signed(bits), max_size=20)), dtype)
    expected = defined("squared_norm", value(x))
    assert native.squared_norm(x) == (int(expected.mantissa), expected.exponent // 2)


@repeatable
@given(step=values(62, 9), rate=SCALARS, shift=SHIFTS)
def test_scale_direction(path: str, step: list[int], rate: int, shift: int) -> None:
    d = np.array(step, np.int64)
    expected = defined("scale_direction", Value(d, -shift), scalar(rate), site()).mantissa.tolist()
    out = np.empty_like(d)
    native.scale_direction(d, rate, shift, out)
    assert out.tolist() == expected
    native.scale_direction(d, rate, shift, d)
    assert d.tolist() == expected


@st.composite
def steps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None, list[tuple[np.ndarray, int]], dict[str, Any], bool]:
    master, decay, shift_w, gradients = draw(direction_cases())
    velocity = None
    if draw(st.booleans()):
        velocity = np.array(draw(values(31, master.size)), dtype=np.int32)
    scalars = {
        "decay_m": decay,
        "shift_w": shift_w,
        "mu_m": draw(SCALARS),
        "shift_v": draw(SHIFTS),
        "nesterov_shift": draw(st.none() | SHIFTS) if velocity is not None else None,
        "rate_m": draw(SCALARS),
        "shift_rate": draw(SHIFTS),
        "fixed": draw(st.booleans()),
        "narrow_bits": draw(st.integers(8, 16)),
    }
    return master, velocity, gradients, scalars, draw(st.booleans())


@settings(repeatable, max_examples=300)
@given(case=steps())
def test_step_equals_the_chain(
    path: str,
    case: tuple[np.ndarray, np.ndarray | None, list[tuple[np.ndarray, int]], dict[str, Any], bool],
) -> None:
    check_step(*case)


@pytest.mark.parametrize("nesterov_shift", [None, 15])
@pytest.mark.parametrize("with_velocity", [True, False])
@pytest.mark.parametrize("overflowing", [True, False])
def test_large_step(
    path: str, threads: int, nesterov_shift: int | None, with_velocity: bool, overflowing: bool
) -> None:
    generator = np.random.default_rng(11)
    master = random_values(generator, 30, MANY, np.int32)
    if overflowing:
        master[-1] = 2**31 - 1  # the only one above the threshold, in the last thread's part
    velocity = random_values(generator, 24, MANY, np.int32) if with_velocity else None
    gradients = [
        (random_values(generator, 22, MANY, np.int32), 3),
        (random_values(generator, 40, MANY, np.int64), 18),
        (random_values(generator, 16, MANY, np.int32), -4),
    ]
    scalars = {
        "decay_m": 26844,
        "shift_w": 30,
        "mu_m": 29491,
        "shift_v": 15,
        "nesterov_shift": nesterov_shift if with_velocity else None,
        "rate_m": 20972,
        "shift_rate": 17,
        "fixed": False,
        "narrow_bits": 14,
    }
    assert check_step(master, velocity, gradients, scalars) == int(overflowing)
    assert check_step(master, velocity, gradients, scalars, in_place=True) == int(overflowing)
    assert check_step(master, velocity, gradients, scalars | {"fixed": True}) == 0


def test_large_single_ops(path: str, threads: int) -> None:
    generator = np.random.default_rng(12)
    master = random_values(generator, 31, MANY, np.int32)
    velocity = random_values(generator, 31, MANY, np.int32)
    wide = random_values(generator, 60, MANY, np.int64)
    out, out32 = np.empty(MANY, np.int64), np.empty(MANY, np.int32)
    native.direction(master, 26844, 20, out, [(velocity, 1), (wide, 13)])
    expected = defined("direction", value(master, -20), scalar(26844), site(), value(velocity, -1), Value(wide, -13))
    assert np.array_equal(out, expected.mantissa)
    expected = defined("momentum", value(velocity, -15), Value(wide), scalar(29491))
    assert native.momentum(velocity, 29491, 15, wide, out) == int(abs(expected.mantissa).max())
    assert np.array_equal(out, expected.mantissa)
    native.saturate32(wide, out32)
    assert np.array_equal(out32, defined("saturate32", Value(wide)).mantissa)
    expected = defined("descend", value(master), value(velocity), scalar(20000), fixed=False)
    assert native.descend(master, velocity, 20000, 0, False, out32) == expected.exponent == 1
    assert np.array_equal(out32, expected.mantissa)
    native.scale_direction(wide, 20000, 31, out)
    assert np.array_equal(out, defined("scale_direction", Value(wide, -31), scalar(20000), site()).mantissa)
    for x in (wide, master, random_values(generator, 15, MANY, np.int16)):
        expected = defined("squared_norm", value(x))
        assert native.squared_norm(x) == (int(expected.mantissa), expected.exponent // 2)


STEP = {"decay_m": 0, "shift_w": 0, "rate_m": 1, "shift_rate": 0, "fixed": False}


def int32s(size: int) -> np.ndarray:
    return np.zeros(size, np.int32)


def test_wrong_arguments() -> None:
    w = int32s(4)
    with pytest.raises(ValueError, match="out has 3 elements, expected 4"):
        native.direction(w, 0, 0, np.zeros(3, np.int64), [])
    with pytest.raises(ValueError, match="a gradient has 5 elements, expected 4"):
        native.sgd_step(w, None, [(int32s(5), 0)], **STEP, out_master=int32s(4))
    with pytest.raises(ValueError, match="decay_m is 32769, expected at most 2\\^15"):
        native.sgd_step(w, None, [], **(STEP | {"decay_m": 2**15 + 1}), out_master=int32s(4))
    with pytest.raises(ValueError, match="out_master overlaps master"):
        native.sgd_step(w, None, [], **STEP, out_master=w)
    with pytest.raises(ValueError, match="out overlaps step"):
        native.descend(int32s(4), w, 1, 0, False, w)
    with pytest.raises(ValueError, match="velocity and out_velocity"):
        native.sgd_step(w, int32s(4), [], **STEP, out_master=int32s(4))
    with pytest.raises(ValueError, match="out_velocity overlaps velocity"):
        shared = int32s(5)
        native.sgd_step(w, shared[:4], [], **STEP, out_master=int32s(4), out_velocity=shared[1:])
    with pytest.raises(ValueError, match="nesterov_shift is given without a velocity"):
        native.sgd_step(w, None, [], **STEP, nesterov_shift=15, out_master=int32s(4))
    with pytest.raises(ValueError, match="narrow_bits is 17"):
        native.sgd_step(w, None, [], **STEP, narrow_bits=17, out_master=int32s(4), out_narrow=np.zeros(4, np.int16))
    with pytest.raises(TypeError):
        native.sgd_step(w.astype(np.int64), None, [], **STEP, out_master=int32s(4))
    with pytest.raises(TypeError):
        native.sgd_step(w, None, [(w.astype(np.int16), 0)], **STEP, out_master=int32s(4))
