"""Tasks on pixels [pixel][channel] with values per channel: normalisation, BatchNorm's maps and its sums."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from spindl.program.kernels import KERNELS

LEAST = 256
"""Elements that are worth a core of their own."""
PIECE = 4096
"""Elements of a step, at most."""
CYCLES = 16
_SDRAM = CHIP.sdram_bandwidth.value / CHIP.clock.value


@dataclass(frozen=True)
class _Stage:
    """One kernel over a tile [pixel][channel], and the job that it is of.

    Attributes:
        kernel: its name.
        node: for reports.
        tensors: argument -> node whose elements it reads, of the tile's pixels and channels.
        vectors: argument -> node of 8 bytes a channel.
        words: the other arguments.
        result: argument -> node that it makes of the tile, in the place of a tensor if `over` names one.
        sums: argument -> node that it adds up over the pixels.
    """

    kernel: str
    node: int
    tensors: Mapping[str, int]
    words: Mapping[str, int]
    vectors: Mapping[str, int] = field(default_factory=dict)
    result: tuple[str, int] | None = None
    over: str = ""
    sums: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pixels:
    """What is cut.

    Attributes:
        kernels: one after the other on the same tile.
        pixels, channels: of the values.
        element: bytes of DTCM for a channel of a pixel.
        x_bytes: of an element of x.
        tensors: moves of a step whose rows are the channels of a pixel.
        vectors: of 8 bytes a channel, which stay.
        unit: pixels that make whole words.
    """

    kernels: tuple[str, ...]
    pixels: int
    channels: int
    element: int
    x_bytes: int
    tensors: int
    vectors: int
    unit: int


@lru_cache(maxsize=4096)
def _kernel(kernel: str, pixels: int, channels: int, x_bytes: int) -> int:
    count = pixels * channels
    sizes = {"pixels": pixels, "channels": channels, "count": count, "x_bytes": x_bytes, "activation": 1}
    return cycles(kernel, sizes)


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
                call = sum(_kernel(kernel, step, c, p.x_bytes) for kernel in p.kernels)
                call += len(p.kernels) * costs.step(True, 0, 0, 0) + costs.step(True, p.tensors, 0, rows)
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


def _affine(draft: Draft, job: Job) -> _Stage:
    """affine and affine_pair, rounded."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    if node.op == "affine_pair":
        tensors = {"x": node.inputs[0], "y": node.inputs[2]}
        vectors = dict(zip(("scale", "slope", "offset"), (node.inputs[1], *node.inputs[3:]), strict=True))
        words, result, over = dict[str, int](), "z", "x"
    else:
        tensors, vectors = {"x": node.inputs[0]}, dict(zip(("scale", "offset"), node.inputs[1:], strict=True))
        size = element_bytes(draft.node(node.inputs[0]).format)
        words, result, over = {"x_bytes": size}, "y", "x" if size == 2 else ""
    words |= {"offset_exponent": draft.exponent(vectors["offset"]), **rounding_words(draft, job)}
    return _Stage(node.op, target, tensors, words, vectors, (result, target), over)


def _add(draft: Draft, job: Job, before: int) -> _Stage:
    """A rounded sum, in the place of the operand that was made before."""
    assert job.rounding is not None
    x, y = draft.node(job.rounding.producer).inputs
    words = {"x_exponent": draft.exponent(x), "y_exponent": draft.exponent(y), **rounding_words(draft, job)}
    over = "y" if draft.homes[y] == before else "x"
    target = job.rounding.requantise
    return _Stage("add", target, {"x": x, "y": y}, words, {}, ("z", target), over)


def _relu_gradient(draft: Draft, job: Job) -> _Stage:
    index = job.nodes[0]
    dy, y = draft.node(index).inputs
    words = {"activation": 2 if draft.node(index).op == "relu6_gradient" else 1, "y_exponent": draft.exponent(y)}
    return _Stage("relu_gradient", index, {"dy": dy, "y": y}, words, {}, ("dx", index), "dy")


def _sums(draft: Draft, job: Job) -> _Stage:
    """channel_sum and channel_dot."""
    nodes = {draft.node(i).op: i for i in job.nodes}
    x = draft.node(job.nodes[0]).inputs[0]
    y = draft.node(nodes["channel_dot"]).inputs[1] if "channel_dot" in nodes else x
    tensors = {"x": x} if draft.homes[x] == draft.homes[y] else {"x": x, "y": y}
    sums = {name: nodes[op] for name, op in (("sum", "channel_sum"), ("dot", "channel_dot")) if op in nodes}
    return _Stage("channel_sums", job.nodes[0], tensors, {}, sums=sums)


def _stages(draft: Draft, job: Job, before: int = -1) -> list[_Stage]:
    """What a job computes on each tile, that of its earlier jobs first; before: what those made."""
    stages: list[_Stage] = []
    for each in (*job.first, replace(job, first=())):
        if each.kind == "sums":
            stage = _sums(draft, each)
        elif each.kind in ("relu_gradient", "relu6_gradient"):
            stage = _relu_gradient(draft, each)
        else:
            assert each.rounding is not None
            adds = draft.node(each.rounding.producer).op == "add"
            stage = _add(draft, each, before) if adds else _affine(draft, each)
        before = stage.result[1] if stage.result is not None else -1
        stages.append(stage)
    return stages


def pixel_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Maps and sums per channel, and what comes before them on the same tiles; one part of a sum for each task."""
    stages = _stages(draft, job)
    made = {stage.result[1] for stage in stages if stage.result is not None}
    loaded = [{key: i for key, i in stage.tensors.items() if draft.homes[i] not in made} for stage in stages]
    saved = made & {*job.writes}
    sizes = [{key: element_bytes(draft.node(i).format) for key, i in each.items()} for each in loaded]
    first_tensor = draft.node(next(iter(stages[0].tensors.values())))
    channels, pixels = first_tensor.shape[1], prod(first_tensor.shape) // first_tensor.shape[1]
    new = sum(stage.result is not None and not stage.over for stage in stages)
    unit = granule(2 * channels) if saved else 1
    shape = _Pixels(
        tuple(stage.kernel for stage in stages),
        pixels,
        channels,
        sum(sum(each.values()) for each in sizes) + 2 * new,
        sizes[0].get("x", 2),
        sum(len(each) for each in loaded) + len(saved),
        sum(len(stage.vectors) + len(stage.sums) for stage in stages),
        unit,
    )
    c, parts, step = _chosen(draft, shape, draft.node(stages[-1].node).name)
    ranges = shares(pixels, parts, unit)
    stored = {i: draft.keep(i) for i in sorted(saved)}
    stored |= {i: draft.keep(i, len(ranges)) for stage in stages for i in stage.sums.values()}
    tasks = []
    for some, (part, (start, stop)) in itertools.product(pieces(0, channels, c), enumerate(ranges)):
        regions, calls = Regions(), list[Call]()
        cut = pieces(start, stop, step)
        for turn, (first, last) in enumerate(cut):
            places: dict[int, At] = {}
            for k, stage in enumerate(stages):
                side, loads, stores = f"{k}{turn % 2}", list[Move](), list[Move]()
                words: dict[str, int | At] = {**stage.words, "channels": c}
                words |= {"pixels": last - first, "count": (last - first) * c, "first": int(turn == 0)}
                for key, i in stage.vectors.items():
                    move, words[key] = regions.load(f"{key}{k}", draft.place(i).buffer, 8 * some[0], 8 * c)
                    loads += [move] if turn == 0 else []
                for key, i in stage.tensors.items():
                    home = draft.homes[i]
                    if key in loaded[k]:
                        rows = _rows(channels, some, sizes[k][key], first, last)
                        move, places[home] = regions.load_rows(f"{key}{side}", draft.place(i).buffer, *rows)
                        loads.append(move)
                    words[key] = places[home]
                if stage.kernel == "channel_sums":
                    words = {"sum": 0, "dot": 0, "y": words["x"], **words}
                if stage.result is not None:
                    key, target = stage.result
                    at = words[stage.over] if stage.over else regions.at(f"{key}{side}", 2 * (last - first) * c + 8)
                    assert isinstance(at, At)
                    places[target] = words[key] = at
                    if target in saved:
                        rows = _rows(channels, some, 2, first, last)
                        stores.append(store_rows(stored[target].buffer, *rows, at, pixels * channels * 2))
                for key, i in stage.sums.items():
                    words[key] = at = regions.at(f"{key}{k}", 8 * c)
                    begins = part * stored[i].bytes + 8 * some[0]
                    if turn == len(cut) - 1:
                        stores.append(store(stored[i].buffer, begins, 8 * c, at, begins + 8 * c))
                known = {argument.name for argument in KERNELS[stage.kernel].arguments}
                words = {key: value for key, value in words.items() if key in known}
                calls.append(Call(stage.kernel, stage.node, words, tuple(loads), tuple(stores)))
        made_calls = _early(calls, len(stages))
        tasks.append(Task(number, made_calls, regions.sizes, cost=(stop - start) * c * CYCLES * len(stages)))
    return tasks


def _early(calls: Sequence[Call], stages: int) -> tuple[Call, ...]:
    """The loads of each tile but the first so much earlier that all kernels of the tile before run beside them."""
    loads = [call.loads if number < stages else () for number, call in enumerate(calls)]
    for number, call in enumerate(calls[stages:], stages):
        loads[number - stages + 1] += call.loads
    return tuple(replace(call, loads=each) for call, each in zip(calls, loads, strict=True))
