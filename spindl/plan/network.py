"""How chips that share a batch are joined: rings of near chips for bandwidth, a tree for latency, and their streams.

Every stream joins cores of one index on two chips (or on a chip and its children), and all chips carry out their
exchanges in one order: so nobody ever waits for somebody who waits for him.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import TypeVar

from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.plan.machine import Machine, both_ways, distances
from spindl.plan.route import Entries, Link, links_of, stream_entries
from spindl.program.costs import gap, word
from spindl.program.machine import RouterEntry
from spindl.program.stream import FIRST_STREAM

RINGS = 4
"""Rings in use at once at most, one core each; every other one turns backwards."""
CHILDREN = 2
"""Of a chip in the tree, at most: a core listens to two blocks at once."""
LARGEST = 64
"""Chips that can share a batch: streams are numbered for as many."""
_TURNS = 30_000
Chip = TypeVar("Chip", int, XY)


@dataclass(frozen=True)
class Network:
    """Who sends to whom, by number of chip.

    Attributes:
        ring: the chips in the order of the ring.
        parents: of each chip in the tree; None: the root.
        children: of each chip in the tree.
        entries: of routers, of chips that take part and of those that only pass packets on.
        rings: how many at once are fastest: streams that share a link have to wait for each other.
        sharers: where so many rings less 1 are in use, of each of their streams, by ring and sender: how many use the
            link of its way that most use.
        crossing: whether a way of the tree uses a link of a ring.
    """

    ring: tuple[int, ...]
    parents: tuple[int | None, ...]
    children: tuple[tuple[int, ...], ...]
    entries: Mapping[XY, tuple[RouterEntry, ...]] = field(default_factory=dict)
    rings: int = 1
    sharers: tuple[Mapping[tuple[int, int], int], ...] = ()
    crossing: bool = False


def ring_stream(ring: int, sender: int) -> int:
    """The stream that a chip sends in a ring."""
    return FIRST_STREAM + 2 * (LARGEST * ring + sender)


def up_stream(sender: int) -> int:
    """The stream to a chip's parent."""
    return FIRST_STREAM + 2 * (LARGEST * RINGS + sender)


def down_stream(sender: int) -> int:
    """The stream to a chip's children."""
    return FIRST_STREAM + 2 * (LARGEST * (RINGS + 1) + sender)


def ring_core(ring: int, cores: int) -> int:
    """Index of the core that works for a ring."""
    return ring % cores


def tree_core(cores: int) -> int:
    """Index of the core that works for the tree."""
    return RINGS % cores


def neighbour(network: Network, chip: int, ring: int, steps: int) -> int:
    """The chip some steps ahead in the direction of a ring."""
    place = network.ring.index(chip)
    return network.ring[(place + (steps if ring % 2 == 0 else -steps)) % len(network.ring)]


@cache
def network_of(machine: Machine) -> Network:
    """The network of a machine's chips. Deterministic. Raises PlanError for too many chips."""
    if machine.chips > LARGEST:
        what = f"{machine.chips} chips share a batch; {LARGEST} are possible"
        raise PlanError(what, "machine", "use fewer chips")
    links = both_ways(machine.topology)
    number = {xy: k for k, xy in enumerate(machine.used)}
    near = {k: sorted(number[o] for o in links[xy].values() if o in number) for xy, k in number.items()}
    far = {k: {number[o]: hops for o, hops in distances(links, xy).items() if o in number} for xy, k in number.items()}
    parents, children = _tree(far)
    return _routed(machine, Network(ring_through(near) or _tour(far), parents, children))


def _tree(far: Mapping[int, Mapping[int, int]]) -> tuple[tuple[int | None, ...], tuple[tuple[int, ...], ...]]:
    """A tree of at most CHILDREN children a chip: each joins the nearest one that is in it already."""
    root = min(far, key=lambda k: (max(far[k].values()), sum(far[k].values()), k))
    parents: dict[int, int | None] = {root: None}
    depth = {root: 0}
    children: dict[int, list[int]] = {k: [] for k in far}
    for k in sorted(far, key=lambda k: (far[root][k], k)):
        if k == root:
            continue
        free = (p for p in parents if len(children[p]) < CHILDREN)
        parent = min(free, key=lambda p: (far[p][k] + depth[p], far[p][k], p))
        parents[k], depth[k] = parent, depth[parent] + 1
        children[parent].append(k)
    return tuple(parents[k] for k in sorted(far)), tuple(tuple(children[k]) for k in sorted(far))


def ring_through(near: Mapping[Chip, Sequence[Chip]], turns: int = _TURNS) -> tuple[Chip, ...] | None:
    """A ring of neighbours through all chips (Hamiltonian) by Posa's rotations, seeded; None if none was found."""
    if len(near) <= CHILDREN:
        return tuple(sorted(near))
    if any(len(each) < CHILDREN for each in near.values()):
        return None
    random = Random(0)
    path = [min(near)]
    for _ in range(turns):
        ways = near[path[-1]]
        if len(path) == len(near) and path[0] in ways:
            return tuple(path)
        free = [xy for xy in ways if xy not in path]
        if free:
            path.append(min(free, key=lambda xy: (sum(n not in path for n in near[xy]), random.random())))
        else:
            at = path.index(random.choice([xy for xy in ways if xy != path[-2]]))
            path[at + 1 :] = path[:at:-1]
    return None


def _tour(far: Mapping[int, Mapping[int, int]]) -> tuple[int, ...]:
    """A short ring where neighbours alone do not make one: each chip where it lengthens the ring least."""
    tour: list[int] = [min(far)]
    for k in sorted(far, key=lambda k: (far[tour[0]][k], k)):
        if k in tour:
            continue
        extra = [
            (far[a][k] + far[k][b] - far[a][b], at)
            for at, (a, b) in enumerate(zip(tour, [*tour[1:], tour[0]], strict=True))
        ]
        tour.insert(min(extra)[1] + 1, k)
    return tuple(tour)


def _routed(machine: Machine, network: Network) -> Network:
    """With its routes. Those of rings, which carry most, come first: each over links that no other uses, if it can."""
    links = both_ways(machine.topology)
    load: Counter[Link] = Counter()

    def routed(stream: int, sender: int, receivers: Sequence[int], core: int) -> Entries:
        others = [machine.used[k] for k in receivers]
        return stream_entries(links, stream, machine.used[sender], others, core, load)

    streams: list[list[Entries]] = []  # of each ring; of the tree
    ways: dict[tuple[int, int], Sequence[Link]] = {}
    sharers = []
    for ring in range(RINGS):
        streams.append([])
        for chip in range(machine.chips):
            stream, core = ring_stream(ring, chip), ring_core(ring, machine.cores)
            streams[ring].append(routed(stream, chip, [neighbour(network, chip, ring, 1)], core))
            ways[ring, chip] = links_of(streams[ring][chip], stream)
            load.update(ways[ring, chip])
        sharers.append({way: max(load[link] for link in ways[way]) for way in ways})
    rings = min(range(1, RINGS + 1), key=lambda r: word(gap(max(sharers[r - 1].values())), True) / r)
    del streams[rings:]
    load.clear()
    load.update(link for (ring, _), way in ways.items() if ring < rings for link in way)
    tree, below = tree_core(machine.cores), network.children
    up = [routed(up_stream(k), k, [p], tree) for k, p in enumerate(network.parents) if p is not None]
    down = [routed(down_stream(k), k, below[k], tree) for k in range(machine.chips) if below[k]]
    entries: Entries = {}
    for found in itertools.chain(*streams, up, down):
        for xy, each in found.items():
            entries.setdefault(xy, []).extend(each)
    every = {xy: tuple(each) for xy, each in sorted(entries.items())}
    crossing = any(
        load[xy, link] for found in (*up, *down) for xy, each in found.items() for e in each[:1] for link in e.links
    )
    return replace(network, entries=every, rings=rings, sharers=tuple(sharers), crossing=crossing)


def machine_entries(machine: Machine) -> Mapping[XY, tuple[RouterEntry, ...]]:
    """Router entries of all streams, of chips that take part and of those that only pass packets on."""
    return network_of(machine).entries if machine.chips > 1 else {}
