"""Bulk data to all chips: it enters through the Ethernet plug of each board and goes on around the rings.

Of each board one chip takes what enters there (`spindl.plan.machine.entrances`). The host writes a State once: of what
all chips hold an equal part to the entrance of each board, in its own place; shards to the entrance of the owner's
board, in a buffer beside. Blocks of all entrances, one after the other, then go around the rings, as those of an
all-gather do; every chip stores what is its own and passes on what others need. This is a schedule of its own
("states"), which the host starts before the first step.

Pictures go the same way at the begin of each step: the host writes those of a board's chips to its entrance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod

from spindl.graph.operations import is_batched
from spindl.plan.draft import Draft
from spindl.plan.layout import aligned, element_bytes
from spindl.plan.network import Network, neighbour, ring_core, ring_stream
from spindl.plan.rings import BLOCK_WORDS
from spindl.plan.share import Shard, all_shards
from spindl.plan.task import At, Call, Move, Regions, Task
from spindl.program.costs import LISTEN, PASS_ON_WORD, RECEIVE, SEND_BLOCK, STEP, gap

STAGED_STATES, STAGED_INPUTS = "staged/states", "staged/inputs"
"""Buffers of entrances for the shards and the pictures of other chips."""
LEAST_INPUT = 8192
"""Bytes of an input, of all other chips, that are worth a way around the rings: some blocks' time against that of 32
requests, which SC&MP would pass on to the other chips."""
SMALLEST_BLOCK = 64
"""Words."""
PIECES = 12
"""Of a block, at most: a step of a schedule has room for so many transfers, and more."""


@dataclass(frozen=True)
class Item:
    """Bytes that go out: from a buffer of an entrance to one of chip `chip`, or of all others (None)."""

    entrance: int
    source: str
    source_at: int
    target: str
    target_at: int
    bytes: int
    chip: int | None


@dataclass(frozen=True)
class Staged:
    """What the host leaves on an entrance for the schedules that bring it on.

    Attributes:
        node: state or input.
        entrance: number of the chip.
        chip: whose it is, which may be the entrance itself; None: all chips'.
        buffer, offset: where it is left.
        part: first element and the one behind the last, in the order of memory; None: all of a chip's.
    """

    node: int
    entrance: int
    chip: int | None
    buffer: str
    offset: int
    part: Shard | None = None


def staged_states(draft: Draft) -> tuple[list[Staged], int]:
    """All states but sites: whole ones in parts, shards; and the bytes that an entrance needs for shards of others."""
    found, ends = [], dict.fromkeys(draft.entrances, 0)
    for index, stored in sorted(draft.stored.items()):
        node = draft.node(index)
        if index < 0 or node.op != "state":  # below 0: constants that a tile has made
            continue
        count, size = prod(node.shape), element_bytes(node.format)
        if index not in draft.shards:
            ways = sorted(ends)
            found += [
                Staged(index, ways[k], None, stored.buffer, part[0] * size, part)
                for k, part in enumerate(all_shards(count, len(ways)))
            ]
            continue
        for chip, shard in enumerate(all_shards(count, draft.chips)):
            entrance = draft.entrances[chip]
            if entrance == chip:
                found.append(Staged(index, chip, chip, stored.buffer, 0, shard))
                continue
            found.append(Staged(index, entrance, chip, STAGED_STATES, ends[entrance], shard))
            ends[entrance] += aligned((shard[1] - shard[0]) * size)
    return found, max(ends.values())


def staged_inputs(draft: Draft) -> tuple[list[Staged], int]:
    """Pictures, and other large inputs per image, that go on to other chips, and the bytes that an entrance needs."""
    found, ends, batched = [], dict.fromkeys(draft.entrances, 0), is_batched(draft.graph)
    others = [chip for chip, entrance in enumerate(draft.entrances) if chip != entrance]
    for index, node in enumerate(draft.graph.nodes):
        size = draft.buffers[draft.stored[index].buffer].size if node.op == "input" else 0
        if size and batched[index] and len(others) * size >= LEAST_INPUT:
            for chip in others:
                entrance = draft.entrances[chip]
                found.append(Staged(index, entrance, chip, STAGED_INPUTS, ends[entrance]))
                ends[entrance] += size
    return found, max(ends.values())


def input_items(draft: Draft, staged: Sequence[Staged]) -> list[Item]:
    """Each chip's pictures."""
    buffers = [draft.stored[each.node].buffer for each in staged]
    return [
        Item(each.entrance, each.buffer, each.offset, buffer, 0, draft.buffers[buffer].size, each.chip)
        for each, buffer in zip(staged, buffers, strict=True)
    ]


def state_items(draft: Draft, staged: Sequence[Staged], sites: str, words: str) -> list[Item]:
    """All that a State is; sites, words: names of their buffers, which enter through the first chip."""
    items = [Item(0, name, 0, name, 0, draft.buffers[name].size, None) for name in (sites, words)]
    for each in staged:
        assert each.part is not None
        size = aligned((each.part[1] - each.part[0]) * element_bytes(draft.node(each.node).format))
        target = draft.stored[each.node].buffer
        if each.chip is None:
            items.append(Item(each.entrance, each.buffer, each.offset, target, each.offset, size, None))
        elif each.chip != each.entrance:
            items.append(Item(each.entrance, each.buffer, each.offset, target, 0, size, each.chip))
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
            source_at, target_at = item.source_at + first, item.target_at + first
            piece = replace(item, source_at=source_at, target_at=target_at, bytes=size)
            blocks[-1].append((piece, at))
            first, at = first + size, at + size
    return blocks


def _block_words(words: int, chips: int, network: Network) -> int:
    """Words of a block for the least time of a ring: its words come in so many blocks, and as many more as chips pass
    blocks on; each takes a core some time beside that of its words."""
    extra = SEND_BLOCK + LISTEN + RECEIVE + 3 * STEP
    word = max(PASS_ON_WORD, gap(max(network.sharers[network.rings - 1].values())))
    return max(SMALLEST_BLOCK, isqrt(words * extra // (word * max(1, chips - 2))) // 2 * 2)


def delivery_tasks(draft: Draft, number: int, node: int, items: Sequence[Item]) -> list[Task]:
    """Items from the entrances to where they belong, around the rings; node: under which the cycles are counted.

    What enters on a chip makes two blocks at least in each ring that it takes, so that the last block of a stream in a
    run has another number than the first of the next.
    """
    network = draft.network
    assert network is not None
    most, total = network.rings, sum(item.bytes for item in items)
    room = min(4 * BLOCK_WORDS, (draft.limits.tile - 64) // 4 // 8 * 8, aligned(total // (2 * most)))
    room = max(8, min(room, 4 * _block_words(total // 4 // most, draft.chips, network)))
    blocks = []
    for entrance in sorted({item.entrance for item in items}):
        own = [item for item in items if item.entrance == entrance]
        size = sum(item.bytes for item in own)
        blocks.append(_blocks(own, min(room, max(8, aligned(size // 2) - 8 * (size > 8)))))
    rings = max(1, min(most, *(len(each) // 2 for each in blocks)))
    return [
        _ring_task(draft, number, node, ring, rings, [block for each in blocks for block in each[ring::rings]])
        for ring in range(rings)
    ]


@dataclass(frozen=True)
class _Passage:
    """What a chip does with a block: sends its own, takes one that comes in, sends that on."""

    block: Block
    comes: bool
    goes: bool

    @property
    def bytes(self) -> int:
        """Of the block."""
        return self.block[-1][1] + self.block[-1][0].bytes


def _passages(network: Network, chip: int, ring: int, blocks: Sequence[Block]) -> list[_Passage]:
    """What a chip does with each block that it meets: a block goes as far as the last chip that needs a part of it.

    Of what enters on a chip two blocks go as far as any: no stream carries a single one.
    """
    chips, place = len(network.ring), {each: k for k, each in enumerate(network.ring)}

    def hops(start: int, to: int) -> int:
        return (place[to] - place[start]) * (1 if ring % 2 == 0 else -1) % chips

    starts = [block[0][0].entrance for block in blocks]
    lasts = [
        max(chips - 1 if item.chip is None else hops(start, item.chip) for item, _ in block)
        for start, block in zip(starts, blocks, strict=True)
    ]
    for start in set(starts):
        far = sorted((k for k, each in enumerate(starts) if each == start), key=lambda k: -lasts[k])
        lasts[far[1]] = lasts[far[0]]
    return [
        _Passage(block, chip != start, hops(start, chip) < last)
        for block, start, last in zip(blocks, starts, lasts, strict=True)
        if hops(start, chip) <= last
    ]


def _ring_task(draft: Draft, number: int, node: int, ring: int, rings: int, blocks: Sequence[Block]) -> Task:
    """A chip's part in a ring. All chips take the blocks in one order, so nobody waits for somebody who waits for him.

    Each stream numbers its own blocks, as not all chips send and get the same ones.
    """
    assert draft.network is not None
    regions, calls = Regions(), [Call("", node)]  # what the task before stored has left its regions when packets come
    network, chip = draft.network, draft.chip
    passages = _passages(network, chip, ring, blocks)
    numbers = draft.numbered(f"ring {ring}", len(blocks))
    coming = [each for each in passages if each.comes]
    largest = aligned(max((each.bytes for each in coming), default=8))
    largest_own = aligned(max((each.bytes for each in passages if not each.comes), default=8))
    before = ring_stream(ring, neighbour(network, chip, ring, -1))
    received = sent = 0

    def room(k: int) -> At:
        return regions.at(f"y{k % 2}", 8 + largest).plus(4)  # head and block

    def listen(k: int) -> None:
        if k < len(coming):
            words: dict[str, int | At] = {"slot": k % 2, "stream": before, "block": numbers[k], "y": room(k)}
            calls.append(Call("listen", node, words | {"words": coming[k].bytes // 4, "receiver": 0}))

    def send(passage: _Passage, at: At, loads: tuple[Move, ...] = ()) -> None:
        words: dict[str, int | At] = {"stream": ring_stream(ring, chip), "block": numbers[sent], "x": at}
        words |= {"words": passage.bytes // 4, "receivers": 1, "gap": gap(network.sharers[rings - 1][ring, chip])}
        calls.append(Call("send", node, words, loads))

    listen(0)
    listen(1)
    for passage in passages:
        if not passage.comes:
            at = regions.at(f"x{(sent - received) % 2}", largest_own)
            loads = (Move(i.source, i.source_at, at.plus(offset), i.bytes) for i, offset in passage.block)
            send(passage, at, tuple(loads))
            sent += 1
            continue
        at = room(received).plus(4)
        mine = [(i, offset) for i, offset in passage.block if i.chip in (None, chip)]
        stores = tuple(Move(i.target, i.target_at, at.plus(offset), i.bytes) for i, offset in mine)
        calls.append(Call("receive", node, {"slot": received % 2}, stores=stores))
        if passage.goes:
            send(passage, at)
            sent += 1
        else:
            calls.append(Call("", node))  # its stores are done when this room is listened to again
        received += 1
        listen(received + 1)
    cost = sum(each.bytes for each in passages) // 4 * PASS_ON_WORD
    return Task(number, tuple(calls), regions.sizes, ring_core(ring, draft.limits.cores), cost=cost)


__all__ = ["Item", "Staged", "delivery_tasks", "input_items", "staged_inputs", "staged_states", "state_items"]
