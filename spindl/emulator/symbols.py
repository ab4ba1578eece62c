"""Names of addresses, from an ELF file's symbol table."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

from spindl.emulator.errors import EmulatorError


@dataclass(frozen=True)
class Symbols:
    """Sorted start addresses of functions and objects, with their names.

    Attributes:
        starts: addresses, ascending; names: one for each; ends: first address behind each (its start if the ELF file
            gives no size, which then reaches to the next symbol).
    """

    starts: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    ends: tuple[int, ...] = ()

    def name(self, address: int) -> str:
        """`function+0x12` for an address inside one; empty if no symbol covers it."""
        at = bisect_right(self.starts, address) - 1
        if at < 0 or (self.ends[at] > self.starts[at] and address >= self.ends[at]):
            return ""
        distance = address - self.starts[at]
        return f"{self.names[at]}+{distance:#x}" if distance else self.names[at]


def read_symbols(path: str | Path) -> Symbols:
    """The functions and objects of an ELF file for ARM.

    Raises:
        EmulatorError: pyelftools is not installed, the file cannot be read, or it is no ELF file.
    """
    try:
        from elftools.common.exceptions import ELFError
        from elftools.elf.elffile import ELFFile
        from elftools.elf.sections import SymbolTableSection
    except ImportError as error:
        raise EmulatorError("symbols need pyelftools", remedy="pip install pyelftools") from error
    try:
        with Path(path).open("rb") as file:
            table = ELFFile(file).get_section_by_name(".symtab")
            entries = list(table.iter_symbols()) if isinstance(table, SymbolTableSection) else []
    except OSError as error:
        raise EmulatorError(f"cannot read it: {error.strerror}", where=str(path)) from error
    except ELFError as error:
        raise EmulatorError(f"not an ELF file: {error}", where=str(path), remedy="give the linker's output") from error
    # Bit 0 of a function's address says Thumb. Names that begin with $ mark code and data, they name nothing.
    found = sorted(
        (entry["st_value"] & ~1, entry["st_size"], entry.name)
        for entry in entries
        if entry["st_info"]["type"] in ("STT_FUNC", "STT_OBJECT", "STT_NOTYPE")
        and entry["st_shndx"] != "SHN_UNDEF"
        and entry.name
        and not entry.name.startswith("$")
    )
    return Symbols(
        tuple(start for start, _, _ in found),
        tuple(name for _, _, name in found),
        tuple(start + size for start, size, _ in found),
    )
