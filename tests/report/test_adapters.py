"""From plans, counters, graphs and folders to plain data."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from spindl.plan import machine_of, plan_step
from spindl.plan.cost import forecast, predict, time_line, total_cycles
from spindl.program.core import TILES
from spindl.report.errors import ReportError
from spindl.report.graphs import graph_costs, layers, stages
from spindl.report.measured import measured_report
from spindl.report.model import MemoryMap, StepReport, load_step, save_step
from spindl.report.planned import calls_of
from spindl.report.runs import BINS, read_run
from tests.report.samples import STEPS, board_step, make_run, small_case, small_plan, small_step


def test_products_by_hand() -> None:
    # tests/networks.small_lenet: what its forward pass multiplies, three times over but for the first layer
    graph = small_case().graph
    costs = {(c.layer, c.stage): c.multiply_accumulates for c in graph_costs(graph)}
    convolutions = [n for n in graph.nodes if n.op == "convolution"]
    first = convolutions[0]
    batch, out, height, width = first.shape
    _, channels, *kernel = graph.nodes[first.inputs[1]].shape
    assert costs[first.name, "forward"] == batch * out * height * width * channels * kernel[0] * kernel[1]
    assert costs[first.name, "backward"] == costs[first.name, "forward"]  # no gradient of the pictures
    for node in convolutions[1:]:
        assert costs[node.name, "backward"] == 2 * (costs[node.name, "forward"] or 0)


def test_stages_follow_the_step() -> None:
    graph = small_case().graph
    kinds = stages(graph)
    assert {kinds[i] for i in graph.find("convolution")} == {"forward"}
    assert {kinds[i] for i in graph.find("convolution_weight_gradient")} == {"backward"}
    assert {kinds[i] for i in graph.find("descend")} == {"update"}
    names = layers(graph)
    assert not any(name.endswith((".weight", ".bias")) for name in names)


def test_the_step_is_the_planners() -> None:
    step, phases = small_step(), predict(small_plan())
    assert step.cycles == total_cycles(phases)
    assert [p.end - p.start for p in step.phases] == [p.cycles for p in phases]
    assert step.images == 4
    moved = sum(cost.sdram_bytes or 0 for cost in step.costs)
    assert moved == sum(p.read + p.written for p in phases)
    spent = sum(s.end - s.start for line in step.timelines for s in line.slices if s.work in ("products", "kernel"))
    called = sum(sum(p.nodes.values()) for p in phases)
    assert called < spent < 1.05 * called  # calling them, and interrupts of transfers


def test_time_lines_have_no_gaps_and_no_overlaps() -> None:
    step = small_step()
    assert len(step.timelines) == 4
    for line in step.timelines:
        now = 0.0
        for piece in line.slices:
            assert piece.start == pytest.approx(now)
            assert piece.end > piece.start
            now = piece.end
        assert now == pytest.approx(step.cycles, abs=1)
        for before, after in zip(line.transfers, line.transfers[1:], strict=False):
            assert before.end <= after.start + 1e-6


def test_spans_of_a_phase_end_within_it() -> None:
    plan = small_plan()
    foreseen = forecast(plan)
    ends = list(itertools.accumulate(cost.cycles for cost in foreseen.phases))
    for steps, spans in zip(foreseen.walk.steps, time_line(foreseen.walk), strict=True):
        phase_of = {id(step.call): step.phase for step in steps if step.call}
        cores = [span for span in spans if span.activity in ("runtime", "wait", "barrier", "kernel") and span.call]
        assert all(span.end <= ends[phase_of[id(span.call)]] + 1 for span in cores)


def test_energy_adds_up() -> None:
    step = small_step()
    assert step.joules is not None
    assert step.joules == pytest.approx(sum(cost.joules or 0 for cost in step.costs))
    idle = step.energy[0]
    assert idle.joules == pytest.approx(3.56 * step.seconds)  # a 4-chip board
    assert all(part.low <= part.joules <= part.high for part in step.energy)


@pytest.mark.parametrize("which", ["sdram", "dtcm"])
def test_memory_that_lives_together_does_not_overlap(which: str) -> None:
    memory: MemoryMap = getattr(small_step(), which)
    assert 0 < memory.used <= memory.capacity
    for number, a in enumerate(memory.regions):
        assert memory.base <= a.address
        assert a.address + a.bytes <= memory.base + memory.capacity
        for b in memory.regions[number + 1 :]:
            together = a.first < b.last and b.first < a.last
            apart = a.address + a.bytes <= b.address or b.address + b.bytes <= a.address
            assert apart or not together, (a, b)


def test_all_bytes_of_the_plan_are_on_the_map() -> None:
    plan, memory = small_plan(), small_step().sdram
    assert memory is not None
    assert memory.used == plan.bytes
    assert len(memory.regions) == len(plan.lives)


def test_counters_of_cores_become_a_time_line() -> None:
    plan = small_plan()
    counters = [
        [{"barrier": 10, "dma": 20, "kernel": 100, "total": 150}] * sum(max(1, len(p)) for p in calls_of(plan, core))
        for core in range(4)
    ]
    step = measured_report([plan], {(0, 0): counters}, "emu")
    assert step.origin.label == "measured on the emulator"
    assert step.cycles >= 150 * max(len(each) for each in counters)
    for line, each in zip(step.timelines, counters, strict=True):
        spans = [s.end - s.start for s in line.slices if s.name != "not begun"]
        assert sum(spans) == 150 * len(each)
    with pytest.raises(ReportError, match="its schedule has"):
        measured_report([plan], {(0, 0): [counters[0][1:], *counters[1:]]}, "emu")
    with pytest.raises(ReportError, match="counters of 0 chips"):
        measured_report([plan], {}, "emu")
    with pytest.raises(ReportError, match="for a plan of 4"):
        measured_report([plan], {(0, 0): counters[:3]}, "emu")


def test_a_saved_step_is_the_same_step(tmp_path: Path) -> None:
    step = board_step()
    save_step(step, tmp_path / "step.json")
    assert load_step(tmp_path / "step.json") == step


def test_files_that_are_no_steps(tmp_path: Path) -> None:
    path = tmp_path / "step.json"
    with pytest.raises(ReportError, match="cannot be read"):
        load_step(path)
    path.write_text("[]")
    with pytest.raises(ReportError, match="no step of a report"):
        load_step(path)
    path.write_text(json.dumps({"version": 99}))
    with pytest.raises(ReportError, match="version 99"):
        load_step(path)


def test_a_run(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    assert (run.steps, run.epochs, run.executor) == (STEPS, 2, "sim")
    assert run.loss is not None and run.loss.y[0] == 2.0
    assert run.test_accuracy is not None and run.test_accuracy.y == (0.875, 0.875)
    assert run.float_test_accuracy is not None and run.float_test_accuracy.x == (10.0, 20.0)
    assert len(run.rates) == 1  # two groups with the same rate are one curve
    assert len(run.bins) == min(STEPS, BINS)
    assert run.saturation == {"fc.output": tuple(3 * (step == 7) for step in range(1, STEPS + 1))}
    sites = sum(name.startswith("site/") for name in small_case().graph.updates)
    assert len(run.exponents) == sites
    assert run.costs == graph_costs(small_case().graph)


def test_what_a_run_lacks_is_left_out(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "float32.json").write_text("not json")
    (folder / "program.spindl").unlink()
    lines = [line for line in (folder / "log.jsonl").read_text().splitlines() if '"epoch", ' not in line]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    run = read_run(folder)
    assert run.test_loss is None and run.float_loss is None and run.exponents == () and run.costs == ()


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="no log of a run here"):
        read_run(tmp_path)


def test_several_chips_share_the_images() -> None:
    plan = plan_step(small_case().graph, machine_of("spin3", 2, 4, TILES, 100 << 20))
    counters = [
        [{"barrier": 0, "dma": 0, "kernel": 100, "total": 100}] * sum(max(1, len(p)) for p in calls_of(plan, core))
        for core in range(4)
    ]
    step, alone = measured_report([plan, plan], {(0, 0): counters, (1, 0): counters}, "emu"), small_step()
    assert step.images == alone.images == 4

    def products(report: StepReport) -> int:
        return sum(cost.multiply_accumulates or 0 for cost in report.costs)

    assert products(step) == products(alone)
    assert sum(cost.packets or 0 for cost in step.costs) > 0
    assert all(cost.packets is None for cost in alone.costs)
    assert step.use is not None and [(c.x, c.y) for c in step.use.chips] == [(0, 0), (1, 0)]
    assert step.use.chips[0].cycles == step.use.chips[1].cycles > 0
    assert {part.name for part in step.energy} >= {"cores in streams", "packets, a hop each"}
