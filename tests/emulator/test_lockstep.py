"""Our core against Unicorn's ARM946, on random straight-line code: registers, flags and memory must be equal."""

from __future__ import annotations

import os

import pytest

from spindl._emulator import BareCore
from tests.emulator import lockstep

unicorn = pytest.importorskip("unicorn", reason="the oracle of this test (GPL-2, never shipped)")
arm = pytest.importorskip("unicorn.arm_const")

SUPERVISOR = 0xD3
LENGTH = 1000

State = tuple[list[int], int, bytes]


def on_unicorn(block: lockstep.Block, count: int) -> State:
    names = [*(getattr(arm, f"UC_ARM_REG_R{i}") for i in range(13)), arm.UC_ARM_REG_SP, arm.UC_ARM_REG_LR]
    machine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
    machine.ctl_set_cpu_model(arm.UC_CPU_ARM_946)
    machine.mem_map(0, 0x8000)
    machine.mem_map(lockstep.DATA, lockstep.DATA_SIZE)
    machine.mem_write(0, block.code)
    machine.mem_write(lockstep.DATA, block.memory)
    machine.reg_write(arm.UC_ARM_REG_CPSR, SUPERVISOR | block.flags | (0x20 if block.thumb else 0))
    for name, value in zip(names, block.registers, strict=True):
        machine.reg_write(name, value)
    end = len(block.code) * count // block.length
    machine.emu_start(1 if block.thumb else 0, end)
    memory = bytes(machine.mem_read(lockstep.DATA, lockstep.DATA_SIZE))
    return [machine.reg_read(name) for name in names], machine.reg_read(arm.UC_ARM_REG_CPSR), memory


def on_ours(block: lockstep.Block, count: int) -> State:
    core = BareCore(0)
    core.write(0, block.code + (b"\xfe\xe7" if block.thumb else b"\xfe\xff\xff\xea"))  # ends in a branch to itself
    core.write(lockstep.DATA, block.memory)
    core.cpsr = SUPERVISOR | block.flags | (0x20 if block.thumb else 0)
    for number, value in enumerate(block.registers):
        core.set_register(number, value)
    core.set_register(15, 0)
    if count == block.length:
        core.run(30 * count)  # no instruction takes longer than that
        assert core.register(15) == len(block.code)
    else:
        for _ in range(count):
            core.step()
    return [core.register(i) for i in range(15)], core.cpsr, core.read(lockstep.DATA, lockstep.DATA_SIZE)


def first_difference(block: lockstep.Block) -> str | None:
    """The first instruction after which the two differ, or None."""
    if on_unicorn(block, block.length) == on_ours(block, block.length):
        return None
    low, high = 0, block.length
    while high - low > 1:
        middle = (low + high) // 2
        if on_unicorn(block, middle) == on_ours(block, middle):
            low = middle
        else:
            high = middle
    size = 2 if block.thumb else 4
    word = block.code[low * size : low * size + size][::-1].hex()
    return f"instruction {low}: {word}; Unicorn {on_unicorn(block, high)[:2]}, ours {on_ours(block, high)[:2]}"


@pytest.mark.parametrize("thumb", [False, True], ids=["arm", "thumb"])
def test_a_hundred_thousand_random_instructions(thumb: bool) -> None:
    for seed in range(100):
        assert first_difference(lockstep.random_block(seed, LENGTH, thumb)) is None, f"seed {seed}"


@pytest.mark.slow
@pytest.mark.parametrize("thumb", [False, True], ids=["arm", "thumb"])
def test_five_million_random_instructions(thumb: bool) -> None:
    for seed in range(1000, 1000 + int(os.environ.get("SPINDL_FUZZ_BLOCKS", "5000"))):
        assert first_difference(lockstep.random_block(seed, LENGTH, thumb)) is None, f"seed {seed}"


def test_the_comparison_notices_a_wrong_result() -> None:
    block = lockstep.random_block(7, LENGTH, thumb=False)
    registers, status, memory = on_ours(block, block.length)
    assert on_unicorn(block, block.length) == (registers, status, memory)
    block.registers[0] ^= 1
    assert on_ours(block, block.length) != (registers, status, memory)
