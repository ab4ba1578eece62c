"""Helpers of the simulator's tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spindl.graph.operations import Value
from spindl.run.sim.native import available_paths

VECTOR_PATHS = available_paths()


def assert_equal(found: Mapping[str, Value], expected: Mapping[str, Value]) -> None:
    """Every named value has the same shape, exponent and mantissas."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        exponent = found[name].exponent
        assert exponent == value.exponent, f"{name}: exponent {exponent}, {value.exponent} expected"
        assert found[name].mantissa.shape == value.mantissa.shape, name
        wrong = np.argwhere(found[name].mantissa != value.mantissa)
        assert not len(wrong), f"{name} differs at {len(wrong)} places, first {wrong[0]}"
