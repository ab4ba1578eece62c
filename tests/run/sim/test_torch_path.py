"""What the torch path does to be quick: float64 or bytes where exact, pieces. Always the interpreter's bits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spindl.graph.operations import WIDE, Value
from spindl.number.rounding import clamp, limit, shift_right_half_even, shift_right_half_up
from spindl.run.sim import rounding
from spindl.run.sim.ops import batch_norm, byte_convolution, contraction, digits, pieces
from spindl.run.sim.ops.pieces import blocks
from spindl.train.builder import Builder
from tests.run.sim.cases import CASES, Draw
from tests.run.sim.test_ops import begin, check, examples, seeds

CONTRACTIONS = ("convolution", "convolution_input_gradient", "convolution_weight_gradient")
EXTREMES = (0, 1, -1, 2**52, -(2**52), 2**52 - 1, 2**31, -(2**31) + 1)


@st.composite
def integers_near_ties(draw: st.DrawFn) -> tuple[list[int], int]:
    """Integers up to 2^52, many of them at or beside a tie of the shift."""
    shift = draw(st.integers(-20, 70))
    values = list(EXTREMES)
    for _ in range(8):
        tie = (
            draw(st.integers(-(2**20), 2**20)) * 2 ** max(shift, 0) + 2 ** max(shift - 1, 0) + draw(st.integers(-1, 1))
        )
        values.append(max(-(2**52), min(2**52, tie)))
    return values, shift


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(integers_near_ties(), st.booleans(), st.integers(8, 16))
def test_float64_rounds_like_the_definition(case: tuple[list[int], int], even: bool, bits: int) -> None:
    values, shift = case
    defined = (shift_right_half_even if even else shift_right_half_up)(np.array(values, dtype=object), shift)
    expected = clamp(defined, limit(bits))
    for dtype in (torch.float64, torch.int64):
        result, largest, clamped = rounding.rounded_in_place(torch.tensor(values, dtype=dtype), shift, bits, even)
        assert result.tolist() == expected.tolist()
        assert (largest, clamped) == (2**52, int((expected != defined).sum()))


def test_a_piece_need_not_be_contiguous() -> None:
    exact = torch.arange(-600, 600, dtype=torch.float64).view(30, 40).t()
    result, largest, clamped = rounding.rounded_in_place(exact, 2, 8)
    assert result.tolist() == [[max(-127, min(127, (v * 40 + c - 600 + 2) >> 2)) for v in range(30)] for c in range(40)]
    assert (largest, clamped) == (600, sum(abs((v + 2) >> 2) > 127 for v in range(-600, 600)))


MANNERS = (
    "small pieces",
    "short sums",
    "unstacked",
    "stacked",
    "bytes",
    "small pieces of bytes",
    "convolutions of bytes",
)


@pytest.fixture(params=MANNERS)
def manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Ways in which large contractions work, forced on small ones."""
    if request.param == "convolutions of bytes":
        if not byte_convolution.available():
            pytest.skip("no quick and exact convolutions of bytes here")
        monkeypatch.setattr(byte_convolution, "FEWEST_PRODUCTS", 1)
        monkeypatch.setattr(byte_convolution, "PIECE", 60)
        monkeypatch.setattr(byte_convolution, "BLOCK", 20)
        yield request.param
        return
    if "bytes" in request.param:
        if not digits.available():
            pytest.skip("no quick and exact products of bytes here")
        monkeypatch.setattr(digits, "FEWEST_TERMS", 1)
        monkeypatch.setattr(digits, "FEWEST_POSITIONS", 1)
        monkeypatch.setattr(digits, "FEWEST_FILTERS", 1)
        if request.param != "bytes":
            monkeypatch.setattr(digits, "PIECE_BYTES", 256)
            monkeypatch.setattr(digits, "PATCH_BYTES", 256)
            monkeypatch.setattr(contraction, "BLOCK", 8)
            monkeypatch.setattr(contraction, "FEWEST_OUTPUTS", 1)
        yield request.param
        return
    monkeypatch.setattr(digits, "available", lambda: False)
    if request.param == "small pieces":  # parts of images
        monkeypatch.setattr(contraction, "COLUMN_BYTES", {True: 256, False: 256})
        monkeypatch.setattr(pieces, "BLOCK", 8)
        monkeypatch.setattr(contraction, "BLOCK", 8)
        monkeypatch.setattr(contraction, "FEWEST_OUTPUTS", 1)
    elif request.param == "short sums":  # int64
        monkeypatch.setattr(contraction, "EXACT_TERMS", 3)
    else:
        monkeypatch.setattr(contraction, "STACKING", 0 if request.param == "unstacked" else 10**6)
    yield request.param


@pytest.mark.parametrize("op", CONTRACTIONS)
def test_contractions_in_every_manner(op: str, manner: str) -> None:
    @examples
    @given(seeds)
    def run(seed: int) -> None:
        draw = Draw(seed)
        case = CASES[op](draw)
        b, nodes, state, inputs = begin(case)
        wide = b.emit(op, *nodes, **case.attributes)
        exponent = b.site("rounded")
        low = sum(value.exponent for value, _ in case.inputs)
        state["site/rounded"] = Value(draw.site()[0].mantissa, max(-60, min(30, low + draw.integer(-4, 24))))
        b.outputs["extent"] = b.emit("extent", wide)
        b.outputs["saturation"] = b.emit("saturation", wide, exponent, bits=16)
        b.outputs["result"] = b.emit("requantise", wide, exponent, bits=16)
        if op == "convolution_weight_gradient":
            b.outputs["result"] = b.emit("sum_groups", b.outputs["result"])
        check(b.graph(), state, inputs, "torch")

    run()


def test_two_digits_hold_what_they_say() -> None:
    x = torch.arange(-digits.LARGEST, digits.LARGEST + 1, dtype=torch.int16)
    found = digits.split(x)
    assert found is not None and found.largest == 127
    low, high = digits.pair(x)
    assert torch.equal(256 * high.to(torch.int64) + low, x.to(torch.int64))
    for largest in (digits.LARGEST + 1, -digits.LARGEST - 1, -(2**15)):
        assert digits.split(torch.tensor([0, largest], dtype=torch.int16)) is None


@pytest.mark.parametrize("terms", [2, 100, 512, 520, 4608, digits.TERMS])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("largest", [digits.LARGEST, digits.LARGEST - 255])
def test_sums_of_bytes_at_the_bounds(terms: int, sign: int, largest: int) -> None:
    """The largest products of digits, as many as are allowed: no int32 on the way overflows."""
    if not digits.available():
        pytest.skip("no quick and exact products of bytes here")
    x = torch.full((1, terms, 1, 1), sign * largest, dtype=torch.int16)
    w = torch.full((1, terms, 1, 1), largest, dtype=torch.int16)
    operands = digits.split_both(x, w, terms, 1)
    attributes = {"stride": (1, 1), "dilation": (1, 1), "padding": ((0, 0), (0, 0))}
    assert operands is not None
    ((_, sums),) = digits.convolved(*operands, (1, 1), attributes)
    assert rounding.as_tensor(sums).tolist() == [[[[float(sign * largest**2 * terms)]]]]


@pytest.mark.parametrize("low", [-(2**31) + 2**24, -(2**20), -256, -2, -1, 0, 1])
@pytest.mark.parametrize("high", [-1, 0, 1, 2, 255, 2**20, 2**31 - 2**24])
@pytest.mark.parametrize("shift", [0, 8, 9, 10, 24, 31, 32, 33])
def test_halves_are_rounded_like_integers(low: int, high: int, shift: int) -> None:
    """Around the ends of the upper half, and with every last byte."""
    upper = torch.tensor([low, high, (low + high) // 2], dtype=torch.int32).repeat_interleave(256)
    last = torch.arange(-(2**20), -(2**20) + 768, dtype=torch.int32)
    exact = upper.to(torch.int64) * 256 + (last & 255)
    assert torch.equal(rounding.Halves(upper, last).float64(), exact.to(torch.float64))
    expected, largest, saturated = rounding.rounded_in_place(exact.clone(), shift, 15)
    found, bound, clamped = rounding.rounded_in_place(rounding.Halves(upper.clone(), last), shift, 15)
    assert torch.equal(found.to(torch.int64), expected) and clamped == saturated
    assert int(bound).bit_length() == int(largest).bit_length()


def test_ties_to_even_without_a_producer() -> None:
    """A wide input: nothing to join, so that the op `requantise` itself rounds."""
    b = Builder(True, 1)
    wide, exponent = b.input("x", (5,), WIDE, batched=False), b.site("rounded")
    b.outputs["result"] = b.emit("requantise", wide, exponent, bits=16, ties="even")
    b.outputs["count"] = b.emit("saturation", wide, exponent, bits=16, ties="even")
    state = {"site/rounded": Value(np.full(16, -32768), 1)}
    check(b.graph(), state, {"x": Value(np.array([1, 3, 5, -1, 2**17]), 0)}, "torch")


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 2**18), (7, 2**17), (2**18, 3), (300, 1000)])
def test_blocks_cover_a_matrix_once(shape: tuple[int, int]) -> None:
    seen = torch.zeros(shape, dtype=torch.int8)
    for block in blocks(seen.shape, seen.device):
        seen[block] += 1
        assert seen[block].numel() <= pieces.BLOCK
    assert bool((seen == 1).all())


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(
    st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=8, max_size=8),
    st.sampled_from((2**30 - 1, 2**30, 2**31 - 1)),
    st.integers(-4, 34),
    st.booleans(),
)
def test_int32_rounds_like_the_definition(draws: list[int], most: int, shift: int, even: bool) -> None:
    """Also where a half would not fit any more; and the exact values, which may be somebody's, stay as they are."""
    values = [*(draw % (most + 1) for draw in draws), -most, most]
    defined = (shift_right_half_even if even else shift_right_half_up)(np.array(values, dtype=object), shift)
    expected, exact = clamp(defined, limit(16)), torch.tensor(values, dtype=torch.int32)
    result, largest, clamped = rounding.rounded_in_place(exact, shift, 16, even)
    assert result.tolist() == expected.tolist()
    assert (largest, clamped) == (most, int((expected != defined).sum()))
    assert exact.tolist() == values


@pytest.mark.parametrize("largest", [1, 180, 8191, 16383, 32767])
@pytest.mark.parametrize("sign", [1, -1])
def test_sums_of_products_at_the_bounds(largest: int, sign: int) -> None:
    """All products alike, of one sign: 32 bits hold as many as are summed there."""
    x = torch.full((5, 3, 37, 11), largest, dtype=torch.int16)
    y = x * sign
    assert batch_norm._sums(x, y).tolist() == [sign * largest**2 * 5 * 37 * 11] * 3
    assert batch_norm._sums(x, x).tolist() == [largest**2 * 5 * 37 * 11] * 3
