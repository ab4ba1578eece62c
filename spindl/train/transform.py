"""Graph -> training graph: forward, loss, backward, exponents and update as ordinary nodes.

`training_graph` and `evaluation_graph` share the forward pass; after them every bit of a step is decided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor, inf

from spindl.graph.graph import Format, Graph, GraphError
from spindl.graph.layers import check_layer_graph, with_batch
from spindl.graph.operations import INT32, WIDE, check_graph
from spindl.train.builder import Builder
from spindl.train.losses import append_loss
from spindl.train.rules import FIXED_EXPONENT, RULES, Saved
from spindl.train.settings import Formats, Loss, ParameterGroup, TrainingError
from spindl.train.update import append_update

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""(mean, standard deviation) per channel, in units where the brightest byte is 1."""

NORMALISATION_BITS = 24
INPUT = "input"
"""What the gradient of the input is called among those of the parameters."""
SMALLEST_DEVIATION = 1e-4
"""Keeps the scale 2^24 / (255 d) within 31 bits."""


@dataclass
class _Forward:
    """The forward pass while it is built: the integer node of each layer, and what the gradients need."""

    values: list[int]
    saved: list[Saved | None]
    masters: dict[str, int]


def append_input(b: Builder, shape: Sequence[int], normalisation: Normalisation | None, formats: Formats) -> int:
    """The network's input as int16: bytes normalised per channel, or features (int32, 16 fraction bits) rounded."""
    b.at("input", "")
    if normalisation is None:
        return b.round(b.input("images", shape, INT32, batched=True), "input", formats.activations)
    mean, deviation = normalisation
    channels = shape[1]
    if len(mean) != channels or len(deviation) != channels:
        raise TrainingError(
            f"normalisation for {len(mean)} channels, the model takes {channels}",
            "input",
            "give one mean and deviation a channel",
        )
    if any(not SMALLEST_DEVIATION <= d < inf for d in deviation) or any(not abs(m) < 2**20 for m in mean):
        raise TrainingError(
            f"normalisation with mean {list(mean)} and deviation {list(deviation)}",
            "input",
            f"choose finite means, and deviations of at least {SMALLEST_DEVIATION} of the brightest byte",
        )
    one = Fraction(2) ** NORMALISATION_BITS
    scale = tuple(int(one / (255 * Fraction(str(d))) + Fraction(1, 2)) for d in deviation)
    offset = tuple(
        -floor(one * Fraction(str(m)) / Fraction(str(d)) + Fraction(1, 2)) for m, d in zip(mean, deviation, strict=True)
    )
    images = b.input("images", shape, Format("uint8"), batched=True)
    wide = b.emit(
        "affine",
        images,
        b.constant(scale, -NORMALISATION_BITS, WIDE),
        b.constant(offset, -NORMALISATION_BITS, WIDE),
    )
    return b.round(wide, "input", formats.activations)


def _parameter_roles(graph: Graph) -> dict[int, str]:
    """For each parameter node: weights (own exponent, int16 copy) or fixed (biases, gamma, beta)."""
    roles: dict[int, str] = {}
    for node in graph.nodes:
        for place, index in enumerate(node.inputs):
            if graph.nodes[index].op == "parameter":
                role = "weights" if node.op in ("linear", "convolution") and place == 1 else "fixed"
                if roles.setdefault(index, role) != role:
                    raise TrainingError(
                        "one parameter is used both as a weight and as a bias",
                        graph.nodes[index].name,
                        "use two parameters",
                    )
    return roles


def _append_forward(
    b: Builder, graph: Graph, normalisation: Normalisation | None, formats: Formats, differentiate_input: bool = False
) -> _Forward:
    forward = _Forward([], [], {})
    roles = _parameter_roles(graph)
    needs: list[bool] = []
    for index, node in enumerate(graph.nodes):
        b.at(node.name, node.source)
        saved = None
        if node.op == "input":
            value = append_input(b, node.shape, normalisation, formats)
            needs.append(differentiate_input)
        elif node.op == "parameter":
            key = str(node.attributes["name"])
            role = roles.get(index, "fixed")
            master = b.state(f"weights/{key}", node.shape, INT32, role)
            forward.masters[key] = master
            value = b.emit("narrow", master, bits=formats.weights) if role == "weights" else master
            needs.append(b.training and bool(node.attributes.get("trainable", True)))
        else:
            if node.op not in RULES:
                raise GraphError(f"the layer op '{node.op}' has no rule; known: {', '.join(sorted(RULES))}", node.name)
            saved = Saved([forward.values[i] for i in node.inputs], [needs[i] for i in node.inputs])
            saved.name = node.name or node.op
            value = RULES[node.op].forward(b, node, saved, formats)
            saved.result = value
            needs.append(any(saved.needs))
            if b.shape(value) != node.shape:
                raise AssertionError(f"{node.op} {node.name}: rule gives {b.shape(value)}, the layer has {node.shape}")
        forward.values.append(value)
        forward.saved.append(saved)
    return forward


def _append_backward(
    b: Builder, graph: Graph, forward: _Forward, output: int, dy: int, formats: Formats
) -> dict[str, list[int]]:
    """Gradients of all parameters and of the input, one node per use, from the gradient of the output node."""
    arriving: list[list[int]] = [[] for _ in graph.nodes]
    arriving[output].append(dy)
    result: dict[str, list[int]] = {}
    for index in reversed(range(output + 1)):
        node, saved = graph.nodes[index], forward.saved[index]
        if not arriving[index]:
            continue
        b.at(node.name, node.source)
        if node.op in ("parameter", "input"):
            result[str(node.attributes["name"]) if node.op == "parameter" else INPUT] = arriving[index]
            continue
        if saved is None or not any(saved.needs):
            continue
        total = _added(b, arriving[index], f"{saved.name}.gradient_sum", formats)
        gradients = RULES[node.op].gradient(b, node, saved, total, formats)
        if len(gradients) != len(node.inputs):
            raise AssertionError(
                f"the gradient rule of {node.op} returns {len(gradients)} gradients for {len(node.inputs)} inputs"
            )
        for source, gradient, needed in zip(node.inputs, gradients, saved.needs, strict=True):
            if needed:
                if gradient is None:
                    raise AssertionError(
                        f"the gradient rule of {node.op} {node.name} leaves out a gradient that is needed"
                    )
                arriving[source].append(gradient)
    return result


def _logits(graph: Graph, loss: Loss | None) -> tuple[Graph, int]:
    """The layer whose result the loss reads: the output, or what a final sigmoid is applied to."""
    output = graph.outputs["output"]
    if loss is not None and loss.probabilities:
        if graph.nodes[output].op != "sigmoid":
            raise TrainingError(
                "binary cross-entropy of probabilities needs a sigmoid as the last layer",
                graph.nodes[output].name or "output",
                "end the model with a sigmoid, or use BCEWithLogitsLoss",
            )
        return graph, graph.nodes[output].inputs[0]
    return graph, output


def training_graph(
    graph: Graph,
    loss: Loss,
    groups: Sequence[ParameterGroup],
    formats: Formats,
    batch: int,
    normalisation: Normalisation | None = None,
) -> Graph:
    """One training step of a forward graph, in integers.

    Args:
        graph: a forward graph.
        loss: what the step descends.
        groups: parameters to update, by hyper-parameters; others are not changed.
        formats: mantissa bits and gradient group.
        batch: images in the (global) batch.
        normalisation: of byte images; None if the input is int32 features with 16 fraction bits.

    Returns:
        A graph with inputs "images", "labels" or "targets", the scalars "rate/<g>", "momentum/<g>", "decay/<g>"
        and, with
        dropout, "positions", "seed", "step"; outputs "loss" (sum, Q16), "correct", "logits", "saturation/<site>",
        "extent/<site>".

    Raises:
        TrainingError, GraphError.
    """
    check_layer_graph(graph)
    graph, output = _logits(with_batch(graph, batch), loss)
    b = Builder(True, batch)
    forward = _append_forward(b, graph, normalisation, formats)
    b.outputs["logits"] = forward.values[output]
    dy = append_loss(b, loss, forward.values[output], formats)
    assert dy is not None
    gradients = _append_backward(b, graph, forward, output, dy, formats)
    _append_updates(b, groups, forward, gradients, batch)
    result = b.graph()
    check_graph(result)
    return result


def layers_graph(graph: Graph, groups: Sequence[ParameterGroup], formats: Formats, batch: int) -> Graph:
    """Forward and backward pass and update of some layers alone, without a loss: to measure them.

    Args:
        graph: a forward graph.
        groups, formats, batch: see `training_graph`.

    Returns:
        A graph with inputs "images" and "gradient" (of the result), int32 with 16 fraction bits, and the scalars of
        `training_graph`; outputs "result", "gradient/input", "saturation/<site>", "extent/<site>".

    Raises:
        TrainingError, GraphError.
    """
    check_layer_graph(graph)
    graph = with_batch(graph, batch)
    output = graph.outputs["output"]
    b = Builder(True, batch)
    forward = _append_forward(b, graph, None, formats, differentiate_input=True)
    b.outputs["result"] = forward.values[output]
    b.at("output", "")
    given = b.input("gradient", b.shape(forward.values[output]), INT32, batched=True)
    dy = b.round(given, "output.gradient", formats.gradients)
    gradients = _append_backward(b, graph, forward, output, dy, formats)
    b.at("input", "")
    b.outputs["gradient/input"] = _added(b, gradients[INPUT], "input.gradient_sum", formats)
    _append_updates(b, groups, forward, gradients, batch)
    result = b.graph()
    check_graph(result)
    return result


def _append_updates(
    b: Builder, groups: Sequence[ParameterGroup], forward: _Forward, gradients: dict[str, list[int]], batch: int
) -> None:
    for number, group in enumerate(groups):
        for key in group.parameters:
            if key in forward.masters and key in gradients:
                b.at(key, "")
                append_update(b, group, number, key, forward.masters[key], gradients[key], batch)


def _added(b: Builder, parts: Sequence[int], name: str, formats: Formats) -> int:
    """The sum of gradients that arrive at one place."""
    total = parts[0]
    for other in parts[1:]:
        total = b.round(b.emit("add", total, other), name, formats.gradients)
    return total


def evaluation_graph(
    graph: Graph, loss: Loss | None, formats: Formats, batch: int, normalisation: Normalisation | None = None
) -> Graph:
    """The forward pass with running statistics and the exponents of the State as they are.

    Outputs: "logits" and, with a loss, "loss" (sum, Q16) and "correct". Without a loss "logits" is the model's own
    output.
    """
    check_layer_graph(graph)
    graph, output = _logits(with_batch(graph, batch), loss)
    b = Builder(False, batch)
    forward = _append_forward(b, graph, normalisation, formats)
    b.outputs["logits"] = forward.values[output]
    if loss is not None:
        append_loss(b, loss, forward.values[output], formats)
    result = b.graph()
    check_graph(result)
    return result


def with_frozen(graph: Graph, frozen: Sequence[str]) -> Graph:
    """The same forward graph with these parameters not trainable: no gradient is computed for them."""
    names = set(frozen)
    nodes = tuple(
        replace(n, attributes={**n.attributes, "trainable": False})
        if n.op == "parameter" and n.attributes["name"] in names
        else n
        for n in graph.nodes
    )
    return replace(graph, nodes=nodes)


__all__ = ["FIXED_EXPONENT", "evaluation_graph", "layers_graph", "training_graph", "with_frozen"]
