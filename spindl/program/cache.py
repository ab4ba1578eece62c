"""A folder of planned chips by the hash of what they were planned from; the least recently used ones go first."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from spindl.program.errors import ProgramError, RunFolderError
from spindl.program.files import write_atomically
from spindl.program.stored import from_stored, to_stored

LIMIT = 1 << 30
"""Bytes that the folder may hold."""
_SUFFIX = ".chips"


def cache_folder() -> Path:
    """Where plans are kept: $SPINDL_CACHE, or ~/.cache/spindl; in it the folder "plans"."""
    return Path(os.environ.get("SPINDL_CACHE") or Path.home() / ".cache" / "spindl") / "plans"


def cached(key: str, folder: Path | None = None) -> Any:
    """What is kept for a key; None if nothing is. A damaged file is removed."""
    path = (folder or cache_folder()) / (key + _SUFFIX)
    try:
        value = from_stored(path.read_bytes())
        os.utime(path)
    except OSError:
        return None
    except ProgramError:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return None
    return value


def keep(key: str, value: Any, folder: Path | None = None, limit: int = LIMIT) -> None:
    """Keeps a value for a key, if the folder can be written; what was not used for longest goes until all fits."""
    where = folder or cache_folder()
    data = to_stored(value)
    if len(data) > limit:
        return
    with suppress(OSError, RunFolderError):
        where.mkdir(parents=True, exist_ok=True)
        write_atomically(where / (key + _SUFFIX), data)
        _make_room(where, limit, where / (key + _SUFFIX))


def usage(folder: Path | None = None) -> tuple[int, int]:
    """Number of plans kept, and their bytes."""
    sizes = [size for _, size, _ in _files(folder or cache_folder())]
    return len(sizes), sum(sizes)


def _files(folder: Path) -> list[tuple[float, int, Path]]:
    """Time of last use, size, path; oldest first. Files that others remove meanwhile are left out."""
    found = []
    for path in folder.glob("*" + _SUFFIX):
        with suppress(OSError):
            status = path.stat()
            found.append((status.st_mtime, status.st_size, path))
    return sorted(found)


def _make_room(folder: Path, limit: int, newest: Path) -> None:
    files = _files(folder)
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= limit:
            return
        if path != newest:
            path.unlink(missing_ok=True)
            total -= size
