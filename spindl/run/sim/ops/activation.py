"""Sigmoid, tanh and softmax in torch; all intermediate results are int64."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.ops.activation import one
from spindl.number.tables import LARGEST_POWER_Q16, LOG2_E_Q24, ONE_Q30, log_table, power_table
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import SimValue


@cache
def table_on(name: str, device: torch.device) -> Tensor:
    """The table of powers or logarithms on a device."""
    return torch.from_numpy(power_table() if name == "power" else log_table()).to(device)


def power_of_two(t: Tensor) -> Tensor:
    """2^-t in Q30 for t >= 0 in Q16."""
    table = table_on("power", t.device)
    t = t.clamp(max=LARGEST_POWER_Q16)
    index, rest = (t & 0xFFFF) >> 8, t & 0xFF
    below = table[index]
    return (below - (((below - table[index + 1]) * rest + 128) >> 8)) >> (t >> 16)


def scaled_to_log2_q16(distance: Tensor, exponent: int) -> Tensor:
    """distance * 2^exponent * log2(e) in Q16 for 0 <= distance < 2^17, clamped to 40."""
    product = distance * LOG2_E_Q24
    shift = 8 - exponent
    if shift >= 0:
        return (product >> min(shift, 62)).clamp(max=LARGEST_POWER_Q16)
    return (product.clamp(max=LARGEST_POWER_Q16) << min(-shift, 36)).clamp(max=LARGEST_POWER_Q16)


def bit_length(x: Tensor) -> Tensor:
    """Bits of each integer 0 <= x < 2^63, by halving the range six times."""
    result = torch.zeros_like(x)
    for step in (32, 16, 8, 4, 2, 1):
        high = (x >> step) > 0
        result = result + high * step
        x = torch.where(high, x >> step, x)
    return result + (x > 0)


def log2_q16(x: Tensor) -> Tensor:
    """log2(x) in Q16 for 1 <= x < 2^62."""
    table = table_on("log", x.device)
    length = bit_length(x)
    normalised = torch.where(length > 17, x >> (length - 17).clamp(min=0), x << (17 - length).clamp(min=0))
    index, rest = (normalised >> 8) & 0xFF, normalised & 0xFF
    below = table[index]
    return ((length - 1) << 16) + below + (((table[index + 1] - below) * rest + 128) >> 8)


def half_up_divide(a: Tensor, b: Tensor) -> Tensor:
    """floor((a + b // 2) / b) for b > 0 and a >= 0."""
    return torch.div(a + (b >> 1), b, rounding_mode="floor")


def sigmoid_q30(x: Tensor, exponent: int) -> Tensor:
    """1 / (1 + exp(-x)) in Q30 of int64 mantissas."""
    decay = power_of_two(scaled_to_log2_q16(x.abs(), exponent))
    upper = half_up_divide(torch.full_like(decay, ONE_Q30 << 30), ONE_Q30 + decay)
    return torch.where(x >= 0, upper, ONE_Q30 - upper)


def softmax_q30(x: Tensor, exponent: int, axis: int) -> Tensor:
    """exp(x - max) / sum in Q30 of int64 mantissas."""
    power = power_of_two(scaled_to_log2_q16(x.amax(axis, keepdim=True) - x, exponent))
    return half_up_divide(power << 30, power.sum(axis, keepdim=True))


@implements("sigmoid")
def sigmoid(node: Node, x: SimValue) -> SimValue:
    return SimValue(sigmoid_q30(x.data.to(torch.int64), x.exponent), -30)


@implements("tanh")
def tanh(node: Node, x: SimValue) -> SimValue:
    mantissa = x.data.to(torch.int64)
    decay = power_of_two(scaled_to_log2_q16(mantissa.abs(), x.exponent + 1))
    upper = half_up_divide((ONE_Q30 - decay) << 30, ONE_Q30 + decay)
    return SimValue(torch.where(mantissa >= 0, upper, -upper), -30)


@implements("softmax")
def softmax(node: Node, x: SimValue) -> SimValue:
    a: Any = node.attributes
    return SimValue(softmax_q30(x.data.to(torch.int64), x.exponent, a["axis"]), -30)


@implements("sigmoid_gradient")
def sigmoid_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    result = y.data.to(torch.int64)
    return SimValue(dy.data * (result * (one(y.exponent) - result)), dy.exponent + 2 * y.exponent)


@implements("tanh_gradient")
def tanh_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    result = y.data.to(torch.int64)
    return SimValue(dy.data * (one(y.exponent) ** 2 - result * result), dy.exponent + 2 * y.exponent)


@implements("softmax_gradient")
def softmax_gradient(node: Node, dy: SimValue, y: SimValue) -> SimValue:
    a: Any = node.attributes
    result, gradient = y.data.to(torch.int64), dy.data.to(torch.int64)
    total = (gradient * result).sum(a["axis"], keepdim=True)
    return SimValue(result * (gradient * one(y.exponent) - total), dy.exponent + 2 * y.exponent)
