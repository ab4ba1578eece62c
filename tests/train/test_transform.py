"""From a forward graph to training and evaluation graphs: who is updated, what is refused, and the first State."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from spindl.graph.graph import Graph, GraphError
from spindl.graph.interpreter import interpret
from spindl.graph.operations import INT32, Value
from spindl.model.evaluate import evaluate
from spindl.train import (
    RULES,
    Formats,
    Loss,
    ParameterGroup,
    TrainingError,
    evaluation_graph,
    float_parameters,
    initial_state,
    read_loss,
    training_graph,
    with_frozen,
)
from spindl.train.optimizers import scalar
from spindl.train.state import fixed_point, master_weights
from tests.networks import Layers, byte_batch, small_lenet, small_resnet
from tests.train.test_gradients import overlapping

BYTES = ((0.5,), (0.25,))
COLOURS = ((0.5,) * 3, (0.25,) * 3)


def sgd(network: Layers, *keys: str) -> ParameterGroup:
    return ParameterGroup("sgd", keys or tuple(k for k in network.parameters if "running" not in k), momentum=False)


def scalars(groups: int = 1) -> dict[str, Value]:
    named = {"rate": Fraction(1, 64), "decay": Fraction(0), "momentum": Fraction(1, 2)}
    return {f"{name}/{g}": scalar(value) for name, value in named.items() for g in range(groups)}


def trained(graph: Graph, network: Layers, inputs: dict[str, Value], steps: int = 3) -> dict[str, Value]:
    state = initial_state(graph, network.parameters)
    for _ in range(steps):
        state |= interpret(graph, state, inputs)[1]
    return state


def equal(a: Value, b: Value) -> bool:
    return a.exponent == b.exponent and np.array_equal(a.mantissa, b.mantissa)


# --- who is updated ------------------------------------------------------------------------------------------------


def test_frozen_parameters_stay_and_cost_nothing() -> None:
    network = small_lenet()
    frozen = ("conv1.weight", "conv1.bias")
    loss, formats = Loss("cross_entropy"), Formats()
    whole = training_graph(network.graph(), loss, [sgd(network)], formats, 4, BYTES)
    part = training_graph(with_frozen(network.graph(), frozen), loss, [sgd(network)], formats, 4, BYTES)
    assert {f"weights/{k}" for k in frozen} == {
        k for k in whole.updates if k.startswith("weights/")
    } - part.updates.keys()
    assert len(part.find("convolution_weight_gradient")) == len(whole.find("convolution_weight_gradient")) - 1
    assert len(part.find("max_pool_gradient")) == 0  # nothing before it is trained
    inputs = byte_batch((1, 8, 8), 4) | scalars()
    state, start = initial_state(part, network.parameters), initial_state(part, network.parameters)
    first, second = (
        interpret(part, state, inputs)[1],
        interpret(whole, initial_state(whole, network.parameters), inputs)[1],
    )
    assert all(equal(value, second[name]) for name, value in first.items())
    assert all(equal(start[f"weights/{k}"], trained(part, network, inputs)[f"weights/{k}"]) for k in frozen)


def test_parameters_outside_every_group_stay() -> None:
    network = small_lenet()
    graph = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network, "fc2.weight")], Formats(), 4, BYTES)
    assert [k for k in graph.updates if k.startswith("weights/")] == ["weights/fc2.weight"]


def test_groups_have_their_own_scalars() -> None:
    network = small_lenet()
    groups = [sgd(network, "fc1.weight"), replace(sgd(network, "fc2.weight"), momentum=True)]
    graph = training_graph(network.graph(), Loss("cross_entropy"), groups, Formats(), 4, BYTES)
    inputs = byte_batch((1, 8, 8), 4)
    names = {str(n.attributes["name"]) for n in graph.nodes if n.op == "input"}
    assert names == {"images", "labels", "rate/0", "decay/0", "rate/1", "decay/1", "momentum/1"}
    state = initial_state(graph, network.parameters)
    still = scalars(2) | {"rate/0": scalar(Fraction(0))}
    updates = interpret(graph, state, inputs | still)[1]
    assert equal(updates["weights/fc1.weight"], state["weights/fc1.weight"])
    assert not equal(updates["weights/fc2.weight"], state["weights/fc2.weight"])


def test_shared_parameter_gets_the_sum_of_its_uses() -> None:
    network = overlapping()
    graph = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 4, COLOURS)
    update = next(i for i in graph.find("direction") if graph.nodes[i].name == "shared.weight")
    assert len(graph.nodes[update].inputs) == 3 + 2
    assert len([k for k in graph.updates if k.startswith("site/shared.")]) >= 2


def test_one_convolution_used_seven_times() -> None:
    n = Layers((2, 4, 4))
    x = n.convolution(0, 2, (1, 1), name="again")
    for i in range(6):
        x = n.add(
            "convolution",
            n.add("relu", x, name=f"relu{i}"),
            *n.nodes[x].inputs[1:],
            name=f"use{i}",
            **n.nodes[x].attributes,
        )
    n.linear(n.add("reshape", x, name="flat", shape=(32,)), 10, name="fc")
    graph = training_graph(n.graph(), Loss("cross_entropy"), [sgd(n)], Formats(), 4, (COLOURS[0][:2], COLOURS[1][:2]))
    assert len(graph.find("sum_groups")) == 7 + 1
    start = initial_state(graph, n.parameters)
    end = trained(graph, n, byte_batch((2, 4, 4), 4) | scalars())
    assert not equal(start["weights/again.weight"], end["weights/again.weight"])


# --- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("cross_entropy", Loss("cross_entropy")),
        ("mse", Loss("squared_error")),
        (torch.nn.functional.binary_cross_entropy_with_logits, Loss("binary_cross_entropy")),
        (torch.nn.CrossEntropyLoss(label_smoothing=0.2), Loss("cross_entropy", 0.2)),
        (torch.nn.BCELoss(), Loss("binary_cross_entropy", probabilities=True)),
        (Loss("squared_error"), Loss("squared_error")),
    ],
)
def test_losses_are_read(loss: Any, expected: Loss) -> None:
    assert read_loss(loss) == expected


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("hinge", "the loss hinge"),
        (torch.nn.L1Loss(), "the loss L1Loss"),
        (torch.nn.CrossEntropyLoss(reduction="sum"), "reduction=sum"),
        (torch.nn.CrossEntropyLoss(weight=torch.ones(3)), "weight="),
        (torch.nn.CrossEntropyLoss(ignore_index=3), "ignore_index=3"),
        (torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(3)), "pos_weight="),
    ],
)
def test_losses_without_a_meaning(loss: Any, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        read_loss(loss)


def features(seed: int, shape: tuple[int, ...]) -> Value:
    """Int32 with 16 fraction bits, of magnitude about one."""
    return Value(np.random.default_rng(seed).normal(0, 2**16, shape).astype(np.int64), -16)


@pytest.mark.parametrize(
    ("kind", "probabilities"),
    [("squared_error", False), ("binary_cross_entropy", False), ("binary_cross_entropy", True)],
)
def test_regression_from_features(kind: Any, probabilities: bool) -> None:
    """Int32 features in, targets with 16 fraction bits: the weight gradients are those of float64."""
    n = Layers((6,), 3)
    x = n.add("tanh", n.linear(0, 8, name="fc1"), name="tanh")
    x = n.linear(x, 3, name="fc2")
    if probabilities:
        n.add("sigmoid", x, name="sigmoid")
    graph = training_graph(n.graph(), Loss(kind, probabilities=probabilities), [sgd(n)], Formats(16, 16, 16), 10)
    targets = Value(np.random.default_rng(1).integers(0, 2**16, (10, 3), endpoint=True), -16)
    inputs = {"images": features(2, (10, 6)), "targets": targets, **scalars()}
    state = initial_state(graph, n.parameters)
    for _ in range(5):
        state |= {k: v for k, v in interpret(graph, state, inputs)[1].items() if k.startswith("site/")}
    outputs, _, kept = interpret(graph, state, inputs, keep=graph.find("saturate32"))

    parameters = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in n.parameters.items()}
    logits = evaluate(n.graph(), parameters, torch.tensor(inputs["images"].mantissa / 2.0**16), training=True)
    t = torch.tensor(targets.mantissa / 2.0**16)
    z = logits[len(n.nodes) - 2] if probabilities else logits[-1]
    function = {
        "squared_error": torch.nn.functional.mse_loss,
        "binary_cross_entropy": torch.nn.functional.binary_cross_entropy_with_logits,
    }[kind]
    loss = function(z, t, reduction="none").mean(dim=1).sum()
    loss.backward()
    assert int(outputs["loss"].mantissa) / 2**16 == pytest.approx(float(loss.detach()), rel=5e-3)
    for index, value in kept.items():
        expected = parameters[graph.nodes[index].name].grad
        assert expected is not None
        found = np.ldexp(value.mantissa.astype(float), value.exponent)
        assert np.linalg.norm(found - expected.numpy()) < 2e-3 * np.linalg.norm(expected.numpy())


# --- refusals ------------------------------------------------------------------------------------------------------


def normalised(**attributes: Any) -> Layers:
    n = Layers((3, 1, 1))
    x = n.batch_norm(0, name="bn")
    n.nodes[x] = replace(n.nodes[x], attributes={**n.nodes[x].attributes, **attributes})
    n.linear(n.add("reshape", x, name="flat", shape=(3,)), 10, name="fc")
    return n


def dropping(p: float) -> Layers:
    n = Layers((3, 2, 2))
    n.linear(n.add("reshape", n.add("dropout", 0, name="drop", p=p), name="flat", shape=(12,)), 10, name="fc")
    return n


@pytest.mark.parametrize(
    ("network", "batch", "message", "where"),
    [
        (normalised(), 1, "single value per channel", "bn"),
        (normalised(eps=0.0), 4, "eps=0.0", "bn"),
        (normalised(eps=2.0), 4, "eps=2.0", "bn"),
        (dropping(1.0), 4, "p=1.0 leaves nothing", "drop"),
        (dropping(0.99999), 4, "leaves nothing", "drop"),
    ],
)
def test_layers_that_cannot_be_trained(network: Layers, batch: int, message: str, where: str) -> None:
    with pytest.raises(TrainingError, match=message) as caught:
        training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), batch, COLOURS)
    assert caught.value.where == where and caught.value.remedy


def test_batch_norm_over_two_values_trains() -> None:
    network = normalised()
    graph = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 2, COLOURS)
    state = trained(graph, network, byte_batch((3, 1, 1), 2) | scalars())
    assert all(np.abs(v.mantissa).max() < 2**31 for k, v in state.items() if k.startswith("weights/"))


def test_batch_norm_of_identical_images_trains() -> None:
    """Every channel is constant: the normalised values are beta, and nothing divides by zero."""
    network = normalised()
    graph = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 4, COLOURS)
    inputs = byte_batch((3, 1, 1), 4) | scalars()
    inputs["images"] = Value(np.full((4, 3, 1, 1), 77))
    trained(graph, network, inputs, 6)


def test_too_many_gradient_groups() -> None:
    network = dropping(0.5)
    with pytest.raises(TrainingError, match="has 70000 gradient groups; an int32 sum holds 65538"):
        training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 70000, COLOURS)
    training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(group_size=2), 70000, COLOURS)
    training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 2**15, COLOURS)


@pytest.mark.parametrize(
    ("mean", "deviation", "message"),
    [
        ((0.5,), (0.25,), "normalisation for 1 channels"),
        ((0.5,) * 3, (0.25, 0.25, 0.0), "normalisation with mean"),
        ((0.5,) * 3, (0.25, 0.25, float("nan")), "normalisation with mean"),
        ((float("inf"), 0.0, 0.0), (0.25,) * 3, "normalisation with mean"),
    ],
)
def test_bad_normalisation(mean: Any, deviation: Any, message: str) -> None:
    network = small_resnet()
    with pytest.raises(TrainingError, match=message):
        training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 2, (mean, deviation))


def test_other_refusals() -> None:
    network = small_lenet()
    with pytest.raises(TrainingError, match="needs logits of shape"):
        n = Layers((3, 2, 2))
        n.add("relu", 0, name="relu")
        training_graph(n.graph(), Loss("cross_entropy"), [], Formats(), 2, COLOURS)
    with pytest.raises(TrainingError, match="needs a sigmoid"):
        training_graph(network.graph(), read_loss("bce"), [sgd(network)], Formats(), 2, BYTES)
    for bad in ({"activations": 7}, {"weights": 17}, {"gradients": 0}, {"group_size": 0}):
        with pytest.raises(TrainingError):
            Formats(**bad)
    with pytest.raises(TrainingError, match="both as a weight and as a bias"):
        n = Layers((3,))
        w = n.parameter("w", np.zeros((3, 3)))
        n.parameter("v", np.zeros(3))
        n.add("linear", n.add("linear", 0, w, name="a"), w, w + 1, name="b")
        n.nodes[-1] = replace(n.nodes[-1], inputs=(*n.nodes[-1].inputs[:2], w))
        training_graph(n.graph(), Loss("squared_error"), [], Formats(), 2)


def test_a_layer_without_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "max_pool")
    with pytest.raises(GraphError, match="'max_pool' has no rule; known: add, average_pool"):
        training_graph(small_lenet().graph(), Loss("cross_entropy"), [], Formats(), 2, BYTES)


# --- the input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mean", "deviation"), [(0.5, 0.25), (0.485, 0.229), (-0.3, 3.0), (0.0, 1.0)])
def test_bytes_are_normalised(mean: float, deviation: float) -> None:
    n = Layers((1, 16, 16))
    n.linear(n.add("reshape", 0, name="flat", shape=(256,)), 10, name="fc")
    graph = evaluation_graph(n.graph(), None, Formats(16, 16, 16), 1, ((mean,), (deviation,)))
    index = graph.find("affine")[0]
    images = Value(np.arange(256).reshape(1, 1, 16, 16))
    _, _, kept = interpret(graph, initial_state(graph, n.parameters), {"images": images}, keep=[index])
    found = np.ldexp(kept[index].mantissa.astype(float), kept[index].exponent)
    expected = (images.mantissa / 255 - mean) / deviation
    assert np.abs(found - expected).max() <= (255 + 1) * 2.0**-25  # scale and offset are rounded to 24 fraction bits


# --- state ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1.0, 1e-3, 0.99999, 100.0, 1e-12, 1e-30, 0.0, 1e8])
def test_master_weights(scale: float) -> None:
    values = (np.random.default_rng(0).uniform(-1, 1, 1000) * scale).astype(np.float32)
    found = master_weights(values)
    assert found.exponent >= -60
    assert np.abs(np.ldexp(found.mantissa.astype(float), found.exponent) - values).max() <= 2.0 ** (found.exponent - 1)
    if scale >= 1e-8:  # a free bit above the largest
        assert 2**29 <= np.abs(found.mantissa).max() <= 2**30


def test_fixed_point() -> None:
    found = fixed_point(np.array([15.98, -15.98, 0.0, 2.0**-28, -(2.0**-28)]), "bn.bias")
    assert found.exponent == -27 and np.abs(found.mantissa).max() < 2**31
    assert found.mantissa[2:].tolist() == [0, 1, 0]  # half up
    with pytest.raises(TrainingError, match="magnitude 16") as caught:
        fixed_point(np.array([16.0]), "bn.bias")
    assert caught.value.where == "bn.bias"


def test_initial_state_and_back() -> None:
    network = small_resnet()
    graph = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 2, COLOURS)
    state = initial_state(graph, network.parameters)
    back = float_parameters(state)
    assert back.keys() == network.parameters.keys()
    for key, values in network.parameters.items():
        assert np.abs(back[key] - values).max() <= 2.0**-24 * max(1.0, np.abs(values).max())
    broken = {**network.parameters, "fc.weight": np.full((10, 8), np.nan)}
    for parameters, message in [(broken, "80 values are NaN"), ({}, "no such entry")]:
        with pytest.raises(TrainingError, match=message):
            initial_state(graph, parameters)


def test_evaluation_needs_nothing_but_the_state_of_training() -> None:
    network = small_resnet()
    training = training_graph(network.graph(), Loss("cross_entropy"), [sgd(network)], Formats(), 4, COLOURS)
    evaluation = evaluation_graph(network.graph(), Loss("cross_entropy"), Formats(), 7, COLOURS)
    names = [{str(n.attributes["name"]) for n in g.nodes if n.op == "state"} for g in (evaluation, training)]
    assert names[0] <= names[1]
    assert not evaluation.updates
    state = trained(training, network, byte_batch((3, 8, 8), 4) | scalars(), 6)
    outputs = interpret(evaluation, state, byte_batch((3, 8, 8), 7))[0]
    assert outputs["logits"].mantissa.shape == (7, 10)
    assert all(node.format != INT32 or node.op == "state" for node in evaluation.nodes)
