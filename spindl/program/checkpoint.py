"""Checkpoints: a State on disk.

    checkpoints/latest                          name of the newest checkpoint
    checkpoints/best                            name of the checkpoint with the best test result
    checkpoints/step-00001234/state.safetensors mantissas
    checkpoints/step-00001234/state.json        exponents, progress, scheduler, SHA-256 of the other file and of itself

A checkpoint is written into a hidden folder beside, brought to the disk, and then renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from spindl.graph.operations import Value
from spindl.program.errors import StateError
from spindl.program.files import disk_errors, sync_folder, write_atomically, write_synced
from spindl.program.plain import from_plain, to_plain
from spindl.program.program import canonical_json
from spindl.program.state import Progress, State, Tally

STATE_FORMAT = 1
TENSORS, DOCUMENT = "state.safetensors", "state.json"
_INT32_ROOMS = ("weights", "velocity")


def _stored(name: str, value: Value) -> NDArray[Any]:
    dtype = np.int32 if name.partition("/")[0] in _INT32_ROOMS else np.int64
    return np.ascontiguousarray(value.mantissa, dtype=dtype)


def stored_bytes(values: Mapping[str, Value]) -> int:
    """Bytes of a checkpoint's tensors."""
    return sum(_stored(name, value).nbytes for name, value in values.items())


def save_state(state: State, folder: Path) -> None:
    """Write a checkpoint folder; it appears complete or not at all. Raises RunFolderError."""
    tensors = save({name: _stored(name, value) for name, value in state.values.items()})
    body = {
        "format": STATE_FORMAT,
        "tensors_sha256": sha256(tensors).hexdigest(),
        "exponents": {name: int(value.exponent) for name, value in state.values.items()},
        "progress": asdict(state.progress),
        "tally": {**vars(state.tally), "saturation": dict(state.tally.saturation)},
        "optimizer": to_plain(list(state.optimizer)),
        "scheduler": to_plain(state.scheduler),
        "best": state.best,
        "program": state.program,
    }
    document = {"body": body, "body_sha256": sha256(canonical_json(body).encode()).hexdigest()}
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old.tmp")
    with disk_errors(folder):
        try:
            temporary.mkdir(parents=True)
            write_synced(temporary / TENSORS, tensors)
            write_synced(temporary / DOCUMENT, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
            sync_folder(temporary)
            if folder.exists():  # the same step again; a folder can only be renamed onto an empty one
                folder.rename(old)
            temporary.rename(folder)
            sync_folder(folder.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
            if old.exists() and not folder.exists():
                old.rename(folder)
            shutil.rmtree(old, ignore_errors=True)


def load_state(folder: Path) -> State:
    """The State in a checkpoint folder. Raises StateError, naming the file, if anything about it is damaged."""
    document_path, tensors_path = folder / DOCUMENT, folder / TENSORS
    path = document_path
    try:
        document = json.loads(document_path.read_bytes())
        body = document["body"]
        if body["format"] != STATE_FORMAT:
            raise StateError(f"checkpoint of format {body['format']}; this spindl reads {STATE_FORMAT}", str(path))
        if sha256(canonical_json(body).encode()).hexdigest() != document["body_sha256"]:
            raise StateError("the checkpoint is damaged (its content does not fit its hash)", str(path))
        path = tensors_path
        content = tensors_path.read_bytes()
        if sha256(content).hexdigest() != body["tensors_sha256"]:
            raise StateError(f"the checkpoint is damaged ({len(content)} bytes do not fit their hash)", str(path))
        tensors = load(content)
        path = document_path
        return State(
            values={name: Value(array.astype(np.int64), body["exponents"][name]) for name, array in tensors.items()},
            progress=Progress(**body["progress"]),
            tally=Tally(**body["tally"]),
            optimizer=tuple(from_plain(body["optimizer"])),
            scheduler=from_plain(body["scheduler"]),
            best=body["best"],
            program=body["program"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"the checkpoint is damaged ({type(error).__name__}: {error})", str(path)) from error


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of one run: `keep` newest ones, and the best."""

    path: Path
    keep: int = 3

    def names(self) -> list[str]:
        """Complete checkpoints, oldest first."""
        if not self.path.is_dir():
            return []
        return sorted(entry.name for entry in self.path.iterdir() if entry.name.startswith("step-"))

    def folder(self, step: int) -> Path:
        """Where the checkpoint of a step lies."""
        return self.path / f"step-{step:08d}"

    def save(self, state: State, *, best: bool = False) -> Path:
        """Write a checkpoint, point `latest` (and `best`) to it, remove old ones. Raises RunFolderError."""
        folder = self.folder(state.progress.step)
        save_state(state, folder)
        write_atomically(self.path / "latest", f"{folder.name}\n".encode())
        if best:
            write_atomically(self.path / "best", f"{folder.name}\n".encode())
        kept = {*self.names()[-self.keep :], folder.name, self._pointer("best")}
        for name in self.names():
            if name not in kept:
                shutil.rmtree(self.path / name, ignore_errors=True)
        return folder

    def clean(self) -> None:
        """Remove what an interrupted write left. A checkpoint that was set aside for its successor is put back."""
        for entry in list(self.path.glob(".*.tmp")):
            original = self.path / entry.name.removeprefix(".").split(".")[0]
            if entry.name.endswith(".old.tmp") and not original.exists():
                entry.rename(original)
            elif entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                entry.unlink(missing_ok=True)

    def forget_after(self, folder: Path) -> None:
        """Remove the checkpoints newer than this one: the run goes on from here."""
        for name in self.names():
            if name > folder.name:
                shutil.rmtree(self.path / name, ignore_errors=True)

    def latest(self) -> Path | None:
        """The newest checkpoint; None if there is none."""
        return self._pointed("latest")

    def best(self) -> Path | None:
        """The checkpoint with the best test result, else the newest."""
        return self._pointed("best")

    def load(self, folder: Path | None = None) -> State | None:
        """The State of the newest checkpoint (or of a given one); None if there is none.

        Raises StateError, which names the damaged file and the newest good checkpoint before it.
        """
        folder = folder or self.latest()
        if folder is None:
            return None
        try:
            return load_state(folder)
        except StateError as error:
            previous = self._good_before(folder)
            remedy = (
                f"go on from {previous} (--resume-from), or remove {folder}"
                if previous
                else "there is no good checkpoint before it; start again in another --run-dir"
            )
            raise StateError(error.what, error.where, remedy, previous=str(previous or "")) from error

    def _good_before(self, folder: Path) -> Path | None:
        for name in reversed(self.names()):
            if name < folder.name:
                try:
                    load_state(self.path / name)
                except StateError:
                    continue
                return self.path / name
        return None

    def _pointer(self, pointer: str) -> str:
        try:
            return (self.path / pointer).read_text().strip()
        except OSError:
            return ""

    def _pointed(self, pointer: str) -> Path | None:
        # The pointer may be one write behind: a crash can come between the checkpoint and its pointer.
        names = self.names()
        if not names:
            return None
        named = self._pointer(pointer)
        return self.path / (named if named in names and (pointer == "best" or named >= names[-1]) else names[-1])
