"""Emulated machines served on loopback, which the executor `board` takes for boards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from spindl.emulator import Faults, Machine, emulate
from spindl.machine import Topology

pytest.importorskip("spinnman")

_NUMBERS = count()


def free_host() -> str:
    """A loopback address of its own, for each machine of each test process."""
    number = next(_NUMBERS)
    return f"127.{32 + os.getpid() % 30}.{os.getpid() // 30 % 250}.{2 + 4 * (number % 60)}"


@pytest.fixture
def served() -> Iterator[Callable[..., Machine]]:
    """served("spin3", booted=..., faults=...) -> a machine that listens on its `host`."""
    made: list[Machine] = []

    def make(
        kind: str | Topology = "spin3", *, booted: bool = True, faults: Faults | None = None, speed: float = 0
    ) -> Machine:
        made.append(emulate(kind, host=free_host(), booted=booted, speed=speed, faults=faults))
        return made[-1]

    yield make
    for machine in made:
        machine.close()
