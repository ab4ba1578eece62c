"""Router entries: trees of shortest ways over working links, there and back.

A way may lead through chips that do not take part in the work; they get entries, but no cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.program.machine import RouterEntry
from spindl.program.stream import STREAM_MASK, key

Links = Mapping[XY, Mapping[int, XY]]
Entries = dict[XY, list[RouterEntry]]


def stream_entries(links: Links, stream: int, sender: XY, receivers: Sequence[XY], core: int) -> Entries:
    """Entries of one stream and of its answers, per chip.

    Args:
        links: of every chip, those that work both ways.
        stream: its even number; stream + 1 leads back.
        sender: the sending chip.
        receivers: the others.
        core: index of the core that sends, and of those that receive.

    Raises:
        PlanError: a receiver cannot be reached.
    """
    parent: dict[XY, tuple[int, XY] | None] = {sender: None}  # link towards the sender, and where it leads
    queue = [sender]
    for xy in queue:
        for link, other in links[xy].items():
            if other not in parent:
                parent[other] = (link + 3) % 6, xy
                queue.append(other)
    children: dict[XY, list[int]] = {sender: []}
    for receiver in receivers:
        if receiver not in parent:
            raise PlanError(
                f"no working links lead from chip {sender} to chip {receiver}", "machine", "use fewer chips"
            )
        at = receiver
        while (way := parent[at]) is not None:
            known = way[1] in children  # then the way from the sender to there is known as well
            children.setdefault(at, [])
            link = (way[0] + 3) % 6
            if link not in children.setdefault(way[1], []):
                children[way[1]].append(link)
            if known:
                break
            at = way[1]
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
