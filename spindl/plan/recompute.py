"""Activations that are made again in the backward pass instead of being kept: the same bits in less memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from spindl.graph.graph import Graph, Node
from spindl.plan.layout import value_bytes

BACKWARD = frozenset({"convolution_weight_gradient", "relu_gradient"})


def with_recomputed(graph: Graph, size: int) -> tuple[Graph, Mapping[int, int]]:
    """The graph with normalised activations made again from what was normalised, where the backward pass reads them.

    Args:
        graph: a training graph.
        size: bytes that need not be kept, at least; the largest activations go first, of equal ones the earlier.

    Returns:
        The graph, and for each node that makes a value again the node that made it first. Statistics of the rounding
        (extent, clamped elements) are those of the first time; nothing else of the graph changes its value.
    """
    users = graph.users()
    chosen: dict[int, int] = {}  # ReLU -> where the backward pass first reads it
    for index in sorted(_candidates(graph), key=lambda i: (-value_bytes(graph.nodes[i]), i)):
        if size <= 0:
            break
        chosen[index] = min(i for i in users[index] if graph.nodes[i].op in BACKWARD)
        size -= value_bytes(graph.nodes[index])
    before = {first: index for index, first in chosen.items()}
    nodes: list[Node] = []
    place: dict[int, int] = {}  # old number -> new one
    again: dict[int, int] = {}  # old number of a ReLU -> the new one that stands for it in the backward pass
    made: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        if number in before:
            for old in _chain(graph, before[number]):
                inputs = tuple(again.get(i, place[i]) for i in graph.nodes[old].inputs)
                nodes.append(replace(graph.nodes[old], inputs=inputs))
                again[old] = len(nodes) - 1
                made[len(nodes) - 1] = place[old]
        backward = node.op in BACKWARD
        inputs = tuple(again[i] if backward and i in again else place[i] for i in node.inputs)
        nodes.append(replace(node, inputs=inputs))
        place[number] = len(nodes) - 1
    outputs = {name: place[i] for name, i in graph.outputs.items()}
    updates = {name: place[i] for name, i in graph.updates.items()}
    return replace(graph, nodes=tuple(nodes), outputs=outputs, updates=updates), made


def _candidates(graph: Graph) -> list[int]:
    """ReLUs of normalisations that the forward pass reads as they are and the backward pass reads again."""
    users, visible = graph.users(), {*graph.outputs.values(), *graph.updates.values()}
    found = []
    for index in graph.find("relu"):
        affine, rounded, _ = _chain(graph, index)
        ops = {graph.nodes[i].op for i in users[index]}
        if (
            (graph.nodes[affine].op, graph.nodes[rounded].op) == ("affine", "requantise")
            and graph.nodes[graph.nodes[affine].inputs[0]].format.kind == "int16"
            and users[rounded] == [index]
            and not visible & {affine, rounded, index}
            and "convolution" in ops
            and ops & BACKWARD
        ):
            found.append(index)
    return found


def _chain(graph: Graph, index: int) -> tuple[int, int, int]:
    """Normalisation, rounding and ReLU, from the last."""
    rounded = graph.nodes[index].inputs[0]
    return (graph.nodes[rounded].inputs or (rounded,))[0], rounded, index
