"""Tasks of weight gradients: a range of outputs by a range of gradient groups, whose sums are rounded one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spindl.plan.ask import scratch_bytes
from spindl.plan.draft import Draft
from spindl.plan.errors import TooLarge
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store
from spindl.plan.tiles.contraction import (
    CYCLES_PER_BYTE,
    CYCLES_PER_CALL,
    CYCLES_PER_MAC,
    CYCLES_PER_RESULT,
    ROOM,
    Geometry,
    contraction_words,
    geometry_of,
    rows_of,
    with_scratch,
)
from spindl.plan.tiles.space import Slab, slabs
from spindl.program.kernels.contraction import FLAGS


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
    node, target = draft.node(job.rounding.producer), job.rounding.summed
    dy, x = node.inputs
    weight: Any = node.attributes["weight_shape"]
    g = geometry_of(draft.node(x).shape, tuple(weight), draft.node(dy).shape, node.attributes, keep_images=True)
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
                        t, b = rows_of(slab, g)
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
    t, b = rows_of(slab, g)
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
