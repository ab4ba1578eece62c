"""Moves of elements: loops say the same as numpy."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl.plan.layout import Loop, granule, permute_loops, reshape_loops, stays


def stored(x: np.ndarray) -> np.ndarray:
    return (np.moveaxis(x, 1, -1) if x.ndim >= 3 else x).ravel()


def moved(memory: np.ndarray, loops: list[Loop]) -> np.ndarray:
    result = np.full(memory.size, -1)
    for place in np.ndindex(*(loop.count for loop in loops)):
        source = sum(i * loop.source for i, loop in zip(place, loops, strict=True))
        target = sum(i * loop.target for i, loop in zip(place, loops, strict=True))
        result[target] = memory[source]
    return result


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_permute(shape: list[int], random: object) -> None:
    order = list(range(len(shape)))
    random.shuffle(order)  # type: ignore[attr-defined]
    x = np.arange(prod(shape)).reshape(shape)
    loops = permute_loops(tuple(shape), tuple(order))
    expected = stored(x.transpose(order))
    assert np.array_equal(moved(stored(x), loops), expected)
    assert stays(loops) == np.array_equal(stored(x), expected)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((2, 16, 5, 5), (2, 400)),
        ((2, 400), (2, 16, 5, 5)),
        ((2, 400), (2, 400, 1, 1)),
        ((2, 6, 4), (2, 6, 1, 4)),
        ((3, 10, 2, 3), (3, 10, 6)),
        ((3, 10, 6), (3, 5, 2, 6)),
        ((1, 8), (1, 2, 2, 2)),
        ((4,), (2, 2)),
    ],
)
def test_reshape(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    x = np.arange(prod(before)).reshape(before)
    loops = reshape_loops(before, after)
    assert loops is not None
    expected = stored(x.reshape(after))
    assert np.array_equal(moved(stored(x), loops), expected)
    assert stays(loops) == np.array_equal(stored(x), expected)


def test_a_reshape_that_loops_cannot_say() -> None:
    assert reshape_loops((6, 4), (4, 6)) is not None  # row-major matrices: nothing moves
    assert reshape_loops((1, 4, 6), (1, 6, 4)) is None


def test_granule() -> None:
    assert [granule(n) for n in (1, 2, 3, 4, 6, 50)] == [4, 2, 4, 1, 2, 2]
