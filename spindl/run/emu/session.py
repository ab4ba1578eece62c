"""Session of the executor "emu": an emulated machine, booted with SC&MP, driven by SpiNNMan over UDP."""

from __future__ import annotations

import os
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from spindl.emulator import Machine, PortTaken, emulate
from spindl.machine import MachineName, Topology, load_machine, model_topology, parse_machine
from spindl.program import Program, State
from spindl.run.hosted import HostedSession
from spindl.run.interface import RunError

if TYPE_CHECKING:
    from spindl.run.hosted.host import Host

_TRIES = 100
_HOSTS = count()
_SMALL = 4
"""Chips of a machine whose emulation other threads do not make faster."""


def _next_host() -> str:
    """A loopback address of this process's own, another one each time; machines of many boards take those behind it."""
    pid, number = os.getpid(), next(_HOSTS)
    return f"127.{192 + pid % 60}.{(pid // 60 + number // 24) % 250}.{2 + number % 24 * 10}"


def emulated_topology(name: MachineName) -> Topology:
    """The machine of a name, dead parts left out. Raises RunError for one that the emulator is not driven as."""
    if name.live:
        raise RunError(
            f"{name.what} is a live machine", "emu", f"use --on board --machine {name.text}, or emulate spin3, spin5"
        )
    topology = load_machine(Path(name.what)).topology if name.source == "file" else model_topology(name.what)
    if topology.name not in ("spin3", "spin5") and "-triads" not in topology.name:
        raise RunError(
            f"SpiNNMan knows no {topology.name}", "machine", "use --machine spin3, spin5, N-triads, or a file of one"
        )
    return topology


class EmulatedSession(HostedSession):
    """Runs a planned Program on the instruction-level emulator; see `interface.Session`."""

    executor = "emu"

    def __init__(self, program: Program, state: State, topology: Topology, threads: int | None) -> None:
        super().__init__(program, state)
        if find_spec("spinnman") is None:
            raise RunError("SpiNNMan is not installed", "emu", "pip install 'spindl[board]'")
        self._topology, self._threads = topology, threads
        self._machine: Machine | None = None

    @property
    def machine(self) -> Machine | None:
        """The emulated machine; None before the first step."""
        return self._machine

    def connect(self) -> tuple[Host, Topology]:
        """Boots the machine, and connects SpiNNMan with it."""
        from spindl.run.hosted.host import Host

        made = self._machine = _emulate(self._topology, self._threads or _threads(self._topology))
        return Host(made.host, made.topology.version, clock=lambda: made.time), made.topology

    def close(self) -> None:
        """Stops the cores and switches the machine off."""
        try:
            super().close()
        finally:
            if self._machine is not None:
                self._machine.close()
                self._machine = None


def _threads(topology: Topology) -> int:
    """Host threads where nobody says how many."""
    return 1 if len(topology.places) <= _SMALL else os.cpu_count() or 1


def _emulate(topology: Topology, threads: int) -> Machine:
    for _ in range(_TRIES):
        machine = emulate(topology, host=_next_host(), booted=True, connected=False, threads=threads)
        try:
            machine.connect(speed=0)
        except PortTaken:
            continue
        return machine
    raise RunError(f"{_TRIES} loopback addresses are taken", "emu", "end other emulated machines")


def open_session(
    program: Program, state: State, *, device: str = "spin3", threads: int | None = None
) -> EmulatedSession:
    """A Session on an emulated machine; `device` names it. Raises RunError, TopologyError, MachineFileError."""
    name = parse_machine("spin3" if device == "cpu" else device)
    return EmulatedSession(program, state, emulated_topology(name), threads)
