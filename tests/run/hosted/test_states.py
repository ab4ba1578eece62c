"""States of several chips: by which way they go there, and what is said of it."""

from __future__ import annotations

from contextlib import closing

import pytest

from spindl.graph.interpreter import interpret
from spindl.plan import emit, machine_of, plan_chips
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.image import load_image
from spindl.program.load import CoreName
from spindl.program.machine import ChipProgram
from spindl.run import open_session
from spindl.run.emu.session import EmulatedSession
from spindl.run.hosted.loading import LoadedChip, filled, lay_out, requests_saved
from spindl.run.hosted.usage import Usage
from tests.plan.networks import case
from tests.plan.test_equality import assert_same

pytest.importorskip("spinnman")


def loaded(parts: list[ChipProgram]) -> list[LoadedChip]:
    names = [CoreName(core, core) for core in range(1, 17)]
    layouts = [lay_out(load_image(), p.xy, names, k, {"train": p}, len(parts)) for k, p in enumerate(parts)]
    return [filled(layout, 0)[0] for layout in layouts]


def test_few_bytes_go_to_each_chip_and_many_by_streams() -> None:
    """What a schedule of its own costs is weighed: few states on many cores, and many on few."""
    small = case("thesis_convolution", batch=4, steps=1).graph
    assert requests_saved(loaded([emit(p, 0) for p in plan_chips(small, machine_of("spin3", 4, 16))]), "train") < 0
    large = case("thesis_mlp", batch=16, steps=1).graph
    assert requests_saved(loaded([emit(p, 0) for p in plan_chips(large, machine_of("spin5", 16, 5))]), "train") > 0
    alone = plan_chips(large, machine_of("spin3", 1, 5))
    assert requests_saved(loaded([emit(p, 0) for p in alone]), "train") == 0


def test_what_streams_brought_is_said() -> None:
    assert len(Usage().lines()) == 2
    said = Usage(brought=3_000_000, bring_seconds=0.1).lines()[-1]
    assert said == "streams: states to other chips, 3.00 MB in 100.0 ms of the machine's time (30.0 MB/s)"


@pytest.mark.slow
def test_an_evaluation_between_steps_moves_states_by_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of one graph, another in between, and back: states go to each graph's memory through the first chip."""
    monkeypatch.setattr("spindl.run.hosted.machine.requests_saved", lambda *_: 1)
    c, other = case("lenet", steps=3), case("lenet", steps=1, momentum=True)
    program = planned(Program({"train": c.graph, "again": other.graph}, {}), "emu", "spin3:4")
    state = dict(c.state)
    with closing(open_session("emu", program, State(c.state, Progress(0)), device="spin3:4")) as session:
        for graph, inputs in zip(("train", "again", "train"), c.inputs, strict=True):
            outputs, updates, _ = interpret(c.graph, state, inputs)
            state |= updates
            assert_same(session.step(graph, inputs), outputs)
        assert_same(session.state(), state)
        assert isinstance(session, EmulatedSession)
        usage = session.measure()
    assert usage.brought > 0
    assert usage.brought / usage.bring_seconds > 5e6
