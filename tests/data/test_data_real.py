"""The real data, where it is present."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spindl.data import NORMALISATION, batches, open_dataset
from spindl.data.cifar import CLASSES
from spindl.data.registry import DEBIAN_FASHION_MNIST

Shared = Callable[[str], Path]


def measured(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel from exact sums over the pixels."""
    means, deviations = [], []
    for channel in range(pixels.shape[1]):
        counts = np.bincount(pixels[:, channel].ravel(), minlength=256)
        mean = counts @ np.arange(256) / counts.sum()
        deviation = (counts @ (np.arange(256) - mean) ** 2 / counts.sum()) ** 0.5
        means.append(round(mean / 255, 4))
        deviations.append(round(deviation / 255, 4))
    return tuple(means), tuple(deviations)


def test_mnist(shared: Shared) -> None:
    root = shared("mnist").parent
    train, test = open_dataset("mnist", "train", data_root=root), open_dataset("mnist", "test", data_root=root)
    assert (len(train), len(test), train.image_shape) == (60_000, 10_000, (1, 28, 28))
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    pixels = train.read(range(60_000), epoch=0).images
    assert measured(pixels) == NORMALISATION["mnist"]
    # The IDX file of the images as first published, unpacked, has this hash.
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    digest = hashlib.sha256(header + pixels.tobytes()).hexdigest()
    assert digest == "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"


def test_fashion_mnist() -> None:
    if not DEBIAN_FASHION_MNIST.is_dir():
        pytest.skip("needs the Debian package dataset-fashion-mnist")
    train = open_dataset("fashion-mnist", "train", download=False)
    assert (len(train), len(open_dataset("fashion-mnist", "test", download=False))) == (60_000, 10_000)
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0]
    assert measured(train.read(range(60_000), epoch=0).images) == NORMALISATION["fashion-mnist"]


def test_cifar10(shared: Shared, tmp_path: Path) -> None:
    root = shared("cifar10.zip").parent
    train = open_dataset("cifar10", "train", data_root=root, cache_dir=tmp_path, seed=1)
    test = open_dataset("cifar10", "test", data_root=root, cache_dir=tmp_path)
    assert (len(train), len(test), train.image_shape) == (50_000, 10_000, (3, 32, 32))
    assert train.classes == test.classes == CLASSES
    assert np.bincount(train.labels).tolist() == [5000] * 10
    assert np.bincount(test.labels).tolist() == [1000] * 10
    mean, _ = measured(test.read(range(10_000), epoch=0).images)
    # The test half of a copy that went through JPEG: near the constants of the original's training half.
    assert np.abs(np.array(mean) - NORMALISATION["cifar10"][0]).max() < 0.005

    again = open_dataset("cifar10", "train", data_root=root, cache_dir=tmp_path, seed=1)
    assert type(again.read([0], epoch=0).images) is np.ndarray
    start = time.process_time()
    seen = 0
    for step, batch in enumerate(batches(again, 128, 3, 7, workers=2)):
        seen += len(batch)
        if step % 100 == 0:
            assert np.array_equal(batch.images, train.read(batch.positions, epoch=7).images)
    assert seen == 390 * 128
    # In time of the processors, which other programs do not lengthen. A loop over pictures would not reach it.
    assert seen / (time.process_time() - start) > 20_000


def test_imagenet_samples(shared: Shared) -> None:
    folder = shared("imagenet-samples")
    train, test = open_dataset(folder, "train", seed=2), open_dataset(folder, "all")
    assert len(train) == len(test) == len(train.classes) == 128
    assert train.normalisation == NORMALISATION["imagenet"]
    images = np.concatenate([batch.images for batch in batches(test, 16, 0, 0, shuffle=False)])
    assert images.shape == (128, 3, 224, 224)
    names = sorted(path.name for path in folder.glob("*.JPEG"))
    grey = []
    for i, name in enumerate(names):
        with Image.open(folder / name) as image:
            if image.mode == "L":
                grey.append(i)
    assert len(grey) >= 6
    for i in grey:
        assert np.array_equal(images[i, 0], images[i, 1])
        assert np.array_equal(images[i, 0], images[i, 2])
        assert images[i, 0].std() > 10
    # No picture is lost or constant, and they differ.
    assert (images.std(axis=(1, 2, 3)) > 5).all()
    assert len({image.tobytes() for image in images}) == 128

    first, second = (next(batches(train, 32, 0, epoch, shuffle=False)).images for epoch in (0, 1))
    assert first.shape == (32, 3, 224, 224)
    assert not np.array_equal(first, second)
    assert np.array_equal(first, train.read(range(32), epoch=0).images)
