"""Router entries: trees of short ways over working links that little else uses, there and back.

A way may lead through chips that do not take part in the work; they get entries, but no cores.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.program.machine import RouterEntry
from spindl.program.stream import STREAM_MASK, key

Links = Mapping[XY, Mapping[int, XY]]
Entries = dict[XY, list[RouterEntry]]
Link = tuple[XY, int]
"""A chip and the number of its link: one direction."""
SHARED = 8
"""Links more that a way may have, rather than one that another stream uses: a word takes 150 cycles and more on a
shared link instead of 76, a link more delays a block once by some 50."""


def stream_entries(
    links: Links, stream: int, sender: XY, receivers: Sequence[XY], core: int, load: Mapping[Link, int] | None = None
) -> Entries:
    """Entries of one stream and of its answers, per chip.

    Args:
        links: of every chip, those that work both ways.
        stream: its even number; stream + 1 leads back.
        sender: the sending chip.
        receivers: the others.
        core: index of the core that sends, and of those that receive.
        load: streams that use a link already.

    Raises:
        PlanError: a receiver cannot be reached.
    """
    parent = _parents(links, sender, load or {})
    children: dict[XY, list[int]] = {sender: []}
    for receiver in receivers:
        if receiver not in parent:
            raise PlanError(
                f"no working links lead from chip {sender} to chip {receiver}", "machine", "use fewer chips"
            )
        at, below = receiver, None
        while at not in children:  # up to where the ways of the receivers before went
            children[at] = [] if below is None else [below]
            way = parent[at]
            assert way is not None  # the sender is there from the beginning
            below, at = (way[0] + 3) % 6, way[1]
        if below is not None:
            children[at].append(below)
    entries: Entries = {}
    for xy, away in children.items():
        way = parent[xy]
        here = (core,) if xy in receivers else ()
        back = () if way is None else (way[0],)
        entries[xy] = [
            RouterEntry(key(stream, 0, 0), STREAM_MASK, tuple(sorted(away)), here),
            RouterEntry(key(stream + 1, 0, 0), STREAM_MASK, back, (core,) if way is None else ()),
        ]
    return entries


def _parents(links: Links, sender: XY, load: Mapping[Link, int]) -> dict[XY, tuple[int, XY] | None]:
    """Of each chip that can be reached: the link towards the sender on the best way, and where it leads."""
    parent: dict[XY, tuple[int, XY] | None] = {}
    queue: list[tuple[int, int, XY, tuple[int, XY] | None]] = [(0, 0, sender, None)]
    turn = 0
    while queue:
        length, _, xy, way = heapq.heappop(queue)
        if xy in parent:
            continue
        parent[xy] = way
        for link, other in links[xy].items():
            if other not in parent:
                turn += 1  # among equals who was found first
                heapq.heappush(
                    queue, (length + 1 + SHARED * load.get((xy, link), 0), turn, other, ((link + 3) % 6, xy))
                )
    return parent


def links_of(entries: Entries, stream: int) -> list[Link]:
    """The links that a stream's packets take."""
    first = key(stream, 0, 0)
    return [(xy, link) for xy, each in entries.items() for entry in each if entry.key == first for link in entry.links]
