"""Sigmoid, tanh, softmax, their gradients, and the losses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spindl.graph.operations import Value
from tests.kernels.cases import Random, both, expect, mantissas, meaning, rounded, rounding_words, site_near, value
from tests.kernels.harness import Site, run


@both("sigmoid")
def test_sigmoid_and_tanh(random: Random, where: str) -> None:
    x, exponent = mantissas(random, int(random.integers(1, 20))), int(random.integers(-25, 12))
    hyperbolic = int(random.integers(2))
    wide = meaning("tanh" if hyperbolic else "sigmoid", value(x, exponent))
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    arguments = {"count": x.size, "hyperbolic": hyperbolic, "x_exponent": 0, **words}
    result = run("sigmoid", {**arguments, "y": "x"}, {"x": x}, [exponent], [site, site], where)
    expect(result, "x", exact, (site, after))


@both("sigmoid_gradient")
def test_sigmoid_and_tanh_gradients(random: Random, where: str) -> None:
    """y as every site leaves it: exponents from -20, mantissas of up to 16 bits."""
    count, e_y = int(random.integers(1, 30)), int(random.integers(-20, 2))
    dy, y, e_dy = mantissas(random, count), mantissas(random, count), int(random.integers(-40, 20))
    hyperbolic = int(random.integers(2))
    wide = meaning("tanh_gradient" if hyperbolic else "sigmoid_gradient", value(dy, e_dy), value(y, e_y))
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    arguments = {"count": count, "hyperbolic": hyperbolic, "dy_exponent": 0, "y_exponent": 1, **words}
    buffers = {"dy": dy, "y": y, "dx": np.zeros_like(y)}
    expect(run("sigmoid_gradient", arguments, buffers, [e_dy, e_y], [site, site], where), "dx", exact, (site, after))


@both("softmax")
def test_softmax(random: Random, where: str) -> None:
    """Along the last, a middle and the first axis of a tile."""
    shape = tuple(int(v) for v in (random.integers(1, 4), random.integers(1, 12), random.integers(1, 4)))
    x, exponent = mantissas(random, shape), int(random.integers(-25, 12))
    wide = meaning("softmax", value(x, exponent), axis=1)
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    arguments = {"outer": shape[0], "length": shape[1], "inner": shape[2], "x_exponent": 0, **words}
    result = run("softmax", arguments, {"x": x, "y": np.zeros_like(x)}, [exponent], [site, site], where)
    expect(result, "y", exact, (site, after))


@both("softmax_gradient")
def test_softmax_gradient(random: Random, where: str) -> None:
    shape = tuple(int(v) for v in (random.integers(1, 4), random.integers(1, 12), random.integers(1, 4)))
    dy, y = mantissas(random, shape), mantissas(random, shape)
    e_dy, e_y = int(random.integers(-40, 20)), int(random.integers(-20, 2))
    wide = meaning("softmax_gradient", value(dy, e_dy), value(y, e_y), axis=1)
    words = rounding_words(random)
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    arguments = {"outer": shape[0], "length": shape[1], "inner": shape[2], "dy_exponent": 0, "y_exponent": 1, **words}
    result = run("softmax_gradient", {**arguments, "dx": "dy"}, {"dy": dy, "y": y}, [e_dy, e_y], [site, site], where)
    expect(result, "dy", exact, (site, after))


def _loss(
    kernel: str,
    random: Random,
    where: str,
    arguments: dict[str, int],
    buffers: dict[str, NDArray[Any]],
    exponent: int,
    wide: Value,
    scalars: dict[str, Value],
) -> None:
    """One run that must make gradient, loss and hits, and one without the gradient that must not touch the site."""
    words = rounding_words(random) | {"activation": 0}
    site = site_near(random, wide, words["bits"])
    exact, after = rounded(wide, site, words)
    images = arguments["images"]
    results = {name: np.full(images, -7, np.int64) for name in scalars}
    everything = {**buffers, "dz": np.zeros(exact.size, np.int16), **results}
    shift = {"loss": 4}
    result = run(
        kernel, arguments | words | {"z_exponent": 0}, everything, [exponent], [site, site], where, shift=shift
    )
    expect(result, "dz", exact, (site, after))
    alone = run(
        kernel, arguments | words | {"z_exponent": 0, "dz": 0}, {**buffers, **results}, [exponent], [site, site], where
    )
    for name, scalar in scalars.items():
        assert np.array_equal(result.buffers[name], scalar.mantissa)
        assert np.array_equal(alone.buffers[name], scalar.mantissa)
    assert alone.sites == (site, site)


@both("cross_entropy")
def test_cross_entropy(random: Random, where: str) -> None:
    images, classes = int(random.integers(1, 4)), int(random.integers(1, 12))
    z, exponent = mantissas(random, (images, classes)), int(random.integers(-25, 12))
    labels = random.integers(0, classes, images).astype(np.int32)
    smoothing = int(random.choice([0, 2**30 // 10, 2**30, int(random.integers(0, 2**30))]))
    logits, targets = value(z, exponent), value(labels)
    wide = meaning("cross_entropy_gradient", logits, targets, smoothing=smoothing)
    scalars = {"loss": meaning("cross_entropy_loss", logits, targets, smoothing=smoothing)}
    scalars["correct"] = meaning("correct", logits, targets)
    arguments = {"images": images, "classes": classes, "smoothing": smoothing}
    _loss("cross_entropy", random, where, arguments, {"z": z, "labels": labels}, exponent, wide, scalars)


@both("squared_error")
def test_squared_error(random: Random, where: str) -> None:
    images, features = int(random.integers(1, 4)), int(random.integers(1, 12))
    z, exponent = mantissas(random, (images, features)), int(random.integers(-60, 61))
    target = random.integers(-(2**31) + 1, 2**31, (images, features)) >> int(random.integers(0, 31))
    logits, targets = value(z, exponent), value(target, -16)
    multiplier = (2 * (2**20 * 2) + features) // (2 * features)
    wide = meaning("squared_error_gradient", logits, targets, multiplier=multiplier)
    scalars = {"loss": meaning("squared_error_loss", logits, targets)}
    arguments = {"images": images, "features": features, "multiplier": multiplier}
    buffers = {"z": z, "target": target.astype(np.int32)}
    _loss("squared_error", random, where, arguments, buffers, exponent, wide, scalars)


@both("binary_cross_entropy")
def test_binary_cross_entropy(random: Random, where: str) -> None:
    images, features = int(random.integers(1, 4)), int(random.integers(1, 12))
    z, exponent = mantissas(random, (images, features)), int(random.integers(-25, 12))
    target = random.choice([0, 1 << 16, 1 << 15, 1, int(random.integers(0, 2**16))], (images, features))
    logits, targets = value(z, exponent), value(target, -16)
    multiplier = (2 * 2**20 + features) // (2 * features)
    wide = meaning("binary_cross_entropy_gradient", logits, targets, multiplier=multiplier)
    scalars = {
        name: meaning(op, logits, targets)
        for name, op in (("loss", "binary_cross_entropy_loss"), ("correct", "binary_correct"))
    }
    arguments = {"images": images, "features": features, "multiplier": multiplier}
    buffers = {"z": z, "target": target.astype(np.int32)}
    _loss("binary_cross_entropy", random, where, arguments, buffers, exponent, wide, scalars)


@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
def test_every_entry_of_the_table_of_powers(where: str) -> None:
    """Two classes, smoothed until the target is the softmax: the difference shows its last bits, in Q30."""
    step = 1 if where == "host" else 8
    for distance in range(1, 16384, 64 * step):  # up to log2(e): all entries
        z, exponent = np.array([[0, -distance]], np.int16), -14
        largest = int(meaning("softmax", value(z, exponent), axis=1).mantissa[0, 0])
        smoothing = 2 * ((1 << 30) - largest)
        labels, site = np.zeros(1, np.int32), Site(-30)
        wide = meaning("cross_entropy_gradient", value(z, exponent), value(labels), smoothing=smoothing)
        assert np.abs(wide.mantissa).max() < 32767
        words = {"site": 0, "bits": 16, "activation": 0, "ties": distance % 4 // 3}
        exact, after = rounded(wide, site, words)
        arguments = {
            "images": 1,
            "classes": 2,
            "smoothing": smoothing,
            "loss": 0,
            "correct": 0,
            "z_exponent": 0,
            **words,
        }
        buffers = {"z": z, "labels": labels, "dz": np.zeros(2, np.int16)}
        expect(run("cross_entropy", arguments, buffers, [exponent], [site], where), "dz", exact, (after,))


@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
@pytest.mark.parametrize("label", [-1, 3])
def test_a_label_out_of_range_is_refused(where: str, label: int) -> None:
    buffers = {"z": np.zeros((1, 3), np.int16), "labels": np.array([label], np.int32)}
    arguments = {"images": 1, "classes": 3, "smoothing": 0, "dz": 0, "loss": 0, "correct": 0, "z_exponent": 0}
    arguments |= {"site": 0, "bits": 15, "activation": 0, "ties": 0}
    assert run("cross_entropy", arguments, buffers, [0], [Site(0)], where).error == 3


@pytest.mark.parametrize("where", ["host", "ref-on-arm"])
@pytest.mark.parametrize("target", [-1, 65537])
def test_a_target_out_of_range_is_refused(where: str, target: int) -> None:
    buffers = {"z": np.zeros((1, 1), np.int16), "target": np.array([target], np.int32)}
    arguments = {"images": 1, "features": 1, "multiplier": 1, "dz": 0, "loss": 0, "correct": 0, "z_exponent": 0}
    arguments |= {"site": 0, "bits": 15, "activation": 0, "ties": 0}
    assert run("binary_cross_entropy", arguments, buffers, [0], [Site(0)], where).error == 3
