"""Streams whose blocks did not arrive: who sends, over which links, to whom, and what the routers there dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spindl.machine import LINK_NAMES, Topology
from spindl.machine.topology import XY
from spindl.program.kernels import KERNELS
from spindl.program.load import CoreResult
from spindl.program.machine import ChipProgram, RouterEntry
from spindl.program.stream import BLOCK_BITS, BLOCK_NUMBERS, PLACE_BITS, key

Place = tuple[XY, int]
"""A chip, and the index of one of its cores."""
_WAITS = {"ACKNOWLEDGE_TIME_OUT": "the sender", "RECEIVE_TIME_OUT": "the receiver"}


@dataclass(frozen=True)
class Way:
    """How the blocks of a stream come to one receiver; answers take the same links back.

    Attributes:
        sender, receiver: chip and index of the core.
        hops: (chip, link that packets leave it by), in order.
    """

    sender: Place
    hops: tuple[tuple[XY, int], ...]
    receiver: Place


@dataclass(frozen=True)
class Stalled:
    """A block that did not arrive.

    Attributes:
        stream, block: its number, that of the block modulo BLOCK_NUMBERS.
        ends: which of "the sender", "the receiver" stopped because of it.
        way: between them.
    """

    stream: int
    block: int
    ends: tuple[str, ...]
    way: Way

    def text(self, names: Mapping[Place, str], dropped: Mapping[XY, int]) -> list[str]:
        """For people: ends by their names, links, and drops of each router on the way since the start of the run."""
        links = [f"link {link} ({LINK_NAMES[link]}) of chip {xy}" for xy, link in self.way.hops]
        places = [names.get(end, f"chip {end[0]}") for end in (self.way.sender, self.way.receiver)]
        chips = [xy for xy, _ in self.way.hops] + [self.way.receiver[0]]
        drops = ", ".join(f"chip {xy} {dropped.get(xy, 'unknown')}" for xy in chips)
        way, block = " -> ".join([places[0], *links, places[1]]), f"block {self.block} modulo {BLOCK_NUMBERS}"
        return [
            f"stream {self.stream}, {block}: {way}; waiting: {' and '.join(self.ends)}",
            f"  dropped by the routers on this way: {drops}",
        ]


def ways(routes: Mapping[XY, Sequence[RouterEntry]], topology: Topology, stream: int) -> list[Way]:
    """The ways of a stream's packets from its sender, which is where its answers end; none for an unknown stream.

    Args:
        routes: router entries of each chip.
        topology: of the machine.
        stream: its even number.
    """
    neighbours = {(place.x, place.y): place.neighbours for place in topology.places}
    answers, found = key(stream + 1, 0, 0), list[Way]()
    for start, entries in routes.items():
        for core in {core for entry in entries if answers & entry.mask == entry.key for core in entry.cores}:
            queue: list[tuple[XY, tuple[tuple[XY, int], ...]]] = [(start, ())]
            for xy, hops in queue:
                if len(hops) > len(neighbours):
                    continue  # a way in a circle, which the checker of plans refuses
                for entry in routes.get(xy, ()):
                    if key(stream, 0, 0) & entry.mask == entry.key:
                        found += [Way((start, core), hops, (xy, each)) for each in entry.cores]
                        onward = ((link, neighbours[xy][link]) for link in entry.links)
                        queue += [(other, (*hops, (xy, link))) for link, other in onward if other is not None]
    return found


def receiver_numbers(parts: Sequence[ChipProgram]) -> dict[tuple[int, Place], int]:
    """By which number each listener acknowledges: (stream, chip and core) -> number, from the schedules of a graph."""
    fields = [field.name for field in KERNELS["listen"].arguments]
    stream, receiver = fields.index("stream"), fields.index("receiver")
    return {
        (step.words[stream], (part.xy, core)): step.words[receiver]
        for part in parts
        for core, schedule in enumerate(part.schedules["all"])
        for step in schedule.steps
        if step.kernel == KERNELS["listen"].number
    }


def stalled(
    results: Mapping[Place, CoreResult],
    parts: Sequence[ChipProgram],
    routes: Mapping[XY, Sequence[RouterEntry]],
    topology: Topology,
) -> list[Stalled]:
    """Blocks for which cores say that they waited too long; first those for which both ends did.

    Args:
        results: what the cores of a step left.
        parts: the programs of the step's graph.
        routes: router entries of each chip.
        topology: of the machine.
    """
    found: dict[tuple[int, int, Way], list[str]] = {}
    numbers = receiver_numbers(parts)
    for place, result in results.items():
        if result.error is None or result.error.name not in _WAITS:
            continue
        head, detail = result.error.details
        stream, block = head >> (PLACE_BITS + BLOCK_BITS), head >> PLACE_BITS & BLOCK_NUMBERS - 1
        for way in ways(routes, topology, stream):
            if result.error.name == "RECEIVE_TIME_OUT":
                concerned = place == way.receiver
            else:  # detail: bits of the receivers that have not acknowledged
                concerned = place == way.sender and bool(detail >> numbers.get((stream, way.receiver), 0) & 1)
            if concerned:
                found.setdefault((stream, block, way), []).append(_WAITS[result.error.name])
    made = [Stalled(stream, block, tuple(sorted(ends)), way) for (stream, block, way), ends in found.items()]
    return sorted(made, key=lambda each: (-len(each.ends), len(each.way.hops), each.stream))


def suspects(found: Sequence[Stalled]) -> list[tuple[XY, int]]:
    """Links to leave out: those that most of the ways with two waiting ends share; none if no way has two."""
    counts = Counter(hop for each in found if len(each.ends) > 1 for hop in each.way.hops)
    most = max(counts.values(), default=0)
    return [hop for hop, count in counts.items() if count == most]


@dataclass(frozen=True)
class LinkTo:
    """A link to a chip that does not answer the host: from where, by which, whether anything comes over it."""

    chip: XY
    link: int
    silent: XY
    works: bool

    @property
    def text(self) -> str:
        """For people."""
        found = "its memory comes" if self.works else "nothing comes"
        return f"link {self.link} ({LINK_NAMES[self.link]}) of chip {self.chip} to chip {self.silent}: {found} over it"


def dead_links(found: Sequence[LinkTo]) -> list[tuple[XY, int]]:
    """Links that brought nothing of a chip that answers over others: the chip works, they do not."""
    alive = {each.silent for each in found if each.works}
    return [(each.chip, each.link) for each in found if each.silent in alive and not each.works]
