"""The optimiser step in torch."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.update import NORM_BITS, OVERFLOW_THRESHOLD
from spindl.number.rounding import limit
from spindl.run.sim.ops.activation import bit_length
from spindl.run.sim.ops.pieces import blocks
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import EXACT_LIMIT, largest_magnitude, round_float, shift_right_half_up, term
from spindl.run.sim.values import Pending, SimValue

STEP_LIMIT = 2**46


def _short(x: Tensor, factor: int, shift: int) -> bool:
    """Whether RSH(x * factor, shift) can be had in float64: x int32 on a CPU, all numbers up to 2^52."""
    fits = abs(factor) << max(31, 31 - shift) <= EXACT_LIMIT
    return x.dtype == torch.int32 and x.device.type == "cpu" and shift > -21 and fits


def _scaled(x: Tensor, factor: int, shift: int) -> Tensor:
    """RSH(x * factor, shift) in float64 where `_short` allows it, else in int64 and saturated to +-2^59."""
    if _short(x, factor, shift):
        return round_float(x.to(torch.float64).mul_(factor), shift)
    return term(x.to(torch.int64) * factor, shift)


def _flat_blocks(*tensors: Tensor) -> Iterator[list[Tensor]]:
    """Tensors of one shape, cut alike into rows."""
    flat = [tensor.reshape(1, -1) for tensor in tensors]
    for block in blocks(flat[0].shape, flat[0].device):
        yield [tensor[block] for tensor in flat]


@implements("direction")
def direction(node: Node, master: SimValue, decay: Value, site: Value, *gradients: SimValue) -> SimValue:
    out = torch.empty(master.data.shape, dtype=torch.int64, device=master.data.device)
    shift = site.exponent - decay.exponent - master.exponent
    for total, weights, *terms in _flat_blocks(out, master.data, *(gradient.data for gradient in gradients)):
        total.copy_(_scaled(weights, int(decay.mantissa), shift))
        for block, gradient in zip(terms, gradients, strict=True):
            total.add_(_scaled(block, 1, site.exponent - gradient.exponent).to(torch.int64))
    return SimValue(out, site.exponent)


@implements("momentum")
def momentum(node: Node, velocity: SimValue, step: SimValue, factor: Value) -> SimValue:
    out = torch.empty(step.data.shape, dtype=torch.int64, device=step.data.device)
    shift = step.exponent - factor.exponent - velocity.exponent
    for total, kept, added in _flat_blocks(out, velocity.data, step.data):
        torch.add(added, _scaled(kept, int(factor.mantissa), shift).to(torch.int64), out=total)
    return SimValue(out, step.exponent)


@implements("descend")
def descend(node: Node, master: SimValue, step: SimValue, rate: Value) -> SimValue:
    factor, shift = int(rate.mantissa), master.exponent - rate.exponent - step.exponent
    if not node.attributes["fixed"] and _short(step.data, factor, shift):
        found = _descended(master.data, step.data, factor, shift)
        if found is not None:
            return SimValue(found, master.exponent)
    weights = master.data - term(step.data.to(torch.int64) * factor, shift)
    largest = limit(32)
    if node.attributes["fixed"]:
        return SimValue(weights.clamp(-largest, largest).to(torch.int32), master.exponent)
    # both results are cheap and the choice stays on the device: nobody waits for the maximum
    lift = (largest_magnitude(weights) > OVERFLOW_THRESHOLD).to(torch.int64)
    chosen = torch.where(lift > 0, shift_right_half_up(weights, 1).clamp(-largest, largest), weights)
    return SimValue(chosen.to(torch.int32), master.exponent, lift)


def _descended(master: Tensor, step: Tensor, factor: int, shift: int) -> Tensor | None:
    """`descend` in float64, or None if the weights outgrow their exponent."""
    out = torch.empty(master.shape, dtype=torch.int32)
    for result, weights, moved in _flat_blocks(out, master, step):
        exact = weights.to(torch.float64).sub_(_scaled(moved, factor, shift))
        if int(largest_magnitude(exact)) > OVERFLOW_THRESHOLD:
            return None
        result.copy_(exact)
    return out


@implements("squared_norm")
def squared_norm(node: Node, x: SimValue) -> Pending:
    mantissa, exponent = x.data.to(torch.int64), x.exponent
    shift = (bit_length(largest_magnitude(mantissa)) - (NORM_BITS - 1)).clamp(min=0)
    half = torch.where(shift > 0, 1 << (shift - 1).clamp(min=0), 0)
    short = (mantissa + half) >> shift

    def finish(raw: NDArray[np.int64]) -> Value:
        return Value(np.array(raw[0]), 2 * (exponent + int(raw[1])))

    return Pending(torch.stack([(short * short).sum(), shift]), finish)


@implements("scale_direction")
def scale_direction(node: Node, step: SimValue, rate: Value, site: Value) -> SimValue:
    clamped = step.data.clamp(-STEP_LIMIT, STEP_LIMIT) * int(rate.mantissa)
    return SimValue(term(clamped, site.exponent - rate.exponent - step.exponent), site.exponent)
