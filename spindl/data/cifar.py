"""CIFAR-10 as its authors publish it: the binary version, out of its archive or unpacked.

Format: six files of 10,000 records, each one byte of label and 3072 bytes of pixels, red, green, blue plane of 32x32.
The version for Python is not read: it is a pickle, which can run any code.
"""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spindl.data.errors import CorruptArchiveError, CorruptFileError

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_SHAPE = (3, 32, 32)
_RECORD = 1 + 3 * 32 * 32
_RECORDS_PER_FILE = 10_000
_FILES = {"train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)), "test": ("test_batch.bin",)}


def read_cifar10(path: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images (count, 3, 32, 32) and labels (count,) from the archive or the unpacked folder.

    Raises CorruptArchiveError, CorruptFileError.
    """
    blocks = _from_folder(path, split) if path.is_dir() else _from_archive(path, split)
    records = []
    for name, block in zip(_FILES[split], blocks, strict=True):
        if len(block) != _RECORD * _RECORDS_PER_FILE:
            raise CorruptFileError(
                f"{path}/{name}", f"{len(block)} bytes, expected {_RECORDS_PER_FILE} records of {_RECORD}"
            )
        records.append(np.frombuffer(block, dtype=np.uint8).reshape(-1, _RECORD))
    together = np.concatenate(records)
    return np.ascontiguousarray(together[:, 1:]).reshape(-1, *_SHAPE), together[:, 0].astype(np.int64)


def _from_folder(path: Path, split: str) -> list[bytes]:
    try:
        return [(path / name).read_bytes() for name in _FILES[split]]
    except OSError as error:
        raise CorruptFileError(str(path), str(error)) from error


def _from_archive(path: Path, split: str) -> list[bytes]:
    found: dict[str, bytes] = {}
    try:
        # In the order of the archive: going back in a compressed stream would inflate it again.
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if name in _FILES[split]:
                    file = archive.extractfile(member)
                    found[name] = file.read() if file else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise CorruptArchiveError(str(path), str(error)) from error
    missing = [name for name in _FILES[split] if name not in found]
    if missing:
        raise CorruptArchiveError(str(path), f"holds no {missing[0]}")
    return [found[name] for name in _FILES[split]]
