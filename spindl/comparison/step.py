"""Compare: one training step in integers against PyTorch's floating point, layer by layer, forward and backward.

Every rounding place of the integer step is set against the value that PyTorch has there: results of layers, gradients
of their inputs, and gradients of the parameters. Both start from the same float32 weights and the same images.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spindl.comparison.float32 import float_inputs, float_targets, summed_loss
from spindl.data import BatchSizeError, batches
from spindl.errors import SpindlError
from spindl.graph import Graph, Node
from spindl.graph.operations import Value
from spindl.infer.evaluation import calibrate, dry_passes
from spindl.infer.examples import read_examples, step_inputs
from spindl.model import capture
from spindl.model.evaluate import evaluate
from spindl.program import Program, Progress, State
from spindl.run import open_session
from spindl.train import Formats, Loss, ParameterGroup, initial_state, read_loss, training_graph
from spindl.train.optimizers import scalar

PROBE = "probe/"
CAPTURE_TOLERANCE = 1e-3
"""Largest relative difference between the module and its captured graph, both in PyTorch's floating point."""


class CompareError(SpindlError):
    """The captured graph does not compute what the module computes: a bug of the capture, or a side effect."""


@dataclass(frozen=True)
class Row:
    """One place of the network.

    Attributes:
        layer: name of the layer or parameter.
        what: "output", "input gradient", "sum of gradients", "gradient" (of a parameter), "input", "loss gradient".
        elements: how many numbers.
        error: root of the mean squared difference, divided by the root mean square of PyTorch's values.
        largest: largest difference, divided by PyTorch's largest magnitude.
        cosine: of the angle between both; 1 when both are zero.
        saturated: integers that were clipped there.
        exponent: of the integers; None where several with different exponents were added.
    """

    layer: str
    what: str
    elements: int
    error: float
    largest: float
    cosine: float
    saturated: int
    exponent: int | None


@dataclass(frozen=True)
class Comparison:
    """All rows in the order of the network, and the whole.

    `gradient_cosine` is taken over all parameters together; losses are means per image; `capture_difference` is the
    largest relative difference between the module's own output and its captured graph's, in floating point.
    """

    rows: tuple[Row, ...]
    loss: float
    reference_loss: float
    gradient_cosine: float
    gradient_error: float
    capture_difference: float

    def worst(self, count: int | None = None) -> tuple[Row, ...]:
        """Rows by falling error."""
        return tuple(sorted(self.rows, key=lambda row: row.error, reverse=True)[:count])


@dataclass(frozen=True)
class _Place:
    """A place to compare: its integers in the training graph, and its reference in the forward graph."""

    layer: str
    what: str
    nodes: tuple[int, ...]
    site: str
    reference: tuple[str, int | str]  # ("value" | "gradient", node of the forward graph) or ("parameter", key)
    transpose: bool = False


def compare(
    module: nn.Module,
    loss: Any,
    data: Any,
    *,
    batch_size: int = 32,
    seed: int = 0,
    formats: Formats | None = None,
    executor: str = "sim",
    device: str = "cpu",
    threads: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Comparison:
    """One training step on the first batch of an epoch, in integers and in PyTorch's `dtype`.

    The arguments are those of Trainer; dropout is switched off in both. The module is not changed.

    Raises:
        SpindlError: as Trainer does; CompareError if the captured graph differs from the module.
    """
    loss, formats = read_loss(loss), formats or Formats()
    shape = data.image_shape if hasattr(data, "image_shape") else np.shape(data[0])[1:]
    forward = _without_dropout(capture(module, shape))
    output_shape = forward.nodes[forward.outputs["output"]].shape[1:]
    examples = read_examples(data, loss, shape, output_shape, "train")
    if batch_size > len(examples):
        raise BatchSizeError(
            batch_size, len(examples), 0, f"a batch of {batch_size} from {len(examples)} records", "use a smaller batch"
        )
    keys = tuple(
        n.attributes["name"] for n in forward.nodes if n.op == "parameter" and n.attributes.get("trainable", True)
    )
    groups = (ParameterGroup("sgd", tuple(map(str, keys)), momentum=False),)
    graph = training_graph(forward, loss, groups, formats, batch_size, examples.dataset.normalisation)
    edged, edges = with_edges(forward)
    places = find_places(graph, forward, edges, loss)
    probes = {f"{PROBE}{i}": i for place in places for i in place.nodes}
    program = Program({"train": replace(graph, outputs={**graph.outputs, **probes})}, {})
    arrays = {key: tensor.detach().cpu().numpy() for key, tensor in module.state_dict().items()}
    state = State(initial_state(graph, arrays), Progress(seed=seed))
    with closing(batches(examples.dataset, batch_size, seed, 0)) as steps:
        batch = next(steps)
    zero = {f"{name}/0": scalar(Fraction(0)) for name in ("rate", "decay", "momentum")}
    inputs = step_inputs(examples, batch, start=0, seed=seed, step=0, scalars=zero)
    with closing(open_session(executor, program, state, device=device, threads=threads)) as session:
        calibrate(session, "train", inputs, dry_passes(forward, arrays))
        outputs = session.step("train", inputs, commit="none")

    x = float_inputs(examples, batch, dtype, "cpu")
    target = float_targets(examples, batch, dtype, "cpu")
    reference = _reference(edged, module, loss, x, target)
    rows = tuple(_row(place, outputs, reference) for place in places)
    mine, theirs = _all_gradients(places, outputs, reference)
    return Comparison(
        rows=rows,
        loss=int(outputs["loss"].mantissa) / 65536 / batch_size,
        reference_loss=reference.loss / batch_size,
        gradient_cosine=_cosine(mine, theirs),
        gradient_error=_relative(mine - theirs, theirs),
        capture_difference=_capture_difference(module, x, reference.values[edged.outputs["output"]]),
    )


def with_edges(graph: Graph) -> tuple[Graph, dict[tuple[int, int], int]]:
    """The forward graph with an identity before every input of every layer, so that each use has its own gradient.

    Returns the graph and, for each (layer, place) of the old graph, the node of its identity in the new one.
    """
    nodes: list[Node] = []
    place: dict[int, int] = {}
    edges: dict[tuple[int, int], int] = {}
    for index, node in enumerate(graph.nodes):
        inputs = []
        for position, source in enumerate(node.inputs):
            if graph.nodes[source].op == "parameter":
                inputs.append(place[source])
                continue
            shape = graph.nodes[source].shape
            nodes.append(Node("reshape", (place[source],), {"shape": shape[1:]}, shape, name=f"{node.name}.in"))
            edges[index, position] = len(nodes) - 1
            inputs.append(len(nodes) - 1)
        nodes.append(replace(node, inputs=tuple(inputs)))
        place[index] = len(nodes) - 1
    edges |= {(index, -1): new for index, new in place.items()}
    return Graph(tuple(nodes), {name: place[i] for name, i in graph.outputs.items()}), edges


def find_places(graph: Graph, forward: Graph, edges: Mapping[tuple[int, int], int], loss: Loss) -> list[_Place]:
    """The places that integers and floating point share, in the order of the network, gradients last."""
    layers = {node.name or node.op: index for index, node in enumerate(forward.nodes) if node.inputs}
    output = forward.outputs["output"]
    places: list[_Place] = []
    for index, node in enumerate(graph.nodes):
        if node.op == "requantise":
            site = str(graph.nodes[node.inputs[1]].attributes["name"]).partition("/")[2]
            layer, _, kind = site.rpartition(".")
            if site == "input":
                source = next(i for i, n in enumerate(forward.nodes) if n.op == "input")
                places.append(_Place("input", "input", (index,), site, ("value", edges[source, -1])))
            elif site == "loss.gradient":
                logits = forward.nodes[output].inputs[0] if loss.probabilities else output
                places.append(_Place("loss", "loss gradient", (index,), site, ("gradient", edges[logits, -1])))
            elif layer in layers and kind in ("output", "input_gradient", "gradient_sum"):
                number = layers[layer]
                transpose = forward.nodes[number].op == "linear" and len(node.shape) == 4
                reference: tuple[str, int] = {
                    "output": ("value", edges[number, -1]),
                    "input_gradient": ("gradient", edges.get((number, 0), -1)),
                    "gradient_sum": ("gradient", edges[number, -1]),
                }[kind]
                what = {"output": "output", "input_gradient": "input gradient", "gradient_sum": "sum of gradients"}[
                    kind
                ]
                places.append(_Place(layer, what, (index,), site, reference, transpose))
        elif node.op == "direction":
            key = str(graph.nodes[node.inputs[0]].attributes["name"]).partition("/")[2]
            gradients = tuple(
                graph.nodes[i].inputs[0] if graph.nodes[i].op == "pair_to_wide" else i for i in node.inputs[3:]
            )
            site = f"{key.rpartition('.')[0]}.weight_gradient" if key.endswith("weight") else ""
            places.append(_Place(key, "gradient", gradients, site, ("parameter", key)))
    return places


@dataclass(frozen=True)
class _Reference:
    values: list[Tensor]
    parameters: Mapping[str, Tensor]
    loss: float

    def at(self, reference: tuple[str, int | str]) -> NDArray[np.float64]:
        kind, index = reference
        tensor: Tensor | None
        if kind == "parameter":
            tensor = self.parameters[str(index)].grad
        else:
            value = self.values[int(index)]
            tensor = value if kind == "value" else value.grad
            tensor = torch.zeros_like(value) if tensor is None else tensor
        if tensor is None:
            tensor = torch.zeros_like(self.parameters[str(index)])
        return tensor.detach().double().numpy()


def _reference(graph: Graph, module: nn.Module, loss: Any, x: Tensor, target: Tensor) -> _Reference:
    parameters = {}
    for key, tensor in module.state_dict().items():
        value = tensor.detach().cpu().to(x.dtype) if tensor.is_floating_point() else tensor.detach().cpu()
        parameters[key] = value.clone().requires_grad_(value.is_floating_point())
    values = evaluate(graph, parameters, x.requires_grad_(), training=True)
    for value in values:
        if value.requires_grad and not value.is_leaf:
            value.retain_grad()
    total = summed_loss(loss, values[graph.outputs["output"]], target)
    total.backward()  # type: ignore[no-untyped-call]
    return _Reference(values, parameters, float(total.detach()))


def _numbers(value: Value) -> NDArray[np.float64]:
    return np.ldexp(value.mantissa.astype(np.float64), value.exponent)


def _pairs(value: Value) -> NDArray[np.float64]:
    return np.ldexp(value.mantissa[..., 0].astype(np.float64), value.mantissa[..., 1])


def _integers(place: _Place, outputs: Mapping[str, Value], shape: tuple[int, ...]) -> NDArray[np.float64]:
    total = np.zeros(shape)
    for index in place.nodes:
        value = outputs[f"{PROBE}{index}"]
        paired = value.mantissa.shape[-1:] == (2,) and value.mantissa.size == 2 * int(np.prod(shape))
        numbers = _pairs(value) if paired else _numbers(value)
        if place.transpose:  # a linear layer over several rows: (N, K, rows, 1) -> (N, rows, K)
            numbers = numbers[..., 0].transpose(0, 2, 1)
        total = total + numbers.reshape(shape)
    return total


def _row(place: _Place, outputs: Mapping[str, Value], reference: _Reference) -> Row:
    theirs = reference.at(place.reference)
    mine = _integers(place, outputs, theirs.shape)
    saturated = outputs.get(f"saturation/{place.site}")
    exponents = {outputs[f"{PROBE}{i}"].exponent for i in place.nodes}
    return Row(
        layer=place.layer,
        what=place.what,
        elements=theirs.size,
        error=_relative(mine - theirs, theirs),
        largest=_ratio(float(np.abs(mine - theirs).max(initial=0)), float(np.abs(theirs).max(initial=0))),
        cosine=_cosine(mine, theirs),
        saturated=int(saturated.mantissa) if saturated is not None else 0,
        exponent=exponents.pop() if len(exponents) == 1 else None,
    )


def _ratio(a: float, b: float) -> float:
    return a / b if b else (0.0 if a == 0 else float("inf"))


def _relative(difference: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    return _ratio(float(np.linalg.norm(difference)), float(np.linalg.norm(theirs)))


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norms = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    if norms == 0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return float(np.vdot(a, b)) / norms


def _all_gradients(
    places: list[_Place], outputs: Mapping[str, Value], reference: _Reference
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    mine, theirs = [np.zeros(0)], [np.zeros(0)]
    for place in places:
        if place.what == "gradient":
            theirs.append(reference.at(place.reference).ravel())
            mine.append(_integers(place, outputs, theirs[-1].shape).ravel())
    return np.concatenate(mine), np.concatenate(theirs)


def _without_dropout(graph: Graph) -> Graph:
    nodes = tuple(replace(n, attributes={**n.attributes, "p": 0.0}) if n.op == "dropout" else n for n in graph.nodes)
    return replace(graph, nodes=nodes)


def _capture_difference(module: nn.Module, x: Tensor, output: Tensor) -> float:
    twin = copy.deepcopy(module).cpu().to(x.dtype).train()
    for part in twin.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd):
            part.p = 0.0
    with torch.no_grad():
        own = twin(x)
    difference = _ratio(float((own - output.detach()).abs().max()), float(own.abs().max()))
    if not difference <= CAPTURE_TOLERANCE:
        raise CompareError(
            f"the module gives {difference:.1e} (relative) other outputs than its captured graph",
            "compare",
            "report the model; if it uses F.dropout, use nn.Dropout",
        )
    return difference
