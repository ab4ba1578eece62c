"""A run's folder belongs to one process at a time, and a signal never cuts a step in two."""

from __future__ import annotations

import fcntl
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from spindl.program import RunFolderError
from spindl.program.files import disk_errors, remove_leftovers


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """The run folder, made if need be, for this process alone; what a killed one left half-written is removed.

    Raises RunFolderError.
    """
    with disk_errors(run_dir):
        run_dir.mkdir(parents=True, exist_ok=True)
        file = (run_dir / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunFolderError(
                "another run is writing here", str(run_dir), "wait for it, or choose another --run-dir"
            ) from error
        with disk_errors(run_dir):
            remove_leftovers(run_dir)
        yield


def check_space(run_dir: Path, checkpoint: int) -> None:
    """Raise RunFolderError unless two checkpoints of so many bytes and a log fit."""
    with disk_errors(run_dir):
        free = shutil.disk_usage(run_dir).free
    needed = 2 * checkpoint + (1 << 20)
    if free < needed:
        raise RunFolderError(
            f"{free / 1e6:.1f} MB free, two checkpoints and the log take {needed / 1e6:.1f} MB",
            str(run_dir),
            "free some space, or choose another --run-dir",
        )


@contextmanager
def noted_signals() -> Iterator[Callable[[], str]]:
    """Note SIGINT and SIGTERM instead of dying; yields a function that names the signal that came ("" for none).

    A second SIGINT ends the program at once. Outside the main thread signals are left alone.
    """
    came: list[str] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if came and number == signal.SIGINT:
            raise KeyboardInterrupt
        came.append(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: ""
        return
    previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: came[0] if came else ""
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
