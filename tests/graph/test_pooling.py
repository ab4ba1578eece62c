"""Pooling against loops over windows in Python, and against PyTorch's gradients."""

from __future__ import annotations

from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given
from hypothesis import strategies as st

from spindl.graph.layers import window_outputs
from spindl.graph.operations import Value
from tests.graph.cases import INT16, Maker, evaluate, most, window


@st.composite
def pools(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int], tuple[int, int], int]:
    kernel, stride, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 2))
    padding = draw(st.integers(0, kernel // 2))
    size = (draw(st.integers(2, 7)), draw(st.integers(2, 7)))
    outputs = tuple(window_outputs(s, kernel, stride, (padding, padding), dilation) for s in size)
    assume(min(outputs) >= 1)
    return window(kernel, stride, padding, dilation), size, outputs, draw(st.integers(0, 2**32 - 1))  # type: ignore[return-value]


def cells(a: dict[str, Any], size: tuple[int, int], p: int, q: int) -> list[tuple[int, int]]:
    """The real cells of window (p, q) in row-major order."""
    k, s, d, pad = a["kernel"][0], a["stride"][0], a["dilation"][0], a["padding"][0][0]
    places = [(p * s - pad + i * d, q * s - pad + j * d) for i in range(k) for j in range(k)]
    return [(h, w) for h, w in places if 0 <= h < size[0] and 0 <= w < size[1]]


@given(pools())
def test_max_pool_and_its_gradient(problem: Any) -> None:
    a, size, outputs, seed = problem
    if any(not cells(a, size, p, q) for p in range(outputs[0]) for q in range(outputs[1])):
        return  # refused by the layer's shape rule
    m = Maker(np.random.default_rng(seed))
    x, dy = m.small((2, 2, *size)), m.int16((2, 2, *outputs))  # small numbers: many ties
    y = evaluate("max_pool", x, **a).mantissa
    dx = evaluate("max_pool_gradient", dy, x, **a).mantissa
    expected = np.zeros((2, 2, *size), dtype=object)
    for n, c, p, q in np.ndindex(2, 2, *outputs):
        seen = cells(a, size, p, q)
        values = [int(x[1].mantissa[n, c, h, w]) for h, w in seen]
        assert y[n, c, p, q] == max(values)
        expected[n, c, *seen[values.index(max(values))]] += int(dy[1].mantissa[n, c, p, q])
    assert dx.tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 2), (2, 1, 1, 1)]
)
def test_max_pool_is_pytorchs(kernel: int, stride: int, padding: int, dilation: int) -> None:
    m = Maker(np.random.default_rng(kernel))
    x = m.small((2, 3, 7, 6))
    tx = torch.tensor(x[1].mantissa, dtype=torch.float64, requires_grad=True)
    ty = F.max_pool2d(tx, kernel, stride, padding, dilation)
    dy = m.int16(tuple(ty.shape))
    ty.backward(torch.tensor(dy[1].mantissa, dtype=torch.float64))
    a = window(kernel, stride, padding, dilation)
    assert np.array_equal(evaluate("max_pool", x, **a).mantissa, ty.detach().numpy())
    assert tx.grad is not None
    assert np.array_equal(evaluate("max_pool_gradient", dy, x, **a).mantissa, tx.grad.numpy())


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 1, 4, 9]))
def test_window_sum(seed: int, divisor: int | None) -> None:
    generator = np.random.default_rng(seed)
    m = Maker(generator)

    def spans(size: int) -> tuple[tuple[int, int], ...]:
        ends = np.sort(generator.integers(0, size + 1, (generator.integers(1, 4), 2)), axis=1)
        return tuple((int(a), int(b)) for a, b in ends if a < b) or ((0, size),)

    rows, columns = spans(6), spans(5)
    x, dy = m.int16((2, 2, 6, 5)), m.int16((2, 2, len(rows), len(columns)))
    a = {"rows": rows, "columns": columns, "divisor": divisor}
    y = evaluate("window_sum", x, **a)
    dx = evaluate("window_sum_gradient", dy, **a, input_shape=(6, 5))
    assert y.exponent == x[1].exponent - 20 and dx.exponent == dy[1].exponent - 20
    gradient = np.zeros((2, 2, 6, 5), dtype=object)
    for n, c, i, j in np.ndindex(*dy[1].mantissa.shape):
        (top, bottom), (left, right) = rows[i], columns[j]
        k = divisor if divisor is not None else (bottom - top) * (right - left)
        reciprocal = floor(Fraction(2**20, k) + Fraction(1, 2))
        total = sum(int(x[1].mantissa[n, c, h, w]) for h in range(top, bottom) for w in range(left, right))
        assert int(y.mantissa[n, c, i, j]) == reciprocal * total
        gradient[n, c, top:bottom, left:right] += reciprocal * int(dy[1].mantissa[n, c, i, j])
    assert dx.mantissa.tolist() == gradient.tolist()


@pytest.mark.parametrize("size", [7, 14, 56])
def test_global_mean_is_off_by_less_than_its_reciprocal(size: int) -> None:
    a = {"rows": ((0, size),), "columns": ((0, size),), "divisor": None}
    y = evaluate("window_sum", most((1, 1, size, size), 0), **a)
    mean = float(y.mantissa[0, 0, 0, 0]) * 2.0**y.exponent
    assert abs(mean / 32767 - 1) <= size**2 / 2**21  # half a unit of 2^20 / k


def test_ties_and_padding() -> None:
    flat = INT16, Value(np.full((1, 1, 2, 2), -32767))
    a = window(2, 1, 1)
    assert evaluate("max_pool", flat, **a).mantissa.tolist() == [[[[-32767] * 3] * 3]]
    dx = evaluate("max_pool_gradient", (INT16, Value(np.ones((1, 1, 3, 3), dtype=np.int64))), flat, **a).mantissa
    assert dx.tolist() == [[[[4, 2], [2, 1]]]]  # the first of equals wins each window
