"""The integer optimisers against PyTorch's in float64, over 20 steps; and what an optimiser object means here."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from spindl.graph.graph import Graph
from spindl.graph.interpreter import interpret
from spindl.graph.operations import INT32, Value, check_graph
from spindl.graph.ops.update import MOST_GRADIENTS
from spindl.train import LARS, ParameterGroup, TrainingError, read_optimizer, step_scalars
from spindl.train.builder import Builder
from spindl.train.optimizers import scalar
from spindl.train.state import fixed_point, master_weights
from spindl.train.update import append_update

STEPS = 20
SHAPE = (6, 5)
EXACT = {"lr": 2.0**-4, "momentum": 0.875, "weight_decay": 2.0**-6}
"""Hyper-parameters that 15 bits hold: what is left is the rounding of weights and momentum."""
ORDINARY = {"lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4}


def update_graph(group: ParameterGroup, batch: int, uses: int = 1, role: str = "weights") -> Graph:
    """One parameter 'w' and its update; its gradients (one per use) are inputs."""
    b = Builder(True, batch)
    master = b.state("weights/w", SHAPE, INT32, role)
    gradients = [b.input(f"gradient/{i}", SHAPE, INT32, batched=False) for i in range(uses)]
    append_update(b, group, 0, "w", master, gradients, batch)
    graph = b.graph()
    check_graph(graph)
    return graph


def group_of(optimizer: Any, **changes: Any) -> ParameterGroup:
    module = torch.nn.Module()
    module.w = torch.nn.Parameter(optimizer.param_groups[0]["params"][0])
    optimizer.param_groups[0]["params"] = [module.w]
    (group,) = read_optimizer(optimizer, module)
    return group


class Race:
    """The same gradients to a torch optimiser in float64 and to the integer update."""

    def __init__(
        self, make: Callable[[list[torch.nn.Parameter]], Any], *, batch: int, uses: int = 1, role: str = "weights"
    ):
        self.generator = np.random.default_rng(11)
        start = self.generator.normal(0, 0.3, SHAPE).astype(np.float32)
        self.parameter = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
        self.optimizer = make([self.parameter])
        self.batch, self.previous, self.uses = batch, None, uses
        self.graph = update_graph(group_of(self.optimizer), batch, uses, role)
        self.parameter = self.optimizer.param_groups[0]["params"][0]
        self.start = start.astype(float)
        self.state: dict[str, Value] = {
            "weights/w": (fixed_point(start, "w") if role == "fixed" else master_weights(start))
        }
        for node in self.graph.nodes:
            name = node.attributes.get("name", "")
            if node.op == "state" and name.startswith("velocity/"):
                self.state[name] = Value(np.zeros(SHAPE, dtype=np.int64))
            elif node.op == "state" and name.startswith("site/"):
                self.state[name] = Value(np.full(16, -32768), -12)

    def gradients(self) -> list[Value]:
        scale = 2.0 ** self.generator.integers(16, 20)
        return [Value(self.generator.normal(0, scale, SHAPE).astype(np.int64), -22 + i % 4) for i in range(self.uses)]

    def step(self, batch: int | None = None) -> None:
        batch = batch if batch is not None else self.batch
        sums = self.gradients()
        inputs = {f"gradient/{i}": v for i, v in enumerate(sums)}
        inputs |= step_scalars(self.optimizer, batch, self.previous)
        if self.previous is None:  # dry passes: only the exponents follow
            for _ in range(4):
                _, updates, _ = interpret(self.graph, self.state, inputs)
                self.state |= {k: v for k, v in updates.items() if k.startswith("site/")}
        _, updates, _ = interpret(self.graph, self.state, inputs)
        self.state |= updates
        total = sum(np.ldexp(v.mantissa.astype(float), v.exponent) for v in sums)
        self.parameter.grad = torch.tensor(total / batch)
        self.optimizer.step()
        self.previous = batch  # type: ignore[assignment]

    def error(self) -> float:
        """Distance of the two weights, relative to the way they have come."""
        weights = self.state["weights/w"]
        found = np.ldexp(weights.mantissa.astype(float), weights.exponent)
        expected = self.parameter.detach().numpy()
        return float(np.linalg.norm(found - expected) / np.linalg.norm(expected - self.start))


@pytest.mark.parametrize(
    "options",
    [{"momentum": 0.0}, {"weight_decay": 0.0}, {}, {"nesterov": True}],
    ids=["plain", "momentum", "decay", "nesterov"],
)
@pytest.mark.parametrize("role", ["weights", "fixed"])
def test_sgd(options: dict[str, Any], role: str) -> None:
    exact = Race(lambda p: torch.optim.SGD(p, **{**EXACT, **options}), batch=32, role=role)
    ordinary = Race(lambda p: torch.optim.SGD(p, **{**ORDINARY, **options}), batch=48, role=role)
    for _ in range(STEPS):
        exact.step()
        ordinary.step()
    assert exact.error() < 4e-6
    assert ordinary.error() < 5e-4  # 15-bit scalars: 2^-16 of each, times 10 for a momentum of 0.9


@pytest.mark.parametrize("uses", [2, 5, 6, 13])
def test_shared_parameters_add_their_gradients(uses: int) -> None:
    race = Race(lambda p: torch.optim.SGD(p, **EXACT), batch=32, uses=uses)
    for _ in range(STEPS):
        race.step()
    assert race.error() < 1e-5
    assert max(len(race.graph.nodes[i].inputs) for i in race.graph.find("direction")) <= 3 + MOST_GRADIENTS


def test_changing_learning_rate() -> None:
    race = Race(lambda p: torch.optim.SGD(p, **EXACT), batch=32)
    schedule = torch.optim.lr_scheduler.StepLR(race.optimizer, 5, 0.25)
    for _ in range(STEPS):
        race.step()
        schedule.step()
    assert race.error() < 2e-6


def test_changing_batch_size() -> None:
    race = Race(lambda p: torch.optim.SGD(p, **EXACT), batch=32)
    for step in range(STEPS):
        race.step([32, 32, 8, 64, 16][step % 5])
    assert race.error() < 5e-4


def test_nesterov_refuses_another_batch_size() -> None:
    race = Race(lambda p: torch.optim.SGD(p, **EXACT, nesterov=True), batch=32)
    race.step()
    with pytest.raises(TrainingError, match="a batch of 8 images after one of 32 under Nesterov"):
        race.step(8)


@pytest.mark.parametrize("eps", [0.0, 1e-3])
@pytest.mark.parametrize("adapt", [True, False])
def test_lars(adapt: bool, eps: float) -> None:
    options = {**ORDINARY, "lr": 2.0, "eta": 0.02, "eps": eps, "adapt": adapt}
    if not adapt:
        options["lr"] = 0.1
    race = Race(lambda p: LARS(p, **options), batch=64)
    for _ in range(STEPS):
        race.step()
    assert race.error() < 5e-4


def test_lars_with_a_changing_rate() -> None:
    race = Race(lambda p: LARS(p, lr=2.0, momentum=0.9, weight_decay=1e-4, eta=0.02), batch=64)
    for step in range(STEPS):
        race.optimizer.param_groups[0]["lr"] = 2.0 * (step + 1) / STEPS  # warm-up, as MLPerf has it
        race.step()
    assert race.error() < 5e-4


@pytest.mark.parametrize("adapt", [True, False])
def test_float_lars_is_mlperfs(adapt: bool) -> None:
    """The reference's formula, written out: momentum holds rate * trust * gradient; biases take the plain rate."""
    generator = np.random.default_rng(2)
    w, v = generator.normal(0, 1, (4, 3)), np.zeros((4, 3))
    parameter = torch.nn.Parameter(torch.tensor(w))
    optimizer = LARS([parameter], lr=0.5, momentum=0.9, weight_decay=1e-2, eta=0.001, adapt=adapt)
    for step in range(STEPS):
        gradient = generator.normal(0, 1, (4, 3)) * (step != 7)
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        norm, slope = np.linalg.norm(w), np.linalg.norm(gradient)
        trust = 0.001 * norm / (slope + 1e-2 * norm) if adapt and norm > 0 and slope > 0 else 1.0
        v = 0.9 * v + 0.5 * trust * (gradient + 1e-2 * w)
        w = w - v
        assert np.allclose(parameter.detach().numpy(), w, rtol=1e-12, atol=1e-15)


def test_zero_gradients_only_decay() -> None:
    race = Race(lambda p: torch.optim.SGD(p, **EXACT), batch=32)
    race.gradients = lambda: [Value(np.zeros(SHAPE, dtype=np.int64), -20)]  # type: ignore[method-assign]
    for _ in range(STEPS):
        race.step()
    assert race.error() < 1e-5


def test_nothing_at_all_moves_nothing() -> None:
    race = Race(lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), batch=32)
    race.gradients = lambda: [Value(np.zeros(SHAPE, dtype=np.int64), -20)]  # type: ignore[method-assign]
    before = race.state["weights/w"].mantissa.copy()
    for _ in range(STEPS):
        race.step()
    assert np.array_equal(race.state["weights/w"].mantissa, before)
    assert race.state["site/w.velocity"].exponent == -60  # the guard has lowered it all the way


def test_a_spike_does_not_saturate_the_momentum() -> None:
    """One gradient 200 times the usual fits the 8 free bits of the momentum's exponent."""
    race = Race(lambda p: torch.optim.SGD(p, **EXACT), batch=32)
    usual = race.gradients
    for step in range(STEPS):
        if step == 12:
            race.gradients = lambda: [Value(v.mantissa * 200, v.exponent) for v in usual()]  # type: ignore[method-assign]
        else:
            race.gradients = usual  # type: ignore[method-assign]
        race.step()
    assert race.error() < 1e-5


# --- scalars and optimiser objects ---------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0.1, 1e-5, 3.0, 0.0, 1 / 3, 1e-30, 12345.678])
def test_scalars_are_nearest(number: float) -> None:
    value = scalar(Fraction(number))
    found = int(value.mantissa) * Fraction(2) ** value.exponent
    assert abs(found - Fraction(number)) <= Fraction(number) / 2**15
    assert number == 0 or 2**14 <= int(value.mantissa) < 2**15


def test_step_scalars() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    groups = [
        {"params": [parameter], "lr": 0.25},
        {"params": [torch.nn.Parameter(torch.zeros(1))], "weight_decay": 0.5},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.75)
    found = {k: int(v.mantissa) * 2.0**v.exponent for k, v in step_scalars(optimizer, 8, 16).items()}
    assert found == {
        "rate/0": 0.25 / 8, "decay/0": 0, "momentum/0": 0.375, "rate/1": 0.5 / 8, "decay/1": 4, "momentum/1": 0.375,
    }  # fmt: skip


@pytest.mark.parametrize("name", ["lr", "weight_decay", "momentum"])
@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_step_scalars_refuse(name: str, bad: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.5)
    optimizer.param_groups[0][name] = bad
    with pytest.raises(TrainingError, match=f"{name} of") as caught:
        step_scalars(optimizer, 8)
    assert caught.value.where == "optimizer, parameter group 0"


def test_parameter_groups_are_read() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    module[1].bias.requires_grad_(False)
    groups = [{"params": module[0].parameters()}, {"params": module[1].parameters(), "momentum": 0.9, "nesterov": True}]
    first, second = read_optimizer(torch.optim.SGD(groups, lr=0.1), module)
    assert first == ParameterGroup("sgd", ("0.weight", "0.bias"), momentum=False)
    assert second == ParameterGroup("sgd", ("1.weight",), momentum=True, nesterov=True)
    (lars,) = read_optimizer(LARS(module.parameters(), eta=0.5, eps=1e-9, adapt=False), module)
    assert lars == ParameterGroup("lars", ("0.weight", "0.bias", "1.weight"), adapt=False, eta=0.5, eps=1e-9)


def test_optimisers_without_a_meaning() -> None:
    module = torch.nn.Linear(3, 4)
    stranger = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    sgd.param_groups[0]["momentum"] = 1.0
    for optimizer, message in [
        (torch.optim.Adam(module.parameters()), "the optimiser Adam"),
        (torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.5, dampening=0.1), "dampening=0.1"),
        (torch.optim.SGD(module.parameters(), lr=0.1, maximize=True), "maximize=True"),
        (torch.optim.SGD([stranger], lr=0.1), "not the model's"),
        (sgd, "momentum of 1.0"),
    ]:
        with pytest.raises(TrainingError, match=message):
            read_optimizer(optimizer, module)
