"""Rings: reduce-scatter of gradients, all-gather of narrowed weights.

A tensor is cut into shards, one per chip, a shard into the parts of the rings, a part into blocks. In every turn of a
ring each chip sends a block to the next chip and gets one from the chip before. In a reduce-scatter what comes is added
to the chip's own and sent on; after one turn less than there are chips, the sum of a chip's shard is complete on it. In
an all-gather what comes is kept and sent on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from spindl.plan.ask import cycles
from spindl.plan.draft import Draft, Stored
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned, element_bytes
from spindl.plan.network import RINGS, neighbour, ring_core, ring_stream
from spindl.plan.share import Shard, all_shards
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares
from spindl.plan.tiles.channels import load_part_sums
from spindl.program.costs import GAP, gap, step, stream

BLOCK_WORDS = 1000
"""Of a block, at most (the stream's limit is 1,023)."""
RING_LEAST = 64
"""Words of a shard that are worth a ring of their own."""


def total_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The chip's own sum, where its cores have left several parts of it."""
    index = job.nodes[0]
    stored, size = draft.stored[index], element_bytes(draft.node(index).format)
    if stored.parts == 1:
        return []
    count = prod(draft.node(index).shape)
    buffer = draft.buffer(f"total/{index}", aligned(count * size))
    draft.stored[index] = Stored(buffer, 1, count * size)
    tasks = []
    piece = max(8, draft.limits.tile // 2 // (size * (stored.parts + 1) + 16) // 8 * 8)
    for start, stop in shares(count, draft.limits.cores, 8, 64):
        regions, calls = Regions(), list[Call]()
        for turn, (first, last) in enumerate(pieces(start, stop, piece)):
            call, at = load_part_sums(draft, regions, f"v{turn % 2}", stored, index, first, last - first, size, size)
            save = Move(buffer, first * size, at, -(-(last - first) * size // 4) * 4)
            calls.append(replace(call, stores=(save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * (stored.parts + 1) * 6))
    return tasks


@dataclass(frozen=True)
class _Cut:
    """How a tensor goes round: per shard and ring its blocks, (first byte, bytes) in the whole tensor."""

    blocks: Sequence[Sequence[Sequence[tuple[int, int]]]]

    @property
    def rings(self) -> int:
        """In use."""
        return len(self.blocks[0])


def _cut(draft: Draft, job: Job, shards: Sequence[Shard], size: int, buffers: int) -> _Cut:
    """Equal numbers of blocks everywhere: blocks of different shards take turns in so many buffers."""
    words = BLOCK_WORDS if job.part is None else job.part.words
    largest_bytes = min(4 * words, (draft.limits.tile - 64) // buffers // 8 * 8)
    granule = max(1, 4 // size) * 2
    least = min(b - a for a, b in shards) * size // 4
    most = max(b - a for a, b in shards) * size
    assert draft.network is not None
    rings = max(1, min(draft.network.rings, least // RING_LEAST))
    room = largest_bytes - 2 * granule * size
    blocks = max(1, -(-most // (rings * room)))

    def part(shard: Shard) -> list[list[tuple[int, int]]]:
        units = -(-(shard[1] - shard[0]) // granule)
        count = rings * blocks
        edges = [shard[0] + units * k // count * granule for k in range(count)] + [shard[1]]
        cuts = [(a * size, -(-(b - a) * size // 4) * 4) for a, b in itertools.pairwise(edges)]
        return [cuts[ring * blocks : (ring + 1) * blocks] for ring in range(rings)]

    return _Cut([part(shard) for shard in shards])


@dataclass(frozen=True)
class _Turn:
    """What a chip sends and receives at one moment: shards by number, and the block's place in each."""

    block: int
    sent: int
    received: int
    first: bool
    last: bool


def _turns(draft: Draft, job: Job, ring: int, blocks: int, ahead: int) -> list[_Turn]:
    """A chip's turns; ahead: 1 where the shard that ends here is to be its own, 0 where it begins here."""
    assert draft.network is not None

    network = draft.network

    def shard(back: int) -> int:
        return neighbour(network, draft.chip, ring, -back)

    turns = [
        _Turn(block, shard(turn + ahead), shard(turn + ahead + 1), turn == 0, turn == draft.chips - 2)
        for block in range(blocks)
        for turn in range(draft.chips - 1)
    ]
    return turns if job.part is None else turns[job.part.first : job.part.stop]


class _Ring:
    """The calls of one core that passes blocks on."""

    def __init__(
        self,
        draft: Draft,
        node: int,
        ring: int,
        turns: Sequence[_Turn],
        words: Sequence[int],
        rings: int,
        crowded: bool = False,
    ) -> None:
        assert draft.network is not None
        self.node, self.turns, self.words = node, turns, words
        self.gap = gap(draft.network.sharers[rings - 1][ring, draft.chip], crowded)
        self.stream = ring_stream(ring, draft.chip)
        self.before = ring_stream(ring, neighbour(draft.network, draft.chip, ring, -1))
        self.numbers = draft.numbered(f"ring {ring}", len(turns))
        self.calls = [Call("", node)]  # what the task before stored has left its regions when packets come

    def listen(self, k: int, at: At) -> None:
        """From now on block k is taken; at: of its head."""
        if k >= len(self.turns):
            return
        words: dict[str, int | At] = {"slot": k % 2, "stream": self.before, "block": self.numbers[k], "y": at}
        words |= {"words": self.words[k], "receiver": 0}
        self.calls.append(Call("listen", self.node, words))

    def send(self, k: int, at: At, count: int, loads: tuple[Move, ...]) -> None:
        """Block k to the next chip."""
        words: dict[str, int | At] = {"stream": self.stream, "block": self.numbers[k], "x": at, "gap": self.gap}
        self.calls.append(Call("send", self.node, words | {"words": count, "receivers": 1}, loads))

    def receive(self, k: int, loads: tuple[Move, ...] = (), stores: tuple[Move, ...] = ()) -> None:
        """Waits for block k."""
        self.calls.append(Call("receive", self.node, {"slot": k % 2}, loads, stores))


def reduce_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The sum over all chips of a gradient, of each chip's shard on that chip."""
    index = job.nodes[0]
    node, stored = draft.node(index), draft.stored[index]
    size = element_bytes(node.format)
    shards = all_shards(prod(node.shape), draft.chips)
    mine = shards[draft.chip]
    largest_shard = max(stop - start for start, stop in shards)
    target = f"shard/{index}"
    if target not in draft.buffers:
        draft.buffer(target, aligned(largest_shard * size))
    cut = _cut(draft, job, shards, size, 5)
    if job.part is None or job.part.stop in (None, len(cut.blocks[0][0]) * (draft.chips - 1)):
        draft.stored[index] = Stored(target, 1, (mine[1] - mine[0]) * size)
        draft.shards[index] = mine
    tasks = []
    for ring in range(cut.rings):
        regions, blocks = Regions(), [each[ring] for each in cut.blocks]
        largest = aligned(max(length for each in blocks for _, length in each))
        turns = _turns(draft, job, ring, len(blocks[0]), 1)
        sizes = [blocks[turn.received][turn.block][1] // 4 for turn in turns]
        r = _Ring(draft, index, ring, turns, sizes, cut.rings, job.crowded)

        def room(k: int, regions: Regions = regions, largest: int = largest) -> At:
            return regions.at(f"y{k % 2}", 8 + largest).plus(4)  # head and block

        r.listen(0, room(0))
        r.listen(1, room(1))
        for k, turn in enumerate(turns):
            start, length = blocks[turn.sent][turn.block]
            if turn.first or k == 0:
                move, at = regions.load("own", stored.buffer, start, length)
                r.send(k, at, length // 4, (move,))
            else:
                r.send(k, At(f"x{(k - 1) % 2}"), length // 4, ())
            start, length = blocks[turn.received][turn.block]
            x = regions.at(f"x{k % 2}", largest)  # the chip's own, to which what comes is added
            r.receive(k, (Move(stored.buffer, start, x, length),))
            words: dict[str, int | At] = {"x": room(k).plus(4), "y": x, "x_bytes": 4, "y_bytes": 4, "rows": 1}
            words |= {"count": length // 4, "x_pitch": largest, "first": 0}
            stores: tuple[Move, ...] = ()
            if turn.last:
                stores = (Move(target, start - mine[0] * size, x, length),)
            elif k == len(turns) - 1:  # the next part goes on from here; nobody else reads the chip's own any more
                stores = (Move(stored.buffer, start, x, length),)
            r.calls.append(Call("sum_rows", index, words, (), stores))
            r.listen(k + 2, room(k))
        tasks.append(_task(draft, number, r, regions, ring))
    return tasks


def gather_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Each chip's narrowed shard to all chips."""
    index = job.nodes[0]
    node, stored = draft.node(index), draft.stored[index]
    size = element_bytes(node.format)
    shards = all_shards(prod(node.shape), draft.chips)
    cut = _cut(draft, job, shards, size, 4)
    tasks = []
    for ring in range(cut.rings):
        regions, blocks = Regions(), [each[ring] for each in cut.blocks]
        largest = aligned(max(length for each in blocks for _, length in each))
        turns = _turns(draft, job, ring, len(blocks[0]), 0)
        sizes = [blocks[turn.received][turn.block][1] // 4 for turn in turns]
        r = _Ring(draft, index, ring, turns, sizes, cut.rings, job.crowded)

        def room(k: int, regions: Regions = regions, largest: int = largest) -> At:
            return regions.at(f"y{k % 2}", 4 + largest)  # head and block

        r.listen(0, room(0))
        r.listen(1, room(1))
        for k, turn in enumerate(turns):
            start, length = blocks[turn.sent][turn.block]
            if turn.first or k == 0:
                move, at = regions.load("own", stored.buffer, start, length)
                r.send(k, at, length // 4, (move,))
            else:
                r.send(k, room(k - 1).plus(4), length // 4, ())
            if k:
                r.listen(k + 1, room(k - 1))
            start, length = blocks[turn.received][turn.block]
            r.receive(k, stores=(Move(stored.buffer, start, room(k).plus(4), length),))
        tasks.append(_task(draft, number, r, regions, ring))
    return tasks


def _task(draft: Draft, number: int, ring: _Ring, regions: Regions, which: int) -> Task:
    core = ring_core(which, draft.limits.cores)
    return Task(number, tuple(ring.calls), regions.sizes, core, cost=sum(map(_cycles, ring.calls)))


def _cycles(call: Call) -> int:
    """Of a call in a ring, in which all chips exchange alike."""
    rows = sum(move.rows for move in (*call.loads, *call.stores))
    around = step(bool(call.kernel), len(call.loads), len(call.stores), rows)
    if call.kernel == "sum_rows":
        return around + cycles(call.kernel, call.arguments)
    numbers = {name: value for name, value in call.arguments.items() if isinstance(value, int)}
    time = stream(call.kernel, numbers.get("words", 0), True, numbers.get("gap", GAP)) if call.kernel else 0
    return around + time


def closing_tasks(draft: Draft) -> list[Task]:
    """A word more around each ring that has carried one block only: else its number would be that of the next step."""
    tasks = []
    for ring in range(RINGS):
        if draft.blocks.get(f"ring {ring}") != 1:
            continue
        regions = Regions()
        r = _Ring(draft, 0, ring, [_Turn(0, 0, 0, True, True)], [1], ring + 1)
        move, at = regions.load("own", draft.buffer(f"close/{ring}", 8, bytes(8)), 0, 4)
        r.listen(0, regions.at("y", 8))
        r.send(0, at, 1, (move,))
        r.receive(0)
        tasks.append(_task(draft, -1, r, regions, ring))
    return tasks
