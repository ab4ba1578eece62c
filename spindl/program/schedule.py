"""The schedule table: what the walker on each core steps through, as bytes in SDRAM.

    table     = header, step, step, ..., transfer, transfer, ..., argument words
    step      = one kernel call: barriers around it, transfers before and after it, its arguments
    transfer  = one DMA between SDRAM and DTCM

All offsets are in bytes from the start of the table, so that a table can lie anywhere. The header's CRC-32 (zlib's)
covers everything behind it: a core that meets another CRC, magic or version stops with a named error, and does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from spindl.program.errors import ProgramError
from spindl.program.records import Field, RecordType

SCHEDULE_VERSION = 1
"""Raised whenever a field changes its place or its meaning."""
MAGIC = int.from_bytes(b"SPDL", "little")

FLAGS = {"BARRIER_BEFORE": 1, "BARRIER_AFTER": 2, "WAIT_STREAM": 4, "LAST": 8}
"""Of a step: meet the chip's other cores before or after it; wait for a stream's block; the last step of the table."""
DIRECTIONS = {"TO_DTCM": 0, "TO_SDRAM": 1}

HEADER = RecordType(
    "spindl_schedule_header",
    (
        Field("magic", "I", "'SPDL'"),
        Field("version", "H", "SCHEDULE_VERSION"),
        Field("steps", "H", "number of steps"),
        Field("image", "I", "first 32 bits of the image's SHA-256"),
        Field("transfers", "I", "number of transfers"),
        Field("words", "I", "number of argument words"),
        Field("crc", "I", "CRC-32 of all that follows"),
    ),
)
STEP = RecordType(
    "spindl_schedule_step",
    (
        Field("kernel", "H", "number of the op in spindl_numbers.h"),
        Field("flags", "H", "BARRIER_BEFORE, ..."),
        Field("node", "I", "node of the training graph, for errors and counters"),
        Field("first_transfer", "I", "index of its first transfer"),
        Field("loads", "H", "transfers before the kernel"),
        Field("stores", "H", "transfers after it, behind the loads"),
        Field("first_word", "I", "index of its first argument word"),
        Field("words", "H", "argument words"),
        Field("stream", "H", "stream to wait for, with WAIT_STREAM"),
    ),
)
TRANSFER = RecordType(
    "spindl_schedule_transfer",
    (
        Field("sdram", "I", "byte address in SDRAM, a multiple of 4"),
        Field("dtcm", "I", "byte address in DTCM, a multiple of 4"),
        Field("bytes", "I", "length, a multiple of 4, below 128 KB"),
        Field("direction", "I", "TO_DTCM or TO_SDRAM"),
    ),
)
LARGEST_TRANSFER = (1 << 17) - 4
"""The DMA engine's length register holds 15 bits of words (SpiNNaker datasheet v2.02, section 7)."""


@dataclass(frozen=True)
class Transfer:
    """One DMA: byte addresses and length, all multiples of 4."""

    sdram: int
    dtcm: int
    bytes: int


@dataclass(frozen=True)
class Step:
    """One kernel call with what it needs."""

    kernel: int
    node: int
    loads: tuple[Transfer, ...] = ()
    stores: tuple[Transfer, ...] = ()
    words: tuple[int, ...] = ()
    barrier_before: bool = False
    barrier_after: bool = False
    stream: int | None = None


def encode(steps: Sequence[Step], image: int) -> bytes:
    """The table's bytes. Raises ProgramError for an empty table, and for transfers the DMA engine cannot make."""
    if not steps:
        raise ProgramError("a schedule without steps", "schedule")
    records: list[bytes] = []
    transfers: list[bytes] = []
    words: list[int] = []
    for number, step in enumerate(steps):
        flags = FLAGS["BARRIER_BEFORE"] * step.barrier_before | FLAGS["BARRIER_AFTER"] * step.barrier_after
        flags |= FLAGS["WAIT_STREAM"] * (step.stream is not None) | FLAGS["LAST"] * (number == len(steps) - 1)
        records.append(
            STEP.pack(
                {
                    "kernel": step.kernel,
                    "flags": flags,
                    "node": step.node,
                    "first_transfer": len(transfers),
                    "loads": len(step.loads),
                    "stores": len(step.stores),
                    "first_word": len(words),
                    "words": len(step.words),
                    "stream": step.stream or 0,
                }
            )
        )
        both = ((step.loads, "TO_DTCM"), (step.stores, "TO_SDRAM"))
        transfers += [_transfer(t, DIRECTIONS[direction], number) for group, direction in both for t in group]
        words += list(step.words)
    body = b"".join([*records, *transfers, b"".join((w & 0xFFFFFFFF).to_bytes(4, "little") for w in words)])
    header = {
        "magic": MAGIC,
        "version": SCHEDULE_VERSION,
        "steps": len(steps),
        "image": image,
        "transfers": len(transfers),
        "words": len(words),
        "crc": crc32(body),
    }
    return HEADER.pack(header) + body


def _transfer(transfer: Transfer, direction: int, step: int) -> bytes:
    numbers = (transfer.sdram, transfer.dtcm, transfer.bytes)
    if any(n % 4 or n < 0 for n in numbers) or not 0 < transfer.bytes <= LARGEST_TRANSFER:
        raise ProgramError(f"{transfer} is no DMA: words only, 4 to {LARGEST_TRANSFER} bytes", f"schedule step {step}")
    fields = {"sdram": transfer.sdram, "dtcm": transfer.dtcm, "bytes": transfer.bytes, "direction": direction}
    return TRANSFER.pack(fields)


def decode(data: bytes) -> tuple[list[Step], int]:
    """Steps and image of a table's bytes. Raises ProgramError for what a core would refuse."""
    header = HEADER.unpack(data)
    for name, expected in (("magic", MAGIC), ("version", SCHEDULE_VERSION)):
        if header[name] != expected:
            raise ProgramError(f"{name} is {header[name]:#x}, expected {expected:#x}", "schedule")
    body = data[HEADER.layout.size :]
    if crc32(body) != header["crc"]:
        raise ProgramError(f"the CRC is {crc32(body):#010x}, the header says {header['crc']:#010x}", "schedule")
    transfers_at = header["steps"] * STEP.layout.size
    words_at = transfers_at + header["transfers"] * TRANSFER.layout.size
    if len(body) != words_at + 4 * header["words"]:
        raise ProgramError(
            f"{len(body)} bytes behind the header, expected {words_at + 4 * header['words']}", "schedule"
        )
    words = [int.from_bytes(body[i : i + 4], "little") for i in range(words_at, len(body), 4)]

    def transfer(index: int) -> Transfer:
        fields = TRANSFER.unpack(body, transfers_at + index * TRANSFER.layout.size)
        return Transfer(fields["sdram"], fields["dtcm"], fields["bytes"])

    steps = []
    for number in range(header["steps"]):
        s = STEP.unpack(body, number * STEP.layout.size)
        middle, end = s["first_transfer"] + s["loads"], s["first_transfer"] + s["loads"] + s["stores"]
        steps.append(
            Step(
                s["kernel"],
                s["node"],
                tuple(transfer(i) for i in range(s["first_transfer"], middle)),
                tuple(transfer(i) for i in range(middle, end)),
                tuple(words[s["first_word"] : s["first_word"] + s["words"]]),
                bool(s["flags"] & FLAGS["BARRIER_BEFORE"]),
                bool(s["flags"] & FLAGS["BARRIER_AFTER"]),
                s["stream"] if s["flags"] & FLAGS["WAIT_STREAM"] else None,
            )
        )
    return steps, header["image"]


def c_header() -> str:
    """The text of `spindl_schedule.h`: version, magic, flags and the three records."""
    macros = {"SCHEDULE_VERSION": SCHEDULE_VERSION, "SCHEDULE_MAGIC": MAGIC}
    macros |= {f"STEP_{name}": value for name, value in FLAGS.items()}
    macros |= {f"TRANSFER_{name}": value for name, value in DIRECTIONS.items()}
    lines = ["/* Generated by spindl.program.schedule. */", "#ifndef SPINDL_SCHEDULE_H"]
    lines += ["#define SPINDL_SCHEDULE_H", "", "#include <stdint.h>", ""]
    lines += [f"#define SPINDL_{name} {value}u" for name, value in macros.items()]
    for record in (HEADER, STEP, TRANSFER):
        lines += ["", *record.c_typedef()]
    return "\n".join([*lines, "", "#endif", ""])
