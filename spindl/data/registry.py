"""From a name or a path to a Dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spindl.data import cifar, downloads
from spindl.data.augment import Augmentation, for_evaluation, for_training
from spindl.data.dataset import Dataset, FileRecords, Normalisation, centred, checked, from_arrays
from spindl.data.decode import decode_image
from spindl.data.errors import (
    AugmentationError,
    MissingFileError,
    MissingLibraryError,
    MissingSplitError,
    UnknownDatasetError,
)
from spindl.data.files import open_tree
from spindl.data.idx import find_idx, read_idx, read_idx_pair
from spindl.data.layout import list_split
from spindl.data.memory import decode_all
from spindl.data.npz import read_npz
from spindl.data.order import epoch_order

# Mean and standard deviation over all pixels of the training set, in units of 0..1. MNIST, Fashion-MNIST and digits
# are measured on the data (tests/data measures them again); CIFAR-10 on the original, not on the JPEG copy; ImageNet's
# are those that published models are trained with.
NORMALISATION: dict[str, Normalisation] = {
    "mnist": ((0.1307,), (0.3081,)),
    "fashion-mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "digits": ((0.2869,), (0.3538,)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}

KNOWN = ("mnist", "fashion-mnist", "cifar10", "digits")
"""The data sets that have a name."""

SPLITS = ("train", "test")

_DIGIT_NAMES = tuple("0123456789")
_FASHION_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# Where Debian's package dataset-fashion-mnist puts the files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")

_IMAGENET_SIZE = 224
_DIGITS_SPLIT_SEED = 0
_DIGITS_SCALE = 15
# Pictures are decoded once and for all if they take no more than this.
_MEMORY_LIMIT_BYTES = 1 << 30


def open_dataset(
    name_or_path: str | Path,
    split: str = "train",
    *,
    image_size: int | None = None,
    augment: Augmentation | None = None,
    seed: int = 0,
    cache_dir: Path | None = None,
    data_root: Path | None = None,
    normalisation: Normalisation | None = None,
    download: bool = True,
) -> Dataset:
    """One split of a data set.

    name_or_path: `mnist`, `fashion-mnist`, `cifar10`, `digits`; or the path of a folder of IDX files named as MNIST's,
        a folder or .zip archive of JPEG and PNG pictures (layouts: `spindl.data.layout`), or an .npz file
        (`spindl.data.npz`). A name wins over a file of that name; write ./mnist for the file.
    split: "train", "test", or "all" of a source that is not split.
    image_size: side of the pictures in pixels; by default 224 for ImageNet's classes and the stored size for others.
    augment: what happens to pictures. By default, in training: CIFAR-10 is padded by 4, cropped and flipped; pictures
        of a folder or archive with an image size get a random part resized, and flipped. In testing: the latter are
        resized and cut at the centre. `Augmentation()` is no change.
    seed: of the augmentation.
    cache_dir: for downloads and decoded pictures; by default ~/.cache/spindl.
    data_root: where named data sets lie (mnist/, fashion-mnist/, cifar-10-binary.tar.gz, cifar-10-batches-bin/,
        cifar10.zip, cifar10/, in this order); by default the environment variable SPINDL_DATA, else the cache.
    normalisation: instead of the known one (for unknown data 0.5 and 0.5).
    download: whether a named data set that is nowhere is fetched from its public home.

    Raises the errors of `spindl.data.errors`.
    """
    cache = cache_dir or Path.home() / ".cache" / "spindl"
    request = _Request(split, image_size, augment, seed, normalisation, cache, download)
    if isinstance(name_or_path, str) and name_or_path in KNOWN:
        return _named(name_or_path, request, data_root)
    path = Path(name_or_path).expanduser()
    if path.suffix == ".npz" and path.is_file():
        return _npz(path, request)
    if path.is_dir():
        if any(find_idx(path, each) for each in SPLITS):
            return _idx_folder(path, request)
    elif path.suffix.lower() != ".zip" or not path.is_file():
        reason = "neither a folder nor a .zip or .npz file" if path.exists() else "no such file or folder"
        raise UnknownDatasetError(str(name_or_path), KNOWN, reason)
    return _pictures(path.name, path, request)


@dataclass(frozen=True, slots=True)
class _Request:
    """The arguments of `open_dataset` that every kind of source needs."""

    split: str
    image_size: int | None
    augment: Augmentation | None
    seed: int
    normalisation: Normalisation | None
    cache: Path
    download: bool


def _named(name: str, request: _Request, data_root: Path | None) -> Dataset:
    if request.split not in SPLITS:
        raise MissingSplitError(request.split, SPLITS, name)
    if request.augment is None:
        cifar_training = (name, request.split) == ("cifar10", "train")
        request = replace(request, augment=Augmentation(pad_crop=4, flip=True) if cifar_training else Augmentation())
    if request.normalisation is None:
        request = replace(request, normalisation=NORMALISATION[name])
    if name == "digits":
        return _digits(request)
    roots = _roots(data_root, request.cache)
    return _cifar10(request, roots) if name == "cifar10" else _mnist(name, request, roots)


def _roots(data_root: Path | None, cache: Path) -> list[Path]:
    """The folders in which named data sets are looked for."""
    named = data_root or (Path(os.environ["SPINDL_DATA"]) if os.environ.get("SPINDL_DATA") else None)
    if named is None:
        return [cache]
    named = named.expanduser()
    if not named.is_dir():
        raise MissingFileError(str(named), [str(named)], reason="the data root is no folder")
    return [named, cache]


def _mnist(name: str, request: _Request, roots: list[Path]) -> Dataset:
    folders = [root / name for root in roots]
    if name == "fashion-mnist":
        folders.append(DEBIAN_FASHION_MNIST)
    found = next((pair for folder in folders if (pair := find_idx(folder, request.split))), None)
    if found is None:
        prefix = "train" if request.split == "train" else "t10k"
        images_path, labels_path = (
            _fetch(remote, request.cache / name, folders, request.download)
            for remote in downloads.REMOTE_FILES[name]
            if remote.name.startswith(prefix)
        )
        found = images_path, labels_path
    classes = _FASHION_NAMES if name == "fashion-mnist" else _DIGIT_NAMES
    return _in_memory(name, str(found[0].parent), request, read_idx_pair(*found), classes)


def _cifar10(request: _Request, roots: list[Path]) -> Dataset:
    originals = [root / name for root in roots for name in (cifar.ARCHIVE, cifar.FOLDER)]
    pictures = [root / name for root in roots for name in ("cifar10.zip", "cifar10")]
    path = next((path for path in [*originals, *pictures] if path.exists()), None)
    if path in pictures:
        return _pictures("cifar10", path, request)
    if path is None:
        remote = downloads.REMOTE_FILES["cifar10"][0]
        path = _fetch(remote, request.cache, [*originals, *pictures], request.download)
    return _in_memory("cifar10", str(path), request, cifar.read_cifar10(path, request.split), cifar.CLASSES)


def _digits(request: _Request) -> Dataset:
    try:
        from sklearn.datasets import load_digits  # an optional library
    except ImportError as error:
        raise MissingLibraryError("scikit-learn", "the data set 'digits'") from error
    digits = load_digits()
    images = (digits.images * _DIGITS_SCALE).astype(np.uint8)[:, None]
    order = epoch_order(len(images), _DIGITS_SPLIT_SEED, 0)
    cut = len(images) * 4 // 5
    chosen = np.sort(order[:cut] if request.split == "train" else order[cut:])
    source = "sklearn.datasets.load_digits"
    return _in_memory("digits", source, request, (images[chosen], digits.target[chosen]), _DIGIT_NAMES)


def _idx_folder(path: Path, request: _Request) -> Dataset:
    pairs = {each: pair for each in SPLITS if (pair := find_idx(path, each))}
    if request.split not in pairs:
        raise MissingSplitError(request.split, list(pairs), str(path))
    # Both splits must agree on the number of classes.
    highest = max(int(read_idx(pair[1], 1).max(initial=0)) for pair in pairs.values())
    classes = [str(label) for label in range(highest + 1)]
    return _in_memory(path.name, str(path), request, read_idx_pair(*pairs[request.split]), classes)


def _npz(path: Path, request: _Request) -> Dataset:
    kind, records, labels, classes = read_npz(path, request.split)
    if kind == "images":
        return _in_memory(path.name, str(path), request, (records, labels), classes)
    if request.image_size is not None:
        raise AugmentationError("resize", "features cannot be resized, only images")
    return from_arrays(
        labels,
        features=records,
        classes=classes,
        name=path.name,
        split=request.split,
        source=str(path),
        augmentation=request.augment,
        seed=request.seed,
    )


def _pictures(name: str, path: Path, request: _Request) -> Dataset:
    """A folder or archive of pictures; small ones of one size are kept in memory."""
    tree = open_tree(path)
    listing = list_split(tree, request.split)
    augmentation = request.augment
    if augmentation is None:
        side = request.image_size or (_IMAGENET_SIZE if listing.is_imagenet else None)
        if side is None:
            augmentation = Augmentation()
        else:
            augmentation = for_training(side) if request.split == "train" else for_evaluation(side)
    first = decode_image(tree.read(listing.names[0]), tree.locate(listing.names[0]))
    native = (first.height, first.width)
    augmentation = _sized(augmentation, request.image_size, native)
    normalisation = request.normalisation
    if normalisation is None:
        normalisation = NORMALISATION["imagenet"] if listing.is_imagenet else centred(3)
    request = replace(request, augment=augmentation, normalisation=normalisation)
    fits = len(listing.names) * 3 * native[0] * native[1] <= _MEMORY_LIMIT_BYTES
    if fits and not augmentation.changes_geometry:
        images = decode_all(tree, listing.names, native, request.cache, f"{path.stem}-{request.split}")
        return _in_memory(name, str(path), request, (images, listing.labels), listing.classes)
    return checked(
        Dataset(
            name=name,
            split=request.split,
            source=str(path),
            image_shape=(3, *augmentation.output_size(native)),
            classes=listing.classes,
            labels=listing.labels,
            normalisation=normalisation,
            augmentation=augmentation,
            seed=request.seed,
            records=FileRecords(tree, listing.names),
        )
    )


def _in_memory(
    name: str,
    source: str,
    request: _Request,
    records: tuple[NDArray[np.uint8], NDArray[np.int64]],
    classes: Sequence[str] | None,
) -> Dataset:
    """Images (count, channels, height, width) and labels (count,) as the request wants them."""
    images, labels = records
    native = (images.shape[2], images.shape[3])
    return from_arrays(
        labels,
        images=images,
        classes=classes,
        name=name,
        split=request.split,
        source=source,
        normalisation=request.normalisation,
        augmentation=_sized(request.augment or Augmentation(), request.image_size, native),
        seed=request.seed,
    )


def _sized(augmentation: Augmentation, image_size: int | None, native: tuple[int, int]) -> Augmentation:
    """The augmentation, completed so that pictures come out as squares of `image_size`. Raises AugmentationError."""
    if image_size is None or augmentation.output_size(native) == (image_size, image_size):
        return augmentation
    if augmentation.changes_geometry:
        raise AugmentationError(
            "centre_crop", f"gives pictures of {augmentation.output_size(native)}, image_size asks for {image_size}"
        )
    return replace(augmentation, resize=image_size, centre_crop=image_size)


def _fetch(remote: downloads.RemoteFile, folder: Path, searched: list[Path], download: bool) -> Path:
    places = [str(path) for path in searched]
    if not download:
        raise MissingFileError(
            remote.name,
            places,
            reason="downloads are switched off",
            url=remote.url,
            sha256=remote.sha256,
            folder=str(folder),
        )
    return downloads.fetch(remote, folder, places)
