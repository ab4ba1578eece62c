"""A State from where it enters to all chips: the schedule "states" leaves there what the host would write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from spindl.machine import parse_topology
from spindl.plan import Machine, Plan, PlanError, deliver, emit, machine_of, plan_chips
from spindl.plan.check_chips import check_exchanges, check_plans
from spindl.plan.deal import Placed
from spindl.plan.deliver import PIECES
from spindl.plan.machine import entrances, nearest
from spindl.plan.task import Call
from spindl.program.machine import ChipProgram
from spindl.run import chip
from spindl.run.walker import HostMemory, walk_chips
from tests.plan.networks import Case, case
from tests.plan.test_equality import assert_same, check_chips, check_machine


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
    made = plans(name, chips, cores)
    check_plans(made)
    programs = [emit(plan, 0) for plan in made]
    check_brought(programs, network(name, chips), late)
    assert [bool(program.staged) for program in programs] == [True] + [False] * (chips - 1)


def check_brought(programs: Sequence[ChipProgram], c: Case, late: bool) -> None:
    """After the schedule "states" each chip holds what the host would write to it."""
    state = c.state
    brought = [HostMemory(program.bytes) for program in programs]
    for number, (program, memory) in enumerate(zip(programs, brought, strict=True)):
        if program.staged:
            chip.stage_states(program, memory, state, first=number == 0)
    walk_chips([(p.schedules["states"], memory) for p, memory in zip(programs, brought, strict=True)], late=late)
    both = list(zip(programs, brought, strict=True))
    parts = [chip.read_parts(*each, first=number == 0) for number, each in enumerate(both)]
    assert_same(chip.joined_parts(parts, programs), {name: state[name] for name in programs[0].states})
    elements = sum(np.asarray(value.mantissa).size for part in parts for value in part.values())
    assert elements == sum(np.asarray(state[name].mantissa).size for name in programs[0].states)
    for program, memory in both:
        written = HostMemory(program.bytes)
        chip.write_states(program, written, state)
        wanted = chip.read_states(program, written)
        for key, value in chip.read_states(program, memory).items():
            assert value.exponent == wanted[key].exponent, (program.xy, key)
            assert np.array_equal(value.mantissa, wanted[key].mantissa), (program.xy, key)


BOARDS = ((0, 0), (8, 4), (1, 0), (9, 5), (0, 1), (8, 5), (1, 1), (4, 9), (4, 10))
"""Chips of a triad: four of the first board, three of the third with its Ethernet chip, two of the second without."""


def several_boards(cores: int) -> Machine:
    return replace(machine_of("1x1-triads", 1, cores), used=BOARDS)


def test_data_enter_through_the_ethernet_chip_of_each_board() -> None:
    machine = several_boards(3)
    assert [BOARDS[number] for number in entrances(machine)] == [
        *((0, 0), (8, 4), (0, 0), (8, 4), (0, 0), (8, 4), (0, 0)),
        *((4, 9), (4, 9)),  # nearest to (4, 8), which takes no part
    ]
    assert entrances(machine_of("spin5", 3)) == (0, 0, 0)


def test_chips_of_a_board_come_before_those_of_the_next() -> None:
    topology = parse_topology("1x1-triads")
    boards = {(place.x, place.y): place.board for place in topology.places}
    chips = nearest(topology, 144)
    assert len(set(chips)) == 144
    assert [boards[xy] for xy in chips[:48]] == [0] * 48
    assert (chips[0], chips[48], chips[96]) == ((0, 0), (4, 8), (8, 4))
    assert nearest(topology, 60) == chips[:60]


@pytest.mark.parametrize(("name", "cores"), [("lenet", 1), ("thesis_mlp", 5)])
@pytest.mark.parametrize("late", [False, True])
def test_a_state_enters_once_through_several_boards(name: str, cores: int, late: bool) -> None:
    """Every element enters once, of what all chips hold an equal part through each board; then all have all of it."""
    c = network(name, len(BOARDS))
    made = plan_chips(c.graph, several_boards(cores))
    check_plans(made)
    programs = [emit(plan, 0) for plan in made]
    entering = [program.xy for program in programs if program.staged]
    assert entering == [(0, 0), (8, 4), (4, 9)]
    parts: dict[str, list[tuple[int, int]]] = {}
    for program in programs:
        for key, place in program.staged:
            assert place.shard is not None
            parts.setdefault(key, []).append(place.shard)
    for key, place in programs[0].states.items():
        if place.site is None:
            found = sorted(parts[key])
            assert [start for start, _ in found] == [0, *(stop for _, stop in found[:-1])]
            assert found[-1][1] == np.asarray(c.state[key].mantissa).size
    check_brought(programs, c, late)


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


@pytest.mark.parametrize("late", [False, True])
def test_pictures_of_a_step_enter_through_their_board(late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "LEAST_INPUT", 64)
    machine, c = several_boards(5), case("lenet", batch=2 * len(BOARDS), steps=2)
    programs = [emit(plan, 0) for plan in plan_chips(c.graph, machine)]
    shares = {program.xy: [place.share for _, place in program.staged_inputs] for program in programs}
    assert {xy: found for xy, found in shares.items() if found} == {
        (0, 0): [(4, 6), (8, 10), (12, 14)],
        (8, 4): [(6, 8), (10, 12)],
        (4, 9): [(16, 18)],
    }
    own = {program.xy: program.inputs["images"].share for program in programs if "images" in program.inputs}
    assert own == {(0, 0): (0, 2), (8, 4): (2, 4), (4, 9): (14, 16)}
    check_machine(c, machine, late)


def test_pictures_go_no_further_than_they_have_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last chip of a ring passes on nothing; a chip that needs nothing of a block, and has nobody behind it that
    does, does not get it."""
    monkeypatch.setattr(deliver, "LEAST_INPUT", 64)
    made = plan_chips(network("lenet", len(BOARDS)).graph, several_boards(5))
    passed = stored = 0
    for plan in made:
        calls = [c for core in plan.phases[0].cores for placed in core for c in placed.task.calls]
        passed += sum(c.kernel == "send" and not c.loads for c in calls)
        stored += sum(c.kernel == "receive" and bool(c.stores) for c in calls)
    assert stored > 0
    assert passed < stored * (len(BOARDS) - 2)


def test_only_large_inputs_go_around(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not emit(plans("lenet", 4, 5)[0], 0).staged_inputs
    monkeypatch.setattr(deliver, "LEAST_INPUT", 64)
    graph, machine = network("lenet", 4).graph, machine_of("spin3", 4, 5)
    assert {name for name, _ in emit(plan_chips(graph, machine)[0], 0).staged_inputs} == {"images"}


def test_the_checker_finds_wrong_deliveries_of_several_boards() -> None:
    """A board's part that is not passed on, one that comes from elsewhere, one that the first chip does not store."""
    made = plan_chips(network("lenet", len(BOARDS)).graph, several_boards(3))

    def moved(call: Call) -> Call:
        return replace(call, loads=tuple(replace(move, offset=move.offset + 8) for move in call.loads))

    def no_stores(call: Call) -> Call:
        return replace(call, stores=())

    for number, change, what in [(1, moved, "gets"), (0, no_stores, "bytes gets"), (7, moved, "gets")]:
        wrong = [changed(plan, change) if k == number else plan for k, plan in enumerate(made)]
        with pytest.raises(PlanError, match=what):
            check_exchanges(wrong)
    staged = tuple(replace(each, entrance=1) if each.entrance == 0 else each for each in made[0].staged)
    with pytest.raises(PlanError, match="gets"):
        check_exchanges([replace(plan, staged=staged) for plan in made])


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
