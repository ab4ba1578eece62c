"""A recorded session as a file: JSON lines, first the machine, then every datagram, last where it ended."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spindl.emulator.errors import EmulatorError
from spindl.emulator.records import Arrival, Faults

VERSION = 1


@dataclass(frozen=True)
class Recording:
    """All that determines a session.

    Attributes:
        machine: the machine's name, as `emulate` takes it.
        faults: dead parts and error rates it was made with.
        host: loopback address of its first board.
        booted: True if it was booted without a host at time 0.
        arrivals: datagrams and frames with the cycle each arrived at, oldest first.
        end: the cycle at which it ended.
        fingerprint: of the machine's state at that cycle.
    """

    machine: str
    faults: Faults
    host: str
    booted: bool
    arrivals: tuple[Arrival, ...]
    end: int
    fingerprint: int


class BadRecording(EmulatorError):
    """A file is not a recording, is cut off, or is of another version."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(reason, where=str(path), remedy="give a file that `spindl emulate --record` has written")


def _faults_as_json(faults: Faults) -> dict[str, Any]:
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(faults).items()}


def _faults_from_json(found: dict[str, Any]) -> Faults:
    parts = {name: frozenset(map(tuple, value)) for name, value in found.items() if isinstance(value, list)}
    return Faults(**{**found, **parts})


def save_recording(path: Path, recording: Recording) -> None:
    """Writes `recording` to `path`. Raises EmulatorError if that cannot be written."""
    first = {
        "format": "spindl recording",
        "version": VERSION,
        "machine": recording.machine,
        "host": recording.host,
        "booted": recording.booted,
        "faults": _faults_as_json(recording.faults),
    }
    last = {"end": recording.end, "fingerprint": recording.fingerprint}
    lines: list[dict[str, Any]] = [
        first,
        *({"cycle": a.cycle, "chip": a.chip, "kind": a.kind, "data": a.data.hex()} for a in recording.arrivals),
        last,
    ]
    try:
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise EmulatorError(f"cannot write it: {error.strerror}", where=str(path)) from error


def load_recording(path: Path) -> Recording:
    """Reads a recording. Raises BadRecording."""
    try:
        first, *middle, last = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if first["format"] != "spindl recording" or first["version"] != VERSION:
            raise BadRecording(path, f"this is not a recording of version {VERSION}")
        return Recording(
            first["machine"],
            _faults_from_json(first["faults"]),
            first["host"],
            first["booted"],
            tuple(Arrival(line["cycle"], line["chip"], line["kind"], bytes.fromhex(line["data"])) for line in middle),
            last["end"],
            last["fingerprint"],
        )
    except OSError as error:
        raise BadRecording(path, f"cannot read it: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadRecording(path, "this is not a recording, or it is cut off") from error
