"""Sigmoid, tanh and softmax, from one table of 2^-t; results are wide with 30 fraction bits (Q30)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Node
from spindl.graph.operations import WIDE, Value, operation, same_shape
from spindl.number.rounding import shift_right_half_up
from spindl.number.tables import ONE_Q30, power_of_two, scaled_to_log2_q16

BOUNDED_LOWEST_EXPONENT = -20
"""Sites of results in [-1, 1] never go below this exponent, so that the products in the gradients fit 62 bits."""


def half_up_divide(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """floor((a + b // 2) / b) for b > 0."""
    return (a + b // 2) // b


def sigmoid_q30(x: Value) -> NDArray[np.int64]:
    """1 / (1 + exp(-x)) in Q30: E = exp(-|x|); 2^60 / (2^30 + E) for x >= 0, one minus that otherwise."""
    decay = power_of_two(scaled_to_log2_q16(np.abs(x.mantissa), x.exponent))
    upper = half_up_divide(np.full_like(decay, ONE_Q30 << 30), ONE_Q30 + decay)
    return np.where(x.mantissa >= 0, upper, ONE_Q30 - upper)


@operation("sigmoid", same_shape(WIDE), combine="batch", formula="1 / (1 + exp(-x)) in Q30; e = -30")
def sigmoid(node: Node, x: Value) -> Value:
    """int16 -> wide."""
    return Value(sigmoid_q30(x), -30)


@operation(
    "tanh",
    same_shape(WIDE),
    combine="batch",
    formula="sign(x) * (2^30 - E) * 2^30 / (2^30 + E) with E = exp(-2|x|); e = -30",
)
def tanh(node: Node, x: Value) -> Value:
    """int16 -> wide."""
    decay = power_of_two(scaled_to_log2_q16(np.abs(x.mantissa), x.exponent + 1))
    upper = half_up_divide((ONE_Q30 - decay) << 30, ONE_Q30 + decay)
    return Value(np.where(x.mantissa >= 0, upper, -upper), -30)


def softmax_q30(x: Value, axis: int) -> NDArray[np.int64]:
    """exp(x - max) / sum in Q30: ((E << 30) + S // 2) // S."""
    distance = x.mantissa.max(axis=axis, keepdims=True) - x.mantissa
    power = power_of_two(scaled_to_log2_q16(distance, x.exponent))
    return half_up_divide(power << 30, power.sum(axis=axis, keepdims=True))


@operation("softmax", same_shape(WIDE), combine="batch", formula="E / sum(E) with E = exp(x - max) in Q30; e = -30")
def softmax(node: Node, x: Value) -> Value:
    """int16 -> wide. Attribute axis."""
    return Value(softmax_q30(x, node.attributes["axis"]), -30)


def one(exponent: int) -> int:
    """1.0 as a mantissa at this exponent."""
    return int(shift_right_half_up(np.array([1]), exponent)[0])


@operation("sigmoid_gradient", same_shape(WIDE), combine="batch", formula="dy * y * (1 - y) exactly; e = e_dy + 2 e_y")
def sigmoid_gradient(node: Node, dy: Value, y: Value) -> Value:
    """int16, int16 -> wide."""
    return Value(dy.mantissa * y.mantissa * (one(y.exponent) - y.mantissa), dy.exponent + 2 * y.exponent)


@operation("tanh_gradient", same_shape(WIDE), combine="batch", formula="dy * (1 - y^2) exactly; e = e_dy + 2 e_y")
def tanh_gradient(node: Node, dy: Value, y: Value) -> Value:
    """int16, int16 -> wide."""
    return Value(dy.mantissa * (one(y.exponent) ** 2 - y.mantissa * y.mantissa), dy.exponent + 2 * y.exponent)


@operation(
    "softmax_gradient",
    same_shape(WIDE),
    combine="batch",
    formula="y * (dy - sum(y * dy)) exactly: m_y * (m_dy * 2^-e_y - S); e = e_dy + 2 e_y",
)
def softmax_gradient(node: Node, dy: Value, y: Value) -> Value:
    """int16, int16 -> wide. Attribute axis."""
    total = (dy.mantissa * y.mantissa).sum(axis=node.attributes["axis"], keepdims=True)
    return Value(y.mantissa * (dy.mantissa * one(y.exponent) - total), dy.exponent + 2 * y.exponent)
