"""Small data sets on disk, made from seeds."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx_folder(folder: Path, train: int = 20, test: int = 10, seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """Four files in MNIST's names; the first pair plain, the second compressed. Returns the arrays by name."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    arrays = {}
    for prefix, count in (("train", train), ("t10k", test)):
        arrays[f"{prefix}-images"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels"] = (np.arange(count) % 10).astype(np.uint8)
    for name, array in arrays.items():
        file = folder / f"{name}-idx{array.ndim}-ubyte"
        if name.startswith("train"):
            file.write_bytes(idx_bytes(array))
        else:
            file.with_name(file.name + ".gz").write_bytes(gzip.compress(idx_bytes(array)))
    return arrays


def picture_bytes(seed: int, size: tuple[int, int] = (8, 6), mode: str = "RGB", form: str = "PNG") -> bytes:
    """A random picture of (height, width)."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, *channels), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.frombytes(mode, (size[1], size[0]), pixels.tobytes()).save(buffer, form)
    return buffer.getvalue()


def write_tree(target: Path, files: dict[str, bytes]) -> Path:
    """The files as a folder, or as an archive if `target` ends with .zip."""
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return target
    for name, data in files.items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return target
