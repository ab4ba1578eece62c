"""Contractions too large for whole rows: blocks of rows, columns and channels, and the sums over channels in pieces.

One image at a time. A tile of the result is `channels` x `rows` x `columns` (of a weight gradient: outputs x inputs).
What is summed over comes whole, or in pieces whose exact sums (int64) stay in DTCM until the last one rounds them:
channels of the operands, or of a weight gradient blocks of rows. Every cut that fits is rated by the kernels' own
cycles, the runtime's cost of its steps and transfers, and the bytes it moves.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from spindl.machine import CHIP
from spindl.plan.ask import cycles, scratch_bytes
from spindl.plan.layout import aligned, granule
from spindl.plan.task import At, Move
from spindl.plan.tiles.geometry import Geometry
from spindl.plan.tiles.space import rows_seen, windows_over
from spindl.program import costs
from spindl.program.kernels import KERNELS
from spindl.program.kernels.contraction import FLAGS
from spindl.program.schedule import STEP, TRANSFER

ROOM = 160
"""Bytes kept free for words around unaligned loads."""
MOST_MOVES = 13
"""Transfers of one load: a step's block has room for about 30."""
_ENGINE = CHIP.dma_bandwidth.value / CHIP.clock.value
_SDRAM = CHIP.sdram_bandwidth.value / CHIP.clock.value
ROUNDING = 30
"""Cycles of rounding one int64 sum: kernels/cost/contraction.c."""
NOTHING = 1 << 60
"""Bytes of a tile where no cut is possible at all."""
FORWARD, BACKWARD, WEIGHTS = "convolution", "convolution_input_gradient", "convolution_weight_gradient"


Span = tuple[int, int]


@dataclass(frozen=True)
class Tensor:
    """Images in memory: [image][row][column][channel], int16."""

    rows: int
    columns: int
    channels: int


@dataclass(frozen=True)
class Cut:
    """How a contraction is cut: the result's channels of a tile, its rows and columns, what is summed at a time.

    Attributes:
        channels: of the result; of a weight gradient its outputs.
        rows, columns: of the result; of a weight gradient those of dy that are summed at a time.
        depth: channels summed over at a time; of a weight gradient the inputs of a tile.
        strip: tiles of one task, one behind the other: of the same channels where all are summed at once.
    """

    channels: int
    rows: int
    columns: int
    depth: int
    strip: int = 1


def spans(total: int, most: int, unit: int = 1) -> list[tuple[int, int]]:
    """Nearly equal ranges of at most `most` that begin at multiples of a unit."""
    parts = -(-total // most)
    units = -(-total // unit)
    edges = [units * k // parts * unit for k in range(parts)] + [total]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def seen(g: Geometry, direction: str, first: int, last: int, rows: bool) -> tuple[int, int]:
    """Rows (or columns) of the gathered operand that a range of the result (of a weight gradient: of dy) meets."""
    side = g.rows if rows else g.columns
    if direction == BACKWARD:
        return windows_over(first, last, outputs=g.y_rows if rows else g.y_columns, **side)
    return rows_seen(first, last, height=g.x_rows if rows else g.x_columns, **side)


def pixel_unit(channels: int) -> int:
    """Pixels that make whole words."""
    return granule(2 * channels)


def widen(first: int, last: int, total: int, channels: int) -> tuple[int, int]:
    """The same columns and those around them that make whole words."""
    unit = pixel_unit(channels)
    return first // unit * unit, min(total, -(-last // unit) * unit)


def block_moves(
    buffer: str,
    t: Tensor,
    image: int,
    rows: tuple[int, int],
    columns: tuple[int, int],
    channels: tuple[int, int],
    at: At,
) -> tuple[Move, ...]:
    """Transfers between a block of an image in memory and its dense copy in DTCM."""
    (r0, r1), (c0, c1), (k0, k1) = rows, columns, channels
    size, pixel = 2 * (k1 - k0), 2 * t.channels
    start = (image * t.rows + r0) * t.columns * pixel
    if k1 - k0 == t.channels:
        row, pitch = (c1 - c0) * pixel, t.columns * pixel
        first = start + c0 * pixel
        if c1 - c0 == t.columns or r1 - r0 == 1:
            total = (r1 - r0) * row
            return (Move(buffer, first, at, -(-total // 4) * 4),)
        return (Move(buffer, first, at, row, r1 - r0, pitch, row),)
    if c1 - c0 == t.columns or r1 - r0 == 1:
        return (Move(buffer, start + c0 * pixel + 2 * k0, at, size, (r1 - r0) * (c1 - c0), pixel, size),)
    return tuple(
        Move(
            buffer,
            start + (r * t.columns + c0) * pixel + 2 * k0,
            at.plus(r * (c1 - c0) * size),
            size,
            c1 - c0,
            pixel,
            size,
        )
        for r in range(r1 - r0)
    )


def block_shape(t: Tensor, rows: int, columns: int, channels: int) -> tuple[int, int]:
    """(transfers, rows of bytes) of the moves of such a block."""
    whole = columns == t.columns or rows == 1
    if channels == t.channels:
        return 1, 1 if whole else rows
    return (1, rows * columns) if whole else (rows, rows * columns)


def matrix_moves(
    buffer: str, at: At, outer: tuple[int, int], taps: int, inner: tuple[int, int], inputs: int, size: int = 2
) -> tuple[Move, ...]:
    """Transfers of weights [outer][taps][inner] out of [outputs][taps][inputs]; size: bytes of an element."""
    (o0, o1), (i0, i1) = outer, inner
    row, width = inputs * size, (i1 - i0) * size
    start = o0 * taps * row + i0 * size
    if i1 - i0 == inputs:
        return (Move(buffer, start, at, -(-(o1 - o0) * taps * row // 4) * 4),)
    return (Move(buffer, start, at, width, (o1 - o0) * taps, row, width),)


def whole_words(t: Tensor, columns: int, channels: int) -> bool:
    """Whether blocks of so many columns and channels are whole words in memory."""
    if channels == t.channels:
        return (columns == t.columns and (t.rows * columns * 2 * channels) % 4 == 0) or columns * channels % 2 == 0
    return channels % 2 == 0 and t.channels % 2 == 0


# --- choosing --------------------------------------------------------------------------------------------------------


def _sizes(total: int, least: int = 1) -> list[int]:
    """Even parts of a number, and all of it; 13 and 26 for chips whose other cores communicate."""
    parts = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 20, 24, 26, 28, 32, 40, 48, 56, 64, 96, 128, 192, 256)
    sizes = {-(-total // k) for k in parts if k <= total}
    if total % 2 == 0:
        sizes = {size + size % 2 for size in sizes}
    return sorted(size for size in sizes if size >= min(least, total))


def _divisors(total: int, least: int) -> list[int]:
    """Even divisors, and the number itself."""
    return sorted({total, *(d for d in range(least, total) if total % d == 0 and d % 4 == 0)})


def column_unit(total: int, columns: int, channels: int) -> int:
    """Columns of tiles begin at multiples of four, if tiles are so, and at whole words."""
    if columns == total:
        return 1
    return 4 if columns % 4 == 0 else pixel_unit(channels)


def _length(span: Span) -> int:
    return span[1] - span[0]


def words_of(g: Geometry, direction: str, rows: int, columns: int) -> dict[str, int]:
    """Arguments of the largest tile, for asking what it costs."""
    back = direction == BACKWARD
    met, before = [], []
    for side, total, size, is_row in (
        (g.rows, g.x_rows if back else g.y_rows, rows, True),
        (g.columns, g.x_columns if back else g.y_columns, columns, False),
    ):
        unit = 1 if is_row else column_unit(total, size, g.x_channels if back else g.y_channels)
        tiles = spans(total, size, unit)
        first, last = max(
            tiles, key=lambda tile: (_length(seen(g, direction, tile[0], tile[1], is_row)), _length(tile))
        )
        start, stop = seen(g, direction, first, last, is_row)
        met.append(stop - start)
        to, of = (first, start) if back else (start, first)
        before.append(of * side["stride"] - side["padding"] - to)
    result, gathered = ("x", "y") if back else ("y", "x")
    return {
        f"{result}_rows": rows,
        f"{result}_columns": columns,
        f"{gathered}_rows": met[0],
        f"{gathered}_columns": met[1],
        "images": 1,
        "groups": 1,
        "kernel_rows": g.kernel[0],
        "kernel_columns": g.kernel[1],
        "stride_rows": g.rows["stride"],
        "stride_columns": g.columns["stride"],
        "dilation_rows": g.rows["dilation"],
        "dilation_columns": g.columns["dilation"],
        "top": before[0],
        "left": before[1],
    }


@dataclass(frozen=True)
class Rated:
    """A cut and what it takes: predicted cycles of the phase, bytes of a task."""

    score: float
    cut: Cut
    needed: int


def block_bytes(kernel: str, transfers: int) -> int:
    """Bytes of a step in the schedule of a core."""
    words = len(KERNELS[kernel].arguments) if kernel else 0
    return STEP.layout.size + TRANSFER.layout.size * transfers + 4 * words


@lru_cache(maxsize=4096)
def _kernel(direction: str, items: tuple[tuple[str, int], ...]) -> int:
    return cycles(direction, dict(items))


def _call(direction: str, words: dict[str, int], moves: tuple[int, int], size: int, cores: int) -> tuple[float, float]:
    """Cycles of one step, the kernel beside its transfers; bytes per cycle of a core's DMA meanwhile."""
    transfers, rows = moves
    own = _kernel(direction, tuple(sorted(words.items()))) + costs.step(True, transfers, 0, rows)
    others = min(1.0, size * cores / _SDRAM / own) * (cores - 1) / cores
    rate = min(_ENGINE, max(_SDRAM / cores, _SDRAM * (1 - others)))
    return max(own, rows * CHIP.sdram_latency.value + size / rate), rate


def _cuts(g: Geometry, direction: str) -> Iterator[tuple[int, int]]:
    """Rows and columns of tiles to try: all columns, or a part of them."""
    height, width = (g.x_rows, g.x_columns) if direction == BACKWARD else (g.y_rows, g.y_columns)
    for columns in _sizes(width, 4):
        for rows in _sizes(height) if columns * height > 16 else [height]:
            if 4 <= rows * columns <= 1024 or (rows, columns) == (height, width):
                yield rows, columns


@lru_cache(maxsize=1024)
def choose(g: Geometry, direction: str, tile: int, cores: int, narrow: bool, per_byte: int = 0) -> Rated | int:
    """The best cut; the bytes of the smallest if none fits.

    Args:
        g: the contraction, one image.
        direction: the kernel.
        tile: bytes of DTCM of a task.
        cores: that share the tiles.
        narrow: whether a weight gradient is stored as int16.
        per_byte: cycles that a byte of a core's schedule is worth.
    """
    rate = _rate_weights if direction == WEIGHTS else _rate
    best: Rated | None = None
    least = NOTHING
    for rows, columns in _cuts(g, direction):
        for rated in rate(g, direction, rows, columns, tile, cores, narrow, per_byte):
            if rated.needed > tile:
                least = min(least, rated.needed)
            elif best is None or rated.score < best.score:
                best = rated
    return best if best is not None else least


def _rate(
    g: Geometry, direction: str, rows: int, columns: int, tile: int, cores: int, narrow: bool, per_byte: int
) -> Iterator[Rated]:
    """Cuts of outputs or of their inputs' gradient into these rows and columns."""
    x, y = Tensor(g.x_rows, g.x_columns, g.x_channels), Tensor(g.y_rows, g.y_columns, g.y_channels)
    back = direction == BACKWARD
    source, target = (y, x) if back else (x, y)
    base = words_of(g, direction, rows, columns)
    (in_rows, in_columns) = (base["y_rows"], base["y_columns"]) if back else (base["x_rows"], base["x_columns"])
    in_columns = min(source.columns, in_columns + 2 * (pixel_unit(source.channels) - 1))
    count = -(-target.rows // rows) * -(-target.columns // columns)
    covered = target.rows * target.columns / (count * rows * columns)  # tiles are smaller than the largest, on average
    for depth in _divisors(source.channels, 16):
        n = source.channels // depth
        moves_in = block_shape(source, in_rows, in_columns, depth)
        if moves_in[0] > MOST_MOVES or not whole_words(source, in_columns, depth):
            continue
        in_bytes = in_rows * in_columns * depth * 2
        if 2 * in_bytes > tile:
            yield Rated(0, Cut(0, rows, columns, depth), 2 * in_bytes)
            continue
        for channels in _sizes(target.channels, 4):
            moves_out = block_shape(target, rows, columns, channels)
            if moves_out[0] > MOST_MOVES or not whole_words(target, columns, channels):
                continue
            inner, outer = (channels, depth) if back else (depth, channels)
            w_bytes = 2 * inner * outer * g.taps
            w_moves = 1 if inner == g.inputs else outer * g.taps
            out = rows * columns * channels
            flags = FLAGS["SUMS"] if n > 1 else 0
            words = {**base, "inputs": inner, "outputs": outer, "flags": flags}
            words |= {"x_pitch": inner, "y_pitch": outer}
            needed = 2 * aligned(in_bytes) + aligned(w_bytes) * (2 if n > 1 else 1)
            needed += (aligned(2 * out) + aligned(8 * out) if n > 1 else 2 * aligned(2 * out)) + ROOM
            if needed > tile:
                yield Rated(0, Cut(channels, rows, columns, depth), needed)
                continue
            needed += aligned(scratch_bytes(direction, words))
            if needed > tile:
                yield Rated(0, Cut(channels, rows, columns, depth), needed)
                continue
            parts = -(-target.channels // channels)
            store = costs.step(True, 0, *moves_out) - costs.step(True, 0, 0, 0)
            tiles = parts * count if n > 1 else count
            if n > 1:
                adding = {**words, "flags": flags | FLAGS["ADD"]}
                moves = (moves_in[0] + 1, moves_in[1] + w_moves)
                call, rate = _call(direction, adding, moves, in_bytes + w_bytes, cores)
                call = n * covered * call + covered * out * ROUNDING + costs.step(True, 0, 0, 0)
                call += per_byte * (n * block_bytes(direction, moves[0]) + block_bytes("round_sums", moves_out[0]))
                load = (in_bytes + w_bytes) / rate
            else:
                call, rate = _call(direction, words, moves_in, in_bytes + 2 * out, cores)
                call = covered * call + per_byte * block_bytes(direction, moves_in[0] + moves_out[0])
                load = (w_bytes + in_bytes) / rate + w_moves * costs.ROW
            for strip in _strips(tiles, 1 if n > 1 else parts, cores):
                tasks = -(-tiles // strip) * (1 if n > 1 else parts)
                turns = -(-tasks // cores)
                score = turns * (strip * (call + store) + load) + (w_bytes + in_bytes) * (cores - 1) / _SDRAM
                yield Rated(score, Cut(channels, rows, columns, depth, strip), needed)


def _strips(tiles: int, parts: int, cores: int) -> list[int]:
    """Tiles of a task to try: so that each core has one to four tasks."""
    return sorted({min(tiles, max(1, -(-tiles * parts // (cores * k)))) for k in (1, 2, 3, 4)} | {1})


def one_dy(positions: int, cores: int) -> bool:
    """Whether a task of weight gradients has one block of dy, that stays: its room makes tiles larger. Not where
    several cores share the tiles: there they wait for each task's dy, and end unequally (13 cores: 4.95 instead of
    4.97 images/s of ResNet-50 on 47 chips, as planned)."""
    return positions == 1 and cores == 1


def _rate_weights(
    g: Geometry, direction: str, rows: int, columns: int, tile: int, cores: int, narrow: bool, per_byte: int
) -> Iterator[Rated]:
    """Cuts of weight gradients, summed over blocks of these rows and columns of dy."""
    x, y = Tensor(g.x_rows, g.x_columns, g.x_channels), Tensor(g.y_rows, g.y_columns, g.y_channels)
    base = words_of(g, direction, rows, columns)
    in_columns = min(x.columns, base["x_columns"] + 2 * (pixel_unit(x.channels) - 1))
    count = -(-y.rows // rows) * -(-y.columns // columns)
    covered = y.rows * y.columns / (count * rows * columns)
    size = 2 if narrow else 4
    stays = one_dy(count, cores)
    for inputs in _divisors(g.inputs, 8):
        x_moves = block_shape(x, base["x_rows"], in_columns, inputs)
        x_bytes = base["x_rows"] * in_columns * inputs * 2
        if x_moves[0] > MOST_MOVES or not whole_words(x, in_columns, inputs):
            continue
        if 2 * x_bytes > tile:
            yield Rated(0, Cut(0, rows, columns, inputs), 2 * x_bytes)
            continue
        for outputs in _sizes(g.outputs, 2):
            y_moves = block_shape(y, rows, columns, outputs)
            if y_moves[0] > MOST_MOVES or not whole_words(y, columns, outputs):
                continue
            y_bytes, n = rows * columns * outputs * 2, outputs * inputs * g.taps
            flags = FLAGS["SUMS"] if count > 1 else FLAGS["NARROW"] if narrow else 0
            words = {
                **base,
                "inputs": inputs,
                "outputs": outputs,
                "x_pitch": inputs,
                "y_pitch": outputs,
                "flags": flags,
            }
            needed = 2 * aligned(x_bytes) + (1 if stays else 2) * aligned(y_bytes) + ROOM
            needed += aligned(size * n + 4) + (aligned(8 * n) if count > 1 else aligned(size * n + 4))
            if needed <= tile:
                needed += aligned(scratch_bytes(direction, words))
            if needed > tile:
                yield Rated(0, Cut(outputs, rows, columns, inputs), needed)
                continue
            parts, chains = -(-g.outputs // outputs) * (g.inputs // inputs), 1
            if stays:
                parts, chains = g.inputs // inputs, -(-g.outputs // outputs)
            # a single core has the smaller last outputs as well; of several, those with full tiles count
            filled = g.outputs / (-(-g.outputs // outputs) * outputs) if cores == 1 else 1.0
            adding = {**words, "flags": flags | (FLAGS["ADD"] if count > 1 else 0)}
            rows_out = 1 if inputs == g.inputs else outputs * g.taps
            store = costs.step(True, 0, 1, rows_out) - costs.step(True, 0, 0, 0)
            for strip in _strips(parts, chains, cores):
                often = 1 if count > 1 else min(strip, g.inputs // inputs)  # tiles that a block of dy stays for
                moves = (x_moves[0] + y_moves[0] // often, x_moves[1] + y_moves[1] // often)
                call, rate = _call(direction, adding, moves, x_bytes + y_bytes // often, cores)
                one = filled * covered * count * call + store
                one += per_byte * (count * block_bytes(direction, moves[0]) + block_bytes("", 1))
                one += n * ROUNDING + costs.step(True, 0, 0, 0) if count > 1 else 0
                tasks = -(-parts // strip) * chains
                turns = -(-tasks // cores)
                load = (x_bytes + y_bytes) / rate
                score = turns * (strip * one + load) + (x_bytes + y_bytes) * (cores - 1) / _SDRAM
                yield Rated(score, Cut(outputs, rows, columns, inputs, strip), needed)
