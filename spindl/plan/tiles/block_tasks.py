"""Tasks of contractions in blocks: see blocks.py for the cuts."""

from __future__ import annotations

import itertools
from dataclasses import replace

from spindl.plan.draft import Draft
from spindl.plan.errors import PlanError, TooLarge
from spindl.plan.jobs import Job
from spindl.plan.task import At, Call, Move, Regions, Task, pieces
from spindl.plan.tiles.blocks import (
    BACKWARD,
    FORWARD,
    NOTHING,
    WEIGHTS,
    Cut,
    Rated,
    Tensor,
    block_moves,
    choose,
    column_unit,
    matrix_moves,
    one_dy,
    seen,
    spans,
    widen,
)
from spindl.plan.tiles.geometry import Geometry, contraction_words, geometry, with_scratch
from spindl.program.kernels.contraction import FLAGS

_Span = tuple[int, int]
_Tile = tuple[_Span, _Span, _Span]
"""Channels, rows and columns of a tile; of a weight gradient outputs, inputs and nothing."""
LARGE = 1 << 20
"""Products of an image from which on blocks are worth their longer search."""


def _image_geometry(draft: Draft, job: Job) -> tuple[Geometry, str]:
    """Geometry of one image, and the kernel."""
    assert job.rounding is not None
    node = draft.node(job.rounding.producer)
    a, shapes = node.attributes, [draft.node(i).shape for i in node.inputs]
    if node.op == FORWARD:
        x, w, y = shapes[0], shapes[1], node.shape
    elif node.op == BACKWARD:
        x, w, y = node.shape, shapes[1], shapes[0]
    else:
        x, w, y = shapes[1], tuple(a["weight_shape"]), shapes[0]
    return geometry((1, *x[1:]), w, (1, *y[1:]), a, keep_images=True), node.op


def in_blocks(draft: Draft, job: Job) -> bool:
    """Whether a contraction is cut in blocks: large ones of a single image."""
    assert job.rounding is not None
    g, op = _image_geometry(draft, job)
    images = draft.node(job.rounding.producer).inputs[0]
    if op == WEIGHTS and draft.narrow:
        return True
    macs = g.y_rows * g.y_columns * g.outputs * g.inputs * g.taps
    single = g.groups == 1 and draft.node(images).shape[0] == 1
    even = g.outputs % 2 == 0 and (g.inputs % 2 == 0 or (g.x_columns % 2 == 0 and op != BACKWARD))
    return single and even and macs >= LARGE


def _cut(draft: Draft, job: Job, g: Geometry, direction: str, narrow: bool = False) -> Rated:
    assert job.rounding is not None
    rated = choose(g, direction, draft.limits.tile, draft.limits.cores, narrow, draft.per_byte)
    if isinstance(rated, int):
        name = draft.node(job.rounding.producer).name
        if rated == NOTHING:
            raise PlanError("blocks of odd channels are no whole words", name, "use even numbers of channels")
        raise TooLarge("the smallest tile does not fit a core", name, "use fewer channels", rated, draft.limits.tile)
    return rated


def _positions(rows: int, columns: int, cut: Cut, unit: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Ranges of rows and columns of the tiles."""
    return list(itertools.product(spans(rows, cut.rows), spans(columns, cut.columns, unit)))


def block_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Outputs, or gradients of inputs, of one image."""
    assert job.rounding is not None
    r = job.rounding
    g, direction = _image_geometry(draft, job)
    back = direction == BACKWARD
    rated = _cut(draft, job, g, direction)
    cut = rated.cut
    operand, w = draft.node(r.producer).inputs
    x, y = Tensor(g.x_rows, g.x_columns, g.x_channels), Tensor(g.y_rows, g.y_columns, g.y_channels)
    source, target = (y, x) if back else (x, y)
    from_name, to_name = ("y", "x") if back else ("x", "y")
    stored, weights = draft.keep(r.requantise), draft.place(w).buffer
    place = draft.place(operand).buffer
    common = contraction_words(draft, job, g)
    bias = draft.node(r.bias).inputs[1] if r.bias is not None else None
    if bias is not None:
        common["bias_exponent"] = draft.exponent(bias)
    depths = pieces(0, source.channels, cut.depth)
    product = cut.rows * cut.columns * cut.channels * source.channels * g.taps
    positions = _positions(target.rows, target.columns, cut, column_unit(target.columns, cut.columns, target.channels))
    parts = pieces(0, target.channels, cut.channels)
    if len(depths) > 1:
        strips = _chains([(part, *position) for part in parts for position in positions], cut.strip)
    else:
        strips = [strip for part in parts for strip in _chains([(part, *each) for each in positions], cut.strip)]
    tasks = []
    for strip in strips:
        regions, calls, turn = Regions(), list[Call](), 0
        words: dict[str, int | At] = {**common}
        for place_turn, ((c0, c1), rows, columns) in enumerate(strip):
            first: tuple[Move, ...] = ()
            if bias is not None:
                side = place_turn % 2
                load, words["bias"] = regions.load(f"bias{side}", draft.place(bias).buffer, 4 * c0, 4 * (c1 - c0))
                first = (load,)
            (r0, r1), (q0, q1) = rows, columns
            met = seen(g, direction, r0, r1, True)
            met_columns = widen(*seen(g, direction, q0, q1, False), source.columns, source.channels)
            if back:
                top = met[0] * g.rows["stride"] - g.rows["padding"] - r0
                left = met_columns[0] * g.columns["stride"] - g.columns["padding"] - q0
            else:
                top = r0 * g.rows["stride"] - g.rows["padding"] - met[0]
                left = q0 * g.columns["stride"] - g.columns["padding"] - met_columns[0]
            shape: dict[str, int | At] = {
                "images": 1,
                "top": top,
                "left": left,
                f"{from_name}_rows": met[1] - met[0],
                f"{from_name}_columns": met_columns[1] - met_columns[0],
                f"{to_name}_rows": r1 - r0,
                f"{to_name}_columns": q1 - q0,
            }
            pixels = (r1 - r0) * (q1 - q0)
            name = to_name if len(depths) > 1 else f"{to_name}{place_turn % 2}"  # stored long before the next rounding
            out = regions.at(name, 2 * pixels * (c1 - c0) + 8)
            saves = block_moves(stored.buffer, target, 0, rows, columns, (c0, c1), out)
            sums = regions.at("sums", 8 * pixels * (c1 - c0)) if len(depths) > 1 else out
            for k, (d0, d1) in enumerate(depths):
                side = turn % 2
                turn += 1
                size = 2 * (met[1] - met[0]) * (met_columns[1] - met_columns[0]) * (d1 - d0)
                at_in = regions.at(f"{from_name}{side}", size + 4)
                loads = block_moves(place, source, 0, met, met_columns, (d0, d1), at_in)
                outer, inner = ((d0, d1), (c0, c1)) if back else ((c0, c1), (d0, d1))
                at_w = regions.at("w" if len(depths) == 1 else f"w{side}", _even(outer, inner, g.taps))
                if len(depths) > 1 or place_turn == 0:
                    loads = (*matrix_moves(weights, at_w, outer, g.taps, inner, g.inputs), *loads)
                flags = (FLAGS["SUMS"] | (FLAGS["ADD"] if k else 0)) if len(depths) > 1 else words["flags"]
                call = {**words, **shape, from_name: at_in, to_name: sums, "w": at_w, "flags": flags}
                call |= {"inputs": inner[1] - inner[0], "outputs": outer[1] - outer[0]}
                call |= {"x_pitch": inner[1] - inner[0], "y_pitch": outer[1] - outer[0]}
                if len(depths) > 1:
                    call["bias"] = 0
                    loads = _early(calls, loads) if k == 0 else loads
                stores = saves if len(depths) == 1 else ()
                calls.append(Call(direction, r.requantise, call, (*first, *loads), stores))
                first = ()
            if len(depths) > 1:
                calls.append(_round(r.requantise, words, sums, out, pixels, c1 - c0, saves))
        made = with_scratch(direction, calls, regions)
        tasks.append(Task(number, made, regions.sizes, cost=len(strip) * product))
    return tasks


def _early(calls: list[Call], loads: tuple[Move, ...]) -> tuple[Move, ...]:
    """The first loads of a tile, if it is the first of its task; otherwise they come with the rounding before it.

    A rounding is short and has no loads of its own, so that these come beside the kernel before it. Their regions are
    those of the kernel before that one.
    """
    if not calls:
        return loads
    calls[-1] = replace(calls[-1], loads=loads)
    return ()


def _chains(tiles: list[_Tile], most: int) -> list[list[_Tile]]:
    """Tiles in their order, dealt to tasks of nearly equal length."""
    return [tiles[a:b] for a, b in spans(len(tiles), most)]


def _even(outer: tuple[int, int], inner: tuple[int, int], taps: int) -> int:
    """Bytes of a tile of weights, as whole words."""
    return -(-2 * (outer[1] - outer[0]) * taps * (inner[1] - inner[0]) // 4) * 4


def _round(
    node: int, words: dict[str, int | At], sums: At, y: At, rows: int, columns: int, saves: tuple[Move, ...]
) -> Call:
    keys = ("first_exponent", "second_exponent", "bias", "bias_exponent", "site", "bits", "flags")
    arguments: dict[str, int | At] = {key: words[key] for key in keys}
    arguments |= {"sums": sums, "y": y, "rows": rows, "columns": columns, "y_pitch": columns}
    return replace(Call("round_sums", node, arguments), stores=saves)


def weight_block_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradients of weights of one image, rounded: int32, or int16 where the draft wants them narrow."""
    assert job.rounding is not None and job.rounding.summed is not None
    target = job.rounding.summed
    g, direction = _image_geometry(draft, job)
    narrow = draft.narrow
    if g.groups > 1:
        raise PlanError("int16 gradients of grouped convolutions", draft.node(target).name, "use groups=1")
    rated = _cut(draft, job, g, WEIGHTS, narrow)
    cut = rated.cut
    dy, operand = draft.node(job.rounding.producer).inputs
    x, y = Tensor(g.x_rows, g.x_columns, g.x_channels), Tensor(g.y_rows, g.y_columns, g.y_channels)
    stored, size = draft.keep(target, narrow=narrow), 2 if narrow else 4
    places = draft.place(operand).buffer, draft.place(dy).buffer
    common = contraction_words(draft, job, g)
    positions = _positions(y.rows, y.columns, cut, column_unit(y.columns, cut.columns, y.channels))
    several = len(positions) > 1
    outer, inner = pieces(0, g.outputs, cut.channels), pieces(0, g.inputs, cut.depth)
    tiles: list[list[_Tile]] = [[(o, i, (0, 0)) for i in inner] for o in outer]
    one = one_dy(len(positions), draft.limits.cores)
    if not one:
        tiles = [list(itertools.chain(*tiles))]
    tasks = []
    for strip in (strip for row in tiles for strip in _chains(row, cut.strip)):
        regions, calls, turn, y_side = Regions(), list[Call](), 0, 1 if one else 0
        for place_turn, (outputs, inputs, _) in enumerate(strip):
            again = not several and place_turn > 0 and strip[place_turn - 1][0] == outputs  # dy is there already
            y_side ^= not again
            o, i = outputs[1] - outputs[0], inputs[1] - inputs[0]
            n = o * i * g.taps
            out = regions.at("w" if several else f"w{place_turn % 2}", size * n + 4)
            saves = matrix_moves(stored.buffer, out, outputs, g.taps, inputs, g.inputs, size)
            sums = regions.at("sums", 8 * n) if several else out
            for place, (rows, columns) in enumerate(positions):
                side = turn % 2
                turn += 1
                met = seen(g, WEIGHTS, *rows, True)
                met_columns = widen(*seen(g, WEIGHTS, *columns, False), x.columns, x.channels)
                x_pixels = (met[1] - met[0]) * (met_columns[1] - met_columns[0])
                y_pixels = (rows[1] - rows[0]) * (columns[1] - columns[0])
                at_x = regions.at(f"x{side}", 2 * x_pixels * i + 4)
                at_y = regions.at(f"y{side if several else y_side}", 2 * y_pixels * o + 4)
                loads = block_moves(places[0], x, 0, met, met_columns, inputs, at_x)
                if not again:
                    loads += block_moves(places[1], y, 0, rows, columns, outputs, at_y)
                flags = FLAGS["NARROW"] if narrow else 0
                if several:
                    flags = FLAGS["SUMS"] | (FLAGS["ADD"] if place else 0)
                    loads = _early(calls, loads) if place == 0 else loads
                call: dict[str, int | At] = {
                    **common,
                    "images": 1,
                    "x": at_x,
                    "y": at_y,
                    "w": sums,
                    "x_rows": met[1] - met[0],
                    "x_columns": met_columns[1] - met_columns[0],
                    "y_rows": rows[1] - rows[0],
                    "y_columns": columns[1] - columns[0],
                    "top": rows[0] * g.rows["stride"] - g.rows["padding"] - met[0],
                    "left": columns[0] * g.columns["stride"] - g.columns["padding"] - met_columns[0],
                    "inputs": i,
                    "outputs": o,
                    "x_pitch": i,
                    "y_pitch": o,
                    "flags": flags,
                }
                calls.append(Call(direction, target, call, loads, () if several else saves))
            if several and narrow:
                calls.append(_round(target, {**common, "flags": 0}, sums, out, o * g.taps, i, saves))
            elif several:
                keys = ("first_exponent", "second_exponent", "site", "bits")
                finish: dict[str, int | At] = {key: common[key] for key in keys}
                finish |= {"sums": sums, "y": out, "count": n, "flags": 0}
                calls.append(Call("add_rounded_sums", target, finish, (), saves))
        made = with_scratch(direction, calls, regions)
        cost = len(strip) * cut.channels * cut.depth * g.taps * g.y_rows * g.y_columns
        tasks.append(Task(number, made, regions.sizes, cost=cost))
    return tasks
