"""A core that dies in a run: it stops by name, keeps its checkpoint, and goes on on other chips to the same bits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from spindl.emulator import Machine
from spindl.fit import Event
from spindl.record import read_rows
from spindl.run.hosted.errors import MachineStopped
from spindl.run.hosted.host import MachineError
from spindl.run.hosted.machine import LoadedMachine
from tests.trainer.support import assert_same_state, pictures, trainer

BROKEN_OFF = 10
"""Number of the command that is broken off; those before calibrate, train and test."""


def options(run_dir: Path) -> dict[str, object]:
    return {"run_dir": run_dir, "train": pictures(32, 1), "test": pictures(16, 2), "checkpoint_steps": 1, "epochs": 2}


@pytest.mark.parametrize(("chips", "left"), [(2, 1), pytest.param(4, 2, marks=pytest.mark.slow)])
def test_a_run_whose_core_dies_goes_on_on_fewer_chips(
    chips: int, left: int, served: Callable[..., Machine], tmp_path: Path
) -> None:
    """In the second epoch a core halts. Half of the chips replay what is lost; the end is the simulator's."""
    whole = trainer(executor="sim", **options(tmp_path / "whole"))
    whole.fit()
    machine = served()

    def kill(event: Event) -> None:
        if event.kind == "epoch_start" and event.epoch == 2:
            machine.native.halt(0, machine.chip(0, 0).read(0xE5007FA8, 20)[6])

    folder = tmp_path / "run"
    broken = trainer(executor="board", device=f"{machine.host}:{chips}", on_event=kill, **options(folder))
    with pytest.raises(MachineStopped, match=r"chip \(0, 0\) core 6 .*has not finished"):
        broken.fit()
    assert [row["step"] for row in read_rows(folder / "log.jsonl") if row["kind"] == "step"] == [1, 2]

    resumed = trainer(executor="emu", device=f"spin3:{left}", resume=True, **options(folder))
    resumed.fit()
    assert_same_state(resumed.state, whole.state)


@pytest.mark.slow
def test_a_board_that_lost_a_core_is_probed_and_used_on(served: Callable[..., Machine], tmp_path: Path) -> None:
    """The same board after the fault: the probe finds the dead core, the plan goes around it."""
    whole = trainer(executor="sim", **options(tmp_path / "whole"))
    whole.fit()
    machine = served()

    def kill(event: Event) -> None:
        if event.kind == "epoch_start" and event.epoch == 2:
            machine.native.halt(0, machine.chip(0, 0).read(0xE5007FA8, 20)[6])

    folder = tmp_path / "run"
    with pytest.raises(MachineStopped):
        trainer(executor="board", device=f"{machine.host}:4", on_event=kill, **options(folder)).fit()
    resumed = trainer(executor="board", device=f"{machine.host}:4", resume=True, **options(folder))
    resumed.fit()
    assert_same_state(resumed.state, whole.state)


@pytest.mark.slow
def test_a_machine_that_is_switched_off_in_a_run(served: Callable[..., Machine], tmp_path: Path) -> None:
    """It says so, with what to do; the run goes on elsewhere."""
    whole = trainer(executor="sim", **options(tmp_path / "whole"))
    whole.fit()
    machine = served()

    def off(event: Event) -> None:
        if event.kind == "epoch_start" and event.epoch == 2:
            machine.close()

    folder = tmp_path / "run"
    with pytest.raises(MachineError, match="is it still switched on and connected"):
        trainer(executor="board", device=f"{machine.host}:2", on_event=off, **options(folder)).fit()
    resumed = trainer(executor="emu", device="spin3:1", resume=True, **options(folder))
    resumed.fit()
    assert_same_state(resumed.state, whole.state)


@pytest.mark.slow
def test_a_run_that_is_broken_off_in_a_step(
    served: Callable[..., Machine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C twice ends a run at once, in the middle of a step; the board is left free, and the run goes on there."""
    whole = trainer(executor="sim", **options(tmp_path / "whole"))
    whole.fit()
    machine, folder, real = served(), tmp_path / "run", LoadedMachine._wait

    def wait(self: LoadedMachine, command: int, seconds: float, rest: float) -> None:
        if command >> 8 == BROKEN_OFF:
            raise KeyboardInterrupt
        real(self, command, seconds, rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(LoadedMachine, "_wait", wait)
        trainer(executor="board", device=f"{machine.host}:2", **options(folder)).fit()
    steps = [row["step"] for row in read_rows(folder / "log.jsonl") if row["kind"] == "step"]
    assert steps in ([1], [1, 2], [1, 2, 3])
    resumed = trainer(executor="board", device=f"{machine.host}:1", resume=True, **options(folder))
    resumed.fit()
    assert_same_state(resumed.state, whole.state)
