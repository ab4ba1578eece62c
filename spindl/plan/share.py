"""Several chips: a chip's share of the batch as a graph, and the exchange of exact sums between chips.

Each chip runs the same graph on its own images. What crosses images is an exact sum or a maximum (docs/numbers.md, "Why
the split of a batch never changes a bit"): each chip adds its own parts, sends the result to all others in numbered
blocks, and from then on every chip holds one part per chip. All that follows is equal on every chip, weights included.
"""

from __future__ import annotations

from dataclasses import replace

from spindl.graph.graph import Graph
from spindl.graph.operations import is_batched, lookup
from spindl.plan.draft import Draft, Stored
from spindl.plan.errors import PlanError
from spindl.plan.jobs import Job
from spindl.plan.layout import element_bytes, value_bytes
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares
from spindl.plan.tiles.channels import load_part_sums
from spindl.program.stream import FIRST_STREAM

CROSSING = frozenset({"channel_sum", "channel_dot", "sum_groups", "batch_sum"})
"""Ops whose results are sums over images."""
BLOCK_BYTES = 4 * 1000
"""Of one block of a stream (at most 1,023 words)."""


def share_of(graph: Graph, chips: int) -> Graph:
    """The graph for one chip's images, equal shares in the order of the chips.

    Raises:
        PlanError: the batch, or its gradient groups, cannot be dealt equally.
    """
    if chips == 1:
        return graph
    nodes, batched = list(graph.nodes), is_batched(graph)
    for index, node in enumerate(nodes):
        if node.op == "input" and batched[index]:
            images = node.shape[0]
            if images % chips:
                raise PlanError(
                    f"a batch of {images} cannot be dealt to {chips} chips equally",
                    "plan",
                    "use a multiple of the chips",
                )
            nodes[index] = replace(node, shape=(images // chips, *node.shape[1:]))
        elif node.inputs:
            if node.op == "convolution_weight_gradient":
                size, mine = int(node.attributes["group_size"]), nodes[node.inputs[0]].shape[0]
                if mine % size:
                    raise PlanError(
                        f"gradient groups of {size} images in shares of {mine}", node.name, "use a larger batch"
                    )
            shape, format = lookup(node.op).infer([nodes[i] for i in node.inputs], node.attributes)
            nodes[index] = replace(node, shape=shape, format=format)
    return replace(graph, nodes=tuple(nodes))


def with_exchanges(graph: Graph, jobs: tuple[Job, ...], chips: int) -> tuple[Job, ...]:
    """The jobs, each sum over images followed by its exchange."""
    if chips == 1:
        return jobs
    result: list[Job] = []
    for job in jobs:
        result.append(job)
        for index in job.writes:
            if graph.nodes[index].op in CROSSING:
                result.append(Job("total", (index,), (index,), (index,)))
                result.append(Job("exchange", (index,), (index,), (index,)))
                if index in graph.outputs.values():
                    result.append(Job("sum", (index,), (index,), (index,)))
    return tuple(result)


def total_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The chip's own sum, into its slot of a buffer with one slot per chip."""
    index = job.nodes[0]
    node, stored = draft.node(index), draft.stored[index]
    size = 8 if node.format.kind == "count" else element_bytes(node.format)
    room = value_bytes(node)  # of int32 or int64: whole words
    count = room // size
    buffer = draft.buffer(f"all/{index}", room * draft.chips)
    draft.stored[index] = Stored(buffer, draft.chips, room)
    tasks = []
    piece = max(8, draft.limits.tile // 2 // (size * (stored.parts + 1) + 16) // 8 * 8)
    for start, stop in shares(count, draft.limits.cores, 8, 64):
        regions, calls = Regions(), list[Call]()
        for turn, (first, last) in enumerate(pieces(start, stop, piece)):
            target, length = draft.chip * room + first * size, -(-(last - first) * size // 4) * 4
            if stored.parts > 1:
                call, at = load_part_sums(
                    draft, regions, f"v{turn % 2}", stored, index, first, last - first, size, size
                )
            else:
                move, at = regions.load(f"v{turn % 2}", stored.buffer, first * size, (last - first) * size)
                call = Call("", index, loads=(move,))
            calls.append(replace(call, stores=(Move(buffer, target, at, length),)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * (stored.parts + 1) * 6))
    return tasks


def exchange_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Each chip's slot to all others."""
    stored = draft.stored[job.nodes[0]]
    return slot_tasks(draft, number, job.nodes[0], stored.buffer, stored.bytes)


def sum_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The sum over all chips of a value that the host reads."""
    index = job.nodes[0]
    parts = draft.stored[index]
    count = value_bytes(draft.node(index)) // 8
    buffer = draft.buffer(f"sum/{index}", 8 * count)
    draft.stored[index] = Stored(buffer, 1, 8 * count)
    regions = Regions()
    call, at = load_part_sums(draft, regions, "v", parts, index, 0, count, 8, 8)
    calls = (replace(call, stores=(Move(buffer, 0, at, 8 * count),)),)
    return [Task(number, calls, regions.sizes, cost=count * draft.chips * 6)]


def slot_tasks(draft: Draft, number: int, node: int, buffer: str, room: int) -> list[Task]:
    """Core c of chip c sends the chip's slot; core c of all other chips receives it.

    Args:
        draft: counts the blocks of the step.
        number, node: for reports.
        buffer: with one slot of `room` bytes per chip.
        room: a multiple of 4.
    """
    if draft.limits.cores < draft.chips:
        raise PlanError(f"{draft.chips} chips exchange with as many cores", "plan", "use more cores or fewer chips")
    assert room % 4 == 0
    cuts = pieces(0, room, BLOCK_BYTES)
    first_block = draft.blocks
    draft.blocks += len(cuts)
    tasks = []
    for source in range(draft.chips):
        regions = Regions()
        stream, begin = FIRST_STREAM + 2 * source, source * room
        if source == draft.chip:
            calls = []
            for turn, (first, last) in enumerate(cuts):
                move, at = regions.load(f"x{turn % 2}", buffer, begin + first, last - first)
                words: dict[str, int | At] = {"stream": stream, "block": first_block + turn, "x": at, "gap": 0}
                words |= {"words": (last - first) // 4, "receivers": (1 << draft.chips) - 1 & ~(1 << source)}
                calls.append(Call("send", node, words, (move,)))
        else:
            calls = _receive(draft, regions, node, stream, first_block, cuts, buffer, begin)
        tasks.append(Task(number, tuple(calls), regions.sizes, core=source, cost=room // 4 * 120))
    return tasks


def _receive(
    draft: Draft,
    regions: Regions,
    node: int,
    stream: int,
    first_block: int,
    cuts: list[tuple[int, int]],
    buffer: str,
    begin: int,
) -> list[Call]:
    """Listens one block ahead; the store of a block is done before its room is listened to again."""
    calls = []

    def listen(turn: int) -> Call:
        first, last = cuts[turn]
        at = regions.at(f"y{turn % 2}", last - first + 8)
        words: dict[str, int | At] = {"slot": turn % 2, "stream": stream, "block": first_block + turn, "y": at}
        return Call("listen", node, words | {"words": (last - first) // 4, "receiver": draft.chip})

    calls.append(listen(0))
    for turn, (first, last) in enumerate(cuts):
        if turn + 1 < len(cuts):
            calls += [Call("", node), listen(turn + 1)]
        save = Move(buffer, begin + first, At(f"y{turn % 2}", 4), last - first)
        calls.append(Call("receive", node, {"slot": turn % 2}, (), (save,)))
    return calls
