"""Training graph -> what its layers cost in products, wherever it runs."""

from __future__ import annotations

from spindl.graph.graph import Graph
from spindl.graph.products import products
from spindl.report.model import STAGES, Stage, StepCost

LOSS_GRADIENTS = frozenset({"cross_entropy_gradient", "squared_error_gradient", "binary_cross_entropy_gradient"})
UPDATES = frozenset(["direction", "momentum", "saturate32", "scale_direction", "descend", "squared_norm", "lars_rate"])


def stages(graph: Graph) -> list[Stage]:
    """The stage of each node: backward from the gradient of the loss on, update from the first op of an update on."""
    result: list[int] = []
    for node in graph.nodes:
        own = 2 if node.op in UPDATES else 1 if node.op in LOSS_GRADIENTS else 0
        result.append(max([own, *(result[i] for i in node.inputs)]))
    return [STAGES[stage] for stage in result]


def layers(graph: Graph) -> list[str]:
    """The layer of each node; what belongs to a parameter belongs to the parameter's layer."""
    keys = {
        str(node.attributes["name"]).partition("/")[2]
        for node in graph.nodes
        if node.op == "state" and str(node.attributes["name"]).startswith("weights/")
    }
    return [
        node.name.rpartition(".")[0] if node.name in keys and "." in node.name else node.name for node in graph.nodes
    ]


def graph_costs(graph: Graph) -> tuple[StepCost, ...]:
    """Products of each layer and stage that has any, in the order of the graph."""
    total: dict[tuple[str, Stage], int] = {}
    for index, (layer, stage) in enumerate(zip(layers(graph), stages(graph), strict=True)):
        count = products(graph, index)
        if count:
            total[layer, stage] = total.get((layer, stage), 0) + count
    return tuple(StepCost(layer, stage, count) for (layer, stage), count in total.items())
