"""Dataset and Batch: what the data room hands over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from spindl.data.augment import Augmentation, change_geometry, crop_words, shift_and_flip
from spindl.data.decode import decode_image
from spindl.data.errors import (
    AugmentationError,
    CountMismatchError,
    EmptyDatasetError,
    ImageSizeError,
    LabelRangeError,
    NoClassesError,
    PositionError,
)
from spindl.data.files import FileTree
from spindl.data.fixed import FRACTION_BITS, features_to_fixed

Normalisation = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel, in units of pixel values 0..1."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some records.

    images: uint8 (count, channels, height, width), not normalised; or int32 (count, ...) features in Q15.16.
    labels: int64 (count,), 0..classes-1.
    positions: int64 (count,), the place of each record in the data set, whatever the order of the epoch.
    """

    images: NDArray[np.uint8] | NDArray[np.int32]
    labels: NDArray[np.int64]
    positions: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, eq=False)
class ArrayRecords:
    """Records in memory: uint8 (count, channels, height, width) or int32 (count, ...)."""

    array: NDArray[np.uint8] | NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class FileRecords:
    """Pictures that are decoded when they are read."""

    tree: FileTree
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """One split of a data set, made by `open_dataset` or `from_arrays`.

    name, split, source: what was asked for, and the file or folder that was found.
    image_shape: (channels, height, width) after augmentation, or the shape of one record of features.
    classes: names; a label is an index into them.
    labels: int64 (len(self),).
    normalisation: (mean, std) per channel in units of 0..1 pixel values, applied on the cores and not here; None for
        features, which are used as they are.
    seed: of the augmentation.
    """

    name: str
    split: str
    source: str
    image_shape: tuple[int, ...]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    normalisation: Normalisation | None
    augmentation: Augmentation
    seed: int
    records: ArrayRecords | FileRecords

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def fraction_bits(self) -> int | None:
        """Fraction bits of int32 features; None for uint8 images."""
        return FRACTION_BITS if self.normalisation is None else None

    def read(self, indices: NDArray[np.int64] | Sequence[int], *, epoch: int) -> Batch:
        """The records at `indices` (any order, repeats allowed) as they look in `epoch`.

        May be called from many threads.
        Raises PositionError for indices outside the data set, and what decoding raises, with the name of the file.
        """
        positions = np.asarray(indices, dtype=np.int64)
        outside = (positions < 0) | (positions >= len(self))
        if outside.any():
            raise PositionError(self.source, int(positions[outside][0]), len(self))
        labels = self.labels[positions]
        if isinstance(self.records, ArrayRecords) and self.fraction_bits is not None:
            return Batch(np.asarray(self.records.array[positions], dtype=np.int32), labels, positions)
        pixels = self._pixels(positions, epoch)
        return Batch(shift_and_flip(pixels, self.augmentation, self.seed, epoch, positions), labels, positions)

    def _pixels(self, positions: NDArray[np.int64], epoch: int) -> NDArray[np.uint8]:
        """The pictures before shift and flip, (count, channels, height, width)."""
        if isinstance(self.records, ArrayRecords) and not self.augmentation.changes_geometry:
            return np.asarray(self.records.array[positions], dtype=np.uint8)
        words = crop_words(self.augmentation, self.seed, epoch, positions)
        out = np.empty((len(positions), *self.image_shape), dtype=np.uint8)
        for row, position in enumerate(positions):
            image, where = self._picture(int(position))
            image = change_geometry(image, self.augmentation, words[row], where)
            if (image.height, image.width) != self.image_shape[1:]:
                raise _wrong_size(where, image, self.image_shape)
            out[row] = to_planes(image)
        return out

    def _picture(self, position: int) -> tuple[Image.Image, str]:
        if isinstance(self.records, FileRecords):
            name = self.records.names[position]
            where = self.records.tree.locate(name)
            return decode_image(self.records.tree.read(name), where), where
        planes = self.records.array[position]
        return from_planes(np.asarray(planes, dtype=np.uint8)), f"{self.source} record {position}"


def from_arrays(
    labels: NDArray[Any],
    *,
    images: NDArray[np.uint8] | None = None,
    features: NDArray[Any] | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    split: str = "train",
    source: str = "",
    normalisation: Normalisation | None = None,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> Dataset:
    """A data set from arrays in memory: either `images` or `features`, not both.

    labels: integers (count,).
    images: uint8 (count, channels, height, width).
    features: real numbers (count, ...), turned into int32 with 16 fraction bits, halves up.
    classes: names; without them the classes are 0..max(labels).
    normalisation: of images, by default mean 0.5 and standard deviation 0.5 in each channel.

    Raises ValueError for arrays of another kind, and FeatureRangeError, EmptyDatasetError, CountMismatchError,
    LabelRangeError, NoClassesError, AugmentationError.
    """
    source = source or name
    augmentation = augmentation or Augmentation()
    if (images is None) == (features is None):
        raise ValueError("give either images or features")
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers of shape (count,), are {labels.dtype} {labels.shape}")
    labels = labels.astype(np.int64)
    array: NDArray[np.uint8] | NDArray[np.int32]
    if features is not None:
        array = features_to_fixed(np.asarray(features), source)
        if augmentation != Augmentation():
            raise AugmentationError("*", "features cannot be augmented, only images")
        normalisation = None
    else:
        array = np.asarray(images)
        if array.dtype != np.uint8 or array.ndim != 4:
            raise ValueError(f"images must be uint8 (count, channels, height, width), are {array.dtype} {array.shape}")
        if augmentation.changes_geometry and array.shape[1] not in (1, 3):
            raise AugmentationError("*", f"pictures of {array.shape[1]} channels cannot be resized, only 1 or 3")
        normalisation = normalisation or centred(array.shape[1])
    if len(array) != len(labels):
        raise CountMismatchError(source, len(array), len(labels))
    if classes is None:
        classes = [str(label) for label in range(int(labels.max(initial=-1)) + 1)]
    shape = array.shape[1:]
    if features is None:
        shape = (shape[0], *augmentation.output_size((shape[1], shape[2])))
    return checked(
        Dataset(
            name, split, source, shape, tuple(classes), labels, normalisation, augmentation, seed, ArrayRecords(array)
        )
    )


def checked(dataset: Dataset) -> Dataset:
    """The same data set. Raises EmptyDatasetError, NoClassesError, LabelRangeError, AugmentationError."""
    if len(dataset) == 0:
        raise EmptyDatasetError(dataset.source)
    if not dataset.classes:
        raise NoClassesError(dataset.source, "any record")
    outside = np.flatnonzero((dataset.labels < 0) | (dataset.labels >= len(dataset.classes)))
    if len(outside):
        position = int(outside[0])
        raise LabelRangeError(dataset.source, position, int(dataset.labels[position]), len(dataset.classes))
    if dataset.normalisation is not None:
        mean, std = dataset.normalisation
        if not len(mean) == len(std) == dataset.image_shape[0] or min(std) <= 0:
            raise ValueError(f"normalisation needs {dataset.image_shape[0]} means and positive deviations")
    return dataset


def centred(channels: int) -> Normalisation:
    """The normalisation where nothing is known about the data: pixel values 0..1 to -1..1."""
    return (0.5,) * channels, (0.5,) * channels


def to_planes(image: Image.Image) -> NDArray[np.uint8]:
    """(channels, height, width) of a greyscale or RGB picture."""
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def from_planes(planes: NDArray[np.uint8]) -> Image.Image:
    """The picture of (channels, height, width) with 1 or 3 channels."""
    return Image.fromarray(planes[0] if len(planes) == 1 else np.ascontiguousarray(planes.transpose(1, 2, 0)))


def _wrong_size(where: str, image: Image.Image, shape: tuple[int, ...]) -> ImageSizeError:
    return ImageSizeError(
        where,
        (image.height, image.width),
        (shape[1], shape[2]),
        "the others are",
        "pass image_size, so that all pictures are brought to one size",
    )
