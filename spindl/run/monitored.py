"""A machine that SC&MP runs, through the unmodified SpiNNMan: what the executors `emu` and `board` share.

The SDRAM of each chip holds, in one block, records and schedules of its cores, and the data of the Program's graphs.
A step is: inputs written, each core's command word, the doorbell (a signal), the answers, outputs read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from spindl.graph.operations import Value
from spindl.machine import Topology
from spindl.machine.topology import XY
from spindl.program import Program, State
from spindl.program.core import COMMANDS, CORE
from spindl.program.image import Image, load_image
from spindl.program.load import TEXT_BYTES, ChipLoad, CoreName, CoreResult, Setting, chip_load, core_result
from spindl.program.machine import ChipProgram, relocated
from spindl.program.schedule import Schedule, encode
from spindl.program.stream import FIRST_STREAM
from spindl.run import chip
from spindl.run.interface import Commit, RunError
from spindl.run.routes import exchange_entries, nearest

APPLICATION = 33
"""SC&MP's number of our program."""
_PHYSICAL_NUMBERS = 0xF5007FA8  # sv: virtual -> physical core
_ALIGN = 64
_FIELDS = {field.name: 4 * place for place, field in enumerate(CORE.fields)}
_WAIT = 120.0  # wall-clock seconds that a step may take


class ChipMemory:
    """A piece of a chip's SDRAM through SpiNNMan, addresses from its base."""

    def __init__(self, transceiver: Any, xy: tuple[int, int], base: int) -> None:
        self._transceiver, self._xy, self._base = transceiver, xy, base

    def read(self, address: int, size: int) -> bytes:
        """Some bytes."""
        return bytes(self._transceiver.read_memory(*self._xy, self._base + address, size))

    def write(self, address: int, data: bytes) -> None:
        """Changes some bytes."""
        self._transceiver.write_memory(*self._xy, self._base + address, data)


@dataclass(frozen=True)
class _Loaded:
    """A graph on a chip: its program, its memory, and per commit each core's (schedule address, bytes)."""

    program: ChipProgram
    memory: ChipMemory
    schedules: Mapping[str, tuple[tuple[int, int], ...]]


@dataclass(frozen=True)
class _Chip:
    """One chip: its coordinates, its cores' names, its graphs, what its cores read and leave."""

    xy: XY
    names: tuple[CoreName, ...]
    graphs: Mapping[str, _Loaded]
    load: ChipLoad


def _load(transceiver: Any, image: Image, xy: XY, number: int, parts: Mapping[str, ChipProgram], chips: int) -> _Chip:
    """Everything of one chip into one block of SDRAM: data of each graph, then schedules, then records.

    Raises:
        RunError: the chip has too few cores, or its graphs are planned for different numbers of cores.
    """
    counts = {len(part.schedules["all"]) for part in parts.values()}
    if len(counts) != 1:
        raise RunError("the graphs of the program are planned for different numbers of cores", "program")
    table = bytes(transceiver.read_memory(*xy, _PHYSICAL_NUMBERS, 20))
    names = tuple(CoreName(core, table[core]) for core in range(1, counts.pop() + 1))
    if any(name.physical == 0xFF for name in names):
        raise RunError(f"chip {xy} has fewer than {len(names)} working cores", "machine", "plan for fewer cores")

    def stamped(schedule: Schedule, start: int = 0) -> bytes:
        return encode(replace(relocated(schedule, start), image=image.version))

    at, offsets, places = 0, {}, {}
    for graph, part in parts.items():
        offsets[graph] = at
        at += -(-part.bytes // _ALIGN) * _ALIGN
    data_end = at
    for graph, part in parts.items():
        for commit, schedules in part.schedules.items():
            for core, schedule in enumerate(schedules):
                places[graph, commit, core] = at
                at += -(-len(stamped(schedule)) // _ALIGN) * _ALIGN
    records = at
    first = [stamped(schedule) for schedule in next(iter(parts.values())).schedules["all"]]
    setting = Setting(
        ((0, data_end, True), (data_end, records, False)), chips, time_out=5000, step_counters=False, command="NONE"
    )
    room = chip_load(image, first, names, 0, setting, chip=number).end + _ALIGN
    base = transceiver.malloc_sdram(*xy, records + room + _ALIGN, APPLICATION, 1)
    base += -base % _ALIGN
    graphs = {}
    for graph, part in parts.items():
        start = base + offsets[graph]
        memory = ChipMemory(transceiver, xy, start)
        chip.write_contents(part, memory)
        tables: dict[str, tuple[tuple[int, int], ...]] = {}
        for commit, schedules in part.schedules.items():
            lines = []
            for core, schedule in enumerate(schedules):
                data = stamped(schedule, start)
                transceiver.write_memory(*xy, base + places[graph, commit, core], data)
                lines.append((base + places[graph, commit, core], len(data)))
            tables[commit] = tuple(lines)
        graphs[graph] = _Loaded(part, memory, tables)
    regions = ((base, base + data_end, True), (base + data_end, base + records, False))
    load = chip_load(image, first, names, base + records, replace(setting, regions=regions), chip=number)
    for address, content in load.writes:
        transceiver.write_memory(*xy, address, content)
    return _Chip(xy, names, graphs, load)


class MonitoredMachine:
    """Chips of a machine whose cores walk through the schedules of a Program."""

    def __init__(self, transceiver: Any, topology: Topology, program: Program) -> None:
        """Loads image, records, schedules, constants and routes, and starts the cores; they wait for a command.

        Raises:
            RunError: the Program has no plan, the machine too few chips or cores, or the cores do not start.
        """
        from spinn_machine import CoreSubsets
        from spinnman.messages.scp.enums import Signal
        from spinnman.model.enums import CPUState, UserRegister

        if not program.chips:
            raise RunError("the program has no plan", "program", "plan it for the machine first")
        self.transceiver, self._signal, self._states = transceiver, Signal, CPUState
        image = load_image()
        count = max(len(parts) for parts in program.chips.values())
        if any(len(parts) != count for parts in program.chips.values()):
            raise RunError("the graphs of the program are planned for different numbers of chips", "program")
        places = nearest(topology, count)
        self.chips = tuple(
            _load(transceiver, image, xy, k, {graph: parts[k] for graph, parts in program.chips.items()}, count)
            for k, xy in enumerate(places)
        )
        if count > 1:
            self._load_routes(topology, places)
        self.subsets = CoreSubsets()
        for each in self.chips:
            for name, record in zip(each.names, each.load.records, strict=True):
                self.subsets.add_processor(*each.xy, name.virtual)
                transceiver.write_user(*each.xy, name.virtual, UserRegister.USER_0, record)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "spindl.aplx"
            file.write_bytes(image.aplx)
            transceiver.execute_flood(self.subsets, str(file), APPLICATION, wait=True)
        self._wait_for(CPUState.READY)
        transceiver.send_signal(APPLICATION, Signal.START)
        self._wait_for(CPUState.PAUSED)
        self._sequence = 1

    def _load_routes(self, topology: Topology, places: list[XY]) -> None:
        from spinn_machine import MulticastRoutingEntry, RoutingEntry

        wanted = exchange_entries(topology, places, FIRST_STREAM)
        for each in self.chips:
            entries = [
                MulticastRoutingEntry(
                    entry.key,
                    entry.mask,
                    RoutingEntry(
                        processor_ids=[each.names[core].physical for core in entry.cores], link_ids=list(entry.links)
                    ),
                )
                for entry in wanted[each.xy]
            ]
            self.transceiver.load_multicast_routes(*each.xy, entries, APPLICATION)

    def _wait_for(self, *states: Any) -> None:
        bad = frozenset({self._states.RUN_TIME_EXCEPTION, self._states.WATCHDOG})
        self.transceiver.wait_for_cores_to_be_in_state(
            self.subsets, APPLICATION, list(states), timeout=30, error_states=bad
        )

    def run(self, graph: str, commit: str) -> None:
        """One step: commands, doorbell, answers. Raises RunError with the cores' errors, or if one does not answer."""
        self._sequence += 1
        command = self._sequence << 8 | COMMANDS["RUN"]
        for each in self.chips:
            for record, (address, size) in zip(each.load.records, each.graphs[graph].schedules[commit], strict=True):
                self._put(each.xy, record, "schedule", address, size)
                self._put(each.xy, record, "command", command)
        self.transceiver.send_signal(APPLICATION, self._signal.USER_0)
        end, pause = monotonic() + _WAIT, 0.001
        for each in self.chips:  # the first core of each, then all of them
            for record in each.load.records:
                while (values := self._get(each.xy, record))["answer"] != command or values["error"]:
                    if values["error"] or monotonic() > end:
                        self._raise()
                    sleep(pause)
                    pause = min(2 * pause, 0.05)

    def _put(self, xy: XY, record: int, field: str, *values: int) -> None:
        data = b"".join(value.to_bytes(4, "little") for value in values)
        self.transceiver.write_memory(*xy, record + _FIELDS[field], data)

    def _get(self, xy: XY, record: int) -> dict[str, int]:
        return CORE.unpack(bytes(self.transceiver.read_memory(*xy, record, CORE.layout.size)))

    def results(self) -> list[tuple[XY, int, CoreResult]]:
        """What each core left of the last step: its chip, its virtual number, its counters and errors."""
        found = []
        for each in self.chips:
            for name, record in zip(each.names, each.load.records, strict=True):
                data = bytes(self.transceiver.read_memory(*each.xy, record, CORE.layout.size))
                text = bytes(self.transceiver.read_memory(*each.xy, CORE.unpack(data)["text"], TEXT_BYTES))
                found.append((each.xy, name.virtual, core_result(data, text, b"")))
        return found

    def _raise(self) -> None:
        lines = [
            f"chip {xy} core {core}: {result.error or 'has not finished'}"
            for xy, core, result in self.results()
            if result.error or not result.finished
        ]
        raise RunError("; ".join(lines[:4]) or "the cores do not answer", "machine")

    def stop(self) -> None:
        """Stops the cores' program and frees its memory."""
        self.transceiver.stop_application(APPLICATION)


class MonitoredSession:
    """See `interface.Session`; the machine starts with the first step. Subclasses say how."""

    def __init__(self, program: Program, state: State) -> None:
        self._program = program
        self._values = dict(state.values)
        self._running: MonitoredMachine | None = None
        self._at: str | None = None  # the graph in whose memory the states are
        self._stopped = False  # a step failed: what the machine holds is not a State

    def connect(self) -> tuple[Any, Topology]:
        """A SpiNNMan transceiver of the running machine, and its chips."""
        raise NotImplementedError

    def _ready(self, graph: str) -> MonitoredMachine:
        if graph not in self._program.chips:
            raise RunError(f"graph '{graph}' has no plan", "program", "plan it for the machine first")
        if self._running is None:
            self._running = MonitoredMachine(*self.connect(), self._program)
        if self._at != graph:
            self._values |= self._states()
            self._write_states(graph, self._values)
            self._at = graph
        return self._running

    def _write_states(self, graph: str, values: Mapping[str, Value]) -> None:
        assert self._running is not None
        for each in self._running.chips:
            chip.write_states(each.graphs[graph].program, each.graphs[graph].memory, values)

    def _states(self) -> dict[str, Value]:
        """The State of the first chip; all hold the same. Raises RunError after a step that failed."""
        if self._stopped:
            raise RunError("the machine stopped in a step", "machine", "go on from the last checkpoint")
        if self._running is None or self._at is None:
            return {}
        loaded = self._running.chips[0].graphs[self._at]
        return chip.read_states(loaded.program, loaded.memory)

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """One step of a graph."""
        machine = self._ready(graph)
        before = self._states() if commit == "none" else None
        loaded = [each.graphs[graph] for each in machine.chips]
        for each in loaded:
            chip.write_inputs(each.program, each.memory, inputs)
        self._stopped = True
        machine.run(graph, "all" if commit == "all" else "sites")
        self._stopped = False
        outputs = chip.joined_outputs(
            [chip.read_outputs(each.program, each.memory) for each in loaded], loaded[0].program
        )
        if before is not None:
            self._write_states(graph, before)
        return outputs

    def results(self) -> list[tuple[XY, int, CoreResult]]:
        """What each core left of the last step; empty before the first."""
        return [] if self._running is None else self._running.results()

    def state(self) -> dict[str, Value]:
        """The present values of all states."""
        return {**self._values, **self._states()}

    def close(self) -> None:
        """Stops the cores. Closing twice is allowed."""
        if self._running is not None:
            if not self._stopped:
                self._values |= self._states()
            self._at, running, self._running = None, self._running, None
            running.stop()
            running.transceiver.close()
