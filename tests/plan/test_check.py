"""The checker accepts every plan, and finds each kind of mistake; errors of the planner say what does not fit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from spindl.plan import Machine, Phase, Plan, PlanError, TooLarge, emit, machine_of, plan_step
from spindl.plan.check import check_plan
from spindl.plan.deal import Placed
from spindl.plan.task import Call
from spindl.program.core import TILES
from spindl.program.schedule import decode, encode
from tests.plan.networks import NETWORKS, case


def machine(cores: int, tiles: int = TILES[1], sdram: int = 100 << 20) -> Machine:
    return machine_of("spin3", 1, cores, (TILES[0], tiles), sdram)


@cache
def planned(name: str = "lenet", cores: int = 4) -> Plan:
    return plan_step(case(name, steps=1).graph, machine(cores))


@pytest.mark.parametrize("cores", [1, 3, 16])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_plan_is_right(name: str, cores: int) -> None:
    plan = planned(name, cores)
    check_plan(plan)
    again = plan_step(case(name, steps=1).graph, machine(cores))
    assert emit(again, 1) == emit(plan, 1)  # deterministic
    for schedule in emit(plan, 1).schedules["all"]:
        assert decode(encode(schedule)) == schedule


def change_calls(plan: Plan, change: Callable[[Call], Call], phase: int | None = None) -> Plan:
    """The plan with every call changed (of one phase, if given)."""

    def changed(placed: Placed) -> Placed:
        calls = tuple(change(call) for call in placed.task.calls)
        return replace(placed, task=replace(placed.task, calls=calls))

    phases = tuple(
        replace(each, cores=tuple(tuple(changed(p) for p in core) for core in each.cores))
        if phase is None or number == phase
        else each
        for number, each in enumerate(plan.phases)
    )
    return replace(plan, phases=phases)


def test_a_missing_store_is_found() -> None:
    def change(call: Call) -> Call:
        return replace(call, stores=()) if call.kernel == "max_pool" else call

    with pytest.raises(PlanError, match=r"never written|overwritten"):
        check_plan(change_calls(planned(), change))


def test_buffers_that_share_a_place_too_early_are_found() -> None:
    plan = planned()
    names = [name for name in plan.addresses if name.startswith("node/")]
    moved = {**plan.addresses, **{name: plan.addresses[names[0]] for name in names}}
    with pytest.raises(PlanError, match=r"overwritten|two cores|another core"):
        check_plan(replace(plan, addresses=moved))


def test_a_missing_barrier_is_found() -> None:
    plan = planned()
    for number in range(1, len(plan.phases) - 1):
        a, b = plan.phases[number : number + 2]
        both = Phase(a.name, tuple(x + y for x, y in zip(a.cores, b.cores, strict=True)))
        phases = (*plan.phases[:number], both, *plan.phases[number + 2 :])
        with pytest.raises(PlanError):
            check_plan(replace(plan, phases=phases))


def test_unaligned_transfers_are_found() -> None:
    def change(call: Call) -> Call:
        return replace(call, loads=tuple(replace(move, offset=move.offset + 2) for move in call.loads))

    with pytest.raises(PlanError, match="whole words"):
        check_plan(change_calls(planned(), change))


def test_transfers_that_leave_their_place_are_found() -> None:
    def longer(call: Call) -> Call:
        return replace(call, stores=tuple(replace(move, bytes=move.bytes + 1 << 20) for move in call.stores))

    with pytest.raises(PlanError, match="leaves"):
        check_plan(change_calls(planned(), longer))


def test_regions_that_overlap_are_found() -> None:
    plan = planned("resnet")

    def squeezed(placed: Placed) -> Placed:
        low = min(placed.addresses.values())
        return replace(placed, addresses={name: low + 4096 for name in placed.addresses})

    phases = tuple(
        replace(phase, cores=tuple(tuple(squeezed(p) for p in core) for core in phase.cores)) for phase in plan.phases
    )
    with pytest.raises(PlanError, match="overlap"):
        check_plan(replace(plan, phases=phases))


def test_a_chip_that_is_too_small() -> None:
    with pytest.raises(TooLarge, match="too many") as caught:
        plan_step(case("resnet", steps=1).graph, machine(4, sdram=10_000))
    assert caught.value.needed > caught.value.available == 10_000
    assert "smaller batch" in caught.value.remedy


def test_a_core_that_is_too_small() -> None:
    with pytest.raises(TooLarge, match=r"do(es)? not fit a core") as caught:
        plan_step(case("resnet", steps=1).graph, machine(4, tiles=TILES[0] + 4500))
    assert caught.value.where
