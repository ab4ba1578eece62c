"""Batch normalisation: exact sums over the batch, a few numbers per channel as pairs, one rounding per element.

The per-channel functions of Python integers (`inverse_deviation_of`, ...) are the definition; they run on any
machine with
128-bit integers. Names: m a stored convolution result, g a gradient, N = count of elements per channel over the
whole batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format, Node
from spindl.graph.operations import PAIR, WIDE, Value, operation
from spindl.number import pairs
from spindl.number.pairs import Pair
from spindl.number.rounding import scalar_shift_right_half_up

FRACTION_BITS = 16
"""Bits of a scale below the last place of the result it makes (NUMERICS trials: 12, 16 and 20 are alike, 8 is
worse)."""
SCALE_LIMIT = 2**31 - 1
OFFSET_LIMIT = 2**61
LOWEST_DEVIATION_EXPONENT = -32
"""Inputs with a smaller exponent are far below sqrt(eps): their variance is rounded to this exponent (keeps 128
bits enough)."""


def _per_channel(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return (nodes[0].shape[1],), WIDE


@operation("channel_sum", _per_channel, combine="sum", formula="sum of x over all axes but the channels; e = e_x")
def channel_sum(node: Node, x: Value) -> Value:
    """int16 (N, C, ...) -> wide (C,)."""
    return Value(np.moveaxis(x.mantissa, 1, 0).reshape(x.mantissa.shape[1], -1).sum(axis=1), x.exponent)


@operation(
    "channel_dot", _per_channel, combine="sum", formula="sum of x * y over all axes but the channels; e = e_x + e_y"
)
def channel_dot(node: Node, x: Value, y: Value) -> Value:
    """int16, int16 (N, C, ...) -> wide (C,)."""
    product = np.moveaxis(x.mantissa * y.mantissa, 1, 0).reshape(x.mantissa.shape[1], -1)
    return Value(product.sum(axis=1), x.exponent + y.exponent)


def centred_square_sum(s1: int, s2: int, count: int) -> int:
    """N * S2 - S1^2: N^2 times the variance of the mantissas, exactly."""
    return count * s2 - s1 * s1


def inverse_deviation_of(s1: int, s2: int, exponent: int, count: int, eps: Pair) -> Pair:
    """1 / sqrt(var + eps) from the sums of mantissas and their squares.

    N^2 (var + eps) is an integer at 2 * lifted; a constant channel of large values, whose eps rounds to 0 there, counts
    as 1.
    """
    lifted = max(exponent, LOWEST_DEVIATION_EXPONENT)
    variance = scalar_shift_right_half_up(centred_square_sum(s1, s2, count), 2 * (lifted - exponent))
    total = variance + scalar_shift_right_half_up(eps[0] * count * count, 2 * lifted - eps[1])
    inverse = pairs.inverse_square_root(max(total, 1), 2 * lifted)
    return pairs.normalise(inverse[0] * count, inverse[1])


def gamma_gradient_of(sg: int, sgx: int, s1: int, exponent: int, inverse: Pair, count: int) -> Pair:
    """dgamma = sum of g * xhat = (N * Sgx - S1 * Sg) * inverse / N."""
    total = pairs.normalise(count * sgx - s1 * sg, exponent)
    return pairs.divide_by_integer(pairs.multiply(total, inverse), count)


def slope_of(gamma: Pair, inverse: Pair, gamma_gradient: Pair, count: int) -> Pair:
    """-gamma * inverse^2 * dgamma / N: what dx gains per unit of x."""
    scale = pairs.multiply(gamma, inverse)
    return pairs.negate(pairs.divide_by_integer(pairs.multiply(pairs.multiply(scale, inverse), gamma_gradient), count))


def mean_q16(s1: int, count: int) -> int:
    """2^16 * S1 / N, half up."""
    return ((s1 << FRACTION_BITS) + count // 2) // count


def _pairs(x: Value) -> list[Pair]:
    return [(int(m), int(e)) for m, e in x.mantissa]


def _pair_value(items: Sequence[Pair]) -> Value:
    return Value(np.array(items, dtype=np.int64).reshape(-1, 2))


def _integers(x: Value) -> list[int]:
    return [int(v) for v in x.mantissa]


def _pair_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return (nodes[0].shape[0], 2), PAIR


def _wide_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return (nodes[0].shape[0],), WIDE


@operation(
    "inverse_deviation",
    _pair_rule,
    combine="whole",
    formula="1 / sqrt(var + eps) as a pair, var = (N*S2 - S1^2) / N^2 exactly, one integer square root",
)
def inverse_deviation(node: Node, s1: Value, s2: Value) -> Value:
    """wide (C,), wide (C,) -> pair (C, 2). Attributes count (N), eps (pair)."""
    a = node.attributes
    return _pair_value(
        [
            inverse_deviation_of(x, xx, s1.exponent, a["count"], a["eps"])
            for x, xx in zip(_integers(s1), _integers(s2), strict=True)
        ]
    )


@operation(
    "running_inverse_deviation", _pair_rule, combine="whole", formula="1 / sqrt(running variance + eps) as a pair"
)
def running_inverse_deviation(node: Node, variance: Value) -> Value:
    """pair (C, 2) -> pair (C, 2). Attribute eps (pair)."""
    eps = node.attributes["eps"]
    return _pair_value([pairs.inverse_square_root(*pairs.add(v, eps)) for v in _pairs(variance)])


@operation(
    "exponent_of",
    lambda nodes, a: ((), Format("count")),
    combine="max",
    formula="0 at the exponent of x: tells per-channel ops the exponent of a tensor without its elements",
)
def exponent_of(node: Node, x: Value) -> Value:
    """any -> count (), a zero with the exponent of x."""
    return Value(np.array(0), x.exponent)


@operation(
    "batch_norm_scale",
    _wide_rule,
    combine="whole",
    formula="A = gamma * inverse as an int32 at e_site - 16 - e_reference",
)
def batch_norm_scale(node: Node, gamma: Value, inverse: Value, site: Value, reference: Value) -> Value:
    """int32 (C,), pair (C, 2), the site of the result, any value with the exponent of x (or g) -> wide (C,)."""
    exponent = site.exponent - FRACTION_BITS - reference.exponent
    scales = [
        pairs.to_integer(pairs.multiply(pairs.normalise(g, gamma.exponent), i), exponent, SCALE_LIMIT)
        for g, i in zip(_integers(gamma), _pairs(inverse), strict=True)
    ]
    return Value(np.array(scales, dtype=np.int64), exponent)


def saturated_offset(beta: int, beta_exponent: int, exponent: int) -> int:
    """beta at another exponent, saturated to +-2^61."""
    shift = exponent - beta_exponent
    value = scalar_shift_right_half_up(beta, shift) if shift >= -64 else beta << 64
    return max(-OFFSET_LIMIT, min(OFFSET_LIMIT, value))


@operation(
    "batch_norm_offset",
    _wide_rule,
    combine="whole",
    formula="B = beta at e_site - 16, less RSH(A * round(2^16 * S1 / N), 16)",
)
def batch_norm_offset(node: Node, beta: Value, scale: Value, s1: Value, site: Value) -> Value:
    """int32 (C,), wide (C,), wide (C,), site -> wide (C,). Attribute count."""
    exponent = site.exponent - FRACTION_BITS
    offsets = [
        saturated_offset(b, beta.exponent, exponent)
        - scalar_shift_right_half_up(s * mean_q16(x, node.attributes["count"]), FRACTION_BITS)
        for b, s, x in zip(_integers(beta), _integers(scale), _integers(s1), strict=True)
    ]
    return Value(np.array(offsets, dtype=np.int64), exponent)


@operation(
    "running_offset",
    _wide_rule,
    combine="whole",
    formula="B = beta at e_site - 16, less RSH(A * mean at e_x - 16, 16), the mean saturated to int32",
)
def running_offset(node: Node, beta: Value, scale: Value, mean: Value, site: Value) -> Value:
    """int32 (C,), wide (C,), pair (C, 2), site -> wide (C,). The exponent of x is e_site - 16 - e_scale."""
    exponent = site.exponent - FRACTION_BITS
    mean_exponent = exponent - scale.exponent - FRACTION_BITS
    offsets = [
        saturated_offset(b, beta.exponent, exponent)
        - scalar_shift_right_half_up(s * pairs.to_integer(m, mean_exponent, SCALE_LIMIT), FRACTION_BITS)
        for b, s, m in zip(_integers(beta), _integers(scale), _pairs(mean), strict=True)
    ]
    return Value(np.array(offsets, dtype=np.int64), exponent)


@operation("gamma_gradient", _pair_rule, combine="whole", formula="dgamma = (N*Sgx - S1*Sg) * inverse / N as a pair")
def gamma_gradient(node: Node, sg: Value, sgx: Value, s1: Value, inverse: Value) -> Value:
    """wide (C,) three times, pair (C, 2) -> pair (C, 2). Attribute count."""
    columns = zip(_integers(sg), _integers(sgx), _integers(s1), _pairs(inverse), strict=True)
    return _pair_value(
        [gamma_gradient_of(g, gx, x, sgx.exponent, i, node.attributes["count"]) for g, gx, x, i in columns]
    )


@operation(
    "running_gamma_gradient",
    _pair_rule,
    combine="whole",
    formula="dgamma = (Sgx - Sg * running mean) * inverse, pairs: the gradient where statistics are frozen",
)
def running_gamma_gradient(node: Node, sg: Value, sgx: Value, mean: Value, inverse: Value) -> Value:
    """wide (C,), wide (C,), pair (C, 2), pair (C, 2) -> pair (C, 2)."""
    result = []
    for g, gx, m, i in zip(_integers(sg), _integers(sgx), _pairs(mean), _pairs(inverse), strict=True):
        shift = pairs.negate(pairs.multiply(pairs.normalise(g, sg.exponent), m))
        result.append(pairs.multiply(pairs.add(pairs.normalise(gx, sgx.exponent), shift), i))
    return _pair_value(result)


@operation(
    "batch_norm_slope",
    _wide_rule,
    combine="whole",
    formula="P = -gamma * inverse^2 * dgamma / N as an int32 at e_site - 16 - e_S1",
)
def batch_norm_slope(node: Node, gamma: Value, inverse: Value, gradient: Value, s1: Value, site: Value) -> Value:
    """int32 (C,), pair, pair (C, 2), wide (C,), site of dx -> wide (C,). Attribute count."""
    exponent = site.exponent - FRACTION_BITS - s1.exponent
    slopes = [
        pairs.to_integer(
            slope_of(pairs.normalise(g, gamma.exponent), i, d, node.attributes["count"]), exponent, SCALE_LIMIT
        )
        for g, i, d in zip(_integers(gamma), _pairs(inverse), _pairs(gradient), strict=True)
    ]
    return Value(np.array(slopes, dtype=np.int64), exponent)


@operation(
    "batch_norm_gradient_offset",
    _wide_rule,
    combine="whole",
    formula="Q = -floor((2*A*Sg + N) / 2N) - RSH(P * round(2^16 * S1 / N), 16); e = e_site - 16",
)
def batch_norm_gradient_offset(node: Node, scale: Value, slope: Value, sg: Value, s1: Value, site: Value) -> Value:
    """wide (C,) four times, site of dx -> wide (C,). Attribute count."""
    n = node.attributes["count"]
    offsets = [
        -((2 * a * g + n) // (2 * n)) - scalar_shift_right_half_up(p * mean_q16(x, n), FRACTION_BITS)
        for a, p, g, x in zip(_integers(scale), _integers(slope), _integers(sg), _integers(s1), strict=True)
    ]
    return Value(np.array(offsets, dtype=np.int64), site.exponent - FRACTION_BITS)


def moving_average(running: Pair, new: Pair, momentum: int) -> Pair:
    """r + (new - r) * momentum / 2^15."""
    difference = pairs.add(new, pairs.negate(running))
    return pairs.add(running, pairs.normalise(difference[0] * momentum, difference[1] - 15))


def mean_of(s1: int, exponent: int, count: int) -> Pair:
    """S1 / N."""
    return pairs.divide_by_integer(pairs.normalise(s1, exponent), count)


def unbiased_variance_of(s1: int, s2: int, exponent: int, count: int) -> Pair:
    """(N*S2 - S1^2) / N / (N - 1)."""
    total = pairs.normalise(centred_square_sum(s1, s2, count), 2 * exponent)
    return pairs.divide_by_integer(pairs.divide_by_integer(total, count), max(count - 1, 1))


def _running_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return nodes[0].shape, PAIR


@operation("running_mean", _running_rule, combine="whole", formula="r + (S1/N - r) * momentum, pairs; momentum in Q15")
def running_mean(node: Node, running: Value, s1: Value) -> Value:
    """pair (C, 2), wide (C,) -> pair (C, 2). Attributes count, momentum (integer, 2^15 = 1)."""
    a = node.attributes
    columns = zip(_pairs(running), _integers(s1), strict=True)
    return _pair_value([moving_average(r, mean_of(x, s1.exponent, a["count"]), a["momentum"]) for r, x in columns])


@operation(
    "running_variance",
    _running_rule,
    combine="whole",
    formula="r + ((N*S2 - S1^2) / N / (N-1) - r) * momentum, pairs; momentum in Q15",
)
def running_variance(node: Node, running: Value, s1: Value, s2: Value) -> Value:
    """pair (C, 2), wide (C,), wide (C,) -> pair (C, 2). Attributes count, momentum (integer, 2^15 = 1)."""
    a = node.attributes
    columns = zip(_pairs(running), _integers(s1), _integers(s2), strict=True)
    return _pair_value(
        [moving_average(r, unbiased_variance_of(x, xx, s1.exponent, a["count"]), a["momentum"]) for r, x, xx in columns]
    )


@operation("pair_to_wide", _wide_rule, combine="whole", formula="pairs as integers at e_site, saturated to +-2^61")
def pair_to_wide(node: Node, x: Value, site: Value) -> Value:
    """pair (C, 2), site -> wide (C,)."""
    values = [pairs.to_integer(p, site.exponent, OFFSET_LIMIT) for p in _pairs(x)]
    return Value(np.array(values, dtype=np.int64), site.exponent)


def pairs_from_floats(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Floats as pairs, (C,) -> (C, 2); how running statistics of a PyTorch model enter the State."""
    from fractions import Fraction

    return np.array([pairs.from_fraction(Fraction(float(v))) for v in values], dtype=np.int64).reshape(-1, 2)


def pairs_to_floats(values: NDArray[np.int64]) -> NDArray[np.float64]:
    """(C, 2) -> (C,) float64."""
    return np.ldexp(values[:, 0].astype(np.float64), values[:, 1].astype(np.int32))
