"""Evaluation graphs for other numbers of images.

What they compute of an image depends on no other image: a batch may be filled up with any, and the outputs of the true
ones stay the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spindl.graph.graph import Graph
from spindl.graph.interpreter import leaf
from spindl.graph.operations import OPERATIONS, Value, as_int64, check_graph, is_batched, lookup


def with_batch(graph: Graph, images: int) -> Graph:
    """An evaluation graph for another number of images; what it computes of each does not change."""
    nodes, batched = list(graph.nodes), is_batched(graph)
    for index, node in enumerate(nodes):
        if node.op == "input" and batched[index]:
            nodes[index] = replace(node, shape=(images, *node.shape[1:]))
        elif node.inputs:
            shape, format = lookup(node.op).infer([nodes[i] for i in node.inputs], node.attributes)
            nodes[index] = replace(node, shape=shape, format=format)
    result = replace(graph, nodes=tuple(nodes))
    check_graph(result)
    return result


def batch_of(graph: Graph) -> int:
    """Images of a graph's batch."""
    return next(n.shape[0] for n in graph.nodes if n.op == "input" and n.attributes["name"] == "images")


def filled_inputs(graph: Graph, inputs: Mapping[str, Value], images: int) -> dict[str, Value]:
    """The inputs of a graph, filled up to more images with copies of the last one."""
    result, batched = dict(inputs), is_batched(graph)
    for index, node in enumerate(graph.nodes):
        if node.op == "input" and batched[index]:
            value = inputs[name := str(node.attributes["name"])]
            own = np.asarray(value.mantissa)
            result[name] = Value(np.concatenate([own, np.repeat(own[-1:], images - len(own), axis=0)]), value.exponent)
    return result


def true_outputs(graph: Graph, inputs: Mapping[str, Value], found: Mapping[str, Value]) -> dict[str, Value]:
    """An evaluation graph's outputs of its own images, from those of a batch that was filled up behind them.

    Args:
        graph: for the true images.
        inputs: of the true images.
        found: outputs of the filled batch. Those by image are cut; sums over the batch (loss, right answers) are
            computed anew from the outputs by image and the inputs, as the ops' definitions say.
    """
    batched, images = is_batched(graph), batch_of(graph)
    values: dict[int, Value] = {}
    for name, index in graph.outputs.items():
        if batched[index]:
            values[index] = Value(as_int64(found[name].mantissa[:images]), found[name].exponent)

    def value(index: int) -> Value:
        if index not in values:
            node = graph.nodes[index]
            if node.inputs:
                result = OPERATIONS[node.op].meaning(node, *(value(i) for i in node.inputs))
                values[index] = Value(as_int64(result.mantissa), result.exponent)
            else:
                values[index] = leaf(graph, index, {}, inputs)
        return values[index]

    return {name: value(index) for name, index in graph.outputs.items()}
