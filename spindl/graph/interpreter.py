"""The interpreter: runs a training graph node by node with the meanings of the op table.

Obvious and slow on purpose; it is the definition that the simulator, the emulated cores and the real ones must equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from spindl.graph import ops  # noqa: F401  (fills the table)
from spindl.graph.graph import Graph, GraphError
from spindl.graph.operations import OPERATIONS, Value, as_int64, is_batched


def leaf(graph: Graph, index: int, state: Mapping[str, Value], inputs: Mapping[str, Value]) -> Value:
    """The value of an `input`, `state` or `constant` node. Raises GraphError if it was not given."""
    node = graph.nodes[index]
    if node.op == "constant":
        return Value(
            np.array(node.attributes["values"], dtype=np.int64).reshape(node.shape), node.attributes["exponent"]
        )
    name = node.attributes["name"]
    source = state if node.op == "state" else inputs
    if name not in source:
        raise GraphError(f"{node.op} '{name}' was not given")
    value = source[name]
    if value.mantissa.shape != node.shape:
        raise GraphError(f"{node.op} '{name}' has shape {list(value.mantissa.shape)}, expected {list(node.shape)}")
    return value


def interpret(
    graph: Graph,
    state: Mapping[str, Value],
    inputs: Mapping[str, Value],
    *,
    keep: Sequence[int] = (),
) -> tuple[dict[str, Value], dict[str, Value], dict[int, Value]]:
    """One step.

    Args:
        graph: a training or evaluation graph.
        state: a value for every `state` node, by name.
        inputs: a value for every `input` node, by name.
        keep: node indices whose values are wanted too.

    Returns:
        outputs by name, new state by name (only what the step changes), kept values by node index.
    """
    values: list[Value] = []
    for index, node in enumerate(graph.nodes):
        if node.op in ("input", "state", "constant"):
            values.append(leaf(graph, index, state, inputs))
        else:
            result = OPERATIONS[node.op].meaning(node, *(values[i] for i in node.inputs))
            values.append(Value(as_int64(result.mantissa), result.exponent))
    return (
        {name: values[i] for name, i in graph.outputs.items()},
        {name: values[i] for name, i in graph.updates.items()},
        {i: values[i] for i in keep},
    )


def interpret_split(
    graph: Graph, state: Mapping[str, Value], inputs: Mapping[str, Value], parts: Sequence[int]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """One step with the batch dealt to several workers; must equal `interpret` bit for bit.

    Args:
        graph, state, inputs: as for `interpret`.
        parts: images per worker; they add up to the batch.

    Returns:
        outputs and new state; batched outputs are put together again.

    Raises:
        GraphError: a worker's share ends inside a gradient group, whose sum is rounded as a whole.
    """
    batched = is_batched(graph)
    bounds = np.cumsum([0, *parts])
    for node in graph.nodes:
        size = node.attributes.get("group_size", 1)
        if np.any(bounds[1:-1] % size):
            raise GraphError(f"shares of {list(parts)} images cut a gradient group of {size} images", node.name)
    workers = range(len(parts))
    values: list[list[Value]] = []  # per node: one value per worker if batched, else one value for all
    for index, node in enumerate(graph.nodes):
        if node.op in ("input", "state", "constant"):
            whole = leaf(graph, index, state, inputs)
            if batched[index]:
                values.append([Value(whole.mantissa[bounds[k] : bounds[k + 1]], whole.exponent) for k in workers])
            else:
                values.append([whole])
            continue
        operation = OPERATIONS[node.op]
        fed = any(batched[i] for i in node.inputs)
        results = []
        for k in workers if fed else range(1):
            arguments = [values[i][k if batched[i] else 0] for i in node.inputs]
            result = operation.meaning(node, *arguments)
            results.append(Value(as_int64(result.mantissa), result.exponent))
        if fed and operation.combine in ("sum", "max"):
            combine = np.add if operation.combine == "sum" else np.maximum
            total = results[0].mantissa
            for result in results[1:]:
                total = combine(total, result.mantissa)
            results = [Value(total, results[0].exponent)]
        values.append(results)

    def together(index: int) -> Value:
        parts_of = values[index]
        if len(parts_of) == 1:
            return parts_of[0]
        return Value(np.concatenate([part.mantissa for part in parts_of]), parts_of[0].exponent)

    return (
        {name: together(i) for name, i in graph.outputs.items()},
        {name: together(i) for name, i in graph.updates.items()},
    )
