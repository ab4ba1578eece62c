"""Stopping and going on: signals, kill -9 at random moments and in the middle of a write; the bits must not notice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spindl
from spindl.fit import Interrupted
from spindl.program import CheckpointFolder, StateError, load_state
from spindl.record import read_rows, truncate_log
from tests.trainer.support import assert_same_state, network, trainer

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 120


def timeless(path: Path) -> list[dict[str, Any]]:
    """The lines of a log about steps and epochs, without what is measured."""
    measured = ("images_per_second", "seconds")
    rows = [row for row in read_rows(path) if row["kind"] in ("step", "epoch")]
    return [{key: value for key, value in row.items() if key not in measured} for row in rows]


class StopAt:
    """A scheduler that sends a signal to this process at a step."""

    def __init__(self, step: int, number: int) -> None:
        self.left, self.number = step, number

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize(
    ("number", "step"), [(signal.SIGINT, 1), (signal.SIGTERM, 3), (signal.SIGINT, 4), (signal.SIGTERM, 7)]
)
def test_signal_finishes_the_step_and_resumes_exactly(tmp_path: Path, number: int, step: int) -> None:
    module = network()
    whole = trainer(run_dir=tmp_path / "whole", scheduler=lambda o: StopAt(0, number), schedule_interval="step")
    whole.fit()
    stopped = trainer(
        module, run_dir=tmp_path / "run", scheduler=lambda o: StopAt(step, number), schedule_interval="step"
    )
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match="--resume") as caught:
        stopped.fit()
    assert signal.getsignal(number) is before
    assert caught.value.signal_name == signal.Signals(number).name
    assert caught.value.checkpoint == tmp_path / "run" / "checkpoints" / f"step-{step:08d}"
    assert load_state(caught.value.checkpoint).progress.step == step
    weights = module.conv.weight.detach().clone()
    assert not torch.equal(weights, network().conv.weight)  # written back

    resumed = trainer(
        network(9),
        run_dir=tmp_path / "run",
        scheduler=lambda o: StopAt(0, number),
        schedule_interval="step",
        resume=True,
    )
    record = resumed.fit()
    assert_same_state(whole.state, resumed.state)
    assert timeless(tmp_path / "whole" / "log.jsonl") == timeless(tmp_path / "run" / "log.jsonl")
    assert [epoch.epoch for epoch in record.epochs] == [1, 2]


@pytest.mark.parametrize("step", [5, 6])
def test_last_batch_filled_from_the_next_epoch(tmp_path: Path, step: int) -> None:
    """70 images in batches of 16 are 5 steps; stopped at the last step of an epoch, or after it, it goes on alike."""
    whole = trainer(fill_last=True)
    whole.fit()
    assert (whole.state.progress.step, whole.state.progress.images) == (10, 160)
    stopped = trainer(
        run_dir=tmp_path, fill_last=True, scheduler=lambda o: StopAt(step, signal.SIGINT), schedule_interval="step"
    )
    with pytest.raises(Interrupted):
        stopped.fit()
    resumed = trainer(
        run_dir=tmp_path,
        fill_last=True,
        resume=True,
        scheduler=lambda o: StopAt(0, signal.SIGINT),
        schedule_interval="step",
    )
    resumed.fit()
    assert resumed.state.values.keys() == whole.state.values.keys()
    for name, value in whole.state.values.items():
        assert np.array_equal(value.mantissa, resumed.state.values[name].mantissa), name
    with pytest.raises(StateError, match="the last batch of an epoch was filled up"):
        trainer(
            run_dir=tmp_path, resume=True, scheduler=lambda o: StopAt(0, signal.SIGINT), schedule_interval="step"
        ).fit()


def test_interrupt_without_a_run_folder() -> None:
    stopped = trainer(scheduler=lambda o: StopAt(2, signal.SIGINT), schedule_interval="step")
    with pytest.raises(KeyboardInterrupt, match="no run folder"):
        stopped.fit()
    assert stopped.state.progress.step == 2


def test_resume_of_a_finished_run_does_nothing(tmp_path: Path) -> None:
    first = trainer(run_dir=tmp_path)
    first.fit()
    log = timeless(tmp_path / "log.jsonl")
    again = trainer(network(3), run_dir=tmp_path, resume=True)
    record = again.fit()
    assert_same_state(first.state, again.state)
    assert timeless(tmp_path / "log.jsonl") == log
    assert len(record.epochs) == 2
    assert torch.equal(first.module.conv.weight, again.module.conv.weight)  # type: ignore[union-attr, arg-type]


def test_more_epochs_than_before(tmp_path: Path) -> None:
    whole = trainer(epochs=3)
    whole.fit()
    trainer(epochs=1, run_dir=tmp_path).fit()
    longer = trainer(epochs=3, run_dir=tmp_path, resume=True)
    longer.fit()
    assert_same_state(whole.state, longer.state)


def test_log_is_cut_to_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = ['{"kind":"step","step":1}', '{"kind":"epoch","step":1,"epoch":1}', '{"kind":"step","step":2}']
    path.write_text("\n".join(rows) + "\n" + '{"kind":"step","st')
    truncate_log(path, 2, 1)
    assert path.read_text() == "\n".join(rows) + "\n"
    truncate_log(path, 1, 1)
    assert path.read_text() == "\n".join(rows[:2]) + "\n"
    truncate_log(path, 1, 0)
    assert path.read_text() == rows[0] + "\n"


def start(run_dir: Path, *extra: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.trainer.killable", str(run_dir), *extra]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


def log_size(run_dir: Path) -> int:
    path = run_dir / "log.jsonl"
    return path.stat().st_size if path.exists() else 0


def kill_soon(process: subprocess.Popen[bytes], run_dir: Path, generator: random.Random) -> None:
    """Wait until the log has grown by a random amount, then a random moment more, then kill."""
    before, growth = log_size(run_dir), generator.randrange(300, 4000)
    deadline = time.monotonic() + LIMIT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        size = log_size(run_dir)
        before = min(before, size)  # resuming cuts the log
        if size >= before + growth:
            time.sleep(generator.random() * 0.03)
            process.kill()
            return
        time.sleep(0.001)


def test_halves_of_files_that_a_killed_process_left_are_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, living = (tmp_path / f".weights.safetensors.{pid}.tmp" for pid in (dead.pid, os.getppid()))
    for path in (left, living):
        path.write_bytes(b"half")
    trainer(epochs=1, run_dir=tmp_path).fit()
    assert not left.exists()
    assert living.exists()


@pytest.mark.parametrize(
    ("writes", "kills"), [((3,), 2), pytest.param((1, 2, 4, 5), 8, marks=pytest.mark.slow)], ids=["few", "many"]
)
def test_kill_at_random_moments_gives_the_same_bits(tmp_path: Path, writes: tuple[int, ...], kills: int) -> None:
    """`writes`: kills half through writing that file of a checkpoint; `kills`: at random moments."""
    pytest.importorskip("sklearn")
    from tests.trainer.killable import build

    whole = build(str(tmp_path / "whole"))
    whole.fit()
    generator = random.Random(time.time_ns())  # other moments each time: any must do
    run_dir = tmp_path / "run"
    killed = 0
    for write in writes:
        killed += finish(start(run_dir, str(write))) == -signal.SIGKILL
    assert killed == len(writes)
    for _ in range(kills):
        process = start(run_dir)
        kill_soon(process, run_dir, generator)
        finish(process)
    assert finish(start(run_dir)) == 0
    newest = CheckpointFolder(run_dir / "checkpoints").load()
    assert newest is not None
    assert_same_state(whole.state, newest)
    assert timeless(tmp_path / "whole" / "log.jsonl") == timeless(run_dir / "log.jsonl")
    assert not list(run_dir.rglob(".*"))
    assert spindl.Predictor(run_dir).predict(whole._test.dataset).shape == (360, 10)  # type: ignore[union-attr]
