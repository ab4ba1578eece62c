"""Orders and random words, against witnesses written with Python's own integers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl.data.order import below, epoch_order, random_words

MASK = 2**64 - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 (Salmon et al., SC'11) of one counter block."""
    words = [counter >> (64 * i) & MASK for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        product0, product1 = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = [(product1 >> 64) ^ words[1] ^ k0, product1 & MASK, (product0 >> 64) ^ words[3] ^ k1, product0 & MASK]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & MASK, (k1 + 0xBB67AE8584CAA73B) & MASK
    return words


def mix(z: int) -> int:
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def word(seed: int, epoch: int, position: int, slot: int) -> int:
    golden = 0x9E3779B97F4A7C15
    state = mix(seed + golden & MASK)
    for part in (epoch, position, slot):
        state = mix(state + golden * (part + 1) & MASK)
    return state


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (1, 0), (0, 1), (2**63 + 5, 12)])
def test_the_order_sorts_the_philox_stream(seed: int, epoch: int) -> None:
    count = 103
    stream = [w for block in range(1, 1 + -(-count // 4)) for w in philox(block, (seed, epoch))][:count]
    assert epoch_order(count, seed, epoch).tolist() == sorted(range(count), key=stream.__getitem__)


@given(st.integers(0, 300), st.integers(0, 2**64 - 2), st.integers(0, 10**6))
def test_an_order_is_a_permutation(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(count))


def test_seeds_and_epochs_give_different_orders() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


@given(
    st.integers(0, 2**64 - 2),
    st.integers(0, 2**64 - 2),
    st.lists(st.integers(0, 2**40), min_size=1, max_size=4),
    st.integers(0, 50),
)
def test_random_words_are_the_hash_of_their_place(seed: int, epoch: int, positions: list[int], first: int) -> None:
    words = random_words(seed, epoch, np.array(positions, dtype=np.int64), 3, first)
    assert words.tolist() == [[word(seed, epoch, p, first + slot) for slot in range(3)] for p in positions]


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**31))
def test_below_scales_the_high_half(random: int, bound: int) -> None:
    assert below(np.array([random], dtype=np.uint64), bound).tolist() == [(random >> 32) * bound >> 32]


def test_words_are_uniform() -> None:
    words = random_words(3, 1, np.arange(20_000), 4)
    counts = np.bincount(below(words, 16).ravel(), minlength=16)
    # 80,000 draws in 16 bins of 5,000: six standard deviations are 411.
    assert np.abs(counts - 5000).max() < 411


@pytest.mark.parametrize("seed", [-1, 2**64 - 1])
def test_a_seed_must_fit_its_word(seed: int) -> None:
    with pytest.raises(ValueError, match="seed must be in"):
        epoch_order(4, seed, 0)
