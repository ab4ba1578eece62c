"""Pooling kernels equal their ops on every slab of rows, with strides, paddings, dilations and odd sizes."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format, GraphError, Node
from spindl.graph.layers import infer
from tests.kernels.cases import (
    Random,
    both,
    channels_last,
    expect,
    mantissas,
    meaning,
    rounded,
    rounding_words,
    site_near,
    value,
)
from tests.kernels.harness import run


def _window(random: Random) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape of x and attributes of a max pooling whose every window sees a cell of the image."""
    while True:
        kernel = [int(v) for v in random.integers(1, 4, 2)]
        dilation = [int(v) for v in random.integers(1, 3, 2)]
        stride = [int(v) for v in random.integers(1, 4, 2)]
        padding = [[int(v) for v in random.integers(0, k // 2 + 1, 2)] for k in kernel]
        shape = tuple(int(v) for v in (random.integers(1, 3), random.integers(1, 5), *random.integers(1, 8, 2)))
        a = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil_mode": False}
        with suppress(GraphError):  # a window may be larger than the image, or see nothing but padding
            if min(_outputs(shape, a)) > 0:
                return shape, a


def _outputs(shape: tuple[int, ...], a: dict[str, Any]) -> tuple[int, int]:
    node = Node("input", (), {}, shape, Format("int16", 15), "", "")
    height, width = infer("max_pool", [node], a)[2:]
    return height, width


def _seen(size: int, a: dict[str, Any], axis: int, output: int) -> list[int]:
    """Cells of the image that a window sees along an axis."""
    first = output * a["stride"][axis] - a["padding"][axis][0]
    cells = [first + k * a["dilation"][axis] for k in range(a["kernel"][axis])]
    return [cell for cell in cells if 0 <= cell < size]


def _words(shape: tuple[int, ...], a: dict[str, Any]) -> dict[str, int]:
    words = {"images": shape[0], "channels": shape[1], "height": shape[2], "width": shape[3]}
    for axis, name in enumerate(("height", "width")):
        words |= {f"kernel_{name}": a["kernel"][axis], f"stride_{name}": a["stride"][axis]}
        words |= {f"dilation_{name}": a["dilation"][axis]}
    return words | {"padding_top": a["padding"][0][0], "padding_left": a["padding"][1][0]}


@both("max_pool")
def test_max_pool(random: Random, where: str) -> None:
    shape, a = _window(random)
    x = mantissas(random, shape)
    outputs = _outputs(shape, a)
    exact = meaning("max_pool", value(x), shape=(*shape[:2], *outputs), **a).mantissa
    first = int(random.integers(0, outputs[0]))
    last = int(random.integers(first, outputs[0])) + 1
    rows = [row for o in range(first, last) for row in _seen(shape[2], a, 0, o)]
    slab = channels_last(x[:, :, min(rows) : max(rows) + 1])
    y = np.zeros((shape[0], last - first, outputs[1], shape[1]), np.int16)
    arguments = _words(shape, a) | {"first_row": min(rows), "rows": slab.shape[1], "first_output": first}
    arguments |= {"outputs": last - first, "output_width": outputs[1]}
    shift = {"x": 2 * int(random.integers(0, 2)), "y": 2 * int(random.integers(0, 2))}
    result = run("max_pool", arguments, {"x": slab, "y": y}, where=where, shift=shift)
    expect(result, "y", channels_last(exact[:, :, first:last]))
    if slab.shape[1] > 1:  # a slab that is a row short
        assert run("max_pool", arguments | {"rows": slab.shape[1] - 1}, {"x": slab, "y": y}, where=where).error == 1


@both("max_pool_gradient")
def test_max_pool_gradient(random: Random, where: str) -> None:
    """A tile of dx's rows from the windows that see it; few different values, so that maxima tie."""
    shape, a = _window(random)
    x = mantissas(random, shape) if random.integers(2) else random.integers(-1, 2, shape).astype(np.int16)
    outputs = _outputs(shape, a)
    dy, exponent = mantissas(random, (*shape[:2], *outputs)), int(random.integers(-40, 20))
    whole = meaning("max_pool_gradient", value(dy, exponent), value(x), shape=shape, **a)
    top = int(random.integers(0, shape[2]))
    bottom = int(random.integers(top, shape[2])) + 1
    wide = value(whole.mantissa[:, :, top:bottom], exponent)
    touching = [o for o in range(outputs[0]) if any(top <= row < bottom for row in _seen(shape[2], a, 0, o))]
    first, last = (min(touching), max(touching) + 1) if touching else (0, 0)
    rows = [row for o in range(first, last) for row in _seen(shape[2], a, 0, o)] or [0]
    slab = channels_last(x[:, :, min(rows) : max(rows) + 1])
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    buffers: dict[str, NDArray[Any]] = {"dy": channels_last(dy[:, :, first:last]), "x": slab}
    buffers |= {"dx": np.zeros(exact.size, np.int16), "scratch": np.zeros(exact.size // shape[0], np.int32)}
    arguments = _words(shape, a) | {"first_row": min(rows), "rows": slab.shape[1], "first_output": first}
    arguments |= {"outputs": last - first, "output_width": outputs[1], "first_dx_row": top, "dx_rows": bottom - top}
    result = run(
        "max_pool_gradient", {**arguments, "dy_exponent": 0, **words}, buffers, [exponent], [site, site], where
    )
    expect(result, "dx", channels_last(exact), (site, after))


def _ranges(random: Random, size: int) -> tuple[tuple[int, int], ...]:
    """Windows along an axis: adaptive, strided, or any."""
    count = int(random.integers(1, 5))
    if random.integers(2):
        return tuple((o * size // count, -(-(o + 1) * size // count)) for o in range(count))
    starts = [int(v) for v in random.integers(0, size, count)]
    return tuple((start, int(random.integers(start + 1, size + 1))) for start in starts)


def _average(random: Random) -> tuple[tuple[int, ...], dict[str, Any]]:
    shape = tuple(int(v) for v in (random.integers(1, 3), random.integers(1, 20), *random.integers(1, 7, 2)))
    a = {"rows": _ranges(random, shape[2]), "columns": _ranges(random, shape[3])}
    return shape, a | {"divisor": int(random.integers(1, 20)) if random.integers(2) else None}


@both("window_sum")
def test_window_sum(random: Random, where: str) -> None:
    shape, a = _average(random)
    x, exponent = mantissas(random, shape), int(random.integers(-40, 20))
    whole = meaning("window_sum", value(x, exponent), **a)
    first = int(random.integers(0, len(a["rows"])))
    last = int(random.integers(first, len(a["rows"]))) + 1
    wide = value(whole.mantissa[:, :, first:last], whole.exponent)
    top, bottom = min(r[0] for r in a["rows"][first:last]), max(r[1] for r in a["rows"][first:last])
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    buffers: dict[str, NDArray[Any]] = {"x": channels_last(x[:, :, top:bottom]), "y": np.zeros(exact.size, np.int16)}
    buffers |= {"row_windows": np.array(a["rows"], np.uint16), "column_windows": np.array(a["columns"], np.uint16)}
    arguments = {"images": shape[0], "channels": shape[1], "width": shape[3], "first_row": top, "rows": bottom - top}
    arguments |= {"first_output": first, "outputs": last - first, "output_width": len(a["columns"])}
    arguments |= {"divisor": a["divisor"] or 0, "x_exponent": 0, **words}
    expect(
        run("window_sum", arguments, buffers, [exponent], [site, site], where), "y", channels_last(exact), (site, after)
    )


@both("window_sum_gradient")
def test_window_sum_gradient(random: Random, where: str) -> None:
    shape, a = _average(random)
    dy = mantissas(random, (*shape[:2], len(a["rows"]), len(a["columns"])))
    exponent = int(random.integers(-40, 20))
    whole = meaning("window_sum_gradient", value(dy, exponent), **a, input_shape=shape[2:])
    top = int(random.integers(0, shape[2]))
    bottom = int(random.integers(top, shape[2])) + 1
    wide = value(whole.mantissa[:, :, top:bottom], whole.exponent)
    touching = [o for o, (start, stop) in enumerate(a["rows"]) if start < bottom and stop > top]
    first, last = (min(touching), max(touching) + 1) if touching else (0, 0)
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    buffers: dict[str, NDArray[Any]] = {"dy": channels_last(dy[:, :, first:last]), "dx": np.zeros(exact.size, np.int16)}
    buffers |= {"row_windows": np.array(a["rows"], np.uint16), "column_windows": np.array(a["columns"], np.uint16)}
    arguments = {"images": shape[0], "channels": shape[1], "width": shape[3], "first_row": top, "rows": bottom - top}
    arguments |= {"first_output": first, "outputs": last - first, "output_width": len(a["columns"])}
    arguments |= {"divisor": a["divisor"] or 0, "dy_exponent": 0, **words}
    result = run("window_sum_gradient", arguments, buffers, [exponent], [site, site], where)
    expect(result, "dx", channels_last(exact), (site, after))
