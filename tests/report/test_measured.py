"""Planned steps on emulated cores, reported as the cores counted them."""

from __future__ import annotations

import pytest

from spindl.plan import machine_of, plan_step
from spindl.program.core import TILES
from spindl.report.measured import measured_report
from spindl.report.page import run_page
from tests.plan.networks import case
from tests.plan.test_emulated import emulated


@pytest.mark.slow
@pytest.mark.parametrize(("chips", "cores"), [(1, 16), (4, 4)])
def test_a_step_as_emulated_cores_counted_it(chips: int, cores: int) -> None:
    lenet = case("lenet", steps=1)
    machine = machine_of("spin3", chips, cores, TILES, 64 << 20)
    plans = [plan_step(lenet.graph, machine, number) for number in range(chips)]
    ((_, _, done),) = emulated(lenet, chips, cores)
    step = measured_report(plans, {xy: [core.steps for core in each] for xy, each in done.cores.items()}, "emu")
    assert len(step.timelines) == chips * cores
    streams = []
    for line in step.timelines:
        counted = done.cores[line.chip][line.core].counters
        works = {work: sum(s.end - s.start for s in line.slices if s.work == work) for work in ("wait_dma", "stream")}
        begun = line.slices[0].end if line.slices[0].name == "not begun" else 0.0
        assert line.slices[-1].end - begun == pytest.approx(counted["cycles"])
        assert works["wait_dma"] <= counted["cycles_waiting_dma"]  # which also has waits before the first step
        kernels = sum(s.end - s.start for s in line.slices if s.work in ("products", "kernel"))
        assert kernels + works["stream"] == counted["kernel_cycles"]
        streams.append(works["stream"])
    assert any(streams) == (chips > 1)
    assert "measured on the emulator" in run_page(None, step)
