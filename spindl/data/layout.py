"""From the names of files to splits, classes and labels.

    <class>/<picture>                                one set, classes sorted by name
    train/<class>/<picture>, test/... or val/...     two sets with the classes of train
    train/<wnid>/<picture>, val/<picture>            ILSVRC with val_labels.txt, lines "name label" or "name wnid"
    <wnid>_<name>.JPEG                               one set, one class per wnid

Labels count from 0. A folder that holds all the others (as archives often have) is looked through.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from spindl.data.errors import (
    CorruptFileError,
    EmptyDatasetError,
    LabelRangeError,
    MissingSplitError,
    NoClassesError,
    NotAnImageError,
)
from spindl.data.files import FileTree

# "all": the whole of a source that is not split.
_SPLIT_FOLDERS = {"train": ("train", "training"), "test": ("test", "testing", "val", "valid", "validation")}
_ALL_SPLIT_FOLDERS = frozenset(name for names in _SPLIT_FOLDERS.values() for name in names)
_PICTURES = frozenset({".jpg", ".jpeg", ".png"})
# Pictures that are not read: left out quietly they would be missed, so they are errors.
_OTHER_PICTURES = frozenset({".bmp", ".gif", ".tif", ".tiff", ".webp"})
_LABEL_FILE = "val_labels.txt"
_WNID = re.compile(r"n\d{8}")
_WNID_FILE = re.compile(r"(n\d{8})_.+")


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """The pictures of one split: `names` (into the tree), `labels` (len(names),) of 0..len(classes)-1."""

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]

    @property
    def is_imagenet(self) -> bool:
        """Whether the classes are WordNet identifiers as in ILSVRC."""
        return all(_WNID.fullmatch(name) for name in self.classes)


def list_split(tree: FileTree, split: str) -> Listing:
    """The pictures and labels of "train", "test", or "all" (of a source without splits).

    A source without splits serves "train" and "all"; asking it for "test" is an error, so that nobody tests on what
    was trained on without having said so. Where test/ and val/ both exist, test/ is taken if it has labels.

    Raises EmptyDatasetError, NoClassesError, MissingSplitError, LabelRangeError, NotAnImageError, CorruptFileError.
    """
    pictures = [name for name in tree.names if _is_picture(tree, name)]
    if not pictures:
        raise EmptyDatasetError(tree.root)
    base = _common_folder(pictures)
    inside = [name.removeprefix(base) for name in pictures]
    folders = {name.split("/")[0] for name in inside if "/" in name}
    split_folders = folders & _ALL_SPLIT_FOLDERS
    if not split_folders:
        if split not in ("train", "all"):
            raise MissingSplitError(split, ["train", "all"], tree.root)
        return _label(tree, base, inside, _classes(tree, inside))
    available = [key for key, names in _SPLIT_FOLDERS.items() if split_folders & set(names)]
    if split not in available:
        raise MissingSplitError(split, available, tree.root)

    train = next((name for name in _SPLIT_FOLDERS["train"] if name in split_folders), None)
    train_classes = _classes(tree, _below(inside, train)) if train else None
    candidates = [name for name in _SPLIT_FOLDERS[split] if name in split_folders]
    # The test pictures of ILSVRC have no labels; its validation pictures stand in for them.
    labelled = [name for name in candidates if _has_classes(_below(inside, name)) or _label_files(tree, base, name)]
    folder = (labelled or candidates)[0]
    names = _below(inside, folder)
    root = f"{base}{folder}/"
    if not any("/" in name for name in names):
        tables = _label_files(tree, base, folder)
        if tables:
            return _label_from_table(tree, root, names, tables[0], train_classes)
    return _label(tree, root, names, train_classes or _classes(tree, names))


def _is_picture(tree: FileTree, name: str) -> bool:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _OTHER_PICTURES:
        raise NotAnImageError(tree.locate(name))
    return suffix in _PICTURES


def _common_folder(names: Sequence[str]) -> str:
    """The folder above all pictures that is neither a class nor a split, with its slash, or ""."""
    base = ""
    parts = [name.split("/") for name in names]
    while all(len(part) > 2 for part in parts) and len({part[0] for part in parts}) == 1:
        if parts[0][0] in _ALL_SPLIT_FOLDERS:
            break
        base += parts[0][0] + "/"
        parts = [part[1:] for part in parts]
    return base


def _below(names: Iterable[str], folder: str) -> list[str]:
    return [name.removeprefix(folder + "/") for name in names if name.startswith(folder + "/")]


def _class_of(name: str) -> str | None:
    if "/" in name:
        return name.split("/", maxsplit=1)[0]
    match = _WNID_FILE.fullmatch(name)
    return match.group(1) if match else None


def _has_classes(names: Sequence[str]) -> bool:
    return all(_class_of(name) is not None for name in names)


def _classes(tree: FileTree, names: Sequence[str]) -> tuple[str, ...]:
    found: set[str] = set()
    for name in names:
        class_name = _class_of(name)
        if class_name is None:
            raise NoClassesError(tree.root, name)
        found.add(class_name)
    return tuple(sorted(found))


def _label(tree: FileTree, base: str, names: Sequence[str], classes: tuple[str, ...]) -> Listing:
    number = {name: label for label, name in enumerate(classes)}
    labels = np.empty(len(names), dtype=np.int64)
    for position, name in enumerate(names):
        class_name = _class_of(name)
        if class_name is None:
            raise NoClassesError(tree.root, name)
        if class_name not in number:
            raise LabelRangeError(tree.locate(base + name), position, class_name, len(classes))
        labels[position] = number[class_name]
    return Listing(tuple(base + name for name in names), labels, classes)


def _label_files(tree: FileTree, base: str, folder: str) -> list[str]:
    """The tables in the folder of a split, or beside it if it is one of validation."""
    places = [f"{base}{folder}/"] + ([base] if folder.startswith("val") else [])
    return [place + _LABEL_FILE for place in places if place + _LABEL_FILE in tree.names]


def _label_from_table(
    tree: FileTree, root: str, names: Sequence[str], table_name: str, train_classes: tuple[str, ...] | None
) -> Listing:
    where = tree.locate(table_name)
    table: dict[str, str] = {}
    for number, line in enumerate(tree.read(table_name).decode("utf-8", "replace").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise CorruptFileError(where, f"line {number} is not 'name label': {line!r}")
        table[PurePosixPath(words[0]).name] = words[1]
    missing = next((name for name in names if name not in table), None)
    if missing is not None:
        raise NoClassesError(where, missing)
    written = [table[name] for name in names]
    classes = train_classes or _classes_of_labels(written)
    label_of = _reader(written, classes)
    labels = np.empty(len(names), dtype=np.int64)
    for position, text in enumerate(written):
        label = label_of(text)
        if label is None or not 0 <= label < len(classes):
            raise LabelRangeError(where, position, text if label is None else label, len(classes))
        labels[position] = label
    return Listing(tuple(root + name for name in names), labels, classes)


def _classes_of_labels(written: Sequence[str]) -> tuple[str, ...]:
    if all(text.isdecimal() for text in written):
        return tuple(str(label) for label in range(max(map(int, written)) + 1))
    return tuple(sorted(set(written)))


def _reader(written: Sequence[str], classes: tuple[str, ...]) -> Callable[[str], int | None]:
    """How to read the labels of a table: as names of classes if they all are, else as numbers."""
    number = {name: label for label, name in enumerate(classes)}
    if all(text in number for text in written):
        return number.get
    return lambda text: int(text) if text.lstrip("-").isdecimal() else None
