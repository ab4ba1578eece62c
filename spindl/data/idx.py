"""The IDX files of MNIST and Fashion-MNIST, plain or compressed with gzip.

Format: two zero bytes, a type byte (8 = unsigned byte), the number of dimensions, each dimension as a big-endian 32-bit
number, then the values, last dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spindl.data.errors import CorruptFileError, CountMismatchError

_UNSIGNED_BYTE = 8
_PREFIX = {"train": "train", "test": "t10k"}


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """The values of an IDX file of unsigned bytes with that many dimensions. Raises CorruptFileError."""
    where = str(path)
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise CorruptFileError(where, f"damaged gzip file: {error}") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise CorruptFileError(where, f"bad magic number {data[:4].hex()}, an IDX file starts with 0000")
    if data[2] != _UNSIGNED_BYTE:
        raise CorruptFileError(where, f"IDX type {data[2]:#04x}, only unsigned bytes (0x08) are read")
    if data[3] != dimensions:
        raise CorruptFileError(where, f"{data[3]} dimensions, expected {dimensions}")
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise CorruptFileError(where, f"truncated in the header: {len(data)} of at least {start} bytes")
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4"))
    expected = start + math.prod(shape)
    if len(data) != expected:
        difference = "truncated" if len(data) < expected else "too long"
        raise CorruptFileError(where, f"{difference}: {len(data)} bytes, the header {shape} promises {expected}")
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)


def find_idx(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of images and labels of a split ("train" or "test") in a folder, or None if either is not there."""
    images = _find(folder, f"{_PREFIX[split]}-images", 3)
    labels = _find(folder, f"{_PREFIX[split]}-labels", 1)
    return (images, labels) if images and labels else None


def read_idx_pair(images_path: Path, labels_path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (count, 1, height, width) uint8 and labels (count,). Raises CorruptFileError, CountMismatchError."""
    images = read_idx(images_path, 3)
    labels = read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise CountMismatchError(f"{images_path}, {labels_path}", len(images), len(labels))
    return images[:, None], labels.astype(np.int64)


def _find(folder: Path, stem: str, dimensions: int) -> Path | None:
    # The publisher's names, and the form with a dot that unpacking tools leave behind.
    names = [f"{stem}{dot}idx{dimensions}-ubyte{ending}" for dot in "-." for ending in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)
