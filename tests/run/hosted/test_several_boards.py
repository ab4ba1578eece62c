"""A machine of three boards: data enter through the Ethernet chip of each, and the bits stay those of one chip.

`python -m tests.run.hosted.test_several_boards lenet5` prints what went through which Ethernet chip, and how fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest

from bench.plan import DRY_PASSES, graph_of, inputs_of
from spindl.emulator import Machine
from spindl.graph.interpreter import interpret
from spindl.machine import Topology, model_topology, parse_machine
from spindl.plan import Machine as TargetMachine
from spindl.plan import machine_of
from spindl.plan.machine import application_cores
from spindl.planning import with_plans
from spindl.program import Program, Progress, State
from spindl.run import open_session
from spindl.run.board import read_machine
from spindl.run.hosted import machine as hosted_machine
from spindl.run.hosted.session import HostedSession
from spindl.run.hosted.usage import Usage
from tests.plan.networks import case
from tests.plan.test_equality import assert_same

pytest.importorskip("spinnman")

ETHERNET = ((0, 0), (4, 8), (8, 4))
USED = tuple((x + dx, y + dy) for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1)) for x, y in ETHERNET)[:-1]
"""Chips that take part: four of the first board and of the second, three of the third."""


def target(topology: Topology) -> TargetMachine:
    """The machine to plan for: chips next to each Ethernet chip, as many cores as all of them have."""
    cores = min(application_cores(topology, xy) for xy in USED)
    return replace(machine_of(topology, 1, cores), used=USED)


def steps(name: str, executor: str, device: str, topology: Topology, count: int) -> Usage:
    """Steps that equal the simulator's to the bit, an image a chip; what they asked of the links to the machine."""
    graph, first = graph_of(name, len(USED))
    inputs, bare = inputs_of(graph, len(USED)), Program({"train": graph}, {})
    program = with_plans(bare, target(topology))
    with closing(open_session("sim", bare, State(first, Progress(0)))) as simulator:
        for _ in range(DRY_PASSES):
            simulator.step("train", inputs, "sites")
        state = State(simulator.state(), Progress(0))
        with closing(open_session(executor, program, state, device=device)) as session:
            assert isinstance(session, HostedSession)
            for _ in range(count):
                assert_same(session.step("train", inputs), simulator.step("train", inputs))
            assert_same(session.state(), simulator.state())
            return session.measure()


def check_shared(usage: Usage) -> None:
    """Each board's Ethernet chip has brought its part, and the State has entered once."""
    for moved in (usage.loaded_by, usage.written_by, usage.read_by):
        assert set(moved) == set(ETHERNET)
        assert all(moved.values())
    assert (usage.loaded, usage.written, usage.read) == (
        usage.loaded_by.total(),
        usage.written_by.total(),
        usage.read_by.total(),
    )
    assert usage.brought > 0


@pytest.mark.slow
def test_three_boards_take_data_through_their_own_plugs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_machine, "requests_saved", lambda *_: 1)
    usage = steps("mlp", "emu", "triad", model_topology("triad"), 2)
    check_shared(usage)
    assert [line.partition(":")[0].strip() for line in usage.lines()[2:5]] == [
        f"through the Ethernet chip {xy}" for xy in ETHERNET
    ]


@pytest.mark.slow
def test_a_board_executor_finds_all_boards(served: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch) -> None:
    """The executor `board` reads the machine, and probes it, through three plugs."""
    monkeypatch.setattr(hosted_machine, "requests_saved", lambda *_: 1)
    machine = served("1x1-triads")
    found = read_machine(parse_machine(machine.host))
    assert not found.failures
    assert found.topology.boards == len(ETHERNET)
    check_shared(steps("mlp", "board", machine.host, found.topology, 2))


@pytest.mark.slow
def test_pictures_go_to_the_plug_of_their_board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each board's Ethernet chip gets its chips' pictures and labels, and the scalars of each chip; nothing twice."""
    monkeypatch.setattr("spindl.plan.deliver.LEAST_INPUT", 64)
    monkeypatch.setenv("SPINDL_CACHE", str(tmp_path))
    c = case("lenet", batch=2 * len(USED), steps=1)
    program = with_plans(Program({"train": c.graph}, {}), target(model_topology("triad")))
    assert [part.xy for part in program.chips["train"] if part.staged_inputs] == list(ETHERNET)
    with closing(open_session("emu", program, State(c.state, Progress(0)), device="triad")) as session:
        assert isinstance(session, HostedSession)
        assert_same(session.step("train", c.inputs[0]), interpret(c.graph, c.state, c.inputs[0])[0])
        machine = session._ready("train")
        before = dict(machine.host.written)
        machine.write_inputs("train", c.inputs[0])
        written = [machine.host.written[xy] - before[xy] for xy in ETHERNET]
    assert [each // chips for each, chips in zip(written, (4, 4, 3), strict=True)] == [written[0] // 4] * 3


def main() -> None:
    """See the module."""
    name = sys.argv[1] if len(sys.argv) > 1 else "mlp"
    with mock.patch.object(hosted_machine, "requests_saved", lambda *_: 1):
        print("\n".join(steps(name, "emu", "triad", model_topology("triad"), 3).lines()))


if __name__ == "__main__":
    main()
