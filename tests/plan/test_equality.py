"""Planned steps on the host's walker equal the interpreter: weights, momentum, exponents, statistics, losses."""

from __future__ import annotations

import numpy as np
import pytest

from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.plan import Machine, PlanError, emit, machine_of, plan_chips, plan_step
from spindl.plan.check_chips import check_plans
from spindl.plan.show import plan_digest
from spindl.program.core import TILES
from spindl.run import chip
from spindl.run.walker import HostMemory, walk, walk_chips
from spindl.train import Formats
from tests.plan.networks import NETWORKS, Case, case

SDRAM = 100 << 20


def assert_same(found: dict[str, Value], expected: dict[str, Value]) -> None:
    wrong = [
        key
        for key, value in expected.items()
        if found[key].exponent != value.exponent or not np.array_equal(found[key].mantissa, value.mantissa)
    ]
    assert not wrong, wrong


def check(c: Case, cores: int, late: bool = False, backwards: bool = False, tiles: int = TILES[1]) -> None:
    """Plans a case and compares all of its steps, outputs and states."""
    program = emit(plan_step(c.graph, machine_of("spin3", 1, cores, (TILES[0], tiles), SDRAM)), 0)
    memory = HostMemory(program.bytes)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, c.state)
    state = dict(c.state)
    for inputs in c.inputs:
        outputs, updates, _ = interpret(c.graph, state, inputs)
        state |= updates
        chip.write_inputs(program, memory, inputs)
        walk(program.schedules["all"], memory, late=late, backwards=backwards)
        assert_same(chip.read_outputs(program, memory), outputs)
        assert_same(chip.read_states(program, memory), state)


@pytest.mark.parametrize("cores", [1, 4, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_steps_are_the_interpreters(name: str, cores: int) -> None:
    check(case(name), cores)


@pytest.mark.parametrize("name", NETWORKS)
def test_order_within_its_freedom_changes_nothing(name: str) -> None:
    check(case(name, steps=2), 5, late=True, backwards=True)


@pytest.mark.parametrize("name", ["lenet", "resnet", "thesis_mlp"])
def test_small_tiles(name: str) -> None:
    """A core with little memory cuts everything into many more tiles."""
    check(case(name, steps=2), 3, tiles=TILES[0] + 11000)


@pytest.mark.parametrize(
    "group",
    [
        {"momentum": False},
        {"momentum": True, "nesterov": True},
        {"kind": "lars", "adapt": True, "eta": 0.02},
        {"kind": "lars", "adapt": False},
    ],
    ids=str,
)
def test_optimisers(group: dict[str, object]) -> None:
    check(case("resnet", batch=5, **group), 4)


@pytest.mark.parametrize(("batch", "size"), [(9, 2), (8, 4), (1, 1), (3, 8)])
def test_gradient_groups(batch: int, size: int) -> None:
    check(case("lenet", batch=batch, steps=2, formats=Formats(group_size=size)), 4)


def test_weights_that_overflow_are_halved() -> None:
    """A learning rate so large that masters leave their exponent."""
    c = case("lenet", steps=3)
    for inputs in c.inputs:
        inputs["rate/0"] = Value(np.array(20000), -12)
    check(c, 4)
    state = dict(c.state)
    for inputs in c.inputs:
        state |= interpret(c.graph, state, inputs)[1]
    assert any(state[k].exponent > c.state[k].exponent for k in state if k.startswith("weights/"))


def test_dry_passes_change_sites_alone() -> None:
    c = case("resnet", steps=1)
    program = emit(plan_step(c.graph, machine_of("spin3", 1, 4, TILES, SDRAM)), 0)
    memory = HostMemory(program.bytes)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, c.state)
    chip.write_inputs(program, memory, c.inputs[0])
    outputs, updates, _ = interpret(c.graph, c.state, c.inputs[0])
    walk(program.schedules["sites"], memory)
    assert_same(chip.read_outputs(program, memory), outputs)
    sites = {name: value for name, value in updates.items() if name.startswith("site/")}
    assert_same(chip.read_states(program, memory), {**c.state, **sites})


def check_chips(c: Case, chips: int, cores: int, late: bool = False) -> None:
    """The same on several chips, each with its share of the images; afterwards all hold the same State."""
    check_machine(c, machine_of("spin3" if chips <= 4 else "spin5", chips, cores, TILES, SDRAM), late)


def check_machine(c: Case, machine: Machine, late: bool = False) -> None:
    """The same on the chips of a machine."""
    plans = plan_chips(c.graph, machine)
    check_plans(plans)
    programs = [emit(plan, 0) for plan in plans]
    memories = [HostMemory(program.bytes) for program in programs]
    for program, memory in zip(programs, memories, strict=True):
        chip.write_contents(program, memory)
        chip.write_states(program, memory, c.state)
    state = dict(c.state)
    for inputs in c.inputs:
        outputs, updates, _ = interpret(c.graph, state, inputs)
        state |= updates
        for program, memory in zip(programs, memories, strict=True):
            chip.write_inputs(program, memory, inputs)
        both = zip(programs, memories, strict=True)
        walk_chips([(program.schedules["all"], memory) for program, memory in both], late=late)
        found = [chip.read_outputs(*pair) for pair in zip(programs, memories, strict=True)]
        assert_same(chip.joined_outputs(found, programs[0]), outputs)
        states = [chip.read_states(*pair) for pair in zip(programs, memories, strict=True)]
        assert_same(chip.joined_states(states, programs), state)
        for program, found_states in zip(programs, states, strict=True):
            whole = {name for name, place in program.states.items() if place.shard is None}
            assert_same(found_states, {name: value for name, value in state.items() if name in whole})


@pytest.mark.parametrize("chips", [2, 4])
@pytest.mark.parametrize("name", NETWORKS)
def test_chips_share_the_batch(name: str, chips: int) -> None:
    check_chips(case(name, steps=2), chips, 5, late=chips == 4)


@pytest.mark.parametrize(
    ("name", "chips", "cores"),
    [("thesis_mlp", 3, 1), ("lenet", 7, 3), ("resnet", 16, 6), ("thesis_convolution", 16, 2), ("lenet", 48, 5)],
)
def test_many_chips(name: str, chips: int, cores: int) -> None:
    """Rings and trees of any size, also where one core works for several of them."""
    check_chips(case(name, batch=chips, steps=2), chips, cores, late=chips == 7)


@pytest.mark.slow
@pytest.mark.parametrize("chips", [16, 48])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_on_many_chips(name: str, chips: int) -> None:
    check_chips(case(name, batch=chips, steps=3), chips, 17, late=chips == 16)


@pytest.mark.parametrize(
    "group", [{"momentum": True, "nesterov": True}, {"kind": "lars", "adapt": True, "eta": 0.02}], ids=str
)
def test_shards_of_every_optimiser(group: dict[str, object]) -> None:
    check_chips(case("lenet", batch=6, steps=2, **group), 3, 4)


def test_shards_that_overflow_are_halved_together() -> None:
    """Only some shards of a tensor overflow; all are halved."""
    c = case("lenet", steps=3)
    for inputs in c.inputs:
        inputs["rate/0"] = Value(np.array(20000), -12)
    check_chips(c, 4, 5)
    state = dict(c.state)
    for inputs in c.inputs:
        state |= interpret(c.graph, state, inputs)[1]
    assert any(state[k].exponent > c.state[k].exponent for k in state if k.startswith("weights/"))


@pytest.mark.parametrize("name", ["thesis_mlp", "thesis_convolution", "mixed"])
def test_a_single_image(name: str) -> None:
    check(case(name, batch=1, steps=2), 6)


def test_chips_are_planned_alike() -> None:
    """What is planned once for all chips is what each gets alone; all lie alike in memory."""
    graph, machine = case("resnet", batch=6, steps=1).graph, machine_of("spin3", 3, 4, TILES, SDRAM)
    plans = plan_chips(graph, machine)
    assert [plan_digest(plan) for plan in plans] == [plan_digest(plan_step(graph, machine, k)) for k in range(3)]
    assert plans[0].addresses == plans[1].addresses == plans[2].addresses


def test_a_batch_that_cannot_be_dealt() -> None:
    graph = case("lenet", batch=6, steps=1).graph
    with pytest.raises(PlanError, match="equally"):
        plan_step(graph, machine_of("spin3", 4, 5, TILES, SDRAM))
    graph = case("lenet", batch=8, steps=1, formats=Formats(group_size=4)).graph
    with pytest.raises(PlanError, match="gradient groups"):
        plan_step(graph, machine_of("spin3", 4, 5, TILES, SDRAM))
