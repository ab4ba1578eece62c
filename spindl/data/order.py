"""Who comes when: counter-based random words, and the order of an epoch.

Every draw is a function of (seed, epoch, position, slot) and of nothing else, so neither the number of workers nor the
step at which a run was resumed can change it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): the increment and
# the two multipliers of its output function.
_INCREMENT = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIER_1 = np.uint64(0xBF58476D1CE4E5B9)
_MULTIPLIER_2 = np.uint64(0x94D049BB133111EB)


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The permutation of 0..count-1 in which an epoch visits the records, shape (count,).

    The bits are those of the Philox4x64-10 counter generator with key (seed, epoch), whose raw stream NumPy keeps
    stable; the records are sorted by them. `seed` and `epoch` are 0..2**64-1.
    """
    key = np.array([_word(seed, "seed"), _word(epoch, "epoch")], dtype=np.uint64)
    # A single draw comes back as an int, not as an array.
    words = np.atleast_1d(np.asarray(np.random.Philox(key=key).random_raw(count), dtype=np.uint64))
    return np.argsort(words, kind="stable").astype(np.int64)


def random_words(seed: int, epoch: int, positions: NDArray[np.int64], slots: int, first: int = 0) -> NDArray[np.uint64]:
    """Random 64-bit words, shape (len(positions), slots): slots `first`.. of each record's stream in this epoch."""
    state = _mix(np.array([_word(seed, "seed")], dtype=np.uint64) + _INCREMENT)
    state = _mix(state + _INCREMENT * np.array([_word(epoch, "epoch") + 1], dtype=np.uint64))
    state = _mix(state + _INCREMENT * (positions.astype(np.uint64) + np.uint64(1)))
    counter = np.arange(first + 1, first + slots + 1, dtype=np.uint64)
    return _mix(state[:, None] + _INCREMENT * counter[None, :])


def below(words: NDArray[np.uint64], bound: int) -> NDArray[np.int64]:
    """Integers 0..bound-1 from random words; the bias is below bound / 2**32. `bound` is 1..2**31."""
    return (((words >> np.uint64(32)) * np.uint64(bound)) >> np.uint64(32)).astype(np.int64)


def _mix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _MULTIPLIER_1
    words = (words ^ (words >> np.uint64(27))) * _MULTIPLIER_2
    return words ^ (words >> np.uint64(31))


def _word(value: int, name: str) -> int:
    if not 0 <= value < 2**64 - 1:
        raise ValueError(f"{name} must be in 0..2**64-2, is {value}")
    return value
