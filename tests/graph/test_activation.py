"""Sigmoid, tanh, softmax and the losses against float64, with the errors that docs/numbers.md states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from spindl.graph.operations import Value
from spindl.number.tables import LN_2_Q16, ONE_Q30
from tests.graph.cases import INT16, INT32, LABEL, Input, Maker, evaluate, full, most, zeros

EXPONENTS = (-40, -14, -12, -10, -7, 0, 20)
CURVE_ERROR = 1.4e-5
"""Of exp(-t), relative: t is cut to 16 fraction bits of log2, the table and the rest add 1e-6."""
Q16 = 2.0**-16


def real(x: Input) -> torch.Tensor:
    return torch.tensor(np.ldexp(x[1].mantissa.astype(float), x[1].exponent))


def q30(x: Value) -> np.ndarray:
    assert x.exponent == -30
    return x.mantissa / 2.0**30


def everything(exponent: int) -> Input:
    """Every mantissa of 16 bits, as one row."""
    return INT16, Value(np.arange(-32767, 32768)[None], exponent)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_sigmoid_and_tanh_everywhere(exponent: int) -> None:
    x = everything(exponent)
    sigmoid, tanh = q30(evaluate("sigmoid", x)), q30(evaluate("tanh", x))
    assert np.abs(sigmoid - torch.sigmoid(real(x)).numpy()).max() < CURVE_ERROR / 4  # E / (1 + E)^2 <= 1/4
    assert np.abs(tanh - torch.tanh(real(x)).numpy()).max() < CURVE_ERROR / 2
    for curve in (sigmoid, tanh):
        assert (np.diff(curve[0]) >= 0).all()
    assert (sigmoid + sigmoid[:, ::-1] == 1).all() and (tanh == -tanh[:, ::-1]).all()


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_softmax(exponent: int) -> None:
    x = Maker(np.random.default_rng(3)).int16((50, 10), exponent)
    found = q30(evaluate("softmax", x, axis=1))
    assert np.abs(found - F.softmax(real(x), 1).numpy()).max() < 2 * CURVE_ERROR
    assert np.abs(found.sum(axis=1) - 1).max() <= 10 * 2.0**-31


@given(st.integers(1, 1000), st.sampled_from([-60, 0, 60]))
def test_softmax_of_equals(classes: int, exponent: int) -> None:
    found = evaluate("softmax", zeros((1, classes), exponent), axis=1).mantissa
    assert (found == (2 * ONE_Q30 + classes) // (2 * classes)).all()


@pytest.mark.parametrize("op", ["sigmoid", "tanh", "softmax"])
def test_gradients_are_those_of_the_rounded_result(op: str) -> None:
    m = Maker(np.random.default_rng(1))
    dy = m.int16((4, 6), -20)
    y = m.int16((4, 6), -15, 14) if op == "tanh" else m.positive((4, 6), -15, 2**12)
    found = evaluate(f"{op}_gradient", dy, y, **({"axis": 1} if op == "softmax" else {}))
    assert found.exponent == -20 - 30
    g, v = (t.mantissa.astype(object) for t in (dy[1], y[1]))
    one = 2**15
    if op == "sigmoid":
        expected = g * v * (one - v)
    elif op == "tanh":
        expected = g * (one * one - v * v)
    else:
        expected = v * (g * one - (g * v).sum(axis=1, keepdims=True))
    assert found.mantissa.tolist() == expected.tolist()


def test_saturated_activations_pass_no_gradient() -> None:
    # where the rounded sigmoid is 1.0 exactly (LSB 2^-14), the gradient is 0, as in float from 2^-24 on
    y = full(INT16, (1, 1), 2**14, -14)
    assert evaluate("sigmoid_gradient", most((1, 1)), y).mantissa.tolist() == [[0]]
    assert evaluate("tanh_gradient", most((1, 1)), y).mantissa.tolist() == [[0]]


# --- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize(("exponent", "classes"), [(-14, 10), (-12, 3), (-12, 1000), (-60, 10)])
def test_cross_entropy(smoothing: float, exponent: int, classes: int) -> None:
    m = Maker(np.random.default_rng(classes))
    z, labels = m.int16((20, classes), exponent), m.labels(20, classes)
    tz, tl = real(z).requires_grad_(), torch.tensor(labels[1].mantissa)
    each = F.cross_entropy(tz, tl, label_smoothing=smoothing, reduction="none")
    each.sum().backward()
    attributes = {"smoothing": int(smoothing * ONE_Q30 + 0.5)}
    gradient = q30(evaluate("cross_entropy_gradient", z, labels, **attributes))
    assert tz.grad is not None
    assert np.abs(gradient - tz.grad.numpy()).max() < 2 * CURVE_ERROR
    loss = evaluate("cross_entropy_loss", z, labels, **attributes)
    assert loss.exponent == -16
    assert np.abs(loss.mantissa * Q16 - each.detach().numpy()).max() < 8 * Q16 + 2e-5


@pytest.mark.parametrize("label", [0, 4])
def test_cross_entropy_at_the_edges(label: int) -> None:
    certain = np.full((1, 5), -32767)
    certain[0, label] = 32767
    labels = full(LABEL, (1,), label)
    right = INT16, Value(certain, -9)
    assert not evaluate("cross_entropy_gradient", right, labels, smoothing=0).mantissa.any()
    assert evaluate("cross_entropy_loss", right, labels, smoothing=0).mantissa.tolist() == [0]
    wrong = INT16, Value(-certain, 20)
    gradient = evaluate("cross_entropy_gradient", wrong, labels, smoothing=0).mantissa
    assert gradient[0, label] == -ONE_Q30 and abs(int(gradient.sum())) <= 2
    # a distance counts as at most 40 powers of two: 27.7 nats, and ln 4 for the four equal winners
    largest = (40 << 16) * LN_2_Q16 / 2**32 + np.log(4)
    assert abs(evaluate("cross_entropy_loss", wrong, labels, smoothing=0).mantissa[0] * Q16 - largest) < 1e-4


def test_correct_takes_the_first_of_equals() -> None:
    z = INT16, Value(np.array([[3, 3, 1], [1, 3, 3], [0, 0, 0]]))
    for label, expected in [(0, [1, 0, 1]), (1, [0, 1, 0]), (2, [0, 0, 0])]:
        assert evaluate("correct", z, full(LABEL, (3,), label)).mantissa.tolist() == expected


@pytest.mark.parametrize("features", [1, 3, 7])
def test_squared_error(features: int) -> None:
    m = Maker(np.random.default_rng(features))
    z = m.int16((6, features), -12)
    target = INT32, Value(m.generator.integers(-(2**19), 2**19, (6, features)), -16)
    tz = real(z).requires_grad_()
    each = F.mse_loss(tz, real(target), reduction="none").mean(dim=1)
    each.sum().backward()
    found = evaluate("squared_error_gradient", z, target, multiplier=(2 * (2 << 20) + features) // (2 * features))
    assert tz.grad is not None
    gradient = np.ldexp(found.mantissa.astype(float), found.exponent)
    assert np.abs(gradient - tz.grad.numpy()).max() <= np.abs(tz.grad.numpy()).max() * features / 2**21
    loss = evaluate("squared_error_loss", z, target).mantissa * Q16
    # differences are rounded to 8 fraction bits: 2^-9 * 2 |d| each
    assert np.abs(loss - each.detach().numpy()).max() < 2.0**-8 * 17


@pytest.mark.parametrize("features", [1, 4])
@pytest.mark.parametrize("exponent", [-14, -12, -9])
def test_binary_cross_entropy(features: int, exponent: int) -> None:
    m = Maker(np.random.default_rng(features))
    z = m.int16((30, features), exponent)
    target = INT32, Value(m.generator.choice([0, 1, 1000, 2**15, 2**16], (30, features)), -16)
    tz = real(z).requires_grad_()
    each = F.binary_cross_entropy_with_logits(tz, real(target), reduction="none").mean(dim=1)
    each.sum().backward()
    found = evaluate("binary_cross_entropy_gradient", z, target, multiplier=((2 << 20) + features) // (2 * features))
    assert tz.grad is not None
    assert np.abs(q30(found) - tz.grad.numpy()).max() < CURVE_ERROR / features
    loss = evaluate("binary_cross_entropy_loss", z, target).mantissa * Q16
    clamped = np.minimum(each.detach().numpy(), 40 * np.log(2))  # |z| counts as at most 27.7
    within = np.abs(real(z).numpy()).max(axis=1) < 27
    assert np.abs(loss - clamped)[within].max() < 8 * Q16 + 2e-5
    rows = zip(z[1].mantissa.tolist(), target[1].mantissa.tolist(), strict=True)
    right = [int(all((v >= 0) == (t >= 2**15) for v, t in zip(a, b, strict=True))) for a, b in rows]
    assert evaluate("binary_correct", z, target).mantissa.tolist() == right


@pytest.mark.parametrize("op", ["squared_error_loss", "binary_cross_entropy_loss", "binary_correct"])
def test_losses_of_no_images(op: str) -> None:
    assert evaluate(op, zeros((0, 3)), zeros((0, 3), -16, INT32)).mantissa.shape == (0,)
