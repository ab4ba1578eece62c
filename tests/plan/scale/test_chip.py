"""The plan of a chip of many: checked, gradients in the place of weights, and what is predicted from it."""

from __future__ import annotations

from functools import cache

import pytest

from spindl.graph import Graph
from spindl.plan import PlanError, machine_of
from spindl.plan.check import check_plan
from spindl.plan.scale.chip import ChipPlan, _carried, plan_chip
from spindl.plan.scale.machines import boards_of
from spindl.plan.scale.predict import FAST, MIDDLE, SLOW, Chip, chip_of, predict
from spindl.plan.scale.show import layer_lines, lines_of
from spindl.plan.share import share_of
from spindl.plan.task import Task
from spindl.program.core import TILES
from tests.plan.networks import case


@cache
def graph_of_one() -> Graph:
    graph = case("resnet", steps=1).graph
    images = next(n.shape[0] for n in graph.nodes if n.op == "input" and n.format.kind == "uint8")
    return share_of(graph, images)


@cache
def planned(cores: int = 13) -> ChipPlan:
    return plan_chip(graph_of_one(), machine_of("spin3", 1, cores, TILES, 100 << 20))


@cache
def chip() -> Chip:
    return chip_of(graph_of_one())


@pytest.mark.parametrize("cores", [1, 13])
def test_the_plan_of_a_chip_is_right(cores: int) -> None:
    check_plan(planned(cores).plan)


def test_gradients_lie_on_the_weights_of_their_layer() -> None:
    each = planned()
    for index, (phase, size) in each.gradients.items():
        buffer = each.plan.places[index]
        assert each.plan.buffers[buffer].kept
        readers = [
            number
            for number, phase_ in enumerate(each.plan.phases)
            for core in phase_.cores
            for placed in core
            for call in placed.task.calls
            for move in call.loads
            if move.buffer == buffer
        ]
        assert readers and max(readers) < phase
        assert size == 2 * each.plan.buffers[buffer].size // 2


def test_sums_cross_the_chips_beside_a_weight_gradient() -> None:
    """Backward: behind the phase of the sums comes one of weight gradients alone, then the one that reads the sums."""
    phases = planned().phase_jobs
    kinds = [{job.kind for job in jobs} for jobs in phases]
    alone = [
        all(job.rounding is not None and job.rounding.summed is not None for job in jobs) and bool(jobs)
        for jobs in phases
    ]
    backward = [k for k, names in enumerate(kinds) if "sums" in names and any(alone[:k])]
    assert backward
    assert all(alone[k + 1] and "channels" in kinds[k + 2] for k in backward)


def test_weight_gradients_are_carried_to_where_cores_end_alike() -> None:
    def tasks(job: int, *costs: int) -> list[Task]:
        return [Task(job, (), {}, cost=cost) for cost in costs]

    phases = _carried([tasks(0, 9, 9, 9), tasks(1, 5), tasks(2, 9, 1), tasks(3, 2)], frozenset({0, 2}), 2)
    assert [[task.cost for task in phase] for phase in phases] == [[9, 9], [5], [9, 1, 9], [2]]
    assert _carried([tasks(0, 9), tasks(2, 9, 1)], frozenset({0, 2}), 2) == [tasks(0, 9), tasks(2, 9, 1)]


def test_several_images_on_a_chip_are_refused() -> None:
    with pytest.raises(PlanError, match="images on a chip"):
        plan_chip(case("resnet", steps=1).graph, machine_of("spin3", 1, 13, TILES, 100 << 20))


def test_a_prediction_adds_up() -> None:
    one, many = boards_of("spin5"), boards_of("spin5", 1)
    middle, slow, fast = (predict(chip(), one, each) for each in (MIDDLE, SLOW, FAST))
    assert slow.images_per_second < middle.images_per_second < fast.images_per_second
    assert middle.images_per_second == pytest.approx(48 / middle.line.step)
    assert middle.line.step == pytest.approx(middle.compute + middle.statistics + middle.line.waits)
    assert predict(chip(), many).chips == 47
    assert 0 < middle.mac_share < 1 <= middle.to_infinite
    million = predict(chip(), boards_of("million"))  # a small network waits for its statistics
    assert 100 < million.images_per_second / middle.images_per_second < 1200


def test_it_says_where_time_memory_and_energy_go() -> None:
    text = "\n".join(lines_of(chip(), boards_of("spin5", 1)))
    for word in (
        "modelled",
        "47 chips",
        "images/s",
        "MAC kernels",
        "waits for new weights",
        "schedule tables",
        "in all",
    ):
        assert word in text
    assert len(layer_lines(chip())) == 12
