"""Router entries of the streams by which chips exchange sums: trees of shortest ways, there and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spindl.machine import Topology
from spindl.machine.topology import XY
from spindl.program.stream import BLOCK_BITS, PLACE_BITS, key
from spindl.run.interface import RunError

STREAM_MASK = 0xFFFFFFFF << (BLOCK_BITS + PLACE_BITS) & 0xFFFFFFFF


@dataclass(frozen=True)
class Entry:
    """A router entry of one chip: key and mask, links, indices of cores that get the packet."""

    key: int
    mask: int
    links: tuple[int, ...]
    cores: tuple[int, ...]


def nearest(topology: Topology, count: int) -> list[XY]:
    """(0, 0) and the chips next to it, as many as asked for. Raises RunError if the machine has fewer."""
    places = {(place.x, place.y): place for place in topology.places}
    chips: list[XY] = [(0, 0)]
    for xy in chips:
        for neighbour in places[xy].neighbours:
            if neighbour is not None and neighbour not in chips and len(chips) < count:
                chips.append(neighbour)
    if len(chips) < count:
        raise RunError(f"{count} chips are wanted, {topology.name} has {len(chips)}", "machine", "use fewer chips")
    return chips


def exchange_entries(topology: Topology, chips: Sequence[XY], first_stream: int) -> dict[XY, list[Entry]]:
    """Entries for an exchange of all with all: chip c's core c sends stream first_stream + 2 c to core c of the others.

    Answers to a stream, whose number is one higher, go back to its sender.
    """
    entries: dict[XY, list[Entry]] = {xy: [] for xy in chips}
    for number, root in enumerate(chips):
        stream = first_stream + 2 * number
        for xy, (parent, children) in _tree(topology, root, chips).items():
            cores = () if xy == root else (number,)
            back = Entry(
                key(stream + 1, 0, 0), STREAM_MASK, () if parent is None else (parent,), () if cores else (number,)
            )
            entries[xy] += [Entry(key(stream, 0, 0), STREAM_MASK, tuple(children), cores), back]
    return entries


def _tree(topology: Topology, root: XY, chips: Sequence[XY]) -> dict[XY, tuple[int | None, list[int]]]:
    """Chip -> (link towards the root, links away from it) over the chips that take part."""
    places = {(place.x, place.y): place for place in topology.places}
    found: dict[XY, tuple[int | None, list[int]]] = {root: (None, [])}
    queue = [root]
    for xy in queue:
        for link, neighbour in enumerate(places[xy].neighbours):
            if neighbour is not None and neighbour in chips and neighbour not in found:
                found[neighbour] = ((link + 3) % 6, [])
                found[xy][1].append(link)
                queue.append(neighbour)
    if len(found) < len(chips):
        missing = sorted(set(chips) - found.keys())
        raise RunError(f"chips {missing} have no way to {root} over chips that take part", "machine")
    return found
