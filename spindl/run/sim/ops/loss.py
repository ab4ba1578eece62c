"""Losses in torch: a few integers per image and class."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.ops.loss import MULTIPLIER_BITS, TARGET_EXPONENT
from spindl.graph.ops.pointwise import common_exponent
from spindl.number.tables import LN_2_Q16, ONE_Q30
from spindl.run.sim.ops.activation import log2_q16, power_of_two, scaled_to_log2_q16, sigmoid_q30, softmax_q30
from spindl.run.sim.ops.pointwise import aligned
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import saturating_shift, shift_right_half_up
from spindl.run.sim.values import SimValue

DIFFERENCE_LIMIT = 2**40
Q8_LIMIT = 2**20


def _target_q30(labels: Tensor, classes: int, smoothing: int) -> Tensor:
    """(N, C): (1 - s) on the label plus s / C everywhere, in Q30."""
    share = (2 * smoothing + classes) // (2 * classes)
    target = torch.full((len(labels), classes), share, dtype=torch.int64, device=labels.device)
    return target.scatter_add_(1, labels[:, None], torch.full_like(labels[:, None], ONE_Q30 - smoothing))


@implements("cross_entropy_gradient")
def cross_entropy_gradient(node: Node, z: SimValue, labels: SimValue) -> SimValue:
    a: Any = node.attributes
    logits = z.data.to(torch.int64)
    return SimValue(softmax_q30(logits, z.exponent, 1) - _target_q30(labels.data, logits.shape[1], a["smoothing"]), -30)


@implements("cross_entropy_loss")
def cross_entropy_loss(node: Node, z: SimValue, labels: SimValue) -> SimValue:
    a: Any = node.attributes
    logits = z.data.to(torch.int64)
    distance = scaled_to_log2_q16(logits.amax(1, keepdim=True) - logits, z.exponent)
    total = power_of_two(distance).sum(1)
    expected = (_target_q30(labels.data, logits.shape[1], a["smoothing"]) * distance).sum(1) >> 30
    return SimValue(_nats(expected + log2_q16(total) - (30 << 16)), -16)


def _nats(bits: Tensor) -> Tensor:
    return (bits * LN_2_Q16 + (1 << 15)) >> 16


@implements("correct")
def correct(node: Node, z: SimValue, labels: SimValue) -> SimValue:
    # torch's argmax does not promise the first maximum: take the smallest index among the maxima
    classes = torch.arange(z.data.shape[1], device=z.data.device)
    best = z.data == z.data.amax(1, keepdim=True)
    first = torch.where(best, classes, z.data.shape[1]).amin(1)
    return SimValue((first == labels.data).to(torch.int64), 0)


def _difference(z: SimValue, target: SimValue) -> SimValue:
    exponent = common_exponent(z.exponent, target.exponent)
    return SimValue(aligned(z, exponent) - aligned(target, exponent), exponent)


def _mean_over_image(values: Tensor) -> Tensor:
    features = values.shape[1]
    return torch.div(2 * values.sum(1) + features, 2 * features, rounding_mode="floor")


@implements("squared_error_gradient")
def squared_error_gradient(node: Node, z: SimValue, target: SimValue) -> SimValue:
    a: Any = node.attributes
    difference = _difference(z, target)
    clamped = difference.data.clamp(-DIFFERENCE_LIMIT, DIFFERENCE_LIMIT)
    return SimValue(clamped * a["multiplier"], difference.exponent - MULTIPLIER_BITS)


@implements("squared_error_loss")
def squared_error_loss(node: Node, z: SimValue, target: SimValue) -> SimValue:
    difference = _difference(z, target)
    shifted = saturating_shift(difference.data, -8 - difference.exponent, Q8_LIMIT)
    q8 = shifted.clamp(-Q8_LIMIT, Q8_LIMIT).reshape(len(shifted), -1)
    return SimValue(_mean_over_image(q8 * q8), -16)


@implements("binary_cross_entropy_gradient")
def binary_cross_entropy_gradient(node: Node, z: SimValue, target: SimValue) -> SimValue:
    a: Any = node.attributes
    wanted = target.data.to(torch.int64) << (30 + TARGET_EXPONENT)
    difference = sigmoid_q30(z.data.to(torch.int64), z.exponent) - wanted
    return SimValue(shift_right_half_up(difference * a["multiplier"], MULTIPLIER_BITS), -30)


@implements("binary_cross_entropy_loss")
def binary_cross_entropy_loss(node: Node, z: SimValue, target: SimValue) -> SimValue:
    logits, wanted = z.data.to(torch.int64), target.data.to(torch.int64)
    magnitude = scaled_to_log2_q16(logits.abs(), z.exponent)
    one_target = torch.where(logits >= 0, (1 << 16) - wanted, wanted)
    bits = ((magnitude * one_target) >> 16) + log2_q16(ONE_Q30 + power_of_two(magnitude)) - (30 << 16)
    return SimValue(_mean_over_image(_nats(bits).reshape(len(logits), -1)), -16)


@implements("binary_correct")
def binary_correct(node: Node, z: SimValue, target: SimValue) -> SimValue:
    same = (z.data >= 0) == (target.data >= 1 << 15)
    return SimValue(same.reshape(len(same), -1).all(1).to(torch.int64), 0)
