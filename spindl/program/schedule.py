"""The schedule table: what the walker on each core steps through, as bytes in SDRAM.

    table = header, block, block, ...                    one block per step, one behind the other
    block = step, transfers before the kernel, transfers after it, argument words
    step  = one kernel call: barriers around it, transfers before and after it, its arguments
    transfer = rows of bytes moved between SDRAM and DTCM, each row one DMA

A core fetches the block of a step while the kernel of the step before runs; each block says how long the next one is.

**Order.** A core runs its steps one after the other. The DMA engine works through one queue: while the kernel of step k
runs, the loads of step k + 1 are in it; when that kernel has ended, the stores of step k follow; the kernel of step
k + 1 starts when its loads and the stores of step k - 1 are done, beside the stores of step k. So

- a step may not load what the step before it stores, nor into what that one uses: such a step is ORDERED, and its loads
  follow every earlier kernel and store in the queue;
- a kernel may write where the stores of the step before the last one read: two output buffers in turn are enough.

Barriers order as well: all stores are done before a core meets the others. IF_SET looks at its word when all earlier
kernels have ended; the loads of such a step are not early. A step that is left out still meets its barriers.

The CRC-32 (zlib's), the header's last word, covers everything before it and behind it: a core that meets another CRC,
magic, version or image stops with a named error, and does nothing. To check a table that it meets for the first time a
core uses the first 9 KB of its tiles.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from zlib import crc32

from spindl.program.errors import ProgramError
from spindl.program.records import Field, RecordType

SCHEDULE_VERSION = 3
"""Raised whenever a field changes its place or its meaning."""
MAGIC = int.from_bytes(b"SPDL", "little")

FLAGS = {
    "BARRIER_BEFORE": 1,
    "BARRIER_AFTER": 2,
    "LAST": 8,
    "ORDERED": 16,
    "IF_SET": 32,
    "MACHINE": 64,
}
"""Of a step: meet the chip's other cores before or after it (all stores done); the last step of the table; begin its
loads only when all before it is done; leave it out if the word at `condition` is 0; its barriers are of all chips."""
DIRECTIONS = {"TO_DTCM": 0, "TO_SDRAM": 1}

HEADER = RecordType(
    "spindl_schedule_header",
    (
        Field("magic", "I", "'SPDL'"),
        Field("version", "H", "SCHEDULE_VERSION"),
        Field("cores", "H", "cores of the chip that meet at barriers"),
        Field("image", "I", "first 32 bits of the image's SHA-256"),
        Field("steps", "I", "number of steps"),
        Field("bytes", "I", "of all blocks"),
        Field("first", "I", "bytes of the first block"),
        Field("exponents", "I", "DTCM address of the exponent table (int16)"),
        Field("sites", "I", "DTCM address of the table of sites"),
        Field("exponent_count", "H", "entries of the exponent table"),
        Field("site_count", "H", "entries of the table of sites"),
        Field("crc", "I", "CRC-32 of the header before this word and of all that follows"),
    ),
)
STEP = RecordType(
    "spindl_schedule_step",
    (
        Field("kernel", "H", "number of the kernel in spindl_kernels.h; 0: none"),
        Field("flags", "H", "BARRIER_BEFORE, ..."),
        Field("node", "I", "node of the training graph, for errors and counters"),
        Field("condition", "I", "DTCM address of a word, with IF_SET"),
        Field("loads", "H", "transfers before the kernel"),
        Field("stores", "H", "transfers after it, behind the loads"),
        Field("words", "H", "argument words, behind the transfers"),
        Field("reserved", "H", "0"),
        Field("next", "I", "bytes of the next step's block; 0 at the last step"),
    ),
)
TRANSFER = RecordType(
    "spindl_schedule_transfer",
    (
        Field("sdram", "I", "byte address in SDRAM, a multiple of 4"),
        Field("dtcm", "I", "byte address in DTCM, a multiple of 4"),
        Field("bytes", "I", "length of a row, a multiple of 4, below 128 KB"),
        Field("rows", "H", "number of rows, at least 1"),
        Field("direction", "H", "TO_DTCM or TO_SDRAM"),
        Field("sdram_pitch", "I", "bytes from row to row in SDRAM, a multiple of 4"),
        Field("dtcm_pitch", "I", "bytes from row to row in DTCM, a multiple of 4"),
    ),
)
LARGEST_BLOCK = 1024
"""Bytes of the largest block that a core has room for."""
LARGEST_TRANSFER = (1 << 17) - 4
"""The DMA engine's length register holds 15 bits of words (SpiNNaker datasheet v2.02, section 7)."""


@dataclass(frozen=True)
class Transfer:
    """Rows of bytes: addresses, length of a row, distances of rows, all in bytes and multiples of 4."""

    sdram: int
    dtcm: int
    bytes: int
    rows: int = 1
    sdram_pitch: int = 0
    dtcm_pitch: int = 0


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
    ordered: bool = False
    condition: int | None = None
    machine: bool = False


@dataclass(frozen=True)
class Tables:
    """Where a core keeps its exponents and sites, and with how many cores it meets.

    Attributes:
        cores: of the chip that take part in barriers.
        exponents, sites: DTCM byte addresses, multiples of 4.
        exponent_count, site_count: numbers of entries.
    """

    cores: int = 1
    exponents: int = 0
    sites: int = 0
    exponent_count: int = 0
    site_count: int = 0


@dataclass(frozen=True)
class Schedule:
    """A core's table: its steps, the image they were made for (first 32 bits of its SHA-256), its tables."""

    steps: tuple[Step, ...]
    image: int
    tables: Tables = Tables()


def encode(schedule: Schedule) -> bytes:
    """The table's bytes. Raises ProgramError for an empty table, and for what a core could not do."""
    steps = schedule.steps
    if not steps:
        raise ProgramError("a schedule without steps", "schedule")
    sizes = [_block_bytes(step, number) for number, step in enumerate(steps)]
    blocks = []
    for number, step in enumerate(steps):
        flags = FLAGS["BARRIER_BEFORE"] * step.barrier_before | FLAGS["BARRIER_AFTER"] * step.barrier_after
        flags |= FLAGS["LAST"] * (number == len(steps) - 1)
        flags |= FLAGS["ORDERED"] * step.ordered | FLAGS["IF_SET"] * (step.condition is not None)
        flags |= FLAGS["MACHINE"] * step.machine
        head = {
            "kernel": step.kernel,
            "flags": flags,
            "node": step.node,
            "condition": step.condition or 0,
            "loads": len(step.loads),
            "stores": len(step.stores),
            "words": len(step.words),
            "reserved": 0,
            "next": sizes[number + 1] if number + 1 < len(steps) else 0,
        }
        both = ((step.loads, "TO_DTCM"), (step.stores, "TO_SDRAM"))
        blocks.append(STEP.pack(head))
        blocks += [_transfer(t, DIRECTIONS[direction], number) for group, direction in both for t in group]
        blocks.append(b"".join((word & 0xFFFFFFFF).to_bytes(4, "little") for word in step.words))
    body = b"".join(blocks)
    header = {
        "magic": MAGIC,
        "version": SCHEDULE_VERSION,
        "steps": len(steps),
        "image": schedule.image,
        "bytes": len(body),
        "first": sizes[0],
        "crc": 0,
        **asdict(schedule.tables),
    }
    before = HEADER.pack(header)[:-4]
    return before + crc32(body, crc32(before)).to_bytes(4, "little") + body


def _block_bytes(step: Step, number: int) -> int:
    size = STEP.layout.size + TRANSFER.layout.size * (len(step.loads) + len(step.stores)) + 4 * len(step.words)
    if size > LARGEST_BLOCK:
        raise ProgramError(
            f"{len(step.loads)} loads, {len(step.stores)} stores and {len(step.words)} words take {size} bytes, "
            f"{LARGEST_BLOCK} are possible",
            f"schedule step {number}",
            "split the step: steps without a kernel can load and store",
        )
    return size


def _transfer(transfer: Transfer, direction: int, step: int) -> bytes:
    fields = asdict(transfer)
    words = all(value % 4 == 0 and value >= 0 for name, value in fields.items() if name != "rows")
    if not words or not 0 < transfer.bytes <= LARGEST_TRANSFER or transfer.rows < 1:
        raise ProgramError(f"{transfer} is no DMA: words only, 4 to {LARGEST_TRANSFER} bytes", f"schedule step {step}")
    return TRANSFER.pack({**fields, "direction": direction})


def decode(data: bytes) -> Schedule:
    """The schedule in a table's bytes. Raises ProgramError for what a core would refuse."""
    header = HEADER.unpack(data)
    for name, expected in (("magic", MAGIC), ("version", SCHEDULE_VERSION)):
        if header[name] != expected:
            raise ProgramError(f"{name} is {header[name]:#x}, expected {expected:#x}", "schedule")
    body = data[HEADER.layout.size :]
    crc = crc32(body, crc32(data[: HEADER.layout.size - 4]))
    if crc != header["crc"]:
        raise ProgramError(f"the CRC is {crc:#010x}, the header says {header['crc']:#010x}", "schedule")
    if len(body) != header["bytes"]:
        raise ProgramError(f"{len(body)} bytes behind the header, expected {header['bytes']}", "schedule")

    def transfer(at: int) -> Transfer:
        fields = TRANSFER.unpack(body, at)
        del fields["direction"]
        return Transfer(**fields)

    steps = []
    at, size = 0, header["first"]
    for number in range(header["steps"]):
        s = STEP.unpack(body, at)
        loads_at = at + STEP.layout.size
        stores_at = loads_at + s["loads"] * TRANSFER.layout.size
        words_at = stores_at + s["stores"] * TRANSFER.layout.size
        end = words_at + 4 * s["words"]
        if end != at + size:
            raise ProgramError(f"the block has {size} bytes, its content {end - at}", f"schedule step {number}")
        steps.append(
            Step(
                s["kernel"],
                s["node"],
                tuple(transfer(i) for i in range(loads_at, stores_at, TRANSFER.layout.size)),
                tuple(transfer(i) for i in range(stores_at, words_at, TRANSFER.layout.size)),
                tuple(int.from_bytes(body[i : i + 4], "little") for i in range(words_at, end, 4)),
                bool(s["flags"] & FLAGS["BARRIER_BEFORE"]),
                bool(s["flags"] & FLAGS["BARRIER_AFTER"]),
                bool(s["flags"] & FLAGS["ORDERED"]),
                s["condition"] if s["flags"] & FLAGS["IF_SET"] else None,
                bool(s["flags"] & FLAGS["MACHINE"]),
            )
        )
        at, size = end, s["next"]
    tables = Tables(*(header[name] for name in ("cores", "exponents", "sites", "exponent_count", "site_count")))
    return Schedule(tuple(steps), header["image"], tables)


def c_header() -> str:
    """The text of `spindl_schedule.h`: version, magic, flags and the three records."""
    macros = {"SCHEDULE_VERSION": SCHEDULE_VERSION, "SCHEDULE_MAGIC": MAGIC}
    macros |= {f"STEP_{name}": value for name, value in FLAGS.items()}
    macros |= {f"TRANSFER_{name}": value for name, value in DIRECTIONS.items()}
    macros["LARGEST_BLOCK"] = LARGEST_BLOCK
    lines = ["/* Generated by spindl.program.schedule. */", "#ifndef SPINDL_SCHEDULE_H"]
    lines += ["#define SPINDL_SCHEDULE_H", "", "#include <stdint.h>", ""]
    lines += [f"#define SPINDL_{name} {value}u" for name, value in macros.items()]
    for record in (HEADER, STEP, TRANSFER):
        lines += ["", *record.c_typedef()]
    return "\n".join([*lines, "", "#endif", ""])
