"""Losses: the gradient of the sum over the batch in Q30, the loss itself in nats in Q16 (for the log alone).

Logits are int16 (N, C). Labels are class indices; targets of the other losses are int32 with 16 fraction bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format, Node
from spindl.graph.operations import WIDE, Value, operation, same_shape
from spindl.graph.ops.activation import sigmoid_q30, softmax_q30
from spindl.graph.ops.pointwise import aligned, common_exponent
from spindl.number.rounding import clamp, shift_right_half_up
from spindl.number.tables import LN_2_Q16, ONE_Q30, log2_q16, power_of_two, scaled_to_log2_q16

TARGET_EXPONENT = -16
MULTIPLIER_BITS = 20
"""Fraction bits of 1 / F."""


def _per_image(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return (nodes[0].shape[0],), WIDE


def target_q30(labels: NDArray[np.int64], classes: int, smoothing: int) -> NDArray[np.int64]:
    """(N, C): (1 - s) on the label plus s / C everywhere, in Q30; smoothing s in Q30, s / C rounded half up."""
    share = (2 * smoothing + classes) // (2 * classes)
    target = np.full((len(labels), classes), share, dtype=np.int64)
    target[np.arange(len(labels)), labels] += ONE_Q30 - smoothing
    return target


@operation(
    "cross_entropy_gradient",
    same_shape(WIDE),
    combine="batch",
    formula="softmax(z) - target in Q30; target = (1-s) on the label + s/C everywhere; e = -30",
)
def cross_entropy_gradient(node: Node, z: Value, labels: Value) -> Value:
    """int16 (N, C), labels (N,) -> wide (N, C). Attribute smoothing (Q30)."""
    target = target_q30(labels.mantissa, z.mantissa.shape[1], node.attributes["smoothing"])
    return Value(softmax_q30(z, 1) - target, -30)


@operation(
    "cross_entropy_loss",
    _per_image,
    combine="batch",
    formula="ln(sum E) + sum over c of target_c * (max - z_c), Q16: (log2(S) + ...) * ln 2; e = -16",
)
def cross_entropy_loss(node: Node, z: Value, labels: Value) -> Value:
    """int16 (N, C), labels (N,) -> wide (N,) in nats. Attribute smoothing (Q30)."""
    distance = scaled_to_log2_q16(z.mantissa.max(axis=1, keepdims=True) - z.mantissa, z.exponent)
    total = power_of_two(distance).sum(axis=1)
    target = target_q30(labels.mantissa, z.mantissa.shape[1], node.attributes["smoothing"])
    expected = (target * distance).sum(axis=1) >> 30
    bits = expected + log2_q16(total) - (30 << 16)
    return Value((bits * LN_2_Q16 + (1 << 15)) >> 16, -16)


@operation("correct", _per_image, combine="batch", formula="1 if the first largest logit is the label's, else 0; e = 0")
def correct(node: Node, z: Value, labels: Value) -> Value:
    """int16 (N, C), labels (N,) -> wide (N,)."""
    return Value((z.mantissa.argmax(axis=1) == labels.mantissa).astype(np.int64))


def _difference(z: Value, target: Value) -> Value:
    exponent = common_exponent(z.exponent, target.exponent)
    return Value(aligned(z, exponent) - aligned(target, exponent), exponent)


@operation(
    "squared_error_gradient",
    same_shape(WIDE),
    combine="batch",
    formula="clamp(z - target, 2^40) * round(2^20 * 2 / F), aligned as in `add`, F = features of an image; e - 20",
)
def squared_error_gradient(node: Node, z: Value, target: Value) -> Value:
    """int16 (N, ...), int32 (N, ...) -> wide. Attribute multiplier = round(2^20 * 2 / F)."""
    difference = _difference(z, target)
    return Value(
        clamp(difference.mantissa, 2**40) * node.attributes["multiplier"], difference.exponent - MULTIPLIER_BITS
    )


@operation(
    "squared_error_loss",
    _per_image,
    combine="batch",
    formula="sum of clamp(RSH(z - target to e = -8, ...), 2^20)^2 / F over an image, Q16 (half up); e = -16",
)
def squared_error_loss(node: Node, z: Value, target: Value) -> Value:
    """int16 (N, ...), int32 (N, ...) -> wide (N,): the mean over the features of an image."""
    difference = _difference(z, target)
    features = prod(z.mantissa.shape[1:])
    q8 = clamp(aligned(difference, -8), 2**20).reshape(-1, features)
    return Value((2 * (q8 * q8).sum(axis=1) + features) // (2 * features), -16)


@operation(
    "binary_cross_entropy_gradient",
    same_shape(WIDE),
    combine="batch",
    formula="RSH((sigmoid(z) - target) * round(2^20 / F), 20) in Q30, z the logit; e = -30",
)
def binary_cross_entropy_gradient(node: Node, z: Value, target: Value) -> Value:
    """int16 logits (N, ...), int32 (N, ...) in [0, 1] -> wide. Attribute multiplier = round(2^20 / F)."""
    difference = sigmoid_q30(z) - (target.mantissa << (30 + TARGET_EXPONENT))
    return Value(shift_right_half_up(difference * node.attributes["multiplier"], MULTIPLIER_BITS), -30)


@operation(
    "binary_cross_entropy_loss",
    _per_image,
    combine="batch",
    formula="mean over an image of max(z,0) - z*target + ln(1 + exp(-|z|)), Q16; e = -16",
)
def binary_cross_entropy_loss(node: Node, z: Value, target: Value) -> Value:
    """int16 logits (N, ...), int32 (N, ...) in [0, 1] -> wide (N,)."""
    magnitude = scaled_to_log2_q16(np.abs(z.mantissa), z.exponent)
    one_target = np.where(z.mantissa >= 0, (1 << 16) - target.mantissa, target.mantissa)  # weight of |z| in the loss
    bits = ((magnitude * one_target) >> 16) + log2_q16(ONE_Q30 + power_of_two(magnitude)) - (30 << 16)
    features = prod(z.mantissa.shape[1:])
    nats = ((bits * LN_2_Q16 + (1 << 15)) >> 16).reshape(-1, features)
    return Value((2 * nats.sum(axis=1) + features) // (2 * features), -16)


@operation(
    "binary_correct",
    _per_image,
    combine="batch",
    formula="1 if sign(z) says every target of the image, else 0 (z >= 0 means 1); e = 0",
)
def binary_correct(node: Node, z: Value, target: Value) -> Value:
    """int16 logits (N, ...), int32 (N, ...) -> wide (N,)."""
    same = (z.mantissa >= 0) == (target.mantissa >= 1 << 15)
    return Value(same.reshape(-1, prod(z.mantissa.shape[1:])).all(axis=1).astype(np.int64))
