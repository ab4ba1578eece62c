"""The checker of several chips' plans finds what is wrong between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

from spindl.machine import spin3, spin5
from spindl.plan import Plan, PlanError, check_chips, machine_of, nearest, plan_chips
from spindl.plan.check_chips import check_exchanges, check_plans
from spindl.plan.deal import Placed
from spindl.plan.machine import both_ways
from spindl.plan.network import machine_entries, network_of
from spindl.plan.route import stream_entries
from spindl.plan.task import Call
from spindl.program.machine import RouterEntry
from tests.plan.networks import case


@cache
def plans() -> tuple[Plan, ...]:
    return plan_chips(case("lenet", batch=3, steps=1).graph, machine_of("spin3", 3, 4))


def changed(plan: Plan, change: Callable[[Placed], Placed]) -> Plan:
    """The plan with other tasks."""
    phases = tuple(
        replace(phase, cores=tuple(tuple(change(placed) for placed in core) for core in phase.cores))
        for phase in plan.phases
    )
    return replace(plan, phases=phases)


def with_first(kernel: str, **arguments: int) -> Callable[[Placed], Placed]:
    """The first call of a kernel gets other arguments; without any it is not called."""
    seen: list[Call] = []

    def new(call: Call) -> Call:
        if call.kernel != kernel or seen:
            return call
        seen.append(call)
        return replace(call, arguments={**call.arguments, **arguments}) if arguments else replace(call, kernel="")

    return lambda placed: replace(placed, task=replace(placed.task, calls=tuple(map(new, placed.task.calls))))


def test_plans_are_right() -> None:
    check_plans(plans())


@pytest.mark.parametrize(
    ("kernel", "arguments", "what"),
    [
        ("send", {"block": 500}, "is not sent so"),
        ("send", {"words": 3}, "is not sent so"),
        ("send", {"receivers": 7}, "waits for receivers"),
        ("listen", {"receiver": 9}, "is not sent so"),
        ("listen", {}, "waits for receivers"),
        ("receive", {}, "before its block is received"),
    ],
)
def test_blocks_that_do_not_fit(kernel: str, arguments: dict[str, int], what: str) -> None:
    with pytest.raises(PlanError, match=what):
        check_exchanges([changed(plans()[0], with_first(kernel, **arguments)), *plans()[1:]])


def test_cores_that_wait_for_each_other() -> None:
    """All chips of a ring receive before they send."""

    def late(placed: Placed) -> Placed:
        calls = list(placed.task.calls)
        sends = [k for k, call in enumerate(calls) if call.kernel == "send"]
        if sends:
            calls.append(calls.pop(sends[0]))
        return replace(placed, task=replace(placed.task, calls=tuple(calls)))

    with pytest.raises(PlanError, match="waits for ever"):
        check_exchanges([changed(plan, late) for plan in plans()])


def test_blocks_that_a_receiver_cannot_tell_apart() -> None:
    """A block that has the number of the one before modulo 16, on all chips alike."""

    def renumbered(placed: Placed) -> Placed:
        def new(call: Call) -> Call:
            return (
                replace(call, arguments={**call.arguments, "block": 16}) if call.arguments.get("block") == 1 else call
            )

        return replace(placed, task=replace(placed.task, calls=tuple(map(new, placed.task.calls))))

    with pytest.raises(PlanError, match=r"block 16 of stream \d+ follows block 0: one number modulo 16"):
        check_exchanges([changed(plan, renumbered) for plan in plans()])


def test_shards_that_leave_a_hole() -> None:
    first = plans()[0]
    index = next(i for i in first.shards if first.graph.nodes[i].op == "state")
    start, stop = first.shards[index]
    with pytest.raises(PlanError, match="begins at"):
        check_exchanges([replace(first, shards={**first.shards, index: (start, stop - 8)}), *plans()[1:]])


def test_routes_that_lead_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = dict(machine_entries(plans()[0].machine))
    xy = plans()[0].machine.used[0]
    monkeypatch.setattr(check_chips, "machine_entries", lambda machine: {**entries, xy: entries[xy][1:]})
    with pytest.raises(PlanError, match="0 entries for key"):
        check_exchanges(plans())
    much = tuple(RouterEntry(k, 0xFFFFFFFF, (), ()) for k in range(1024))
    monkeypatch.setattr(check_chips, "machine_entries", lambda machine: {**entries, xy: much})
    with pytest.raises(PlanError, match="1024 router entries"):
        check_exchanges(plans())


def test_ways_around_dead_parts() -> None:
    """Streams use links that work both ways alone, and may pass chips that take no part."""
    dead = spin5().without(frozenset({(1, 1), (2, 1)}), links=frozenset({(0, 0, 2), (3, 3, 0)}))
    machine = machine_of(dead, 16, 4)
    assert (1, 1) not in machine.used
    check_plans(plan_chips(case("lenet", batch=16, steps=1).graph, machine))
    broken = spin3().without(links=frozenset({(x, y, k) for x, y, k in ((0, 0, 0), (1, 0, 3), (0, 0, 3), (1, 0, 0))}))
    chosen = replace(machine_of(broken, 1, 4), used=((0, 0), (1, 0)))
    assert {(0, 1), (1, 1)} & machine_entries(chosen).keys()
    check_plans(plan_chips(case("lenet", batch=2, steps=1).graph, chosen))
    alone = spin3().without(links=frozenset((0, 0, k) for k in range(6)))
    with pytest.raises(PlanError, match="has 1 that links join"):
        nearest(alone, 2)


@pytest.mark.parametrize("chips", [2, 3, 16, 47, 48])
def test_rings_of_neighbours_and_flat_trees(chips: int) -> None:
    machine = machine_of("spin3" if chips < 4 else "spin5", chips)
    network = network_of(machine)
    assert sorted(network.ring) == list(range(chips))
    near = {(p.x, p.y): p.neighbours for p in machine.topology.places}
    ring = [machine.used[k] for k in network.ring]
    assert all(b in near[a] for a, b in zip(ring, ring[1:] + ring[:1], strict=True))
    assert max(len(each) for each in network.children) <= 2
    depth = {k: 0 for k, parent in enumerate(network.parents) if parent is None}
    while len(depth) < chips:
        depth |= {k: depth[p] + 1 for k, p in enumerate(network.parents) if p in depth and k not in depth}  # type: ignore[index]
    assert max(depth.values()) <= 6
    assert max(len(each) for each in machine_entries(machine).values()) <= 40


def test_more_chips_than_streams_have_numbers_for() -> None:
    with pytest.raises(PlanError, match="65 chips share a batch; 64 are possible"):
        network_of(machine_of("12x12", 65))


def test_ways_over_many_links_are_whole() -> None:
    """A chip five links away from the sender, and another one that its way passes."""
    links = both_ways(spin5())
    found = stream_entries(links, 64, (0, 0), [(5, 5), (2, 2)], 3)
    assert [found[k, k][0].links for k in range(6)] == [(1,), (1,), (1,), (1,), (1,), ()]
    assert [found[k, k][0].cores for k in range(6)] == [(), (), (3,), (), (), (3,)]
    assert [found[k, k][1].links for k in range(6)] == [(), (4,), (4,), (4,), (4,), (4,)]
