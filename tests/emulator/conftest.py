"""Machines for the tests: booted once per session, then restored from a snapshot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from spindl.emulator import Faults, Machine, Strictness, emulate

# An address of its own for each test process, so that several may run beside each other.
HOST = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 250}.2"


@cache
def _snapshot(kind: str) -> bytes:
    pytest.importorskip("spinnman", reason="the SC&MP boot image comes with SpiNNMan")
    with emulate(kind, host=HOST, booted=True, connected=False) as machine:
        return machine.snapshot()


@pytest.fixture
def booted() -> Iterator[Callable[..., Machine]]:
    """booted("spin3", connected=...) -> a machine that runs SC&MP, as new."""
    made: list[Machine] = []

    def make(kind: str, *, connected: bool = False, threads: int = 1, speed: float = 1.0) -> Machine:
        machine = emulate(kind, host=HOST, connected=False, threads=threads)
        machine.restore(_snapshot(kind))
        made.append(machine)
        if connected:
            machine.connect(speed)
        return machine

    yield make
    for machine in made:
        machine.close()


@pytest.fixture
def bare() -> Iterator[Callable[..., Machine]]:
    """bare("2x2") -> a machine without SC&MP, for programs that run on the metal."""
    made: list[Machine] = []

    def make(kind: str, faults: Faults | None = None, *, threads: int = 1, strict: Strictness = "off") -> Machine:
        made.append(emulate(kind, host=HOST, connected=False, faults=faults, threads=threads, strict=strict))
        return made[-1]

    yield make
    for machine in made:
        machine.close()


@cache
def _assembled(source: str, folder: str) -> bytes:
    stem = Path(folder) / f"{abs(hash(source))}"
    text, script, linked, binary = (stem.with_suffix(suffix) for suffix in (".s", ".ld", ".elf", ".bin"))
    text.write_text(".syntax unified\n.cpu arm968e-s\n" + source + "\n")
    script.write_text("SECTIONS { . = 0; .text : { *(.text*) } }\n")
    zig = [sys.executable, "-m", "ziglang"]
    target = ["--target=arm-freestanding-eabi", "-mcpu=arm968e_s", "-nostdlib", f"-Wl,-T,{script}"]
    subprocess.run([*zig, "cc", *target, str(text), "-o", str(linked)], check=True, capture_output=True)
    subprocess.run([*zig, "objcopy", "-O", "binary", "--only-section=.text", str(linked), str(binary)], check=True)
    return binary.read_bytes()


@pytest.fixture(scope="session")
def assemble(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """assemble(source) -> machine code that starts at address 0."""
    pytest.importorskip("ziglang", reason="the assembler of these tests")
    folder = str(tmp_path_factory.mktemp("assembled"))
    return lambda source: _assembled(source, folder)
