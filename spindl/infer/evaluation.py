"""Running a Program around training: dry passes for first exponents, and tests over a dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.data import Batch, batches
from spindl.graph import Graph, Node
from spindl.graph.batch import batch_of
from spindl.graph.operations import SITE, Value, check_graph, lookup
from spindl.graph.ops.activation import BOUNDED_LOWEST_EXPONENT
from spindl.infer.examples import Examples, input_names, padded, step_inputs
from spindl.number.sites import HISTORY, LOWEST_EXPONENT
from spindl.program import Program
from spindl.run import Session
from spindl.train import Formats, Loss, evaluation_graph

CALIBRATION_IMAGES = 256
"""Most images of a dry pass."""
DRY_PASSES = 4
DRY_PASSES_ZERO_GAMMA = 8
"""With a BatchNorm whose gammas are all zero, gradients reach the layers before it only after some passes."""

BOUNDED = ("sigmoid", "tanh", "softmax")

EVALUATE, EVALUATE_TAIL = "evaluate", "evaluate_tail"


@dataclass(frozen=True)
class Evaluation:
    """Means over a dataset: loss per image, share of right answers (None where the loss has no such count)."""

    loss: float
    accuracy: float | None
    images: int


def evaluation_graphs(
    forward: Graph, loss: Loss | None, formats: Formats, batch: int, count: int, normalisation: Any
) -> dict[str, Graph]:
    """The graphs that test `count` images in batches: a whole batch, and the rest that does not fill one."""
    graphs = {}
    if count >= batch:
        graphs[EVALUATE] = evaluation_graph(forward, loss, formats, batch, normalisation)
    if count % batch:
        graphs[EVALUATE_TAIL] = evaluation_graph(forward, loss, formats, count % batch, normalisation)
    return graphs


def evaluate(
    session: Session, examples: Examples, batch_size: int, stop: Callable[[], bool] = lambda: False
) -> Evaluation | None:
    """Test over all examples with the State as it is; None if `stop` asked to end before that."""
    loss, correct, images = 0, 0, 0
    counted = True
    steps = batches(examples.dataset, batch_size, seed=0, epoch=0, last="short", shuffle=False)
    with closing(steps):
        for batch in steps:
            if stop():
                return None
            graph = EVALUATE if len(batch) == batch_size else EVALUATE_TAIL
            inputs = step_inputs(examples, batch, start=images, seed=0, step=0)
            outputs = session.step(graph, inputs, commit="none")
            loss += int(outputs["loss"].mantissa)
            counted = counted and "correct" in outputs
            correct += int(outputs["correct"].mantissa) if "correct" in outputs else 0
            images += len(batch)
    return Evaluation(loss / 65536 / images, correct / images if counted else None, images)


def predict_batches(
    session: Session, program: Program, graph: str, examples: Examples
) -> Iterator[NDArray[np.float64]]:
    """The model's outputs for the examples in their order, one array a batch; the last is filled up and cut again."""
    size = batch_of(program.graphs[graph])
    names = input_names(program.graphs[graph])
    steps = batches(examples.dataset, size, seed=0, epoch=0, last="short", shuffle=False)
    with closing(steps):
        for batch in steps:
            inputs = step_inputs(examples, padded(batch, size), start=0, seed=0, step=0)
            blank = {name: _blank(program.graphs[graph], name) for name in names - inputs.keys()}
            logits = session.step(graph, {**inputs, **blank}, commit="none")["logits"]
            yield np.ldexp(logits.mantissa[: len(batch)].astype(np.float64), logits.exponent)


def _blank(graph: Graph, name: str) -> Value:
    """Zeros for an input whose value does not matter (targets, when only the outputs are wanted)."""
    node = next(n for n in graph.nodes if n.op == "input" and n.attributes["name"] == name)
    return Value(np.zeros(node.shape, dtype=np.int64), -16)


def dry_passes(forward: Graph, parameters: Mapping[str, NDArray[Any]]) -> int:
    """How many dry passes find the first exponents of a model."""
    for node in forward.nodes:
        if node.op == "batch_norm" and len(node.inputs) == 3:
            gamma = str(forward.nodes[node.inputs[1]].attributes["name"])
            if not np.any(parameters[gamma]):
                return DRY_PASSES_ZERO_GAMMA
    return DRY_PASSES


def calibrate(session: Session, graph: str, inputs: Mapping[str, Value], passes: int) -> None:
    """Run a graph on the same images again and again; only exponents and their history stay."""
    for _ in range(passes):
        session.step(graph, inputs, commit="sites")


def first_images(batch: Batch, count: int) -> Batch:
    """At most `count` records of a batch."""
    return Batch(batch.images[:count], batch.labels[:count], batch.positions[:count])


def measuring(graph: Graph, headroom: int = 1) -> Graph:
    """An evaluation graph whose exponents follow what they meet, for a model that has none yet."""
    nodes = list(graph.nodes)
    updates = dict(graph.updates)

    def append(op: str, *inputs: int, **attributes: Any) -> int:
        shape, format = lookup(op).infer([nodes[i] for i in inputs], attributes)
        nodes.append(Node(op, inputs, attributes, shape, format, nodes[inputs[0]].name))
        return len(nodes) - 1

    for node in graph.nodes:
        if node.op != "requantise":
            continue
        wide, site = node.inputs
        extent = append("extent", wide)
        lowest = BOUNDED_LOWEST_EXPONENT if graph.nodes[wide].op in BOUNDED else LOWEST_EXPONENT
        assert graph.nodes[site].format == SITE and graph.nodes[site].shape == (HISTORY,)
        updates[str(graph.nodes[site].attributes["name"])] = append(
            "next_site", site, extent, bits=node.attributes["bits"], headroom=headroom, lowest=lowest
        )
    result = replace(graph, nodes=tuple(nodes), updates=updates)
    check_graph(result)
    return result
