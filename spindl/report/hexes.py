"""The machine as a map: hexagons for chips, coloured by what they do; lines between them for links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import cos, pi, sin

from spindl.machine import LINK_DIRECTIONS, Place, Topology, TopologyError, parse_topology
from spindl.report.model import ChipUse, MachineUse
from spindl.report.svg import amount, drawing, percent, tag, text, title

LARGEST = 2400
"""Chips that are drawn one by one; of larger machines, a hexagon stands for a board."""
_ROOT = 3**0.5 / 2
XY = tuple[int, int]

LINKS = "links"
FIELDS: tuple[tuple[str, str, str], ...] = (
    ("cores", "cores in use", ""),
    ("sdram_bytes", "SDRAM in use", "B"),
    ("cycles", "core cycles awake", ""),
    ("packets", "packets sent", ""),
)


def machine_maps(use: MachineUse) -> list[tuple[str, str]]:
    """(title, drawing) for each figure that is known of the chips; chips not in use are drawn empty."""
    try:
        topology = parse_topology(use.name)
    except TopologyError:
        return []
    chips = {(chip.x, chip.y): chip for chip in use.chips}
    maps = [
        (heading, machine_map(topology, chips, field, unit))
        for field, heading, unit in FIELDS
        if any(getattr(chip, field) is not None for chip in use.chips)
    ]
    if len(topology.places) <= LARGEST and any(load is not None for chip in use.chips for load in chip.links):
        maps.append(("links by load", machine_map(topology, chips, LINKS, "")))
    return maps


def machine_map(topology: Topology, chips: Mapping[XY, ChipUse], field: str, unit: str) -> str:
    """One map: chips coloured by a field, or, of LINKS, lines through the edges between them, two for a link."""
    by_board = len(topology.places) > LARGEST
    places = [p for p in topology.places if p.ethernet] if by_board else list(topology.places)
    spread = 48**0.5 if by_board else 1.0
    values = _boards(topology, chips, field) if by_board else {xy: getattr(chip, field) for xy, chip in chips.items()}
    if field == LINKS:
        values = {}
    known = [value for value in values.values() if value is not None]
    most, least = max(known, default=0), min(known, default=0)

    def shade(value: float) -> float:
        # equal machines stay readable: the scale begins at zero unless all values are close to each other
        return 0.18 + 0.82 * (value / most if most else 0.0)

    centres = {(p.x, p.y): (p.x - p.y / 2, -p.y * _ROOT) for p in places}
    xs, ys = [c[0] for c in centres.values()], [c[1] for c in centres.values()]
    span = max(max(xs) - min(xs), max(ys) - min(ys)) + spread * 1.3
    size = min(520 / span, 64.0)

    def at(xy: XY) -> tuple[float, float]:
        x, y = centres[xy]
        return (x - min(xs) + spread * 0.65) * size, (y - min(ys) + spread * 0.65) * size

    radius = 0.5 / _ROOT * spread * size * 0.9
    parts = []
    for place in places:
        value = values.get((place.x, place.y))
        x, y = at((place.x, place.y))
        name = f"board at {place.x},{place.y}" if by_board else f"chip {place.x},{place.y}"
        said = "not used" if value is None else amount(value, unit)
        hint = name if field == LINKS else f"{name}{' (Ethernet)' if place.ethernet else ''}: {said}"
        outline = "" if by_board or not place.ethernet else " plug"
        parts.append(
            tag(
                "path",
                title(hint),
                d=_hexagon(x, y, radius, flat=by_board),
                class_=("hex free" if value is None else "hex f1") + outline,
                fill_opacity=None if value is None else round(shade(value), 2),
            )
        )
        if radius > 17 and value is not None:
            parts.append(text(f"{place.x},{place.y}", x, y + 4, "in on" if shade(value) > 0.6 else "in", "middle"))
    if field == LINKS:
        parts += _links(topology, chips, at, radius)
        known = [load for chip in chips.values() for load in chip.links if load is not None]
        least, most = min(known), max(known)
    width = (max(xs) - min(xs) + spread * 1.3) * size
    height = (max(ys) - min(ys) + spread * 1.3) * size
    shown = percent if field == LINKS else lambda value: amount(value, unit)
    scale = f"{shown(least)} to {shown(most)}" if least != most else f"{shown(most)} each"
    parts.append(text(scale, 2, height + 14, "tick"))
    return drawing(
        max(width, 160),
        height + 20,
        *parts,
        label=f"{topology.name}: {field}",
        class_="chart map",
        widest=max(width, 160),
    )


def _boards(topology: Topology, chips: Mapping[XY, ChipUse], field: str) -> dict[XY, float | None]:
    """Sums over the chips of each board, at its Ethernet chip."""
    homes = {p.board: (p.x, p.y) for p in topology.places if p.ethernet}
    result: dict[XY, float | None] = dict.fromkeys(homes.values())
    for place in topology.places:
        chip = chips.get((place.x, place.y))
        value = getattr(chip, field) if chip else None
        if value is not None:
            home = homes[place.board]
            result[home] = (result[home] or 0) + value
    return result


def _links(
    topology: Topology, chips: Mapping[XY, ChipUse], at: Callable[[XY], tuple[float, float]], radius: float
) -> list[str]:
    """A short line through each edge that packets cross; half of it for each direction. Thin where nothing is known."""
    parts = []
    for place in topology.places:
        chip = chips.get((place.x, place.y))
        for link, load in enumerate(chip.links if chip else ()):
            if load is None or place.neighbours[link] is None:
                continue
            parts.append(_link(place, link, load, at, radius))
    return parts


def _link(place: Place, link: int, load: float, at: Callable[[XY], tuple[float, float]], radius: float) -> str:
    x, y = at((place.x, place.y))
    dx, dy = LINK_DIRECTIONS[link]
    step_x, step_y = dx - dy / 2, -dy * _ROOT
    length = (step_x**2 + step_y**2) ** 0.5
    step_x, step_y = step_x / length, step_y / length
    side_x, side_y = -step_y * radius * 0.17, step_x * radius * 0.17  # the two directions lie beside each other
    near, far = radius * 0.36, radius * 0.98
    hint = f"link {link} of chip {place.x},{place.y}: load {100 * load:.0f} %"
    return tag(
        "line",
        title(hint),
        x1=x + step_x * near + side_x,
        y1=y + step_y * near + side_y,
        x2=x + step_x * far + side_x,
        y2=y + step_y * far + side_y,
        class_="link s2",
        stroke_width=1 + 0.16 * radius * load,
        stroke_opacity=round(0.25 + 0.75 * min(load, 1.0), 2),
    )


def _hexagon(x: float, y: float, radius: float, flat: bool) -> str:
    """A hexagon with a corner (chips) or an edge (boards) on top, as their neighbours lie."""
    angles = (k * pi / 3 + flat * pi / 6 for k in range(6))
    corners = ((x + radius * sin(angle), y - radius * cos(angle)) for angle in angles)
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in corners) + "z"
