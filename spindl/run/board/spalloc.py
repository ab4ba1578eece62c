"""Machines that spalloc lends, through SpiNNMan's own client. A job lasts as long as the process."""

from __future__ import annotations

import atexit
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

from spindl.run.hosted.host import Host, MachineError, allocated

READY = "READY"
"""The state of a job that has its machine."""
VERSION = 5
"""Of the boards that spalloc lends."""
_JOBS: dict[tuple[str, int], _Job] = {}


@dataclass(frozen=True)
class _Job:
    """A machine that is lent: its first board, the address of each board's Ethernet chip, what gives it back."""

    address: str
    boards: dict[tuple[int, int], str]
    controller: Any


def borrowed(server: str, chips: int) -> Host:
    """A connection with a machine of at least so many chips, from a spalloc server.

    Fitting and predicting in one process use the same machine, as long as the server leaves it to them. Its boards are
    reached through the server's proxy, from anywhere; where the server has none, directly.

    Args:
        server: its URL; SPALLOC_USER and SPALLOC_PASSWORD say for whom.
        chips: at least.

    Raises:
        MachineError: the server lends none, or the machine does not answer.
    """
    key = (server, chips)
    if key in _JOBS and not _is_ours(_JOBS[key]):
        _give_back(key)
    if key not in _JOBS:
        _JOBS[key] = _Job(*allocated(server, chips))
        atexit.register(_give_back, key)
    job = _JOBS[key]
    if not job.boards:
        raise MachineError("the job has no boards", server)
    try:
        make = partial(job.controller.create_transceiver, ensure_board_is_ready=True)
        return Host(job.address, VERSION, boards=job.boards, proxied=make)
    except ValueError as error:
        if "no proxy" not in str(error):
            raise
    return Host(job.address, VERSION, boards=job.boards)


def give_back_all() -> None:
    """Ends all jobs; the end of the process does so, too."""
    for key in list(_JOBS):
        _give_back(key)


def _is_ours(job: _Job) -> bool:
    """Whether the server still leaves the machine to us."""
    with suppress(OSError, ValueError):
        return bool(job.controller.job.get_state().name == READY)
    return False


def _give_back(key: tuple[str, int]) -> None:
    job = _JOBS.pop(key, None)
    if job is not None:
        with suppress(OSError, ValueError, AssertionError):  # a server that is gone has taken the machine back
            job.controller.close()
