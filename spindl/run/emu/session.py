"""Session of the executor "emu": an emulated machine, booted with SC&MP, driven by SpiNNMan over UDP."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from typing import Any

from spindl.emulator import Machine, emulate
from spindl.machine import Topology, parse_topology
from spindl.program import Program, State
from spindl.run.interface import RunError
from spindl.run.monitored import MonitoredSession

_VERSIONS = {"spin3": "3", "spin5": "5"}


@cache
def _reports() -> tempfile.TemporaryDirectory[str]:
    """Where SpiNNMan writes its reports; it still does so when the process ends."""
    return tempfile.TemporaryDirectory()


def _free_host() -> str:
    """A loopback address of this process's own."""
    pid = os.getpid()
    return f"127.{192 + pid % 60}.{pid // 60 % 250}.2"


class EmulatedSession(MonitoredSession):
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

    def connect(self) -> tuple[Any, Topology]:
        """Boots the machine, and connects SpiNNMan with it."""
        from spinn_utilities.config_holder import clear_cfg_files, set_config
        from spinnman.config_setup import add_spinnman_cfg
        from spinnman.data.spinnman_data_writer import SpiNNManDataWriter
        from spinnman.transceiver import create_transceiver_from_hostname

        self._machine = emulate(
            self._name, host=_free_host(), booted=True, connected=True, speed=0, threads=self._threads or 1
        )
        logging.getLogger("spinnman").setLevel(logging.WARNING)
        clear_cfg_files(True)
        add_spinnman_cfg()
        set_config("Reports", "default_report_file_path", _reports().name)
        set_config("Machine", "version", _VERSIONS[self._name])
        set_config("Machine", "machine_name", self._machine.host)
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # progress bars
            writer = SpiNNManDataWriter.setup()
            writer.set_ipaddress(self._machine.host)
            transceiver = create_transceiver_from_hostname(self._machine.host)
            transceiver.discover_scamp_connections()
            writer.set_transceiver(transceiver)
            writer.set_machine(transceiver.get_machine_details())
        return transceiver, self._machine.topology

    def close(self) -> None:
        """Stops the cores and switches the machine off."""
        super().close()
        if self._machine is not None:
            self._machine.close()
            self._machine = None


def open_session(
    program: Program, state: State, *, device: str = "spin3", threads: int | None = None
) -> EmulatedSession:
    """A Session on an emulated machine; `device` names it. Raises RunError for one that cannot be driven."""
    name = device.partition(":")[0]  # behind it the number of chips that the program is planned for
    return EmulatedSession(program, state, "spin3" if name == "cpu" else name, threads)
