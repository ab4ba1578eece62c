"""Tasks on pixels [pixel][channel] with values per channel: normalisation, BatchNorm's maps and its sums."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, prod

from spindl.machine import CHIP
from spindl.plan.ask import cycles
from spindl.plan.draft import Draft
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned, element_bytes, granule
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store, store_rows
from spindl.plan.tiles.flat import rounding_words
from spindl.program import costs

LEAST = 256
"""Elements that are worth a core of their own."""
PIECE = 4096
"""Elements of a step, at most."""
CYCLES = 16
_SDRAM = CHIP.sdram_bandwidth.value / CHIP.clock.value


@dataclass(frozen=True)
class _Pixels:
    """What is cut: a kernel over [pixel][channel].

    Attributes:
        kernel: its name.
        pixels, channels: of the values.
        element: bytes of DTCM for a channel of a pixel.
        x_bytes: of an element of x.
        tensors: moves of a step whose rows are the channels of a pixel.
        vectors: of 8 bytes a channel, which stay.
        unit: pixels that make whole words.
    """

    kernel: str
    pixels: int
    channels: int
    element: int
    x_bytes: int
    tensors: int
    vectors: int
    unit: int


@lru_cache(maxsize=4096)
def _kernel(kernel: str, pixels: int, channels: int, x_bytes: int) -> int:
    return cycles(kernel, {"pixels": pixels, "channels": channels, "x_bytes": x_bytes})


@lru_cache(maxsize=1024)
def _cut(p: _Pixels, tile: int, cores: int) -> tuple[int, int, int] | int:
    """(channels of a tile, ranges of pixels, pixels of a step) with the least predicted time; bytes if nothing fits.

    A kernel sets out anew for each channel, each pixel of some of the channels is a row of a transfer, and the first
    loads and the last stores of all cores hide behind nothing.
    """
    best: tuple[float, tuple[int, int, int]] | None = None
    least = 1 << 60
    for c in sorted({p.channels, *(d for d in range(4, p.channels, 4) if p.channels % d == 0)}, reverse=True):
        constants = aligned(8 * c) * p.vectors
        most = (tile - constants - 64) // 2 // (c * p.element) // p.unit * p.unit
        if most < p.unit:
            least = min(least, constants + 2 * p.unit * c * p.element + 64)
            continue
        for ranges in range(1, min(cores, max(1, p.channels // c * p.pixels * c // LEAST)) + 1):
            pixels = ceil(ceil(p.pixels / p.unit) / ranges) * p.unit
            for piece in (PIECE, PIECE // 2, PIECE // 4):
                steps = ceil(pixels / min(most, max(p.unit, piece // c // p.unit * p.unit)))
                step = ceil(pixels / p.unit / steps) * p.unit
                rows = p.tensors * (step if c < p.channels else 1)
                call = _kernel(p.kernel, step, c, p.x_bytes) + costs.step(True, p.tensors, 0, rows)
                tasks = p.channels // c * ranges
                score: float = ceil(tasks / cores) * steps * call
                score += 2 * min(tasks, cores) * step * c * p.element / _SDRAM
                if best is None or score < best[0]:
                    best = score, (c, ranges, step)
    return best[1] if best is not None else least


def _chosen(draft: Draft, p: _Pixels, name: str) -> tuple[int, int, int]:
    found = _cut(p, draft.limits.tile, draft.limits.cores)
    if isinstance(found, int):
        raise TooLarge("a pixel's channels do not fit a core", name, "use fewer channels", found, draft.limits.tile)
    return found


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
    shape = _Pixels(node.op, pixels, channels, element, sizes["x"], len(tensors) + 1, len(vectors), unit)
    c, parts, step = _chosen(draft, shape, node.name)
    arguments: dict[str, int] = {"channels": c, "offset_exponent": draft.exponent(vectors["offset"])}
    arguments |= rounding_words(draft, job)
    if not pair:
        arguments["x_bytes"] = sizes["x"]
    tasks = []
    ranges = shares(pixels, parts, unit)
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
    dimensions = draft.node(x).shape
    channels, pixels = dimensions[1], prod(dimensions) // dimensions[1]
    shape = _Pixels("channel_sums", pixels, channels, 2 if same else 4, 2, 1 if same else 2, len(nodes), 1)
    c, parts, step = _chosen(draft, shape, first_node.name)
    ranges = shares(pixels, parts)
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
