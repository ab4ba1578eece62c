"""What of a Program goes where in a chip's SDRAM, and its bytes.

One block of SDRAM per chip holds the data of each graph, then the schedules, then records and what belongs to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from spinnman.constants import UDP_MESSAGE_MAX_SIZE

from spindl.machine import Topology
from spindl.machine.topology import XY
from spindl.program import Program
from spindl.program.image import Image
from spindl.program.load import ChipLoad, CoreName, Setting, chip_load
from spindl.program.machine import ChipProgram, Place, relocated
from spindl.program.schedule import Schedule, encode
from spindl.run import chip
from spindl.run.hosted.memories import Pieces
from spindl.run.hosted.transfers import Piece
from spindl.run.interface import RunError

ALIGN = 64
CORE_TIME_OUT = 5.0
"""Seconds that a core waits for others, or for its DMA, before it stops with an error."""

STATES = "states"
"""The schedule that brings states from where they enter to all chips."""
STARTING = 3
"""Requests per core to start a schedule of its own and hear of its end: its address, the command, the answer."""


@dataclass(frozen=True)
class Loaded:
    """A graph on a chip: its program, where its data begin, and per commit each core's (schedule address, bytes)."""

    program: ChipProgram
    base: int
    schedules: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class LoadedChip:
    """One chip: its coordinates, its cores' names, its graphs, what its cores read and leave."""

    xy: XY
    names: tuple[CoreName, ...]
    graphs: Mapping[str, Loaded]
    load: ChipLoad

    def bytes_of_state(self, graph: str) -> int:
        """Bytes of a graph's states on this chip, sites' records included."""
        return sum(place.bytes for place in self.graphs[graph].program.states.values())


def requests_saved(chips: Sequence[LoadedChip], graph: str) -> int:
    """How many requests to SC&MP fewer it takes if chips bring states to each other; 0 if they cannot."""
    programs = [chip.graphs[graph].program for chip in chips]
    if STATES not in programs[0].schedules:
        return 0

    def requests(places: Iterable[Place]) -> int:
        return sum(-(-place.bytes // UDP_MESSAGE_MAX_SIZE) + (place.word is not None) for place in places)

    to_each = sum(requests(program.states.values()) for program in programs)
    small = requests(place for place in programs[0].states.values() if place.site is not None) + sum(
        place.word is not None for place in programs[0].states.values()
    )
    staged = sum(requests(place for _, place in program.staged) for program in programs)
    return to_each - small - staged - STARTING * sum(len(chip.names) for chip in chips)


@dataclass(frozen=True)
class Layout:
    """The bytes of one chip before their place is known: cores, offsets of graphs and schedules, size of all."""

    image: Image
    xy: XY
    number: int
    chips: int
    names: tuple[CoreName, ...]
    parts: Mapping[str, ChipProgram]
    offsets: Mapping[str, int]
    places: Mapping[tuple[str, str, int], int]
    data_end: int
    records: int
    size: int

    def stamped(self, schedule: Schedule, start: int = 0) -> bytes:
        """A schedule's bytes, for this image and for data that begin at `start`."""
        return encode(replace(relocated(schedule, start), image=self.image.version))

    def record_load(self, base: int, at: int) -> ChipLoad:
        """Records and what belongs to them, for a block that begins at `base`, from `at` on."""
        regions = ((base, base + self.data_end, True), (base + self.data_end, base + self.records, False))
        setting = Setting(regions, self.chips, round(1000 * CORE_TIME_OUT), step_counters=True, command="NONE")
        tables = zip(*(part.schedules["all"] for part in self.parts.values()), strict=True)
        longest = [max(of_core, key=lambda schedule: len(schedule.steps)) for of_core in tables]
        return chip_load(
            self.image, [self.stamped(each) for each in longest], self.names, at, setting, chip=self.number
        )


def lay_out(
    image: Image, xy: XY, cores: Sequence[CoreName], number: int, parts: Mapping[str, ChipProgram], chips: int
) -> Layout:
    """Where everything of a chip will lie.

    Args:
        image: the program of the cores.
        xy: the chip.
        cores: its working ones; the first of them are used.
        number: of the chip among `chips`.
        parts: its program of each graph.
        chips: how many there are.

    Raises:
        RunError: the chip has too few cores, or its graphs are planned for different numbers of cores.
    """
    counts = {len(part.schedules["all"]) for part in parts.values()}
    if len(counts) != 1:
        raise RunError("the graphs of the program are planned for different numbers of cores", "program")
    wanted = counts.pop()
    if len(cores) < wanted:
        raise RunError(
            f"{wanted} cores are wanted, {len(cores)} work",
            f"chip {xy}",
            "read the machine again, and plan for what is there",
        )
    names = tuple(cores[:wanted])
    at = 0
    offsets: dict[str, int] = {}
    places: dict[tuple[str, str, int], int] = {}
    for graph, part in parts.items():
        offsets[graph] = at
        at += -(-part.bytes // ALIGN) * ALIGN
    data_end = at
    draft = Layout(image, xy, number, chips, names, parts, offsets, places, data_end, 0, 0)
    for graph, part in parts.items():
        for commit, schedules in part.schedules.items():
            for core, schedule in enumerate(schedules):
                places[graph, commit, core] = at
                at += -(-len(draft.stamped(schedule)) // ALIGN) * ALIGN
    size = at + draft.record_load(0, 0).end + 2 * ALIGN
    return replace(draft, records=at, size=size)


def filled(layout: Layout, block: int) -> tuple[LoadedChip, Iterator[Piece]]:
    """The chip as it will be, and what to write, for a block of SDRAM of the layout's size."""
    base = block + -block % ALIGN
    graphs = {}
    pieces: list[Piece] = []
    for graph, part in layout.parts.items():
        start = base + layout.offsets[graph]
        memory = Pieces(layout.xy, start)
        chip.write_contents(part, memory)
        pieces += memory.pieces
        tables: dict[str, tuple[tuple[int, int], ...]] = {}
        for commit, schedules in part.schedules.items():
            lines = []
            for core, schedule in enumerate(schedules):
                data = layout.stamped(schedule, start)
                address = base + layout.places[graph, commit, core]
                pieces.append((layout.xy, address, data))
                lines.append((address, len(data)))
            tables[commit] = tuple(lines)
        graphs[graph] = Loaded(part, start, tables)
    load = layout.record_load(base, base + layout.records)
    pieces += [(layout.xy, address, data) for address, data in load.writes]
    return LoadedChip(layout.xy, layout.names, graphs, load), iter(pieces)


def check_fits(program: Program, places: list[XY], topology: Topology) -> None:
    """Raises RunError if the Program uses chips or links that the machine has not."""
    there = {(place.x, place.y): place for place in topology.places}
    absent = sorted(set(places) - there.keys())
    if absent:
        raise RunError(f"the machine has no chips {absent}", "machine", "plan for this machine")
    for xy, entries in chip.router_entries(program).items():
        dead = sorted({link for entry in entries for link in entry.links if there[xy].neighbours[link] is None})
        if dead:
            raise RunError(f"the plan sends over links {dead} of chip {xy}, which are dead", "machine", "plan anew")
