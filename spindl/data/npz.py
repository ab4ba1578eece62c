"""Arrays the user saved with numpy.savez.

Either `images` and `labels`, or `features` and `labels`, for a source without splits; or all of them with the prefix
`train_` or `test_`. `classes` (names, optional) belongs to both splits. Images are uint8 (count, height, width),
(count, channels, height, width) or (count, height, width, channels) with 1 or 3 channels; where both readings are
possible the channels come first. Features are real numbers (count, ...).
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.data.errors import CorruptFileError, MissingSplitError


def read_npz(path: Path, split: str) -> tuple[str, NDArray[Any], NDArray[Any], list[str] | None]:
    """("images" or "features", the records, the labels, the classes if named). Images are uint8 NCHW.

    Raises CorruptFileError, MissingSplitError.
    """
    where = str(path)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            keys = set(file.files)
            prefix = _prefix(keys, split, where)
            kind = next((kind for kind in ("images", "features") if prefix + kind in keys), None)
            if kind is None or prefix + "labels" not in keys:
                raise CorruptFileError(
                    where, f"holds {', '.join(sorted(keys)) or 'nothing'}; needed are images or features, and labels"
                )
            records, labels = file[prefix + kind], file[prefix + "labels"]
            classes = [str(name) for name in file["classes"]] if "classes" in keys else None
            if classes is None and prefix:
                # Both splits must agree on the number of classes.
                both = [file[key] for key in ("train_labels", "test_labels") if key in keys]
                classes = [str(label) for label in range(max(int(array.max(initial=-1)) for array in both) + 1)]
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError) as error:
        raise CorruptFileError(where, f"not a readable .npz file without pickled objects: {error}") from error
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise CorruptFileError(where, f"labels are {labels.dtype} {labels.shape}, must be integers (count,)")
    if kind == "features":
        if records.dtype.kind not in "fiub" or records.ndim < 2:
            raise CorruptFileError(where, f"features are {records.dtype} {records.shape}, must be numbers (count, ...)")
        return kind, records, labels, classes
    return kind, _to_nchw(records, where), labels, classes


def _prefix(keys: set[str], split: str, where: str) -> str:
    splits = [name for name in ("train", "test") if any(key.startswith(name + "_") for key in keys)]
    if split in splits:
        return split + "_"
    if splits:
        raise MissingSplitError(split, splits, where)
    if split not in ("train", "all"):
        raise MissingSplitError(split, ["train", "all"], where)
    return ""


def _to_nchw(images: NDArray[Any], where: str) -> NDArray[np.uint8]:
    if images.dtype != np.uint8:
        raise CorruptFileError(where, f"images are {images.dtype}, must be uint8; save other numbers as features")
    if images.ndim == 3:
        return images[:, None]
    if images.ndim == 4 and images.shape[1] in (1, 3):
        return images
    if images.ndim == 4 and images.shape[3] in (1, 3):
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise CorruptFileError(where, f"images are of shape {images.shape}, must have 1 or 3 channels")
