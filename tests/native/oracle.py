"""What the native kernels must compute, written apart from them: NumPy int64, one tap at a time, no blocking."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Pair = tuple[int, int]


def rounded(
    accumulator: Int64, shift: int, limit: int, relu: bool = False, even: bool = False
) -> tuple[Int64, tuple[int, int]]:
    """Rounding by Python numbers of any size, ties up or to even; the mantissas and (largest magnitude, clamped)."""
    exact = accumulator.astype(object)
    moved = (exact + (1 << (shift - 1))) // (1 << shift) if shift >= 1 else exact * (1 << -shift)
    if even and shift >= 1:
        moved = np.array([round(Fraction(int(v), 1 << shift)) for v in exact.reshape(-1)], dtype=object)
    moved = np.asarray(moved, dtype=object).reshape(accumulator.shape)
    if exact.size == 0:
        return np.zeros(exact.shape, np.int64), (0, 0)
    clamped = np.clip(moved, -limit, limit)
    saturated = int((clamped != moved).sum())
    result = clamped.astype(np.int64)
    if relu:
        result = np.maximum(result, 0)
    return result, (int(np.abs(exact).max()), saturated)


def _window(y: int, kernel: int, stride: int, dilation: int) -> slice:
    return slice(kernel * dilation, kernel * dilation + (y - 1) * stride + 1, stride)


def _padded(
    x: npt.NDArray[np.int16], w_shape: tuple[int, ...], out: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Int64:
    """Input with zeros around: enough for every window, never cropped."""
    n, h, w, c = x.shape
    need_h = (out[0] - 1) * stride[0] + (w_shape[1] - 1) * dilation[0] + 1
    need_w = (out[1] - 1) * stride[1] + (w_shape[2] - 1) * dilation[1] + 1
    result = np.zeros((n, max(need_h, padding[0] + h), max(need_w, padding[1] + w), c), np.int64)
    result[:, padding[0] : padding[0] + h, padding[1] : padding[1] + w] = x
    return result


def convolution(x, w, bias, out: Pair, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Int64:
    padded = _padded(x, w.shape, out, stride, padding, dilation)
    outputs, inputs = w.shape[0] // groups, x.shape[3] // groups
    y = np.zeros((x.shape[0], *out, w.shape[0]), np.int64)
    for g in range(groups):
        xs, os = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        for kh in range(w.shape[1]):
            for kw in range(w.shape[2]):
                window = padded[
                    :, _window(out[0], kh, stride[0], dilation[0]), _window(out[1], kw, stride[1], dilation[1]), xs
                ]
                y[..., os] += window @ w[os, kh, kw].astype(np.int64).T
    return y if bias is None else y + bias


def input_gradient(dy, w, x_shape, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Int64:
    out = dy.shape[1:3]
    padded = _padded(np.zeros(x_shape, np.int16), w.shape, out, stride, padding, dilation)
    outputs, inputs = w.shape[0] // groups, x_shape[3] // groups
    for g in range(groups):
        xs, os = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        for kh in range(w.shape[1]):
            for kw in range(w.shape[2]):
                rows, columns = _window(out[0], kh, stride[0], dilation[0]), _window(out[1], kw, stride[1], dilation[1])
                padded[:, rows, columns, xs] += dy[..., os].astype(np.int64) @ w[os, kh, kw].astype(np.int64)
    return padded[:, padding[0] : padding[0] + x_shape[1], padding[1] : padding[1] + x_shape[2]]


def weight_gradient(dy, x, w_shape, stride: Pair, padding: Pair, dilation: Pair, groups: int) -> Int64:
    """Exact sum over all images given."""
    out = dy.shape[1:3]
    padded = _padded(x, w_shape, out, stride, padding, dilation)
    outputs, inputs = w_shape[0] // groups, x.shape[3] // groups
    dw = np.zeros(w_shape, np.int64)
    for g in range(groups):
        xs, os = slice(g * inputs, (g + 1) * inputs), slice(g * outputs, (g + 1) * outputs)
        d = dy[..., os].astype(np.int64).reshape(-1, outputs)
        for kh in range(w_shape[1]):
            for kw in range(w_shape[2]):
                window = padded[
                    :, _window(out[0], kh, stride[0], dilation[0]), _window(out[1], kw, stride[1], dilation[1]), xs
                ]
                dw[os, kh, kw] = d.T @ window.reshape(-1, inputs)
    return dw


def grouped_weight_gradient(dy, x, w_shape, stride, padding, dilation, groups, group_size, shift, limit):
    """Sum over groups of images of the rounded exact sums; statistics over every group's accumulators."""
    total, largest, saturated = np.zeros(w_shape, np.int64), 0, 0
    for first in range(0, x.shape[0], group_size):
        images = slice(first, first + group_size)
        exact = weight_gradient(dy[images], x[images], w_shape, stride, padding, dilation, groups)
        y, (m, s) = rounded(exact, shift, limit)
        total += y
        largest, saturated = max(largest, m), saturated + s
    return total, (largest, saturated)
