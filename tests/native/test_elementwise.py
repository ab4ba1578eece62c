"""Element-wise kernels, sums per channel and pooling against NumPy int64, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl import _native
from tests.native import oracle
from tests.native.paths import PATHS, VARIANTS, examples, variant

SHIFTS = st.sampled_from([-40, -17, -16, -3, 0, 1, 2, 14, 15, 16, 30, 31, 40, 46, 47, 61, 62, 63, 80])
LIMITS = st.sampled_from([1, 127, 8191, 16383, 32767])
SEEDS = st.integers(0, 2**32 - 1)
LARGE = st.sampled_from([1, 2, 5, 40, 700])  # the last: more than one thread's worth of elements


NEAR = st.integers(0, 30) | st.integers(0, 2)  # small alignments leave ties


def mantissas(r: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.int16) -> np.ndarray:
    """Of any size, with the ends of the range among them."""
    spread = 2 ** r.integers(0, 16)
    values = np.clip(r.normal(0, spread, shape), -32767, 32767)
    values[r.random(shape) < 0.02] = r.choice([-32767, 32767, 0])
    return np.abs(values).clip(0, 255).astype(dtype) if dtype == np.uint8 else values.astype(dtype)


def integers(r: np.random.Generator, bits: int, count: int) -> np.ndarray:
    return r.integers(-(2**bits) + 1, 2**bits, count)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(60)
@given(SEEDS, LARGE, st.integers(1, 70) | st.sampled_from([512, 600, 1030]), st.booleans())
def test_channel_sums(path: str, threads: int, seed: int, pixels: int, channels: int, extreme: bool) -> None:
    r = np.random.default_rng(seed)
    x, y = mantissas(r, (pixels, channels)), mantissas(r, (pixels, channels))
    if extreme:
        x[:], y[:] = 32767, -32767
    with variant(path, threads):
        np.testing.assert_array_equal(_native.channel_sum(x), x.astype(np.int64).sum(axis=0))
        np.testing.assert_array_equal(_native.channel_dot(x, y), (x.astype(np.int64) * y).sum(axis=0))


@pytest.mark.parametrize("path", PATHS)
def test_long_channel_sum(path: str) -> None:
    """More pixels than an int32 sum of int16 can hold."""
    x = np.full((200_000, 2), 32767, np.int16)
    with variant(path, 1):
        assert _native.channel_sum(x).tolist() == [32767 * 200_000] * 2
        assert _native.channel_dot(x, x).tolist() == [32767**2 * 200_000] * 2


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(80)
@given(SEEDS, LARGE, st.integers(1, 70) | st.sampled_from([512, 600]), SHIFTS, LIMITS, st.booleans(), st.booleans())
def test_affine(
    path: str, threads: int, seed: int, pixels: int, channels: int, shift: int, limit: int, relu: bool, bytes_: bool
) -> None:
    r = np.random.default_rng(seed)
    x, y = mantissas(r, (pixels, channels), np.uint8 if bytes_ else np.int16), mantissas(r, (pixels, channels))
    scale, slope = integers(r, int(r.integers(1, 32)), channels), integers(r, int(r.integers(1, 32)), channels)
    offset = integers(r, int(r.integers(1, 62)), channels)
    out = np.full((pixels, channels), -9, np.int16)
    with variant(path, threads):
        exact = x * scale + offset
        expected, statistics = oracle.rounded(exact, shift, limit, relu)
        assert _native.affine(x, scale, offset, out, shift, limit, relu) == statistics
        np.testing.assert_array_equal(out, expected)
        if not bytes_:
            expected, statistics = oracle.rounded(exact + y * slope, shift, limit)
            assert _native.affine_pair(x, scale, y, slope, offset, out, shift, limit) == statistics
            np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(60)
@given(SEEDS, LARGE, NEAR, NEAR, SHIFTS | st.integers(1, 4), LIMITS, st.booleans(), st.booleans())
def test_add(
    path: str, threads: int, seed: int, size: int, x_shift: int, y_shift: int, shift: int, limit: int, relu: bool,
    even: bool,
) -> None:  # fmt: skip
    r = np.random.default_rng(seed)
    x, y, out = mantissas(r, (size, 37)), mantissas(r, (size, 37)), np.full((size, 37), -9, np.int16)
    exact = (x.astype(np.int64) << x_shift) + (y.astype(np.int64) << y_shift)
    expected, statistics = oracle.rounded(exact, shift, limit, relu, even)
    with variant(path, threads):
        assert _native.add(x, x_shift, y, y_shift, out, shift, limit, relu, even) == statistics
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(80)
@given(SEEDS, LARGE, st.integers(1, 62), SHIFTS, LIMITS, st.booleans())
def test_requantise(
    path: str, threads: int, seed: int, size: int, bits: int, shift: int, limit: int, relu: bool
) -> None:
    r = np.random.default_rng(seed)
    wide = integers(r, bits, size * 37).reshape(size, 37)
    if 1 <= shift <= 40:  # ties, and the last values that are not clamped
        wide[0, :4] = np.array([1, -1, 2 * limit + 1, -2 * limit - 1]) << (shift - 1)
    narrow = wide.clip(1 - 2**31, 2**31 - 1).astype(np.int32)
    with variant(path, threads):
        for x in (wide, narrow):
            out = np.full(x.shape, -9, np.int16)
            expected, statistics = oracle.rounded(x.astype(np.int64), shift, limit, relu)
            assert _native.requantise(x, out, shift, limit, relu) == statistics
            np.testing.assert_array_equal(out, expected)
            assert _native.extent(x) == statistics[0]
        short = mantissas(r, (size, 37))
        assert _native.extent(short) == int(np.abs(short.astype(int)).max())


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(30)
@given(SEEDS, LARGE, st.integers(0, 32768))
def test_relu(path: str, threads: int, seed: int, size: int, cap: int) -> None:
    r = np.random.default_rng(seed)
    x, y, out = mantissas(r, (size, 37)), mantissas(r, (size, 37)), np.full((size, 37), -9, np.int16)
    with variant(path, threads):
        _native.relu(x, out)
        np.testing.assert_array_equal(out, np.maximum(x, 0))
        _native.relu_gradient(x, y, out)
        np.testing.assert_array_equal(out, np.where(y > 0, x, 0))
        _native.relu6_gradient(x, y, cap, out)
        np.testing.assert_array_equal(out, np.where((y > 0) & (y.astype(int) < cap), x, 0))
        in_place = x.copy()
        _native.relu(in_place, in_place)
        np.testing.assert_array_equal(in_place, np.maximum(x, 0))


def pooled(
    x: np.ndarray, out: tuple[int, int], kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Any, Any]:
    """Largest values (N, OH, OW, C), and for each the input cell (row, column) of its first occurrence."""
    n, height, width, c = x.shape
    best = np.full((n, *out, c), -(2**20), np.int64)
    cell = np.zeros((n, *out, c, 2), np.int64)
    for oh in range(out[0]):
        for ow in range(out[1]):
            for kh in range(kernel[0]):
                for kw in range(kernel[1]):
                    row, column = (
                        oh * stride[0] - padding[0] + kh * dilation[0],
                        ow * stride[1] - padding[1] + kw * dilation[1],
                    )
                    if 0 <= row < height and 0 <= column < width:
                        better = x[:, row, column] > best[:, oh, ow]
                        best[:, oh, ow] = np.where(better, x[:, row, column], best[:, oh, ow])
                        cell[:, oh, ow][better] = (row, column)
    return best, cell


SMALL = st.integers(1, 3)
PAIRS = st.tuples(SMALL, SMALL)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(50)
@given(
    SEEDS, st.integers(1, 3), st.integers(3, 11), st.integers(3, 9), st.sampled_from([1, 3, 16, 40, 130, 300]),
    PAIRS, PAIRS, PAIRS, st.booleans(), SHIFTS, LIMITS, st.booleans(),
)  # fmt: skip
def test_max_pool(
    path: str, threads: int, seed: int, images: int, height: int, width: int, channels: int, kernel: tuple[int, int],
    stride: tuple[int, int], dilation: tuple[int, int], padded: bool, shift: int, limit: int, even: bool,
) -> None:  # fmt: skip
    r = np.random.default_rng(seed)
    padding = (kernel[0] // 2, kernel[1] // 2) if padded else (0, 0)
    out = tuple(
        max(1, (size + 2 * padding[a] - (kernel[a] - 1) * dilation[a] - 1) // stride[a] + 1)
        for a, size in enumerate((height, width))
    )
    x = r.integers(-3, 4, (images, height, width, channels)).astype(np.int16)  # many ties
    dy = mantissas(r, (images, *out, channels))
    best, cell = pooled(x, out, kernel, stride, padding, dilation)
    exact = np.zeros(x.shape, np.int64)
    where = np.indices(dy.shape)
    np.add.at(exact, (where[0], cell[..., 0], cell[..., 1], where[3]), dy)
    expected, statistics = oracle.rounded(exact, shift, limit, False, even)
    y, dx = np.full(dy.shape, -9, np.int16), np.full(x.shape, -9, np.int16)
    with variant(path, threads):
        _native.max_pool(x, y, kernel, stride, padding, dilation)
        np.testing.assert_array_equal(y, best)
        assert _native.max_pool_gradient(dy, x, dx, kernel, stride, padding, dilation, shift, limit, even) == statistics
    np.testing.assert_array_equal(dx, expected)


@pytest.mark.parametrize(("path", "threads"), VARIANTS)
@examples(50)
@given(
    SEEDS, st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3, 16, 130, 600]),
    st.integers(1, 4), st.integers(1, 4), SHIFTS, LIMITS, st.booleans(),
)  # fmt: skip
def test_window_sums(
    path: str, threads: int, seed: int, images: int, height: int, width: int, channels: int, out_height: int,
    out_width: int, shift: int, limit: int, even: bool,
) -> None:  # fmt: skip
    r = np.random.default_rng(seed)
    rows = np.sort(r.integers(0, height + 1, (out_height, 2)).astype(np.int32), axis=1)
    columns = np.sort(r.integers(0, width + 1, (out_width, 2)).astype(np.int32), axis=1)
    multiplier = r.integers(1, 2**20 + 1, (out_height, out_width)).astype(np.int32)
    if even:  # windows of 1, 2, 4, ... cells: ties are frequent
        multiplier = (1 << r.integers(15, 21, (out_height, out_width))).astype(np.int32)
    x = mantissas(r, (images, height, width, channels))
    dy = mantissas(r, (images, out_height, out_width, channels))
    sums, spread = np.zeros(dy.shape, np.int64), np.zeros(x.shape, np.int64)
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            sums[:, i, j] = x[:, top:bottom, left:right].sum(axis=(1, 2), dtype=np.int64) * multiplier[i, j]
            spread[:, top:bottom, left:right] += (dy[:, i, j].astype(np.int64) * multiplier[i, j])[:, None, None]
    y, dx = np.full(dy.shape, -9, np.int16), np.full(x.shape, -9, np.int16)
    with variant(path, threads):
        expected, statistics = oracle.rounded(sums, shift, limit, False, even)
        assert _native.window_sum(x, rows, columns, multiplier, y, shift, limit, even) == statistics
        np.testing.assert_array_equal(y, expected)
        expected, statistics = oracle.rounded(spread, shift, limit, False, even)
        assert _native.window_sum_gradient(dy, rows, columns, multiplier, dx, shift, limit, even) == statistics
        np.testing.assert_array_equal(dx, expected)


def short(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int16)


def wide(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int64)


BOX = np.array([[0, 2]], np.int32)
ONE = np.array([[1]], np.int32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _native.channel_sum(wide(2, 3)), "x: expected element type int16"),
        (lambda: _native.channel_dot(short(2, 3), short(3, 2)), r"y: expected shape \(2, 3\), got \(3, 2\)"),
        (lambda: _native.affine(short(2, 3), wide(2), wide(3), short(2, 3)), r"scale: expected shape \(3\), got \(2\)"),
        (
            lambda: _native.affine(short(2, 3), wide(3) + 2**31, wide(3), short(2, 3)),
            "scale: expected magnitudes below 2",
        ),
        (lambda: _native.affine(short(2, 3), wide(3), wide(3), short(2, 6)[:, ::2]), "out: expected contiguous memory"),
        (lambda: _native.add(short(4), 31, short(4), 0, short(4)), r"x_shift: expected 0 \.\. 30, got 31"),
        (lambda: _native.add(short(4), 0, short(4), -1, short(4)), r"y_shift: expected 0 \.\. 30, got -1"),
        (lambda: _native.requantise(short(4), short(4)), "x: expected element type int64"),
        (lambda: _native.requantise(wide(4), short(4), 0, 40000), "limit: expected"),
        (lambda: _native.extent(np.zeros(3, np.float32)), "x: expected element type"),
        (lambda: _native.relu(short(4), short(5)), r"out: expected shape \(4\), got \(5\)"),
        (lambda: _native.relu6_gradient(short(4), short(4), 40000, short(4)), "cap: expected"),
        (lambda: _native.max_pool(short(1, 4, 4, 2), short(1, 2, 2, 3), (2, 2), (2, 2)), "equal images and channels"),
        (lambda: _native.max_pool(short(1, 4, 4, 2), short(1, 3, 2, 2), (2, 2), (2, 2)), "entirely outside"),
        (lambda: _native.max_pool(short(1, 4, 4, 2), short(1, 2, 2, 2), (0, 2), (2, 2)), "kernel: expected"),
        (
            lambda: _native.window_sum(short(1, 1, 2, 2), BOX, BOX, ONE, short(1, 1, 1, 2)),
            "rows: expected 0 <= first <= end <= 1",
        ),
        (
            lambda: _native.window_sum(short(1, 2, 2, 2), BOX, BOX, ONE, short(1, 2, 1, 2)),
            r"rows: expected shape \(2, 2\)",
        ),
    ],
)
def test_wrong_arguments(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
