"""Machines that spalloc lends, through SpiNNMan's own client. A job lasts as long as the process."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from typing import Any

from spindl.run.hosted.host import Host, MachineError, allocated

_JOBS: dict[tuple[str, int], _Job] = {}


@dataclass(frozen=True)
class _Job:
    """A machine that is lent: its first board, the address of each board's Ethernet chip, what gives it back."""

    address: str
    boards: dict[tuple[int, int], str]
    controller: Any


def borrowed(server: str, chips: int) -> Host:
    """A connection with a machine of at least so many chips, from a spalloc server.

    Fitting and predicting in one process use the same machine. Raises MachineError if the server lends none.
    """
    key = (server, chips)
    if key not in _JOBS:
        job = _Job(*allocated(server, chips))
        _JOBS[key] = job
        atexit.register(_give_back, key)
    job = _JOBS[key]
    if not job.boards:
        raise MachineError("the job has no boards", server)
    return Host(job.address, 5, boards=job.boards)


def _give_back(key: tuple[str, int]) -> None:
    job = _JOBS.pop(key, None)
    if job is not None:
        job.controller.close()
