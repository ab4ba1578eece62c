"""Convolutions in three directions against PyTorch in float64, where every sum of products below 2^53 is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spindl.graph.layers import window_outputs
from spindl.graph.operations import Value
from tests.graph.cases import INT16, Maker, evaluate, full, most


@st.composite
def problems(draw: st.DrawFn) -> dict[str, Any]:
    """A geometry with a result, the inputs' shapes and a seed."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    channels, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.integers(1, 3))
    size = (draw(st.integers(1, 7)), draw(st.integers(1, 7)))
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 3)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 3)), draw(st.integers(1, 2)))
    padding = tuple((draw(st.integers(0, 3)), draw(st.integers(0, 3))) for _ in range(2))
    spatial = tuple(window_outputs(*a) for a in zip(size, kernel, stride, padding, dilation, strict=True))
    assume(min(spatial) >= 1)
    return {
        "x": (draw(st.integers(1, 3)), channels, *size),
        "w": (outputs, channels // groups, *kernel),
        "y": spatial,
        "geometry": {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups},
        "seed": draw(st.integers(0, 2**32 - 1)),
    }


def torch_convolution(x: torch.Tensor, w: torch.Tensor, g: dict[str, Any]) -> torch.Tensor:
    (top, bottom), (left, right) = g["padding"]
    padded = F.pad(x, (left, right, top, bottom))
    return F.conv2d(padded, w, stride=g["stride"], dilation=g["dilation"], groups=g["groups"])


def real(value: Value) -> torch.Tensor:
    return torch.tensor(value.mantissa, dtype=torch.float64)


def equal(found: Value, expected: torch.Tensor) -> bool:
    return np.array_equal(found.mantissa, expected.detach().numpy().astype(np.int64))


@settings(max_examples=60)
@given(problems())
def test_three_directions(problem: dict[str, Any]) -> None:
    m, g = Maker(np.random.default_rng(problem["seed"])), problem["geometry"]
    x, w = m.int16(problem["x"], -11), m.int16(problem["w"], -20)
    images = problem["x"][0]
    dy = m.int16((images, problem["w"][0], *problem["y"]), -30)
    tx, tw = real(x[1]).requires_grad_(), real(w[1]).requires_grad_()
    ty = torch_convolution(tx, tw, g)

    y = evaluate("convolution", x, w, **g)
    assert equal(y, ty) and y.exponent == -31
    ty.backward(real(dy[1]))
    dx = evaluate("convolution_input_gradient", dy, w, **g, input_shape=problem["x"][1:])
    assert equal(dx, tx.grad) and dx.exponent == -50  # type: ignore[arg-type]
    for size in (1, 2, 3):
        dw = evaluate("convolution_weight_gradient", dy, x, **g, weight_shape=problem["w"], group_size=size)
        assert dw.exponent == -41 and len(dw.mantissa) == -(-images // size)
        assert equal(Value(dw.mantissa.sum(axis=0)), tw.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "images"), [(1, 5), (2, 5), (3, 5), (3, 6), (7, 5)])
def test_gradient_groups_are_consecutive_images(size: int, images: int) -> None:
    m = Maker(np.random.default_rng(size))
    g = {"stride": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 1, "weight_shape": (2, 3, 3, 3)}
    dy, x = m.int16((images, 2, 4, 4)), m.int16((images, 3, 4, 4))
    whole = evaluate("convolution_weight_gradient", dy, x, **g, group_size=size).mantissa
    for index, start in enumerate(range(0, images, size)):
        part = [(INT16, Value(v.mantissa[start : start + size])) for _, v in (dy, x)]
        alone = evaluate("convolution_weight_gradient", *part, **g, group_size=images).mantissa
        assert np.array_equal(whole[index], alone[0])


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_largest_sum_of_a_big_layer(sign: int) -> None:
    # 3x3, 512 channels, every operand at its limit: 4608 products of 2^30
    x, w = most((1, 512, 3, 3)), most((1, 512, 3, 3), 0, sign)
    y = evaluate("convolution", x, w, stride=(1, 1), padding=((0, 0),) * 2, dilation=(1, 1), groups=1)
    assert int(y.mantissa[0, 0, 0, 0]) == sign * 4608 * 32767**2


def test_no_images() -> None:
    g: dict[str, Any] = {"stride": (1, 1), "padding": ((1, 1),) * 2, "dilation": (1, 1), "groups": 2}
    x, w, dy = full(INT16, (0, 4, 5, 5), 0), most((6, 2, 3, 3)), full(INT16, (0, 6, 5, 5), 0)
    assert evaluate("convolution", x, w, **g).mantissa.shape == (0, 6, 5, 5)
    assert evaluate("convolution_input_gradient", dy, w, **g, input_shape=(4, 5, 5)).mantissa.shape == (0, 4, 5, 5)
    dw = evaluate("convolution_weight_gradient", dy, x, **g, weight_shape=(6, 2, 3, 3), group_size=1)
    assert dw.mantissa.shape == (0, 6, 2, 3, 3)


def test_sum_of_the_most_gradient_groups() -> None:
    from spindl.train.rules import INT32_SUMS

    groups = most((INT32_SUMS, 1))
    assert int(evaluate("sum_groups", groups).mantissa[0]) == INT32_SUMS * 32767 <= 2**31 - 1
    assert (INT32_SUMS + 1) * 32767 > 2**31 - 1
    assert INT32_SUMS >= 2**16  # a batch of 65,536 images, each its own gradient group
