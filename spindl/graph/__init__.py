"""Graph: its types, the layer ops, the integer ops with their exact meaning, the checker and the interpreter."""

from spindl.graph.graph import REAL, Format, Graph, GraphError, Node, describe
from spindl.graph.layers import LAYER_OPS, check_layer_graph, with_batch

__all__ = ["LAYER_OPS", "REAL", "Format", "Graph", "GraphError", "Node", "check_layer_graph", "describe", "with_batch"]
