"""Float features to fixed point, once, on the host."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.data.errors import FeatureRangeError

FRACTION_BITS = 16
"""Features are Q15.16: int32 with 16 fraction bits, -32768 .. 32767.99998."""

_INT32 = np.iinfo(np.int32)


def features_to_fixed(features: NDArray[Any], where: str = "features") -> NDArray[np.int32]:
    """Features of any real dtype and shape as int32 with 16 fraction bits, rounded to nearest, halves up.

    Raises FeatureRangeError for NaN, infinity, and values that round outside int32.
    """
    values = np.asarray(features, dtype=np.float64)
    scaled = values * 2.0**FRACTION_BITS
    down = np.floor(scaled)
    # floor(x + 0.5) would be wrong just below a half, where the sum itself rounds up; this difference is exact there.
    with np.errstate(invalid="ignore"):
        rounded = down + (scaled - down >= 0.5)
    # Written so that NaN fails too.
    bad = ~((rounded >= _INT32.min) & (rounded <= _INT32.max))
    if bad.any():
        index = tuple(int(i) for i in np.argwhere(bad)[0])
        unit = 2.0**-FRACTION_BITS
        raise FeatureRangeError(where, index, float(values[index]), _INT32.min * unit, _INT32.max * unit)
    return rounded.astype(np.int32)
