"""The partition never changes the result: one worker, several, uneven ones, and workers without images."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spindl.graph.graph import Graph, GraphError
from spindl.graph.interpreter import interpret, interpret_split
from spindl.graph.operations import OPERATIONS, Value
from spindl.train import Formats, Loss, ParameterGroup, evaluation_graph, initial_state, training_graph
from spindl.train.optimizers import scalar
from tests.graph.cases import CASES, Case, cases
from tests.networks import Layers, byte_batch, small_lenet, small_resnet
from tests.train.test_gradients import mixed

NORMALISATION = ((0.5,) * 3, (0.25,) * 3)


def with_dropout(seed: int = 0) -> Layers:
    n = Layers((3, 6, 6), seed)
    x = n.add("dropout", n.add("relu", n.convolution(0, 4, (3, 3), name="conv"), name="relu"), name="drop1", p=0.25)
    x = n.batch_norm(x, name="bn")
    x = n.linear(n.add("reshape", x, name="flat", shape=(64,)), 20, name="fc1")
    n.linear(n.add("dropout", n.add("tanh", x, name="tanh"), name="drop2", p=0.5), 10, name="fc2")
    return n


NETWORKS = {"lenet": small_lenet, "resnet": small_resnet, "mixed": mixed, "dropout": with_dropout}
SPLITS = {
    8: [(8,), (4, 4), (2, 2, 2, 2), (1,) * 8, (0, 5, 0, 3)],
    9: [(1, 2, 1, 1, 1, 2, 1), (9,), (4, 5)],
    1: [(1,), (0, 1)],
}


def same(a: dict[str, Value], b: dict[str, Value]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].exponent == b[k].exponent and np.array_equal(a[k].mantissa, b[k].mantissa) for k in a
    )


def prepared(
    name: str, batch: int, formats: Formats | None = None, **group: object
) -> tuple[Graph, dict[str, Value], Layers]:
    network = NETWORKS[name]()
    shape = network.nodes[0].shape[1:]
    keys = tuple(key for key in network.parameters if "running" not in key)
    groups = (ParameterGroup(parameters=keys, **{"kind": "sgd", **group}),)  # type: ignore[arg-type]
    normalisation = (NORMALISATION[0][: shape[0]], NORMALISATION[1][: shape[0]])
    graph = training_graph(
        network.graph(), Loss("cross_entropy", 0.1), groups, formats or Formats(), batch, normalisation
    )
    return graph, initial_state(graph, network.parameters), network


def scalars() -> dict[str, Value]:
    return {
        "rate/0": scalar(Fraction(1, 80)),
        "decay/0": scalar(Fraction(1, 250)),
        "momentum/0": scalar(Fraction(9, 10)),
    }


@pytest.mark.parametrize("batch", SPLITS)
@pytest.mark.parametrize("name", NETWORKS)
def test_any_split_gives_the_same_steps(name: str, batch: int) -> None:
    graph, state, network = prepared(name, batch)
    for step in range(3):
        inputs = byte_batch(network.nodes[0].shape[1:], batch, seed=step) | scalars()
        outputs, updates, _ = interpret(graph, state, inputs)
        assert any(np.any(v.mantissa) for k, v in updates.items() if k.startswith("velocity/"))
        for parts in SPLITS[batch]:
            split_outputs, split_updates = interpret_split(graph, state, inputs, parts)
            assert same(outputs, split_outputs) and same(updates, split_updates), (step, parts)
        state |= updates


@pytest.mark.parametrize(("size", "parts"), [(2, (4, 2, 3)), (3, (3, 6)), (3, (6, 0, 3)), (4, (8, 1)), (9, (9,))])
def test_gradient_groups_may_move_but_not_break(size: int, parts: tuple[int, ...]) -> None:
    graph, state, network = prepared("resnet", 9, Formats(group_size=size))
    inputs = byte_batch(network.nodes[0].shape[1:], 9) | scalars()
    outputs, updates, _ = interpret(graph, state, inputs)
    found = interpret_split(graph, state, inputs, parts)
    assert same(outputs, found[0]) and same(updates, found[1])
    with pytest.raises(GraphError, match="cut a gradient group"):
        interpret_split(graph, state, inputs, (1, 8))


def test_group_size_is_part_of_the_meaning() -> None:
    results = []
    for size in (1, 3):
        graph, state, network = prepared("lenet", 9, Formats(group_size=size))
        for _ in range(4):
            _, updates, _ = interpret(graph, state, byte_batch(network.nodes[0].shape[1:], 9) | scalars())
            state |= updates
        results.append(state)
    assert not same(*results)


@pytest.mark.parametrize("kind", ["nesterov", "lars"])
def test_other_optimisers(kind: str) -> None:
    group = {"nesterov": True} if kind == "nesterov" else {"kind": "lars", "adapt": True, "eta": 0.1}
    graph, state, network = prepared("resnet", 6, **group)
    inputs = byte_batch(network.nodes[0].shape[1:], 6) | scalars()
    outputs, updates, _ = interpret(graph, state, inputs)
    found = interpret_split(graph, state, inputs, (1, 3, 2))
    assert same(outputs, found[0]) and same(updates, found[1])


def test_evaluation_splits_too() -> None:
    network = small_resnet()
    graph = evaluation_graph(network.graph(), Loss("cross_entropy"), Formats(), 9, NORMALISATION)
    state, inputs = initial_state(graph, network.parameters), byte_batch((3, 8, 8), 9)
    outputs, updates, _ = interpret(graph, state, inputs)
    assert not updates
    assert same(outputs, interpret_split(graph, state, inputs, (4, 0, 5))[0])


BATCHED = sorted(op for op in CASES if OPERATIONS[op].combine in ("batch", "sum", "max"))
UNSPLIT_INPUTS = {"affine": (0,), "affine_pair": (0, 2), "dropout": (0, 1), "add_bias": (0,), "requantise": (0,)}
FIRST_ONLY = {"saturation", "convolution", "convolution_input_gradient"}


def batched_inputs(case: Case) -> tuple[int, ...]:
    return (0,) if case.op in FIRST_ONLY else UNSPLIT_INPUTS.get(case.op, tuple(range(len(case.inputs))))


@pytest.mark.parametrize("op", BATCHED)
def test_every_op_combines_as_declared(op: str) -> None:
    """A single op applied to image 0 and to the rest, then combined as its table entry says, is the op on the whole."""
    tried = 0
    for case in cases(op):
        split = batched_inputs(case)
        images = {len(case.inputs[i][1].mantissa) for i in split if np.ndim(case.inputs[i][1].mantissa)}
        if len(images) != 1 or case.attributes.get("whole") or max(images) < 1:
            continue
        tried += 1
        whole = case.run()
        size = case.attributes.get("group_size", 1)
        parts = []
        for share in (slice(0, size), slice(size, None)):
            given = [
                (format, Value(value.mantissa[share], value.exponent) if i in split else value)
                for i, (format, value) in enumerate(case.inputs)
            ]
            parts.append(OPERATIONS[op].meaning(Case(op, tuple(given), case.attributes).node(), *(v for _, v in given)))
        first, second = (np.asarray(part.mantissa) for part in parts)
        combine = OPERATIONS[op].combine
        total = (
            np.concatenate([first, second])
            if combine == "batch"
            else first + second
            if combine == "sum"
            else np.maximum(first, second)
        )
        assert {part.exponent for part in parts} == {whole.exponent}
        assert np.array_equal(total, whole.mantissa)
    assert tried > 0
