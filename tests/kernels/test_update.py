"""The optimiser's kernels equal chains of the ops direction, momentum, saturate32, descend, and those of LARS."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.operations import Value
from tests.kernels.cases import Random, both, expect, int32s, meaning, pair, pairs, value, wides
from tests.kernels.harness import EMPTY, Site, run

THRESHOLD = 2104533975


def _scalar(random: Random, low: int = -45, high: int = 3) -> tuple[int, int]:
    """A mantissa of 15 bits and an exponent; sometimes 0 or 1."""
    kind = int(random.integers(8))
    if kind < 2:
        return (kind, 0)
    return int(random.integers(2**14, 2**15)), int(random.integers(low, high))


def _at(scalar: tuple[int, int]) -> Value:
    return value(np.array(scalar[0]), scalar[1])


def _memory(scalar: tuple[int, int]) -> NDArray[np.int32]:
    return np.array(scalar, np.int32)


def _extent(wide: Value, site: Site, limit: int | None = None) -> Site:
    clamped = 0 if limit is None else int(np.count_nonzero(np.abs(wide.mantissa) > limit))
    return Site(site.exponent, max(site.extent, int(meaning("extent", wide).mantissa)), site.saturated + clamped)


def _site(random: Random) -> Site:
    return Site(int(random.integers(-50, 20)), int(random.choice([EMPTY, 0, 40])), 2)


@both("update", 300)
def test_update(random: Random, where: str) -> None:
    """Everything on or off: momentum, Nesterov, decay, fixed exponents, wide gradients, a direction that is ready."""
    count, site = int(random.integers(1, 12)), _site(random)
    master, velocity = int32s(random, count), int32s(random, count)
    if random.integers(3) == 0:  # near the threshold
        master = (THRESHOLD + random.integers(-3, 4, count)).astype(np.int32) * random.choice([-1, 1], count).astype(
            np.int32
        )
    narrow, ready = bool(random.integers(2)), False
    gradient: NDArray[Any] = int32s(random, count) if narrow else wides(random, count, int(random.choice([30, 50, 61])))
    e_master, e_gradient = int(random.integers(-40, 2)), int(random.integers(-60, 20))
    e_velocity = site.exponent + int(random.choice([-20, -3, 0, 3, 20]))
    decay, factor, rate = (_scalar(random) for _ in range(3))
    at = value(np.zeros(16), site.exponent)
    w = value(master, e_master)
    step = meaning("direction", w, _at(decay), at, value(gradient, e_gradient))
    if not narrow and random.integers(2):
        ready, gradient = True, step.mantissa.astype(np.int64)
    moves, nesterov, fixed = (bool(random.integers(2)) for _ in range(3))
    nesterov = nesterov and moves
    total = meaning("momentum", value(velocity, e_velocity), step, _at(factor)) if moves else step
    change = meaning("saturate32", total)
    after, moved = _extent(total, site, 2**31 - 1), change
    if nesterov:
        change = meaning("saturate32", meaning("momentum", change, step, _at(factor)))
    exact = meaning("descend", w, change, _at(rate), fixed=fixed)
    buffers: dict[str, NDArray[Any]] = {"master": master, "gradient": gradient, "y": np.zeros(count, np.int32)}
    buffers |= {"decay": _memory(decay), "factor": _memory(factor), "rate": _memory(rate)}
    buffers |= {"velocity": velocity, "change": np.zeros(count, np.int32), "overflow": np.array([0], np.int32)}
    arguments: dict[str, Any] = {"count": count, "gradient_bytes": gradient.itemsize, "ready": int(ready)}
    arguments |= {"nesterov": int(nesterov), "fixed": int(fixed), "site": 0}
    arguments |= {"master_exponent": 0, "velocity_exponent": 1, "gradient_exponent": 2}
    if not moves:
        arguments["velocity"] = 0
    if ready or decay[0] == 0:
        arguments["decay"] = 0
    exponents = [e_master, e_velocity, e_gradient]
    result = run("update", arguments, buffers, exponents, [site], where, shift={"gradient": 4, "decay": 4})
    assert result.error == 0
    assert result.sites == (after,)
    assert np.array_equal(result.buffers["change"], change.mantissa)
    assert np.array_equal(result.buffers["velocity"], moved.mantissa if moves else velocity)
    raised = exact.exponent != e_master
    assert result.buffers["overflow"].tolist() == [int(raised)]
    y = result.buffers["y"]
    if raised:  # the conditional second step
        again = {"step": change.mantissa.astype(np.int32), "rate": _memory(rate), "y": y.copy()}
        words = {"count": count, "site": 0, "master_exponent": 0, "master": "y"}
        halved = run("halve", words, again, exponents, [after], where)
        assert halved.error == 0
        y = halved.buffers["y"]
    assert np.array_equal(y, exact.mantissa)
    if narrow:  # in place, U over the gradient
        del buffers["change"], buffers["y"]
        arguments |= {"change": "gradient", "y": "master"}
        in_place = run("update", arguments, buffers, exponents, [site], where)
        assert np.array_equal(in_place.buffers["gradient"], change.mantissa)
        assert np.array_equal(in_place.buffers["master"], result.buffers["y"])


@both("direction")
def test_direction(random: Random, where: str) -> None:
    """Up to five gradients, int32 or int64, one call each; the last one watches the site."""
    count, site, uses = int(random.integers(1, 10)), _site(random), int(random.integers(1, 6))
    master, e_master, decay = int32s(random, count), int(random.integers(-40, 2)), _scalar(random)
    gradients = [int32s(random, count) if random.integers(2) else wides(random, count, 61) for _ in range(uses)]
    exponents = [int(v) for v in random.integers(-60, 40, uses)]
    at = value(np.zeros(16), site.exponent)
    terms = [value(g, e) for g, e in zip(gradients, exponents, strict=True)]
    exact = meaning("direction", value(master, e_master), _at(decay), at, *terms)
    y, sites = np.full(count, 5, np.int64), (site,)
    for number, gradient in enumerate(gradients):
        arguments: dict[str, Any] = {"gradient_bytes": gradient.itemsize, "first": int(number == 0), "count": count}
        arguments |= {"site": 0, "watch": int(number == uses - 1), "master_exponent": uses, "gradient_exponent": number}
        if number or decay[0] == 0:
            arguments["master"] = 0
        buffers = {"master": master, "decay": _memory(decay), "gradient": gradient, "y": y}
        result = run("direction", arguments, buffers, [*exponents, e_master], sites, where, shift={"y": 4})
        assert result.error == 0
        y, sites = result.buffers["y"].copy(), result.sites
    assert np.array_equal(y, exact.mantissa)
    assert sites == (_extent(exact, site),)


@both("scale_direction")
def test_scale_direction(random: Random, where: str) -> None:
    step, rate, site = wides(random, 10, 61), _scalar(random), _site(random)
    exponent = int(random.integers(-50, 20))
    at = value(np.zeros(16), site.exponent)
    exact = meaning("scale_direction", value(step, exponent), _at(rate), at).mantissa
    arguments = {"count": 10, "site": 0, "step_exponent": 0, "y": "step"}
    result = run("scale_direction", arguments, {"step": step, "rate": _memory(rate)}, [exponent], [site], where)
    expect(result, "step", exact, (site,))


@both("lars_rate")
def test_lars_rate(random: Random, where: str) -> None:
    weight, gradient = (int(abs(v)) for v in wides(random, 2, 61))
    weight, gradient = weight * int(random.random() < 0.9), gradient * int(random.random() < 0.9)
    e_weight, e_gradient = (int(v) for v in random.integers(-40, 10, 2))
    largest = [int(v) for v in random.integers(0, 62, 2)]
    rate, decay, batch = _scalar(random), _scalar(random), int(random.integers(1, 100000))
    eta, eps = (tuple(int(v) for v in pairs(random, 1, True)[0]) for _ in range(2))
    norms = [
        value(np.array(norm), 2 * (exponent + max(0, bits - 15)))
        for norm, exponent, bits in zip((weight, gradient), (e_weight, e_gradient), largest, strict=True)
    ]
    exact = meaning("lars_rate", *norms, _at(rate), _at(decay), batch=batch, eta=eta, eps=eps)
    buffers: dict[str, NDArray[Any]] = {"weight_norm": np.array([weight]), "gradient_norm": np.array([gradient])}
    buffers |= {"weight_largest": np.array(largest[:1], np.int32), "gradient_largest": np.array(largest[1:], np.int32)}
    buffers |= {"rate": _memory(rate), "decay": _memory(decay), "y": np.zeros(2, np.int32)}
    arguments = {"batch": batch, "eta_mantissa": eta[0], "eta_exponent": eta[1], "eps_mantissa": eps[0]}
    arguments |= {"eps_exponent": eps[1], "weight_exponent": 0, "gradient_exponent": 1}
    result = run("lars_rate", arguments, buffers, [e_weight, e_gradient], (), where, shift={"weight_norm": 4, "y": 4})
    expect(result, "y", np.array([int(exact.mantissa), exact.exponent]))


def test_scalars_of_the_tests_have_15_bits() -> None:
    random = np.random.default_rng(3)
    assert all(0 <= _scalar(random)[0] < 2**15 for _ in range(100))
    assert pair(random) is not None
