"""What the random code leaves out: branches, modes, exceptions, swaps, user-bank transfers, writes to the pc."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from spindl._emulator import BareCore

Assemble = Callable[[str], bytes]
FLAG_Q = 1 << 27


def run(assemble: Assemble, source: str, cycles: int = 10_000) -> BareCore:
    """Runs `source`, which is to end in a branch to itself."""
    core = BareCore(0x10000)
    core.write(0, assemble(source))
    core.set_register(13, 0x410000)
    core.run(cycles)
    return core


def test_branches_calls_and_interworking(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        bl call
        blx other
        ldr r4, =thumb_code + 1
        blx r4
        add r3, r3, #100
    end: b end
    call:
        mov r0, #1
        mov pc, lr
        .thumb
    other:
        movs r1, #2
        bx lr
    thumb_code:
        push {lr}
        bl inner
        pop {pc}
    inner:
        movs r3, #4
        bx lr
    """,
    )
    assert [core.register(i) for i in (0, 1, 3)] == [1, 2, 104]
    assert core.cpsr & 0x20 == 0


def test_writes_to_the_pc(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mov r0, #1
        add pc, pc, r0, lsl #2     @ skips two words: pc reads as this + 8
        b end
        b end
        mov r1, #7
        ldr pc, =one
        mov r1, #0
    one:
        ldr r2, =two
        push {r2}
        ldm sp!, {pc}
        mov r1, #0
    two:
        mov r3, #9
    end: b end
    """,
    )
    assert (core.register(1), core.register(3), core.register(13)) == (7, 9, 0x410000)


@pytest.mark.parametrize(
    ("mode", "number"), [("fiq", 0x11), ("irq", 0x12), ("supervisor", 0x13), ("abort", 0x17), ("undefined", 0x1B)]
)
def test_each_mode_has_its_own_stack_pointer_and_status(assemble: Assemble, mode: str, number: int) -> None:
    core = run(
        assemble,
        f"""
        msr cpsr_c, #0xdf
        mov r8, #1
        mov r13, #2
        mov r14, #3
        msr cpsr_c, #{0xC0 | number}
        mov r8, #10
        mov r13, #20
        mov r14, #30
        mvn r0, #0
        msr spsr_cxsf, r0
        mrs r5, spsr
        msr cpsr_c, #0xdf
        mov r1, r8
        mov r2, r13
        mov r3, r14
    end: b end
    """,
    )
    banked_r8 = mode == "fiq"
    assert [core.register(i) for i in (1, 2, 3)] == [1 if banked_r8 else 10, 2, 3]
    assert core.register(5) & 0xF80000FF == 0xF80000FF


def test_user_mode_changes_only_the_flags(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        msr cpsr_c, #0xd0
        mvn r0, #0
        msr cpsr_cxsf, r0
    end: b end
    """,
    )
    assert core.cpsr == 0xF80000D0


VECTORS = """
    b start
    b undefined
    b service
    b prefetch
    b data
    nop
    b irq
fiq:
    mov r9, #77
    subs pc, lr, #4
undefined:
    mov r1, #1
    mrs r11, spsr
    movs pc, lr
service:
    mov r2, #2
    movs pc, lr
prefetch:
    mov r3, #3
    ldr lr, =after_prefetch
    movs pc, lr
data:
    mov r4, #4
    sub lr, lr, #4
    movs pc, lr
irq:
    mov r5, #5
    mrs r11, spsr
    orr r11, r11, #0x80
    msr spsr_c, r11
    subs pc, lr, #4
"""


def test_exceptions_enter_and_return(assemble: Assemble) -> None:
    core = run(
        assemble,
        VECTORS
        + """
    start:
        .word 0xe7f000f0
        svc #5
        mov r0, #0x50000000
        ldr r10, [r0]
        mov r6, #6
        mov pc, #0x50000000
    after_prefetch:
        mov r7, #7
    end: b end
    """,
    )
    assert [core.register(i) for i in (1, 2, 3, 4, 6, 7)] == [1, 2, 3, 4, 6, 7]
    assert core.register(11) & 0x1F == 0x13
    assert core.cpsr & 0xFF == 0xD3


def test_a_data_abort_leaves_the_base_register(assemble: Assemble) -> None:
    core = run(
        assemble,
        VECTORS
        + """
    start:
        mov r0, #0x50000000
        ldr r10, [r0, #4]!
        ldm r0!, {r7, r8}
    after_prefetch: b after_prefetch
    """,
    )
    assert core.register(0) == 0x50000000


@pytest.mark.parametrize(("line", "register"), [("irq", 5), ("fiq", 9)])
def test_interrupts_are_taken_when_unmasked(assemble: Assemble, line: str, register: int) -> None:
    core = BareCore(0)
    core.write(
        0,
        assemble(
            VECTORS
            + """
    start:
        mov r9, #0
        mov r6, #1
        msr cpsr_c, #0x13
        mov r6, #2
    after_prefetch: b after_prefetch
    """
        ),
    )
    setattr(core, line, True)
    for _ in range(12):
        core.step()
        if core.cpsr & 0x1F != 0x13:
            break
    assert core.register(6) == 1, "taken before the instruction after the MSR"
    setattr(core, line, False)
    core.run(100)
    assert core.register(6) == 2
    if line == "irq":
        assert core.register(register) == 5


def test_wait_for_interrupt_wakes_on_a_masked_line(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mcr p15, 0, r0, c7, c0, 4
        mov r1, #1
    end: b end
    """,
    )
    assert core.waiting
    assert core.register(1) == 0
    core.irq = True
    core.run(20)
    assert core.register(1) == 1
    assert core.cpsr & 0x1F == 0x13


def test_swap(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mov r0, #0x400000
        ldr r1, =0x11223344
        str r1, [r0]
        mov r2, #0x55
        swp r3, r2, [r0]
        swpb r4, r1, [r0]
        ldr r5, [r0]
    end: b end
    """,
    )
    assert [core.register(i) for i in (3, 4, 5)] == [0x11223344, 0x55, 0x44]


def test_user_bank_transfers(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        msr cpsr_c, #0xdf
        mov r13, #5
        mov r14, #6
        msr cpsr_c, #0xd2
        mov r13, #15
        mov r14, #16
        mov r0, #0x400000
        stm r0, {r13, r14}^
        ldm r0, {r1, r2}
        mov r3, #25
        str r3, [r0]
        ldm r0, {r13}^
        nop
        mov r4, r13
        msr cpsr_c, #0xdf
        mov r5, r13
    end: b end
    """,
    )
    assert [core.register(i) for i in (1, 2, 4, 5)] == [5, 6, 15, 25]


def test_ldm_with_pc_and_status_returns_from_an_exception(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mov r13, #0x400000
        mov r0, #0x1f
        msr spsr_c, r0
        adr r1, target
        str r1, [r13]
        ldm r13, {pc}^
    target:
        mov r2, #3
    end: b end
    """,
    )
    assert core.register(2) == 3
    assert core.cpsr & 0x1F == 0x1F


def test_stm_stores_the_base_as_the_architecture_says(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mov r1, #0x400000
        mov r0, #9
        stm r1, {r0, r1}          @ no write-back, not lowest: unchanged
        mov r2, #0x400000
        add r2, r2, #16
        mov r3, r2
        stm r2!, {r2, r4}         @ lowest: unchanged
        mov r4, #0x400000
        add r4, r4, #32
        stm r4!, {r0, r4}         @ not lowest: the new base
    end: b end
    """,
    )
    words = [int.from_bytes(core.read(0x400000 + at, 4), "little") for at in (4, 16, 36)]
    assert words == [0x400000, 0x400010, 0x400028]


def test_unaligned_accesses_rotate_or_abort(assemble: Assemble) -> None:
    source = (
        VECTORS
        + """
    start:
        mov r0, #0x400000
        ldr r1, =0x11223344
        str r1, [r0]
        ldr r10, [r0, #1]
    after_prefetch: b after_prefetch
    """
    )
    core = run(assemble, source)
    assert core.register(10) == 0x44112233
    strict = BareCore(0)
    strict.write(0, assemble(source))
    strict.control = 2
    strict.run(200)
    assert strict.register(4) == 4
    assert strict.reports, "the access is reported either way"


def test_the_q_flag_is_sticky(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mvn r0, #0x80000000
        mov r1, #1
        qadd r2, r0, r1
        qadd r3, r1, r1
        mrs r4, cpsr
        msr cpsr_f, #0
        mrs r5, cpsr
        ldr r6, =0x7fff7fff
        smlabb r7, r6, r6, r0
        mrs r8, cpsr
    end: b end
    """,
    )
    assert core.register(2) == 0x7FFFFFFF
    assert core.register(4) & FLAG_Q
    assert not core.register(5) & FLAG_Q
    assert core.register(8) & FLAG_Q


def test_code_that_writes_itself(assemble: Assemble) -> None:
    core = run(
        assemble,
        """
        mov r3, #2
    again:
        adr r0, patched
        ldr r1, replacement
    patched:
        mov r2, #1
        add r4, r4, r2
        str r1, [r0]
        subs r3, r3, #1
        bne again
    end: b end
    replacement: mov r2, #100
    """,
    )
    assert core.register(4) == 101
