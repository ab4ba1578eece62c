"""Planned steps and the overlays of the image that is shipped."""

from __future__ import annotations

from itertools import groupby

import pytest

from spindl.emulator import emulate
from spindl.graph.interpreter import interpret
from spindl.plan import emit, machine_of, plan_step
from spindl.program.core import TILES
from spindl.program.image import load_image
from spindl.program.machine import relocated
from spindl.program.overlays import overlay_of
from spindl.run import chip
from spindl.run.emu.direct import SDRAM, walk
from spindl.run.walker import HostMemory
from tests.plan.networks import case
from tests.plan.test_equality import assert_same


@pytest.mark.parametrize("cores", [1, 16])
def test_a_strict_machine_has_nothing_to_say(cores: int) -> None:
    """Two steps of a small ResNet, whose kernels lie in six overlays."""
    c, image = case("resnet", steps=2), load_image()
    plan = plan_step(c.graph, machine_of("spin3", 1, cores, TILES, 64 << 20))
    program = emit(plan, image.version)
    memory = HostMemory(program.bytes)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, c.state)
    schedules = [relocated(schedule, SDRAM) for schedule in program.schedules["all"]]
    state = dict(c.state)
    for inputs in c.inputs:
        outputs, updates, _ = interpret(c.graph, state, inputs)
        state |= updates
        chip.write_inputs(program, memory, inputs)
        machine = emulate("1x1", connected=False, strict="warn")
        done = walk(image, schedules, {SDRAM: memory.read(0, program.bytes)}, machine=machine)
        done.check()
        assert machine.chip(0, 0).reports == []
        memory.write(0, done.read(SDRAM, program.bytes))
        assert_same(chip.read_outputs(program, memory), outputs)
        assert_same(chip.read_states(program, memory), state)
    assert done.cores[0, 0][0].counters["overlays_loaded"] > 6


@pytest.mark.parametrize("cores", [1, 16])
@pytest.mark.parametrize("name", ["lenet", "resnet", "mixed"])
def test_code_is_brought_once_a_phase(name: str, cores: int) -> None:
    """The tasks of a core that use the same overlay follow each other."""
    plan = plan_step(case(name, steps=1).graph, machine_of("spin3", 1, cores, TILES, 64 << 20))
    for phase in plan.phases[1:-2]:
        for tasks in phase.cores:
            codes = [overlay_of(call.kernel) for placed in tasks for call in placed.task.calls]
            runs = [code for code, _ in groupby(code for code in codes if code)]
            assert len(runs) == len(set(runs)), phase.name
