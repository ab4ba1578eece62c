"""A planned step on emulated cores, reported as they counted it."""

from __future__ import annotations

import pytest

from spindl.plan import emit
from spindl.program.image import ROOT, build_image
from spindl.program.machine import relocated
from spindl.report.measured import measured_report
from spindl.report.page import run_page
from spindl.run import chip
from spindl.run.emu.direct import SDRAM, walk
from spindl.run.walker import HostMemory
from tests.report.samples import small_case, small_plan


@pytest.mark.slow
def test_a_step_as_emulated_cores_counted_it() -> None:
    plan, case = small_plan(), small_case()
    calls = [c for phase in plan.phases for core in phase.cores for placed in core for c in placed.task.calls]
    image = build_image(ROOT / "kernels", ROOT / "build" / "arm", {call.kernel for call in calls if call.kernel})
    program = emit(plan, image.version)
    memory = HostMemory(-(-program.bytes // 4) * 4)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, case.state)
    chip.write_inputs(program, memory, case.inputs[0])
    schedules = [relocated(schedule, SDRAM) for schedule in program.schedules["all"]]
    done = walk(image, schedules, {SDRAM: memory.read(0, len(memory.bytes))})
    done.check()
    cores = done.cores[0, 0]
    step = measured_report(plan, [core.steps for core in cores], "emu")
    for line, core in zip(step.timelines, cores, strict=True):
        spent = {work: sum(s.end - s.start for s in line.slices if s.work == work) for work in ("wait_dma", "runtime")}
        assert line.slices[-1].end == core.counters["cycles"]
        assert spent["wait_dma"] == core.counters["cycles_waiting_dma"]
        kernels = sum(s.end - s.start for s in line.slices if s.work in ("products", "kernel"))
        assert kernels == core.counters["kernel_cycles"]
    assert "measured on the emulator" in run_page(None, step)
