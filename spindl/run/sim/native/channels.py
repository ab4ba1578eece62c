"""Batch normalisation's numbers per channel, natively."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spindl import _native as kernels
from spindl.graph.graph import Node
from spindl.graph.operations import Value
from spindl.graph.ops.batch_norm import FRACTION_BITS
from spindl.run.sim.native.table import HOST_OPERATIONS, enters

# ruff: noqa: D103  (the op table documents each op)


def _host(op: str) -> Callable[[Callable[..., Value]], Callable[..., Value]]:
    return enters(HOST_OPERATIONS, op)


@_host("inverse_deviation")
def inverse_deviation(node: Node, s1: Value, s2: Value) -> Value:
    a: Any = node.attributes
    return Value(kernels.inverse_deviation(s1.mantissa, s2.mantissa, s1.exponent, a["count"], *a["eps"]))


@_host("running_inverse_deviation")
def running_inverse_deviation(node: Node, variance: Value) -> Value:
    a: Any = node.attributes
    return Value(kernels.running_inverse_deviation(variance.mantissa, *a["eps"]))


@_host("batch_norm_scale")
def batch_norm_scale(node: Node, gamma: Value, inverse: Value, site: Value, reference: Value) -> Value:
    exponent = site.exponent - FRACTION_BITS - reference.exponent
    return Value(kernels.batch_norm_scale(gamma.mantissa, gamma.exponent, inverse.mantissa, exponent), exponent)


@_host("batch_norm_offset")
def batch_norm_offset(node: Node, beta: Value, scale: Value, s1: Value, site: Value) -> Value:
    a: Any = node.attributes
    exponent = site.exponent - FRACTION_BITS
    offset = kernels.batch_norm_offset(beta.mantissa, beta.exponent, scale.mantissa, s1.mantissa, a["count"], exponent)
    return Value(offset, exponent)


@_host("running_offset")
def running_offset(node: Node, beta: Value, scale: Value, mean: Value, site: Value) -> Value:
    exponent = site.exponent - FRACTION_BITS
    mean_exponent = exponent - scale.exponent - FRACTION_BITS
    offset = kernels.running_offset(
        beta.mantissa, beta.exponent, scale.mantissa, mean.mantissa, mean_exponent, exponent
    )
    return Value(offset, exponent)


@_host("gamma_gradient")
def gamma_gradient(node: Node, sg: Value, sgx: Value, s1: Value, inverse: Value) -> Value:
    a: Any = node.attributes
    return Value(
        kernels.gamma_gradient(sg.mantissa, sgx.mantissa, s1.mantissa, sgx.exponent, inverse.mantissa, a["count"])
    )


@_host("batch_norm_slope")
def batch_norm_slope(node: Node, gamma: Value, inverse: Value, gradient: Value, s1: Value, site: Value) -> Value:
    a: Any = node.attributes
    exponent = site.exponent - FRACTION_BITS - s1.exponent
    slope = kernels.batch_norm_slope(
        gamma.mantissa, gamma.exponent, inverse.mantissa, gradient.mantissa, a["count"], exponent
    )
    return Value(slope, exponent)


@_host("batch_norm_gradient_offset")
def batch_norm_gradient_offset(node: Node, scale: Value, slope: Value, sg: Value, s1: Value, site: Value) -> Value:
    a: Any = node.attributes
    offset = kernels.batch_norm_gradient_offset(scale.mantissa, slope.mantissa, sg.mantissa, s1.mantissa, a["count"])
    return Value(offset, site.exponent - FRACTION_BITS)


@_host("running_mean")
def running_mean(node: Node, running: Value, s1: Value) -> Value:
    a: Any = node.attributes
    return Value(kernels.running_mean(running.mantissa, s1.mantissa, s1.exponent, a["count"], a["momentum"]))


@_host("running_variance")
def running_variance(node: Node, running: Value, s1: Value, s2: Value) -> Value:
    a: Any = node.attributes
    return Value(
        kernels.running_variance(running.mantissa, s1.mantissa, s2.mantissa, s1.exponent, a["count"], a["momentum"])
    )


@_host("pair_to_wide")
def pair_to_wide(node: Node, x: Value, site: Value) -> Value:
    return Value(kernels.pair_to_wide(x.mantissa, site.exponent), site.exponent)
