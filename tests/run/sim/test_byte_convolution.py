"""Convolutions of bytes: their bounds, and what is made of their sums."""

from __future__ import annotations

import pytest
import torch

from spindl.run.sim import rounding
from spindl.run.sim.ops import byte_convolution, digits
from spindl.run.sim.ops.pieces import channels_first, empty


@pytest.fixture(autouse=True)
def needed() -> None:
    if not byte_convolution.available():
        pytest.skip("no quick and exact convolutions of bytes here")


def convolved(x: torch.Tensor, w: torch.Tensor, stride: int, padding: int, dilation: int) -> torch.Tensor | None:
    shape = torch.nn.functional.conv2d(x[:1].double(), w[:1].double(), None, stride, padding, dilation).shape
    out = empty((len(x), len(w), *shape[2:]), torch.int64, x.device)
    attributes = {"stride": (stride,) * 2, "padding": ((padding,) * 2,) * 2, "dilation": (dilation,) * 2}
    pieces = byte_convolution.convolved(out, x, w, attributes)
    if pieces is None:
        return None
    for place, exact in pieces:
        place.copy_(rounding.as_tensor(exact))
    return out


@pytest.mark.parametrize("channels", [1, 3, 16, 40, 65])
@pytest.mark.parametrize(
    "kernel,stride,padding,dilation",
    [(1, 1, 0, 1), (1, 2, 0, 1), (3, 1, 1, 1), (3, 2, 1, 1), (3, 1, 2, 2), (5, 1, 2, 1)],
)
def test_sums_are_those_of_the_definition(
    channels: int, kernel: int, stride: int, padding: int, dilation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(byte_convolution, "FEWEST_PRODUCTS", 1)
    monkeypatch.setattr(byte_convolution, "PIECE", 4000)
    monkeypatch.setattr(byte_convolution, "BLOCK", 2000)
    for filters, largest in ((1, 127), (5, 8191), (16, 4096), (33, 8191)):
        x = torch.randint(-2 * largest - 1, 2 * largest + 2, (3, channels, 11, 9), dtype=torch.int16)
        w = torch.randint(-largest, largest + 1, (filters, channels, kernel, kernel), dtype=torch.int16)
        expected = torch.nn.functional.conv2d(x.double(), w.double(), None, stride, padding, dilation)
        found = convolved(x, w, stride, padding, dilation)
        if found is None:  # only where the bound does not hold
            assert channels * kernel**2 > 1024
        else:
            assert torch.equal(found.double(), expected)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("x,w", [(127, 128), (128, -128), (16511, 8319), (16256, 8064), (-16512, 8320), (16383, 8191)])
def test_longest_sums_are_exact_and_longer_ones_refused(
    x: int, w: int, sign: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums of equal products, as many as the bound allows: every partial sum is as large as it can be."""
    monkeypatch.setattr(byte_convolution, "FEWEST_PRODUCTS", 1)
    first, second = torch.tensor([x], dtype=torch.int16), torch.tensor([sign * w], dtype=torch.int16)
    operands = digits.split(first), digits.split(second)
    assert operands[0] is not None and operands[1] is not None
    terms = max(t for t in range(1, 2000) if byte_convolution.proven(t, operands[0], operands[1]))
    assert 700 < terms < 1100
    for count in (terms, terms - 1):
        found = convolved(first.expand(2, count, 3, 3), second.expand(16, count, 1, 1), 1, 0, 1)
        assert found is not None and torch.equal(found, torch.full((2, 16, 3, 3), count * x * sign * w))
    assert convolved(first.expand(2, terms + 1, 3, 3), second.expand(16, terms + 1, 1, 1), 1, 0, 1) is None


def test_digits_beyond_a_byte_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_convolution, "FEWEST_PRODUCTS", 1)
    x, w = torch.full((1, 1, 4, 4), digits.LARGEST, dtype=torch.int16), torch.ones((1, 1, 1, 1), dtype=torch.int16)
    assert convolved(x, w, 1, 0, 1) is not None
    assert convolved(x + 1, w, 1, 0, 1) is None and convolved(-x - 1, w, 1, 0, 1) is None


@pytest.mark.parametrize("shift", [0, 8, 9, 10, 13, 16, 17, 24])
@pytest.mark.parametrize("centre", [0, 1, -1, 5, 2**7, -(2**7), 3000, 16384, -16384, 2**20, 2**24 + 5, -(2**25)])
def test_thirds_are_rounded_like_integers(shift: int, centre: int) -> None:
    """Around ties, zero, the ends of int16 and powers of two."""
    tie = max(-(2**38), min(2**38, centre << shift)) + (1 << shift >> 1)
    exact = torch.arange(tie - 600, tie + 600).view(1, 60, 20)
    high = exact >> 16
    rest = exact - (high << 16)
    middle = (rest >> 8) - 3
    low = rest - (middle << 8)
    thirds = rounding.Thirds(high.float(), middle.float(), low.float() / 256)
    assert torch.equal(thirds.float64(), exact.double())
    expected, largest, saturated = rounding.rounded_in_place(exact.clone(), shift, 15)
    found, bound, clamped = rounding.rounded_in_place(thirds, shift, 15)
    assert torch.equal(found.to(torch.int64), expected) and clamped == saturated
    assert int(bound).bit_length() == int(largest).bit_length()
    assert torch.equal(thirds.float64(), exact.double())


def test_results_lie_channels_last() -> None:
    assert channels_first(empty((2, 3, 4, 5), torch.int16, torch.device("cpu"))).stride() == (1, 60, 15, 3)
