"""Whole training and evaluation steps: the simulator's every output and update equals the interpreter's."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from torch import nn

from spindl.graph.graph import Graph, GraphError, Node
from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.model import capture
from spindl.run.interface import RunError
from spindl.run.sim import Simulator
from spindl.run.sim.compiler import compile_graph
from spindl.run.sim.values import to_host
from spindl.train import Formats, Loss, ParameterGroup, evaluation_graph, initial_state, layers_graph, training_graph
from spindl.train.optimizers import scalar
from tests.networks import byte_batch
from tests.run.sim.support import VECTOR_PATHS, assert_equal
from tests.train.test_gradients import NETWORKS

NORMALISATION = ((0.5,) * 3, (0.25,) * 3)
GROUPS = {
    "sgd": {"kind": "sgd", "momentum": False},
    "momentum": {"kind": "sgd"},
    "nesterov": {"kind": "sgd", "nesterov": True},
    "lars": {"kind": "lars", "adapt": True, "eta": 0.1, "eps": 1e-6},
}


def scalars(step: int) -> dict[str, Value]:
    """Learning rate, momentum and decay of a step, as the trainer sends them."""
    rate = Fraction(1, 100 * (step + 1))
    return {"rate/0": scalar(rate), "momentum/0": scalar(Fraction(9, 10)), "decay/0": scalar(Fraction(1, 1000))}


def training(name: str, group: str, formats: Formats, batch: int) -> tuple[Graph, dict[str, Value], tuple[int, ...]]:
    network = NETWORKS[name]()
    forward = network.graph()
    channels = forward.nodes[0].shape[1]
    groups = (ParameterGroup(parameters=tuple(network.parameters), **GROUPS[group]),)  # type: ignore[arg-type]
    normalisation = tuple(n[:channels] for n in NORMALISATION)
    graph = training_graph(forward, Loss("cross_entropy", 0.1), groups, formats, batch, normalisation)  # type: ignore[arg-type]
    return graph, initial_state(graph, network.parameters), forward.nodes[0].shape[1:]


def follow(simulator: Simulator, graph: Graph, state: dict[str, Value], shape: tuple[int, ...], steps: int) -> None:
    """Run some steps in both, each going on from its own state."""
    batch = graph.nodes[graph.outputs["logits"]].shape[0]
    loaded = simulator.load(state)
    for step in range(steps):
        inputs = byte_batch(shape, batch, seed=step) | scalars(step)
        outputs, updates, _ = interpret(graph, state, inputs)
        found, changed = simulator.run(loaded, inputs)
        assert_equal({name: to_host(value) for name, value in found.items()}, outputs)
        assert_equal({name: to_host(value) for name, value in changed.items()}, updates)
        simulator.recycle([loaded[name] for name in changed])
        state, loaded = {**state, **updates}, {**loaded, **changed}


@pytest.mark.parametrize("vector_path", VECTOR_PATHS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("name", NETWORKS)
def test_training_steps(name: str, group: str, vector_path: str) -> None:
    graph, state, shape = training(name, group, Formats(group_size=3 if group == "sgd" else 1), 7)
    follow(Simulator(graph, vector_path=vector_path), graph, state, shape, 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_steps_with_gathered_transfers(name: str) -> None:
    """The order of steps for a device whose values the host should seldom wait for, here with the CPU as the device."""
    graph, state, shape = training(name, "lars", Formats(), 5)
    simulator = Simulator(graph, vector_path="torch")
    simulator.steps = compile_graph(graph, simulator.device, simulator.backend, gather=True)
    waits = sum(step.op == "transfer" for step in simulator.steps)
    norms = sum(len(graph.find(op)) for op in ("inverse_deviation", "gamma_gradient", "running_gamma_gradient"))
    assert waits <= norms + 3, "parameters at the start, BatchNorm's sums, LARS's norms, extents at the end"
    follow(simulator, graph, state, shape, 3)


@pytest.mark.parametrize("vector_path", VECTOR_PATHS)
@pytest.mark.parametrize("name", NETWORKS)
def test_evaluation(name: str, vector_path: str) -> None:
    graph, state, shape = training(name, "momentum", Formats(), 6)
    for step in range(2):  # exponents that fit
        _, updates, _ = interpret(graph, state, byte_batch(shape, 6, seed=step) | scalars(step))
        state |= updates
    network = NETWORKS[name]()
    normalisation = tuple(n[: shape[0]] for n in NORMALISATION)
    evaluation = evaluation_graph(network.graph(), Loss("cross_entropy"), Formats(), 3, normalisation)  # type: ignore[arg-type]
    follow(Simulator(evaluation, vector_path=vector_path), evaluation, state, shape, 2)


@pytest.mark.parametrize("vector_path", VECTOR_PATHS)
@pytest.mark.parametrize("formats", [Formats(16, 16, 16), Formats(8, 8, 8), Formats(12, 10, 14, 2)])
def test_formats(formats: Formats, vector_path: str) -> None:
    graph, state, shape = training("resnet", "nesterov", formats, 5)
    follow(Simulator(graph, vector_path=vector_path), graph, state, shape, 3)


def test_errors_name_what_is_missing() -> None:
    graph, state, shape = training("lenet", "sgd", Formats(), 4)
    simulator = Simulator(graph)
    inputs = byte_batch(shape, 4) | scalars(0)
    with pytest.raises(GraphError, match="input 'labels' was not given"):
        simulator.run(simulator.load(state), {k: v for k, v in inputs.items() if k != "labels"})
    with pytest.raises(GraphError, match=r"input 'labels' has shape \[3\], expected \[4\]"):
        simulator.run(simulator.load(state), inputs | {"labels": Value(np.zeros(3, dtype=np.int64))})
    with pytest.raises(GraphError, match=r"state 'weights/fc1\.bias' was not given"):
        simulator.run(simulator.load({k: v for k, v in state.items() if k != "weights/fc1.bias"}), inputs)


def test_unknown_op_is_found_when_compiling() -> None:
    graph = Graph((Node("input", (), {"name": "x"}, (2,)), Node("swish", (0,), {}, (2,))), {"y": 1})
    with pytest.raises(GraphError, match="no implementation of 'swish'"):
        Simulator(graph)


def test_unknown_vector_path() -> None:
    graph, _, _ = training("lenet", "sgd", Formats(), 2)
    with pytest.raises(RunError, match="no vector path 'sse9'"):
        Simulator(graph, vector_path="sse9")


@pytest.mark.parametrize("group", GROUPS)
def test_inner_values_can_be_looked_at(group: str) -> None:
    """Outputs in the middle of what is usually fused: the step gives them, and everything else stays the same."""
    graph, state, shape = training("lenet", group, Formats(), 3)
    inner = ("direction", "momentum", "saturate32", "requantise", "convolution", "add_bias", "sum_groups")
    looked_at = {f"inner/{i}": i for op in inner for i in graph.find(op)}
    graph = replace(graph, outputs={**graph.outputs, **looked_at})
    follow(Simulator(graph), graph, state, shape, 2)


def test_a_linear_layer_with_more_outputs_than_a_product_had() -> None:
    """Its bias is added to all outputs of a piece of the batch at once, on every path."""
    forward = capture(nn.Sequential(nn.Linear(600, 300)), (600,))
    graph = layers_graph(forward, (ParameterGroup("sgd", ("0.weight", "0.bias")),), Formats(), 4)
    generator = np.random.default_rng(0)
    parameters = {"0.weight": generator.normal(0, 0.1, (300, 600)), "0.bias": generator.normal(0, 1, 300)}
    state = initial_state(graph, {name: value.astype(np.float32) for name, value in parameters.items()})
    inputs = scalars(0)
    for node in graph.nodes:
        if node.op == "input" and node.format.kind == "int32":
            name = str(node.attributes["name"])
            inputs[name] = Value(generator.integers(-(1 << 18), 1 << 18, node.shape), -16)
    expected = interpret(graph, state, inputs)[:2]
    for path in ("torch", None):
        simulator = Simulator(graph, vector_path=path)
        found = simulator.run(simulator.load(state), inputs)
        for mine, theirs in zip(found, expected, strict=True):
            for name, value in theirs.items():
                host = to_host(mine[name])
                assert host.exponent == value.exponent, (path, name)
                assert np.array_equal(host.mantissa, value.mantissa), (path, name)
