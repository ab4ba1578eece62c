"""Features in fixed point, against exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spindl.data import FeatureRangeError, features_to_fixed, from_arrays


@given(st.floats(-32768, 32767.9999))
@example(0.49999999999999994 / 65536)
@example(-0.5 / 65536)
@example(0.5 / 65536)
@example(-5e-324)
def test_rounds_to_nearest_halves_up(value: float) -> None:
    exact = math.floor(Fraction(value) * 65536 + Fraction(1, 2))
    assert features_to_fixed(np.array([value])).tolist() == [exact]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 32768.0, -32768.1, 1e300])
def test_what_has_no_place_is_an_error(value: float) -> None:
    with pytest.raises(FeatureRangeError) as caught:
        features_to_fixed(np.array([[0.0, 1.0], [value, 0.0]]), "points.npz")
    assert caught.value.index == (1, 0)
    assert math.isnan(caught.value.value) if math.isnan(value) else caught.value.value == value
    assert "points.npz" in str(caught.value)


def test_the_range_is_used_to_its_ends() -> None:
    ends = np.array([-32768.0, 32767 + 65535 / 65536])
    assert features_to_fixed(ends).tolist() == [-(2**31), 2**31 - 1]


def test_the_xor_task() -> None:
    features = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    dataset = from_arrays(np.array([0, 1, 1, 0]), features=features)
    assert (dataset.image_shape, dataset.classes, dataset.fraction_bits, dataset.normalisation) == (
        (2,),
        ("0", "1"),
        16,
        None,
    )
    batch = dataset.read([3, 1], epoch=0)
    assert batch.images.dtype == np.int32
    assert batch.images.tolist() == [[65536, 65536], [0, 65536]]
    assert batch.labels.tolist() == [0, 1]
    assert batch.positions.tolist() == [3, 1]
