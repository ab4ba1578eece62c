"""Contractions with their rounding, natively."""

from __future__ import annotations

from typing import Any

import torch

from spindl import _native as kernels
from spindl.graph.graph import Node
from spindl.graph.ops.contraction import ALIGNMENT
from spindl.number.rounding import shift_right_half_up
from spindl.run.sim.memory import Memory, memory_array
from spindl.run.sim.native.table import ROUNDINGS, enters, integers
from spindl.run.sim.roundings import Rounded, Target
from spindl.run.sim.values import AnyValue, Pending, SimValue

Pair = tuple[int, int]


def _geometry(node: Node) -> tuple[Pair, Pair, Pair, int]:
    """stride, padding before, dilation, groups."""
    a: Any = node.attributes
    return a["stride"], (a["padding"][0][0], a["padding"][1][0]), a["dilation"], a["groups"]


@enters(ROUNDINGS, "convolution")
def convolution(
    memory: Memory, node: Node, target: Target, x: SimValue, w: SimValue, bias: AnyValue | None = None
) -> Rounded | None:
    """Not if the sums had to be rounded before the bias is added."""
    exponent, addend = x.exponent + w.exponent, None
    if bias is not None:
        assert not isinstance(bias, Pending)
        if exponent < bias.exponent - ALIGNMENT:
            return None
        addend = shift_right_half_up(integers(bias), exponent - bias.exponent)
    out = memory.take(node.shape, torch.int16, target.exponent)
    largest, saturated = kernels.convolution(
        memory_array(x), memory_array(w), addend, memory_array(out), *_geometry(node), *target.rounding(exponent),
        target.relu,
    )  # fmt: skip
    return Rounded(out, largest, saturated, exponent)


@enters(ROUNDINGS, "convolution_input_gradient")
def convolution_input_gradient(memory: Memory, node: Node, target: Target, dy: SimValue, w: SimValue) -> Rounded | None:
    """Without relu: none follows a gradient."""
    if target.relu:
        return None
    exponent, out = dy.exponent + w.exponent, memory.take(node.shape, torch.int16, target.exponent)
    largest, saturated = kernels.convolution_input_gradient(
        memory_array(dy), memory_array(w), memory_array(out), *_geometry(node), *target.rounding(exponent)
    )
    return Rounded(out, largest, saturated, exponent)


@enters(ROUNDINGS, "convolution_weight_gradient")
def convolution_weight_gradient(
    memory: Memory, node: Node, target: Target, dy: SimValue, x: SimValue
) -> Rounded | None:
    """Together with the sum over gradient groups only."""
    if not target.summed:
        return None
    exponent, out = dy.exponent + x.exponent, memory.take(node.shape[1:], torch.int32, target.exponent)
    largest, saturated = kernels.convolution_weight_gradient(
        memory_array(dy), memory_array(x), memory_array(out), *_geometry(node), node.attributes["group_size"],
        *target.rounding(exponent),
    )  # fmt: skip
    return Rounded(out, largest, saturated, exponent)
