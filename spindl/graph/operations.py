"""The table of integer ops: what a training graph is made of.

Each op is declared once: its shape-and-format rule and its exact meaning stand side by side (in `spindl/graph/ops/`).
The meaning is NumPy on int64, or on Python integers where int64 could overflow; it is the definition that every
executor
must equal bit for bit. docs/numbers.md lists the table with formulas and test vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Literal

import numpy as np

from spindl.graph.graph import Format, Graph, GraphError, Node
from spindl.number.rounding import Integers, limit

OP_TABLE_VERSION = 2


@dataclass(frozen=True)
class Value:
    """Integers and the exponent they share: the numbers are mantissa * 2^exponent.

    Mantissas are int64 arrays whatever the format's storage type; `pair` values have a last axis (mantissa,
    exponent) and
    exponent 0; a `site` holds its history as mantissas and the exponent in use as exponent.
    """

    mantissa: Integers
    exponent: int = 0


Combine = Literal["batch", "sum", "max", "whole"]
"""How results of parts of a batch come together: batch: side by side; sum, max: added, or the largest, element by
element;
whole: the op never sees a part of a batch (its inputs are combined already)."""

InferRule = Callable[[Sequence[Node], Mapping[str, Any]], tuple[tuple[int, ...], Format]]
Meaning = Callable[..., Value]


@dataclass(frozen=True)
class Operation:
    """One integer op: name, rule for shape and format, exact meaning, and how parts of a batch combine."""

    name: str
    infer: InferRule
    meaning: Meaning
    combine: Combine
    formula: str


OPERATIONS: dict[str, Operation] = {}

LEAVES = ("input", "state", "constant")
"""Nodes without inputs: `input` (name, given anew each step), `state` (name, role), `constant` (values, exponent)."""


def operation(name: str, infer: InferRule, *, combine: Combine, formula: str) -> Callable[[Meaning], Meaning]:
    """Declare an op: the decorated function (node, *values) -> Value is its exact meaning."""

    def register(meaning: Meaning) -> Meaning:
        if name in OPERATIONS:
            raise AssertionError(f"op {name} is declared twice")
        OPERATIONS[name] = Operation(name, infer, meaning, combine, formula)
        return meaning

    return register


def same_shape(format: Format) -> InferRule:
    """Rule: the shape of the first input, in this format."""
    return lambda nodes, attributes: (nodes[0].shape, format)


WIDE = Format("wide")
PAIR = Format("pair", 31)
COUNT = Format("count")
INT32 = Format("int32", 32)
SITE = Format("site")
SCALAR = Format("scalar", 15)


def lookup(op: str) -> Operation:
    """The table entry of an integer op. Raises GraphError naming the op if there is none."""
    try:
        return OPERATIONS[op]
    except KeyError:
        raise GraphError(f"'{op}' is not an integer op; the table knows {', '.join(sorted(OPERATIONS))}") from None


def is_batched(graph: Graph) -> list[bool]:
    """For each node whether its first axis is (a part of) the batch."""
    result: list[bool] = []
    for node in graph.nodes:
        if node.op == "input":
            result.append(bool(node.attributes.get("batched", False)))
        elif node.op in LEAVES:
            result.append(False)
        else:
            combine = lookup(node.op).combine
            fed = any(result[i] for i in node.inputs)
            if fed and combine == "whole":
                raise GraphError(f"{node.op} needs the whole batch but is given a part of it", node.name)
            result.append(fed and combine == "batch")
    return result


def check_graph(graph: Graph) -> None:
    """Raise GraphError unless a training graph obeys the op table.

    Every op is known and has its number of inputs; inputs come first; shapes and formats are those of the rules; int32
    sums over gradient groups cannot overflow; outputs exist; updates name existing state of the same shape and format.
    """
    states = {node.attributes["name"]: node for node in graph.nodes if node.op == "state"}
    for index, node in enumerate(graph.nodes):
        if any(not 0 <= i < index for i in node.inputs):
            raise GraphError(f"node %{index} ({node.op}) reads a node that comes later", node.name)
        if node.op not in LEAVES:
            _check_node(index, node, [graph.nodes[i] for i in node.inputs])
    for name, index in (*graph.outputs.items(), *graph.updates.items()):
        if not 0 <= index < len(graph.nodes):
            raise GraphError(f"output or update '{name}' is node %{index}, the graph has {len(graph.nodes)} nodes")
    for name, index in graph.updates.items():
        if name not in states:
            raise GraphError(f"update of unknown state '{name}'")
        if states[name].shape != graph.nodes[index].shape:
            raise GraphError(f"update of '{name}' changes its shape")
        if states[name].format != graph.nodes[index].format:
            raise GraphError(f"update of '{name}' changes its format")
    is_batched(graph)


def _check_node(index: int, node: Node, inputs: Sequence[Node]) -> None:
    """Raise GraphError unless a node has the inputs, shape and format that the op table asks for."""
    entry = lookup(node.op)
    parameters = list(signature(entry.meaning).parameters.values())[1:]
    fixed = sum(p.kind is not Parameter.VAR_POSITIONAL for p in parameters)
    if len(inputs) < fixed or (len(inputs) > fixed and fixed == len(parameters)):
        least = "at least " if fixed < len(parameters) else ""
        raise GraphError(f"node %{index} ({node.op}) has {len(inputs)} inputs, the op takes {least}{fixed}", node.name)
    try:
        shape, format = entry.infer(inputs, node.attributes)
    except (LookupError, TypeError, ValueError) as error:
        raise GraphError(f"node %{index} ({node.op}): inputs or attributes do not fit: {error!r}", node.name) from error
    if (shape, format) != (node.shape, node.format):
        raise GraphError(
            f"node %{index} ({node.op}) says {list(node.shape)} {node.format}, the rule gives {list(shape)} {format}",
            node.name,
        )
    if node.op == "sum_groups" and inputs[0].shape[0] * limit(inputs[0].format.bits) > limit(32):
        raise GraphError(
            f"node %{index} (sum_groups) adds {inputs[0].shape[0]} gradient groups, which may exceed 32 bits", node.name
        )


def as_int64(x: Integers) -> Integers:
    """Object arrays back to int64 (their values must fit)."""
    return x.astype(np.int64) if x.dtype == object else x
