"""Cores that die in a step are named in time, whichever they are: the host asks one core at a time."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from spindl.emulator import Machine
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.core import CORE
from spindl.run import open_session
from spindl.run.hosted.errors import MachineStopped
from spindl.run.hosted.loading import CORE_TIME_OUT
from spindl.run.hosted.machine import LoadedMachine
from tests.plan.networks import case

POLLS = 2.0
"""Seconds that questions and the post-mortem may take of a machine that is not faster than the host."""
VIRTUAL_TO_PHYSICAL = 0xE5007FA8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("chips", "dies"), [(1, (0, 0)), (1, (0, 6)), (2, (0, 0)), (2, (0, 6)), (2, (1, 0)), (2, (1, 13))]
)
def test_a_core_that_dies_in_the_middle_of_a_step(
    chips: int, dies: tuple[int, int], served: Callable[..., Machine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A core, also the first one of its chip, halts when some steps of its schedule are done. The others stop within
    CORE_TIME_OUT of the machine's time, in the middle of theirs; the host says so at once, and names it."""
    machine = served(speed=1)
    c = case("thesis_mlp", steps=2)
    device = f"{machine.host}:{chips}"
    program = planned(Program({"train": c.graph}, {}), "board", device)
    died: list[float] = []
    wait = LoadedMachine._wait

    def dying(loaded: LoadedMachine, *limits: Any) -> None:
        if loaded._sequence == 3:  # the second step has begun, the commands are given
            chip, index = loaded.chips[dies[0]], dies[1]
            begun = machine.time
            while machine.time < begun + 0.002:
                pass
            place = [(p.x, p.y) for p in machine.topology.places].index(chip.xy)
            machine.native.halt(place, chip.names[index].physical)
            died.append(machine.time)
        wait(loaded, *limits)

    monkeypatch.setattr(LoadedMachine, "_wait", dying)
    with closing(open_session("board", program, State(c.state, Progress(0)), device=device)) as session:
        session.step("train", c.inputs[0])
        loaded = session._running  # type: ignore[attr-defined]
        chip = loaded.chips[dies[0]]
        with pytest.raises(MachineStopped) as caught:
            session.step("train", c.inputs[1])
        passed = machine.time - died[0]
    name = f"chip {chip.xy} core {chip.names[dies[1]].virtual} (physical {chip.names[dies[1]].physical})"
    assert f"{name}: has not finished" in str(caught.value)
    assert passed < CORE_TIME_OUT + loaded._predicted["train"] + POLLS
    (left,) = [core for core in caught.value.cores if core.name == name]
    others = [core for core in caught.value.cores if core.xy == left.xy and core is not left]
    steps = [len(s.steps) for s in chip.graphs["train"].program.schedules["all"]]
    found = [core.result.error for core in others if core.result is not None and core.result.error is not None]
    assert found
    assert all(0 < error.step < max(steps) for error in found)


class _Clockwork:
    """A machine whose cores have answered, but for one; its clock goes on by a second with each look."""

    address = "clockwork"

    def __init__(self) -> None:
        self.time = 0.0

    def clock(self) -> float:
        self.time += 1
        return self.time

    def read(self, spans: list[Any]) -> list[bytes]:
        return [bytes([0 if at // 1000 == 7 else 1]) + bytes(7) for _, at, _ in spans]


def test_a_core_that_dies_behind_the_last_barrier(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it any more: when the others have answered, it has a core's time-out left, not a step's."""
    loaded = object.__new__(LoadedMachine)
    loaded.host = _Clockwork()  # type: ignore[assignment]
    load = SimpleNamespace(records=[1000 * core for core in range(1, 17)])
    loaded.chips = (SimpleNamespace(xy=(0, 0), load=load),)  # type: ignore[assignment]
    monkeypatch.setattr(LoadedMachine, "_stopped", lambda _, reason: MachineStopped(reason, [], {}, [], "clockwork"))
    assert CORE.layout.size < 1000
    with pytest.raises(MachineStopped, match="has not ended in"):
        loaded._wait(1, 600.0, 5.0)
    assert loaded.host.clock() < 10
