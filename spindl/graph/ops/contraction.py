"""Contractions: exact integer sums of products, in any order, never rounded here.

One convolution in three directions serves every layer: a Linear layer is a 1x1 convolution, a 1-D one has height 1.
x is (N, C, H, W), w is (O, C/groups, KH, KW), y is (N, O, OH, OW).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Node
from spindl.graph.layers import window_outputs
from spindl.graph.operations import INT32, WIDE, Value, operation
from spindl.number.rounding import Integers, shift_right_half_up

ALIGNMENT = 30
"""Operands of a sum whose exponents are further apart than this: the smaller is first rounded (docs/numbers.md)."""


def _output_shape(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Any]:
    x, w = nodes[0].shape, nodes[1].shape
    spatial = tuple(
        window_outputs(x[2 + i], w[2 + i], a["stride"][i], a["padding"][i], a["dilation"][i]) for i in range(2)
    )
    return (x[0], w[0], *spatial), WIDE


def taps(
    shape: tuple[int, ...], outputs: tuple[int, ...], kernel: tuple[int, ...], a: Mapping[str, Any]
) -> Iterator[tuple[int, int, tuple[slice, slice], tuple[slice, slice]]]:
    """For each kernel position: the input cells it reads and the outputs it feeds, as slices (padding cut away).

    Args:
        shape: (H, W) of the input.
        outputs: (OH, OW).
        kernel: (KH, KW).
        a: stride, padding, dilation.
    """
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            source, target = [], []
            for axis, offset in enumerate((i, j)):
                stride = a["stride"][axis]
                start = offset * a["dilation"][axis] - a["padding"][axis][0]
                first = max(0, -(start // stride))  # first output whose input cell is not in the padding
                last = min(outputs[axis], (shape[axis] - 1 - start) // stride + 1)
                last = max(last, first)
                source.append(
                    slice(
                        start + first * stride,
                        start + (last - 1) * stride + 1 if last > first else start + first * stride,
                        stride,
                    )
                )
                target.append(slice(first, last))
            if target[0].start < target[0].stop and target[1].start < target[1].stop:
                yield i, j, (source[0], source[1]), (target[0], target[1])


def _grouped(x: NDArray[Any], groups: int) -> NDArray[Any]:
    """(N, C, ...) -> (N, groups, C/groups, ...)."""
    return x.reshape(x.shape[0], groups, x.shape[1] // groups, *x.shape[2:])


def _contract(equation: str, x: Integers, y: Integers) -> Integers:
    """An exact einsum of two integer arrays.

    In float64, through the host's matrix product, where every partial sum is an integer below 2^53 and therefore exact
    in any order; in int64 otherwise.
    """
    operands, result = equation.split("->")
    first, second = operands.split(",")
    summed = (set(first) & set(second)) - set(result)
    terms = int(np.prod([x.shape[first.index(axis)] for axis in summed], dtype=np.int64))
    bound = terms * int(np.abs(x).max(initial=0)) * int(np.abs(y).max(initial=0))
    if bound < 2**53:
        floats = np.einsum(equation, x.astype(np.float64), y.astype(np.float64), optimize=True)
        return np.asarray(floats, dtype=np.int64)
    return np.asarray(np.einsum(equation, x, y))


@operation(
    "convolution",
    _output_shape,
    combine="batch",
    formula="y[n,o,p,q] = sum over c,i,j of x[n,c, p*s+i*d-pad, q*s+j*d-pad] * w[o,c,i,j]; e = e_x + e_w",
)
def convolution(node: Node, x: Value, w: Value) -> Value:
    """x int16 (N, C, H, W), w int16 (O, C/groups, KH, KW) -> wide (N, O, OH, OW)."""
    a, groups = node.attributes, node.attributes["groups"]
    shape = (x.mantissa.shape[0], *node.shape[1:])
    source = _grouped(x.mantissa, groups)
    weight = w.mantissa.reshape(groups, -1, *w.mantissa.shape[1:])
    y = np.zeros((shape[0], groups, shape[1] // groups, *shape[2:]), dtype=np.int64)
    for i, j, read, write in taps(x.mantissa.shape[2:], shape[2:], w.mantissa.shape[2:], a):
        y[:, :, :, *write] += _contract("ngchw,goc->ngohw", source[:, :, :, *read], weight[:, :, :, i, j])
    return Value(y.reshape(shape), x.exponent + w.exponent)


def _input_shape(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Any]:
    return (nodes[0].shape[0], *a["input_shape"]), WIDE


@operation(
    "convolution_input_gradient",
    _input_shape,
    combine="batch",
    formula="dx = the transpose of `convolution` in x applied to dy; e = e_dy + e_w",
)
def convolution_input_gradient(node: Node, dy: Value, w: Value) -> Value:
    """dy int16 (N, O, OH, OW), w int16 -> wide (N, C, H, W); attribute input_shape = (C, H, W)."""
    a, groups = node.attributes, node.attributes["groups"]
    channels, *spatial = a["input_shape"]
    gradient = _grouped(dy.mantissa, groups)
    weight = w.mantissa.reshape(groups, -1, *w.mantissa.shape[1:])
    dx = np.zeros((dy.mantissa.shape[0], groups, channels // groups, *spatial), dtype=np.int64)
    for i, j, read, write in taps(tuple(spatial), dy.mantissa.shape[2:], w.mantissa.shape[2:], a):
        dx[:, :, :, *read] += _contract("ngohw,goc->ngchw", gradient[:, :, :, *write], weight[:, :, :, i, j])
    return Value(dx.reshape(-1, channels, *spatial), dy.exponent + w.exponent)


def _weight_shape(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Any]:
    return (-(-nodes[0].shape[0] // a["group_size"]), *a["weight_shape"]), WIDE


@operation(
    "convolution_weight_gradient",
    _weight_shape,
    combine="batch",
    formula="dw[g] = the transpose of `convolution` in w applied to dy, summed over the images of gradient group g; "
    "e = e_dy + e_x",
)
def convolution_weight_gradient(node: Node, dy: Value, x: Value) -> Value:
    """dy int16 (N, O, OH, OW), x int16 -> wide (groups of images, O, C/groups, KH, KW).

    Attributes: group_size (consecutive images per gradient group), weight_shape.
    """
    a, groups, size = node.attributes, node.attributes["groups"], node.attributes["group_size"]
    outputs, channels, *kernel = a["weight_shape"]
    images = dy.mantissa.shape[0]
    gradient, source = _grouped(dy.mantissa, groups), _grouped(x.mantissa, groups)
    dw = np.zeros((-(-images // size), groups, outputs // groups, channels, *kernel), dtype=np.int64)
    for i, j, read, write in taps(x.mantissa.shape[2:], dy.mantissa.shape[2:], tuple(kernel), a):
        for index in range(dw.shape[0]):
            part = slice(index * size, min((index + 1) * size, images))
            dw[index, :, :, :, i, j] = _contract(
                "ngohw,ngchw->goc", gradient[part][:, :, :, *write], source[part][:, :, :, *read]
            )
    return Value(dw.reshape(-1, outputs, channels, *kernel), dy.exponent + x.exponent)


@operation(
    "sum_groups",
    lambda nodes, a: (nodes[0].shape[1:], INT32),
    combine="sum",
    formula="sum over the first axis, exact in int32: groups * 32767 < 2^31",
)
def sum_groups(node: Node, x: Value) -> Value:
    """int16 (gradient groups, ...) -> int32 (...)."""
    return Value(x.mantissa.sum(axis=0), x.exponent)


@operation(
    "add_bias",
    lambda nodes, a: (nodes[0].shape, WIDE),
    combine="batch",
    formula="y = acc + b over channels (axis 1), exponents aligned: b is rounded to e_acc if e_acc > e_b, exact "
    "otherwise; "
    "if e_acc < e_b - 30, acc is first rounded to e_b - 30",
)
def add_bias(node: Node, accumulator: Value, bias: Value) -> Value:
    """wide (N, O, ...), int32 (O,) -> wide."""
    exponent = max(accumulator.exponent, bias.exponent - ALIGNMENT)
    acc = shift_right_half_up(accumulator.mantissa, exponent - accumulator.exponent)
    b = shift_right_half_up(bias.mantissa, exponent - bias.exponent)
    return Value(acc + b.reshape(1, -1, *(1,) * (acc.ndim - 2)), exponent)
