"""Files and folders that appear complete or not at all, also when the power fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from spindl.program.errors import RunFolderError


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, not only its files' content."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's complaints about writing into RunFolderError."""
    try:
        yield
    except OSError as error:
        raise RunFolderError(
            f"cannot write: {error.strerror or error}", str(path), "free some space, or choose another --run-dir"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one go. Raises RunFolderError; what stood there before then still stands."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            write_synced(temporary, content)
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what `write_atomically` left in a folder when its process was killed; files of living ones stay."""
    for path in folder.glob(".*.tmp"):
        process = path.name.removesuffix(".tmp").rpartition(".")[2]
        if process.isdecimal() and not _lives(int(process)):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True
