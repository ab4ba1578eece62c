"""What has to be written into a chip's SDRAM so that its cores walk through their schedules; pure data, no machine.

The same bytes serve a bare emulated chip and one that SC&MP runs: only the numbers of the cores differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spindl.program.core import (
    COMMANDS,
    CORE,
    CORE_VERSION,
    MAGIC,
    REGION,
    REGION_FLAGS,
    ROUTE,
    STEP_COUNTERS,
    CoreError,
    core_counters,
    core_error,
)
from spindl.program.errors import ProgramError
from spindl.program.image import Image
from spindl.program.schedule import HEADER, STEP, Schedule, encode

TEXT_BYTES = 1024
TEXT_HEAD = 16
USER_REGISTERS = 0x70
"""Offset of user register 0 in SC&MP's block of a core; register 1 of the leading core is where a chip's cores meet."""
MONITOR_BLOCKS, MONITOR_BLOCK_BYTES = 0xE5007000, 128
"""Where SC&MP keeps the block of virtual core 0 (facts: vcpu)."""
_ALIGN = 32


@dataclass(frozen=True)
class CoreName:
    """A core's two numbers: SC&MP's and the chip's."""

    virtual: int
    physical: int


@dataclass(frozen=True)
class Setting:
    """What all cores of a run are told.

    Attributes:
        regions: (first SDRAM address, address behind, writable) that the schedules' transfers may touch.
        chips: how many chips meet at barriers of the machine, at most 64.
        time_out: milliseconds that a core may wait for DMA or others.
        step_counters: count cycles per step; takes each core about 155 cycles a step.
        command: given at the start; RUN or NONE.
    """

    regions: Sequence[tuple[int, int, bool]]
    chips: int = 1
    time_out: int = 1000
    step_counters: bool = True
    command: str = "RUN"


@dataclass(frozen=True)
class ChipLoad:
    """Bytes for one chip.

    Attributes:
        writes: (SDRAM address, bytes).
        records: address of each core's record, for its user register 0.
        step_counters: (address, steps) of each core's table; (0, 0) without.
        end: first address behind all of it.
    """

    writes: tuple[tuple[int, bytes], ...]
    records: tuple[int, ...]
    step_counters: tuple[tuple[int, int], ...]
    end: int


@dataclass(frozen=True)
class CoreResult:
    """What one core left.

    Attributes:
        finished: True if it has carried out its command.
        error: why it stopped; None if it did not.
        counters: by the names of `spindl.run.counters`, and `kernel_cycles`, `steps`.
        steps: per step: cycles in the kernel, asleep for DMA, asleep at barriers, total.
        text: what it printed.
    """

    finished: bool
    error: CoreError | None
    counters: dict[str, int]
    steps: list[dict[str, int]]
    text: str


def user_register(virtual: int, number: int) -> int:
    """System RAM address of a core's user register."""
    return MONITOR_BLOCKS + MONITOR_BLOCK_BYTES * virtual + USER_REGISTERS + 4 * number


def chip_load(
    image: Image,
    tables: Sequence[Schedule | bytes],
    cores: Sequence[CoreName],
    base: int,
    setting: Setting,
    *,
    chip: int = 0,
    routes: Sequence[tuple[int, int, int]] = (),
) -> ChipLoad:
    """Lays out records, regions, schedules, counters and text of one chip's cores from `base` on.

    Args:
        image: the program of the cores.
        tables: one schedule per core, as Schedule or as its bytes.
        cores: which core gets which table; the first one leads.
        base: SDRAM address, a multiple of 32; what is laid out may be read by the cores' DMA, not written.
        setting: see `Setting`.
        chip: number of the chip among those that meet.
        routes: (key, mask, route) that the leading core sets; only without SC&MP.

    Raises:
        ProgramError: the tables and cores do not match.
    """
    if len(tables) != len(cores):
        raise ProgramError(f"{len(tables)} schedules for {len(cores)} cores", f"chip {chip}")
    at, writes = base, []

    def put(data: bytes) -> int:
        nonlocal at
        address = at
        at = (address + len(data) + _ALIGN - 1) // _ALIGN * _ALIGN
        writes.append((address, data))
        return address

    encoded = [table if isinstance(table, bytes) else encode(table) for table in tables]
    schedules = [put(data) for data in encoded]
    regions = [*setting.regions, (base, at, False)]
    packed = (REGION.pack({"start": a, "end": b, "flags": REGION_FLAGS["WRITABLE"] * w}) for a, b, w in regions)
    regions_at = put(b"".join(packed))
    routes_at = put(b"".join(ROUTE.pack({"key": key, "mask": mask, "route": route}) for key, mask, route in routes))
    overlays_at = put(image.overlays) if image.overlays else 0
    records, counters = [], []
    for index, data in enumerate(encoded):
        steps = HEADER.unpack(data)["steps"] if len(data) >= HEADER.layout.size else 0
        steps = min(steps, len(data) // STEP.layout.size) if setting.step_counters else 0
        counters_at = put(bytes(steps * STEP_COUNTERS.layout.size)) if steps else 0
        values = dict.fromkeys((field.name for field in CORE.fields), 0)
        values |= {
            "magic": MAGIC,
            "version": CORE_VERSION,
            "image": image.version,
            "index": index,
            "members": sum(1 << core.virtual for core in cores),
            "wake": sum(1 << core.physical for core in cores),
            "leader": cores[0].physical,
            "meeting": user_register(cores[0].virtual, 1),
            "chip": chip,
            "chips": setting.chips,
            "regions": regions_at,
            "region_count": len(regions),
            "schedule": schedules[index],
            "schedule_bytes": len(data),
            "step_counters": counters_at,
            "time_out": setting.time_out,
            "text": put(bytes(TEXT_BYTES)),
            "text_bytes": TEXT_BYTES,
            "routes": routes_at,
            "route_count": len(routes) if index == 0 else 0,
            "overlays": overlays_at,
            "command": 1 << 8 | COMMANDS[setting.command],
        }
        counters.append((counters_at, steps))
        records.append(put(CORE.pack(values)))
    return ChipLoad(tuple(writes), tuple(records), tuple(counters), at)


def core_result(record: bytes, text: bytes, step_counters: bytes) -> CoreResult:
    """What a core left, from the bytes of its record, its text buffer and its table of step counters."""
    values = CORE.unpack(record)
    size = STEP_COUNTERS.layout.size
    length = min(int.from_bytes(text[TEXT_HEAD - 4 : TEXT_HEAD], "little"), len(text) - TEXT_HEAD)
    return CoreResult(
        finished=values["answer"] == values["command"] and values["error"] == 0,
        error=core_error(record),
        counters=core_counters(record),
        steps=[STEP_COUNTERS.unpack(step_counters, at) for at in range(0, len(step_counters), size)],
        text=text[TEXT_HEAD : TEXT_HEAD + length].decode("ascii", "replace"),
    )
