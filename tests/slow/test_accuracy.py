"""Training to accuracy, and ResNet-50 against float64: too long for the default suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.accuracy import result, train
from bench.fidelity import measure, warmed_up
from spindl.data import open_dataset

DATA = Path(__file__).parents[3] / "shared" / "data"

pytestmark = pytest.mark.slow


def test_digits(tmp_path: Path) -> None:
    train("digits", 0, tmp_path / "run", DATA, None)
    ours, theirs, _, _ = result(tmp_path / "run")
    assert ours >= 0.97
    assert abs(ours - theirs) <= 0.01


@pytest.mark.skipif(not (DATA / "mnist").exists(), reason=f"no MNIST in {DATA}")
def test_lenet5_on_mnist(tmp_path: Path) -> None:
    train("lenet5", 0, tmp_path / "run", DATA, None)
    ours, theirs, _, _ = result(tmp_path / "run")
    assert ours >= 0.988
    assert ours >= theirs - 0.004, "one seed; over three seeds the means are compared (docs/accuracy.md)"


@pytest.mark.skipif(not (DATA / "imagenet-samples").exists(), reason=f"no ImageNet pictures in {DATA}")
def test_resnet50_against_float64() -> None:
    dataset = open_dataset(str(DATA / "imagenet-samples"), image_size=224)
    module, batch = warmed_up(dataset, 8, 30)
    found = measure(module, dataset, batch)
    assert max(layer.units for layer in found.layers) <= 1
    assert found.cosine >= 0.98
    assert found.integer_loss == pytest.approx(found.double_loss, rel=0.005)
