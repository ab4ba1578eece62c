"""The optimiser step in torch."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.update import NORM_BITS, OVERFLOW_THRESHOLD
from spindl.number.rounding import limit
from spindl.run.sim.ops.activation import bit_length
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import largest_magnitude, shift_right_half_up, term
from spindl.run.sim.values import Pending, SimValue

STEP_LIMIT = 2**46


@implements("direction")
def direction(node: Node, master: SimValue, decay: Value, site: Value, *gradients: SimValue) -> SimValue:
    weights = master.data.to(torch.int64) * int(decay.mantissa)
    total = term(weights, site.exponent - decay.exponent - master.exponent)
    for gradient in gradients:
        total = total + term(gradient.data.to(torch.int64), site.exponent - gradient.exponent)
    return SimValue(total, site.exponent)


@implements("momentum")
def momentum(node: Node, velocity: SimValue, step: SimValue, factor: Value) -> SimValue:
    kept = velocity.data.to(torch.int64) * int(factor.mantissa)
    shift = step.exponent - factor.exponent - velocity.exponent
    return SimValue(term(kept, shift) + step.data, step.exponent)


@implements("descend")
def descend(node: Node, master: SimValue, step: SimValue, rate: Value) -> SimValue:
    change = step.data.to(torch.int64) * int(rate.mantissa)
    weights = master.data - term(change, master.exponent - rate.exponent - step.exponent)
    largest = limit(32)
    if node.attributes["fixed"]:
        return SimValue(weights.clamp(-largest, largest).to(torch.int32), master.exponent)
    # both results are cheap and the choice stays on the device: nobody waits for the maximum
    lift = (largest_magnitude(weights) > OVERFLOW_THRESHOLD).to(torch.int64)
    chosen = torch.where(lift > 0, shift_right_half_up(weights, 1).clamp(-largest, largest), weights)
    return SimValue(chosen.to(torch.int32), master.exponent, lift)


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
