"""Random straight-line ARM and Thumb code, run on our core and on Unicorn's ARM946 model, compared in full.

Left out, and why: writes to the pc, branches and mode changes (not straight-line; test_instructions.py covers them),
encodings that ARMv5TE calls unpredictable (equal registers in multiplies, write-back into a transferred register),
undefined encodings, coprocessor instructions, and user-bank transfers. Nothing is left out because it mismatched.
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass

CODE, DATA, DATA_SIZE = 0x0, 0x400000, 0x10000
BASES = (12, 13)  # registers kept as valid pointers into the data memory


def random_register(rng: random.Random, *without: int) -> int:
    return rng.choice([r for r in range(15) if r not in BASES and r not in without])


def arm_instruction(rng: random.Random) -> int:
    """One random ARM instruction word that neither branches nor faults."""
    condition = rng.choice([14] * 8 + list(range(14))) << 28
    rd, rn, rm, rs = (random_register(rng) for _ in range(4))
    kind = rng.random()
    if kind < 0.45:
        operation, flags = rng.randrange(16), rng.randrange(2)
        if 8 <= operation <= 11:
            flags = 1
        word = operation << 21 | flags << 20 | rn << 16 | rd << 12
        if 8 <= operation <= 11:
            word &= ~0xF000
        if operation in (13, 15):
            word &= ~0xF0000
        form = rng.randrange(3)
        if form == 0:
            word |= 1 << 25 | rng.randrange(4096)
        elif form == 1:
            word |= rng.randrange(32) << 7 | rng.randrange(4) << 5 | rng.choice([rm, rm, rm, 12])
        else:
            word |= rs << 8 | rng.randrange(4) << 5 | 0x10 | rm
        return condition | word
    if kind < 0.52:
        rd = random_register(rng, rm)
        if rng.random() < 0.4:
            word = rng.randrange(4) << 20 | rd << 16 | rs << 8 | 0x90 | rm
            return condition | (word | rn << 12 if word >> 21 & 1 else word)
        high = random_register(rng, rm, rd)
        return condition | 1 << 23 | rng.randrange(8) << 20 | high << 16 | rd << 12 | rs << 8 | 0x90 | rm
    if kind < 0.62:
        operation, x, y = rng.randrange(4), rng.randrange(2), rng.randrange(2)
        high, low = random_register(rng), rn
        if operation == 2:
            low = random_register(rng, high)
        if operation == 3 or (operation == 1 and x):
            low = 0
        return condition | 0x01000080 | operation << 21 | high << 16 | low << 12 | rs << 8 | y << 6 | x << 5 | rm
    if kind < 0.66:
        return condition | 0x01000050 | rng.randrange(4) << 21 | rn << 16 | rd << 12 | rm
    if kind < 0.68:
        return condition | 0x016F0F10 | rd << 12 | rm
    if kind < 0.80:  # word and byte, near a base register
        base, is_byte = rng.choice(BASES), rng.randrange(2)
        offset = rng.randrange(0, 256) if is_byte else rng.randrange(0, 64) * 4
        up, is_load = rng.randrange(2), rng.randrange(2)
        return condition | 0x05000000 | up << 23 | is_byte << 22 | is_load << 20 | base << 16 | rd << 12 | offset
    if kind < 0.84:  # write-back by a little, so that the base stays inside; undone by the next of its kind
        base, pre = rng.choice(BASES), rng.randrange(2)
        word = 0x04000000 | pre << 24 | pre << 21 | rng.randrange(2) << 23 | rng.randrange(2) << 20
        return condition | word | base << 16 | rd << 12 | 4
    if kind < 0.92:  # half words, signed bytes, double words
        base, code = rng.choice(BASES), rng.choice([(1, 1), (1, 2), (1, 3), (0, 1), (0, 2), (0, 3)])
        is_load, type_ = code
        if not is_load and type_ >= 2:
            rd = rng.choice([0, 2, 4, 6, 8, 10])
        offset = rng.randrange(0, 32) * 8
        word = 0x01400090 | rng.randrange(2) << 23 | is_load << 20 | base << 16 | rd << 12 | type_ << 5
        return condition | word | (offset & 0xF0) << 4 | (offset & 15)
    if kind < 0.94:
        return condition | 0x01000090 | rng.randrange(2) << 22 | 12 << 16 | rd << 12 | random_register(rng)
    if kind < 0.97:
        listed = rng.randrange(1, 1 << 12) | rng.randrange(2) << 14
        is_load, write_back = rng.randrange(2), rng.randrange(2)
        return condition | 0x08000000 | rng.randrange(4) << 23 | write_back << 21 | is_load << 20 | 12 << 16 | listed
    if kind < 0.985:
        return condition | 0x010F0000 | rd << 12
    return condition | 0x0128F000 | rm  # MSR CPSR_f


def thumb_instruction(rng: random.Random) -> int:
    """One random Thumb instruction that neither branches nor faults; r6, r7 and sp are pointers."""

    def low(*without: int) -> int:
        return rng.choice([r for r in range(6) if r not in without])

    kind = rng.random()
    if kind < 0.2:
        return rng.randrange(3) << 11 | rng.randrange(32) << 6 | rng.randrange(8) << 3 | low()
    if kind < 0.3:
        return 0x1800 | rng.randrange(4) << 9 | rng.randrange(8) << 6 | rng.randrange(8) << 3 | low()
    if kind < 0.45:
        return 0x2000 | rng.randrange(4) << 11 | low() << 8 | rng.randrange(256)
    if kind < 0.65:
        operation = rng.randrange(16)
        rd = low()
        return 0x4000 | operation << 6 | (low(rd) if operation == 13 else rng.randrange(8)) << 3 | rd
    if kind < 0.72:
        high = rng.choice([8, 9, 10, 11])
        operation = rng.randrange(3)
        if rng.randrange(2):
            return 0x4400 | operation << 8 | 0x80 | rng.randrange(8) << 3 | (high - 8)
        return 0x4400 | operation << 8 | 0x40 | (high - 8) << 3 | low()
    if kind < 0.75:
        return 0xA000 | rng.randrange(2) << 11 | low() << 8 | rng.randrange(256)
    if kind < 0.82:
        base, is_load = rng.choice([6, 7]), rng.randrange(2)
        return 0x6000 | is_load << 11 | rng.randrange(32) << 6 | base << 3 | low()
    if kind < 0.88:
        return 0x7000 | rng.randrange(2) << 11 | rng.randrange(32) << 6 | rng.choice([6, 7]) << 3 | low()
    if kind < 0.94:
        return 0x8000 | rng.randrange(2) << 11 | rng.randrange(32) << 6 | rng.choice([6, 7]) << 3 | low()
    if kind < 0.97:
        return 0x9000 | rng.randrange(2) << 11 | low() << 8 | rng.randrange(64)
    return rng.choice([0xB400, 0xBC00]) | rng.randrange(1, 64) | 0


@dataclass
class Block:
    """Code with the registers and memory it starts from."""

    code: bytes
    thumb: bool
    registers: list[int]
    flags: int
    memory: bytes
    length: int


def random_block(seed: int, length: int, thumb: bool) -> Block:
    rng = random.Random(seed)
    interesting = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFF8000, 0x80007FFF, 31, 32, 33, 255, 256]
    registers = [rng.choice(interesting) if rng.random() < 0.3 else rng.getrandbits(32) for _ in range(15)]
    if thumb:
        code = b"".join(struct.pack("<H", thumb_instruction(rng)) for _ in range(length))
        registers[6], registers[7], registers[13] = DATA + 0x4000, DATA + 0x5000, DATA + 0x8000
    else:
        code = b"".join(struct.pack("<I", arm_instruction(rng)) for _ in range(length))
        registers[12], registers[13] = DATA + 0x8000, DATA + 0xA000
    memory = rng.randbytes(DATA_SIZE)
    return Block(code, thumb, registers, rng.getrandbits(5) << 27, memory, length)
