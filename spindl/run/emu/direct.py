"""Schedules on emulated cores without SC&MP: image, tables, data are put in place, the cores run, results are read.

    done = walk(load_image(), [schedule_of_core_0, schedule_of_core_1], {0x60000000: weights})
    done.check()
    result = done.read(0x60100000, 1000)

The same image and the same tables run under SC&MP; only the loading differs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from spindl.emulator import Machine, emulate
from spindl.machine.topology import XY, Topology
from spindl.program.core import COMMANDS, CORE, KEY_MASK, KEYS, STEP_COUNTERS
from spindl.program.image import DATA_START, Image
from spindl.program.load import (
    TEXT_BYTES,
    ChipLoad,
    CoreName,
    CoreResult,
    Setting,
    chip_load,
    core_result,
    user_register,
)
from spindl.program.machine import ChipProgram, RouterEntry, relocated
from spindl.program.schedule import Schedule
from spindl.program.stream import STREAM_MASK, key
from spindl.run.interface import RunError

SDRAM, CONTROL, SDRAM_END = 0x60000000, 0x66000000, 0x68000000
"""Data may lie from SDRAM to CONTROL; records, tables and counters lie from CONTROL on."""
Route = tuple[int, int, int]
"""A router entry: key, mask, route (bits 0-5 links, 6-23 physical cores)."""
_FIRST_CORE = 1  # physical; core 0 is left alone, as under SC&MP
_ROUTER_SLICE, _LONGEST_SLICE = 20e-6, 2e-3  # simulated seconds between looks
_AFTER_ERROR = 3e-3
_COMMAND = next(4 * place for place, each in enumerate(CORE.fields) if each.name == "command")
_ROUTER, _ROUTER_ON = 0xE1000000, 0x00400001
"""Registers of a router, and what its control says: it works, and waits 240 of its cycles, as SC&MP has it."""
_SYSTEM_RAISE, _SYSTEM_PASSWORD = 0xE2000008, 0x5EC00000
"""Register that interrupts cores, and the upper bits without which nothing happens (datasheet, system controller)."""


@dataclass(frozen=True)
class Result:
    """What a walk left: per chip its cores; simulated seconds that it took; the machine, for its memory."""

    cores: dict[XY, list[CoreResult]]
    seconds: float
    machine: Machine = field(repr=False)

    def read(self, address: int, size: int, chip: XY = (0, 0)) -> bytes:
        """Bytes of a chip's SDRAM."""
        return self.machine.chip(*chip).read(address, size)

    def check(self) -> None:
        """Raises RunError if a core has not finished: the first error, or who has not come to an end."""
        for xy, cores in self.cores.items():
            for index, core in enumerate(cores):
                if core.error is not None:
                    raise RunError(str(core.error), f"chip {xy} core {index}")
        for xy, cores in self.cores.items():
            for index, core in enumerate(cores):
                if not core.finished:
                    raise RunError("has not finished in the given time", f"chip {xy} core {index}")


def walk(
    image: Image,
    schedules: Sequence[Schedule | bytes],
    memory: Mapping[int, bytes],
    *,
    regions: Sequence[tuple[int, int, bool]] = ((SDRAM, CONTROL, True),),
    limit: float = 20.0,
    time_out: int = 1000,
    step_counters: bool = True,
    machine: Machine | None = None,
    topology: str = "spin3",
) -> Result:
    """Walks schedules on the cores of chip (0, 0); see `walk_chips`."""
    setting = Setting(regions, 1, time_out, step_counters)
    chip, data = {(0, 0): schedules}, {(0, 0): memory}
    return walk_chips(image, chip, data, setting, limit=limit, machine=machine, topology=topology)


def walk_chips(
    image: Image,
    schedules: Mapping[XY, Sequence[Schedule | bytes]],
    memory: Mapping[XY, Mapping[int, bytes]],
    setting: Setting,
    *,
    routes: Mapping[XY, Sequence[Route]] | None = None,
    limit: float = 20.0,
    machine: Machine | None = None,
    topology: str = "spin3",
) -> Result:
    """Walks one schedule on each core, until all have answered or one has stopped.

    Args:
        image: the program of the cores.
        schedules: per chip and core its table, as Schedule (encoded here) or as bytes, 1 to 17 per chip. The first chip
            leads the machine-wide barriers.
        memory: per chip: SDRAM address -> bytes, put there before the start.
        setting: regions, time-outs, counters.
        routes: per chip: (key, mask, route) of its router entries, besides those of the barriers.
        limit: simulated seconds after which the result says "not finished".
        machine: one to use, not connected and without SC&MP; otherwise a new one is made from `topology`.
        topology: "spin3", "WxH-mesh", ...

    Raises:
        RunError: the tables do not fit, or the chips are not connected.
    """
    machine = machine if machine is not None else emulate(topology, connected=False)
    return walk_loaded(load_chips(image, schedules, memory, setting, routes=routes, machine=machine), limit)


@dataclass(frozen=True)
class Loaded:
    """Bare chips that are ready to start.

    Attributes:
        machine: a snapshot of it can be taken now, and restored before each `walk_loaded`.
        loads: per chip, in their order.
    """

    machine: Machine
    loads: Mapping[XY, ChipLoad]

    def records(self) -> Iterator[tuple[XY, int, int]]:
        """(chip, index of the core, address of its record) of all cores."""
        for xy, load in self.loads.items():
            for index, record in enumerate(load.records):
                yield xy, index, record


def load_chips(
    image: Image,
    schedules: Mapping[XY, Sequence[Schedule | bytes]],
    memory: Mapping[XY, Mapping[int, bytes]],
    setting: Setting,
    *,
    routes: Mapping[XY, Sequence[Route]] | None = None,
    machine: Machine,
) -> Loaded:
    """Puts everything in its place; arguments and errors as of `walk_chips`."""
    links = _tree(machine.topology, list(schedules))
    loads: dict[XY, ChipLoad] = {}
    for number, (xy, tables) in enumerate(schedules.items()):
        cores = [CoreName(_FIRST_CORE + index, _FIRST_CORE + index) for index in range(len(tables))]
        entries = [*_barrier_routes(*links[xy]), *(routes or {}).get(xy, ())]
        load = chip_load(image, tables, cores, CONTROL, setting, chip=number, routes=entries)
        if load.end > SDRAM_END:
            raise RunError(f"schedules and counters take {load.end - CONTROL} bytes", f"chip {xy}")
        chip = machine.chip(*xy)
        for address, data in [*memory.get(xy, {}).items(), *load.writes]:
            chip.write(address, data)
        for core, record in zip(cores, load.records, strict=True):
            view = chip.physical(core.physical)
            view.write(0, image.code)
            view.write(DATA_START, image.data)
            chip.write(user_register(core.virtual, 0), record.to_bytes(4, "little"))
        loads[xy] = load
    return Loaded(machine, loads)


def walk_loaded(loaded: Loaded, limit: float = 20.0) -> Result:
    """Starts the cores, which walk once; see `walk_chips`."""
    began = loaded.machine.time
    for leading in (True, False):  # the leading cores set the routers
        for xy, index, _ in loaded.records():
            if (index == 0) == leading:
                loaded.machine.chip(*xy).physical(_FIRST_CORE + index).start()
        loaded.machine.run(_ROUTER_SLICE)
    return _finished(loaded, began, limit)


def walk_again(loaded: Loaded, sequence: int, limit: float = 20.0) -> Result:
    """One more walk of cores that have answered the one before; sequence: number of the command, 2 for the second."""
    began = loaded.machine.time
    command = (sequence << 8 | COMMANDS["RUN"]).to_bytes(4, "little")
    for xy, _, record in loaded.records():
        loaded.machine.chip(*xy).write(record + _COMMAND, command)
    for xy, load in loaded.loads.items():
        cores = (1 << len(load.records)) - 1 << _FIRST_CORE
        loaded.machine.chip(*xy).write_registers([(_SYSTEM_RAISE, _SYSTEM_PASSWORD | cores)])
    return _finished(loaded, began, limit)


def _finished(loaded: Loaded, began: float, limit: float) -> Result:
    machine = loaded.machine
    _run_until_answered(machine, loaded.loads, began + limit)
    left = {xy: [_left(machine, xy, load, i) for i in range(len(load.records))] for xy, load in loaded.loads.items()}
    return Result(left, machine.time - began, machine)


def walk_programs(
    image: Image,
    programs: Sequence[ChipProgram],
    memory: Sequence[bytes],
    setting: Setting,
    *,
    limit: float = 20.0,
    topology: str = "spin3",
) -> Result:
    """Walks the schedules ("all") of planned chips; arguments and errors as of `load_programs` and `walk_chips`."""
    machine = emulate(topology, connected=False)
    return walk_loaded(load_programs(image, programs, memory, setting, machine), limit)


def load_programs(
    image: Image, programs: Sequence[ChipProgram], memory: Sequence[bytes], setting: Setting, machine: Machine
) -> Loaded:
    """Puts the schedules ("all") of planned chips in their places; their data lie from SDRAM on.

    Args:
        image: the program of the cores.
        programs: of all chips that the plan uses, in its order.
        memory: of each its SDRAM.
        setting, machine: see `walk_chips`.

    """
    for xy, entries in programs[0].passing.items():  # no core of these chips runs: nobody else sets their routers
        writes = [(_ROUTER + at + 4 * i, word) for i, e in enumerate(entries) for at, word in _registers(_route(e))]
        machine.chip(*xy).write_registers([*writes, (_ROUTER, _ROUTER_ON)])
    schedules = {p.xy: [relocated(schedule, SDRAM) for schedule in p.schedules["all"]] for p in programs}
    data = {p.xy: {SDRAM: content} for p, content in zip(programs, memory, strict=True)}
    routes = {p.xy: [_route(entry) for entry in p.entries] for p in programs}
    return load_chips(image, schedules, data, setting, routes=routes, machine=machine)


def _route(entry: RouterEntry) -> Route:
    cores = sum(1 << (6 + _FIRST_CORE + index) for index in entry.cores)
    return entry.key, entry.mask, sum(1 << link for link in entry.links) | cores


def _registers(route: Route) -> list[tuple[int, int]]:
    """An entry's words, and where its router has those of the first entry."""
    return list(zip((0x8000, 0xC000, 0x4000), route, strict=True))


def _run_until_answered(machine: Machine, loads: Mapping[XY, ChipLoad], end: float) -> None:
    waiting = {(xy, record) for xy, load in loads.items() for record in load.records}
    piece = 50e-6
    while waiting and machine.time < end:
        machine.run(piece)
        piece = min(piece * 1.2, _LONGEST_SLICE)
        for xy, at in sorted(waiting):
            record = CORE.unpack(machine.chip(*xy).read(at, CORE.layout.size))
            if record["error"]:
                machine.run(_AFTER_ERROR)
                return
            if record["answer"] == record["command"]:
                waiting.discard((xy, at))


def _left(machine: Machine, xy: XY, load: ChipLoad, index: int) -> CoreResult:
    chip = machine.chip(*xy)
    record = chip.read(load.records[index], CORE.layout.size)
    counters_at, steps = load.step_counters[index]
    text = chip.read(CORE.unpack(record)["text"], TEXT_BYTES)
    return core_result(record, text, chip.read(counters_at, steps * STEP_COUNTERS.layout.size) if steps else b"")


def stream_routes(
    topology: Topology, stream: int, sender: tuple[XY, int], receivers: Mapping[XY, Sequence[int]]
) -> dict[XY, list[Route]]:
    """Router entries of one stream: a tree of shortest ways from the sender to the receivers, and the way back.

    Args:
        topology: of the machine.
        stream: its even number.
        sender: chip and index of the core.
        receivers: per chip the indices of the cores. All chips must take part in the walk.

    Raises:
        RunError: a receiver cannot be reached.
    """
    root, first = sender
    chips = [root, *(xy for xy in receivers if xy != root)]
    routes: dict[XY, list[Route]] = {}
    for xy, (parent, children) in _tree(topology, chips).items():
        cores = sum(1 << (6 + _FIRST_CORE + index) for index in receivers.get(xy, ()))
        back = 1 << (6 + _FIRST_CORE + first) if parent is None else 1 << parent
        data, answers = key(stream, 0, 0), key(stream + 1, 0, 0)
        routes[xy] = [(data, STREAM_MASK, children | cores), (answers, STREAM_MASK, back)]
    return routes


def _tree(topology: Topology, chips: list[XY]) -> dict[XY, tuple[int | None, int]]:
    """Chip -> (link towards the first chip, bits of the links away from it), over the chips that take part."""
    places = {(place.x, place.y): place for place in topology.places}
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


def _barrier_routes(parent: int | None, children: int) -> list[Route]:
    """Router entries of the barriers between chips, for one chip."""
    leader = 1 << (6 + _FIRST_CORE)
    arrive = leader if parent is None else 1 << parent
    return [(KEYS["ARRIVE"], KEY_MASK, arrive), (KEYS["RELEASE"], KEY_MASK, children | leader)]
