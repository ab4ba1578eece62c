"""open_dataset: names, paths, places, and the small sources npz, digits and CIFAR-10's binary version."""

from __future__ import annotations

import io
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from data_makers import picture_bytes, write_idx_folder, write_tree

from spindl.data import (
    KNOWN,
    NORMALISATION,
    Augmentation,
    AugmentationError,
    CorruptArchiveError,
    CorruptFileError,
    FeatureRangeError,
    LabelRangeError,
    MissingFileError,
    MissingLibraryError,
    MissingSplitError,
    UnknownDatasetError,
    for_evaluation,
    open_dataset,
    registry,
)


def cifar_files(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    files = {}
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        # Mostly black, so that packing and unpacking is quick.
        records = np.zeros((10_000, 3073), dtype=np.uint8)
        records[::617] = records[-1] = rng.integers(0, 256, 3073, dtype=np.uint8)
        records[:, 0] = np.arange(10_000) % 10
        files[name] = records.tobytes()
    return files


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def test_an_unknown_name_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(UnknownDatasetError) as caught:
        open_dataset("mnits")
    assert caught.value.known == KNOWN
    for name in ("mnits", *KNOWN):
        assert name in str(caught.value)
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(UnknownDatasetError, match="neither a folder"):
        open_dataset(tmp_path / "data.csv")


def test_places_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, place in enumerate(("root", "variable", "cache")):
        write_idx_folder(tmp_path / place / "mnist", train=20 + number)
    cache = tmp_path / "cache"
    assert len(open_dataset("mnist", cache_dir=cache)) == 22
    monkeypatch.setenv("SPINDL_DATA", str(tmp_path / "variable"))
    assert len(open_dataset("mnist", cache_dir=cache)) == 21
    dataset = open_dataset("mnist", cache_dir=cache, data_root=tmp_path / "root")
    assert (len(dataset), dataset.source) == (20, str(tmp_path / "root" / "mnist"))
    with pytest.raises(MissingFileError, match="no folder"):
        open_dataset("mnist", data_root=tmp_path / "rooot")


def test_the_home_folder_is_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_idx_folder(tmp_path / ".cache" / "spindl" / "mnist")
    assert len(open_dataset("mnist", download=False)) == 20


def test_debians_package_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx_folder(tmp_path / "debian")
    monkeypatch.setattr(registry, "DEBIAN_FASHION_MNIST", tmp_path / "debian")
    dataset = open_dataset("fashion-mnist", "test", cache_dir=tmp_path, download=False)
    assert len(dataset) == 10
    assert dataset.classes[9] == "Ankle boot"
    with pytest.raises(MissingFileError):
        open_dataset("mnist", "test", cache_dir=tmp_path, download=False)


def test_a_name_has_no_all(tmp_path: Path) -> None:
    with pytest.raises(MissingSplitError):
        open_dataset("digits", "all")


def test_image_size_of_data_in_memory(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "mnist")
    dataset = open_dataset("mnist", data_root=tmp_path, image_size=32)
    assert dataset.image_shape == (1, 32, 32)
    assert dataset.augmentation == Augmentation(resize=32, centre_crop=32)
    assert dataset.read([0, 1], epoch=0).images.shape == (2, 1, 32, 32)
    assert open_dataset("mnist", data_root=tmp_path, image_size=28).augmentation == Augmentation()
    with pytest.raises(AugmentationError, match="image_size asks for 32"):
        open_dataset("mnist", data_root=tmp_path, image_size=32, augment=for_evaluation(16))


def test_cifar10_original(tmp_path: Path) -> None:
    files = cifar_files()
    write_tar(tmp_path / "cifar-10-binary.tar.gz", files)
    train, test = (open_dataset("cifar10", split, data_root=tmp_path) for split in ("train", "test"))
    assert (len(train), len(test), train.image_shape) == (50_000, 10_000, (3, 32, 32))
    assert train.augmentation == Augmentation(pad_crop=4, flip=True)
    assert test.augmentation == Augmentation()
    assert train.normalisation == NORMALISATION["cifar10"]
    record = np.frombuffer(files["test_batch.bin"], dtype=np.uint8).reshape(-1, 3073)[1851]
    batch = test.read([1851], epoch=0)
    assert batch.labels[0] == record[0]
    assert np.array_equal(batch.images.ravel(), record[1:])
    last = np.frombuffer(files["data_batch_5.bin"], dtype=np.uint8)[-3073]
    assert train.labels[-1] == last

    folder = write_tree(tmp_path / "unpacked" / "cifar-10-batches-bin", files)
    unpacked = open_dataset("cifar10", "test", data_root=folder.parent)
    assert np.array_equal(unpacked.read([1851], epoch=0).images, batch.images)


def test_cifar10_damaged(tmp_path: Path) -> None:
    short = {"test_batch.bin": bytes(3073 * 9_999 + 5)}
    write_tar(tmp_path / "cifar-10-binary.tar.gz", short)
    with pytest.raises(CorruptFileError, match="10000 records of 3073"):
        open_dataset("cifar10", "test", data_root=tmp_path)
    with pytest.raises(CorruptArchiveError, match=r"holds no data_batch_1\.bin"):
        open_dataset("cifar10", "train", data_root=tmp_path)
    data = (tmp_path / "cifar-10-binary.tar.gz").read_bytes()
    (tmp_path / "cifar-10-binary.tar.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptArchiveError):
        open_dataset("cifar10", "test", data_root=tmp_path)


def test_cifar10_as_pictures(tmp_path: Path) -> None:
    files = {f"cifar10/{s}/{c}/0.jpg": picture_bytes(1, (32, 32), form="JPEG") for s in ("train", "test") for c in "ab"}
    write_tree(tmp_path / "cifar10.zip", files)
    dataset = open_dataset("cifar10", data_root=tmp_path, cache_dir=tmp_path / "cache")
    assert dataset.source == str(tmp_path / "cifar10.zip")
    assert dataset.augmentation == Augmentation(pad_crop=4, flip=True)
    assert dataset.normalisation == NORMALISATION["cifar10"]


def test_digits() -> None:
    sklearn = pytest.importorskip("sklearn.datasets", reason="the data set 'digits' needs scikit-learn")
    train, test = open_dataset("digits", "train"), open_dataset("digits", "test")
    assert (len(train), len(test), train.image_shape) == (1437, 360, (1, 8, 8))
    images = np.concatenate([part.read(range(len(part)), epoch=0).images[:, 0] for part in (train, test)])
    labels = np.concatenate([train.labels, test.labels])
    original = sklearn.load_digits()
    got = sorted((int(label), (image // 15).tolist()) for label, image in zip(labels, images, strict=True))
    want = sorted((int(t), i.astype(int).tolist()) for t, i in zip(original.target, original.images, strict=True))
    assert got == want
    assert images.max() == 240
    assert (images % 15 == 0).all()
    pixels = train.read(range(len(train)), epoch=0).images / 255
    assert NORMALISATION["digits"] == ((round(pixels.mean(), 4),), (round(pixels.std(), 4),))


def test_digits_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingLibraryError, match="pip install scikit-learn"):
        open_dataset("digits")


def test_npz_features(tmp_path: Path) -> None:
    features = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    np.savez(tmp_path / "xor.npz", features=features, labels=np.array([0, 1, 1, 0]), classes=["same", "different"])
    dataset = open_dataset(tmp_path / "xor.npz")
    assert dataset.classes == ("same", "different")
    assert dataset.read([2], epoch=0).images.tolist() == [[65536, 0]]
    assert len(open_dataset(tmp_path / "xor.npz", "all")) == 4
    with pytest.raises(MissingSplitError):
        open_dataset(tmp_path / "xor.npz", "test")
    with pytest.raises(AugmentationError):
        open_dataset(tmp_path / "xor.npz", image_size=3)
    features[1, 0] = np.nan
    np.savez(tmp_path / "nan.npz", features=features, labels=np.array([0, 1, 1, 0]))
    with pytest.raises(FeatureRangeError, match=r"nan\.npz"):
        open_dataset(tmp_path / "nan.npz")


@pytest.mark.parametrize(
    ("shape", "nchw"),
    [((5, 4, 6), (1, 4, 6)), ((5, 3, 4, 6), (3, 4, 6)), ((5, 4, 6, 3), (3, 4, 6)), ((5, 4, 6, 1), (1, 4, 6))],
)
def test_npz_images(tmp_path: Path, shape: tuple[int, ...], nchw: tuple[int, ...]) -> None:
    images = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(5, dtype=np.uint8))
    dataset = open_dataset(tmp_path / "a.npz")
    assert dataset.image_shape == nchw
    expected = images.transpose(0, 3, 1, 2) if shape[-1] in (1, 3) else images.reshape(5, *nchw)
    assert np.array_equal(dataset.read(range(5), epoch=0).images, expected)


def test_npz_with_splits_agrees_on_the_classes(tmp_path: Path) -> None:
    part = {"images": np.zeros((3, 4, 4), dtype=np.uint8)}
    np.savez(
        tmp_path / "a.npz",
        train_images=part["images"],
        train_labels=np.array([0, 1, 4]),
        test_images=part["images"][:2],
        test_labels=np.array([0, 1]),
    )
    train, test = open_dataset(tmp_path / "a.npz", "train"), open_dataset(tmp_path / "a.npz", "test")
    assert (len(train), len(test)) == (3, 2)
    assert train.classes == test.classes == tuple("01234")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"pixels": np.zeros(3)}, "holds pixels; needed"),
        ({"images": np.zeros((3, 4, 4), np.uint8)}, "needed are"),
        ({"images": np.zeros((3, 4, 4)), "labels": np.zeros(3, int)}, "float64, must be uint8"),
        ({"images": np.zeros((3, 2, 4, 4), np.uint8), "labels": np.zeros(3, int)}, "1 or 3 channels"),
        ({"features": np.zeros((3, 4)), "labels": np.zeros(3)}, "must be integers"),
        ({"features": np.zeros(3), "labels": np.zeros(3, int)}, "features are"),
        ({"features": np.zeros((3, 4)), "labels": np.array([{}, {}, {}])}, "pickled"),
    ],
)
def test_npz_that_is_wrong(tmp_path: Path, content: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(CorruptFileError, match=message) as caught:
        open_dataset(tmp_path / "a.npz")
    assert "a.npz" in caught.value.file


def test_npz_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 nothing more")
    with pytest.raises(CorruptFileError):
        open_dataset(tmp_path / "a.npz")


def test_npz_with_a_label_outside_the_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", features=np.zeros((2, 2)), labels=np.array([0, 2]), classes=["a", "b"])
    with pytest.raises(LabelRangeError):
        open_dataset(tmp_path / "a.npz")


def test_normalisation_can_be_given(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "mnist")
    own = ((0.1,), (0.2,))
    assert open_dataset("mnist", data_root=tmp_path, normalisation=own).normalisation == own
    assert open_dataset(tmp_path / "mnist", normalisation=own).normalisation == own
    assert open_dataset(tmp_path / "mnist").normalisation == ((0.5,), (0.5,))
