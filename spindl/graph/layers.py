"""The layer ops: what a forward graph is made of, each with its shape rule.

A layer op says what a network computes in real numbers. What it means in integers, and its gradient, stand in
`spindl/train/rules/`, one rule per op under the same name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from spindl.graph.graph import REAL, Graph, GraphError, Node

Shape = tuple[int, ...]
ShapeRule = Callable[[Sequence[Shape], Any], Shape]


@dataclass(frozen=True)
class LayerOp:
    """A layer op: its name, how many inputs it takes, and the shape of its result."""

    name: str
    inputs: tuple[int, int]
    shape: ShapeRule
    summary: str


LAYER_OPS: dict[str, LayerOp] = {}


def _layer(name: str, inputs: tuple[int, int], summary: str) -> Callable[[ShapeRule], ShapeRule]:
    def register(rule: ShapeRule) -> ShapeRule:
        LAYER_OPS[name] = LayerOp(name, inputs, rule, summary)
        return rule

    return register


def window_outputs(size: int, kernel: int, stride: int, padding: tuple[int, int], dilation: int) -> int:
    """Number of window positions along one axis (PyTorch's formula, floor mode)."""
    return (size + padding[0] + padding[1] - dilation * (kernel - 1) - 1) // stride + 1


@_layer("linear", (2, 3), "y = x W^T + b over the last axis")
def _linear(shapes: Sequence[Shape], attributes: Any) -> Shape:
    x, w = shapes[0], shapes[1]
    if x[-1] != w[1]:
        raise GraphError(f"linear: the input has {x[-1]} features, the weight expects {w[1]}")
    return (*x[:-1], w[0])


@_layer("convolution", (2, 3), "1-D or 2-D cross-correlation: stride, padding ((before, after), ...), dilation, groups")
def _convolution(shapes: Sequence[Shape], attributes: Any) -> Shape:
    x, w = shapes[0], shapes[1]
    if x[1] != w[1] * attributes["groups"]:
        raise GraphError(
            f"convolution: {x[1]} input channels, but {w[1]} x {attributes['groups']} groups in the weight"
        )
    spatial = tuple(
        window_outputs(size, kernel, stride, padding, dilation)
        for size, kernel, stride, padding, dilation in zip(
            x[2:], w[2:], attributes["stride"], attributes["padding"], attributes["dilation"], strict=True
        )
    )
    if min(spatial) < 1:
        raise GraphError(f"convolution: the kernel {w[2:]} is larger than the padded input {x[2:]}")
    return (x[0], w[0], *spatial)


@_layer("batch_norm", (1, 3), "normalise each channel: eps, momentum, running_mean, running_var (state names), frozen")
def _batch_norm(shapes: Sequence[Shape], attributes: Any) -> Shape:
    if len(shapes) == 2:
        raise GraphError("batch_norm has either both gamma and beta, or neither")
    return shapes[0]


def _same(shapes: Sequence[Shape], attributes: Any) -> Shape:
    return shapes[0]


for _name, _summary in {
    "relu": "max(x, 0)",
    "relu6": "min(max(x, 0), 6)",
    "sigmoid": "1 / (1 + exp(-x))",
    "tanh": "(1 - exp(-2x)) / (1 + exp(-2x))",
    "dropout": "in training: x / (1-p) where a seeded draw keeps it, else 0",
}.items():
    _layer(_name, (1, 1), _summary)(_same)


@_layer("softmax", (1, 1), "exp(x) / sum(exp(x)) along `axis`, which is not the batch")
def _softmax(shapes: Sequence[Shape], attributes: Any) -> Shape:
    _check_axis("softmax", shapes[0], attributes["axis"])
    return shapes[0]


def _check_axis(op: str, shape: Shape, axis: int) -> None:
    if not 1 <= axis < len(shape):
        raise GraphError(f"{op}: axis {axis} of {list(shape)}; choose 1 to {len(shape) - 1} (0 is the batch)")


@_layer("max_pool", (1, 1), "largest of each window: kernel, stride, padding, dilation; the first maximum wins")
def _max_pool(shapes: Sequence[Shape], attributes: Any) -> Shape:
    x = shapes[0]
    spatial = tuple(
        window_outputs(*args)
        for args in zip(
            x[2:],
            attributes["kernel"],
            attributes["stride"],
            attributes["padding"],
            attributes["dilation"],
            strict=True,
        )
    )
    if min(spatial) < 1:
        raise GraphError(f"max_pool: the kernel {attributes['kernel']} is larger than the padded input {x[2:]}")
    for axis, (size, outputs) in enumerate(zip(x[2:], spatial, strict=True)):
        stride, dilation = attributes["stride"][axis], attributes["dilation"][axis]
        for start in range(-attributes["padding"][axis][0], outputs * stride - attributes["padding"][axis][0], stride):
            if not any(0 <= start + i * dilation < size for i in range(attributes["kernel"][axis])):
                raise GraphError(f"max_pool: a window of the input {x[2:]} holds nothing but padding")
    return (*x[:2], *spatial)


@_layer(
    "average_pool",
    (1, 1),
    "mean of each window: rows, columns as (start, stop) of each output; divisor, or None = window size",
)
def _average_pool(shapes: Sequence[Shape], attributes: Any) -> Shape:
    x = shapes[0]
    axes = {"rows": x[-2] if len(x) == 4 else 1, "columns": x[-1]}
    for name, size in axes.items():
        for start, stop in attributes[name]:
            if not 0 <= start < stop <= size:
                raise GraphError(f"average_pool: a window of {name} {start}..{stop} in an input of {size}")
    if attributes["divisor"] is not None and attributes["divisor"] < 1:
        raise GraphError(f"average_pool: a divisor of {attributes['divisor']}")
    if len(x) == 3:
        return (*x[:2], len(attributes["columns"]))
    return (*x[:2], len(attributes["rows"]), len(attributes["columns"]))


@_layer("reshape", (1, 1), "the same elements in another shape (`shape` is that of one image)")
def _reshape(shapes: Sequence[Shape], attributes: Any) -> Shape:
    x = shapes[0]
    if prod(x[1:]) != prod(attributes["shape"]):
        raise GraphError(
            f"reshape: {list(x[1:])} has {prod(x[1:])} elements an image, {list(attributes['shape'])} has not"
        )
    return (x[0], *attributes["shape"])


@_layer("permute", (1, 1), "axes in another `order`; the batch stays first")
def _permute(shapes: Sequence[Shape], attributes: Any) -> Shape:
    order = attributes["order"]
    if order[0] != 0:
        raise GraphError(f"permute: order {order} moves the batch axis")
    return tuple(shapes[0][axis] for axis in order)


@_layer("add", (2, 2), "x + y of one shape")
def _add(shapes: Sequence[Shape], attributes: Any) -> Shape:
    if shapes[0] != shapes[1]:
        raise GraphError(f"add: shapes {list(shapes[0])} and {list(shapes[1])} differ")
    return shapes[0]


@_layer("concat", (1, 1_000_000), "inputs side by side along `axis`")
def _concat(shapes: Sequence[Shape], attributes: Any) -> Shape:
    axis = attributes["axis"]
    _check_axis("concat", shapes[0], axis)
    result = list(shapes[0])
    result[axis] = sum(shape[axis] for shape in shapes)
    for shape in shapes:
        if len(shape) != len(result) or any(
            a != b for i, (a, b) in enumerate(zip(shape, result, strict=True)) if i != axis
        ):
            raise GraphError(f"concat: shapes {[list(s) for s in shapes]} do not agree outside axis {axis}")
    return tuple(result)


def infer(op: str, nodes: Sequence[Node], attributes: Any) -> Shape:
    """Shape of a layer op's result. Raises GraphError for an unknown op, a wrong number of inputs or misfit shapes."""
    if op not in LAYER_OPS:
        raise GraphError(f"'{op}' is not a layer op; the table knows {', '.join(sorted(LAYER_OPS))}")
    low, high = LAYER_OPS[op].inputs
    if not low <= len(nodes) <= high:
        raise GraphError(f"{op} takes {low} to {high} inputs, got {len(nodes)}")
    return LAYER_OPS[op].shape([node.shape for node in nodes], attributes)


SOURCES = ("input", "parameter")
"""Nodes of a forward graph without inputs: `input` (name) and `parameter` (name = its key in the state_dict,
trainable)."""


def with_batch(graph: Graph, batch: int) -> Graph:
    """The same forward graph for another batch size: every shape is inferred anew from the inputs'."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op == "input":
            shape: Shape = (batch, *node.shape[1:])
        elif node.op == "parameter":
            shape = node.shape
        else:
            shape = infer(node.op, [nodes[i] for i in node.inputs], node.attributes)
        nodes.append(replace(node, shape=shape))
    return replace(graph, nodes=tuple(nodes))


def check_layer_graph(graph: Graph) -> None:
    """Raise GraphError unless every node of a forward graph is in the table and carries the shape the table gives."""
    for index, node in enumerate(graph.nodes):
        if node.format != REAL:
            raise GraphError(f"node %{index} ({node.op}) of a forward graph has format {node.format}", node.name)
        if any(i >= index for i in node.inputs):
            raise GraphError(f"node %{index} ({node.op}) reads a node that comes later", node.name)
        if node.op not in SOURCES:
            shape = infer(node.op, [graph.nodes[i] for i in node.inputs], node.attributes)
            if shape != node.shape:
                raise GraphError(
                    f"node %{index} ({node.op}) says {list(node.shape)}, the rule gives {list(shape)}", node.name
                )
    if list(graph.outputs) != ["output"] or graph.updates:
        raise GraphError("a forward graph has one output, named 'output', and no updates")
