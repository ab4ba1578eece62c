"""Schedules on emulated cores without SC&MP: image, tables, data are put in place, the cores run, results are read.

    done = walk(load_image(), [schedule_of_core_0, schedule_of_core_1], {0x60000000: weights})
    done.check()
    result = done.read(0x60100000, 1000)

The same image and the same tables run under SC&MP; only the loading differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spindl.emulator import Machine, emulate
from spindl.machine.topology import XY
from spindl.program.core import (
    COMMANDS,
    CORE,
    CORE_VERSION,
    KEY_MASK,
    KEYS,
    MAGIC,
    REGION,
    REGION_FLAGS,
    ROUTE,
    STEP_COUNTERS,
    TILES,
    CoreError,
    core_counters,
    core_error,
)
from spindl.program.image import DATA_START, Image
from spindl.program.schedule import HEADER, Schedule, encode
from spindl.run.interface import RunError

SDRAM, CONTROL, SDRAM_END = 0x60000000, 0x66000000, 0x68000000
"""Data may lie from SDRAM to CONTROL; records, tables and counters lie from CONTROL on."""
TEXT_BYTES = 1024
_MONITOR, _MONITOR_SIZE, _USER_0, _USER_1 = 0xE5007000, 128, 0x70, 0x74
_FIRST_CORE = 1  # physical; core 0 is left alone, as under SC&MP
_ROUTER_SLICE, _LONGEST_SLICE = 20e-6, 2e-3  # simulated seconds between looks
_AFTER_ERROR = 3e-3


@dataclass(frozen=True)
class CoreResult:
    """What one core left.

    Attributes:
        finished: True if it walked to the end.
        error: why it stopped; None if it did not.
        counters: by the names of `spindl.run.counters`, and `kernel_cycles`, `steps`; empty if it has not finished.
        steps: per step: cycles in the kernel, asleep for DMA, asleep at barriers, total.
        text: what it printed.
    """

    finished: bool
    error: CoreError | None
    counters: dict[str, int]
    steps: list[dict[str, int]]
    text: str


@dataclass(frozen=True)
class Result:
    """What a walk left: per chip its cores; the machine, for its memory; simulated seconds that it took."""

    cores: dict[XY, list[CoreResult]]
    seconds: float
    machine: Machine = field(repr=False)

    def read(self, address: int, size: int, chip: XY = (0, 0)) -> bytes:
        """Bytes of a chip's SDRAM."""
        return self.machine.chip(*chip).read(address, size)

    def check(self) -> None:
        """Raises RunError if a core has not finished: the first error, and who waits."""
        for xy, cores in self.cores.items():
            for index, core in enumerate(cores):
                if core.error is not None:
                    raise RunError(str(core.error), f"chip {xy} core {index}")
        for xy, cores in self.cores.items():
            for index, core in enumerate(cores):
                if not core.finished:
                    raise RunError("has not finished in the given time", f"chip {xy} core {index}")


@dataclass
class _Layout:
    """Where the next thing goes in a chip's control memory."""

    at: int = CONTROL
    writes: list[tuple[int, bytes]] = field(default_factory=list)

    def put(self, data: bytes) -> int:
        address = self.at
        self.at = (address + len(data) + 31) // 32 * 32
        if self.at > SDRAM_END:
            raise RunError(f"schedules and counters of one chip take more than {SDRAM_END - CONTROL} bytes", "chip")
        self.writes.append((address, data))
        return address


def walk(
    image: Image,
    schedules: Sequence[Schedule | bytes],
    memory: Mapping[int, bytes],
    *,
    regions: Sequence[tuple[int, int, bool]] = ((SDRAM, CONTROL, True),),
    limit: float = 20.0,
    time_out: int = 1000,
    machine: Machine | None = None,
) -> Result:
    """Walks schedules on the cores of chip (0, 0); see `walk_chips`."""
    return walk_chips(
        image,
        {(0, 0): schedules},
        {(0, 0): memory},
        regions=regions,
        limit=limit,
        time_out=time_out,
        machine=machine,
    )


def walk_chips(
    image: Image,
    schedules: Mapping[XY, Sequence[Schedule | bytes]],
    memory: Mapping[XY, Mapping[int, bytes]],
    *,
    regions: Sequence[tuple[int, int, bool]] = ((SDRAM, CONTROL, True),),
    limit: float = 20.0,
    time_out: int = 1000,
    machine: Machine | None = None,
    topology: str = "spin3",
) -> Result:
    """Walks one schedule on each core, until all have answered or one has stopped.

    Args:
        image: the program of the cores.
        schedules: per chip and core its table, as Schedule (encoded here) or as bytes, 1 to 17 per chip. The first chip
            leads the machine-wide barriers.
        memory: per chip: SDRAM address -> bytes, put there before the start.
        regions: (first address, address behind, writable): what the cores' DMA may touch.
        limit: simulated seconds after which the result says "not finished".
        time_out: milliseconds that a core may wait for DMA or others.
        machine: one to use, not connected and without SC&MP; otherwise a new one is made from `topology`.
        topology: "spin3", "WxH-mesh", ...

    Raises:
        RunError: the tables do not fit.
    """
    machine = machine if machine is not None else emulate(topology, connected=False)
    links = _tree(machine, list(schedules))
    records: dict[tuple[XY, int], int] = {}
    counters: dict[tuple[XY, int], tuple[int, int]] = {}
    for number, (xy, tables) in enumerate(schedules.items()):
        layout = _Layout()
        region_bytes = b"".join(
            REGION.pack({"start": start, "end": end, "flags": REGION_FLAGS["WRITABLE"] * writable})
            for start, end, writable in [*regions, (CONTROL, SDRAM_END, False)]
        )
        regions_at = layout.put(region_bytes)
        routes = _routes(links, xy)
        members = sum(1 << (_FIRST_CORE + index) for index in range(len(tables)))
        routes_at = layout.put(b"".join(routes))
        for index, table in enumerate(tables):
            data = table if isinstance(table, bytes) else encode(table)
            steps = HEADER.unpack(data)["steps"] if len(data) >= HEADER.layout.size else 0
            steps = min(steps, len(data) // 24)
            values = dict.fromkeys((each.name for each in CORE.fields), 0)
            values |= {
                "magic": MAGIC,
                "version": CORE_VERSION,
                "image": image.version,
                "index": index,
                "members": members,
                "wake": members,
                "leader": _FIRST_CORE,
                "meeting": _MONITOR + _MONITOR_SIZE * _FIRST_CORE + _USER_1,
                "chip": number,
                "chips": len(schedules),
                "regions": regions_at,
                "region_count": len(region_bytes) // REGION.layout.size,
                "schedule": layout.put(data),
                "schedule_bytes": len(data),
                "step_counters": layout.put(bytes(steps * STEP_COUNTERS.layout.size)),
                "time_out": time_out,
                "text": layout.put(bytes(TEXT_BYTES)),
                "text_bytes": TEXT_BYTES,
                "routes": routes_at,
                "route_count": len(routes) if index == 0 else 0,
                "command": 1 << 8 | COMMANDS["RUN"],
            }
            counters[xy, index] = (values["step_counters"], steps)
            records[xy, index] = layout.put(CORE.pack(values))
        chip = machine.chip(*xy)
        for address, data in [*memory.get(xy, {}).items(), *layout.writes]:
            chip.write(address, data)
        for index in range(len(tables)):
            core = chip.physical(_FIRST_CORE + index)
            core.write(0, image.code)
            core.write(DATA_START, image.data)
            chip.write(
                _MONITOR + _MONITOR_SIZE * (_FIRST_CORE + index) + _USER_0, records[xy, index].to_bytes(4, "little")
            )
    began = machine.time
    for leading in (True, False):  # the leading cores set the routers
        for xy, tables in schedules.items():
            for index in range(len(tables)):
                if (index == 0) == leading:
                    machine.chip(*xy).physical(_FIRST_CORE + index).start()
        machine.run(_ROUTER_SLICE)
    _run_until_answered(machine, records, began + limit)
    seconds = machine.time - began
    cores: dict[XY, list[CoreResult]] = {xy: [] for xy in schedules}
    for (xy, index), at in records.items():
        cores[xy].append(_core_result(machine, xy, at, *counters[xy, index]))
    return Result(cores, seconds, machine)


def _run_until_answered(machine: Machine, records: Mapping[tuple[XY, int], int], end: float) -> None:
    waiting, piece = set(records), 50e-6
    while waiting and machine.time < end:
        machine.run(piece)
        piece = min(piece * 1.2, _LONGEST_SLICE)
        for place in sorted(waiting):
            record = CORE.unpack(machine.chip(*place[0]).read(records[place], CORE.layout.size))
            if record["error"]:
                machine.run(_AFTER_ERROR)
                return
            if record["answer"] == record["command"]:
                waiting.discard(place)


def _core_result(machine: Machine, xy: XY, at: int, counters_at: int, steps: int) -> CoreResult:
    chip = machine.chip(*xy)
    data = chip.read(at, CORE.layout.size)
    record = CORE.unpack(data)
    finished = record["answer"] == record["command"] and record["error"] == 0
    text_length = int.from_bytes(chip.read(record["text"] + 12, 4), "little")
    text = chip.read(record["text"] + 16, min(text_length, TEXT_BYTES - 16)).decode("ascii", "replace")
    size = STEP_COUNTERS.layout.size
    table = chip.read(counters_at, steps * size)
    per_step = [STEP_COUNTERS.unpack(table, i * size) for i in range(steps)]
    return CoreResult(finished, core_error(data), core_counters(data), per_step, text)


def _tree(machine: Machine, chips: list[XY]) -> dict[XY, tuple[int | None, int]]:
    """Chip -> (link towards the first chip, bits of the links away from it), over the chips that take part."""
    places = {(place.x, place.y): place for place in machine.topology.places}
    parent: dict[XY, int | None] = {chips[0]: None}
    children = dict.fromkeys(chips, 0)
    queue = [chips[0]]
    for xy in queue:
        for link, neighbour in enumerate(places[xy].neighbours):
            if neighbour in children and neighbour not in parent:
                parent[neighbour] = (link + 3) % 6
                children[xy] |= 1 << link
                queue.append(neighbour)
    missing = set(chips) - set(parent)
    if missing:
        raise RunError(f"chips {sorted(missing)} have no way to {chips[0]} over chips that take part", "machine")
    return {xy: (parent[xy], children[xy]) for xy in chips}


def _routes(links: Mapping[XY, tuple[int | None, int]], xy: XY) -> list[bytes]:
    """Router entries of the barriers for one chip."""
    parent, children = links[xy]
    first = 1 << (6 + _FIRST_CORE)
    routes = {"ARRIVE": first if parent is None else 1 << parent, "RELEASE": children | first}
    return [ROUTE.pack({"key": KEYS[name], "mask": KEY_MASK, "route": route}) for name, route in routes.items()]


__all__ = ["CONTROL", "SDRAM", "TILES", "CoreResult", "Result", "walk", "walk_chips"]
