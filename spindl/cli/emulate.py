"""`spindl emulate`."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from spindl.cli.output import output
from spindl.cli.settings import SettingsError
from spindl.emulator import Faults, Machine, Strictness, emulate
from spindl.emulator.recording import Recording, load_recording, save_recording
from spindl.machine import Topology, TopologyError, load_machine, model_topology, parse_machine

_REFRESH = 0.5  # seconds between live lines


@dataclass(frozen=True)
class Request:
    """What the command line asks for; `seconds` of wall time, or until Ctrl-C if it is None."""

    machine: str
    host: str
    booted: bool
    speed: float
    threads: int
    strict: Strictness
    faults: Faults
    record: Path | None
    symbols: Path | None
    seconds: float | None


def parse_place(text: str, numbers: int, option: str) -> tuple[int, ...]:
    """ "1,2" -> (1, 2), of `numbers` numbers. Raises SettingsError."""
    parts = text.replace(":", ",").split(",")
    if len(parts) != numbers or not all(part.strip().isdigit() for part in parts):
        example = ",".join("012"[:numbers])
        raise SettingsError(f"{option} {text}", "command line", f"give {numbers} numbers, such as {example}")
    return tuple(int(part) for part in parts)


def _plural(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _introduce(console: Console, machine: Machine, booted: bool) -> None:
    places = machine.topology.places
    cores = sum(place.working_cores.bit_count() for place in places)
    boards = "" if machine.topology.boards == 1 else f", {machine.topology.boards} boards from that address upwards"
    state = "SC&MP is running" if booted else "waiting for a host to boot it"
    lines = [
        f"instruction-level emulator: {machine.topology.name} at {machine.host} "
        f"({_plural(len(places), 'chip')}, {cores:,} cores{boards}); {state}",
        "For SpiNNMan and the SpiNNTools, in spynnaker.cfg or its like:",
        "  [Machine]",
        f"  machine_name = {machine.host}",
        f"  version = {machine.topology.version}",
    ]
    if find_spec("spinnman") is None:
        lines.append('SpiNNMan is not installed in this Python; for a host program: pip install "spinnman==1!7.4.1"')
    lines.append("Ctrl-C ends it.")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def status_line(machine: Machine, start: float, begun: float) -> str:
    """Simulated and wall time since `start` (simulated) and `begun` (wall), packets and frames since power-on."""
    totals = machine.totals
    simulated, wall = machine.time - start, time.monotonic() - begun
    parts = [
        f"{simulated:.1f} s simulated in {wall:.1f} s ({simulated / wall if wall > 0 else 0:.2f} of real time)",
        _plural(totals["packets"], "packet"),
        f"{totals['dropped']:,} dropped",
        f"host frames: {totals['frames_in']:,} in, {totals['frames_out']:,} out",
        f"{totals['awake']:,} cores awake",
    ]
    if totals["stopped"]:
        parts.append(f"{_plural(totals['stopped'], 'core')} stopped")
    return " | ".join(parts)


class Reports:
    """Says when SC&MP has failed; if `strict`, also prints each report of an application core once, and the post-mortem
    of each core that strictness stopped."""

    def __init__(self, console: Console, machine: Machine, strict: bool) -> None:
        self._console, self._machine, self._strict = console, machine, strict
        self._count = 0
        self._failed: set[tuple[int, int]] = set()
        self._seen: set[tuple[int, int, int, int, str]] = set()

    def update(self) -> None:
        """Prints what is new."""
        count = self._machine.totals["reports"]
        if count == self._count:
            return
        self._count = count
        for chip in self._machine:
            failure = chip.monitor_failure
            if failure is not None and (chip.x, chip.y) not in self._failed:
                self._failed.add((chip.x, chip.y))
                self._console.print(
                    f"SC&MP on chip ({chip.x}, {chip.y}) has failed: {failure}\n"
                    "  -> as on a board, the machine must be switched off and on: start the emulator again",
                    markup=False,
                    highlight=False,
                    soft_wrap=True,
                )
            for report in chip.reports if self._strict else ():
                key = (chip.x, chip.y, report.core, report.pc, report.kind)
                if key in self._seen or report.core == chip.monitor:
                    continue
                self._seen.add(key)
                core = chip.physical(report.core)
                text = core.post_mortem() if core.stopped else f"chip ({chip.x}, {chip.y}): {report}"
                self._console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def _until_stopped() -> Iterator[threading.Event]:
    """An event that Ctrl-C and a termination signal set, instead of what they do otherwise."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(console: Console, machine: Machine, request: Request, stop: threading.Event) -> None:
    reports = Reports(console, machine, request.strict != "off")
    start, begun = machine.time, time.monotonic()
    end = None if request.seconds is None else begun + request.seconds
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not stop.wait(_REFRESH if end is None else max(0.0, min(_REFRESH, end - time.monotonic()))):
            reports.update()
            if end is not None and time.monotonic() >= end:
                break
            if console.is_terminal:
                live.update(Text(status_line(machine, start, begun)), refresh=True)
    reports.update()
    console.print(f"ended: {status_line(machine, start, begun)}", markup=False, highlight=False, soft_wrap=True)


def machine_topology(text: str) -> Topology:
    """The machine of a model's name or a machine file. Raises TopologyError, MachineFileError."""
    name = parse_machine(text)
    if name.live:
        raise TopologyError("this names no machine to emulate", text)
    return load_machine(Path(name.what)).topology if name.source == "file" else model_topology(name.what)


def run(request: Request) -> int:
    """Run a machine until Ctrl-C; the exit status."""
    console = output()
    with (
        _until_stopped() as stop,
        emulate(
            machine_topology(request.machine),
            host=request.host,
            booted=request.booted,
            connected=False,
            threads=request.threads,
            strict=request.strict,
            faults=request.faults,
        ) as machine,
    ):
        if request.symbols is not None:
            machine.symbols(request.symbols)
        if request.record is not None:
            machine.start_recording()
        machine.connect(request.speed)
        _introduce(console, machine, request.booted)
        _watch(console, machine, request, stop)
        machine.disconnect()
        if request.record is not None:
            made = Recording(
                request.machine,
                request.faults,
                request.host,
                request.booted,
                tuple(machine.recording()),
                machine.cycle,
                machine.fingerprint(),
            )
            save_recording(request.record, made)
            count = _plural(len(made.arrivals), "datagram")
            console.print(f"recorded {count} in {request.record}", markup=False, highlight=False, soft_wrap=True)
    return 0


def replay(path: Path, threads: int) -> int:
    """Repeat a recorded session as fast as it goes; 1 if it does not end in the state it ended in then."""
    console = output()
    recording = load_recording(path)
    begun = time.monotonic()
    with emulate(
        machine_topology(recording.machine),
        host=recording.host,
        booted=recording.booted,
        connected=False,
        threads=threads,
        faults=recording.faults,
    ) as machine:
        machine.replay(list(recording.arrivals), machine.seconds(recording.end))
        same = machine.cycle == recording.end and machine.fingerprint() == recording.fingerprint
        verdict = "the same state as then" if same else "ANOTHER state than then: another build of the emulator?"
        console.print(
            f"replayed {_plural(len(recording.arrivals), 'datagram')} to {machine.time:.3f} s simulated "
            f"in {time.monotonic() - begun:.1f} s; fingerprint {machine.fingerprint():016x}: {verdict}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return 0 if same else 1
