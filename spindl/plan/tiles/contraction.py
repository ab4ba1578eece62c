"""Tasks of contractions: a range of output channels (or of input channels, or of weights) by slabs of rows.

A 1x1 convolution of stride 1 is one image of one row, whose columns are all pixels of the batch: so linear layers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from spindl.plan.ask import scratch_bytes
from spindl.plan.draft import Draft, Stored
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, store, store_rows
from spindl.plan.tiles.space import Slab, axis, row_shares, rows_seen, slabs, windows_over
from spindl.program.kernels.contraction import FLAGS

CYCLES_PER_MAC = 1.6
CYCLES_PER_RESULT = 12
CYCLES_PER_BYTE = 0.75
"""Rough costs, for choosing a cut: products, roundings, bytes of DMA (267 MB/s at 200 MHz)."""
CYCLES_PER_CALL, CYCLES_PER_ROW = 1500, 150
ROOM = 128
"""Bytes kept free for words around unaligned loads."""


@dataclass(frozen=True)
class Geometry:
    """A convolution as the kernels see it; pointwise ones have one image of one row."""

    images: int
    x_rows: int
    x_columns: int
    y_rows: int
    y_columns: int
    groups: int
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    rows: dict[str, int]
    columns: dict[str, int]

    @property
    def x_channels(self) -> int:
        """Of all groups."""
        return self.groups * self.inputs

    @property
    def y_channels(self) -> int:
        """Of all groups."""
        return self.groups * self.outputs

    @property
    def taps(self) -> int:
        """Products of one output and one input channel."""
        return self.kernel[0] * self.kernel[1]


def geometry_of(
    x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], a: Any, keep_images: bool = False
) -> Geometry:
    """The geometry of a convolution from the shapes of x, w, y; `keep_images`: pointwise ones keep their images."""
    groups = int(a["groups"])
    rows, columns = axis(a, w[2:], 0), axis(a, w[2:], 1)
    images, height, width, outputs, output_width = x[0], x[2], x[3], y[2], y[3]
    point = all(
        side == {"kernel": 1, "stride": 1, "dilation": side["dilation"], "padding": 0} for side in (rows, columns)
    )
    if point and x[2:] == y[2:]:
        if keep_images:
            height, width = 1, height * width
        else:
            images, height, width = 1, 1, images * height * width
        outputs, output_width = height, width
    return Geometry(
        images, height, width, outputs, output_width, groups, w[1], w[0] // groups, (w[2], w[3]), rows, columns
    )


def contraction_words(draft: Draft, job: Job, g: Geometry) -> dict[str, int | At]:
    """Argument words that all tiles of a contraction share."""
    assert job.rounding is not None
    node = draft.node(job.rounding.producer)
    requantise = draft.node(job.rounding.requantise)
    words: dict[str, int | At] = {
        "x_columns": g.x_columns,
        "y_columns": g.y_columns,
        "groups": 1,
        "inputs": g.inputs,
        "outputs": g.outputs,
        "kernel_rows": g.kernel[0],
        "kernel_columns": g.kernel[1],
        "stride_rows": g.rows["stride"],
        "stride_columns": g.columns["stride"],
        "dilation_rows": g.rows["dilation"],
        "dilation_columns": g.columns["dilation"],
        "left": -g.columns["padding"],
        "first_exponent": draft.exponent(node.inputs[0]),
        "second_exponent": draft.exponent(node.inputs[1]),
        "bias": 0,
        "bias_exponent": 0,
        "site": draft.site(requantise.inputs[1]),
        "bits": int(requantise.attributes["bits"]),
        "flags": FLAGS["RELU"] if job.rounding.activation == 1 else 0,
    }
    return words


@dataclass(frozen=True)
class _Cut:
    """How a contraction is cut: channels (or groups of channels) of a tile, ranges of rows, rows of a slab."""

    tile: int
    ranges: list[tuple[int, int]]
    image_granule: int
    row_granule: int
    most_rows: int


def _halves(total: int) -> list[int]:
    """Tile sizes to try: everything, and even parts of it, if any."""
    sizes = {total}
    if total % 2 == 0:
        sizes |= {size for size in {-(-total // k) for k in (2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64)}}
        sizes = {total if size == total else -(-size // 4) * 4 if size > 4 else -(-size // 2) * 2 for size in sizes}
    return sorted(size for size in sizes if size <= total)


def with_scratch(kernel: str, calls: list[Call], regions: Regions) -> tuple[Call, ...]:
    """The same calls with a scratch region that is large enough for each of them."""
    needed = max(scratch_bytes(kernel, call.arguments) for call in calls if call.kernel == kernel)
    words: dict[str, int | At] = {"scratch": regions.at("scratch", max(8, needed)), "scratch_bytes": max(8, needed)}
    return tuple(
        replace(call, arguments={**call.arguments, **words}) if call.kernel == kernel else call for call in calls
    )


def _choose(
    draft: Draft,
    name: str,
    channels: int,
    weight_bytes: int,
    g: Geometry,
    height: int,
    width: int,
    result_channels: int,
    slab_bytes: Any,
    macs: int,
    scratch_of: Callable[[int], int],
) -> _Cut:
    """The cut with the least predicted time.

    Args:
        draft: for its limits.
        name: of the layer, for errors.
        channels: of the result (or groups) that may be dealt.
        weight_bytes: of one such channel.
        g: the geometry.
        height, width: of the result.
        result_channels: in memory, of one pixel of the result.
        slab_bytes: (rows, tile) -> bytes of operands and result of a slab of so many rows.
        macs: products of one channel and one row.
        scratch_of: tile -> bytes of scratch.
    """
    best: tuple[float, _Cut] | None = None
    cores, least_needed = draft.limits.cores, 1 << 60
    for tile in _halves(channels):
        parts = -(-channels // tile)
        split = parts > 1
        row_bytes = 4 if split else 2 * width * result_channels
        room = (draft.limits.tile - aligned(tile * weight_bytes) - scratch_of(tile) - ROOM) // 2
        for wanted in sorted({1, *(-(-cores * k // parts) for k in (1, 2, 3, 4))}):
            ranges, image_granule, row_granule = row_shares(g.images, height, row_bytes, wanted)
            least = height * image_granule if image_granule > 1 else row_granule
            most = max(b - a for a, b in ranges)
            while most > least and slab_bytes(most, tile) > room:
                most = max(least, most * 3 // 4)
            if slab_bytes(most, tile) > room:
                least_needed = min(least_needed, 2 * slab_bytes(most, tile) + draft.limits.tile - 2 * room)
                continue
            longest = max(b - a for a, b in ranges)
            calls = -(-longest // most)
            one = longest * tile * (macs * CYCLES_PER_MAC + width * CYCLES_PER_RESULT)
            one += tile * weight_bytes * CYCLES_PER_BYTE + calls * CYCLES_PER_CALL
            one += longest * width * CYCLES_PER_ROW if split else 0  # every pixel is a row of a transfer
            one += slab_bytes(min(most, longest), tile) * CYCLES_PER_BYTE
            rounds = -(-parts * len(ranges) // cores)
            score = rounds * one
            if best is None or score < best[0]:
                best = score, _Cut(tile, ranges, image_granule, row_granule, most)
    if best is None:
        raise TooLarge(
            "the smallest tile does not fit a core", name, "use fewer channels", least_needed, draft.limits.tile
        )
    return best[1]


def convolution_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Outputs: slabs of their rows by ranges of their channels (of groups of channels, if there are several)."""
    assert job.rounding is not None
    r = job.rounding
    node, target = draft.node(r.producer), r.requantise
    x, w = node.inputs
    bias = draft.node(r.bias).inputs[1] if r.bias is not None else None
    g = geometry_of(draft.node(x).shape, draft.node(w).shape, node.shape, node.attributes)
    per = 1 if g.groups == 1 else g.outputs  # channels of the smallest tile
    channels = g.y_channels // per
    w_bytes = per * g.taps * g.inputs * 2
    x_row, y_row = 2 * g.x_columns * g.x_channels, 2 * g.y_columns

    def slab_bytes(rows: int, tile: int) -> int:
        seen = min(rows, g.y_rows) * g.rows["stride"] + (g.kernel[0] - 1) * g.rows["dilation"] + 1 - g.rows["stride"]
        x_rows = seen if rows <= g.y_rows else -(-rows // g.y_rows) * g.x_rows
        if g.x_rows == 1:  # rows are columns
            x_rows = 1
        return aligned(x_rows * x_row) + aligned(rows * y_row * tile * per) + 16

    flat = g.y_rows == 1 and g.images == 1 and g.y_columns > 1
    common = contraction_words(draft, job, g)
    if bias is not None:
        common["bias_exponent"] = draft.exponent(bias)

    def scratch_of(tile: int) -> int:
        words = {**common, "x_pitch": g.x_channels, "y_pitch": tile * per, "outputs": tile}
        words |= {"groups": tile, "outputs": g.outputs} if g.groups > 1 else {}
        return scratch_bytes("convolution", words)

    if flat:  # pixels take the place of rows
        x_pixel, y_pixel = 2 * g.x_channels, 2

        def slab_bytes(rows: int, tile: int) -> int:
            return aligned(rows * x_pixel + 8) + aligned(rows * y_pixel * tile * per) + 16

        rows_g = Geometry(1, g.y_columns, 1, g.y_columns, 1, g.groups, g.inputs, g.outputs, g.kernel, g.rows, g.columns)
    else:
        rows_g = g
    cut = _choose(
        draft,
        node.name,
        channels,
        w_bytes,
        rows_g,
        rows_g.y_rows,
        rows_g.y_columns,
        g.y_channels,
        slab_bytes,
        rows_g.y_columns * per * g.inputs * g.taps,
        scratch_of,
    )
    stored = draft.keep(target)
    tasks = []
    for o0, o1 in pieces(0, channels, cut.tile):
        for start, stop in cut.ranges:
            regions, calls, o = Regions(), [], (o1 - o0) * per
            load_w, at_w = regions.load("w", draft.place(w).buffer, o0 * w_bytes, (o1 - o0) * w_bytes)
            first = [load_w]
            words = {**common, "w": at_w, "outputs": o, "x_pitch": g.x_channels, "y_pitch": o}
            if g.groups > 1:
                words |= {"groups": o1 - o0, "outputs": g.outputs}
            if bias is not None:
                load_b, words["bias"] = regions.load("bias", draft.place(bias).buffer, 4 * o0 * per, 4 * o)
                first.append(load_b)
            for turn, slab in enumerate(
                slabs(start, stop, rows_g.y_rows, cut.most_rows, cut.image_granule, cut.row_granule)
            ):
                side = turn % 2
                if flat:
                    x_start, x_rows, top = slab.top, slab.rows, 0
                    load_x, at_x = regions.load(
                        f"x{side}", draft.place(x).buffer, x_start * 2 * g.x_channels, x_rows * 2 * g.x_channels
                    )
                    shape: dict[str, int | At] = {
                        "images": 1,
                        "x_rows": 1,
                        "y_rows": 1,
                        "x_columns": x_rows,
                        "y_columns": x_rows,
                        "top": 0,
                    }
                    pixels, p_start = slab.rows, slab.top
                else:
                    t, b = rows_of(slab, g)
                    load_x, at_x = regions.load(
                        f"x{side}",
                        draft.place(x).buffer,
                        (slab.first * g.x_rows + t) * x_row,
                        slab.images * (b - t) * x_row,
                    )
                    top = slab.top * g.rows["stride"] - g.rows["padding"] - t
                    shape = {"images": slab.images, "x_rows": b - t, "y_rows": slab.rows, "top": top}
                    pixels = slab.images * slab.rows * g.y_columns
                    p_start = (slab.first * g.y_rows + slab.top) * g.y_columns
                at_y = regions.at(f"y{side}", pixels * o * 2 + 8)
                if g.groups > 1:
                    at_x = at_x.plus(o0 * g.inputs * 2)
                save = _save(stored, p_start, pixels, o0 * per, o, g.y_channels, at_y, prod(node.shape) * 2)
                calls.append(
                    Call("convolution", target, {**words, **shape, "x": at_x, "y": at_y}, (*first, load_x), (save,))
                )
                first = []
            work = int((stop - start) * rows_g.y_columns * o * (g.inputs * g.taps * CYCLES_PER_MAC + CYCLES_PER_RESULT))
            made = with_scratch("convolution", calls, regions)
            tasks.append(Task(number, made, regions.sizes, cost=work))
    return tasks


def rows_of(slab: Slab, g: Geometry) -> tuple[int, int]:
    """Rows of x that a slab of rows of y meets."""
    if slab.rows == g.y_rows:
        return 0, g.x_rows
    return rows_seen(slab.top, slab.bottom, height=g.x_rows, **g.rows)


def _save(stored: Stored, pixel: int, pixels: int, c0: int, c: int, channels: int, at: At, end: int) -> Move:
    if c == channels:
        return store(stored.buffer, pixel * channels * 2, pixels * channels * 2, at, end)
    return store_rows(stored.buffer, (pixel * channels + c0) * 2, 2 * c, pixels, 2 * channels, at, end)


def input_gradient_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradients of inputs: slabs of their rows by ranges of their channels."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    dy, w = node.inputs
    g = geometry_of(node.shape, draft.node(w).shape, draft.node(dy).shape, node.attributes)
    grouped = g.groups > 1
    per = g.inputs if grouped else 1
    channels = g.x_channels // per
    w_bytes = 2 * g.taps * (g.outputs * g.inputs if grouped else g.y_channels)
    flat = g.y_rows == 1 and g.images == 1 and g.y_columns > 1
    height, width = (g.x_columns, 1) if flat else (g.x_rows, g.x_columns)
    y_row = 2 * g.y_channels * (1 if flat else g.y_columns)

    def slab_bytes(rows: int, tile: int) -> int:
        if flat:
            y_rows = rows
        elif rows > g.x_rows:
            y_rows = -(-rows // g.x_rows) * g.y_rows
        else:
            y_rows = min(g.y_rows, (rows + (g.kernel[0] - 1) * g.rows["dilation"]) // g.rows["stride"] + 1)
        return aligned(y_rows * y_row + 8) + aligned(rows * width * 2 * tile * per) + 16

    rows_g = Geometry(
        g.images, height, width, height, width, g.groups, g.inputs, g.outputs, g.kernel, g.rows, g.columns
    )
    common = contraction_words(draft, job, g)

    def scratch_of(tile: int) -> int:
        groups = {"groups": tile} if grouped else {"inputs": tile}
        return scratch_bytes(node.op, {**common, "x_pitch": tile * per, "y_pitch": g.y_channels, **groups})

    macs = width * per * g.outputs * g.taps // (g.rows["stride"] * g.columns["stride"])
    cut = _choose(
        draft, node.name, channels, w_bytes, rows_g, height, width, g.x_channels, slab_bytes, max(1, macs), scratch_of
    )
    stored = draft.keep(target)
    w_row = 2 * g.inputs
    tasks = []
    for c0, c1 in pieces(0, channels, cut.tile):
        for start, stop in cut.ranges:
            regions, calls, c = Regions(), [], (c1 - c0) * per
            if grouped:
                load_w, at_w = regions.load("w", draft.place(w).buffer, c0 * w_bytes, (c1 - c0) * w_bytes)
            else:
                load_w, at_w = regions.load_rows(
                    "w", draft.place(w).buffer, 2 * c0, 2 * c, g.y_channels * g.taps, w_row
                )
            first = [load_w]
            words = {**common, "w": at_w, "x_pitch": c, "y_pitch": g.y_channels}
            words |= {"groups": c1 - c0} if grouped else {"inputs": c}
            for turn, slab in enumerate(slabs(start, stop, height, cut.most_rows, cut.image_granule, cut.row_granule)):
                side = turn % 2
                if flat:
                    p0, p1, pixels, pixel = slab.top, slab.bottom, slab.rows, slab.top
                    shape: dict[str, int | At] = {"images": 1, "x_rows": 1, "y_rows": 1, "top": 0}
                    shape |= {"x_columns": slab.rows, "y_columns": slab.rows}
                    image = 0
                else:
                    p0, p1 = 0, g.y_rows
                    if slab.images == 1:
                        p0, p1 = windows_over(slab.top, slab.bottom, outputs=g.y_rows, **g.rows)
                    top = p0 * g.rows["stride"] - g.rows["padding"] - slab.top
                    shape = {"images": slab.images, "x_rows": slab.rows, "y_rows": p1 - p0, "top": top}
                    pixels = slab.images * slab.rows * g.x_columns
                    pixel = (slab.first * g.x_rows + slab.top) * g.x_columns
                    image = slab.first * g.y_rows
                load_y, at_y = regions.load(
                    f"y{side}", draft.place(dy).buffer, (image + p0) * y_row, slab.images * (p1 - p0) * y_row
                )
                if grouped:
                    at_y = at_y.plus(2 * c0 * g.outputs)
                at_x = regions.at(f"x{side}", pixels * c * 2 + 8)
                save = _save(stored, pixel, pixels, c0 * per, c, g.x_channels, at_x, prod(node.shape) * 2)
                call = {**words, **shape, "x": at_x, "y": at_y}
                calls.append(Call(node.op, target, call, (*first, load_y), (save,)))
                first = []
            work = int((stop - start) * (c1 - c0) * (macs * CYCLES_PER_MAC + width * per * CYCLES_PER_RESULT))
            made = with_scratch(node.op, calls, regions)
            tasks.append(Task(number, made, regions.sizes, cost=work))
    return tasks
