"""What can go wrong with data. Each class carries the facts as fields; the message is made from them.

DataError
    UnknownDatasetError      neither a known name nor an existing path
    MissingFileError         a file that could not be found or downloaded
    MissingSplitError        the source has no such split
    MissingLibraryError      an optional library is not installed
    ChecksumError            a download with other bytes than published
    CorruptFileError         an IDX, CIFAR or npz file that breaks its format
    CorruptArchiveError      a damaged zip or tar archive
    CorruptImageError        a JPEG or PNG that does not decode to its end
    NotAnImageError          a file that is no JPEG and no PNG
    ImageSizeError           a picture smaller than the crop, or of another size than the data set
    EmptyDatasetError        no records
    NoClassesError           pictures without a folder or table that gives their class
    CountMismatchError       so many images, so many labels
    LabelRangeError          a label outside the classes
    FeatureRangeError        a feature that is NaN, infinite or outside the fixed-point range
    PositionError            a record number outside the data set
    BatchSizeError           a batch that the data cannot fill, or a start after the end of the epoch
    AugmentationError        settings that contradict each other or do not fit the data
"""

from __future__ import annotations

from collections.abc import Sequence

from spindl.errors import SpindlError


class DataError(SpindlError):
    """Base of every error of `spindl.data`."""


class UnknownDatasetError(DataError):
    """`name` is neither one of `known` nor a path that exists (or is of no readable kind)."""

    def __init__(self, name: str, known: Sequence[str], reason: str = "no such file or folder") -> None:
        self.name = name
        self.known = tuple(known)
        self.reason = reason
        super().__init__(
            f"unknown data set {name!r}: {reason}",
            where=name,
            remedy=f"use one of {', '.join(self.known)}, or the path of a folder, a .zip archive or an .npz file",
        )


class MissingFileError(DataError):
    """`file` was not found in any of `searched`, and could not be fetched (`reason`)."""

    def __init__(
        self,
        file: str,
        searched: Sequence[str],
        *,
        reason: str = "",
        url: str = "",
        sha256: str = "",
        folder: str = "",
    ) -> None:
        self.file = file
        self.searched = tuple(searched)
        self.reason = reason
        self.url = url
        self.sha256 = sha256
        self.folder = folder
        remedy = "check the path"
        if url:
            remedy = f"download {url} (SHA-256 {sha256}) and put it in {folder}"
        super().__init__(
            f"{file} is missing" + (f" ({reason})" if reason else ""),
            where=", ".join(self.searched),
            remedy=remedy,
        )


class MissingSplitError(DataError):
    """The source holds only `available`, not `split`."""

    def __init__(self, split: str, available: Sequence[str], where: str) -> None:
        self.split = split
        self.available = tuple(available)
        super().__init__(
            f"no split {split!r} here, only {', '.join(repr(name) for name in self.available)}",
            where=where,
            remedy=f"ask for split={self.available[0]!r}, or sort the files into train/ and test/",
        )


class MissingLibraryError(DataError):
    """`library` is needed for `purpose` and is not installed."""

    def __init__(self, library: str, purpose: str) -> None:
        self.library = library
        self.purpose = purpose
        super().__init__(f"{purpose} needs {library}", where=library, remedy=f"pip install {library}")


class ChecksumError(DataError):
    """`file` came with SHA-256 `actual` instead of `expected`, after `size` bytes."""

    def __init__(self, file: str, url: str, expected: str, actual: str, size: int) -> None:
        self.file = file
        self.url = url
        self.expected = expected
        self.actual = actual
        self.size = size
        super().__init__(
            f"{file} has SHA-256 {actual} after {size} bytes, published is {expected}",
            where=url,
            remedy="try again; if it stays, the download is intercepted or the publisher changed the file",
        )


class CorruptFileError(DataError):
    """`file` breaks its format: `reason`."""

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(reason, where=file, remedy="fetch the file again")


class CorruptArchiveError(DataError):
    """`archive` is damaged; `member` is the entry that showed it, or empty."""

    def __init__(self, archive: str, reason: str, member: str = "") -> None:
        self.archive = archive
        self.member = member
        self.reason = reason
        super().__init__(
            f"damaged archive: {reason}",
            where=f"{archive}:{member}" if member else archive,
            remedy="fetch or make the archive again",
        )


class CorruptImageError(DataError):
    """`file` starts as a picture and does not decode: `reason`."""

    def __init__(self, file: str, reason: str) -> None:
        self.file = file
        self.reason = reason
        super().__init__(f"corrupt picture: {reason}", where=file, remedy="replace or remove the file")


class NotAnImageError(DataError):
    """`file` is no JPEG and no PNG."""

    def __init__(self, file: str) -> None:
        self.file = file
        super().__init__("not a JPEG or PNG picture", where=file, remedy="convert it to JPEG or PNG, or remove it")


class ImageSizeError(DataError):
    """`file` is `size` = (height, width) where `needed` is needed."""

    def __init__(self, file: str, size: tuple[int, int], needed: tuple[int, int], reason: str, remedy: str) -> None:
        self.file = file
        self.size = size
        self.needed = needed
        super().__init__(
            f"picture of {size[0]}x{size[1]} (height x width), {reason} {needed[0]}x{needed[1]}",
            where=file,
            remedy=remedy,
        )


class EmptyDatasetError(DataError):
    """There are no records at `source`."""

    def __init__(self, source: str) -> None:
        self.source = source
        super().__init__("no records", where=source, remedy="check the path and that it holds JPEG or PNG pictures")


class NoClassesError(DataError):
    """The pictures at `source` have no classes; `example` is one of them."""

    def __init__(self, source: str, example: str) -> None:
        self.source = source
        self.example = example
        super().__init__(
            f"no class for {example}",
            where=source,
            remedy="put the pictures in one folder per class (optionally below train/ and test/), "
            "name them <wnid>_<name>.JPEG, or add val_labels.txt with lines 'name label'",
        )


class CountMismatchError(DataError):
    """`images` images and `labels` labels at `source`."""

    def __init__(self, source: str, images: int, labels: int) -> None:
        self.source = source
        self.images = images
        self.labels = labels
        super().__init__(
            f"{images} images and {labels} labels", where=source, remedy="images and labels must belong together"
        )


class LabelRangeError(DataError):
    """Record `position` of `source` has `label`, and there are `classes` classes."""

    def __init__(self, source: str, position: int, label: int | str, classes: int) -> None:
        self.source = source
        self.position = position
        self.label = label
        self.classes = classes
        super().__init__(
            f"record {position} has label {label!r}, classes are 0..{classes - 1}",
            where=source,
            remedy="labels count from 0 and are smaller than the number of classes, or are names of classes",
        )


class FeatureRangeError(DataError):
    """Feature `value` at `index` of `source` is not a number of the format [`low`, `high`]."""

    def __init__(self, source: str, index: tuple[int, ...], value: float, low: float, high: float) -> None:
        self.source = source
        self.index = index
        self.value = value
        self.low = low
        self.high = high
        super().__init__(
            f"feature {value} at {index} is outside {low}..{high}",
            where=source,
            remedy="scale the features or remove the record",
        )


class PositionError(DataError):
    """Record `position` of a data set with `count` records."""

    def __init__(self, source: str, position: int, count: int) -> None:
        self.source = source
        self.position = position
        self.count = count
        super().__init__(f"record {position} of {count}", where=source, remedy=f"records are 0..{count - 1}")


class BatchSizeError(DataError):
    """An epoch of `count` records in batches of `batch_size` from step `start_step` on is impossible."""

    def __init__(self, batch_size: int, count: int, start_step: int, reason: str, remedy: str) -> None:
        self.batch_size = batch_size
        self.count = count
        self.start_step = start_step
        super().__init__(reason, where=f"batch_size={batch_size}, start_step={start_step}", remedy=remedy)


class AugmentationError(DataError):
    """Setting `field` of an `Augmentation` is impossible."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        super().__init__(reason, where=f"Augmentation.{field}", remedy="see the fields of spindl.data.Augmentation")
