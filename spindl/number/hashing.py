"""Counter-based random bits: a draw is a hash of where it is used, never of what was drawn before.

hash32(seed, step, site, position, element) = mix(mix(mix(mix(mix(seed) ^ step) ^ site) ^ position) ^ element), each
argument modulo 2^32, with mix the 32-bit finaliser x += 0x9e3779b9 (so that zero does not map to zero); x ^= x >> 16;
x *= 0x7feb352d; x ^= x >> 15; x *= 0x846ca68b; x ^= x >> 16 (constants: C. Wellons, "hash-prospector", bias 0.17).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_GOLDEN = np.uint32(0x9E3779B9)


def _mix(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = x + _GOLDEN
    x = x ^ (x >> np.uint32(16))
    x = x * np.uint32(0x7FEB352D)
    x = x ^ (x >> np.uint32(15))
    x = x * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def hash32(*counters: NDArray[np.integer] | int) -> NDArray[np.uint32]:
    """Uniform uint32 for each combination of the counters (arrays broadcast against each other)."""
    result: NDArray[np.uint32] = np.zeros((1,), dtype=np.uint32)
    with np.errstate(over="ignore"):
        for counter in counters:
            word = np.asarray(np.asarray(counter, dtype=np.int64) & 0xFFFFFFFF).astype(np.uint32)
            result = _mix(np.atleast_1d(result ^ word))
    return result
