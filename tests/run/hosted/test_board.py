"""The executor `board`, on an emulated machine that it takes for a board: equal bits, and an error for each trouble."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from bench.plan import DRY_PASSES, graph_of, inputs_of
from spindl.emulator import Faults, Machine
from spindl.graph.interpreter import interpret
from spindl.machine import (
    MachineFile,
    MachineFileError,
    dead_parts,
    load_machine,
    model_topology,
    parse_machine,
    save_machine,
)
from spindl.plan import PlanError
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.image import load_image
from spindl.run import open_session
from spindl.run.board import read_machine, stop_programs
from spindl.run.chip import router_entries
from spindl.run.hosted import machine as hosted_machine
from spindl.run.hosted.errors import MachineStopped
from spindl.run.hosted.host import Host, MachineError
from spindl.run.hosted.live import MachineInUse, probe, read_topology
from spindl.run.interface import RunError
from tests.plan.networks import Case, case
from tests.plan.test_equality import assert_same

DEAD = Faults(cores=frozenset({(0, 0, 5), (1, 0, 9)}), links=frozenset({(0, 0, 0), (1, 0, 3)}))


CHIPS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""As the emulated machine counts them."""


def program_of(c: Case, device: str) -> Program:
    return planned(Program({"train": c.graph}, {}), "board", device)


def check_equal(c: Case, executor: str, device: str) -> None:
    """A session's outputs and states equal the interpreter's, step by step."""
    program = planned(Program({"train": c.graph}, {}), executor, device)
    state = dict(c.state)
    with closing(open_session(executor, program, State(c.state, Progress(0)), device=device)) as session:
        for inputs in c.inputs:
            outputs, updates, _ = interpret(c.graph, state, inputs)
            state |= updates
            assert_same(session.step("train", inputs), outputs)
        assert_same(session.state(), state)


def test_a_board_with_dead_parts_gives_equal_bits(
    served: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four chips; two cores and a link are dead: they are found, planned around, and change nothing.

    The first chip brings the states to the others, as it does with larger ones.
    """
    monkeypatch.setattr(hosted_machine, "requests_saved", lambda *_: 1)
    check_equal(case("thesis_convolution", steps=2), "board", f"{served(faults=DEAD).host}:4")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "conv1d", "lenet5", "resnet8"])
def test_whole_networks_on_a_board_with_dead_parts(name: str, served: Callable[..., Machine]) -> None:
    """The thesis's two networks, LeNet-5 (28x28), ResNet-8 (32x32), batch 8 on four chips: three steps equal the
    simulator's. The plan uses neither a dead core nor the dead link."""
    graph, first = graph_of(name, 8)
    inputs = inputs_of(graph, 8)
    device = f"{served(faults=DEAD).host}:4"
    bare = Program({"train": graph}, {})
    program = planned(bare, "board", device)
    assert len(program.chips["train"]) == 4
    used = {(*xy, link) for xy, entries in router_entries(program).items() for each in entries for link in each.links}
    assert used
    assert not used & DEAD.links
    with closing(open_session("sim", bare, State(first, Progress(0)))) as simulator:
        for _ in range(DRY_PASSES):
            simulator.step("train", inputs, "sites")
        state = State(simulator.state(), Progress(0))
        with closing(open_session("board", program, state, device=device)) as session:
            for _ in range(3):
                assert_same(session.step("train", inputs), simulator.step("train", inputs))
            assert_same(session.state(), simulator.state())


@pytest.mark.slow
def test_a_board_that_is_not_booted_is_booted(served: Callable[..., Machine]) -> None:
    machine = served(booted=False)
    with pytest.raises(MachineError, match=f"spin5@{machine.host}"):
        program_of(case("thesis_convolution", steps=1), machine.host)
    check_equal(case("thesis_convolution", steps=1), "board", f"spin3@{machine.host}")


def test_a_saved_board_is_planned_for_without_it(served: Callable[..., Machine], tmp_path: Path) -> None:
    machine = served(faults=DEAD)
    found = read_machine(parse_machine(machine.host), thorough=False).topology
    assert dead_parts(found).cores == DEAD.cores
    assert DEAD.links <= dead_parts(found).links
    file = tmp_path / "board.json"
    save_machine(MachineFile(found, machine.host), file)
    assert load_machine(file) == MachineFile(found, machine.host)
    c = case("thesis_convolution", steps=1)
    program = program_of(c, f"{file}:2")
    with closing(open_session("board", program, State(c.state, Progress(0)), device=f"{file}:2")) as session:
        assert_same(session.step("train", c.inputs[0]), interpret(c.graph, c.state, c.inputs[0])[0])
    save_machine(MachineFile(model_topology("spin3"), machine.host), file)
    with (
        closing(open_session("board", program, State(c.state, Progress(0)), device=str(file))) as session,
        pytest.raises(RunError, match=r"has lost cores since this file was written: \[\(0, 0, 5\), \(1, 0, 9\)\]"),
    ):
        session.step("train", c.inputs[0])


def test_a_probe_finds_what_is_not_listed(served: Callable[..., Machine]) -> None:
    """A core that halts and a link that is cut after the boot: SC&MP still lists both."""
    machine = served()
    with closing(Host(machine.host, 3)) as host:
        before = read_topology(host)
        assert not probe(host, before).failures
        machine.native.halt(0, 7)
        machine.chip(1, 1).write_register(0xF2000200, 1 << 2)  # link 2 off
        assert read_topology(host) == before
        found = probe(host, before)
    dead, known = dead_parts(found.topology), dead_parts(before)
    assert dead.cores - known.cores == {(0, 0, 7)}
    assert (1, 1, 2) in dead.links - known.links
    assert any("core 7 of chip (0, 0) does not start" in line for line in found.failures)


def test_a_board_in_use_is_left_alone(served: Callable[..., Machine]) -> None:
    """All cores of a chip: SpiNNMan counts those in use as missing."""
    machine = served()
    with closing(Host(machine.host, 3)) as host:
        cores = [(0, 1, core) for core in range(1, 18)]
        host.load(cores, load_image().aplx, 77)
        host.wait_for(cores, 77, "READY", 10)
        with pytest.raises(MachineInUse, match="17 cores run application 77") as caught:
            read_machine(parse_machine(machine.host))
        assert caught.value.cores == tuple(cores)
        assert "core 1: spindl, application 77, ready" in str(caught.value)
        assert f"spindl machine {machine.host} --stop" in caught.value.remedy
    assert stop_programs(parse_machine(machine.host)) == (77,)
    read_machine(parse_machine(machine.host), thorough=False)


def test_a_host_that_does_not_answer() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:  # takes what comes and says nothing
        silent.bind(("127.31.0.2", 17893))
        with pytest.raises(MachineError, match="nothing answers"):
            read_machine(parse_machine("127.31.0.2"))


def test_names_that_no_board_can_have() -> None:
    nothing, empty = Program({}, {}), State({}, Progress(0))
    with pytest.raises(RunError, match="a model, not a machine"):
        open_session("board", nothing, empty, device="spin5")
    with pytest.raises(RunError, match="no machine is named"):
        open_session("board", nothing, empty)
    with pytest.raises(RunError, match="a live machine"):
        open_session("emu", nothing, empty, device="127.0.0.77")
    with pytest.raises(MachineFileError, match="no such machine file"):
        open_session("emu", nothing, empty, device="missing.json")


def test_a_machine_smaller_than_asked(served: Callable[..., Machine]) -> None:
    with pytest.raises(PlanError, match="5 chips are wanted, spin3 has 4"):
        program_of(case("thesis_convolution", steps=1), f"{served().host}:5")


def test_an_image_of_another_version(served: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The records are made for another image than the cores run: each of them says so."""
    image = load_image()
    other = replace(image, sha="0000dead" + image.sha[8:])
    monkeypatch.setattr(hosted_machine, "read_image", lambda *_: other)
    host = served().host
    c = case("thesis_convolution", steps=1)
    with (
        closing(open_session("board", program_of(c, host), State(c.state, Progress(0)), device=host)) as session,
        pytest.raises(MachineStopped, match=r"IMAGE at step 0 .*: made for another image; details: .*: 0xdead"),
    ):
        session.step("train", c.inputs[0])


def test_a_core_that_dies_is_named(served: Callable[..., Machine]) -> None:
    """Core 4 of one of two chips halts between two steps: the others' errors, its state, the State is not given out."""
    machine = served()
    c = case("thesis_convolution", steps=2)
    device = f"{machine.host}:2"
    with closing(open_session("board", program_of(c, device), State(c.state, Progress(0)), device=device)) as session:
        session.step("train", c.inputs[0])
        machine.native.halt(0, machine.chip(0, 0).read(0xE5007FA8, 20)[4])
        with pytest.raises(MachineStopped) as caught:
            session.step("train", c.inputs[1])
        assert "chip (0, 0) core 4 (physical 4): has not finished" in str(caught.value)
        assert "BARRIER_TIME_OUT" in str(caught.value)
        with pytest.raises(RunError, match="last checkpoint"):
            session.state()


@pytest.mark.slow
def test_a_chip_that_dies_is_named(served: Callable[..., Machine]) -> None:
    machine = served()
    c = case("thesis_convolution", steps=1)
    device = f"{machine.host}:2"
    with closing(open_session("board", program_of(c, device), State(c.state, Progress(0)), device=device)) as session:
        session.step("train", c.inputs[0])
        for core in range(18):
            machine.native.halt(CHIPS.index((1, 0)), core)
        with pytest.raises(RunError, match=r"chip \(1, 0\).* does not answer"):
            session.step("train", c.inputs[0])
