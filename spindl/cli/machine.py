"""`spindl machine`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from spindl.cli.output import output, plain_table
from spindl.machine import (
    MachineFile,
    MachineName,
    Topology,
    dead_parts,
    load_machine,
    model_topology,
    parse_machine,
    save_machine,
)

SHOWN = 12
"""Dead parts of a kind that are listed."""
_LARGEST_TABLE = 144


@dataclass(frozen=True)
class Request:
    """What the command was asked for; see `spindl machine --help`."""

    name: str
    save: Path | None
    show: bool
    probe: bool
    stop: bool


def run(request: Request) -> None:
    """Says what a machine is; reads, probes and stops a live one; writes it down."""
    console = output()
    name = parse_machine(request.name)
    if request.stop:
        _stop(name, console)
    topology, address = _topology(name, request.probe, console)
    _say(console, *summary(topology))
    if request.show:
        if len(topology.places) <= _LARGEST_TABLE:
            console.print(_table(topology))
        else:
            _say(console, f"{len(topology.places):,} chips: too many to list")
    if request.save is not None:
        save_machine(MachineFile(topology, address), request.save)
        _say(console, f"saved in {request.save}")


def _say(console: Console, *lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _topology(name: MachineName, probe: bool, console: Console) -> tuple[Topology, str]:
    """The machine, and where it is."""
    if name.source == "file":
        machine = load_machine(Path(name.what))
        return machine.topology, machine.address
    if not name.live:
        return model_topology(name.what), ""
    from spindl.run.board import read_machine

    found = read_machine(name, thorough=probe)
    _say(console, f"read from {name.what} through SpiNNMan")
    if probe:
        failures = f"{len(found.failures)} failed" if found.failures else "all work"
        _say(
            console, f"probed: {len(found.topology.places)} chips, {found.cores} cores, {found.links} links: {failures}"
        )
        _say(console, *(f"  {failure}" for failure in found.failures))
    return found.topology, name.what if name.source == "host" else ""


def _stop(name: MachineName, console: Console) -> None:
    from spindl.run.board import stop_programs

    numbers = stop_programs(name)
    what = ", ".join(map(str, numbers))
    _say(console, f"stopped application {what} on {name.what}" if numbers else f"nothing runs on {name.what}")


def summary(topology: Topology) -> list[str]:
    """Size of a machine, and what of it is dead."""
    places = topology.places
    cores = sum(place.working_cores.bit_count() for place in places)
    links = sum(neighbour is not None for place in places for neighbour in place.neighbours)
    boards = f"{topology.boards} board{'s' if topology.boards != 1 else ''}"
    lines = [f"{topology.name}: {boards}, {len(places):,} chips, {cores:,} cores, {links:,} links (each way counted)"]
    usable = Counter(place.working_cores.bit_count() - 1 for place in places)
    counts = ", ".join(f"{count} on {chips:,} chips" for count, chips in sorted(usable.items(), reverse=True))
    lines.append(f"cores for programs (one of each chip is the monitor's): {counts}")
    dead = dead_parts(topology)
    for what in ("chips", "cores", "links"):
        parts = sorted(getattr(dead, what))
        if parts:
            rest = f", ... {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
            lines.append(f"dead {what}: " + ", ".join(map(str, parts[:SHOWN])) + rest)
    return lines


def _table(topology: Topology) -> object:
    table = plain_table("chips", ("chip", "board"), ("cores", "links"))
    for place in topology.places:
        links = "".join(str(n) if there is not None else "-" for n, there in enumerate(place.neighbours))
        name = f"({place.x}, {place.y})" + (" Ethernet" if place.ethernet else "")
        table.add_row(name, str(place.board), str(place.working_cores.bit_count()), links)
    return table
