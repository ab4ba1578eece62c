"""Tasks of contractions: a range of output channels (or of input channels, or of weights) by slabs of rows.

A 1x1 convolution of stride 1 is one image of one row, whose columns are all pixels of the batch: so linear layers are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from spindl.plan.ask import scratch_bytes
from spindl.plan.draft import Draft, Stored
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store, store_rows
from spindl.plan.tiles.block_tasks import block_tasks, in_blocks, weight_block_tasks
from spindl.plan.tiles.geometry import Geometry, contraction_words, geometry, with_scratch
from spindl.plan.tiles.space import Slab, row_shares, rows_seen, slabs, windows_over
from spindl.program.kernels.contraction import FLAGS

CYCLES_PER_MAC = 1.6
CYCLES_PER_RESULT = 12
CYCLES_PER_BYTE = 0.75
"""Rough costs, for choosing a cut: products, roundings, bytes of DMA (267 MB/s at 200 MHz)."""
CYCLES_PER_CALL, CYCLES_PER_ROW = 1500, 150
ROOM = 128
"""Bytes kept free for words around unaligned loads."""


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
    if in_blocks(draft, job):
        return block_tasks(draft, number, job)
    r = job.rounding
    node, target = draft.node(r.producer), r.requantise
    x, w = node.inputs
    bias = draft.node(r.bias).inputs[1] if r.bias is not None else None
    g = geometry(draft.node(x).shape, draft.node(w).shape, node.shape, node.attributes)
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

    flat = g.is_flat
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
                    t, b = _seen(slab, g)
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


def _seen(slab: Slab, g: Geometry) -> tuple[int, int]:
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
    if in_blocks(draft, job):
        return block_tasks(draft, number, job)
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    dy, w = node.inputs
    g = geometry(node.shape, draft.node(w).shape, draft.node(dy).shape, node.attributes)
    grouped = g.groups > 1
    per = g.inputs if grouped else 1
    channels = g.x_channels // per
    w_bytes = 2 * g.taps * (g.outputs * g.inputs if grouped else g.y_channels)
    flat = g.is_flat
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


@dataclass(frozen=True)
class _WeightCut:
    """Outputs (or groups) of a tile, ranges of gradient groups, whether images are cut into slabs, their rows."""

    tile: int
    ranges: list[tuple[int, int]]
    whole: bool
    most: int


def weight_gradient_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradients of weights, rounded for each gradient group and added over a range of groups: parts of the sum."""
    assert job.rounding is not None and job.rounding.summed is not None
    if in_blocks(draft, job):
        return weight_block_tasks(draft, number, job)
    node, target = draft.node(job.rounding.producer), job.rounding.summed
    dy, x = node.inputs
    weight: Any = node.attributes["weight_shape"]
    g = geometry(draft.node(x).shape, tuple(weight), draft.node(dy).shape, node.attributes, keep_images=True)
    size = int(node.attributes["group_size"])
    count = -(-g.images // size)
    grouped = g.groups > 1
    per = g.outputs if grouped else 1
    channels = g.y_channels // per
    elements = per * g.taps * g.inputs  # of the smallest tile
    x_row, y_row = 2 * g.x_columns * g.x_channels, 2 * g.y_columns * g.y_channels
    common = contraction_words(draft, job, g)

    def scratch_of(tile: int, rows: int) -> int:
        """For slabs of some rows of y; 0: each image by itself."""
        words = {**common, "x_pitch": g.x_channels, "y_pitch": g.y_channels, "y_rows": min(rows, g.y_rows) or g.y_rows}
        words |= {"groups": tile, "outputs": g.outputs} if grouped else {"outputs": tile}
        words |= {"flags": FLAGS["SUMS"] if rows else 0, "images": max(1, -(-rows // g.y_rows))}
        return scratch_bytes(node.op, words)

    cut = _choose_weight_cut(draft, node.name, g, size, count, channels, elements, x_row, y_row, scratch_of)
    stored = draft.keep(target, len(cut.ranges))
    tasks = []
    for o0, o1 in pieces(0, channels, cut.tile):
        for part, (start, stop) in enumerate(cut.ranges):
            regions, calls, n = Regions(), list[Call](), (o1 - o0) * elements
            at_w = regions.at("w", 4 * n)
            words = {**common, "x_pitch": g.x_channels, "y_pitch": g.y_channels}
            words |= {"groups": o1 - o0} if grouped else {"outputs": (o1 - o0) * per}
            x_shift, y_shift = (2 * o0 * g.inputs if grouped else 0), 2 * o0 * per
            begin = part * stored.bytes + 4 * o0 * elements
            save = store(stored.buffer, begin, 4 * n, at_w, begin + 4 * n)
            turn = 0
            if cut.whole:
                cuts = pieces(start, stop, cut.most)
                for k, (first, last) in enumerate(cuts):
                    loads, places = _operand_loads(
                        draft, regions, x, dy, g, turn, Slab(first, last, 0, g.y_rows), x_row, y_row
                    )
                    shape: dict[str, int | At] = {
                        "images": last - first,
                        "x_rows": g.x_rows,
                        "y_rows": g.y_rows,
                        "top": -g.rows["padding"],
                        "x": places[0].plus(x_shift),
                        "y": places[1].plus(y_shift),
                        "w": at_w,
                        "flags": FLAGS["ADD"] if k else 0,
                    }
                    stores = (save,) if k == len(cuts) - 1 else ()
                    calls.append(Call(node.op, target, {**words, **shape}, tuple(loads), stores))
                    turn += 1
            else:
                sums = regions.at("sums", 8 * n)
                for group in range(start, stop):
                    cuts_s = slabs(
                        group * size * g.y_rows, min((group + 1) * size, g.images) * g.y_rows, g.y_rows, cut.most, 1, 1
                    )
                    for k, slab in enumerate(cuts_s):
                        loads, places = _operand_loads(draft, regions, x, dy, g, turn, slab, x_row, y_row)
                        t, b = _seen(slab, g)
                        shape = {
                            "images": slab.images,
                            "x_rows": b - t,
                            "y_rows": slab.rows,
                            "top": slab.top * g.rows["stride"] - g.rows["padding"] - t,
                            "x": places[0].plus(x_shift),
                            "y": places[1].plus(y_shift),
                            "w": sums,
                            "flags": FLAGS["SUMS"] | (FLAGS["ADD"] if k else 0),
                        }
                        calls.append(Call(node.op, target, {**words, **shape}, tuple(loads)))
                        turn += 1
                    keys = ("first_exponent", "second_exponent", "site", "bits")
                    finish: dict[str, int | At] = {key: common[key] for key in keys}
                    finish |= {"sums": sums, "y": at_w, "count": n, "flags": FLAGS["ADD"] if group > start else 0}
                    calls.append(Call("add_rounded_sums", target, finish, (), (save,) if group == stop - 1 else ()))
            macs = (stop - start) * size * g.y_rows * g.y_columns * (o1 - o0) * elements
            work = int(macs * CYCLES_PER_MAC + (stop - start) * n * CYCLES_PER_RESULT)
            made = with_scratch(node.op, calls, regions)
            tasks.append(Task(number, made, regions.sizes, cost=work))
    return tasks


def _operand_loads(
    draft: Draft, regions: Regions, x: int, dy: int, g: Geometry, turn: int, slab: Slab, x_row: int, y_row: int
) -> tuple[list[Move], tuple[At, At]]:
    """Rows of x that a slab of rows of dy meets, and that slab."""
    side = turn % 2
    t, b = _seen(slab, g)
    load_x, at_x = regions.load(
        f"x{side}", draft.place(x).buffer, (slab.first * g.x_rows + t) * x_row, slab.images * (b - t) * x_row
    )
    load_y, at_y = regions.load(
        f"y{side}", draft.place(dy).buffer, (slab.first * g.y_rows + slab.top) * y_row, slab.images * slab.rows * y_row
    )
    return [load_x, load_y], (at_x, at_y)


def _choose_weight_cut(
    draft: Draft,
    name: str,
    g: Geometry,
    size: int,
    count: int,
    channels: int,
    elements: int,
    x_row: int,
    y_row: int,
    scratch_of: Callable[[int, int], int],
) -> _WeightCut:
    """The cut with the least predicted time; see _choose."""
    best: tuple[float, _WeightCut] | None = None
    cores, smallest = draft.limits.cores, 1 << 60
    image = aligned(g.x_rows * x_row + 8) + aligned(g.y_rows * y_row + 8)
    macs = g.y_rows * g.y_columns
    for tile in sorted({_even(-(-channels // k), channels) for k in range(1, channels + 1)}):
        parts = -(-channels // tile)
        n = tile * elements
        for wanted in sorted({1, *(-(-cores * k // parts) for k in (1, 2, 3))}):
            ranges = shares(count, wanted)
            longest = max(b - a for a, b in ranges)
            left = draft.limits.tile - aligned(4 * n) - ROOM
            room = (left - scratch_of(tile, 0)) // 2
            whole, most = size == 1 and image <= room, min(longest, max(1, room // image))
            calls = -(-longest // most)
            moved = most * image
            if not whole:
                left -= aligned(8 * n)
                most = g.y_rows * size
                while most > 1 and 2 * _slab_of(g, most, x_row, y_row) + scratch_of(tile, most) > left:
                    most = max(1, most * 3 // 4)
                needed = 2 * _slab_of(g, most, x_row, y_row) + scratch_of(tile, most)
                if needed > left:
                    smallest = min(smallest, needed + draft.limits.tile - left)
                    continue
                calls = longest * size * -(-g.y_rows // most) + longest
                moved = _slab_of(g, most, x_row, y_row)
            one = longest * n * (size * macs * CYCLES_PER_MAC + CYCLES_PER_RESULT + (0 if whole else 8))
            one += calls * CYCLES_PER_CALL + moved * CYCLES_PER_BYTE + n * 4 * CYCLES_PER_BYTE
            score = -(-parts * len(ranges) // cores) * one + len(ranges) * channels * elements / cores * 8
            if best is None or score < best[0]:
                best = score, _WeightCut(tile, ranges, whole, most)
    if best is None:
        raise TooLarge(
            "the smallest tile of a weight gradient does not fit a core",
            name,
            "use fewer channels",
            smallest,
            draft.limits.tile,
        )
    return best[1]


def _even(tile: int, channels: int) -> int:
    """An even tile where there is one: pixels of even channels lie at whole words."""
    return tile if channels % 2 else min(channels, tile + tile % 2)


def _slab_of(g: Geometry, rows: int, x_row: int, y_row: int) -> int:
    """Bytes of a slab of rows of dy and of the rows of x that it meets."""
    if rows >= g.y_rows:
        images = -(-rows // g.y_rows)
        return aligned(images * g.x_rows * x_row + 8) + aligned(rows * y_row + 8)
    seen = min(g.x_rows, (rows - 1) * g.rows["stride"] + (g.kernel[0] - 1) * g.rows["dilation"] + 1)
    return aligned(seen * x_row + 8) + aligned(rows * y_row + 8)
