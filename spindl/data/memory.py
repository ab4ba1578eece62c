"""Small pictures decoded once, all of them, and kept in the cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spindl.data.decode import decode_image, decoder_version
from spindl.data.errors import ImageSizeError
from spindl.data.files import FileTree

_CHUNK = 512


def decode_all(
    tree: FileTree, names: tuple[str, ...], size: tuple[int, int], cache_dir: Path, label: str
) -> NDArray[np.uint8]:
    """All pictures as uint8 (len(names), 3, height, width), from the cache or decoded and put there.

    The name of the cache file depends on the names, sizes and times of the files, on the decoder and on `label`.
    A cache that cannot be written only warns. Raises ImageSizeError and what decoding raises.
    """
    shape = (len(names), 3, *size)
    key = hashlib.sha256("\0".join((tree.signature, decoder_version(), *names)).encode(errors="surrogateescape"))
    target = cache_dir / "decoded" / f"{label}-{key.hexdigest()[:16]}.npy"
    cached = _load(target, shape)
    if cached is not None:
        return cached
    pixels = np.empty(shape, dtype=np.uint8)

    def decode(start: int) -> None:
        for row in range(start, min(start + _CHUNK, len(names))):
            where = tree.locate(names[row])
            image = decode_image(tree.read(names[row]), where)
            if (image.height, image.width) != size:
                raise ImageSizeError(
                    where,
                    (image.height, image.width),
                    size,
                    "the first picture is",
                    "pass image_size, so that all pictures are brought to one size",
                )
            pixels[row] = np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        try:
            list(pool.map(decode, range(0, len(names), _CHUNK)))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    _save(target, pixels)
    return pixels


def _load(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _save(path: Path, array: NDArray[np.uint8]) -> None:
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.name + ".", delete=False) as file:
            temporary = Path(file.name)
            np.save(file, array)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        warnings.warn(f"decoded pictures could not be kept in {path}: {error}", stacklevel=2)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
