"""Training graphs to plan: networks by name, with their state and their inputs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from spindl.graph import Graph
from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar
from tests.graph.test_split import with_dropout
from tests.networks import Layers, byte_batch, frozen_norms, padded, small_lenet, small_resnet, window
from tests.train.test_gradients import mixed


def thesis_mlp(seed: int = 0) -> Layers:
    """The thesis's 2-50-50-300-50-25-2 with tanh, sigmoid and softmax: odd sizes, features instead of bytes."""
    n, x = Layers((2,), seed), 0
    for k, (width, op) in enumerate([(50, "tanh"), (50, "sigmoid"), (300, "tanh"), (50, "sigmoid"), (25, "tanh")]):
        x = n.add(op, n.linear(x, width, name=f"fc{k}"), name=f"{op}{k}")
    n.add("softmax", n.linear(x, 2, name="fc5"), name="softmax", axis=1)
    return n


def thesis_convolution(seed: int = 0) -> Layers:
    """A 1-D convolution over 16 samples of 2 channels, pooling, two linear layers."""
    n = Layers((2, 16), seed)
    x = n.add("tanh", n.convolution(0, 5, (3,), name="conv1"), name="tanh1")
    x = n.add("max_pool", x, name="pool", kernel=(2,), stride=(2,), padding=((0, 0),), dilation=(1,))
    x = n.add("reshape", x, name="flatten", shape=(35,))
    n.linear(n.add("sigmoid", n.linear(x, 9, name="fc1"), name="sigmoid1"), 3, name="fc2")
    return n


def dense(seed: int = 0) -> Layers:
    """Concatenated branches, depthwise and strided convolutions, ReLU6, dilation, overlapping pools."""
    n = Layers((3, 9, 9), seed)
    x = n.add("relu6", n.convolution(0, 6, (3, 3), name="stem", **padded(1)), name="relu6")
    y = n.convolution(x, 6, (3, 3), name="depthwise", bias=False, groups=6, **padded(1))
    z = n.convolution(x, 3, (3, 3), name="dilated", padding=((2, 2), (2, 2)), dilation=(2, 2))
    x = n.add("concat", x, n.add("relu", y, name="relu"), z, name="concat", axis=1)
    x = n.add("max_pool", x, name="pool", **window(3, 2, 1))
    x = n.convolution(x, 8, (3, 3), name="grouped", groups=1, **padded(1, 2))
    x = n.add("average_pool", x, name="mean", rows=((0, 2), (1, 3)), columns=((0, 3),), divisor=None)
    n.linear(n.add("reshape", x, name="flatten", shape=(16,)), 10, name="fc")
    return n


NETWORKS = {
    "lenet": small_lenet,
    "resnet": small_resnet,
    "mixed": mixed,
    "dropout": with_dropout,
    "frozen": frozen_norms,
    "dense": dense,
    "thesis_mlp": thesis_mlp,
    "thesis_convolution": thesis_convolution,
}
LOSSES = {"thesis_mlp": "squared_error", "thesis_convolution": "binary_cross_entropy"}


@dataclass(frozen=True)
class Case:
    """A training graph, its first state, and the inputs of some steps."""

    graph: Graph
    state: dict[str, Value]
    inputs: list[dict[str, Value]]


def case(name: str, batch: int = 8, steps: int = 3, formats: Formats | None = None, **group: object) -> Case:
    """A network by name, with the sites that a few dry passes give it."""
    network = NETWORKS[name]()
    shape = network.nodes[0].shape[1:]
    keys = tuple(key for key in network.parameters if "running" not in key)
    groups = (ParameterGroup(parameters=keys, **{"kind": "sgd", **group}),)  # type: ignore[arg-type]
    bytes_in = name not in LOSSES
    normalisation = ((0.5,) * shape[0], (0.25,) * shape[0]) if bytes_in else None
    loss = Loss(LOSSES.get(name, "cross_entropy"), 0.1 if bytes_in else 0.0)  # type: ignore[arg-type]
    graph = training_graph(network.graph(), loss, groups, formats or Formats(), batch, normalisation)
    state = initial_state(graph, network.parameters)
    inputs = [{**_batch(graph, shape, batch, bytes_in, k), **_scalars(batch)} for k in range(steps)]
    for _ in range(4):
        updates = interpret(graph, state, inputs[0])[1]
        state |= {key: value for key, value in updates.items() if key.startswith("site/")}
    return Case(graph, state, inputs)


def _batch(graph: Graph, shape: tuple[int, ...], batch: int, bytes_in: bool, seed: int) -> dict[str, Value]:
    values = byte_batch(shape, batch, seed=seed)
    if not bytes_in:
        generator = np.random.default_rng(seed)
        targets = next(n.shape for n in graph.nodes if n.op == "input" and n.attributes["name"] == "targets")
        values["images"] = Value(generator.integers(-(1 << 17), 1 << 17, (batch, *shape)), -16)
        values["targets"] = Value(generator.integers(0, 2, targets) << 16, -16)
    return values


def _scalars(batch: int) -> dict[str, Value]:
    return {
        "rate/0": scalar(Fraction(1, 5) / batch),
        "momentum/0": scalar(Fraction(9, 10)),
        "decay/0": scalar(Fraction(1, 1000) * batch),
    }
