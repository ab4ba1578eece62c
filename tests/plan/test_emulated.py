"""Planned steps on emulated cores equal the interpreter: bare chips, and a booted machine driven by SpiNNMan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import cache

import numpy as np
import pytest

from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.machine import TopologyError, parse_topology
from spindl.plan import PlanError, emit, machine_of, nearest, plan_step
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.core import TILES
from spindl.program.image import Image, load_image
from spindl.program.load import Setting
from spindl.program.machine import ChipProgram
from spindl.run import chip, open_session
from spindl.run.emu.direct import CONTROL, SDRAM, Result, walk_programs
from spindl.run.interface import RunError
from tests.plan.networks import Case, case
from tests.plan.test_equality import assert_same


@cache
def image() -> Image:
    return load_image()


class Bytes:
    """A chip's memory as the host prepares it."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self.data[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        self.data[address : address + len(data)] = data


def emulated(c: Case, chips: int, cores: int) -> Iterator[tuple[list[ChipProgram], list[Bytes], Result]]:
    """Runs the steps of a case on bare emulated chips."""
    machine = machine_of("spin3", chips, cores, TILES, 64 << 20)
    programs = [emit(plan_step(c.graph, machine, number), image().version) for number in range(chips)]
    memories = [Bytes(program.bytes) for program in programs]
    for program, memory in zip(programs, memories, strict=True):
        chip.write_contents(program, memory)
        chip.write_states(program, memory, c.state)
    for inputs in c.inputs:
        for program, memory in zip(programs, memories, strict=True):
            chip.write_inputs(program, memory, inputs)
        setting = Setting(((SDRAM, CONTROL, True),), chips, 3000)
        done = walk_programs(image(), programs, [bytes(memory.data) for memory in memories], setting)
        done.check()
        for program, memory in zip(programs, memories, strict=True):
            memory.data[:] = done.read(SDRAM, program.bytes, program.xy)
        yield programs, memories, done


def check_emulated(name: str, chips: int, cores: int, steps: int = 3) -> None:
    c = case(name, steps=steps)
    state = dict(c.state)
    for inputs, (programs, memories, _) in zip(c.inputs, emulated(c, chips, cores), strict=True):
        outputs, updates, _ = interpret(c.graph, state, inputs)
        state |= updates
        found = [chip.read_outputs(*each) for each in zip(programs, memories, strict=True)]
        assert_same(chip.joined_outputs(found, programs[0]), outputs)
        states = [chip.read_states(*each) for each in zip(programs, memories, strict=True)]
        assert_same(chip.joined_states(states, programs), state)


@pytest.mark.parametrize(("name", "chips", "cores"), [("lenet", 1, 1), ("lenet", 1, 16), ("lenet", 4, 4)])
def test_steps_on_emulated_cores(name: str, chips: int, cores: int) -> None:
    check_emulated(name, chips, cores)


@pytest.mark.slow
@pytest.mark.parametrize(("chips", "cores"), [(1, 16), (2, 6), (4, 5)])
@pytest.mark.parametrize("name", ["resnet", "mixed", "dropout", "dense", "thesis_mlp", "thesis_convolution"])
def test_every_network_on_emulated_cores(name: str, chips: int, cores: int) -> None:
    check_emulated(name, chips, cores)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["spin3", "spin3:4"])
def test_session_through_spinnman(device: str) -> None:
    """The executor emu: dry pass, steps, an evaluation in between, states back."""
    pytest.importorskip("spinnman")
    c = case("lenet", steps=3)
    program = planned(Program({"train": c.graph}, {}), "emu", device)
    state = dict(c.state)
    with closing(open_session("emu", program, State(c.state, Progress(0)), device=device)) as session:
        for inputs, commit in zip(c.inputs, ("sites", "all", "none"), strict=True):
            outputs, updates, _ = interpret(c.graph, state, inputs)
            assert_same(session.step("train", inputs, commit), outputs)  # type: ignore[arg-type]
            state |= {k: v for k, v in updates.items() if commit == "all" or (commit == "sites" and k[:5] == "site/")}
            assert_same(session.state(), state)
    assert_same(session.state(), state)


@pytest.mark.slow
def test_a_machine_that_stops_is_named() -> None:
    """A label that is none stops a kernel: the step's error names it, and the State is not given out any more."""
    pytest.importorskip("spinnman")
    c = case("lenet", steps=1)
    program = planned(Program({"train": c.graph}, {}), "emu", "spin3")
    with closing(open_session("emu", program, State(c.state, Progress(0)), device="spin3")) as session:
        with pytest.raises(RunError, match="a value that the training graph excludes"):
            session.step("train", {**c.inputs[0], "labels": Value(np.full(8, 77))})
        with pytest.raises(RunError, match="last checkpoint"):
            session.state()


def test_sessions_that_cannot_be() -> None:
    c = case("lenet", steps=1)
    with pytest.raises(RunError, match="knows no 4x4"):
        open_session("emu", Program({}, {}), State({}, Progress(0)), device="4x4")
    session = open_session("emu", Program({"train": c.graph}, {}), State(c.state, Progress(0)), device="spin3")
    with pytest.raises(RunError, match="has no plan"):
        session.step("train", c.inputs[0])
    with pytest.raises(TopologyError, match="behind the colon"):
        planned(Program({"train": c.graph}, {}), "emu", "spin3:x")
    with pytest.raises(PlanError, match="5 chips are wanted"):
        nearest(parse_topology("spin3"), 5)
    missing = dict(c.state)
    missing.pop("weights/fc1.weight")
    part = emit(plan_step(c.graph, machine_of("spin3", 1, 2, TILES, 64 << 20)), 0)
    with pytest.raises(RunError, match=r"weights/fc1.weight"):
        chip.write_states(part, Bytes(part.bytes), missing)
    with pytest.raises(RunError, match="'images' was not given"):
        chip.write_inputs(part, Bytes(part.bytes), {"labels": Value(np.zeros(8, np.int64))})
