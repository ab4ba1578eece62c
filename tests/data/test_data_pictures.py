"""Folders and archives of pictures: layouts, labels, and what is wrong with them. Every layout as folder and as zip."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from data_makers import picture_bytes, write_tree
from PIL import Image

from spindl.data import (
    NORMALISATION,
    Augmentation,
    CorruptArchiveError,
    CorruptFileError,
    CorruptImageError,
    Dataset,
    EmptyDatasetError,
    ImageSizeError,
    LabelRangeError,
    MissingFileError,
    MissingSplitError,
    NoClassesError,
    NotAnImageError,
    batches,
    open_dataset,
)
from spindl.data.decode import decode_image
from spindl.data.files import open_tree

Make = Callable[[dict[str, bytes]], Path]


@pytest.fixture(params=["folder", "zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    name = "pictures" if request.param == "folder" else "pictures.zip"
    return lambda files: write_tree(tmp_path / name, files)


def names_of(dataset: Dataset) -> list[str]:
    return [dataset.classes[label] for label in dataset.labels]


def test_class_folders(make: Make) -> None:
    files = {name: picture_bytes(i) for i, name in enumerate(["dog/b.png", "dog/a.PNG", "cat/1.png"])}
    dataset = open_dataset(make({**files, "dog/readme.txt": b"no picture", ".hidden/x.png": b"no"}))
    assert dataset.classes == ("cat", "dog")
    assert names_of(dataset) == ["cat", "dog", "dog"]
    assert dataset.image_shape == (3, 8, 6)
    assert dataset.normalisation == ((0.5,) * 3, (0.5,) * 3)
    for position, name in enumerate(["cat/1.png", "dog/a.PNG", "dog/b.png"]):
        expected = np.asarray(decode_image(files[name], name)).transpose(2, 0, 1)
        assert np.array_equal(dataset.read([position], epoch=0).images[0], expected)
    assert len(open_dataset(dataset.source, "all")) == 3
    with pytest.raises(MissingSplitError) as caught:
        open_dataset(dataset.source, "test")
    assert caught.value.available == ("train", "all")


@pytest.mark.parametrize("test_folder", ["test", "val"])
@pytest.mark.parametrize("above", ["", "cifar10/", "a/b/"])
def test_split_folders(make: Make, test_folder: str, above: str) -> None:
    files = {f"{above}train/{name}/{i}.png": picture_bytes(i) for i in range(3) for name in ("cat", "dog", "eel")}
    files |= {f"{above}{test_folder}/{name}/9.png": picture_bytes(9) for name in ("eel", "cat")}
    path = make(files)
    train, test = open_dataset(path, "train"), open_dataset(path, "test")
    assert (len(train), len(test)) == (9, 2)
    assert train.classes == test.classes == ("cat", "dog", "eel")
    assert names_of(test) == ["cat", "eel"]
    with pytest.raises(MissingSplitError):
        open_dataset(path, "all")


def test_a_test_class_that_was_never_trained(make: Make) -> None:
    path = make({"train/cat/1.png": picture_bytes(0), "test/dog/1.png": picture_bytes(1)})
    with pytest.raises(LabelRangeError) as caught:
        open_dataset(path, "test")
    assert caught.value.label == "dog"


WNIDS = ("n01440764", "n01443537", "n01484850")


def ilsvrc(labels: str, where: str = "val/") -> dict[str, bytes]:
    files = {f"train/{wnid}/{wnid}_{i}.JPEG": picture_bytes(i, (40, 50), form="JPEG") for wnid in WNIDS for i in (1, 2)}
    files |= {f"val/ILSVRC2012_val_{i:08}.JPEG": picture_bytes(i, (40, 50), form="JPEG") for i in (1, 2, 3)}
    # The test pictures of ILSVRC come without labels.
    files["test/ILSVRC2012_test_00000001.JPEG"] = picture_bytes(7, (40, 50), form="JPEG")
    return {**files, where + "val_labels.txt": labels.encode()}


@pytest.mark.parametrize("where", ["val/", ""])
@pytest.mark.parametrize(
    "labels",
    [
        "ILSVRC2012_val_00000001.JPEG 2\nval/ILSVRC2012_val_00000002.JPEG 0\n\nILSVRC2012_val_00000003.JPEG 1\n",
        "".join(
            f"ILSVRC2012_val_0000000{i}.JPEG {wnid}\n" for i, wnid in ((1, WNIDS[2]), (2, WNIDS[0]), (3, WNIDS[1]))
        ),
    ],
)
def test_ilsvrc_with_a_label_file(make: Make, labels: str, where: str) -> None:
    path = make(ilsvrc(labels, where))
    train, test = open_dataset(path, "train"), open_dataset(path, "test")
    assert train.classes == test.classes == WNIDS
    assert test.labels.tolist() == [2, 0, 1]
    assert train.image_shape == test.image_shape == (3, 224, 224)
    assert train.augmentation == Augmentation(random_resized_crop=224, flip=True)
    assert test.augmentation == Augmentation(resize=256, centre_crop=224)
    assert train.normalisation == NORMALISATION["imagenet"]
    assert train.read([0, 5], epoch=0).images.shape == (2, 3, 224, 224)


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (
            "ILSVRC2012_val_00000001.JPEG 3\nILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_val_00000003.JPEG 1",
            "range",
            "3",
        ),
        (
            "ILSVRC2012_val_00000001.JPEG -1\nILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_val_00000003.JPEG 1",
            "range",
            "-1",
        ),
        (
            "ILSVRC2012_val_00000001.JPEG cat\nILSVRC2012_val_00000002.JPEG 0\nILSVRC2012_val_00000003.JPEG 1",
            "range",
            "cat",
        ),
        ("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000002.JPEG 0", "classes", "ILSVRC2012_val_00000003"),
        ("ILSVRC2012_val_00000001.JPEG", "corrupt", "line 1"),
    ],
)
def test_label_files_that_are_wrong(make: Make, labels: str, error: str, text: str) -> None:
    kind = {"range": LabelRangeError, "classes": NoClassesError, "corrupt": CorruptFileError}[error]
    with pytest.raises(kind, match=text) as caught:
        open_dataset(make(ilsvrc(labels)), "test")
    assert "val_labels.txt" in str(caught.value)


def test_flat_wnid_files(make: Make) -> None:
    files = {f"{wnid}_thing_{i}.JPEG": picture_bytes(i, (40, 50), form="JPEG") for wnid in WNIDS for i in (1, 2)}
    dataset = open_dataset(make(files), "all", image_size=32)
    assert dataset.classes == WNIDS
    assert dataset.labels.tolist() == [0, 0, 1, 1, 2, 2]
    # The shorter side to 256/224 of 32, rounded; the longer in proportion; the middle of that.
    picture = decode_image(files["n01443537_thing_1.JPEG"], "").resize((50 * 37 // 40, 37), Image.Resampling.BILINEAR)
    left, upper = (46 - 32) // 2, round((37 - 32) / 2)
    expected = np.asarray(picture)[upper : upper + 32, left : left + 32].transpose(2, 0, 1)
    assert np.array_equal(dataset.read([2], epoch=0).images[0], expected)


def test_nothing_there(make: Make) -> None:
    with pytest.raises(EmptyDatasetError) as caught:
        open_dataset(make({"readme.txt": b"coming soon"}))
    assert "pictures" in caught.value.source


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError):
        open_dataset(tmp_path)


def test_no_classes(make: Make) -> None:
    with pytest.raises(NoClassesError) as caught:
        open_dataset(make({"holiday.png": picture_bytes(0), "dog/1.png": picture_bytes(1)}))
    assert caught.value.example == "holiday.png"


def test_not_an_image(make: Make) -> None:
    with pytest.raises(NotAnImageError) as caught:
        open_dataset(make({"cat/1.png": picture_bytes(0), "cat/2.jpg": b"<html>not found</html>"}))
    assert caught.value.file.endswith("cat/2.jpg")


def test_other_picture_formats_are_not_left_out_quietly(make: Make) -> None:
    with pytest.raises(NotAnImageError) as caught:
        open_dataset(make({"cat/1.png": picture_bytes(0), "cat/2.webp": b"RIFF"}))
    assert caught.value.file.endswith("cat/2.webp")


def test_a_truncated_jpeg_is_named_in_its_batch(make: Make) -> None:
    files = {f"cat/{i}.jpg": picture_bytes(i, (40, 40), form="JPEG") for i in range(6)}
    files["cat/4.jpg"] = files["cat/4.jpg"][:-200]
    path = make(files)
    dataset = open_dataset(path, image_size=16)
    iterator = batches(dataset, 2, seed=0, epoch=0, shuffle=False)
    assert len([next(iterator), next(iterator)]) == 2
    with pytest.raises(CorruptImageError, match=r"cat/4\.jpg"):
        next(iterator)
    # Decoded all at once, the error comes at once.
    with pytest.raises(CorruptImageError, match=r"cat/4\.jpg"):
        open_dataset(path)


def test_pictures_of_different_sizes(make: Make) -> None:
    path = make({"cat/1.png": picture_bytes(0, (8, 6)), "cat/2.png": picture_bytes(1, (8, 7))})
    with pytest.raises(ImageSizeError) as caught:
        open_dataset(path)
    assert (caught.value.size, caught.value.needed) == ((8, 7), (8, 6))
    assert "image_size" in str(caught.value)
    assert open_dataset(path, image_size=8).read([0, 1], epoch=0).images.shape == (2, 3, 8, 8)


def test_a_picture_smaller_than_the_crop(make: Make) -> None:
    path = make({"cat/1.png": picture_bytes(0, (30, 40)), "cat/2.png": picture_bytes(1, (30, 20))})
    dataset = open_dataset(path, augment=Augmentation(centre_crop=24))
    assert dataset.read([0], epoch=0).images.shape == (1, 3, 24, 24)
    with pytest.raises(ImageSizeError, match="smaller than the crop") as caught:
        dataset.read([0, 1], epoch=0)
    assert (caught.value.size, caught.value.needed) == ((30, 20), (24, 24))
    assert caught.value.file.endswith("cat/2.png")


def test_a_zip_without_its_end(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "a.zip", {"cat/1.png": picture_bytes(0)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(CorruptArchiveError, match=r"a\.zip"):
        open_dataset(path)


def test_a_zip_with_a_damaged_member(tmp_path: Path) -> None:
    picture = picture_bytes(0)
    path = write_tree(tmp_path / "a.zip", {"cat/1.png": picture_bytes(1), "cat/2.png": picture})
    data = bytearray(path.read_bytes())
    data[data.find(picture) + len(picture) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArchiveError) as caught:
        open_dataset(path)
    assert caught.value.member == "cat/2.png"


def test_a_file_that_vanishes(tmp_path: Path) -> None:
    files = {f"cat/{i}.png": picture_bytes(i, (16, 16)) for i in range(2)}
    dataset = open_dataset(write_tree(tmp_path, files), image_size=8)
    (tmp_path / "cat/1.png").unlink()
    with pytest.raises(MissingFileError, match=r"cat/1\.png"):
        dataset.read([1], epoch=0)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_many_threads_read_one_zip(tmp_path: Path, compression: int) -> None:
    files = {f"cat/{i:03}.png": os.urandom(500 + i) for i in range(200)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    tree = open_tree(tmp_path / "a.zip")
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(tree.read, tree.names * 5)) == list(files.values()) * 5


def test_decoded_pictures_are_kept_until_the_source_changes(make: Make, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    path = make({f"cat/{i}.png": picture_bytes(i) for i in range(3)})
    first = open_dataset(path, cache_dir=cache).read([0, 1, 2], epoch=0).images
    (kept,) = (cache / "decoded").iterdir()
    before = kept.stat().st_mtime_ns
    assert np.array_equal(open_dataset(path, cache_dir=cache).read([0, 1, 2], epoch=0).images, first)
    assert [(file, file.stat().st_mtime_ns) for file in (cache / "decoded").iterdir()] == [(kept, before)]
    # A damaged cache is made again.
    kept.write_bytes(kept.read_bytes()[:50])
    assert np.array_equal(open_dataset(path, cache_dir=cache).read([0, 1, 2], epoch=0).images, first)

    changed = make({f"cat/{i}.png": picture_bytes(i + 10) for i in range(3)})
    os.utime(changed if changed.is_file() else changed / "cat/0.png", ns=(1, 1))
    second = open_dataset(changed, cache_dir=cache).read([0, 1, 2], epoch=0).images
    assert not np.array_equal(first, second)
    assert len(list((cache / "decoded").iterdir())) == 2


def test_another_decoder_decodes_again(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make({"cat/1.png": picture_bytes(0)})
    open_dataset(path, cache_dir=tmp_path / "cache")
    monkeypatch.setattr("spindl.data.memory.decoder_version", lambda: "Pillow 99")
    open_dataset(path, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache" / "decoded").iterdir())) == 2


def test_a_cache_that_cannot_be_written_only_warns(tmp_path: Path) -> None:
    path = write_tree(tmp_path / "pictures", {"cat/1.png": picture_bytes(0)})
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(UserWarning, match="could not be kept"):
        dataset = open_dataset(path, cache_dir=tmp_path / "file")
    assert len(dataset) == 1
