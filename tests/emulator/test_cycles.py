"""Cycle counts against the rules of the ARM9E-S, one micro-benchmark per rule, and the kernels' inner loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spindl._emulator import BareCore

Assemble = Callable[[str], bytes]

SETUP = """
    mov r12, #0x400000
    mov r0, #0
    mov r1, #1
    mov r2, #2
"""


def cycles_of(assemble: Assemble, body: str) -> int:
    """Cycles of `body`, measured as the difference between running it and running nothing."""

    def total(text: str) -> int:
        core = BareCore(0)
        core.write(0, assemble(f"{SETUP}\n{text}\n mcr p15, 0, r0, c7, c0, 4"))
        core.set_register(13, 0x408000)
        core.run(100_000)
        assert core.waiting
        return int(core.cycles)

    return total(body) - total("")


@pytest.mark.parametrize(
    ("body", "cycles"),
    [
        ("add r0, r1, r2", 1),
        ("add r0, r1, r2, lsl #3", 1),
        ("add r0, r1, r2, lsl r1", 2),
        ("addeq r0, r1, r2\n movs r0, #1\n addeq r0, r1, r2", 3),
        ("ldr r3, [r12]\n add r0, r1, r2", 2),
        ("ldr r3, [r12]\n add r0, r3, r2", 3),
        ("ldr r3, [r12]\n add r0, r1, r2\n add r0, r3, r2", 3),
        ("ldr r3, [r12, r0, lsl #2]\n nop", 3),
        ("ldrb r3, [r12]\n add r0, r3, r2", 4),
        ("ldrh r3, [r12]\n nop\n add r0, r3, r2", 4),
        ("ldrh r3, [r12]\n nop\n nop\n add r0, r3, r2", 4),
        ("ldrsb r3, [r12]\n mov r4, r1, lsl r2\n add r0, r3, r2", 4),
        ("ldrh r3, [r12]\n mul r4, r1, r2\n add r0, r3, r2", 4),
        ("ldr r3, [r12]\n str r3, [r12, #4]", 3),
        ("ldr r3, [r12]\n smlabb r4, r1, r2, r3", 3),
        ("ldrd r4, r5, [r12]\n add r0, r4, r2", 3),
        ("ldrd r4, r5, [r12]\n add r0, r5, r2", 4),
        ("ldm r12, {r4}\n add r0, r4, r2", 3),
        ("ldm r12, {r4, r5, r6}\n add r0, r5, r2", 4),
        ("ldm r12, {r4, r5, r6}\n add r0, r6, r2", 5),
        ("str r1, [r12]", 1),
        ("strh r1, [r12, #2]", 1),
        ("strd r4, r5, [r12]", 2),
        ("stm r12, {r4}", 2),
        ("stm r12, {r4-r7}", 4),
        ("smulbb r3, r1, r2\n add r0, r3, r2", 3),
        ("smulbb r3, r1, r2\n smlabb r4, r1, r2, r3", 2),
        ("smlabb r3, r1, r2, r3\n smlatt r3, r1, r2, r3", 2),
        ("smlabb r3, r1, r2, r3\n smlatt r4, r3, r2, r4", 3),
        ("smlawb r3, r1, r2, r3\n nop", 2),
        ("smlalbb r3, r4, r1, r2\n add r0, r4, r1", 4),
        ("smlalbb r3, r4, r1, r2\n smlalbb r3, r4, r1, r2", 4),
        ("mul r3, r1, r2\n nop", 3),
        ("mul r3, r1, r2\n add r0, r3, r2", 4),
        ("mul r3, r1, r2\n mla r4, r1, r2, r3", 4),
        ("muls r3, r1, r2\n nop", 5),
        ("smull r3, r4, r1, r2\n nop", 4),
        ("smull r3, r4, r1, r2\n add r0, r4, r1", 5),
        ("smull r3, r4, r1, r2\n add r0, r3, r1", 4),
        ("umlals r3, r4, r1, r2\n nop", 6),
        ("qadd r3, r1, r2\n add r0, r3, r2", 3),
        ("qdsub r3, r1, r2\n nop", 2),
        ("clz r3, r1", 1),
        ("b 1f\n nop\n1:", 3),
        ("movs r3, #1\n beq 1f\n nop\n1:", 3),
        ("movs r3, #1\n bne 1f\n nop\n1:", 4),
        ("ldrb r3, [r12]\n b 1f\n1: add r0, r3, r2", 5),
        ("bl 1f\n b 2f\n1: mov pc, lr\n2:", 9),
        ("adr r3, 1f\n bx r3\n nop\n1:", 4),
        ("adr r3, 1f\n str r3, [r12]\n ldr pc, [r12]\n1:", 7),
        ("adr r3, 1f\n push {r2, r3}\n pop {r2, pc}\n1:", 9),
        ("mrs r3, cpsr", 2),
        ("msr cpsr_f, r1", 3),
    ],
)
def test_rule(assemble: Assemble, body: str, cycles: int) -> None:
    assert cycles_of(assemble, body) == cycles


def test_the_4x2_block_takes_1_375_cycles_per_mac(assemble: Assemble) -> None:
    """Eight accumulators, packed pairs along K: 6 loads and 16 multiplies for 16 MACs, without a stall."""
    pairs = 16
    step = "ldr r0, [lr], #4\n ldr r1, [lr], #4\n ldr r2, [r12], #4\n ldr r3, [r12], #4\n"
    for row in range(4):
        a = 2 + row % 2
        for half in ("bb", "tt"):
            step += "".join(f"smla{half} r{4 + 2 * row + i}, r{a}, r{i}, r{4 + 2 * row + i}\n" for i in range(2))
        if row < 2:
            step += f"ldr r{a}, [r12], #4\n"
    setup = "ldr lr, =0x404000\n b 1f\n .ltorg\n1:\n"
    assert cycles_of(assemble, setup + step * pairs) - cycles_of(assemble, setup) == pairs * 22


def test_a_thumb_delay_loop_takes_four_cycles(assemble: Assemble) -> None:
    """What SARK's microsecond delay assumes."""
    loop = """
        adr r3, 1f + 1
        ldr r0, =1000
        bx r3
        .ltorg
        .thumb
        .align 2
    1:  subs r0, #1
        bne 1b
        .align 2
        bx pc
        nop
        .arm
    """
    short = loop.replace("=1000", "=500")
    assert cycles_of(assemble, loop) - cycles_of(assemble, short) == 500 * 4
