"""IDX files: right ones, and every way to be wrong."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_makers import idx_bytes, write_idx_folder

from spindl.data import CorruptFileError, CountMismatchError, LabelRangeError, MissingSplitError, open_dataset
from spindl.data.idx import read_idx

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


def test_reads_plain_and_compressed(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(idx_bytes(PIXELS))
    (tmp_path / "packed").write_bytes(gzip.compress(idx_bytes(PIXELS)))
    assert np.array_equal(read_idx(tmp_path / "plain", 3), PIXELS)
    assert np.array_equal(read_idx(tmp_path / "packed", 3), PIXELS)


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda data: b"", "bad magic"),
    "bad magic": (lambda data: b"\x12\x34" + data[2:], "bad magic number 12340803"),
    "floats": (lambda data: data[:2] + b"\x0d" + data[3:], "type 0x0d"),
    "dimensions": (lambda data: data[:3] + b"\x01" + data[4:], "1 dimensions, expected 3"),
    "short header": (lambda data: data[:9], "truncated in the header: 9 of at least 16"),
    "truncated": (lambda data: data[:-1], "truncated: 39 bytes, the header (2, 3, 4) promises 40"),
    "too long": (lambda data: data + b"\0", "too long: 41 bytes"),
    "truncated gzip": (lambda data: gzip.compress(data)[:-5], "damaged gzip"),
    "damaged gzip": (lambda data: gzip.compress(data)[:12] + b"\xff" * 30, "damaged gzip"),
    "huge header": (lambda data: data[:4] + b"\xff" * 12 + data[16:], "truncated: 40 bytes"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(kind: str, tmp_path: Path) -> None:
    damage, message = DAMAGE[kind]
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(damage(idx_bytes(PIXELS)))
    with pytest.raises(CorruptFileError) as caught:
        read_idx(path, 3)
    assert message in caught.value.reason
    assert str(path) in str(caught.value)


def test_a_folder_by_its_path(tmp_path: Path) -> None:
    arrays = write_idx_folder(tmp_path)
    train, test = (open_dataset(tmp_path, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (20, 10)
    assert train.image_shape == (1, 28, 28)
    assert test.classes == tuple("0123456789")
    batch = test.read([4, 0], epoch=0)
    assert np.array_equal(batch.images, arrays["t10k-images"][[4, 0], None])
    assert batch.labels.tolist() == [4, 0]


def test_names_with_a_dot_are_found(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(open_dataset(tmp_path, "train")) == 20


def test_counts_that_differ(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx_bytes(np.zeros(19, dtype=np.uint8)))
    with pytest.raises(CountMismatchError) as caught:
        open_dataset(tmp_path, "train")
    assert (caught.value.images, caught.value.labels) == (20, 19)
    assert "train-labels-idx1-ubyte" in caught.value.source


def test_a_label_outside_the_classes(tmp_path: Path) -> None:
    write_idx_folder(tmp_path / "mnist")
    labels = np.zeros(20, dtype=np.uint8)
    labels[7] = 10
    (tmp_path / "mnist" / "train-labels-idx1-ubyte").write_bytes(idx_bytes(labels))
    with pytest.raises(LabelRangeError) as caught:
        open_dataset("mnist", "train", data_root=tmp_path)
    assert (caught.value.position, caught.value.label, caught.value.classes) == (7, 10, 10)


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(MissingSplitError) as caught:
        open_dataset(tmp_path, "test")
    assert caught.value.available == ("train",)
