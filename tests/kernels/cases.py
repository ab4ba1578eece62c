"""What the tests of element, channel and reduction kernels share: random operands, meanings, checks of a site.

A case is a function (random, where) that runs one kernel on random operands and compares with the op's meaning. On the
host hypothesis draws the seeds; on an emulated core a few fixed seeds do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spindl.graph import ops  # noqa: F401  (fills the table)
from spindl.graph.graph import Format, Node
from spindl.graph.operations import OPERATIONS, Value
from tests.kernels.harness import DTCM, EMPTY, Result, Site, _layout, places

Random = np.random.Generator
Case = Callable[[Random, str], None]
HOST_EXAMPLES, CORE_EXAMPLES, IMAGE_EXAMPLES = 120, 4, 1
ACTIVATIONS = ("none", "relu", "relu6")


def both(kernel: str, examples: int = HOST_EXAMPLES) -> Callable[[Case], Callable[..., None]]:
    """Turns a case into a test that runs on the host and on emulated cores."""

    def wrap(case: Case) -> Callable[..., None]:
        @settings(max_examples=examples, deadline=None, derandomize=True, database=None)
        @given(seed=st.integers(0, 2**32 - 1))
        def on_host(seed: int) -> None:
            case(np.random.default_rng(seed), "host")

        @pytest.mark.parametrize("where", [*places(kernel), "image"])
        def test(where: str) -> None:
            if where == "host":
                on_host()
                return
            for seed in range(IMAGE_EXAMPLES if where == "image" else CORE_EXAMPLES):
                case(np.random.default_rng(seed), where)

        test.__doc__ = case.__doc__
        return test

    return wrap


def meaning(op: str, *inputs: Value, shape: tuple[int, ...] = (), **attributes: Any) -> Value:
    """The op's exact meaning."""
    node = Node(op, (), attributes, shape, Format("wide"), "", "")
    return OPERATIONS[op].meaning(node, *inputs)


def mantissas(random: Random, shape: int | tuple[int, ...], bits: int = 16) -> NDArray[np.int16]:
    """int16 mantissas: uniform, small, extreme, or many zeros."""
    limit = 2 ** (bits - 1) - 1
    kind = random.integers(5)
    if kind == 0:
        values = random.choice([-limit, limit, limit - 1, 0, 1, -1], shape)
    elif kind == 1:
        values = random.integers(-3, 4, shape)
    elif kind == 2:
        values = random.integers(-limit, limit + 1, shape) * (random.random(shape) < 0.2)
    else:
        values = random.integers(-limit, limit + 1, shape)
    return np.asarray(values, np.int16)


def wides(random: Random, shape: int | tuple[int, ...], bits: int = 62) -> NDArray[np.int64]:
    """int64 below 2^bits: uniform in magnitude or in length, powers of two and their neighbours, zeros."""
    kind = random.integers(4)
    if kind == 0:
        values = random.integers(-(2**bits) + 1, 2**bits, shape)
    else:
        length = random.integers(0, bits, shape)
        values = np.left_shift(np.int64(1), length)
        if kind == 1:
            values = values + random.integers(-1, 2, shape)
        elif kind == 2:
            values = random.integers(-values, values + 1)
        values = np.clip(values, 0 if kind == 1 else -(2**bits) + 1, 2**bits - 1)
        values = values * random.choice([-1, 1], shape)
    if random.random() < 0.05:
        values = values * 0
    return np.asarray(values, np.int64)


def int32s(random: Random, shape: int | tuple[int, ...]) -> NDArray[np.int32]:
    """int32 of every magnitude, never -2^31."""
    return np.clip(wides(random, shape, 31), -(2**31) + 1, 2**31 - 1).astype(np.int32)


def pair(random: Random, low: int = -70, high: int = 20) -> tuple[int, int]:
    """A normalised pair, sometimes zero or extreme."""
    mantissa = int(random.choice([2**30, 2**31 - 1, int(random.integers(2**30, 2**31))])) * int(random.choice([-1, 1]))
    return (0, 0) if random.random() < 0.05 else (mantissa, int(random.integers(low, high)))


def pairs(random: Random, count: int, positive: bool = False, low: int = -70, high: int = 20) -> NDArray[np.int32]:
    """[count][2] pairs."""
    values = np.array([pair(random, low, high) for _ in range(count)], np.int32).reshape(count, 2)
    if positive:
        values[:, 0] = np.where(values[:, 0] == 0, 2**30, np.abs(values[:, 0]))
    return values


def value(array: NDArray[Any], exponent: int = 0) -> Value:
    """As the ops want it."""
    return Value(np.asarray(array, np.int64), exponent)


def site_near(random: Random, wide: Value, bits: int) -> Site:
    """A site whose exponent suits the values, mostly; its extent and count are what other tiles left."""
    largest = int(np.abs(wide.mantissa).max(initial=0)).bit_length() + wide.exponent
    exponent = largest - (bits - 1) + int(random.choice([-30, -4, -1, 0, 0, 1, 1, 2, 3, 20, 80]))
    exponent = max(-120, min(120, exponent))
    extent = int(random.choice([EMPTY, largest - 1, largest, largest + 3, exponent + bits, -100]))
    return Site(exponent, extent, int(random.integers(0, 5)))


def rounding_words(random: Random) -> dict[str, int]:
    """bits, activation and ties; the site is number 1 of the table."""
    bits, activation, ties = (int(random.integers(low, high)) for low, high in ((8, 17), (0, 3), (0, 2)))
    return {"site": 1, "bits": bits, "activation": activation, "ties": ties}


def rounded(wide: Value, site: Site, words: dict[str, int]) -> tuple[NDArray[np.int64], Site]:
    """What a kernel has to make of exact values, and its site afterwards."""
    at = value(np.zeros(16), site.exponent)
    ties = {"ties": "even"} if words["ties"] else {}
    result = meaning("requantise", wide, at, bits=words["bits"], **ties)
    if words["activation"]:
        result = meaning(ACTIVATIONS[words["activation"]], result)
    extent = max(site.extent, int(meaning("extent", wide).mantissa))
    saturated = site.saturated + int(meaning("saturation", wide, at, bits=words["bits"], **ties).mantissa)
    return result.mantissa, Site(site.exponent, extent, saturated)


def expect(result: Result, name: str, exact: NDArray[Any], sites: tuple[Site, ...] = ()) -> None:
    """No error, the buffer `name` equal to the exact integers, the sites equal."""
    assert result.error == 0
    assert np.array_equal(result.buffers[name].reshape(-1), np.asarray(exact).reshape(-1))
    assert result.sites == sites


def unrounded(random: Random) -> Site:
    """A site that no kernel may touch: number 0 of the table."""
    return Site(int(random.integers(-20, 20)), 3, 1)


def channels_last(array: NDArray[Any]) -> NDArray[Any]:
    """(N, C, H, W) as it lies in memory: [n][h][w][c]."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def channels_first(array: NDArray[Any]) -> NDArray[Any]:
    """Back."""
    return np.ascontiguousarray(np.moveaxis(array, -1, 1))


def address(buffers: dict[str, NDArray[Any]], name: str, where: str) -> int:
    """Where a run with these buffers will have one of them."""
    return _layout(buffers, {}, 0 if where == "host" else DTCM + 0x1000)[1][name]
