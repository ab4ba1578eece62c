"""Tasks of pooling: slabs of rows in, slabs of rows out."""

from __future__ import annotations

from struct import pack
from typing import Any

from spindl.plan.draft import Draft
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.task import At, Call, Regions, Task, store
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


def max_pool_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Largest value of each window."""
    index = job.nodes[0]
    node = draft.node(index)
    x, a = node.inputs[0], node.attributes
    images, channels, outputs, output_width = node.shape
    _, _, height, width = draft.node(x).shape
    rows, columns = axis(a, a["kernel"], 0), axis(a, a["kernel"], 1)
    out_row, in_row = 2 * channels * output_width, 2 * channels * width
    overlap = (rows["kernel"] - 1) * rows["dilation"] + 1
    cut = _cut(draft, node.shape, out_row, out_row + rows["stride"] * in_row, overlap * in_row, node.name)
    stored = draft.keep(index)
    tasks = []
    for part in cut:
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            top, bottom = rows_seen(slab.top, slab.bottom, height=height, **rows) if slab.images == 1 else (0, height)
            size = slab.images * (bottom - top) * in_row
            load, at_x = regions.load(f"x{turn % 2}", draft.place(x).buffer, (slab.first * height + top) * in_row, size)
            out = slab.images * slab.rows * out_row
            at_y = regions.at(f"y{turn % 2}", out + 8)
            words: dict[str, int | At] = {"x": at_x, "y": at_y, "images": slab.images}
            words |= _window_words(
                channels, height, width, (top, bottom), slab.top, slab.rows, output_width, rows, columns
            )
            start = (slab.first * outputs + slab.top) * out_row
            save = store(stored.buffer, start, out, at_y, images * outputs * out_row)
            calls.append(Call("max_pool", index, words, (load,), (save,)))
            work += size // 2 * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=work))
    return tasks


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
    images, channels, height, width = node.shape
    _, _, outputs, output_width = draft.node(dy).shape
    rows, columns = axis(a, a["kernel"], 0), axis(a, a["kernel"], 1)
    out_row, in_row = 2 * channels * output_width, 2 * channels * width
    overlap = 2 * ((rows["kernel"] - 1) * rows["dilation"] + 1)
    per_row = 2 * in_row + out_row / rows["stride"] + 2 * in_row  # x, dx, dy and int32 scratch
    cut = _cut(draft, node.shape, in_row, per_row, overlap * in_row + 2 * out_row, node.name)
    stored = draft.keep(target)
    arguments = {"dy_exponent": draft.exponent(dy), **rounding_words(draft, job)}
    tasks = []
    for part in cut:
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            side = turn % 2
            p0, p1 = windows_over(slab.top, slab.bottom, outputs=outputs, **rows)
            top, bottom = rows_seen(p0, p1, height=height, **rows)
            n = slab.images
            if n > 1:  # images lie one behind the other: all of each
                (p0, p1), (top, bottom) = (0, outputs), (0, height)
            load_dy, at_dy = regions.load(
                f"dy{side}", draft.place(dy).buffer, (slab.first * outputs + p0) * out_row, n * (p1 - p0) * out_row
            )
            load_x, at_x = regions.load(
                f"x{side}", draft.place(x).buffer, (slab.first * height + top) * in_row, n * (bottom - top) * in_row
            )
            at_dx = regions.at(f"dx{side}", n * slab.rows * in_row + 8)
            words: dict[str, int | At] = {"dy": at_dy, "x": at_x, "dx": at_dx, "images": n, **arguments}
            words["scratch"] = regions.at("scratch", 2 * max(slab.rows, bottom - top) * in_row)
            words |= _window_words(channels, height, width, (top, bottom), p0, p1 - p0, output_width, rows, columns)
            words |= {"first_dx_row": slab.top, "dx_rows": slab.rows}
            size, start = n * slab.rows * in_row, (slab.first * height + slab.top) * in_row
            save = store(stored.buffer, start, size, at_dx, images * height * in_row)
            calls.append(Call("max_pool_gradient", target, words, (load_dy, load_x), (save,)))
            work += size * CYCLES
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
    images, channels, height, width = big
    outputs, output_width = small[2:]
    windows: Any = a["rows"]
    in_row, out_row = 2 * channels * width, 2 * channels * output_width
    tables = {"row_windows": _table(a["rows"]), "column_windows": _table(a["columns"])}
    buffers = {key: draft.buffer(f"{key}/{target}", len(data), data) for key, data in tables.items()}
    fixed = 4 * (outputs + output_width)
    tallest = max(stop - start for start, stop in windows)
    if backward:
        cut = _cut(draft, node.shape, in_row, in_row + out_row * outputs / height, fixed + 2 * out_row, node.name)
    else:
        cut = _cut(draft, node.shape, out_row, out_row + in_row * tallest, fixed, node.name)
    stored = draft.keep(target)
    arguments = {"channels": channels, "width": width, "output_width": output_width, "divisor": int(a["divisor"] or 0)}
    arguments |= {("dy" if backward else "x") + "_exponent": draft.exponent(source), **rounding_words(draft, job)}
    tasks = []
    for part in cut:
        regions, calls, work = Regions(), [], 0
        for turn, slab in enumerate(part):
            side, n = turn % 2, slab.images
            if backward:
                p = [k for k, (start, stop) in enumerate(windows) if start < slab.bottom and stop > slab.top] or [0]
                first, last = (p[0], p[-1] + 1) if n == 1 else (0, outputs)
                seen = slab.top, slab.bottom
                load, at_in = regions.load(
                    f"dy{side}",
                    draft.place(source).buffer,
                    (slab.first * outputs + first) * out_row,
                    n * (last - first) * out_row,
                )
                size, start = n * slab.rows * in_row, (slab.first * height + slab.top) * in_row
                end = images * height * in_row
            else:
                first, last = slab.top, slab.bottom
                seen = min(w[0] for w in windows[first:last]), max(w[1] for w in windows[first:last])
                seen = seen if n == 1 else (0, height)
                load, at_in = regions.load(
                    f"x{side}",
                    draft.place(source).buffer,
                    (slab.first * height + seen[0]) * in_row,
                    n * (seen[1] - seen[0]) * in_row,
                )
                size, start = n * slab.rows * out_row, (slab.first * outputs + slab.top) * out_row
                end = images * outputs * out_row
            at_out = regions.at(f"out{side}", size + 8)
            words: dict[str, int | At] = {**arguments, "images": n}
            words |= {"dy": at_in, "dx": at_out} if backward else {"x": at_in, "y": at_out}
            words |= {"first_row": seen[0], "rows": seen[1] - seen[0], "first_output": first, "outputs": last - first}
            loads = [load]
            for key, data in tables.items():
                move, words[key] = regions.load(key, buffers[key], 0, len(data))
                loads += [move] if turn == 0 else []
            save = store(stored.buffer, start, size, at_out, end)
            calls.append(Call(node.op, target, words, tuple(loads), (save,)))
            work += n * (seen[1] - seen[0]) * in_row // 2 * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=work))
    return tasks
