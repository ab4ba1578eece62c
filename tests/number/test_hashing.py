"""Counter-based random bits: the mixer in Python integers, keys in any shape, and the statistics that dropout needs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spindl.number.hashing import hash32

WORD = 2**32 - 1
COUNTER = st.integers(-(2**63), 2**63 - 1)


def mix(x: int) -> int:
    x = (x + 0x9E3779B9) & WORD
    x ^= x >> 16
    x = (x * 0x7FEB352D) & WORD
    x ^= x >> 15
    x = (x * 0x846CA68B) & WORD
    return x ^ (x >> 16)


@given(st.lists(COUNTER, min_size=1, max_size=6))
def test_definition(counters: list[int]) -> None:
    expected = 0
    for counter in counters:
        expected = mix(expected ^ (counter & WORD))
    assert hash32(*counters).tolist() == [expected]


def test_known_values() -> None:
    """Fixed for ever: a changed draw changes every trained network with dropout."""
    assert hash32(0).tolist() == [0x01FCE552]
    assert hash32(1, 2, 3, 4, 5).tolist() == [0x8C3002CC]


def test_arrays_broadcast_and_any_part_is_the_same() -> None:
    positions, elements = np.arange(9)[:, None], np.arange(50)[None]
    whole = hash32(7, 3, 1, positions, elements)
    assert whole.shape == (9, 50) and whole.dtype == np.uint32
    assert np.array_equal(whole[4:6], hash32(7, 3, 1, positions[4:6], elements))
    assert int(whole[5, 17]) == int(hash32(7, 3, 1, 5, 17)[0])


def test_uniform_and_uncorrelated() -> None:
    draws = hash32(1, np.arange(64)[:, None, None], 2, np.arange(16)[:, None], np.arange(256)) / 2.0**32
    n = draws.size
    assert abs(draws.mean() - 0.5) < 5 / np.sqrt(12 * n)
    histogram = np.histogram(draws, 256, (0, 1))[0]
    assert ((histogram - n / 256) ** 2 / (n / 256)).sum() < 255 + 5 * np.sqrt(2 * 255)
    for axis in range(3):  # neighbours in step, position and element
        a, b = np.delete(draws, -1, axis), np.delete(draws, 0, axis)
        assert abs(np.corrcoef(a.reshape(-1), b.reshape(-1))[0, 1]) < 5 / np.sqrt(a.size)
