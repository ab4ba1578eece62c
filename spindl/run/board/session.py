"""Session of the executor "board", and what a live machine is before anything is planned for it."""

from __future__ import annotations

from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from spindl.machine import MachineName, Topology, dead_parts, load_machine, parse_machine
from spindl.program import Program, State
from spindl.run.hosted import HostedSession
from spindl.run.interface import RunError

if TYPE_CHECKING:
    from spindl.run.hosted.host import Host
    from spindl.run.hosted.live import Found


_PROBED: dict[str, Topology] = {}
"""What probes have found in this process, by address: SC&MP goes on listing parts that failed them."""


def _connect(name: MachineName) -> Host:
    """The machine of a name, booted. Raises RunError if it cannot be had."""
    if find_spec("spinnman") is None:
        raise RunError("SpiNNMan is not installed", "board", "pip install 'spindl[board]'")
    from spindl.run.hosted.host import Host, hardware_version

    if name.source == "spalloc":
        from spindl.run.board.spalloc import borrowed

        return borrowed(name.what, name.chips or 1)
    if name.source == "file":
        machine = load_machine(Path(name.what))
        if not machine.address:
            raise RunError("the file does not say where the machine is", name.what, "add its address, or name the host")
        return Host(machine.address, machine.topology.version)
    if name.source == "model":
        raise RunError(
            f"{name.what} is a model, not a machine", "board", f"name the machine: --machine {name.what}@HOST"
        )
    return Host(name.what, int(name.hardware[-1]) if name.hardware else hardware_version(name.what))


def read_machine(name: MachineName, thorough: bool = True) -> Found:
    """What a live machine is.

    Args:
        name: of a host or of spalloc.
        thorough: use every part once, and leave out those that fail (`spindl.run.hosted.live.probe`).

    Raises:
        RunError: it cannot be had, does not answer, or is in use.
    """
    with closing(_connect(name)) as host:
        from spindl.run.hosted.live import Found, check_free, probe, read_topology

        topology = read_topology(host)
        check_free(host)
        if not thorough:
            return Found(topology, (), 0, 0)
        found = probe(host, topology)
        _PROBED[host.address] = found.topology
        return found


def stop_programs(name: MachineName) -> tuple[int, ...]:
    """Stops all that runs on a live machine. Returns the applications' numbers. Raises RunError."""
    with closing(_connect(name)) as host:
        from spindl.run.hosted.live import stop_all

        return stop_all(host)


class BoardSession(HostedSession):
    """Runs a planned Program on a machine; see `interface.Session`."""

    executor = "board"

    def __init__(self, program: Program, state: State, name: MachineName) -> None:
        super().__init__(program, state)
        if name.source == "model":
            _connect(name)  # says why not
        self._name = name

    def connect(self) -> tuple[Host, Topology]:
        """Boots the machine if it is not booted, and sees to it that nothing else runs there."""
        host = _connect(self._name)
        try:
            from spindl.run.hosted.live import check_free, read_topology

            topology = read_topology(host)
            check_free(host)
            if self._name.source == "file":
                written = load_machine(Path(self._name.what)).topology
                _check_same(written, topology, self._name.what)
                topology = written
            topology = _PROBED.get(host.address, topology)
        except BaseException:
            host.close()
            raise
        return host, topology


def _check_same(planned: Topology, found: Topology, where: str) -> None:
    """Raises RunError if a machine has lost parts since it was written down."""
    before, now = dead_parts(planned), dead_parts(found)
    if planned.name != found.name:
        raise RunError(f"the file says {planned.name}, the machine is a {found.name}", where, "read the machine again")
    for what in ("chips", "cores", "links"):
        lost = sorted(getattr(now, what) - getattr(before, what))
        lost = [part for part in lost if part[:2] not in before.chips]
        if lost:
            raise RunError(
                f"the machine has lost {what} since this file was written: {lost[:5]}", where, "read the machine again"
            )


def open_session(program: Program, state: State, *, device: str, threads: int | None = None) -> BoardSession:
    """A Session on a machine; `device` names it, see `spindl.machine.name`. Raises RunError, TopologyError."""
    if device in ("cpu", "cuda"):
        raise RunError("no machine is named", "board", "use --machine HOST, FILE or spalloc:SERVER (docs/machines.md)")
    return BoardSession(program, state, parse_machine(device))
