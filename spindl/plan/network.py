"""How chips that share a batch are joined: rings of near chips for bandwidth, a tree for latency, and their streams.

Every stream joins cores of one index on two chips (or on a chip and its children), and all chips carry out their
exchanges in one order: so nobody ever waits for somebody who waits for him.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import TypeVar

from spindl.machine.topology import XY
from spindl.plan.errors import PlanError
from spindl.plan.machine import Machine, both_ways, distances
from spindl.plan.route import Entries, stream_entries
from spindl.program.machine import RouterEntry
from spindl.program.stream import FIRST_STREAM

RINGS = 4
"""Rings in use at once, one core each; every other one turns backwards. Two of a direction saturate a chip link."""
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
    """

    ring: tuple[int, ...]
    parents: tuple[int | None, ...]
    children: tuple[tuple[int, ...], ...]


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
    return Network(ring_through(near) or _tour(far), parents, children)


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


@cache
def machine_entries(machine: Machine) -> Mapping[XY, tuple[RouterEntry, ...]]:
    """Router entries of all streams, of chips that take part and of those that only pass packets on."""
    if machine.chips == 1:
        return {}
    links, network = both_ways(machine.topology), network_of(machine)
    entries: Entries = {}

    def add(stream: int, sender: int, receivers: Sequence[int], core: int) -> None:
        others = [machine.used[k] for k in receivers]
        for xy, each in stream_entries(links, stream, machine.used[sender], others, core).items():
            entries.setdefault(xy, []).extend(each)

    tree = tree_core(machine.cores)
    for chip, parent in enumerate(network.parents):
        for ring in range(RINGS):
            add(ring_stream(ring, chip), chip, [neighbour(network, chip, ring, 1)], ring_core(ring, machine.cores))
        if parent is not None:
            add(up_stream(chip), chip, [parent], tree)
        if network.children[chip]:
            add(down_stream(chip), chip, network.children[chip], tree)
    return {xy: tuple(each) for xy, each in sorted(entries.items())}
