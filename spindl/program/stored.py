"""What a planned Program needs on its chips, as bytes: plans need not be made again.

    4 bytes "SPDP", 32 bytes SHA-256 of the rest, then compressed: length of a JSON text (4 bytes), the text, strings

Records are named by their class; nothing but the classes listed here is ever made from a file.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

from spindl.graph.graph import Format
from spindl.program.errors import ProgramError
from spindl.program.machine import ChipProgram, Place, PlannedGraph, RouterEntry, SiteKind
from spindl.program.schedule import Schedule, decode, encode

MAGIC = b"SPDP"
_RECORDS = (PlannedGraph, ChipProgram, Place, Format, SiteKind, RouterEntry)
CLASSES: Mapping[str, Any] = {each.__name__: each for each in _RECORDS}
_FAST = 1  # of zlib's levels


def to_stored(value: Any) -> bytes:
    """Bytes of records of CLASSES, Schedules, byte strings, numbers, texts, None; tuples and mappings of them."""
    blobs: list[bytes] = []
    places: dict[bytes, int] = {}

    def blob(data: bytes) -> int:
        if data not in places:
            places[data] = len(blobs)
            blobs.append(data)
        return places[data]

    def packed(item: Any) -> Any:
        if item is None or isinstance(item, bool | int | float | str):
            return item
        if isinstance(item, bytes):
            return {"bytes": blob(item)}
        if isinstance(item, Schedule):
            return {"schedule": blob(encode(item))}
        if isinstance(item, tuple | list):
            return [packed(each) for each in item]
        if isinstance(item, Mapping):
            return {"map": [[packed(key), packed(each)] for key, each in item.items()]}
        if is_dataclass(item) and type(item).__name__ in CLASSES:
            return {type(item).__name__: {field.name: packed(getattr(item, field.name)) for field in fields(item)}}
        raise TypeError(f"{type(item).__name__} has no stored form")

    document = packed(value)
    text = json.dumps([document, [len(each) for each in blobs]], separators=(",", ":")).encode()
    body = zlib.compress(len(text).to_bytes(4, "little") + text + b"".join(blobs), _FAST)
    return MAGIC + sha256(body).digest() + body


def from_stored(data: bytes, where: str = "cache") -> Any:
    """The value. Raises ProgramError if the bytes are damaged or hold something else."""
    try:
        if data[:4] != MAGIC or sha256(data[36:]).digest() != data[4:36]:
            raise ValueError("no stored chips, or damaged")
        body = zlib.decompress(data[36:])
        end = 4 + int.from_bytes(body[:4], "little")
        document, lengths = json.loads(body[4:end])
        blobs = []
        for length in lengths:
            blobs.append(body[end : end + length])
            end += length

        def unpacked(item: Any) -> Any:
            if isinstance(item, list):
                return tuple(unpacked(each) for each in item)
            if not isinstance(item, dict):
                return item
            ((kind, content),) = item.items()
            if kind == "bytes":
                return blobs[content]
            if kind == "schedule":
                return decode(blobs[content])
            if kind == "map":
                return {unpacked(key): unpacked(each) for key, each in content}
            return CLASSES[kind](**{name: unpacked(each) for name, each in content.items()})

        return unpacked(document)
    except (ValueError, KeyError, TypeError, IndexError, zlib.error, ProgramError) as error:
        raise ProgramError(f"stored chips are damaged ({type(error).__name__}: {error})", where) from error
