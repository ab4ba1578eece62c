"""Exchanges in parts beside other work: the same bits whichever way they are cut, in phases where nothing waits."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from spindl.plan import PlanError, machine_of, overlap, passes, plan_chips
from spindl.plan.check_chips import check_plans
from spindl.plan.cost import forecast, total_cycles
from spindl.plan.draft import Draft, Stored
from spindl.plan.jobs import Job, Part
from spindl.plan.overlap import Work, exchange_cycles
from spindl.plan.passes import machine_draft
from spindl.plan.rings import gather_tasks, reduce_tasks
from tests.plan.networks import case
from tests.plan.test_equality import check_chips


def at_random(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Every exchange is cut into blocks and parts, and dealt to the phases of its window, at random."""
    random = Random(seed)

    def deal(
        phases: Any, cores: int, step: Any, number: int, ways: Sequence[overlap._Exchange]
    ) -> list[tuple[int, Part]]:
        first, stop = step.windows[number]
        exchange = random.choice(ways)
        chosen = sorted(random.sample(range(first, stop + 1), random.randint(1, min(4, stop + 1 - first))))
        cuts = sorted(random.sample(range(1, exchange.turns), min(exchange.turns, len(chosen)) - 1))
        edges = [0, *cuts, exchange.turns]
        return [(k, Part(a, b, exchange.words)) for k, (a, b) in zip(chosen, itertools.pairwise(edges), strict=False)]

    count = itertools.count()
    monkeypatch.setattr(overlap, "WORDS", (1000, 40, 16))
    monkeypatch.setattr(overlap, "_deal", deal)
    monkeypatch.setattr(passes, "total_cycles", lambda phases: next(count))  # the plan in parts counts as shorter


@pytest.mark.parametrize(
    ("name", "chips", "cores", "seed"),
    [("lenet", 4, 5, 0), ("lenet", 3, 2, 1), ("thesis_mlp", 4, 6, 2), ("resnet", 2, 4, 3), ("lenet", 16, 3, 4)],
)
def test_parts_in_any_phases_of_their_windows(
    monkeypatch: pytest.MonkeyPatch, name: str, chips: int, cores: int, seed: int
) -> None:
    """The checker accepts them, and results are the interpreter's."""
    at_random(monkeypatch, seed)
    check_chips(case(name, batch=2 * chips if chips < 16 else chips, steps=2), chips, cores, late=seed % 2 == 1)


@pytest.mark.parametrize("kind", ["lars", "sgd"])
def test_parts_of_every_optimiser(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    group = {"kind": "lars", "adapt": True, "eta": 0.02} if kind == "lars" else {"momentum": True, "nesterov": True}
    at_random(monkeypatch, 5)
    check_chips(case("lenet", batch=6, steps=2, **group), 3, 4)


@pytest.mark.parametrize(("name", "chips", "cores"), [("thesis_mlp", 4, 16), ("lenet", 4, 5)])
def test_more_lies_beside_other_work_and_the_step_is_shorter(name: str, chips: int, cores: int) -> None:
    graph, machine = case(name, batch=chips, steps=1).graph, machine_of("spin3", chips, cores)
    plans = [plan_chips(graph, machine, overlap=each)[0] for each in (False, True)]
    before, after = map(forecast, plans)
    assert total_cycles(after.phases) < total_cycles(before.phases)
    assert exchange_cycles(plans[1], after.walk)[1] < exchange_cycles(plans[0], before.walk)[1]


def test_parts_make_the_turns_of_the_whole() -> None:
    """Whatever the cuts, every chip sends and adds the same words of the same buffers in the same order."""
    graph = passes.share_of(case("thesis_mlp", batch=4, steps=1).graph, 4)
    homes = passes.find_jobs(graph)[1]
    shards = passes.shards_of(graph, homes, 4, 1)
    draft = machine_draft(graph, homes, machine_of("spin3", 4, 5), 1, shards)
    index = next(i for i in shards if graph.nodes[i].op == "sum_groups" and graph.nodes[i].shape[0] == 300)

    def sends(draft: Draft, kind: str, cuts: Sequence[int]) -> list[list[tuple[int | str, ...]]]:
        """Of each ring: block, words and place of what is received."""
        mine = replace(draft, buffers={}, blocks={}, shards={}, stored={index: Stored("own", 1, 0)})
        found: list[list[tuple[int | str, ...]]] = [[] for _ in range(4)]
        for first, stop in itertools.pairwise(cuts):
            job = Job(kind, (index,), (index,), (index,), part=Part(first, stop, 200))
            for ring, task in enumerate({"reduce": reduce_tasks, "gather": gather_tasks}[kind](mine, 0, job)):
                for call in task.calls:
                    if call.kernel == "send":
                        found[ring].append(tuple(call.arguments[k] for k in ("block", "words")))  # type: ignore[misc]
                    moves = call.loads if kind == "reduce" else call.stores
                    found[ring] += [(move.offset, move.bytes) for move in moves if call.kernel == "receive"]
        return found

    for kind in ("reduce", "gather"):
        turns = sum(len(each) == 2 for each in sends(draft, kind, (0, 1000))[0]) // 2
        assert turns > 4
        whole = sends(draft, kind, (0, turns))
        for cuts in ((0, 1, turns), (0, 2, 3, turns - 1, turns), tuple(range(turns + 1))):
            assert sends(draft, kind, cuts) == whole


def test_a_part_in_the_phase_that_makes_its_gradient_is_found() -> None:
    """A phase too early: what is sent is not there yet."""
    plans = plan_chips(case("thesis_mlp", batch=4, steps=1).graph, machine_of("spin3", 4, 5))

    def earlier(plan: passes.Plan) -> passes.Plan:
        phases = list(plan.phases)
        written = [{m.buffer for core in p.cores for t in core for c in t.task.calls for m in c.stores} for p in phases]
        at = next(
            k
            for k, phase in enumerate(phases)
            for core in phase.cores
            for placed in core
            for call in placed.task.calls
            if call.kernel == "send" and {move.buffer for move in call.loads} & written[k - 1]
        )
        early, late = phases[at - 1], phases[at]
        moved = [tuple(p for p in core if any(c.kernel == "send" for c in p.task.calls)) for core in late.cores]
        phases[at - 1] = replace(early, cores=tuple(m + c for m, c in zip(moved, early.cores, strict=True)))
        rest = [tuple(p for p in core if p not in m) for core, m in zip(late.cores, moved, strict=True)]
        phases[at] = replace(late, cores=tuple(rest))
        return replace(plan, phases=tuple(phases))

    with pytest.raises(PlanError):
        check_plans([earlier(plan) for plan in plans])


def test_phases_are_dealt_as_tasks_are() -> None:
    phase = overlap._Phase({0: Work((5.0, 4.0, 3.0), {0: 2.0}), 1: Work((), {1: 7.0})})
    assert phase.cycles(2) == 11.0  # 2 + 5 + 4 and 7 + 3
    assert phase.cycles(2, Work((), {0: 9.0})) == 15.0  # 11 + 4 and 7 + 5 + 3
