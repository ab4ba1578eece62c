"""The optimiser step on master weights (int32) with momentum (int32): SGD, Nesterov and LARS.

Gradients are sums over the batch of B images; the host sends lr / B, B * weight decay and momentum as scalars of 15
bits.
V holds B times PyTorch's momentum buffer (LARS: the buffer of weight steps itself, as MLPerf defines it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spindl.graph.graph import Format, Node
from spindl.graph.operations import INT32, SCALAR, WIDE, Value, operation, same_shape
from spindl.number import pairs
from spindl.number.rounding import (
    Integers,
    bit_length,
    clamp,
    exact_left_shift,
    largest_magnitude,
    limit,
    shift_right_half_up,
)

TERM_LIMIT = 2**59
"""Every term of an update saturates here, so that a sum of seven stays below 2^62."""
MOST_GRADIENTS = 5
"""Gradients that one `direction` adds: with the decay and the momentum they are seven terms."""
OVERFLOW_THRESHOLD = 2104533975
"""floor(0.98 * 2^31): master weights above it are halved and their exponent raised."""
NORM_BITS = 16


def _term(mantissa: Integers, shift: int) -> Integers:
    """RSH(mantissa, shift), saturated to +-2^59."""
    if shift < 0:  # saturate before shifting: the result is the same and needs no big integers
        bound = TERM_LIMIT >> min(-shift, 60)
        inside = clamp(mantissa, bound + 1)
        return clamp(exact_left_shift(inside, min(-shift, 60)), TERM_LIMIT)
    return clamp(shift_right_half_up(mantissa, shift), TERM_LIMIT)


@operation(
    "direction",
    same_shape(WIDE),
    combine="whole",
    formula="D = RSH(decay * W) + sum over uses of RSH(dW), each at e_site and saturated to 2^59",
)
def direction(node: Node, master: Value, decay: Value, site: Value, *gradients: Value) -> Value:
    """int32 W, scalar B*wd, site, gradients of the same shape (int32 or wide) -> wide at e_site."""
    exponent = site.exponent
    total = _term(master.mantissa * int(decay.mantissa), exponent - decay.exponent - master.exponent)
    for gradient in gradients:
        total = total + _term(gradient.mantissa, exponent - gradient.exponent)
    return Value(total, exponent)


@operation("momentum", same_shape(WIDE), combine="whole", formula="U = RSH(mu * V) at e_D + D; e = e_D")
def momentum(node: Node, velocity: Value, step: Value, factor: Value) -> Value:
    """int32 V, wide D, scalar mu -> wide."""
    shift = step.exponent - factor.exponent - velocity.exponent
    return Value(_term(velocity.mantissa * int(factor.mantissa), shift) + step.mantissa, step.exponent)


def _master_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return nodes[0].shape, INT32


@operation(
    "descend",
    _master_rule,
    combine="whole",
    formula="W - RSH(rate * U) at e_W; if any |W| > 0.98 * 2^31: RSH(W, 1), e_W + 1. With `fixed`, saturated and e_W "
    "kept",
)
def descend(node: Node, master: Value, step: Value, rate: Value) -> Value:
    """int32 W, int32 U, scalar rate -> int32. Attribute fixed (biases, gamma, beta: the exponent stays)."""
    change = _term(step.mantissa * int(rate.mantissa), master.exponent - rate.exponent - step.exponent)
    weights = master.mantissa - change
    if node.attributes["fixed"]:
        return Value(clamp(weights, limit(32)), master.exponent)
    if largest_magnitude(weights) > OVERFLOW_THRESHOLD:
        return Value(clamp(shift_right_half_up(weights, 1), limit(32)), master.exponent + 1)
    return Value(weights, master.exponent)


@operation(
    "squared_norm",
    lambda nodes, a: ((), WIDE),
    combine="whole",
    formula="sum of RSH(x, s)^2 with s = max(0, bit_length(max |x|) - 15); e = 2 (e_x + s)",
)
def squared_norm(node: Node, x: Value) -> Value:
    """int16, int32 or wide -> wide ()."""
    shift = max(0, bit_length(largest_magnitude(x.mantissa)) - (NORM_BITS - 1))
    short = shift_right_half_up(x.mantissa, shift)
    return Value(np.array((short * short).sum()), 2 * (x.exponent + shift))


@operation(
    "lars_rate",
    lambda nodes, a: ((), SCALAR),
    combine="whole",
    formula="lr * eta * |W| / (|G| + B*wd * |W| + eps) as 15 bits, with |G| the norm of the summed gradient; lr/B "
    "where |W| or |G| is 0",
)
def lars_rate(node: Node, weight_norm: Value, gradient_norm: Value, rate: Value, decay: Value) -> Value:
    """squared norms (), scalars lr/B and B*wd -> scalar. Attributes batch, eta (pair), eps (pair, of the summed
    gradient)."""
    a = node.attributes
    weight = pairs.square_root(int(weight_norm.mantissa), weight_norm.exponent)
    gradient = pairs.square_root(int(gradient_norm.mantissa), gradient_norm.exponent)
    if weight[0] == 0 or gradient[0] == 0:
        return rate
    full_rate = pairs.normalise(int(rate.mantissa) * a["batch"], rate.exponent)
    decayed = pairs.multiply(pairs.normalise(int(decay.mantissa), decay.exponent), weight)
    below = pairs.add(pairs.add(gradient, decayed), a["eps"])
    above = pairs.multiply(pairs.multiply(full_rate, a["eta"]), weight)
    if above[0] == 0:
        return Value(np.array(0))
    mantissa, exponent = pairs.divide(above, below)
    rounded = (mantissa + (1 << 15)) >> 16
    if rounded == 1 << 15:  # the carry into a 16th bit
        return Value(np.array(1 << 14), exponent + 17)
    return Value(np.array(rounded), exponent + 16)


@operation(
    "scale_direction",
    same_shape(WIDE),
    combine="whole",
    formula="RSH(rate * clamp(D, 2^46)) at e_site, saturated to 2^59",
)
def scale_direction(node: Node, step: Value, rate: Value, site: Value) -> Value:
    """wide D, scalar, site -> wide at e_site (LARS: the momentum buffer holds weight steps)."""
    shift = site.exponent - rate.exponent - step.exponent
    return Value(_term(clamp(step.mantissa, 2**46) * int(rate.mantissa), shift), site.exponent)
