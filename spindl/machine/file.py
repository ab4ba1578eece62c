"""Machines as files: a model and what of it is dead, so that plans can be made without the machine.

    {"format": "spindl machine", "version": 1, "model": "spin5", "address": "192.168.240.253",
     "dead": {"chips": [[3, 4]], "cores": [[0, 0, 7]], "links": [[1, 0, 4]]}}

Cores are physical ones; a link is dead in the direction away from its chip. The address may be missing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindl.errors import SpindlError
from spindl.machine.name import model_topology
from spindl.machine.topology import Topology, TopologyError

FORMAT, VERSION = "spindl machine", 1


class MachineFileError(SpindlError):
    """A file that describes no machine."""


@dataclass(frozen=True)
class Dead:
    """What of a model does not work: chips; (x, y, physical core); (x, y, link), away from that chip."""

    chips: frozenset[tuple[int, int]] = frozenset()
    cores: frozenset[tuple[int, int, int]] = frozenset()
    links: frozenset[tuple[int, int, int]] = frozenset()


@dataclass(frozen=True)
class MachineFile:
    """What a file says: the machine, and where it is ("" if it does not say)."""

    topology: Topology
    address: str = ""


def dead_parts(topology: Topology) -> Dead:
    """What of a machine's model is dead. Links of dead chips are not counted again."""
    model = model_topology(topology.name)
    here = {(place.x, place.y): place for place in topology.places}
    chips = frozenset((p.x, p.y) for p in model.places if (p.x, p.y) not in here)
    cores, links = set(), set()
    for place in model.places:
        xy = (place.x, place.y)
        if xy not in here:
            continue
        missing = place.working_cores & ~here[xy].working_cores
        cores |= {(*xy, core) for core in range(missing.bit_length()) if missing >> core & 1}
        for link, neighbour in enumerate(place.neighbours):
            if neighbour is not None and neighbour not in chips and here[xy].neighbours[link] is None:
                links.add((*xy, link))
    return Dead(chips, frozenset(cores), frozenset(links))


def save_machine(machine: MachineFile, path: Path) -> None:
    """Writes a machine down. Raises MachineFileError if the file cannot be written."""
    dead = dead_parts(machine.topology)
    document = {"format": FORMAT, "version": VERSION, "model": machine.topology.name, "address": machine.address}
    lists = {name: sorted(list(each) for each in getattr(dead, name)) for name in ("chips", "cores", "links")}
    text = json.dumps({**document, "dead": lists})
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise MachineFileError(f"cannot be written: {error.strerror}", str(path), "choose another file") from error


def load_machine(path: Path) -> MachineFile:
    """The machine in a file. Raises MachineFileError if it is missing, damaged or of another version."""
    where = str(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MachineFileError(
            "no such machine file", where, "write one with spindl machine NAME --save FILE"
        ) from error
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise MachineFileError(f"the machine file cannot be read: {error}", where, "read the machine again") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MachineFileError("this is no machine file", where, "write one with spindl machine NAME --save FILE")
    if document.get("version") != VERSION:
        raise MachineFileError(
            f"a machine file of version {document.get('version')!r}; this spindl reads version {VERSION}",
            where,
            "read the machine again",
        )
    try:
        dead = document["dead"]
        topology = model_topology(document["model"]).without(
            _parts(dead["chips"], 2), _parts(dead["cores"], 3), _parts(dead["links"], 3)
        )
        address = document.get("address", "")
        if not isinstance(address, str):
            raise TypeError("the address is no text")
    except (KeyError, TypeError, ValueError, TopologyError) as error:
        what = error.what if isinstance(error, TopologyError) else f"{type(error).__name__}: {error}"
        raise MachineFileError(f"the machine file is damaged: {what}", where, "read the machine again") from error
    return MachineFile(topology, address)


def _parts(listed: Any, length: int) -> frozenset[Any]:
    """Coordinates of dead parts. Raises TypeError or ValueError for anything else."""
    if not isinstance(listed, list):
        raise TypeError(f"{listed!r} is no list of parts")
    for each in listed:
        if not isinstance(each, list) or len(each) != length or not all(type(n) is int for n in each):
            raise ValueError(f"{each!r} is no part: {length} numbers are wanted")
    return frozenset(tuple(each) for each in listed)
