"""The cross-compiler of the cores: C and assembly to ELF, kept by content, and the little of ELF that is needed.

The compiler is clang inside the `ziglang` package; Debian's arm-none-eabi-gcc is accepted instead. A file may ask for
options of its own in its first line: `/* options: -Os */`.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from spindl.errors import SpindlError

COMMON = (
    *("-O2", "-g0", "-fomit-frame-pointer", "-ffreestanding", "-fno-common", "-ffunction-sections", "-fdata-sections"),
    *("-fno-unwind-tables", "-fno-asynchronous-unwind-tables"),
)
C_OPTIONS = ("-std=c11", "-Wall", "-Wextra", "-Werror")
ZIG = ("--target=arm-freestanding-eabi", "-mcpu=arm968e_s", "-fno-sanitize=undefined", "-fno-stack-protector")
GCC = ("-mcpu=arm968e-s", "-marm", "-mfloat-abi=soft")
SOURCES = (".c", ".s", ".S")


class ImageError(SpindlError):
    """The program of the cores cannot be built or is not usable; `where` is the file or stage."""


@cache
def compiler() -> tuple[str, ...]:
    """The command that compiles for the cores, with its target options. Raises ImageError if there is none."""
    if find_spec("ziglang") is not None:
        return (sys.executable, "-m", "ziglang", "cc", *ZIG)
    gcc = shutil.which("arm-none-eabi-gcc")
    if gcc is None:
        raise ImageError(
            "no cross-compiler for ARM", remedy="pip install ziglang, or install Debian's gcc-arm-none-eabi"
        )
    return (gcc, *GCC)


@cache
def _version() -> str:
    base = compiler()[:4] if "ziglang" in compiler() else compiler()[:1]
    command = [*base[:3], "version"] if "ziglang" in base else [*base, "--version"]
    return " ".join(compiler()) + subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _run(command: list[str], where: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise ImageError(f"the compiler says\n{done.stderr.strip()}", where)


def _key(*parts: str | bytes) -> str:
    digest = sha256(_version().encode())
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(4, "little") + data)
    return digest.hexdigest()[:24]


@cache
def _headers_text(folders: tuple[Path, ...]) -> bytes:
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in {".h", ".inc"})
    return b"".join(path.read_bytes() for path in files)


def forget_headers() -> None:
    """Read the header files again; for processes that live while somebody edits."""
    _headers_text.cache_clear()


def compile_object(source: Path, includes: tuple[Path, ...], cache_folder: Path, defines: tuple[str, ...] = ()) -> Path:
    """The object file of one source, from the cache if nothing that it is made from has changed.

    Args:
        source: C, or assembly (`.S` with preprocessor).
        includes: folders of headers; any change in them compiles again.
        cache_folder: where objects are kept.
        defines: NAME or NAME=VALUE.

    Raises:
        ImageError: with what the compiler says; warnings are errors.
    """
    text = source.read_bytes()
    asked = re.match(rb"[^\n]*options:([^*\n]*)", text)
    options = [*COMMON, *(C_OPTIONS if source.suffix == ".c" else ())]
    options += asked.group(1).decode().split() if asked else []
    options += [f"-D{define}" for define in defines]
    folders = (*includes, source.parent)
    key = _key(source.name, text, _headers_text(folders), " ".join(options))
    target = cache_folder / f"{source.stem}-{key}.o"
    if not target.exists():
        cache_folder.mkdir(parents=True, exist_ok=True)
        made = target.with_suffix(f".{os.getpid()}.o")
        command = list(compiler())
        if "-mthumb" in options and "ziglang" in command:  # zig knows Thumb as a target only
            command[command.index(ZIG[0])] = ZIG[0].replace("=arm", "=thumb")
        command += [*options, *(f"-I{folder}" for folder in folders)]
        _run([*command, "-c", str(source), "-o", str(made)], str(source))
        made.replace(target)
    return target


def link(objects: list[Path], script: str, cache_folder: Path, name: str, options: tuple[str, ...] = ()) -> Path:
    """The ELF file of some objects by a linker script, from the cache if they are the same.

    Raises:
        ImageError: with what the linker says, also when a memory region overflows.
    """
    key = _key(script, *(path.name for path in objects), " ".join(options))
    target = cache_folder / f"{name}-{key}.elf"
    if not target.exists():
        script_file, made = (cache_folder / f"{name}-{key}.{os.getpid()}.{kind}" for kind in ("ld", "elf"))
        script_file.write_text(script)
        # zig brings its helpers by itself; gcc must not bring a C library.
        zig = "ziglang" in compiler()
        flags = ["-nostartfiles" if zig else "-nostdlib", "-Wl,--gc-sections", f"-Wl,-T,{script_file}", *options]
        helpers = [] if zig else ["-lgcc"]
        _run([*compiler(), *COMMON, *flags, *map(str, objects), *helpers, "-o", str(made)], name)
        script_file.unlink()
        made.replace(target)
    return target


@dataclass(frozen=True)
class Elf:
    """What is used of a 32-bit little-endian ELF file.

    Attributes:
        entry: address of the first instruction.
        segments: (address, bytes, size in memory) of what is loaded.
        symbols: name -> (value, size) of defined global symbols.
        locals: (source file, name, value, size) of the others that have a size.
        sections: name -> (address, bytes) of those that hold bytes in memory.
        undefined: names that another file has to define.
        homes: name -> section of defined global symbols.
        references: section -> (sections of this file, names of global symbols) that it refers to; of objects.
    """

    entry: int
    segments: tuple[tuple[int, bytes, int], ...]
    symbols: dict[str, tuple[int, int]]
    locals: tuple[tuple[str, str, int, int], ...]
    sections: dict[str, tuple[int, bytes]]
    undefined: frozenset[str]
    homes: dict[str, str]
    references: dict[str, tuple[frozenset[str], frozenset[str]]]


@cache
def read_elf(path: Path) -> Elf:
    """Reads an object or linked file. Raises ImageError for anything but 32-bit little-endian ELF."""
    data = path.read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        raise ImageError("this is no 32-bit ELF file", str(path))
    entry, segments_at, sections_at = struct.unpack_from("<III", data, 24)
    segment_size, segments, section_size, sections, names_index = struct.unpack_from("<HHHHH", data, 42)

    def text(at: int) -> str:
        return data[at : data.index(b"\0", at)].decode()

    loaded = []
    for i in range(segments):
        kind, offset, address, _, stored, size = struct.unpack_from("<IIIIII", data, segments_at + i * segment_size)
        if kind == 1 and size:
            loaded.append((address, data[offset : offset + stored], size))
    heads = [struct.unpack_from("<10I", data, sections_at + i * section_size) for i in range(sections)]
    named = {
        text(heads[names_index][4] + head[0]): (head[3], data[head[4] : head[4] + head[5]])
        for head in heads
        if head[1] == 1 and head[2] & 2
    }
    title = [text(heads[names_index][4] + head[0]) for head in heads]
    symbols: dict[str, tuple[int, int]] = {}
    homes: dict[str, str] = {}
    undefined: set[str] = set()
    private: list[tuple[str, str, int, int]] = []
    file = ""
    for head in heads:
        if head[1] == 2:  # symbol table
            for at in range(head[4], head[4] + head[5], 16):
                name_at, value, size, info, _, index = struct.unpack_from("<IIIBBH", data, at)
                name = text(heads[head[6]][4] + name_at)
                if info == 4:  # the local symbols behind it are of this source file
                    file = name
                elif info >> 4 == 0 and size:
                    private.append((file, name, value, size))
                elif info >> 4 and name and index == 0:
                    undefined.add(name)
                elif info >> 4 and name:
                    symbols[name] = (value, size)
                    if index < sections:
                        homes[name] = title[index]
    references = {title[i]: (set[str](), set[str]()) for i, head in enumerate(heads) if head[2] & 2}
    for head in heads:
        if head[1] != 9 or not heads[head[7]][2] & 2:  # relocations of what will be in memory
            continue
        near, far = references[title[head[7]]]
        table = heads[head[6]]
        for at in range(head[4], head[4] + head[5], 8):
            symbol = table[4] + 16 * (struct.unpack_from("<I", data, at + 4)[0] >> 8)
            name_at, _, _, info, _, index = struct.unpack_from("<IIIBBH", data, symbol)
            if info >> 4:
                far.add(text(heads[table[6]][4] + name_at))
            elif 0 < index < sections:
                near.add(title[index])
    reached = {name: (frozenset(near), frozenset(far)) for name, (near, far) in references.items()}
    return Elf(entry, tuple(loaded), symbols, tuple(private), named, frozenset(undefined), homes, reached)
