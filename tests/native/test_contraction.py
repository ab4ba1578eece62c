"""The convolution in three directions against NumPy int64, bit for bit."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl import _native
from tests.native import oracle
from tests.native.paths import PATHS, VARIANTS, examples, variant

FILLS = {
    "small": lambda r, shape: r.integers(-300, 301, shape),
    "typical": lambda r, shape: np.clip(r.normal(0, 2000, shape), -16383, 16383),
    "full": lambda r, shape: r.integers(-32767, 32768, shape),
    "extreme": lambda r, shape: r.choice([-32767, 32767], shape),
    "largest": lambda r, shape: np.full(shape, 32767),
    "zero": lambda r, shape: np.zeros(shape),
}


@dataclass(frozen=True)
class Case:
    images: int = 2
    height: int = 6
    width: int = 7
    channels: int = 8  # per group
    outputs: int = 8  # per group
    groups: int = 1
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    extra: tuple[int, int] = (0, 0)  # outputs more (or fewer) than the padding at the top and left alone would give
    fill: str = "typical"
    weights: str = "typical"
    bias_bits: int = 0
    shift: int = 15
    limit: int = 16383
    relu: bool = False
    group_size: int = 1
    seed: int = 0

    @property
    def out(self) -> tuple[int, int]:
        sizes = []
        for axis, size in enumerate((self.height, self.width)):
            span = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            sizes.append(max(1, (size + 2 * self.padding[axis] - span) // self.stride[axis] + 1 + self.extra[axis]))
        return sizes[0], sizes[1]

    @property
    def geometry(self) -> tuple[Any, ...]:
        return self.stride, self.padding, self.dilation, self.groups


def arrays(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """x, w, dy and bias of a case."""
    r = np.random.default_rng(case.seed)
    channels, outputs = case.channels * case.groups, case.outputs * case.groups
    x = FILLS[case.fill](r, (case.images, case.height, case.width, channels)).astype(np.int16)
    w = FILLS[case.weights](r, (outputs, *case.kernel, case.channels)).astype(np.int16)
    dy = FILLS[case.fill](r, (case.images, *case.out, outputs)).astype(np.int16)
    bias = r.integers(-(2**case.bias_bits), 2**case.bias_bits + 1, outputs) if case.bias_bits else None
    return x, w, dy, bias


def check(case: Case) -> None:
    """All three directions, rounded and exact, equal to the oracle."""
    x, w, dy, bias = arrays(case)
    rounding = case.shift, case.limit

    exact = oracle.convolution(x, w, bias, case.out, *case.geometry)
    expected, statistics = oracle.rounded(exact, *rounding, case.relu)
    y, y64 = np.full(exact.shape, -9, np.int16), np.full(exact.shape, -9, np.int64)
    assert _native.convolution(x, w, bias, y, *case.geometry, *rounding, case.relu) == statistics
    np.testing.assert_array_equal(y, expected)
    _native.convolution(x, w, bias, y64, *case.geometry)
    np.testing.assert_array_equal(y64, exact)

    exact = oracle.input_gradient(dy, w, x.shape, *case.geometry)
    expected, statistics = oracle.rounded(exact, *rounding)
    dx, dx64 = np.full(x.shape, -9, np.int16), np.full(x.shape, -9, np.int64)
    assert _native.convolution_input_gradient(dy, w, dx, *case.geometry, *rounding) == statistics
    np.testing.assert_array_equal(dx, expected)
    _native.convolution_input_gradient(dy, w, dx64, *case.geometry)
    np.testing.assert_array_equal(dx64, exact)

    total, statistics = oracle.grouped_weight_gradient(dy, x, w.shape, *case.geometry, case.group_size, *rounding)
    dw, dw64 = np.full(w.shape, -9, np.int32), np.full(w.shape, -9, np.int64)
    assert _native.convolution_weight_gradient(dy, x, dw, *case.geometry, case.group_size, *rounding) == statistics
    np.testing.assert_array_equal(dw, total)
    _native.convolution_weight_gradient(dy, x, dw64, *case.geometry)
    np.testing.assert_array_equal(dw64, oracle.weight_gradient(dy, x, w.shape, *case.geometry))


SMALL = st.integers(1, 3)
cases = st.builds(
    Case,
    images=st.integers(1, 4),
    height=st.integers(1, 12),
    width=st.integers(1, 19),
    channels=st.sampled_from([1, 2, 3, 5, 8, 16, 17, 33, 64, 65, 130]),
    outputs=st.sampled_from([1, 3, 6, 10, 16, 17, 31, 33, 64]),
    groups=st.sampled_from([1, 1, 1, 2, 3]),
    kernel=st.tuples(st.integers(1, 5), st.integers(1, 5)) | st.just((1, 1)),
    stride=st.tuples(SMALL, SMALL) | st.just((1, 1)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)) | st.just((0, 0)),
    dilation=st.tuples(SMALL, SMALL) | st.just((1, 1)),
    extra=st.tuples(st.integers(-1, 2), st.integers(-1, 2)) | st.just((0, 0)),
    fill=st.sampled_from(list(FILLS)),
    weights=st.sampled_from(list(FILLS)),
    bias_bits=st.sampled_from([0, 10, 30, 31, 45, 60]),
    shift=st.sampled_from([-40, -16, -3, -1, 0, 1, 5, 15, 20, 30, 31, 35, 46, 47, 60, 63, 80]),
    limit=st.sampled_from([127, 8191, 16383, 32767]),
    relu=st.booleans(),
    group_size=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(120)
@given(case=cases)
def test_any_geometry(path: str, threads: int, case: Case) -> None:
    with variant(path, threads):
        check(case)


NETWORK_LAYERS = {
    "stem of ResNet-50": Case(1, 31, 29, 3, 64, kernel=(7, 7), stride=(2, 2), padding=(3, 3)),
    "3x3": Case(2, 14, 14, 64, 64),
    "3x3, 7 wide, many channels": Case(2, 7, 7, 192, 96),
    "3x3, stride 2": Case(2, 16, 16, 32, 64, stride=(2, 2)),
    "1x1": Case(3, 14, 14, 128, 64, kernel=(1, 1), padding=(0, 0)),
    "1x1, stride 2": Case(2, 14, 14, 64, 128, kernel=(1, 1), stride=(2, 2), padding=(0, 0)),
    "linear": Case(33, 1, 1, 400, 120, kernel=(1, 1), padding=(0, 0)),
    "linear, odd": Case(7, 1, 1, 85, 10, kernel=(1, 1), padding=(0, 0)),
    "linear, groups of images": Case(33, 1, 1, 84, 30, kernel=(1, 1), padding=(0, 0), group_size=4),
    "LeNet's first": Case(4, 28, 28, 1, 6, kernel=(5, 5), padding=(2, 2)),
    "LeNet's second": Case(4, 14, 14, 6, 16, kernel=(5, 5), padding=(0, 0)),
    "depthwise": Case(2, 14, 14, 1, 1, groups=40),
    "depthwise, stride 2": Case(2, 15, 14, 1, 1, groups=33, stride=(2, 2)),
    "grouped": Case(2, 7, 7, 4, 4, groups=8),
    "one-dimensional": Case(2, 1, 40, 16, 24, kernel=(1, 5), padding=(0, 2)),
    "one row of many pixels": Case(1, 1, 700, 16, 16, kernel=(1, 1), padding=(0, 0)),
}


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@pytest.mark.parametrize("layer", NETWORK_LAYERS)
def test_layers_of_networks(path: str, threads: int, layer: str) -> None:
    with variant(path, threads):
        check(replace(NETWORK_LAYERS[layer], relu=True, bias_bits=20))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("fill", ["extreme", "largest", "full"])
@pytest.mark.parametrize("layer", ["3x3, 7 wide, many channels", "1x1", "stem of ResNet-50", "linear", "depthwise"])
def test_sums_beyond_32_bits(path: str, fill: str, layer: str) -> None:
    """K * 32767^2 is far above 2^31: every partial sum must be widened in time."""
    with variant(path, 2):
        check(replace(NETWORK_LAYERS[layer], fill=fill, weights=fill, shift=26, group_size=2))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("spread", [200, 700, 1500, 3000, 6000, 12000, 32767])
def test_every_length_of_proof(path: str, spread: int) -> None:
    """From one chunk for the whole sum to chunks of few products, on both sides of every border."""
    r = np.random.default_rng(spread)
    x = np.clip(r.normal(0, spread, (2, 9, 9, 256)), -32767, 32767).astype(np.int16)
    w = np.clip(r.normal(0, spread, (33, 3, 3, 256)), -32767, 32767).astype(np.int16)
    dy = np.clip(r.normal(0, spread, (2, 9, 9, 33)), -32767, 32767).astype(np.int16)
    geometry: tuple[Any, ...] = (1, 1), (1, 1), (1, 1), 1
    with variant(path, 2):
        y, dx, dw = np.empty(dy.shape, np.int64), np.empty(x.shape, np.int64), np.empty(w.shape, np.int64)
        _native.convolution(x, w, None, y, *geometry)
        np.testing.assert_array_equal(y, oracle.convolution(x, w, None, (9, 9), *geometry))
        _native.convolution_input_gradient(dy, w, dx, *geometry)
        np.testing.assert_array_equal(dx, oracle.input_gradient(dy, w, x.shape, *geometry))
        _native.convolution_weight_gradient(dy, x, dw, *geometry)
        np.testing.assert_array_equal(dw, oracle.weight_gradient(dy, x, w.shape, *geometry))
        for shift in (14, 22):
            rounded = np.empty(dy.shape, np.int16)
            expected, statistics = oracle.rounded(y, shift, 16383)
            assert _native.convolution(x, w, None, rounded, *geometry, shift, 16383) == statistics
            np.testing.assert_array_equal(rounded, expected)


@pytest.mark.parametrize("path", PATHS)
def test_sum_at_the_border_of_32_bits(path: str) -> None:
    """Sums of exactly 2^31 - 1 + d, where a proof that is off by one would let them wrap."""
    for excess in (-2, -1, 0, 1, 2):
        total = 2**31 - 1 + excess
        x = np.full((1, 1, 1, 4), 32767, np.int16)
        w = np.full((1, 1, 1, 4), 16384, np.int16)
        bias = np.array([total - int((x.astype(np.int64) * w).sum())])
        for sign in (1, -1):
            out = np.empty((1, 1, 1, 1), np.int16)
            result = _native.convolution(x * np.int16(sign), w, bias * sign, out, shift=17)
            expected, statistics = oracle.rounded(np.array([[[[total * sign]]]]), 17, 32767)
            assert result == statistics
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("threads_a", "threads_b"), [(1, 2), (2, 3), (1, 5)])
def test_thread_count_never_matters(threads_a: int, threads_b: int) -> None:
    case = Case(5, 13, 11, 48, 40, group_size=2, shift=16)
    x, w, dy, _ = arrays(case)
    results = []
    for threads in (threads_a, threads_b):
        with variant(PATHS[-1], threads):
            y, dx, dw = np.empty(dy.shape, np.int16), np.empty(x.shape, np.int16), np.empty(w.shape, np.int32)
            statistics = (
                _native.convolution(x, w, None, y, *case.geometry, 16, 16383),
                _native.convolution_input_gradient(dy, w, dx, *case.geometry, 16, 16383),
                _native.convolution_weight_gradient(dy, x, dw, *case.geometry, 2, 16, 16383),
            )
            results.append((y, dx, dw, statistics))
    for a, b in zip(results[0][:3], results[1][:3], strict=True):
        np.testing.assert_array_equal(a, b)
    assert results[0][3] == results[1][3]


def test_no_images() -> None:
    x, w, y = np.zeros((0, 4, 4, 2), np.int16), np.ones((3, 1, 1, 2), np.int16), np.zeros((0, 4, 4, 3), np.int16)
    dw = np.full(w.shape, 7, np.int32)
    assert _native.convolution(x, w, None, y) == (0, 0)
    assert _native.convolution_input_gradient(y, w, x) == (0, 0)
    assert _native.convolution_weight_gradient(y, x, dw) == (0, 0)
    assert not dw.any()


GOOD: dict[str, Any] = {
    "x": np.zeros((2, 5, 5, 4), np.int16),
    "w": np.zeros((6, 3, 3, 4), np.int16),
    "bias": None,
    "out": np.zeros((2, 3, 3, 6), np.int16),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((2, 5, 5, 4), np.int32)}, "x: expected element type int16"),
        ({"x": np.zeros((5, 5, 4), np.int16)}, "expected four axes"),
        ({"x": np.zeros((2, 4, 5, 5), np.int16).transpose(0, 2, 3, 1)}, "x: expected contiguous memory"),
        ({"w": np.zeros((6, 3, 3, 3), np.int16)}, r"weights: expected shape \(6, any, any, 4\), got \(6, 3, 3, 3\)"),
        ({"out": np.zeros((3, 3, 3, 6), np.int16)}, "images differ"),
        ({"out": np.zeros((2, 3, 3, 6), np.float32)}, "out: expected element type int16"),
        ({"bias": np.zeros(5, np.int64)}, r"bias: expected shape \(6\), got \(5\)"),
        ({"bias": np.zeros(6, np.int32)}, "bias: expected element type int64"),
        ({"groups": 3}, "groups: expected a divisor"),
        ({"stride": (0, 1)}, "stride: expected two numbers of at least 1"),
        ({"padding": (0, -1)}, "padding: expected two numbers of at least 0"),
        ({"dilation": (1, 0)}, "dilation: expected two numbers of at least 1"),
        ({"shift": 81}, r"shift: expected -40 \.\. 80, got 81"),
        ({"limit": 32768}, r"limit: expected 1 \.\. 32767, got 32768"),
        ({"limit": 0}, "limit: expected"),
    ],
)
def test_wrong_arguments(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _native.convolution(**{**GOOD, **changes})


def test_wrong_group_size() -> None:
    with pytest.raises(ValueError, match="group_size: expected at least 1, got 0"):
        _native.convolution_weight_gradient(GOOD["out"], GOOD["x"], np.zeros((6, 3, 3, 4), np.int32), group_size=0)


def test_paths_and_threads() -> None:
    with pytest.raises(ValueError, match=r"vector path 'sse2': this processor has .*portable"):
        _native.set_vector_path("sse2")
    with variant("portable", 3):
        assert (_native.vector_path(), _native.threads()) == ("portable", 3)


def test_calls_from_several_python_threads() -> None:
    """Callers share one pool and may change its size while others wait."""
    case = Case(2, 9, 9, 16, 16, shift=14)
    x, w, _, _ = arrays(case)
    expected, statistics = oracle.rounded(oracle.convolution(x, w, None, case.out, *case.geometry), 14, 16383)
    wrong = []

    def call(index: int) -> None:
        for turn in range(50):
            if index == 0:
                _native.set_threads(1 + turn % 4)
            y = np.empty(expected.shape, np.int16)
            result = _native.convolution(x, w, None, y, *case.geometry, 14, 16383)
            if result != statistics or not np.array_equal(y, expected):
                wrong.append((index, turn))

    with variant(PATHS[-1], 2):
        callers = [threading.Thread(target=call, args=(index,)) for index in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert wrong == []
