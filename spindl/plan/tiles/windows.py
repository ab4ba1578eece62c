"""Tasks of pooling: slabs of rows in, slabs of rows out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from math import prod
from struct import pack
from typing import Any

from spindl.plan.draft import Draft
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, store_rows
from spindl.plan.tiles.flat import rounding_words
from spindl.plan.tiles.space import Slab, axis, row_shares, rows_seen, slabs, windows_over

CYCLES = 30
"""Rough cycles of an element of the larger side, for dealing."""


def _cut(
    draft: Draft, shape: tuple[int, ...], row_bytes: int, slab_bytes_per_row: float, fixed: int, name: str
) -> list[list[Slab]]:
    """Slabs of each task for a result (images, channels, height, width)."""
    images, _, height, _ = shape
    ranges, image_granule, row_granule = row_shares(images, height, row_bytes, draft.limits.cores)
    most = int((draft.limits.tile - 256) / 2 - fixed) // max(1, int(slab_bytes_per_row))
    least = image_granule * height if image_granule > 1 else row_granule
    if most < least:
        raise TooLarge(
            "the rows of a window do not fit a core",
            name,
            "use smaller images or fewer channels",
            2 * int(fixed + least * slab_bytes_per_row) + 256,
            draft.limits.tile,
        )
    return [slabs(start, stop, height, most, image_granule, row_granule) for start, stop in ranges]


def _cut_channels(channels: int, cut: Callable[[int], list[list[Slab]]]) -> tuple[int, list[list[Slab]]]:
    """Channels of a tile, as many as fit, and the slabs of each task."""
    while True:
        try:
            return channels, cut(channels)
        except TooLarge:
            if channels % 4:
                raise
            channels //= 2


def max_pool_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Largest value of each window."""
    index = job.nodes[0]
    node = draft.node(index)
    x, a = node.inputs[0], node.attributes
    _, channels, outputs, output_width = node.shape
    _, _, height, width = draft.node(x).shape
    rows, columns = axis(a, a["kernel"], 0), axis(a, a["kernel"], 1)
    overlap = (rows["kernel"] - 1) * rows["dilation"] + 1

    def cut(c: int) -> list[list[Slab]]:
        out_row, in_row = 2 * c * output_width, 2 * c * width
        least = out_row if c == channels else 4
        return _cut(draft, node.shape, least, out_row + rows["stride"] * in_row, overlap * in_row, node.name)

    c, parts = _cut_channels(channels, cut)
    stored = draft.keep(index)
    tasks = []
    for (c0, c1), part in itertools.product(pieces(0, channels, c), parts):
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            top, bottom = rows_seen(slab.top, slab.bottom, height=height, **rows) if slab.images == 1 else (0, height)
            pixels, first = slab.images * (bottom - top) * width, (slab.first * height + top) * width
            load, at_x = _load(regions, f"x{turn % 2}", draft.place(x).buffer, first, pixels, channels, (c0, c1))
            out, start = slab.images * slab.rows * output_width, (slab.first * outputs + slab.top) * output_width
            at_y = regions.at(f"y{turn % 2}", 2 * out * c + 8)
            words: dict[str, int | At] = {"x": at_x, "y": at_y, "images": slab.images}
            words |= _window_words(c, height, width, (top, bottom), slab.top, slab.rows, output_width, rows, columns)
            save = _save(stored.buffer, start, out, channels, (c0, c1), at_y, 2 * prod(node.shape))
            calls.append(Call("max_pool", index, words, (load,), (save,)))
            work += pixels * c * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=work))
    return tasks


def _load(
    regions: Regions, name: str, buffer: str, pixel: int, pixels: int, channels: int, part: tuple[int, int]
) -> tuple[Move, At]:
    """Some channels of pixels that follow each other."""
    start, size = 2 * (pixel * channels + part[0]), 2 * (part[1] - part[0])
    return regions.load_rows(name, buffer, start, size, pixels, 2 * channels)


def _save(buffer: str, pixel: int, pixels: int, channels: int, part: tuple[int, int], at: At, end: int) -> Move:
    start, size = 2 * (pixel * channels + part[0]), 2 * (part[1] - part[0])
    return store_rows(buffer, start, size, pixels, 2 * channels, at, end)


def _window_words(
    channels: int,
    height: int,
    width: int,
    seen: tuple[int, int],
    first_output: int,
    outputs: int,
    output_width: int,
    rows: dict[str, int],
    columns: dict[str, int],
) -> dict[str, int]:
    return {
        "channels": channels,
        "height": height,
        "width": width,
        "first_row": seen[0],
        "rows": seen[1] - seen[0],
        "first_output": first_output,
        "outputs": outputs,
        "output_width": output_width,
        "kernel_height": rows["kernel"],
        "kernel_width": columns["kernel"],
        "stride_height": rows["stride"],
        "stride_width": columns["stride"],
        "padding_top": rows["padding"],
        "padding_left": columns["padding"],
        "dilation_height": rows["dilation"],
        "dilation_width": columns["dilation"],
    }


def max_pool_gradient_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradients to the first largest cells, rounded."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    dy, x = node.inputs
    a = node.attributes
    _, channels, height, width = node.shape
    _, _, outputs, output_width = draft.node(dy).shape
    rows, columns = axis(a, a["kernel"], 0), axis(a, a["kernel"], 1)
    overlap = 2 * ((rows["kernel"] - 1) * rows["dilation"] + 1)

    def cut(c: int) -> list[list[Slab]]:
        out_row, in_row = 2 * c * output_width, 2 * c * width
        per_row = 2 * in_row + out_row / rows["stride"] + 2 * in_row  # x, dx, dy and int32 scratch
        least = in_row if c == channels else 4
        return _cut(draft, node.shape, least, per_row, overlap * in_row + 2 * out_row, node.name)

    c, parts = _cut_channels(channels, cut)
    stored = draft.keep(target)
    arguments = {"dy_exponent": draft.exponent(dy), **rounding_words(draft, job)}
    tasks = []
    for (c0, c1), part in itertools.product(pieces(0, channels, c), parts):
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            side = turn % 2
            p0, p1 = windows_over(slab.top, slab.bottom, outputs=outputs, **rows)
            top, bottom = rows_seen(p0, p1, height=height, **rows)
            n = slab.images
            if n > 1:  # images lie one behind the other: all of each
                (p0, p1), (top, bottom) = (0, outputs), (0, height)
            source, first, pixels = draft.place(dy).buffer, slab.first * outputs + p0, n * (p1 - p0) * output_width
            load_dy, at_dy = _load(regions, f"dy{side}", source, first * output_width, pixels, channels, (c0, c1))
            source, first, pixels = draft.place(x).buffer, slab.first * height + top, n * (bottom - top) * width
            load_x, at_x = _load(regions, f"x{side}", source, first * width, pixels, channels, (c0, c1))
            pixels = n * slab.rows * width
            at_dx = regions.at(f"dx{side}", 2 * pixels * c + 8)
            words: dict[str, int | At] = {"dy": at_dy, "x": at_x, "dx": at_dx, "images": n, **arguments}
            words["scratch"] = regions.at("scratch", 4 * max(slab.rows, bottom - top) * width * c)
            words |= _window_words(c, height, width, (top, bottom), p0, p1 - p0, output_width, rows, columns)
            words |= {"first_dx_row": slab.top, "dx_rows": slab.rows}
            start = (slab.first * height + slab.top) * width
            save = _save(stored.buffer, start, pixels, channels, (c0, c1), at_dx, 2 * prod(node.shape))
            calls.append(Call("max_pool_gradient", target, words, (load_dy, load_x), (save,)))
            work += pixels * c * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=work))
    return tasks


def _table(windows: Any) -> bytes:
    return b"".join(pack("<2H", start, stop) for start, stop in windows)


def window_sum_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Average pooling, forward and backward."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    source, a = node.inputs[0], node.attributes
    backward = node.op == "window_sum_gradient"
    big, small = (node.shape, draft.node(source).shape) if backward else (draft.node(source).shape, node.shape)
    _, channels, height, width = big
    outputs, output_width = small[2:]
    windows: Any = a["rows"]
    tables = {"row_windows": _table(a["rows"]), "column_windows": _table(a["columns"])}
    buffers = {key: draft.buffer(f"{key}/{target}", len(data), data) for key, data in tables.items()}
    fixed = 4 * (outputs + output_width)
    tallest = max(stop - start for start, stop in windows)

    def cut(c: int) -> list[list[Slab]]:
        in_row, out_row = 2 * c * width, 2 * c * output_width
        whole = c == channels
        if backward:
            least = in_row if whole else 4
            return _cut(draft, node.shape, least, in_row + out_row * outputs / height, fixed + 2 * out_row, node.name)
        return _cut(draft, node.shape, out_row if whole else 4, out_row + in_row * tallest, fixed, node.name)

    c, parts = _cut_channels(channels, cut)
    stored, place = draft.keep(target), draft.place(source).buffer
    arguments = {"channels": c, "width": width, "output_width": output_width, "divisor": int(a["divisor"] or 0)}
    arguments |= {("dy" if backward else "x") + "_exponent": draft.exponent(source), **rounding_words(draft, job)}
    tasks = []
    for (c0, c1), part in itertools.product(pieces(0, channels, c), parts):
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            side, n = turn % 2, slab.images
            if backward:
                p = [k for k, (start, stop) in enumerate(windows) if start < slab.bottom and stop > slab.top] or [0]
                first, last = (p[0], p[-1] + 1) if n == 1 else (0, outputs)
                seen = slab.top, slab.bottom
                from_pixel, pixels = (slab.first * outputs + first) * output_width, n * (last - first) * output_width
                to_pixel, results = (slab.first * height + slab.top) * width, n * slab.rows * width
            else:
                first, last = slab.top, slab.bottom
                seen = min(w[0] for w in windows[first:last]), max(w[1] for w in windows[first:last])
                seen = seen if n == 1 else (0, height)
                from_pixel, pixels = (slab.first * height + seen[0]) * width, n * (seen[1] - seen[0]) * width
                to_pixel, results = (slab.first * outputs + slab.top) * output_width, n * slab.rows * output_width
            name = f"{'dy' if backward else 'x'}{side}"
            load, at_in = _load(regions, name, place, from_pixel, pixels, channels, (c0, c1))
            at_out = regions.at(f"out{side}", 2 * results * c + 8)
            words: dict[str, int | At] = {**arguments, "images": n}
            words |= {"dy": at_in, "dx": at_out} if backward else {"x": at_in, "y": at_out}
            words |= {"first_row": seen[0], "rows": seen[1] - seen[0], "first_output": first, "outputs": last - first}
            loads = [load]
            for key, data in tables.items():
                move, words[key] = regions.load(key, buffers[key], 0, len(data))
                loads += [move] if turn == 0 else []
            save = _save(stored.buffer, to_pixel, results, channels, (c0, c1), at_out, 2 * prod(node.shape))
            calls.append(Call(node.op, target, words, tuple(loads), (save,)))
            work += max(pixels, results) * c * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=work))
    return tasks
