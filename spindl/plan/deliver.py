"""Bulk data from the first chip to all: it enters through the first chip's plug and goes on around the rings.

The host writes a State to the first chip alone: what all chips hold to its own place there, the shards of the others
to a buffer beside. Blocks of both then go around the rings, as those of an all-gather do; every chip stores what is its
own and passes all of them on. This is a schedule of its own ("states"), which the host starts before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from spindl.plan.draft import Draft
from spindl.plan.layout import aligned, element_bytes
from spindl.plan.network import Network, neighbour, ring_core, ring_stream
from spindl.plan.share import all_shards
from spindl.plan.task import At, Call, Move, Regions, Task
from spindl.program.costs import PASS_ON_WORD, gap

STAGED_STATES = "staged/states"
"""Buffer for the shards of the other chips."""
BLOCK_BYTES = 2000
"""Of a block, at most: small ones follow each other closely over many chips."""
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
    """What the host leaves on the first chip for another: node, number of the chip, its place in STAGED_STATES."""

    node: int
    chip: int
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
                found.append(Staged(index, chip, at))
                at += aligned((stop - start) * element_bytes(node.format))
    return found, at


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
        items.append(Item(STAGED_STATES, each.offset, draft.stored[each.node].buffer, 0, size, each.chip))
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


def delivery_tasks(draft: Draft, number: int, node: int, items: Sequence[Item]) -> list[Task]:
    """Items from the first chip to where they belong, around the rings; node: under which the cycles are counted.

    A ring carries two blocks at least, so that the last one of a run has another number than the first of the next.
    """
    assert draft.network is not None
    most, total = draft.network.rings, sum(item.bytes for item in items)
    room = max(64, min(BLOCK_BYTES, (draft.limits.tile - 64) // 4 // 8 * 8, aligned(total // (2 * most))))
    blocks = _blocks(items, room)
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


__all__ = ["Item", "Staged", "delivery_tasks", "staged_states", "state_items"]
