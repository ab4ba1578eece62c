"""LeNet-5 and ResNet-8 as users train them: every executor, every vector path and every split gives the same bits."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import pytest
import torch

from spindl.fit import module_arrays
from spindl.graph import Graph
from spindl.graph.interpreter import interpret, interpret_split
from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.run.sim import Simulator
from spindl.run.sim.native import available_paths
from spindl.run.sim.values import to_host
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar
from tests.networks import byte_batch

BATCH = 8
NETWORKS = {"lenet5": (1, 28, 28), "resnet8": (3, 32, 32)}
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"))


@cache
def prepared(name: str) -> tuple[Graph, dict[str, Value]]:
    """The training graph of a built-in network with momentum and weight decay, and its initial State."""
    shape = NETWORKS[name]
    torch.manual_seed(0)
    module, _ = load_model(name, classes=10, input_shape=shape)
    keys = tuple(key for key, _ in module.named_parameters())
    normalisation = ((0.5,) * shape[0], (0.25,) * shape[0])
    groups = (ParameterGroup("sgd", keys, nesterov=True),)
    graph = training_graph(capture(module, shape), Loss("cross_entropy", 0.1), groups, Formats(), BATCH, normalisation)
    return graph, initial_state(graph, module_arrays(module))


def inputs(name: str, step: int) -> dict[str, Value]:
    scalars = {"rate/0": Fraction(1, 50 * BATCH), "momentum/0": Fraction(9, 10), "decay/0": Fraction(BATCH, 1000)}
    return byte_batch(NETWORKS[name], BATCH, seed=step) | {key: scalar(value) for key, value in scalars.items()}


@cache
def defined(name: str) -> list[tuple[dict[str, Value], dict[str, Value]]]:
    """Two steps of the interpreter: outputs and updates of each."""
    graph, state = prepared(name)
    steps = []
    for step in range(2):
        outputs, updates, _ = interpret(graph, state, inputs(name, step))
        state = state | updates
        steps.append((outputs, updates))
    return steps


def assert_same(found: dict[str, Value], expected: dict[str, Value]) -> None:
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].exponent == value.exponent, key
        assert (found[key].mantissa == value.mantissa).all(), key


@pytest.mark.parametrize("path", [*available_paths(), CUDA])
@pytest.mark.parametrize("name", NETWORKS)
def test_simulator_is_the_interpreter(name: str, path: str) -> None:
    graph, state = prepared(name)
    simulator = Simulator(graph, device="cuda") if path == "cuda" else Simulator(graph, vector_path=path)
    loaded = simulator.load(state)
    for step, (outputs, updates) in enumerate(defined(name)):
        found, changed = simulator.run(loaded, inputs(name, step))
        assert_same({key: to_host(value) for key, value in found.items()}, outputs)
        assert_same({key: to_host(value) for key, value in changed.items()}, updates)
        loaded = {**loaded, **changed}


@pytest.mark.parametrize("parts", [(4, 4), (2, 2, 2, 2), (2, 1, 1, 1, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_split_changes_nothing(name: str, parts: tuple[int, ...]) -> None:
    graph, state = prepared(name)
    outputs, updates = interpret_split(graph, state, inputs(name, 0), parts)
    assert_same(outputs, defined(name)[0][0])
    assert_same(updates, defined(name)[0][1])
