"""Tasks on pixels [pixel][channel] with values per channel: normalisation, BatchNorm's maps and its sums."""

from __future__ import annotations

import itertools
from math import prod

from spindl.plan.draft import Draft
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned, element_bytes, granule
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store, store_rows
from spindl.plan.tiles.flat import rounding_words

LEAST = 256
"""Elements that are worth a core of their own."""
PIECE = 4096
"""Elements of a step."""
CYCLES = 16


def _step(draft: Draft, channels: int, bytes_per_pixel: int, constants: int, unit: int, name: str) -> int:
    """Pixels of a step: about PIECE elements, as many as fit twice beside the constants, in multiples of a unit."""
    room = draft.limits.tile - constants - 64
    most = room // 2 // bytes_per_pixel // unit * unit
    if most < unit:
        needed = constants + 2 * unit * bytes_per_pixel + 64
        raise TooLarge("a pixel's channels do not fit a core", name, "use fewer channels", needed, draft.limits.tile)
    return max(unit, min(most, PIECE // channels // unit * unit))


def _channel_step(draft: Draft, channels: int, element: int, vectors: int, unit: int, name: str) -> tuple[int, int]:
    """(channels of a tile, pixels of a step), with `element` bytes for each channel of a pixel and some vectors."""
    c = channels
    while c % 4 == 0 and aligned(8 * c) * vectors > draft.limits.tile // 3:
        c //= 2
    return c, _step(draft, c, c * element, aligned(8 * c) * vectors, unit, name)


def _rows(channels: int, part: tuple[int, int], size: int, first: int, last: int) -> tuple[int, int, int, int]:
    """Start, bytes, rows and pitch of some channels of the pixels first..last-1, for `load_rows`."""
    return (first * channels + part[0]) * size, (part[1] - part[0]) * size, last - first, channels * size


def affine_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """affine and affine_pair, rounded."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    pair = node.op == "affine_pair"
    tensors = {"x": node.inputs[0], "y": node.inputs[2]} if pair else {"x": node.inputs[0]}
    vectors = dict(
        zip(("scale", "slope", "offset"), (node.inputs[1], *node.inputs[3:]), strict=True)
        if pair
        else zip(("scale", "offset"), node.inputs[1:], strict=True)
    )
    channels, pixels = node.shape[1], prod(node.shape) // node.shape[1]
    sizes = {key: element_bytes(draft.node(i).format) for key, i in tensors.items()}
    result = "z" if pair else "y"
    stored = draft.keep(target)
    unit = granule(2 * channels)
    in_place = sizes["x"] == 2
    element = sum(sizes.values()) + (0 if in_place else 2)
    c, step = _channel_step(draft, channels, element, len(vectors), unit, node.name)
    arguments: dict[str, int] = {"channels": c, "offset_exponent": draft.exponent(vectors["offset"])}
    arguments |= rounding_words(draft, job)
    if not pair:
        arguments["x_bytes"] = sizes["x"]
    tasks = []
    ranges = shares(pixels, draft.limits.cores, unit, -(-LEAST // channels))
    for part, (start, stop) in itertools.product(pieces(0, channels, c), ranges):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, step)):
            side, loads, words = turn % 2, list[Move](), dict[str, int | At](arguments)
            for key, i in vectors.items():
                move, words[key] = regions.load(key, draft.place(i).buffer, 8 * part[0], 8 * c)
                loads += [move] if turn == 0 else []
            for key, i in tensors.items():
                rows = _rows(channels, part, sizes[key], first, last)
                move, words[key] = regions.load_rows(f"{key}{side}", draft.place(i).buffer, *rows)
                loads.append(move)
            size = (last - first) * c * 2
            at = words["x"] if in_place else regions.at(f"{result}{side}", size + 8)
            assert isinstance(at, At)
            words |= {result: at, "pixels": last - first}
            save = store_rows(stored.buffer, *_rows(channels, part, 2, first, last), at, pixels * channels * 2)
            calls.append(Call(node.op, target, words, tuple(loads), (save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * c * CYCLES))
    return tasks


def sums_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """channel_sum and channel_dot: partial sums, one part for each task."""
    nodes = {draft.node(i).op: i for i in job.nodes}
    first_node = draft.node(job.nodes[0])
    x = first_node.inputs[0]
    y = draft.node(nodes["channel_dot"]).inputs[1] if "channel_dot" in nodes else x
    same = draft.homes[x] == draft.homes[y]
    shape = draft.node(x).shape
    channels, pixels = shape[1], prod(shape) // shape[1]
    c, step = _channel_step(draft, channels, 2 if same else 4, len(nodes), 1, first_node.name)
    ranges = shares(pixels, draft.limits.cores, 1, -(-LEAST // channels))
    stored = {op: draft.keep(i, len(ranges)) for op, i in nodes.items()}
    tasks = []
    for some, (part, (start, stop)) in itertools.product(pieces(0, channels, c), enumerate(ranges)):
        regions, calls = Regions(), []
        sums = {op: regions.at(op, 8 * c) for op in nodes}
        cut = pieces(start, stop, step)
        for turn, (first, last) in enumerate(cut):
            side, rows = turn % 2, _rows(channels, some, 2, first, last)
            load_x, at_x = regions.load_rows(f"x{side}", draft.place(x).buffer, *rows)
            loads, at_y = [load_x], at_x
            if not same:
                load_y, at_y = regions.load_rows(f"y{side}", draft.place(y).buffer, *rows)
                loads.append(load_y)
            words: dict[str, int | At] = {
                "x": at_x,
                "y": at_y,
                "sum": sums.get("channel_sum", 0),
                "dot": sums.get("channel_dot", 0),
                "pixels": last - first,
                "channels": c,
                "first": int(turn == 0),
            }
            begins = {op: part * stored[op].bytes + 8 * some[0] for op in nodes}
            stores = [
                store(stored[op].buffer, begins[op], 8 * c, at, begins[op] + 8 * c)
                for op, at in sums.items()
                if turn == len(cut) - 1
            ]
            calls.append(Call("channel_sums", job.nodes[0], words, tuple(loads), tuple(stores)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * c * CYCLES))
    return tasks
