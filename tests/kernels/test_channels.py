"""Sums per channel, and BatchNorm's scalars within the bounds of docs/numbers.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kernels.cases import (
    Random,
    both,
    channels_last,
    expect,
    int32s,
    mantissas,
    meaning,
    pair,
    pairs,
    value,
    wides,
)
from tests.kernels.harness import Site, run


@both("channel_sums")
def test_channel_sums(random: Random, where: str) -> None:
    """Two tiles into the same sums, with either sum left out."""
    images, channels = int(random.integers(1, 3)), int(random.integers(1, 7))
    shape = (images, channels, int(random.integers(1, 6)), 3)
    x, y = mantissas(random, shape), mantissas(random, shape)
    exact = {
        "sum": meaning("channel_sum", value(x)).mantissa,
        "dot": meaning("channel_dot", value(x), value(y)).mantissa,
    }
    before = wides(random, channels, 60)
    arguments = {"pixels": x.size // channels, "channels": channels}
    buffers = {"x": channels_last(x), "y": channels_last(y), "sum": before, "dot": before}
    shift = {"x": 2 * int(random.integers(0, 2)), "y": 2 * int(random.integers(0, 2)), "sum": 4, "dot": 4}
    fresh = run("channel_sums", {**arguments, "first": 1}, buffers, where=where, shift=shift)
    more = run("channel_sums", {**arguments, "first": 0}, buffers, where=where, shift=shift)
    for name in ("sum", "dot"):
        expect(fresh, name, exact[name])
        expect(more, name, before + exact[name])
        other = "dot" if name == "sum" else "sum"
        some = {key: buffers[key] for key in buffers if key != other}
        expect(
            run("channel_sums", {**arguments, "first": 1, other: 0}, some, where=where, shift=shift), name, exact[name]
        )


@both("channel_sums", 60)
def test_squares(random: Random, where: str) -> None:
    """x and y may be the same: sums of squares, an odd number of pixels of the largest magnitude."""
    x = mantissas(random, (1, int(random.integers(1, 5)), 7, 5))
    arguments = {"pixels": 35, "channels": x.shape[1], "first": 1, "y": "x", "sum": 0}
    result = run("channel_sums", arguments, {"x": channels_last(x), "dot": np.zeros(x.shape[1], np.int64)}, where=where)
    expect(result, "dot", meaning("channel_dot", value(x), value(x)).mantissa)


class Sums:
    """Sums of a channel of N elements x and g, as some data would give them."""

    def __init__(self, random: Random, channels: int) -> None:
        self.count = int(random.choice([1, 2, 49, 802816, 2**31 - 1, int(random.integers(1, 2**31))]))
        n = self.count
        largest = random.choice([32767, 16383, 100, 1, 0], channels)
        mean, mean_g = (np.array([random.integers(-v, v + 1) for v in largest], np.int64) for _ in range(2))
        self.s1 = np.clip(mean * n + random.integers(-n, n + 1, channels), -n * largest, n * largest)
        least = -(-(self.s1.astype(object) ** 2) // n)  # N * S2 >= S1^2
        most = n * largest.astype(object) ** 2
        self.s2 = np.array([_between(random, a, max(a, b)) for a, b in zip(least, most, strict=True)], np.int64)
        self.sg = np.clip(mean_g * n + random.integers(-n, n + 1, channels), -n * largest, n * largest)
        self.sgx = np.array([_between(random, -int(v), int(v)) for v in self.s2], np.int64)


def _between(random: Random, low: int, high: int) -> int:
    return (
        int(random.choice([low, high, low + int((high - low) * float(random.random()))])) if high - low < 2**62 else low
    )


def _run(
    kernel: str,
    where: str,
    arguments: dict[str, Any],
    operands: dict[str, NDArray[Any]],
    exact: NDArray[np.int64],
    exponents: list[int],
    site: Site | None = None,
) -> None:
    """The kernel's y must be exact: pairs for two columns, int64 otherwise."""
    y = np.zeros(exact.shape, np.int32 if exact.ndim == 2 else np.int64)
    sites = () if site is None else (site,)
    words = arguments | {"channels": len(exact)}
    shift = dict.fromkeys((*operands, "y"), 4)
    expect(run(kernel, words, {**operands, "y": y}, exponents, sites, where, shift=shift), "y", exact, sites)


def _eps(random: Random) -> tuple[int, int]:
    mantissa = int(random.choice([2**30, 2**31 - 1, int(random.integers(2**30, 2**31))]))
    return mantissa, int(random.integers(-90, -31))


@both("inverse_deviation")
def test_inverse_deviation(random: Random, where: str) -> None:
    sums, exponent, eps = Sums(random, 4), int(random.integers(-60, 61)), _eps(random)
    exact = meaning("inverse_deviation", value(sums.s1, exponent), value(sums.s2), count=sums.count, eps=eps).mantissa
    words = {"s1_exponent": 0, "count": sums.count, "eps_mantissa": eps[0], "eps_exponent": eps[1]}
    _run("inverse_deviation", where, words, {"s1": sums.s1, "s2": sums.s2}, exact, [exponent])


@both("running_inverse_deviation")
def test_running_inverse_deviation(random: Random, where: str) -> None:
    variance, eps = pairs(random, 4, positive=True), _eps(random)
    exact = meaning("running_inverse_deviation", value(variance), eps=eps).mantissa
    words = {"eps_mantissa": eps[0], "eps_exponent": eps[1]}
    _run("running_inverse_deviation", where, words, {"variance": variance}, exact, [])


@both("batch_norm_scale")
def test_batch_norm_scale(random: Random, where: str) -> None:
    gamma, inverse = int32s(random, 4), pairs(random, 4, True, -60, 30)
    e_gamma, e_x, site = -27, int(random.integers(-60, 61)), Site(int(random.integers(-60, 61)))
    operands = (value(gamma, e_gamma), value(inverse), value(np.zeros(16), site.exponent), value(np.array(0), e_x))
    exact = meaning("batch_norm_scale", *operands).mantissa
    words = {"gamma_exponent": 0, "reference_exponent": 1, "site": 0}
    _run("batch_norm_scale", where, words, {"gamma": gamma, "inverse": inverse}, exact, [e_gamma, e_x], site)


@both("batch_norm_offset")
def test_batch_norm_offset(random: Random, where: str) -> None:
    beta, scale, sums = int32s(random, 4), int32s(random, 4).astype(np.int64), Sums(random, 4)
    site, e_beta = Site(int(random.integers(-100, 61))), int(random.choice([-27, -27, 20]))
    at = value(np.zeros(16), site.exponent)
    exact = meaning(
        "batch_norm_offset", value(beta, e_beta), value(scale), value(sums.s1), at, count=sums.count
    ).mantissa
    words = {"beta_exponent": 0, "site": 0, "count": sums.count}
    _run("batch_norm_offset", where, words, {"beta": beta, "scale": scale, "s1": sums.s1}, exact, [e_beta], site)


@both("running_offset")
def test_running_offset(random: Random, where: str) -> None:
    beta, scale, mean = int32s(random, 4), int32s(random, 4).astype(np.int64), pairs(random, 4)
    site, e_scale = Site(int(random.integers(-60, 61))), int(random.integers(-100, 60))
    at = value(np.zeros(16), site.exponent)
    exact = meaning("running_offset", value(beta, -27), value(scale, e_scale), value(mean), at).mantissa
    words = {"beta_exponent": 0, "scale_exponent": 1, "site": 0}
    _run("running_offset", where, words, {"beta": beta, "scale": scale, "mean": mean}, exact, [-27, e_scale], site)


@both("gamma_gradient")
def test_gamma_gradient(random: Random, where: str) -> None:
    sums, inverse, exponent = Sums(random, 4), pairs(random, 4, True), int(random.integers(-100, 60))
    operands = (value(sums.sg), value(sums.sgx, exponent), value(sums.s1), value(inverse))
    exact = meaning("gamma_gradient", *operands, count=sums.count).mantissa
    buffers = {"sg": sums.sg, "sgx": sums.sgx, "s1": sums.s1, "inverse": inverse}
    _run("gamma_gradient", where, {"sgx_exponent": 0, "count": sums.count}, buffers, exact, [exponent])


@both("running_gamma_gradient")
def test_running_gamma_gradient(random: Random, where: str) -> None:
    sums, mean, inverse = Sums(random, 4), pairs(random, 4), pairs(random, 4, True)
    exponents = [int(v) for v in random.integers(-60, 60, 2)]
    operands = (value(sums.sg, exponents[0]), value(sums.sgx, exponents[1]), value(mean), value(inverse))
    exact = meaning("running_gamma_gradient", *operands).mantissa
    buffers = {"sg": sums.sg, "sgx": sums.sgx, "mean": mean, "inverse": inverse}
    _run("running_gamma_gradient", where, {"sg_exponent": 0, "sgx_exponent": 1}, buffers, exact, exponents)


@both("batch_norm_slope")
def test_batch_norm_slope(random: Random, where: str) -> None:
    gamma, inverse, gradient = int32s(random, 4), pairs(random, 4, True), pairs(random, 4)
    count, e_x, site = (
        int(random.integers(1, 2**31)),
        int(random.integers(-60, 61)),
        Site(int(random.integers(-60, 61))),
    )
    at = value(np.zeros(16), site.exponent)
    operands = (value(gamma, -27), value(inverse), value(gradient), value(np.zeros(4), e_x), at)
    exact = meaning("batch_norm_slope", *operands, count=count).mantissa
    words = {"gamma_exponent": 0, "s1_exponent": 1, "site": 0, "count": count}
    buffers = {"gamma": gamma, "inverse": inverse, "gradient": gradient}
    _run("batch_norm_slope", where, words, buffers, exact, [-27, e_x], site)


@both("batch_norm_gradient_offset")
def test_batch_norm_gradient_offset(random: Random, where: str) -> None:
    scale, slope, sums = (int32s(random, 4).astype(np.int64) for _ in range(2)), None, Sums(random, 4)
    scale, slope = scale
    operands = (value(scale), value(slope), value(sums.sg), value(sums.s1), value(np.zeros(16)))
    exact = meaning("batch_norm_gradient_offset", *operands, count=sums.count).mantissa
    buffers = {"scale": scale, "slope": slope, "sg": sums.sg, "s1": sums.s1}
    _run("batch_norm_gradient_offset", where, {"count": sums.count}, buffers, exact, [])


@both("running_mean")
def test_running_mean(random: Random, where: str) -> None:
    running, sums, exponent = pairs(random, 4), Sums(random, 4), int(random.integers(-60, 61))
    momentum = int(random.choice([0, 3277, 1 << 15]))
    exact = meaning(
        "running_mean", value(running), value(sums.s1, exponent), count=sums.count, momentum=momentum
    ).mantissa
    words = {"s1_exponent": 0, "count": sums.count, "momentum": momentum}
    _run("running_mean", where, words, {"running": running, "s1": sums.s1}, exact, [exponent])


@both("running_variance")
def test_running_variance(random: Random, where: str) -> None:
    running, sums, exponent = pairs(random, 4, True), Sums(random, 4), int(random.integers(-60, 61))
    attributes = {"count": sums.count, "momentum": int(random.choice([0, 3277, 1 << 15]))}
    operands = (value(running), value(sums.s1, exponent), value(sums.s2))
    exact = meaning("running_variance", *operands, **attributes).mantissa
    buffers = {"running": running, "s1": sums.s1, "s2": sums.s2}
    _run("running_variance", where, {"s1_exponent": 0, **attributes}, buffers, exact, [exponent])


@both("pair_to_wide")
def test_pair_to_wide(random: Random, where: str) -> None:
    x, site = pairs(random, 6), Site(int(random.integers(-140, 100)))
    exact = meaning("pair_to_wide", value(x), value(np.zeros(16), site.exponent)).mantissa
    _run("pair_to_wide", where, {"site": 0}, {"x": x}, exact, [], site)


@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
def test_a_variance_below_zero_is_refused(where: str) -> None:
    variance = np.array([[-(2**30), 5]], np.int32)
    words = {"eps_mantissa": 2**30, "eps_exponent": -50, "channels": 1}
    buffers = {"variance": variance, "y": np.zeros((1, 2), np.int32)}
    assert run("running_inverse_deviation", words, buffers, where=where).error == 3


def test_pairs_of_the_tests_are_normalised() -> None:
    random = np.random.default_rng(1)
    made = [pair(random) for _ in range(100)]
    assert all(m == e == 0 or 2**30 <= abs(m) < 2**31 for m, e in made)
