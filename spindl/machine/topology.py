"""Which chips a machine has, how they are linked, and which of them have an Ethernet plug.

Coordinates and link numbers are SpiNNaker's: link 0 east, 1 north-east, 2 north, 3 west, 4 south-west, 5 south.
Boards and triads are those of SpiNNMachine 7.4.1 (version_3.py, version_5.py): a SpiNN-5 board is a hexagon of 48
chips, three of them make a 12x12 tile.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from spindl.errors import SpindlError

XY = tuple[int, int]

LINK_DIRECTIONS: tuple[XY, ...] = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))
LINK_NAMES = ("east", "north-east", "north", "west", "south-west", "south")

_CORES = 18
_LARGEST = 256  # chip coordinates have eight bits
_TRIAD = 12
_TRIAD_ETHERNETS: tuple[XY, ...] = ((0, 0), (4, 8), (8, 4))
_TRIAD_EXTRA = 4  # an unwrapped machine of w x h triads spans 12 w + 4 by 12 h + 4 coordinates


class TopologyError(SpindlError):
    """A machine of that name or size cannot exist.

    Attributes:
        wanted: what was asked for.
    """

    def __init__(self, what: str, wanted: str) -> None:
        self.wanted = wanted
        super().__init__(
            what,
            where=f"machine {wanted!r}",
            remedy="use spin3, spin5, WxH (torus), WxH-mesh, WxH-triads, N-triads, a file or a host",
        )


@dataclass(frozen=True)
class Place:
    """One chip: where it is, what each of its six links leads to (None: nothing), and its board.

    Attributes:
        neighbours: six coordinates, by link number.
        working_cores: physical cores that work, bit per core.
        board: number of its board.
        ethernet: True if the board's plug is on this chip.
    """

    x: int
    y: int
    neighbours: tuple[XY | None, ...]
    working_cores: int = (1 << _CORES) - 1
    board: int = 0
    ethernet: bool = False


@dataclass(frozen=True)
class Topology:
    """A machine: name, size of its coordinate space, hardware version (3 or 5) as software names it, and its chips."""

    name: str
    width: int
    height: int
    version: int
    places: tuple[Place, ...]

    @property
    def boards(self) -> int:
        """Number of boards."""
        return sum(place.ethernet for place in self.places)

    def without(
        self,
        chips: frozenset[XY] = frozenset(),
        cores: frozenset[tuple[int, int, int]] = frozenset(),
        links: frozenset[tuple[int, int, int]] = frozenset(),
    ) -> Topology:
        """The same machine with dead parts.

        Args:
            chips: coordinates of dead chips; all their links are dead too.
            cores: (x, y, physical core).
            links: (x, y, link), dead in the direction away from (x, y) only; give both ends for a link that is dead.

        Raises:
            TopologyError: a part that is not there, or a dead chip that holds the Ethernet plug of a board of which
                other chips live.
        """
        known = {(place.x, place.y): place for place in self.places}
        for parts, count in ((chips, 0), (cores, _CORES), (links, len(LINK_DIRECTIONS))):
            for x, y, *number in parts:
                if (x, y) not in known or (number and not 0 <= number[0] < count):
                    raise TopologyError(f"there is no part {(x, y, *number)} to be dead", self.name)
        left = {place.board for xy, place in known.items() if xy not in chips}
        for xy in chips:
            if known[xy].ethernet and (known[xy].board in left or not left):
                raise TopologyError(
                    f"chip {xy} holds the Ethernet plug of board {known[xy].board} and cannot be dead", self.name
                )

        def alive(place: Place) -> Place:
            neighbours = tuple(
                None if xy in chips or (place.x, place.y, link) in links else xy
                for link, xy in enumerate(place.neighbours)
            )
            dead = sum(1 << core for x, y, core in cores if (x, y) == (place.x, place.y))
            return replace(place, neighbours=neighbours, working_cores=place.working_cores & ~dead)

        return replace(self, places=tuple(alive(place) for xy, place in known.items() if xy not in chips))


def _linked(name: str, size: XY, wraps: tuple[bool, bool], version: int, chips: dict[XY, tuple[int, bool]]) -> Topology:
    """Links `chips` (coordinates -> board, has Ethernet) to their neighbours."""
    width, height = size

    def neighbour(x: int, y: int, direction: XY) -> XY | None:
        to_x, to_y = x + direction[0], y + direction[1]
        if wraps[0]:
            to_x %= width
        if wraps[1]:
            to_y %= height
        return (to_x, to_y) if (to_x, to_y) in chips else None

    places = tuple(
        Place(x, y, tuple(neighbour(x, y, d) for d in LINK_DIRECTIONS), board=board, ethernet=ethernet)
        for (x, y), (board, ethernet) in sorted(chips.items())
    )
    return Topology(name, width, height, version, places)


def _hexagon(corner: XY) -> list[XY]:
    """The 48 chips of a SpiNN-5 board whose Ethernet chip is at `corner`, unwrapped."""
    return [(corner[0] + x, corner[1] + y) for y in range(8) for x in range(8) if x - y <= 4 and y - x <= 3]


def spin3() -> Topology:
    """The SpiNN-3 board: 2x2 chips, wrapped in both dimensions."""
    return replace(torus(2, 2), name="spin3", version=3)


def spin5() -> Topology:
    """The SpiNN-5 board: a hexagon of 48 chips in an 8x8 space, no wrap-around."""
    return _linked("spin5", (8, 8), (False, False), 5, {xy: (0, xy == (0, 0)) for xy in _hexagon((0, 0))})


def triads(width: int, height: int, wrapped: bool = True) -> Topology:
    """`width` x `height` triads of SpiNN-5 boards; the full machine is 20 x 20, wrapped.

    Raises:
        TopologyError: no such machine.
    """
    name = f"{width}x{height}-triads" + ("" if wrapped else "-mesh")
    extra = 0 if wrapped else _TRIAD_EXTRA
    size = (_TRIAD * width + extra, _TRIAD * height + extra)
    if width < 1 or height < 1 or max(size) > _LARGEST:
        raise TopologyError("triads per side must be 1 to 21, and coordinates end at 255", name)
    chips: dict[XY, tuple[int, bool]] = {}
    corners = [
        (_TRIAD * tx + ex, _TRIAD * ty + ey)
        for ty in range(height)
        for tx in range(width)
        for ex, ey in _TRIAD_ETHERNETS
    ]
    for board, corner in enumerate(corners):
        for x, y in _hexagon(corner):
            xy = (x % size[0], y % size[1]) if wrapped else (x, y)
            chips[xy] = (board, xy == corner)
    return _linked(name, size, (wrapped, wrapped), 5, chips)


def _rectangle(width: int, height: int, wrapped: bool) -> Topology:
    name = f"{width}x{height}" + ("" if wrapped else "-mesh")
    if width < 1 or height < 1 or max(width, height) > _LARGEST:
        raise TopologyError("a side has 1 to 256 chips", name)
    chips = {(x, y): (0, (x, y) == (0, 0)) for x in range(width) for y in range(height)}
    return _linked(name, (width, height), (wrapped, wrapped), 3 if (width, height) == (2, 2) else 5, chips)


def torus(width: int, height: int) -> Topology:
    """A rectangle of chips, wrapped in both dimensions, with one Ethernet plug at (0, 0). Raises TopologyError."""
    return _rectangle(width, height, wrapped=True)


def mesh(width: int, height: int) -> Topology:
    """A rectangle of chips without wrap-around, with one Ethernet plug at (0, 0). Raises TopologyError."""
    return _rectangle(width, height, wrapped=False)


def parse_topology(text: str) -> Topology:
    """Reads "spin3", "spin5", "WxH" (torus), "WxH-mesh", "WxH-triads" or "WxH-triads-mesh".

    Raises:
        TopologyError: anything else, or a size that cannot exist.
    """
    if text == "spin3":
        return spin3()
    if text == "spin5":
        return spin5()
    match = re.fullmatch(r"(\d+)x(\d+)(-triads)?(-mesh)?", text)
    if match is None:
        raise TopologyError("this names no machine", text)
    width, height, wrapped = int(match[1]), int(match[2]), match[4] is None
    return triads(width, height, wrapped) if match[3] else _rectangle(width, height, wrapped)
