"""Many files behind one face: a folder or a zip archive, read without unpacking."""

from __future__ import annotations

import hashlib
import os
import threading
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spindl.data.errors import CorruptArchiveError, MissingFileError

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)


@dataclass(frozen=True, slots=True, eq=False)
class FileTree:
    """The files below a folder or inside an archive.

    `names` are sorted paths with forward slashes, relative to `root`; `read(name)` gives the bytes of one and may be
    called from many threads; `signature` changes when any name, size or time of change does.
    """

    root: str
    names: tuple[str, ...]
    signature: str
    read: Callable[[str], bytes]

    def locate(self, name: str) -> str:
        """The name of a file for messages."""
        return f"{self.root}/{name}"


def open_tree(path: Path) -> FileTree:
    """The files of a folder or a .zip archive; hidden files are left out. Raises CorruptArchiveError."""
    return _open_folder(path) if path.is_dir() else _open_zip(path)


def _open_folder(folder: Path) -> FileTree:
    names: list[str] = []
    digest = hashlib.sha256()
    for parent, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for file in sorted(files):
            if _hidden(file):
                continue
            path = Path(parent, file)
            status = path.stat()
            names.append(path.relative_to(folder).as_posix())
            digest.update(f"{names[-1]}\0{status.st_size}\0{status.st_mtime_ns}\n".encode(errors="surrogateescape"))

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise MissingFileError(name, [str(folder)], reason=str(error)) from error

    return FileTree(str(folder), tuple(sorted(names)), digest.hexdigest(), read)


def _open_zip(path: Path) -> FileTree:
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise CorruptArchiveError(str(path), str(error)) from error
    names = sorted(
        info.filename
        for info in archive.infolist()
        if not info.is_dir() and not any(_hidden(part) for part in info.filename.split("/"))
    )
    status = path.stat()
    signature = hashlib.sha256(f"{path.name}\0{status.st_size}\0{status.st_mtime_ns}".encode()).hexdigest()
    # ZipFile counts its open members without a lock. Reading is short beside decoding, so one reader at a time is
    # enough.
    lock = threading.Lock()

    def read(name: str) -> bytes:
        try:
            with lock:
                return archive.read(name)
        except _DAMAGED as error:
            raise CorruptArchiveError(str(path), str(error), member=name) from error

    return FileTree(str(path), tuple(names), signature, read)


def _hidden(name: str) -> bool:
    return name.startswith((".", "__MACOSX"))
