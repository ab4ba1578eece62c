"""Router entries: trees of shortest ways over working links, there and back.

A way may lead through chips that do not take part in the work; they get entries, but no cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.plan.machine import Machine, both_ways
from spindl.program.machine import RouterEntry
from spindl.program.stream import FIRST_STREAM, STREAM_MASK, key

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
            known = at in children
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


def machine_entries(machine: Machine) -> dict[XY, tuple[RouterEntry, ...]]:
    """All entries of a machine, of chips that take part and of those that only pass packets on.

    Chip c's core c sends stream FIRST_STREAM + 2 c to core c of the others.
    """
    if machine.chips == 1:
        return {}
    links = both_ways(machine.topology)
    entries: Entries = {}
    for number, root in enumerate(machine.used):
        others = [xy for xy in machine.used if xy != root]
        for xy, each in stream_entries(links, FIRST_STREAM + 2 * number, root, others, number).items():
            entries.setdefault(xy, []).extend(each)
    return {xy: tuple(each) for xy, each in entries.items()}
