"""Executors: one contract (`interface`), several machines that give the same bits and never import each other."""

from __future__ import annotations

from importlib import import_module

from spindl.program import Program, State
from spindl.run.interface import Commit, RunError, Session

EXECUTORS = {
    "sim": "spindl.run.sim",
    "interpreter": "spindl.run.interpreter",
    "emu": "spindl.run.emu",
    "board": "spindl.run.board",
}
"""Modules by executor name; each has `open_session`."""


def open_session(
    executor: str, program: Program, state: State, *, device: str = "cpu", threads: int | None = None
) -> Session:
    """Start a Session on an executor, by name.

    Args:
        executor: a key of EXECUTORS.
        program, state: what to run, and where it starts; the State is not changed.
        device: "cpu", "cuda", ... for executors that have a choice; the machine's name for emu and board.
        threads: CPU threads; None for all.

    Raises:
        RunError: no such executor, or it cannot run this program here.
    """
    if executor not in EXECUTORS:
        raise RunError(f"unknown executor '{executor}'", "executor", f"use one of {', '.join(EXECUTORS)}")
    module = import_module(EXECUTORS[executor])
    session: Session = module.open_session(program, state, device=device, threads=threads)
    return session


__all__ = ["EXECUTORS", "Commit", "RunError", "Session", "open_session"]
