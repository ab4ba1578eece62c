"""No meaning overflows int64: at the extremes of its inputs it gives what Python integers give.

docs/numbers.md derives the bounds; here they are tried. Ops that look up tables cannot run on Python integers: their
intermediate values are bounded by constants of the tables, which `test_table_ops_stay_within_62_bits` spells out.
"""

from __future__ import annotations

import numpy as np
import pytest

from spindl.graph.operations import OPERATIONS, Value
from spindl.graph.ops.update import MOST_GRADIENTS, TERM_LIMIT
from spindl.number.rounding import WIDE_LIMIT
from spindl.number.sites import HIGHEST_EXPONENT, LOWEST_EXPONENT
from spindl.number.tables import LARGEST_POWER_Q16, LOG2_E_Q24, ONE_Q30
from tests.graph.cases import CASES, FIXED, INT16, INT32, UINT8, WIDE, cases, evaluate, full, most, scalar, site

TABLE_OPS = {
    "sigmoid",
    "tanh",
    "softmax",
    "cross_entropy_gradient",
    "cross_entropy_loss",
    "binary_cross_entropy_gradient",
    "binary_cross_entropy_loss",
}
CHOOSING_OPS = {"correct", "dropout", "max_pool", "max_pool_gradient", "window_sum_gradient"}
"""Ops that choose, or add a few numbers times one bounded constant; NumPy does not do that on Python integers."""


@pytest.mark.parametrize("op", sorted(set(CASES) - TABLE_OPS - CHOOSING_OPS))
def test_python_integers_give_the_same(op: str) -> None:
    for case in cases(op):
        wide = [Value(np.asarray(v.mantissa).astype(object), v.exponent) for _, v in case.inputs]
        exact = OPERATIONS[op].meaning(case.node(), *wide)
        found = case.run()
        assert found.exponent == exact.exponent
        assert np.asarray(found.mantissa).tolist() == np.asarray(exact.mantissa).tolist()


def test_table_ops_stay_within_62_bits() -> None:
    classes = 2**20
    largest_distance = 2 * 32767
    assert largest_distance * LOG2_E_Q24 < WIDE_LIMIT
    assert LARGEST_POWER_Q16 << 36 < WIDE_LIMIT  # scaled_to_log2_q16 at any exponent
    assert (ONE_Q30 << 30) + (classes * ONE_Q30) // 2 < WIDE_LIMIT  # softmax's numerator; sigmoid's is smaller
    assert (ONE_Q30 + classes) * LARGEST_POWER_Q16 < WIDE_LIMIT  # sum of target * distance
    assert (LARGEST_POWER_Q16 + (62 << 16)) * 45426 < WIDE_LIMIT  # to nats
    assert (2 * ONE_Q30) << 20 < WIDE_LIMIT  # binary cross-entropy's gradient
    assert LARGEST_POWER_Q16 << 16 < WIDE_LIMIT


def test_alignment_to_the_last_bit() -> None:
    # the largest operands at the largest exact left shifts
    assert int(evaluate("add", most((1,), 30), most((1,), 0)).mantissa[0]) == (32767 << 30) + 32767
    biased = evaluate("add_bias", full(WIDE, (1, 1), 2**61 - 1, FIXED - 30), full(INT32, (1,), 2**31 - 1, FIXED))
    assert int(biased.mantissa[0, 0]) == 2**61 - 1 + ((2**31 - 1) << 30) < WIDE_LIMIT
    error = evaluate(
        "squared_error_gradient", most((1, 1), -60, -1), full(INT32, (1, 1), 2**31 - 1, -16), multiplier=2 << 20
    )
    assert int(error.mantissa[0, 0]) == -(2**61)


@pytest.mark.parametrize("sign", [-1, 1])
def test_seven_saturated_terms_of_an_update(sign: int) -> None:
    huge = full(WIDE, (1,), sign * (WIDE_LIMIT - 1), HIGHEST_EXPONENT)
    master = full(INT32, (1,), sign * (2**31 - 1), HIGHEST_EXPONENT)
    step = evaluate("direction", master, scalar(32767, 60), site(LOWEST_EXPONENT), *[huge] * MOST_GRADIENTS)
    total = evaluate("momentum", master, (WIDE, step), scalar(32767, 60))
    assert int(total.mantissa[0]) == sign * 7 * TERM_LIMIT
    assert 7 * TERM_LIMIT < WIDE_LIMIT


def test_the_widest_affine() -> None:
    offset = 2**61 + 2**46  # OFFSET_LIMIT and RSH(scale * mean, 16)
    found = evaluate("affine", most((1, 1)), full(WIDE, (1,), 2**31 - 1), full(WIDE, (1,), offset))
    assert int(found.mantissa[0, 0]) == 32767 * (2**31 - 1) + offset < WIDE_LIMIT
    bytes_ = evaluate("affine", full(UINT8, (1, 1), 255), full(WIDE, (1,), 2**31), full(WIDE, (1,), -(2**58)))
    assert int(bytes_.mantissa[0, 0]) == 255 * 2**31 - 2**58


def test_a_contraction_beyond_float64_is_still_exact() -> None:
    # products too large for 53 bits take the int64 path; real int16 operands never need it
    x = np.full((1, 64, 1, 1), 2**24 + 1)
    found = evaluate(
        "convolution",
        (INT16, Value(x)),
        (INT16, Value(-x)),
        stride=(1, 1),
        padding=((0, 0),) * 2,
        dilation=(1, 1),
        groups=1,
    )
    assert int(found.mantissa[0, 0, 0, 0]) == -64 * (2**24 + 1) ** 2
