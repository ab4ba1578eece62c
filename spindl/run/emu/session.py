"""Session of the executor "emu": an emulated machine, booted with SC&MP, driven by SpiNNMan over UDP."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from spindl.emulator import Machine, emulate
from spindl.machine import Topology, parse_topology
from spindl.program import Program, State
from spindl.run.hosted import HostedSession
from spindl.run.interface import RunError

if TYPE_CHECKING:
    from spindl.run.hosted.host import Host

_VERSIONS = {"spin3": "3", "spin5": "5"}


def _free_host() -> str:
    """A loopback address of this process's own."""
    pid = os.getpid()
    return f"127.{192 + pid % 60}.{pid // 60 % 250}.2"


class EmulatedSession(HostedSession):
    """Runs a planned Program on the instruction-level emulator; see `interface.Session`."""

    def __init__(self, program: Program, state: State, machine: str, threads: int | None) -> None:
        super().__init__(program, state)
        if machine not in _VERSIONS:
            parse_topology(machine)
            raise RunError(f"the emulator is driven as {', '.join(_VERSIONS)} only", "machine", "use --machine spin3")
        if find_spec("spinnman") is None:
            raise RunError("SpiNNMan is not installed", "emu", "pip install 'spindl[board]'")
        self._name, self._threads = machine, threads
        self._machine: Machine | None = None

    @property
    def machine(self) -> Machine | None:
        """The emulated machine; None before the first step."""
        return self._machine

    def connect(self) -> tuple[Host, Topology]:
        """Boots the machine, and connects SpiNNMan with it."""
        from spindl.run.hosted.host import Host

        self._machine = emulate(
            self._name, host=_free_host(), booted=True, connected=True, speed=0, threads=self._threads or 1
        )
        return Host(self._machine.host, self._machine.topology.version), self._machine.topology

    def close(self) -> None:
        """Stops the cores and switches the machine off."""
        try:
            super().close()
        finally:
            if self._machine is not None:
                self._machine.close()
                self._machine = None


def open_session(
    program: Program, state: State, *, device: str = "spin3", threads: int | None = None
) -> EmulatedSession:
    """A Session on an emulated machine; `device` names it. Raises RunError for one that cannot be driven."""
    name = device.partition(":")[0]  # behind it the number of chips that the program is planned for
    return EmulatedSession(program, state, "spin3" if name == "cpu" else name, threads)
