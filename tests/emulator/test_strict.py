"""Strict machines: every kind of report, with core, pc, address and label; cores that stop; symbols."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from spindl.emulator import EmulatorError, Machine

Assemble = Callable[[str], bytes]
Bare = Callable[..., Machine]

SLEEP = "\nsleep: mcr p15, 0, r0, c7, c0, 4\n b sleep\n"
CHECK_ALIGNMENT = "ldr r0, =0x1f7e\n mcr p15, 0, r0, c1, c0, 0\n"
DMA = """
    mov r0, #0x30000000
    ldr r1, ={system}
    str r1, [r0, #4]
    ldr r1, ={tcm}
    str r1, [r0, #8]
    ldr r1, =0x01800000 + {size}
    str r1, [r0, #0xc]
"""

# Code that has run is replaced by DMA, while the core is elsewhere.
OVERLAY = """
    bl overlay
    mov r0, #0x30000000
1:  ldr r1, [r0, #0x14]
    tst r1, #1
    bne 1b
    ldr r1, =0x60001000
    str r1, [r0, #4]
    adr r1, overlay
    str r1, [r0, #8]
    ldr r1, =0x01800080
    str r1, [r0, #0xc]
    b sleep
    .ltorg
    .align 4
overlay:
    bx lr
    .space 128
"""

# Program; kind, label, address; and the words that come before the instruction at fault, which gives its pc.
CASES = {
    "unaligned": (CHECK_ALIGNMENT + "ldr r1, =0x400002\n ldr r2, [r1]", "program error", 0x400002, 3),
    "unmapped": ("ldr r1, =0x50000004\n ldr r2, [r1]", "program error", 0x50000004, 1),
    "uninitialised DTCM": ("mov r1, #0x400000\n strh r1, [r1]\n ldr r2, [r1, #4]", "undefined behaviour", 0x400004, 2),
    "uninitialised SDRAM": (
        "mov r1, #0x60000000\n str r1, [r1, #8]\n ldrb r2, [r1, #9]\n ldrb r2, [r1, #12]",
        "undefined behaviour",
        0x6000000C,
        3,
    ),
    "uninitialised, by DMA": (
        "mov r1, #0x60000000\n str r1, [r1]" + DMA.format(system=0x60000000, tcm=0x400000, size=64) + SLEEP,
        "undefined behaviour",
        0x60000004,
        None,
    ),
    "code_write": ("mov r1, #0\n mov r2, #0\n str r1, [r2, #4]", "undefined behaviour", 4, 2),
    "code_write, by DMA": (
        DMA.format(system="0x60001000", tcm=0, size=256) + SLEEP,  # the program itself, while it runs
        "undefined behaviour",
        0,
        None,
    ),
    "tcm_overrun": ("mov r1, #0x410000\n str r1, [r1]", "program error", 0x410000, 1),
    "tcm_overrun of code": ("mov r1, #0x8000\n ldr r1, [r1]", "program error", 0x8000, 1),
    "tcm_overrun, by DMA": (
        DMA.format(system="0x60001000", tcm="0x40ff80", size=256) + SLEEP,
        "program error",
        0x410000,
        None,
    ),
    "unimplemented_register": ("ldr r1, =0x30000040\n ldr r2, [r1]", "unimplemented", 0x30000040, 1),
    "unimplemented_register of the system": ("ldr r1, =0xf1000f00\n str r1, [r1]", "unimplemented", 0xF1000F00, 1),
    "undefined_instruction": (".word 0xe7f000f0", "program error", 0, 0),
}


def run(machine: Machine, program: bytes, core: int = 3) -> None:
    machine.chip(0, 0).write(0x60001000, bytes(range(256)))
    view = machine.chip(0, 0).physical(core)
    view.write(0, program)
    view.start()
    machine.run(0.0001)


@pytest.mark.parametrize("case", CASES)
def test_each_kind_is_reported_where_it_happened(bare: Bare, assemble: Assemble, case: str) -> None:
    source, label, address, before = CASES[case]
    machine = bare("1x1", strict="warn")
    run(machine, assemble(source + SLEEP if "sleep" not in source else source))
    report = machine.chip(0, 0).physical(3).reports[0]
    assert (report.kind, report.label, report.core) == (re.match(r"\w+", case)[0], label, 3)
    if report.kind != "undefined_instruction":
        assert report.address == address
    if before is not None:
        assert report.pc == 4 * before
    assert label in str(report)
    assert not machine.stopped


@pytest.mark.parametrize("case", CASES)
def test_stop_stops_the_core_and_says_why(bare: Bare, assemble: Assemble, case: str) -> None:
    source, label, _, before = CASES[case]
    machine = bare("1x1", strict="stop")
    run(machine, assemble(source + SLEEP if "sleep" not in source else source))
    (core,) = machine.stopped
    assert (core.x, core.y, core.physical) == (0, 0, 3)
    assert len(core.reports) == 1
    text = core.post_mortem()
    assert text.splitlines()[1].startswith(f"stopped: {label}: ")
    if before is not None:
        assert f" pc={4 * before:08x}" in text
    instructions = core.counters["instructions"]
    machine.run(0.001)
    assert core.counters["instructions"] == instructions, "it stays stopped"
    core.write(0, assemble(SLEEP))
    core.start()
    machine.run(0.0001)
    assert not core.stopped, "a reset lets it go"


def test_a_good_program_is_not_reported(bare: Bare, assemble: Assemble) -> None:
    good = (
        """
        mov r1, #0x400000
        str r1, [r1]
        ldr r2, [r1]
        mov r3, #0x60000000
        str r1, [r3, #4]
        ldr r2, [r3, #4]
        adr r4, later
        ldr r5, =0xe1a00000
        str r5, [r4]            @ code that has not run yet may be written: this is how programs are loaded
    later:
        mov r0, r0
    """
        + DMA.format(system=0x60001000, tcm=0x402000, size=256)
        + OVERLAY
    )
    machine = bare("1x1", strict="stop")
    run(machine, assemble(good + SLEEP))
    assert machine.chip(0, 0).reports == []
    assert machine.chip(0, 0).physical(3).waiting
    assert bytes(range(128)) in machine.chip(0, 0).physical(3).read(0, 0x400), "the overlay has come"


def test_strictness_changes_no_result(bare: Bare, assemble: Assemble) -> None:
    def fingerprint(strict: str) -> int:
        machine = bare("1x1", strict=strict)
        source = "mov r1, #0x400000\n ldr r2, [r1]\n ldm r1, {r2-r9}\n ldr r3, =0x60000000\n ldr r4, [r3]"
        run(machine, assemble(source + DMA.format(system=0x60001000, tcm=0x402000, size=256) + SLEEP))
        return machine.fingerprint()

    assert fingerprint("off") == fingerprint("warn")


def test_the_monitor_is_warned_not_stopped() -> None:
    pytest.importorskip("spinnman", reason="the SC&MP boot image comes with SpiNNMan")
    from spindl.emulator import emulate
    from tests.emulator.conftest import HOST

    with emulate("spin3", host=HOST, booted=True, connected=False, strict="stop") as machine:
        assert machine.stopped == []
        for chip in machine:
            assert chip.states == ["running"] + ["idle"] * 17
            assert {report.core for report in chip.reports} == {0}, "SC&MP itself reads what it has not written"
        saved = machine.snapshot()
        machine.run(0.01)
        after = machine.fingerprint()
        machine.restore(saved)
        machine.run(0.01)
        assert machine.fingerprint() == after


def test_an_unknown_strictness_is_refused(bare: Bare) -> None:
    with pytest.raises(EmulatorError, match="strict is 'loud'"):
        bare("1x1", strict="loud")


C_PROGRAM = """
__attribute__((noinline)) int read_far(volatile int *at) { return *at; }
__attribute__((section(".text.first"), naked)) void start(void) {
    __asm__("mov sp, #0x410000\\n bl main_loop\\n 1: b 1b");
}
void main_loop(void) { read_far((int *)0x50000000); for (;;) {} }
"""


def test_symbols_name_the_place(bare: Bare, tmp_path: Path) -> None:
    pytest.importorskip("elftools", reason="pyelftools reads the symbols")
    pytest.importorskip("ziglang", reason="the compiler of this test")
    source, script, elf, binary = (tmp_path / name for name in ("p.c", "p.ld", "p.elf", "p.bin"))
    source.write_text(C_PROGRAM)
    script.write_text("SECTIONS { /DISCARD/ : { *(.ARM.*) } . = 0; .text : { *(.text.first) *(.text*) } }\n")
    zig = [sys.executable, "-m", "ziglang"]
    target = [
        "--target=arm-freestanding-eabi",
        "-mcpu=arm968e_s",
        "-O1",
        "-nostdlib",
        "-Wl,-e,start",
        f"-Wl,-T,{script}",
    ]
    subprocess.run([*zig, "cc", *target, str(source), "-o", str(elf)], check=True, capture_output=True)
    subprocess.run([*zig, "objcopy", "-O", "binary", "--only-section=.text", str(elf), str(binary)], check=True)
    machine = bare("1x1", strict="stop")
    machine.symbols(elf)
    run(machine, binary.read_bytes())
    (core,) = machine.stopped
    assert "pc in read_far" in core.post_mortem()
    assert "lr in main_loop+" in core.post_mortem()


def test_bad_symbol_files_are_explained(bare: Bare, tmp_path: Path) -> None:
    pytest.importorskip("elftools", reason="pyelftools reads the symbols")
    machine = bare("1x1")
    (tmp_path / "text").write_text("no ELF file")
    with pytest.raises(EmulatorError, match="not an ELF file"):
        machine.symbols(tmp_path / "text")
    with pytest.raises(EmulatorError, match="cannot read"):
        machine.symbols(tmp_path / "missing")
