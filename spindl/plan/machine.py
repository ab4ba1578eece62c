"""What a plan is made for: a machine, and which of its chips and cores take part."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from spindl.machine import CHIP, Place, Topology, parse_topology
from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.program.core import TILES

RESERVED = 20 << 20
"""Bytes of SDRAM for SC&MP, schedules, records and counters."""
SDRAM = int(CHIP.sdram.value) - RESERVED


@dataclass(frozen=True)
class Machine:
    """What a plan is made for.

    Attributes:
        topology: the machine, without its dead parts.
        used: coordinates of the chips that share the work; a chip's number in a plan is its place here.
        cores: compute cores of each chip.
        tiles: first DTCM address that tasks may use, and the one behind the last.
        sdram: bytes of SDRAM of a chip that a plan may use.
    """

    topology: Topology
    used: tuple[XY, ...]
    cores: int
    tiles: tuple[int, int] = TILES
    sdram: int = SDRAM

    @property
    def name(self) -> str:
        """As `spindl.machine.parse_topology` reads it, if it is a machine without dead parts."""
        return self.topology.name

    @property
    def chips(self) -> int:
        """How many chips share the work."""
        return len(self.used)


def machine_of(
    topology: Topology | str,
    chips: int = 1,
    cores: int | None = None,
    tiles: tuple[int, int] = TILES,
    sdram: int = SDRAM,
) -> Machine:
    """A machine to plan for: the chips nearest to (0, 0), and as many cores as each of them has.

    Args:
        topology: the machine without its dead parts, or its name.
        chips: how many of its chips share the work.
        cores: compute cores of each chip; None: as many as work on each of these chips, SC&MP's own aside.
        tiles, sdram: see `Machine`.

    Raises:
        TopologyError: a name of no machine.
        PlanError: the machine has fewer chips, or one of them fewer cores.
    """
    found = parse_topology(topology) if isinstance(topology, str) else topology
    used = tuple(nearest(found, chips))
    working = {xy: application_cores(found, xy) for xy in used}
    least = min(working.values())
    if cores is None:
        cores = least
    if not 1 <= cores <= least:
        poor = min(working, key=lambda xy: working[xy])
        raise PlanError(
            f"{cores} cores are wanted, chip {poor} has {least} beside the monitor's", "machine", "use fewer cores"
        )
    return Machine(found, used, cores, tiles, sdram)


def application_cores(topology: Topology, xy: XY) -> int:
    """Working cores of a chip, without the one on which SC&MP runs."""
    place = next(place for place in topology.places if (place.x, place.y) == xy)
    return place.working_cores.bit_count() - 1


def entrances(machine: Machine) -> tuple[int, ...]:
    """Of each chip of a plan the number of the one through which data for it enters, its board's own.

    That is the chip with the board's Ethernet plug; where it takes no part, the one of those that do which is nearest.
    """
    places = {(place.x, place.y): place for place in machine.topology.places}
    plugs = {place.board: xy for xy, place in places.items() if place.ethernet}
    links, on_board = both_ways(machine.topology), dict[int, list[int]]()
    for number, xy in enumerate(machine.used):
        on_board.setdefault(places[xy].board, []).append(number)
    nearest_to = {}
    for board, numbers in on_board.items():
        hops = distances(links, plugs[board]) if board in plugs else {}
        nearest_to[board] = min(numbers, key=lambda number: (hops.get(machine.used[number], len(places)), number))
    return tuple(nearest_to[places[xy].board] for xy in machine.used)


def both_ways(topology: Topology) -> dict[XY, dict[int, XY]]:
    """Per chip its links (number -> neighbour) that work in both directions: answers go back the way that data came."""
    places = {(place.x, place.y): place for place in topology.places}

    def works(xy: XY, link: int, other: XY | None) -> bool:
        return other is not None and other in places and places[other].neighbours[(link + 3) % 6] == xy

    return {
        xy: {link: other for link, other in enumerate(place.neighbours) if other is not None and works(xy, link, other)}
        for xy, place in places.items()
    }


def nearest(topology: Topology, count: int) -> list[XY]:
    """(0, 0) and the chips next to it, as many as asked for; those of its board first.

    Data enter through each board's Ethernet chip: of a further board come that one, and those next to it.

    Raises:
        PlanError: the machine has fewer chips that links join.
    """
    links = both_ways(topology)
    board = {(place.x, place.y): place.board for place in topology.places}
    plugs = [(place.x, place.y) for place in topology.places if place.ethernet and (place.x, place.y) != (0, 0)]
    reached = distances(links, (0, 0)) if (0, 0) in links else {}
    chips: list[XY] = []
    for start in [(0, 0), *sorted(plugs, key=lambda xy: (reached.get(xy, 0), xy))]:
        queue = [start] if start in reached and start not in chips else []
        for xy in queue:
            queue += [o for o in dict.fromkeys(links[xy].values()) if board[o] == board[start] and o not in queue]
        chips += queue
    chips += [xy for xy in reached if xy not in chips]  # joined to their board's others by chips of other boards only
    chips = chips[: max(0, count)]
    if len(chips) < count or count < 1:
        what = f"{count} chips are wanted, {topology.name} has {len(chips)} that links join to (0, 0)"
        raise PlanError(what, "machine", "use fewer chips" if count > 0 else "use one chip at least")
    return chips


def distances(links: dict[XY, dict[int, XY]], start: XY) -> dict[XY, int]:
    """Hops from a chip to every chip that working links lead to."""
    found, queue = {start: 0}, [start]
    for xy in queue:
        for other in links[xy].values():
            if other not in found:
                found[other] = found[xy] + 1
                queue.append(other)
    return found


def machine_json(machine: Machine) -> str:
    """A machine as JSON text, equal for equal machines."""
    return json.dumps(asdict(machine), sort_keys=True, separators=(",", ":"))


def machine_from_json(text: str) -> Machine:
    """A machine from its JSON text. Raises KeyError, TypeError, ValueError for other text."""
    fields = json.loads(text)
    used = tuple((x, y) for x, y in fields["used"])
    low, high = fields["tiles"]
    return Machine(_topology(fields["topology"]), used, fields["cores"], (low, high), fields["sdram"])


def _topology(fields: dict[str, Any]) -> Topology:
    """A topology from its fields as JSON has them."""
    places = tuple(
        Place(**{**each, "neighbours": tuple(None if xy is None else (xy[0], xy[1]) for xy in each["neighbours"])})
        for each in fields["places"]
    )
    return Topology(**{**fields, "places": places})
