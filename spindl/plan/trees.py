"""Trees: sums and maxima of few words over all chips, up to the root and down to everybody.

A chip adds the parts of its own cores, then what its children send, and sends the result to its parent; the root's is
the total, which comes down the same way. A block carries as many values as fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from spindl.plan.draft import Draft, Stored
from spindl.plan.jobs import Job
from spindl.plan.layout import ELEMENT_BYTES, aligned, value_bytes
from spindl.plan.network import down_stream, tree_core, up_stream
from spindl.plan.rings import BLOCK_WORDS
from spindl.plan.task import At, Call, Move, Regions, Task
from spindl.plan.tiles.channels import load_part_sums
from spindl.program.costs import CROWDED_TREE, GAP, PASS_ON_WORD

SITE_BYTES = 8


@dataclass(frozen=True)
class Value:
    """What is to be summed over the chips.

    Attributes:
        source: the chip's own, one part or several.
        target: buffer of the result.
        size: bytes of an element: 4 or 8.
        count: elements of a part.
        sites: they are sites: maxima of extents, sums of counts.
    """

    source: Stored
    target: str
    size: int
    count: int
    sites: bool = False


@dataclass(frozen=True)
class _Segment:
    """Elements of a value that travel in one block, from a byte of the block on."""

    value: Value
    first: int
    count: int
    at: int


def tree_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Sums over all chips of the values of some nodes."""
    values = []
    for index in job.nodes:
        node, stored = draft.node(index), draft.stored[index]
        size = ELEMENT_BYTES[node.format.kind]
        target = draft.buffer(f"sum/{index}", aligned(value_bytes(node)))
        values.append(Value(stored, target, size, value_bytes(node) // size))
        draft.stored[index] = Stored(target, 1, value_bytes(node))
    return exchange_tasks(draft, number, job.nodes[0], values, job.crowded)


def tree_maximum_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The largest of some bits over all chips: they lie where a site has its extent."""
    stored = draft.stored[job.nodes[0]]
    return exchange_tasks(draft, number, job.nodes[0], [Value(stored, stored.buffer, SITE_BYTES, 1, True)], job.crowded)


def tree_norm_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The sum of squared norms, which is the first int64 of its buffer."""
    stored = draft.stored[job.nodes[0]]
    return exchange_tasks(draft, number, job.nodes[0], [Value(stored, stored.buffer, 8, 1)], job.crowded)


def exchange_tasks(draft: Draft, number: int, node: int, values: Sequence[Value], crowded: bool = False) -> list[Task]:
    """Values of all chips brought together on the core that works for the tree; crowded: see `Job`."""
    assert draft.network is not None
    regions = Regions()
    calls = [Call("", node)]  # what the task before stored has left its regions when packets come
    blocks = _blocks(values, min(4 * BLOCK_WORDS, (draft.limits.tile - 256) // 6 // 8 * 8))
    numbers = draft.numbered("tree", len(blocks))
    for block, segments in zip(numbers, blocks, strict=True):
        calls += _block_calls(draft, regions, node, block, segments, CROWDED_TREE if crowded else GAP)
    words = sum(s.count * s.value.size // 4 for segments in blocks for s in segments)
    core = tree_core(draft.limits.cores)
    return [Task(number, tuple(calls), regions.sizes, core, cost=words * PASS_ON_WORD * 4 + 20_000 * len(blocks))]


def _blocks(values: Sequence[Value], room: int) -> list[list[_Segment]]:
    """Values in blocks of at most `room` bytes, each segment at a multiple of 8."""
    blocks: list[list[_Segment]] = []
    at = room
    for value in values:
        first = 0
        while first < value.count:
            if room - at < 8:
                blocks.append([])
                at = 0
            count = min(value.count - first, (room - at) // value.size)
            if first + count < value.count and count * value.size % 8:
                count -= 1
            blocks[-1].append(_Segment(value, first, count, at))
            at += aligned(count * value.size)
            first += count
    return blocks


def _block_calls(
    draft: Draft, regions: Regions, node: int, block: int, segments: Sequence[_Segment], gap: int
) -> list[Call]:
    network, chip = draft.network, draft.chip
    assert network is not None
    parent, children = network.parents[chip], network.children[chip]
    size = segments[-1].at + aligned(segments[-1].count * segments[-1].value.size)
    acc = regions.at("sum", size)
    rooms = [regions.at(f"y{k}", 8 + size).plus(4) for k in range(2)]  # head and words, which begin at a multiple of 8
    calls: list[Call] = []

    def listen(slot: int, stream: int, receiver: int) -> None:
        words: dict[str, int | At] = {"slot": slot, "stream": stream, "block": block, "y": rooms[slot]}
        calls.append(Call("listen", node, words | {"words": size // 4, "receiver": receiver}))

    def send(stream: int, x: At, receivers: int) -> None:
        words: dict[str, int | At] = {"stream": stream, "block": block, "x": x, "words": size // 4, "gap": gap}
        calls.append(Call("send", node, words | {"receivers": receivers}))

    for slot, child in enumerate(children):
        listen(slot, up_stream(child), 0)
    for segment in segments:
        calls += _own(draft, regions, node, segment, acc, len(calls))
    for slot in range(len(children)):
        calls.append(Call("receive", node, {"slot": slot}))
        calls += [_added(node, segment, rooms[slot].plus(4), acc) for segment in segments]
    result = acc
    if parent is not None:
        listen(0, down_stream(parent), network.children[parent].index(chip))
        send(up_stream(chip), acc, 1)
        calls.append(Call("receive", node, {"slot": 0}))
        result = rooms[0].plus(4)
    stores = tuple(
        Move(s.value.target, s.first * s.value.size, result.plus(s.at), -(-s.count * s.value.size // 4) * 4)
        for s in segments
    )
    if children:
        send(down_stream(chip), result, (1 << len(children)) - 1)
    calls[-1] = replace(calls[-1], stores=stores)
    calls.append(Call("", node))  # the next block is listened to when these stores are done
    return calls


def _own(draft: Draft, regions: Regions, node: int, segment: _Segment, acc: At, turn: int) -> list[Call]:
    """The chip's own parts, added, at their place; turn: parts take two regions in turn."""
    value, at = segment.value, acc.plus(segment.at)
    stored, size = value.source, value.size
    if stored.parts == 1:
        length = -(-segment.count * size // 4) * 4
        return [Call("", node, loads=(Move(stored.buffer, segment.first * size, at, length),))]
    assert not value.sites
    calls: list[Call] = []
    piece = max(2, draft.limits.tile // 8 // (size * (stored.parts + 1)) // 2 * 2)
    for first in range(0, segment.count, piece):
        count = min(piece, segment.count - first)
        call, _ = load_part_sums(
            draft, regions, f"own{(turn + len(calls)) % 2}", stored, node, segment.first + first, count, size, size
        )
        calls.append(replace(call, arguments={**call.arguments, "y": at.plus(first * size)}))
    return calls


def _added(node: int, segment: _Segment, x: At, acc: At) -> Call:
    """A child's sums added to the chip's."""
    words: dict[str, int | At] = {"x": x.plus(segment.at), "y": acc.plus(segment.at), "rows": 1}
    words |= {"count": segment.count, "x_pitch": segment.count * segment.value.size}
    if segment.value.sites:
        return Call("merge_sites", node, words)
    size = segment.value.size
    return Call("sum_rows", node, words | {"x_bytes": size, "y_bytes": size, "first": 0})
