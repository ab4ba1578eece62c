"""Multiply-accumulates of a graph: what its contractions have to compute, wherever they run."""

from __future__ import annotations

from math import prod

from spindl.graph.graph import Graph, Node


def total_products(graph: Graph) -> int:
    """Multiply-accumulates of all nodes."""
    return sum(products(graph, index) for index in range(len(graph.nodes)))


def products(graph: Graph, index: int) -> int:
    """Multiply-accumulates of a node; 0 unless it is a contraction."""

    def shape(node: Node, which: int) -> tuple[int, ...]:
        return graph.nodes[node.inputs[which]].shape

    node = graph.nodes[index]
    if node.op == "convolution":
        return prod(node.shape) * prod(shape(node, 1)[1:])
    if node.op == "convolution_input_gradient":
        return prod(shape(node, 0)) * prod(shape(node, 1)[1:])
    if node.op == "convolution_weight_gradient":
        weight: tuple[int, ...] = node.attributes["weight_shape"]
        return prod(shape(node, 0)) * prod(weight[1:])
    return 0
