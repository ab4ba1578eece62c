"""Binary records that Python writes and the cores read: fields declared once, struct and C typedef made from them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from spindl.program.errors import ProgramError

C_TYPES = {"B": "uint8_t", "H": "uint16_t", "I": "uint32_t", "i": "int32_t", "h": "int16_t"}
SIZES = {"B": 1, "H": 2, "h": 2, "I": 4, "i": 4}


@dataclass(frozen=True)
class Field:
    """One number of a record: its name, its struct code (B, H, h, I, i) and what it means, with its unit."""

    name: str
    code: str
    meaning: str


@dataclass(frozen=True)
class RecordType:
    """A little-endian record without gaps; every field lies at a multiple of its size, as the cores' loads demand."""

    name: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        offset = 0
        for field in self.fields:
            if offset % SIZES[field.code]:
                raise AssertionError(f"{self.name}.{field.name} lies at {offset}, not at a multiple of its size")
            offset += SIZES[field.code]
        if offset % 4:
            raise AssertionError(f"{self.name} has {offset} bytes, not whole words")

    @cached_property
    def layout(self) -> struct.Struct:
        """The record as a struct."""
        return struct.Struct("<" + "".join(field.code for field in self.fields))

    def pack(self, values: Mapping[str, int]) -> bytes:
        """The record's bytes. Raises ProgramError for missing, unknown or too large values."""
        names = [field.name for field in self.fields]
        if set(values) != set(names):
            wrong = sorted(set(values) ^ set(names))
            raise ProgramError(f"fields {', '.join(wrong)} are missing or unknown", self.name)
        try:
            return self.layout.pack(*(values[name] for name in names))
        except struct.error as error:
            raise ProgramError(f"a value does not fit: {error}", self.name) from error

    def unpack(self, data: bytes, offset: int = 0) -> dict[str, int]:
        """The values of the record at an offset. Raises ProgramError if the data end before it does."""
        if offset + self.layout.size > len(data):
            raise ProgramError(f"the data end at byte {len(data)}, inside the record at {offset}", self.name)
        return dict(zip((field.name for field in self.fields), self.layout.unpack_from(data, offset), strict=True))

    def c_typedef(self) -> list[str]:
        """Lines of C99: the struct, and a compile-time check of its size."""
        lines = ["typedef struct {"]
        lines += [f"    {C_TYPES[field.code]} {field.name}; /* {field.meaning} */" for field in self.fields]
        check = f"typedef char {self.name}_size[sizeof({self.name}) == {self.layout.size} ? 1 : -1];"
        return [*lines, f"}} {self.name};", check]
