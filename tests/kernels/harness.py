"""Runs one kernel, on the host or on an emulated core, with red zones around all that it may touch.

    result = run("copy", {"words": 4}, {"x": data, "y": np.zeros(4, np.int32)}, where="host")

`where` is "host" (the reference, compiled for this machine), "ref-on-arm" (the reference on an emulated core), "arm"
(the tuned version, where there is one: see `places`) or "image" (the whole image on an emulated core, its walker and
overlays included). An argument with the name of a buffer is the buffer's address.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl import _kernels
from spindl._emulator import BareCore
from spindl.program.core import ERRORS, TILES
from spindl.program.image import Image, load_image
from spindl.program.kernels import KERNELS
from spindl.program.records import Field, RecordType
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.program.toolchain import Elf, compile_object, link, read_elf
from spindl.run.emu.direct import SDRAM, walk

ROOT = Path(__file__).parents[2]
INCLUDES = (ROOT / "kernels" / "include", ROOT / "kernels" / "include" / "generated", ROOT / "kernels" / "ref")
CACHE = ROOT / "build" / "arm"
RED, RED_BYTES = 0xA5, 64
DTCM, DTCM_SIZE, STACK = 0x400000, 0x10000, 4096
EMPTY = -32768
SITE = RecordType(
    "spindl_site",
    (Field("exponent", "h", ""), Field("extent", "h", ""), Field("saturated", "I", "")),
)
SCRIPT = """
ENTRY(start)
MEMORY { ITCM : ORIGIN = 0, LENGTH = 32K  DTCM : ORIGIN = 0x400000, LENGTH = 4K }
SECTIONS {
    .text : { KEEP(*(.start)) *(.text*) *(.rodata*) } > ITCM
    .data : { *(.data*) *(.bss*) } > DTCM
    /DISCARD/ : { *(.ARM.*) *(.comment*) *(.debug*) }
}
"""
START = """
    .syntax unified
    .cpu arm968e-s
    .section .start, "ax"
    .global start
start:
    b begin
    .rept 7
    b stop
    .endr
begin:
    bl {symbol}
stop:
    mcr p15, 0, r0, c7, c0, 4
    b stop
"""


@dataclass(frozen=True)
class Site:
    """A rounding site: exponent in use, extent, clamped elements."""

    exponent: int
    extent: int = EMPTY
    saturated: int = 0


@dataclass(frozen=True)
class Result:
    """What a kernel did.

    Attributes:
        error: its result, 0 if all went well.
        buffers: all buffers afterwards, by name, shaped as they were.
        sites: the table of sites afterwards.
        tiles_redone: as the context counts them.
        cycles: on an emulated core, from the call to the return; 0 on the host.
        stack: bytes of stack used on an emulated core.
    """

    error: int
    buffers: dict[str, NDArray[Any]]
    sites: tuple[Site, ...]
    tiles_redone: int
    cycles: int = 0
    stack: int = 0


@cache
def tuned() -> frozenset[str]:
    """Kernels that have a version in kernels/arm."""
    objects = [read_elf(path) for path in _arm_objects()]
    return frozenset(name for name in KERNELS if any(f"spindl_{name}" in each.symbols for each in objects))


def places(name: str) -> list[str]:
    """Where a kernel can run, for `pytest.mark.parametrize`."""
    return ["host", "ref-on-arm", *(["arm"] if name in tuned() else [])]


@cache
def _arm_objects() -> tuple[Path, ...]:
    sources = sorted(path for path in (ROOT / "kernels" / "arm").glob("*") if path.suffix in {".c", ".s", ".S"})
    return tuple(compile_object(path, INCLUDES, CACHE) for path in sources)


@cache
def _reference_objects(renamed: bool) -> tuple[Path, ...]:
    defines = tuple(f"spindl_{name}=spindl_{name}_ref" for name in sorted(tuned())) if renamed else ()
    sources = sorted((ROOT / "kernels" / "ref").glob("*.c"))
    return tuple(compile_object(path, INCLUDES, CACHE, defines) for path in sources)


@cache
def program(name: str, where: str) -> Elf:
    """One kernel linked for an emulated core, with a start that calls it and sleeps."""
    start = CACHE / f"start-{name}.s"
    CACHE.mkdir(parents=True, exist_ok=True)
    text = START.format(symbol=f"spindl_{name}")
    if not start.exists() or start.read_text() != text:
        start.write_text(text)
    first = compile_object(start, (), CACHE)
    objects = (
        _reference_objects(renamed=False)
        if where == "ref-on-arm"
        else (*_arm_objects(), *_reference_objects(renamed=True))
    )
    return read_elf(link([first, *objects], SCRIPT, CACHE, f"{name}-{where}"))


def code_bytes(name: str, where: str = "arm") -> int:
    """Bytes of code and constants that a kernel brings into an image on its own, start code included."""
    return sum(len(data) for address, data, _ in program(name, where).segments if address < DTCM)


def run(
    name: str,
    arguments: Mapping[str, int],
    buffers: Mapping[str, NDArray[Any]],
    exponents: Sequence[int] = (),
    sites: Sequence[Site] = (),
    where: str = "host",
    *,
    shift: Mapping[str, int] | None = None,
    limit: int = 500_000_000,
) -> Result:
    """Runs a kernel once.

    Args:
        name: of the kernel in KERNELS.
        arguments: its arguments, without those that are addresses of buffers.
        buffers: name -> values; every buffer starts at a multiple of 8 plus `shift`, red zones of 64 bytes around it.
            Names that are no arguments are allowed: their addresses are got by `arguments={"x": "name"}`-like strings.
        exponents: the table of exponents.
        sites: the table of sites.
        where: "host", "ref-on-arm", "arm" or "image".
        shift: bytes to add to a buffer's address, for alignment tests.
        limit: cycles after which an emulated core is taken to hang.

    Raises:
        AssertionError: a red zone was touched, a register or the stack was not restored, the core faulted or hung.
    """
    kernel = KERNELS[name]
    base = 0 if where == "host" else DTCM + 0x1000
    block, addresses = _layout(buffers, shift or {}, base)
    values = {field.name: arguments.get(field.name, field.name) for field in kernel.arguments}
    resolved = {key: addresses[value] if isinstance(value, str) else value for key, value in values.items()}
    unknown = set(arguments) - set(resolved)
    assert not unknown, f"{name} has no arguments {sorted(unknown)}"
    words = kernel.words(resolved)
    site_bytes = b"".join(
        SITE.pack({"exponent": s.exponent, "extent": s.extent, "saturated": s.saturated}) for s in sites
    )
    before = block.copy()
    if where == "image":
        error, redone, site_bytes, cycles = _on_image(kernel.number, words, block, exponents, site_bytes)
        stack = 0
    elif where == "host":
        site_array = np.frombuffer(site_bytes, np.uint8).copy()
        packed = struct.pack(f"<{len(words)}I", *words)
        table = np.array(exponents, np.int16)
        error, redone = _kernels.run(kernel.number, packed, block, table, site_array)
        assert table.tolist() == list(exponents) or name == "exponents", "the table of exponents has changed"
        cycles = stack = 0
        site_bytes = site_array.tobytes()
    else:
        error, redone, site_bytes, cycles, stack = _on_core(
            program(name, where), words, block, exponents, site_bytes, limit
        )
    _check_red(block, before, buffers, addresses, base, name)
    after = {
        key: np.frombuffer(block[addresses[key] - base :].tobytes()[: array.nbytes], array.dtype).reshape(array.shape)
        for key, array in buffers.items()
    }
    unpacked = [SITE.unpack(site_bytes, at) for at in range(0, len(site_bytes), 8)]
    return Result(error, after, tuple(Site(**each) for each in unpacked), redone, cycles, stack)


def cycles(name: str, arguments: Mapping[str, int]) -> int:
    """The declared cycles of a call; addresses that are not given are 0."""
    return int(_kernels.cycles(KERNELS[name].number, _words(name, arguments)))


def scratch(name: str, arguments: Mapping[str, int]) -> int:
    """The declared scratch bytes of a call; addresses that are not given are 0."""
    return int(_kernels.scratch(KERNELS[name].number, _words(name, arguments)))


def _words(name: str, arguments: Mapping[str, int]) -> bytes:
    kernel = KERNELS[name]
    words = kernel.words({field.name: arguments.get(field.name, 0) for field in kernel.arguments})
    return struct.pack(f"<{len(words)}I", *words)


def _layout(
    buffers: Mapping[str, NDArray[Any]], shift: Mapping[str, int], base: int
) -> tuple[NDArray[np.uint8], dict[str, int]]:
    at, addresses = RED_BYTES, {}
    for name, array in buffers.items():
        at = (at + 7) // 8 * 8 + shift.get(name, 0)
        addresses[name] = base + at
        at += array.nbytes + RED_BYTES
    block = np.full((at + 7) // 8 * 8, RED, np.uint8)
    for name, array in buffers.items():
        start = addresses[name] - base
        block[start : start + array.nbytes] = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
    return block, addresses


def _check_red(
    block: NDArray[np.uint8],
    before: NDArray[np.uint8],
    buffers: Mapping[str, NDArray[Any]],
    addresses: Mapping[str, int],
    base: int,
    kernel: str,
) -> None:
    inside = np.zeros(block.size, bool)
    for name, array in buffers.items():
        start = addresses[name] - base
        inside[start : start + array.nbytes] = True
    touched = np.flatnonzero((block != before) & ~inside)
    if touched.size:
        nearest = min(addresses, key=lambda name: abs(addresses[name] - base - int(touched[0])))
        offset = int(touched[0]) - (addresses[nearest] - base)
        raise AssertionError(f"{kernel} wrote {touched.size} bytes outside its buffers, first at {nearest} + {offset}")


def _on_core(
    elf: Elf,
    words: tuple[int, ...],
    block: NDArray[np.uint8],
    exponents: Sequence[int],
    sites: bytes,
    limit: int,
) -> tuple[int, int, bytes, int, int]:
    core = BareCore(0)
    core.control = 2  # unaligned accesses abort
    for address, data, size in elf.segments:
        core.write(address, data + bytes(size - len(data)))
    at = DTCM + 0x1000 + block.size
    core.write(DTCM + 0x1000, block.tobytes())
    exponents_at = at
    sites_at = (exponents_at + 2 * len(exponents) + 7) // 8 * 8
    words_at = sites_at + len(sites)
    context_at = words_at + 4 * len(words)
    end = context_at + 20
    stack_top = DTCM + DTCM_SIZE
    assert end <= stack_top - STACK, f"{end - DTCM} bytes of DTCM and {STACK} of stack do not fit"
    table = struct.pack(f"<{len(exponents)}h", *exponents)
    context = struct.pack("<5I", exponents_at, sites_at, len(exponents), len(sites) // 8, 0)
    arguments = struct.pack(f"<{len(words)}I", *words)
    for address, data in ((exponents_at, table), (sites_at, sites), (words_at, arguments), (context_at, context)):
        core.write(address, data)
    core.write(end, bytes([RED]) * (stack_top - end))
    saved = {4 + i: 0x5EED0000 + i for i in range(8)}
    for register, value in {0: words_at, 1: context_at, 13: stack_top, **saved, 15: 32}.items():
        core.set_register(register, value)
    core.run(limit)
    assert not core.reports, [(kind, hex(address)) for kind, address in core.reports]
    assert core.waiting, f"still running after {limit} cycles, pc {core.register(15):#x}"
    assert core.register(15) - elf.symbols["start"][0] in {40, 44}, f"exception, lr {core.register(14):#x}"
    assert {register: core.register(register) for register in saved} == saved, "a callee-saved register has changed"
    assert core.register(13) == stack_top, "the stack pointer has changed"
    block[:] = np.frombuffer(core.read(DTCM + 0x1000, block.size), np.uint8)
    assert core.read(words_at, len(arguments)) == arguments, "the arguments have changed"
    assert core.read(exponents_at, len(table)) == table, "the table of exponents has changed"
    stack = core.read(end, stack_top - end)
    used = len(stack) - next((i for i, byte in enumerate(stack) if byte != RED), len(stack))
    assert used <= STACK, f"{used} bytes of stack"
    redone = struct.unpack("<I", core.read(context_at + 16, 4))[0]
    error = core.register(0)
    return error, redone, core.read(sites_at, len(sites)), int(core.cycles) - 4, used


@cache
def _image() -> Image:
    return load_image()


def _on_image(
    number: int, words: tuple[int, ...], block: NDArray[np.uint8], exponents: Sequence[int], sites: bytes
) -> tuple[int, int, bytes, int]:
    """A schedule of one step: all is loaded, the kernel runs, all is stored."""
    start = DTCM + 0x1000
    table = struct.pack(f"<{len(exponents)}h", *exponents)
    table += bytes(-len(table) % 8)
    given = block.tobytes() + table + sites
    assert start + len(given) <= TILES[1], "the buffers do not fit the tiles"
    at = start + block.size
    tables = Tables(1, at, at + len(table), len(exponents), len(sites) // 8)
    load, store = Transfer(SDRAM, start, len(given)), Transfer(SDRAM + 0x10000, start, len(given))
    schedule = Schedule((Step(number, 0, (load,), (store,), words),), _image().version, tables)
    done = walk(_image(), [schedule], {SDRAM: given}, topology="1x1")
    (core,) = done.cores[0, 0]
    if core.error is not None:
        assert core.error.name in ERRORS, core.error
        return ERRORS[core.error.name][0], 0, sites, 0
    done.check()
    after = done.read(SDRAM + 0x10000, len(given))
    block[:] = np.frombuffer(after, np.uint8)[: block.size]
    return 0, core.counters["tiles_redone"], after[len(given) - len(sites) :], core.steps[0]["kernel"]
