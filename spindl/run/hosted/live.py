"""What a live machine is: its chips, cores and links as SC&MP reports them, and as a probe finds them.

SC&MP leaves out what fails its own tests at the start. A probe finds what has broken since, or was never tested: each
chip's SDRAM holds patterns, each link brings its neighbour's bytes, each core takes a program and answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spindl.machine import Topology, TopologyError, model_topology
from spindl.machine.topology import XY
from spindl.program.image import load_image
from spindl.run.hosted.host import Core, Host, MachineError
from spindl.run.interface import RunError

PROBE_APPLICATION = 34
"""SC&MP's number of the program that a probe loads."""
PATTERN_BYTES = 1024
LINK_BYTES = 64
CORE_SECONDS = 5.0
"""Wall-clock seconds that the probe's program may take to start."""
SHOWN = 6
IDLE = "IDLE"
_LINKS = 6


class MachineInUse(RunError):
    """Other programs run on the machine.

    Attributes:
        applications: their numbers.
        cores: (x, y, virtual core) that are taken.
    """

    def __init__(self, address: str, applications: Sequence[int], cores: Sequence[Core], lines: Sequence[str]) -> None:
        self.applications, self.cores = tuple(applications), tuple(cores)
        names = ", ".join(map(str, applications))
        super().__init__(
            "\n".join([f"the machine is in use: {len(cores)} cores run application {names}", *lines]),
            address,
            f"wait until it is free, or stop what runs there: spindl machine {address} --stop",
        )


@dataclass(frozen=True)
class Found:
    """What a probe found.

    Attributes:
        topology: the machine without the parts that failed.
        failures: what failed, one line each.
        links, cores: how many were probed.
    """

    topology: Topology
    failures: tuple[str, ...]
    links: int
    cores: int


def read_topology(host: Host) -> Topology:
    """The machine as SC&MP reports it: a model without its dead chips, cores, and links.

    Raises:
        MachineError: it is of no shape that a model has.
    """
    machine = host.machine
    here = {(chip.x, chip.y): chip for chip in machine.chips}
    model = _model(host.version, machine.width, machine.height)
    chips = {(place.x, place.y) for place in model.places}
    strange = here.keys() - chips
    if strange:
        raise MachineError(f"chips {sorted(strange)[:SHOWN]} belong to no {model.name}", host.address)
    dead_cores, dead_links = set(), set()
    for place in model.places:
        xy = (place.x, place.y)
        if xy not in here:
            continue
        working = {number for number in host.numbers[xy] if number != 0xFF}
        dead_cores |= {(*xy, core) for core in range(place.working_cores.bit_length()) if core not in working}
        there = {link.source_link_id for link in here[xy].router.links}
        dead_links |= {(*xy, n) for n in range(_LINKS) if place.neighbours[n] is not None and n not in there}
    return model.without(frozenset(chips - here.keys()), frozenset(dead_cores), frozenset(dead_links))


def _model(version: int, width: int, height: int) -> Topology:
    if version == 3:
        return model_topology("spin3")
    if (width, height) == (8, 8):
        return model_topology("spin5")
    for wrapped, extra in (("", 0), ("-mesh", 4)):
        if (width - extra) % 12 == 0 and (height - extra) % 12 == 0:
            return model_topology(f"{(width - extra) // 12}x{(height - extra) // 12}-triads{wrapped}")
    raise TopologyError("no model has this size", f"{width}x{height}")


def application_cores(host: Host) -> list[Core]:
    """All cores but SC&MP's own."""
    return [(*xy, p) for xy, numbers in host.numbers.items() for p in range(1, 20) if numbers[p] != 0xFF]


def running(host: Host) -> dict[Core, Any]:
    """Cores on which a program runs or has run, as SC&MP has them."""
    found = host.cores(application_cores(host))
    return {core: info for core, info in found.items() if info.state.name != IDLE and info.application_id}


def check_free(host: Host) -> None:
    """Raises MachineInUse if programs run on the machine."""
    taken = running(host)
    if not taken:
        return
    lines = [
        f"  chip ({x}, {y}) core {p}: {info.application_name or 'unnamed'}, application {info.application_id},"
        f" {info.state.name.lower()}"
        for (x, y, p), info in list(taken.items())[:SHOWN]
    ]
    if len(taken) > SHOWN:
        lines.append(f"  ... and {len(taken) - SHOWN} more")
    applications = sorted({info.application_id for info in taken.values()})
    raise MachineInUse(host.address, applications, list(taken), lines)


def stop_all(host: Host) -> tuple[int, ...]:
    """Stops all programs on the machine. Returns their applications' numbers."""
    applications = tuple(sorted({info.application_id for info in running(host).values()}))
    for application in applications:
        host.stop(application)
    return applications


def probe(host: Host, topology: Topology) -> Found:
    """Uses every part once; nothing else may run on the machine.

    Raises:
        MachineError: the machine does not answer.
    """
    failures: list[str] = []
    blocks, bad_chips = _probe_memory(host, topology, failures)
    spans, bad_links = _probe_links(host, topology, blocks, failures)
    bad_cores, count = _probe_cores(host, topology, failures)
    host.stop(PROBE_APPLICATION)
    left = topology.without(
        frozenset(bad_chips),
        frozenset(core for core in bad_cores if core[:2] not in bad_chips),
        frozenset(link for link in bad_links if link[:2] not in bad_chips),
    )
    return Found(left, tuple(failures), spans, count)


def _pattern(xy: XY, size: int) -> bytes:
    return hashlib.shake_128(bytes(xy)).digest(size)


def _probe_memory(host: Host, topology: Topology, failures: list[str]) -> tuple[dict[XY, int], set[XY]]:
    """Patterns and their complement into a block of each chip, and back. Returns the blocks, and chips that failed."""
    bad: set[XY] = set()
    blocks: dict[XY, int] = {}
    for place in topology.places:
        xy = (place.x, place.y)
        try:
            blocks[xy] = host.allocate(xy, PATTERN_BYTES, PROBE_APPLICATION, 1)
        except MachineError as error:
            bad.add(xy)
            failures.append(f"chip {xy}: {error.what}")
    for flip in (0xFF, 0):
        wanted = {xy: bytes(byte ^ flip for byte in _pattern(xy, PATTERN_BYTES)) for xy in blocks}
        host.write((xy, blocks[xy], data) for xy, data in wanted.items())
        found = host.read([(xy, blocks[xy], PATTERN_BYTES) for xy in blocks])
        for (xy, data), back in zip(wanted.items(), found, strict=True):
            if back != data and xy not in bad:
                bad.add(xy)
                wrong = sum(a != b for a, b in zip(data, back, strict=True))
                failures.append(f"chip {xy}: {wrong} of {PATTERN_BYTES} bytes of SDRAM do not hold what was written")
    return blocks, bad


def _probe_links(
    host: Host, topology: Topology, blocks: dict[XY, int], failures: list[str]
) -> tuple[int, set[tuple[int, int, int]]]:
    """Each chip reads its neighbours' patterns over its links."""
    ways = [
        ((place.x, place.y), link, there)
        for place in topology.places
        for link, there in enumerate(place.neighbours)
        if there in blocks
    ]
    found = host.read_over_links([(xy, link, blocks[there], LINK_BYTES) for xy, link, there in ways if there])
    bad = set()
    for (xy, link, there), data in zip(ways, found, strict=True):
        assert there is not None
        if data != _pattern(there, LINK_BYTES):
            bad.add((*xy, link))
            what = "nothing comes" if data is None else "wrong bytes come"
            failures.append(f"link {link} of chip {xy} to {there}: {what} over it")
    return len(ways), bad


def _probe_cores(host: Host, topology: Topology, failures: list[str]) -> tuple[set[tuple[int, int, int]], int]:
    """Each core takes the program of spindl's cores and says that it is ready to start."""
    physical = {(p.x, p.y): p.working_cores for p in topology.places}
    cores = [
        core
        for core in application_cores(host)
        if core[:2] in physical and physical[core[:2]] >> host.numbers[core[:2]][core[2]] & 1
    ]
    host.load(cores, load_image().aplx, PROBE_APPLICATION)
    late = host.wait_for(cores, PROBE_APPLICATION, "READY", CORE_SECONDS)
    bad = set()
    for (x, y, p), info in late.items():
        bad.add((x, y, host.numbers[x, y][p]))
        failures.append(f"core {p} of chip ({x}, {y}) does not start a program: state {info.state.name.lower()}")
    return bad, len(cores)
