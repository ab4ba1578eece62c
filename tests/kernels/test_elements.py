"""Element-wise kernels equal the meanings of their ops, with extents and counts of clamped elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spindl.program.kernels import KERNELS
from tests.kernels.cases import (
    ACTIVATIONS,
    Random,
    address,
    both,
    channels_first,
    channels_last,
    expect,
    int32s,
    mantissas,
    meaning,
    rounded,
    rounding_words,
    site_near,
    unrounded,
    value,
    wides,
)
from tests.kernels.harness import Site, places, run


def _exponents(random: Random, count: int, low: int = -60, high: int = 61) -> list[int]:
    near = int(random.integers(low, high))
    spread = int(random.choice([0, 3, 12, 40]))
    return [int(np.clip(near + random.integers(-spread, spread + 1), low, high - 1)) for _ in range(count)]


@both("requantise")
def test_requantise(random: Random, where: str) -> None:
    """int64, rows with pitches; in place where the pitches allow it."""
    rows, columns = int(random.integers(1, 4)), int(random.integers(1, 20))
    bits = int(random.integers(1, 63))
    x = wides(random, (rows, columns + int(random.integers(0, 3))), bits)
    words = rounding_words(random)
    exponent = int(random.integers(-90, 60))
    wide = value(x[:, :columns], exponent)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    gap = int(random.integers(0, 3))
    y = np.full((rows, columns + gap), 77, np.int16)
    arguments = {"x_bytes": 8, "rows": rows, "columns": columns, "x_pitch": 8 * x.shape[1], "y_pitch": 2 * y.shape[1]}
    first = unrounded(random)
    arguments |= {"x_exponent": 1, "wide_exponent": 1, **words}
    shift = {"x": 4 * int(random.integers(0, 2)), "y": 2 * int(random.integers(0, 2))}
    result = run("requantise", arguments, {"x": x, "y": y}, [0, exponent], [first, site], where, shift=shift)
    y[:, :columns] = exact
    expect(result, "y", y, (first, after))


@both("requantise", 60)
def test_requantise_in_place(random: Random, where: str) -> None:
    x = wides(random, 30, 40)
    words = rounding_words(random)
    site = site_near(random, value(x), words["bits"])
    exact, after = rounded(value(x), site, words)
    arguments = {"x_bytes": 8, "rows": 1, "columns": 30, "x_pitch": 0, "y_pitch": 0, "y": "x", **words}
    arguments |= {"x_exponent": 0, "wide_exponent": 0}
    result = run("requantise", arguments, {"x": x}, [0], [site, site], where)
    assert result.error == 0
    assert np.array_equal(result.buffers["x"].view(np.int16)[:30], exact)
    assert result.sites == (site, after)


@both("requantise")
def test_requantise_parts_of_a_concat(random: Random, where: str) -> None:
    """int16 parts side by side, aligned; an int32 input that is only rounded."""
    pixels = int(random.integers(1, 5))
    widths = [int(random.integers(1, 6)) for _ in range(2)]
    exponents = _exponents(random, 2)
    parts = [mantissas(random, (pixels, width)) for width in widths]
    wide = meaning("concat", *(value(p, e) for p, e in zip(parts, exponents, strict=True)), axis=1)
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    y = np.zeros((pixels, sum(widths)), np.int16)
    total = site
    for number, (part, start) in enumerate(zip(parts, (0, widths[0]), strict=True)):
        arguments = {"x_bytes": 2, "rows": pixels, "columns": part.shape[1], "x_pitch": 2 * part.shape[1]}
        arguments |= {"y_pitch": 2 * y.shape[1], "x_exponent": number, "wide_exponent": 2, **words}
        buffers = {"x": part, "z": y}
        arguments["y"] = address(buffers, "z", where) + 2 * start
        result = run("requantise", arguments, buffers, [*exponents, wide.exponent], [total, total], where)
        assert result.error == 0
        y, total = result.buffers["z"].copy(), result.sites[1]
    assert np.array_equal(y, exact)
    assert total == after


@both("requantise", 60)
def test_requantise_int32(random: Random, where: str) -> None:
    x = int32s(random, 25)
    words = rounding_words(random)
    site = site_near(random, value(x, -16), words["bits"])
    exact, after = rounded(value(x, -16), site, words)
    arguments = {"x_bytes": 4, "rows": 1, "columns": 25, "x_pitch": 0, "y_pitch": 0, "x_exponent": 0}
    buffers = {"x": x, "y": np.zeros(25, np.int16)}
    result = run("requantise", {**arguments, "wide_exponent": 0, **words}, buffers, [-16], [site, site], where)
    expect(result, "y", exact, (site, after))


@both("narrow")
def test_narrow(random: Random, where: str) -> None:
    x, bits = int32s(random, int(random.integers(1, 40))), int(random.integers(8, 17))
    exact = meaning("narrow", value(x), bits=bits).mantissa
    buffers = {"x": x, "y": np.zeros(x.size, np.int16)}
    expect(run("narrow", {"count": x.size, "bits": bits}, buffers, where=where), "y", exact)


@both("relu")
def test_relu(random: Random, where: str) -> None:
    x, exponent = mantissas(random, int(random.integers(1, 40))), int(random.integers(-30, 10))
    activation = int(random.integers(1, 3))
    exact = meaning(ACTIVATIONS[activation], value(x, exponent)).mantissa
    arguments = {"count": x.size, "activation": activation, "x_exponent": 0}
    shift = {"x": 2 * int(random.integers(0, 2)), "y": 2 * int(random.integers(0, 2))}
    result = run("relu", arguments, {"x": x, "y": np.zeros_like(x)}, [exponent], where=where, shift=shift)
    expect(result, "y", exact)
    expect(run("relu", {**arguments, "y": "x"}, {"x": x}, [exponent], where=where), "x", exact)


@both("relu_gradient")
def test_relu_gradient(random: Random, where: str) -> None:
    count, exponent = int(random.integers(1, 40)), int(random.integers(-30, 10))
    activation = int(random.integers(1, 3))
    y = meaning(ACTIVATIONS[activation], value(mantissas(random, count), exponent)).mantissa.astype(np.int16)
    dy = mantissas(random, count)
    exact = meaning(f"{ACTIVATIONS[activation]}_gradient", value(dy), value(y, exponent)).mantissa
    arguments = {"count": count, "activation": activation, "y_exponent": 0}
    shift = {name: 2 * int(random.integers(0, 2)) for name in ("dy", "y", "dx")}
    buffers = {"dy": dy, "y": y, "dx": np.zeros_like(y)}
    expect(run("relu_gradient", arguments, buffers, [exponent], where=where, shift=shift), "dx", exact)
    in_place = run("relu_gradient", {**arguments, "dx": "dy"}, {"dy": dy, "y": y}, [exponent], where=where)
    expect(in_place, "dy", exact)


@both("add")
def test_add(random: Random, where: str) -> None:
    count, exponents = int(random.integers(1, 50)), _exponents(random, 2)
    x, y = mantissas(random, count), mantissas(random, count)
    wide = meaning("add", value(x, exponents[0]), value(y, exponents[1]))
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    arguments = {"count": count, "x_exponent": 0, "y_exponent": 1, **words}
    shift = {name: 2 * int(random.integers(0, 2)) for name in ("x", "y", "z")}
    buffers = {"x": x, "y": y, "z": np.zeros_like(x)}
    expect(run("add", arguments, buffers, exponents, [site, site], where, shift=shift), "z", exact, (site, after))
    in_place = run("add", {**arguments, "z": "y"}, {"x": x, "y": y}, exponents, [site, site], where)
    expect(in_place, "y", exact, (site, after))


def _scales(random: Random, channels: int) -> NDArray[np.int64]:
    return int32s(random, channels).astype(np.int64)


@both("affine")
def test_affine(random: Random, where: str) -> None:
    """int16 or bytes, channels last; offsets up to 2^61."""
    images, channels, height = int(random.integers(1, 3)), int(random.integers(1, 6)), int(random.integers(1, 5))
    shape = (images, channels, height, 2)
    if random.integers(2):
        x: NDArray[Any] = mantissas(random, shape)
    else:
        x = random.integers(0, 256, shape).astype(np.uint8)
    scale, offset = _scales(random, channels), wides(random, channels, int(random.choice([20, 40, 61])))
    exponent = int(random.integers(-60, 30))
    wide = meaning("affine", value(x), value(scale), value(offset, exponent))
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    buffers = {"x": channels_last(x), "scale": scale, "offset": offset, "y": np.zeros(x.size, np.int16)}
    arguments = {
        "x_bytes": x.itemsize,
        "pixels": x.size // channels,
        "channels": channels,
        "offset_exponent": 0,
        **words,
    }
    shift = {"x": x.itemsize * int(random.integers(0, 2)), "scale": 4 * int(random.integers(0, 2)), "offset": 4}
    result = run("affine", arguments, buffers, [exponent], [site, site], where, shift=shift)
    expect(result, "y", channels_last(exact), (site, after))
    if x.itemsize == 2:
        del buffers["y"]
        in_place = run("affine", {**arguments, "y": "x"}, buffers, [exponent], [site, site], where)
        expect(in_place, "x", channels_last(exact), (site, after))


@pytest.mark.parametrize("where", places("affine"))
@pytest.mark.parametrize("shift", [0, 9, 16])
def test_affine_where_32_bits_end(where: str, shift: int) -> None:
    """Offsets and scales around every power of two where the halves of a map stop to fit, or only wrap around."""
    powers = np.array([1 << k for k in range(26, 60)], np.int64)
    offset = np.concatenate([powers - 1, powers, powers + 77, -powers, 1 - powers])
    scale = np.resize(
        np.array([0, 1, -1, 2**31 - 1, -(2**31) + 1, 2**31 - 2**15, 2**31 - 2**15 - 1, 2**20]), offset.size
    )
    x = np.resize(np.array([[0], [1], [-1], [32767], [-32767], [255]], np.int16), (6, offset.size))
    wide = meaning("affine", value(x), value(scale), value(offset))
    site, words = Site(shift, shift + 14), {"site": 0, "bits": 16, "activation": 0, "ties": shift % 2}
    exact, after = rounded(wide, site, words)
    buffers = {"x": x, "scale": scale, "offset": offset, "y": np.zeros_like(x)}
    arguments = {"x_bytes": 2, "pixels": 6, "channels": offset.size, "offset_exponent": 0, **words}
    expect(run("affine", arguments, buffers, [0], [site], where), "y", exact, (after,))


@pytest.mark.parametrize("where", places("add"))
@pytest.mark.parametrize("apart", [0, 1, 13, 14, 15, 16, 20, 30, 31, 40])
def test_add_of_small_values_far_apart(where: str, apart: int) -> None:
    """The sum is small enough for a small shift although the exponents are far apart."""
    x, y = np.array([1, -1, 0, 3, 1, 0], np.int16), np.array([5, 32767, -32767, 0, 1, -2], np.int16)
    wide = meaning("add", value(x, apart), value(y, 0))
    site, words = Site(min(apart, 12), apart), {"site": 0, "bits": 16, "activation": 0, "ties": apart % 2}
    exact, after = rounded(wide, site, words)
    arguments = {"count": x.size, "x_exponent": 0, "y_exponent": 1, **words}
    buffers = {"x": x, "y": y, "z": np.zeros_like(x)}
    expect(run("add", arguments, buffers, [apart, 0], [site], where), "z", exact, (after,))


@both("affine_pair")
def test_affine_pair(random: Random, where: str) -> None:
    images, channels, height = int(random.integers(1, 3)), int(random.integers(1, 6)), int(random.integers(1, 5))
    shape = (images, channels, height, 2)
    x, y = mantissas(random, shape), mantissas(random, shape)
    scale, slope = _scales(random, channels), _scales(random, channels)
    offset = wides(random, channels, int(random.choice([20, 40, 60])))
    exponent = int(random.integers(-60, 30))
    wide = meaning("affine_pair", value(x), value(scale), value(y), value(slope), value(offset, exponent))
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    buffers = {"x": channels_last(x), "y": channels_last(y), "scale": scale, "slope": slope, "offset": offset}
    arguments = {"pixels": x.size // channels, "channels": channels, "offset_exponent": 0, **words}
    result = run("affine_pair", {**arguments, "z": "x"}, buffers, [exponent], [site, site], where)
    expect(result, "x", channels_last(exact), (site, after))


@both("dropout")
def test_dropout(random: Random, where: str) -> None:
    """Draws are keyed by image, place and element, wherever the tile begins."""
    images, channels, size = int(random.integers(1, 4)), int(random.integers(1, 4)), int(random.integers(1, 4))
    x = mantissas(random, (images, channels, size, size))
    p = float(random.choice([0.0, 0.1, 0.5, 0.9999]))
    seed, step = (int(v) for v in random.integers(0, 2**32, 2))
    positions = random.integers(0, 2**31, images).astype(np.int32)
    attributes = {"site": int(random.integers(1, 9)), "threshold": int(2**32 * p + 0.5)}
    attributes["multiplier"] = int(2**14 / (1 - p) + 0.5)
    exponent = int(random.integers(-30, 0))
    wide = meaning(
        "dropout", value(x, exponent), value(positions), value(np.array(seed)), value(np.array(step)), **attributes
    )
    whole = channels_last(wide.mantissa).reshape(images, -1)
    first = int(random.integers(0, whole.shape[1]))
    words = rounding_words(random)
    tile = value(whole[:, first:], wide.exponent)
    site = site_near(random, tile, words["bits"])
    exact, after = rounded(tile, site, words)
    cut = channels_last(x).reshape(images, -1)[:, first:].copy()
    buffers = {"x": cut, "y": np.zeros_like(cut), "positions": positions, "seed": np.array([seed], np.uint32)}
    buffers["step"] = np.array([step], np.uint32)
    arguments = {"images": images, "elements": cut.shape[1], "first_element": first, "place": attributes["site"]}
    arguments |= {
        "threshold": attributes["threshold"],
        "multiplier": attributes["multiplier"],
        "x_exponent": 0,
        **words,
    }
    expect(run("dropout", arguments, buffers, [exponent], [site, site], where), "y", exact, (site, after))


@both("move", 60)
def test_move_permutes(random: Random, where: str) -> None:
    """Any order of four axes, all element sizes."""
    kind = random.choice(["uint8", "int16", "int32", "int64"])
    shape = tuple(int(v) for v in random.integers(1, 5, 4))
    x = random.integers(0, 100, shape).astype(kind)
    order = tuple(int(v) for v in random.permutation(4))
    exact = meaning("permute", value(x), order=order).mantissa
    stride = [step // 1 for step in np.ascontiguousarray(x).strides]
    target = np.zeros(exact.shape, kind)
    arguments: dict[str, int] = {"bytes": x.itemsize}
    for axis in range(4):
        arguments |= {f"count_{axis}": exact.shape[axis], f"x_stride_{axis}": stride[order[axis]]}
        arguments[f"y_stride_{axis}"] = target.strides[axis]
    shift = {"y": 4 if x.itemsize == 8 else x.itemsize}
    expect(run("move", arguments, {"x": x, "y": target}, where=where, shift=shift), "y", exact)


@both("move", 40)
def test_move_slices(random: Random, where: str) -> None:
    """Rows of whole words or not, and pixels between channels first and channels last."""
    rows, columns, start = 5, int(random.integers(2, 9)), int(random.integers(0, 2))
    x = mantissas(random, (rows, 10))
    exact = meaning("slice", value(x), axis=1, start=start, stop=start + columns).mantissa
    arguments = {"bytes": 2, "count_0": 1, "count_1": 1, "count_2": rows, "count_3": columns}
    arguments |= dict.fromkeys(("x_stride_0", "x_stride_1", "y_stride_0", "y_stride_1"), 0)
    arguments |= {"x_stride_2": 20, "x_stride_3": 2, "y_stride_2": 2 * columns, "y_stride_3": 2}
    buffers = {"x": x, "y": np.zeros((rows, columns), np.int16)}
    inside = address(buffers, "x", where) + 2 * start
    expect(run("move", {**arguments, "x": inside}, buffers, where=where), "y", exact)


def test_channels_last_and_back() -> None:
    x = np.arange(24).reshape(1, 2, 3, 4)
    assert np.array_equal(channels_first(channels_last(x)), x)


@pytest.mark.parametrize(
    ("kernel", "arguments", "error"),
    [
        ("requantise", {"x_bytes": 3}, 1),
        ("requantise", {"site": 9}, 1),
        ("requantise", {"bits": 17}, 1),
        ("requantise", {"activation": 3}, 1),
        ("requantise", {"ties": 2}, 1),
        ("narrow", {"bits": 17}, 1),
        ("move", {"bytes": 3}, 1),
        ("affine", {"x_bytes": 4}, 1),
        ("channel_sums", {"pixels": 65536}, 1),
        ("sum_rows", {"x_bytes": 8, "y_bytes": 4}, 1),
        ("direction", {"site": 9}, 1),
        ("update", {"site": 9}, 1),
    ],
)
@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
def test_illegal_arguments_are_refused(kernel: str, arguments: dict[str, int], error: int, where: str) -> None:
    """Nothing is written."""
    legal = {"x_bytes": 8, "y_bytes": 8, "bits": 15, "gradient_bytes": 4, "bytes": 2}
    names = [field.name for field in KERNELS[kernel].arguments]
    words = {name: legal.get(name, 0) for name in names} | arguments
    result = run(kernel, words, {}, [0], [Site(0)], where)
    assert result.error == error
    assert result.sites == (Site(0),)
