"""A State from the first chip to all others: the schedule "states" leaves there what the host would write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from spindl.plan import Plan, PlanError, deliver, emit, machine_of, plan_chips
from spindl.plan.check_chips import check_exchanges, check_plans
from spindl.plan.deal import Placed
from spindl.plan.deliver import PIECES
from spindl.plan.task import Call
from spindl.run import chip
from spindl.run.walker import HostMemory, walk_chips
from tests.plan.networks import Case, case
from tests.plan.test_equality import check_chips


@cache
def network(name: str, batch: int) -> Case:
    return case(name, batch=batch, steps=1)


@cache
def plans(name: str, chips: int, cores: int) -> tuple[Plan, ...]:
    machine = machine_of("spin3" if chips <= 4 else "spin5", chips, cores)
    return plan_chips(network(name, chips).graph, machine)


@pytest.mark.parametrize(("name", "chips", "cores"), [("lenet", 2, 1), ("thesis_mlp", 3, 3), ("resnet", 16, 5)])
@pytest.mark.parametrize("late", [False, True])
def test_every_chip_gets_what_the_host_would_write(name: str, chips: int, cores: int, late: bool) -> None:
    made, state = plans(name, chips, cores), network(name, chips).state
    check_plans(made)
    programs = [emit(plan, 0) for plan in made]
    brought = [HostMemory(program.bytes) for program in programs]
    chip.stage_states(programs[0], brought[0], state)
    walk_chips([(p.schedules["states"], memory) for p, memory in zip(programs, brought, strict=True)], late=late)
    for program, memory in zip(programs, brought, strict=True):
        written = HostMemory(program.bytes)
        chip.write_states(program, written, state)
        wanted = chip.read_states(program, written)
        for key, value in chip.read_states(program, memory).items():
            assert value.exponent == wanted[key].exponent, (program.xy, key)
            assert np.array_equal(value.mantissa, wanted[key].mantissa), (program.xy, key)
    assert any(place.shard for place in programs[0].states.values()) == bool(programs[0].staged)


def test_one_chip_and_no_room_have_no_such_schedule() -> None:
    (alone,) = plans("lenet", 1, 4)
    assert not alone.deliveries
    assert "states" not in emit(alone, 0).schedules
    c = network("thesis_mlp", 2)
    with_room = plan_chips(c.graph, machine_of("spin3", 2, 4))
    assert all(plan.deliveries and plan.staged for plan in with_room)
    tight = plan_chips(c.graph, machine_of("spin3", 2, 4, sdram=with_room[0].bytes - 8))
    assert all(not plan.deliveries and not plan.staged for plan in tight)


def changed(plan: Plan, change: Callable[[Call], Call]) -> Plan:
    """The plan with other calls in its deliveries."""

    def new(placed: Placed) -> Placed:
        return replace(placed, task=replace(placed.task, calls=tuple(map(change, placed.task.calls))))

    phases = tuple(
        replace(phase, cores=tuple(tuple(map(new, core)) for core in phase.cores)) for phase in plan.deliveries
    )
    return replace(plan, deliveries=phases)


def test_the_checker_finds_wrong_deliveries() -> None:
    made = plans("thesis_mlp", 3, 3)

    def no_stores(call: Call) -> Call:
        return replace(call, stores=())

    def elsewhere(call: Call) -> Call:
        return replace(call, stores=tuple(replace(move, offset=move.offset + 4) for move in call.stores))

    def swapped(call: Call) -> Call:
        if len(call.loads) < 2:
            return call
        first, second = call.loads[:2]
        return replace(call, loads=(replace(first, buffer=second.buffer), *call.loads[1:]))

    def other_room(call: Call) -> Call:
        x = call.arguments.get("x")
        return call if x is None or isinstance(x, int) else replace(call, arguments={**call.arguments, "x": x.plus(4)})

    def silent(call: Call) -> Call:
        return replace(call, kernel="") if call.kernel == "send" else call

    for number, change, what in [
        (1, no_stores, "bytes gets"),
        (1, elsewhere, "gets"),
        (0, swapped, "gets"),
        (1, other_room, "passed on from elsewhere"),
        (0, other_room, "is not loaded whole|gets|from no part"),
        (0, silent, "is not sent so"),
    ]:
        wrong = [changed(plan, change) if k == number else plan for k, plan in enumerate(made)]
        with pytest.raises(PlanError, match=what):
            check_exchanges(wrong)


def test_blocks_have_room_in_a_step() -> None:
    """Many small states: no call has more transfers than a step of a schedule can say."""
    for plan in plans("resnet", 16, 5):
        calls = [c for phase in plan.deliveries for core in phase.cores for placed in core for c in placed.task.calls]
        assert max(len(call.loads) + len(call.stores) for call in calls) <= PIECES


@pytest.mark.parametrize(("name", "chips", "cores"), [("lenet", 4, 5), ("thesis_mlp", 3, 2), ("resnet", 7, 3)])
@pytest.mark.parametrize("late", [False, True])
def test_pictures_of_a_step_enter_through_the_first_chip(
    name: str, chips: int, cores: int, late: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps equal the interpreter's where the host writes all pictures, and labels, to the first chip."""
    monkeypatch.setattr(deliver, "LEAST_INPUT", 8)
    c = case(name, batch=2 * chips, steps=2)
    machine = machine_of("spin3" if chips <= 4 else "spin5", chips, cores)
    programs = [emit(plan, 0) for plan in plan_chips(c.graph, machine)]
    moved = {each for each, _ in programs[0].staged_inputs}
    assert "images" in moved
    assert all(not moved & program.inputs.keys() for program in programs[1:])
    assert chip.dealt_images(programs) == 2 * chips
    check_chips(c, chips, cores, late)


def test_only_large_inputs_go_around(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not emit(plans("lenet", 4, 5)[0], 0).staged_inputs
    monkeypatch.setattr(deliver, "LEAST_INPUT", 64)
    graph, machine = network("lenet", 4).graph, machine_of("spin3", 4, 5)
    assert {name for name, _ in emit(plan_chips(graph, machine)[0], 0).staged_inputs} == {"images"}


def test_the_checker_finds_pictures_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "LEAST_INPUT", 64)
    made = plan_chips(network("lenet", 4).graph, machine_of("spin3", 4, 5))
    check_plans(made)

    def without(call: Call) -> Call:
        return replace(call, stores=tuple(move for move in call.stores if move.buffer != "input/images"))

    begin = replace(made[2], deliveries=made[2].phases[:1])
    wrong = replace(made[2], phases=(*changed(begin, without).deliveries, *made[2].phases[1:]))
    with pytest.raises(PlanError, match="input/images of 64 bytes gets"):
        check_exchanges([*made[:2], wrong, made[3]])
