"""Bulk data from the first chip to all: it enters through the first chip's plug and goes on around the rings.

The host writes a State to the first chip alone: what all chips hold to its own place there, the shards of the others
to a buffer beside. Blocks of both then go around the rings, as those of an all-gather do; every chip stores what is its
own and passes all of them on. This is a schedule of its own ("states"), which the host starts before the first step.

Pictures go the same way at the begin of each step: the host writes all of a batch to the first chip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt, prod

from spindl.graph.operations import is_batched
from spindl.plan.draft import Draft
from spindl.plan.layout import aligned, element_bytes
from spindl.plan.network import Network, neighbour, ring_core, ring_stream
from spindl.plan.rings import BLOCK_WORDS
from spindl.plan.share import all_shards
from spindl.plan.task import At, Call, Move, Regions, Task
from spindl.program.costs import LISTEN, PASS_ON_WORD, RECEIVE, SEND_BLOCK, STEP, gap

STAGED_STATES, STAGED_INPUTS = "staged/states", "staged/inputs"
"""Buffers for the shards and the pictures of the other chips."""
LEAST_INPUT = 8192
"""Bytes of an input, of all other chips, that are worth a way around the rings: some blocks' time against that of 32
requests, which SC&MP would pass on to the other chips."""
SMALLEST_BLOCK = 64
"""Words."""
PIECES = 12
"""Of a block, at most: a step of a schedule has room for so many transfers, and more."""


@dataclass(frozen=True)
class Item:
    """Bytes that go out: from a buffer of the first chip to one of chip `chip`, or of all others (None)."""

    source: str
    source_at: int
    target: str
    target_at: int
    bytes: int
    chip: int | None


@dataclass(frozen=True)
class Staged:
    """What the host leaves on the first chip for another: node (state or input), number of the chip; buffer, place."""

    node: int
    chip: int
    buffer: str
    offset: int


def staged_states(draft: Draft) -> tuple[list[Staged], int]:
    """The shards that go to other chips, and the bytes that they take."""
    found, at = [], 0
    for index in sorted(draft.shards):
        node = draft.node(index)
        if node.op != "state":
            continue
        count = prod(node.shape)
        for chip, (start, stop) in enumerate(all_shards(count, draft.chips)):
            if chip:
                found.append(Staged(index, chip, STAGED_STATES, at))
                at += aligned((stop - start) * element_bytes(node.format))
    return found, at


def staged_inputs(draft: Draft) -> tuple[list[Staged], int]:
    """Pictures, and other large inputs per image, that go to other chips, and the bytes that they take."""
    found, at, batched = [], 0, is_batched(draft.graph)
    for index, node in enumerate(draft.graph.nodes):
        size = draft.buffers[draft.stored[index].buffer].size if node.op == "input" else 0
        if size and batched[index] and (draft.chips - 1) * size >= LEAST_INPUT:
            for chip in range(1, draft.chips):
                found.append(Staged(index, chip, STAGED_INPUTS, at))
                at += size
    return found, at


def input_items(draft: Draft, staged: Sequence[Staged]) -> list[Item]:
    """Each chip's pictures."""
    buffers = [draft.stored[each.node].buffer for each in staged]
    return [
        Item(each.buffer, each.offset, buffer, 0, draft.buffers[buffer].size, each.chip)
        for each, buffer in zip(staged, buffers, strict=True)
    ]


def state_items(draft: Draft, staged: Sequence[Staged], sites: str, words: str) -> list[Item]:
    """All that a State is: whole buffers to all chips, shards each to its own; sites, words: names of their buffers."""
    items = []
    for index, stored in sorted(draft.stored.items()):
        if draft.node(index).op == "state" and index not in draft.shards:
            items.append(Item(stored.buffer, 0, stored.buffer, 0, draft.buffers[stored.buffer].size, None))
    items += [Item(name, 0, name, 0, draft.buffers[name].size, None) for name in (sites, words)]
    for each in staged:
        start, stop = all_shards(prod(draft.node(each.node).shape), draft.chips)[each.chip]
        size = aligned((stop - start) * element_bytes(draft.node(each.node).format))
        items.append(Item(each.buffer, each.offset, draft.stored[each.node].buffer, 0, size, each.chip))
    return items


Block = list[tuple[Item, int]]
"""Items, or pieces of them, and where in the block they lie."""


def _blocks(items: Sequence[Item], room: int) -> list[Block]:
    """Items in blocks of at most `room` bytes (a multiple of 8) and PIECES pieces."""
    blocks: list[Block] = []
    at = room
    for item in items:
        first = 0
        while first < item.bytes:
            if at == room or len(blocks[-1]) == PIECES:
                blocks.append([])
                at = 0
            size = min(item.bytes - first, room - at)
            piece = Item(item.source, item.source_at + first, item.target, item.target_at + first, size, item.chip)
            blocks[-1].append((piece, at))
            first, at = first + size, at + size
    return blocks


def _position(network: Network, chips: int, chip: int, ring: int) -> int:
    """Hops from the first chip to another along a ring."""
    return next(hops for hops in range(chips) if neighbour(network, 0, ring, hops) == chip)


def _block_words(words: int, chips: int, network: Network) -> int:
    """Words of a block for the least time of a ring: its words come in so many blocks, and as many more as chips pass
    blocks on; each takes a core some time beside that of its words."""
    extra = SEND_BLOCK + LISTEN + RECEIVE + 3 * STEP
    word = max(PASS_ON_WORD, gap(max(network.sharers[network.rings - 1].values())))
    return max(SMALLEST_BLOCK, isqrt(words * extra // (word * max(1, chips - 2))) // 2 * 2)


def delivery_tasks(draft: Draft, number: int, node: int, items: Sequence[Item]) -> list[Task]:
    """Items from the first chip to where they belong, around the rings; node: under which the cycles are counted.

    A ring carries two blocks at least, so that the last one of a run has another number than the first of the next.
    """
    network = draft.network
    assert network is not None
    most, total = network.rings, sum(item.bytes for item in items)
    room = min(4 * BLOCK_WORDS, (draft.limits.tile - 64) // 4 // 8 * 8, aligned(total // (2 * most)))
    blocks = _blocks(items, max(8, min(room, 4 * _block_words(total // 4 // most, draft.chips, network))))
    if len(blocks) == 1:
        blocks = _blocks(items, max(8, aligned(total // 2) - 8 * (total > 8)))
    rings = max(1, min(most, len(blocks) // 2))
    return [_ring_task(draft, number, node, ring, rings, blocks[ring::rings]) for ring in range(rings)]


def _ring_task(draft: Draft, number: int, node: int, ring: int, rings: int, blocks: Sequence[Block]) -> Task:
    assert draft.network is not None
    regions, calls = Regions(), [Call("", node)]  # what the task before stored has left its regions when packets come
    network, chip = draft.network, draft.chip
    place = _position(network, draft.chips, chip, ring)
    before = ring_stream(ring, neighbour(network, chip, ring, -1))
    sizes = [block[-1][1] + block[-1][0].bytes for block in blocks]
    largest = aligned(max(sizes))
    numbers = draft.numbered(f"ring {ring}", len(blocks))

    def room(k: int) -> At:
        return regions.at(f"y{k % 2}", 8 + largest).plus(4)  # head and block

    def listen(k: int) -> None:
        if k < len(blocks):
            words: dict[str, int | At] = {"slot": k % 2, "stream": before, "block": numbers[k], "y": room(k)}
            calls.append(Call("listen", node, words | {"words": sizes[k] // 4, "receiver": 0}))

    def send(k: int, at: At, loads: tuple[Move, ...]) -> None:
        words: dict[str, int | At] = {"stream": ring_stream(ring, chip), "block": numbers[k], "x": at}
        words |= {"words": sizes[k] // 4, "receivers": 1, "gap": gap(network.sharers[rings - 1][ring, chip])}
        calls.append(Call("send", node, words, loads))

    if place:
        listen(0)
        listen(1)
    for k, block in enumerate(blocks):
        if not place:
            at = regions.at(f"x{k % 2}", largest)
            send(k, at, tuple(Move(i.source, i.source_at, at.plus(offset), i.bytes) for i, offset in block))
            continue
        at = room(k).plus(4)
        mine = [(i, offset) for i, offset in block if i.chip in (None, chip)]
        calls.append(
            Call(
                "receive",
                node,
                {"slot": k % 2},
                stores=tuple(Move(i.target, i.target_at, at.plus(offset), i.bytes) for i, offset in mine),
            )
        )
        if place < draft.chips - 1:
            send(k, at, ())
        else:
            calls.append(Call("", node))  # its stores are done when this room is listened to again
        listen(k + 2)
    return Task(
        number, tuple(calls), regions.sizes, ring_core(ring, draft.limits.cores), cost=sum(sizes) // 4 * PASS_ON_WORD
    )


__all__ = ["Item", "Staged", "delivery_tasks", "input_items", "staged_inputs", "staged_states", "state_items"]
