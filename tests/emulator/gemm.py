"""A matrix product on all application cores of a board: double-buffered DMA, multiplies from the ITCM, barriers.

Runs on the metal, without SC&MP. Every core sleeps while it waits, and leaves a checksum behind each round.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

from spindl.emulator import Machine

APPLICATION_CORES = range(1, 18)
CHECKSUM = 0x407F00

_ARRIVE, _RELEASE = 0x1000, 0x2000


def multiplies() -> str:
    """Eight accumulators, four operand registers, two pointers: 22 instructions for 16 multiplies."""
    step = "".join(f"ldr r{i}, [r12], #4\n" for i in range(4)) + "ldr lr, [r13], #4\n"
    step += "".join(f"smla{half} r{4 + i}, r{i}, lr, r{4 + i}\n" for half in ("bb", "tt") for i in range(4))
    step += "ldr lr, [r13], #4\n"
    return step + "".join(f"smla{half} r{8 + i}, r{i}, lr, r{8 + i}\n" for half in ("bb", "tt") for i in range(3))


def program(passes: int) -> str:
    """`passes`: how often a tile of 4 KB is gone through; 1 pass takes about 1,000 cycles."""
    everybody = sum(1 << (6 + core) for core in APPLICATION_CORES)
    return f"""
        ldr r11, =0x10000000            @ communications
        ldr r10, =0x30000000            @ DMA
        ldr r9, =0xfffff000             @ interrupt controller: packets and DMA wake the core, nothing interrupts it
        ldr r0, =0x1040
        str r0, [r9, #0x10]
        mov r0, #0x400
        str r0, [r10, #0x18]
        ldr r0, [r10, #0x14]
        mov r0, r0, lsr #24
        ldr r1, =0x407f40               @ variables: number, counts, SDRAM address
        str r0, [r1]
        cmp r0, #1
        bne ready
        ldr r0, =0xf1000000             @ core 1 fills the router's table and says so
        ldr r2, =0x00ff0001             @ arrivals wait in the router until core 1 has come, too
        str r2, [r0]
        ldr r0, =0xf1004000
        ldr r2, ={1 << (6 + 1)}
        str r2, [r0]
        ldr r2, ={everybody}
        str r2, [r0, #4]
        ldr r0, =0xf1008000
        ldr r2, ={_ARRIVE}
        str r2, [r0]
        ldr r2, ={_RELEASE}
        str r2, [r0, #4]
        ldr r0, =0xf100c000
        ldr r2, =0xfffff000
        str r2, [r0]
        str r2, [r0, #4]
    ready:
        mov r0, #0
        str r0, [r11]
        str r0, [r1, #4]                @ tile
        bl fetch
    round:
        bl dma_done
        bl fetch                        @ the next tile comes while this one is multiplied
        ldr r0, ={passes}
        ldr r1, =0x407f40
        str r0, [r1, #8]
    again:
        ldr r1, =0x407f40
        ldr r0, [r1, #4]
        tst r0, #1
        ldreq r12, =0x401000            @ the half that is not being filled
        ldrne r12, =0x400000
        mov r13, r12
        mov r4, #0
        mov r5, #1
        mov r6, #2
        mov r7, #3
        mov r11, #10
    steps:
    {multiplies() * 4}
        subs r11, r11, #1
        bne steps
        ldr r1, =0x407f40
        ldr r0, [r1, #12]
        eor r0, r4, r0, ror #1
        add r0, r0, r5
        eor r0, r0, r6
        add r0, r0, r7
        str r0, [r1, #12]
        ldr r2, ={CHECKSUM}
        str r0, [r2]
        ldr r0, [r1, #8]
        subs r0, r0, #1
        str r0, [r1, #8]
        bne again

        mov r8, #0                      @ barrier; a DMA that is done need not wake the core now
        ldr r9, =0xfffff000
        mov r0, #0x1000
        str r0, [r9, #0x14]
        ldr r11, =0x10000000
        ldr r0, ={_ARRIVE}
        str r0, [r11, #8]
    wait:
        ldr r0, [r11, #0xc]
        tst r0, #0x80000000
        mcreq p15, 0, r0, c7, c0, 4
        beq wait
        ldr r0, [r11, #0x14]
        tst r0, #{_RELEASE}
        movne r0, #0x1000
        strne r0, [r9, #0x10]
        bne round
        add r8, r8, #1
        cmp r8, #{len(APPLICATION_CORES)}
        ldreq r0, ={_RELEASE}
        streq r0, [r11, #8]
        b wait

    fetch:                              @ 4 KB of SDRAM to the half after this one
        ldr r1, =0x407f40
        ldr r0, [r1, #4]
        add r2, r0, #1
        str r2, [r1, #4]
        ldr r10, =0x30000000
        ldr r3, [r1]
        add r3, r3, r2, lsl #5          @ another tile for each core and round, of 256
        and r3, r3, #0xff
        mov r3, r3, lsl #12
        add r3, r3, #0x60000000
        str r3, [r10, #4]
        tst r2, #1
        ldreq r3, =0x401000
        ldrne r3, =0x400000
        str r3, [r10, #8]
        ldr r3, =0x01801000
        str r3, [r10, #0xc]
        bx lr
    dma_done:
        ldr r10, =0x30000000
    1:  ldr r0, [r10, #0x14]
        tst r0, #0x400
        mcreq p15, 0, r0, c7, c0, 4
        beq 1b
        mov r0, #8
        str r0, [r10, #0x10]
        bx lr
    """


def load(machine: Machine, assemble: Callable[[str], bytes], passes: int = 16) -> None:
    """Puts data into each SDRAM and starts all application cores: core 1 a little earlier, for the router."""
    code = assemble(program(passes))
    for number, chip in enumerate(machine):
        block = b"".join(struct.pack("<I", zlib.crc32(struct.pack("<2I", number, i))) for i in range(1024))
        chip.write(0x60000000, block * 257)
        for core in APPLICATION_CORES:
            chip.physical(core).write(0, code)
        chip.physical(1).start()
    machine.run(0.000002)
    for chip in machine:
        for core in APPLICATION_CORES[1:]:
            chip.physical(core).start()


def awake_cycles(machine: Machine) -> int:
    """Cycles that cores were not asleep, all together."""
    return sum(chip.physical(core).counters["cycles"] for chip in machine for core in APPLICATION_CORES)
