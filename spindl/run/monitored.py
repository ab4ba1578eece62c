"""A machine that SC&MP runs, through the unmodified SpiNNMan: what the executors `emu` and `board` share.

One chip computes. Its SDRAM holds, in one block: records and schedules of the cores, and the data of each graph of the
Program. A step is: inputs written, each core's command word, the doorbell (a signal), the answers, outputs read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from spindl.graph.operations import Value
from spindl.program import Program, State
from spindl.program.core import COMMANDS, CORE, STEP_COUNTERS
from spindl.program.image import ROOT, Image, build_image, load_image
from spindl.program.kernels import KERNELS
from spindl.program.load import TEXT_BYTES, ChipLoad, CoreName, CoreResult, Setting, chip_load, core_result
from spindl.program.machine import ChipProgram, relocated
from spindl.program.schedule import encode
from spindl.program.toolchain import ImageError
from spindl.run import chip
from spindl.run.interface import Commit, RunError

APPLICATION = 33
"""SC&MP's number of our program."""
_PHYSICAL_NUMBERS = 0xF5007FA8  # sv: virtual -> physical core
_ALIGN = 64
_FIELDS = {field.name: 4 * place for place, field in enumerate(CORE.fields)}
_WAIT = 120.0  # wall-clock seconds that a step may take


def _image_for(program: Program) -> Image:
    """The image of all kernels; in a clone whose kernels do not all fit a core, one of those that the program calls."""
    try:
        return load_image()
    except ImageError:
        if not (ROOT / "kernels" / "rt").is_dir():
            raise
        numbers = {
            step.kernel
            for part in program.chips.values()
            for schedules in part.schedules.values()
            for schedule in schedules
            for step in schedule.steps
        }
        names = {name for name, kernel in KERNELS.items() if kernel.number in numbers}
        return build_image(ROOT / "kernels", ROOT / "build" / "arm", names)


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
    """A graph on the chip: its program, its memory, and per commit each core's (schedule address, bytes)."""

    program: ChipProgram
    memory: ChipMemory
    schedules: Mapping[str, tuple[tuple[int, int], ...]]


class MonitoredChip:
    """One chip of a machine whose cores walk through the schedules of a Program."""

    def __init__(self, transceiver: Any, program: Program, xy: tuple[int, int] = (0, 0)) -> None:
        """Loads image, records, schedules and constants, and starts the cores; they wait for the first command.

        Raises:
            RunError: the Program has no plan, the chip too few cores, or the cores do not start.
        """
        from spinn_machine import CoreSubsets
        from spinnman.messages.scp.enums import Signal
        from spinnman.model.enums import CPUState, UserRegister

        if not program.chips:
            raise RunError("the program has no plan", "program", "plan it for the machine first")
        self.transceiver, self.xy, self._signal, self._states = transceiver, xy, Signal, CPUState
        counts = {len(each.schedules["all"]) for each in program.chips.values()}
        if len(counts) != 1:
            raise RunError("the graphs of the program are planned for different numbers of cores", "program")
        self.image = _image_for(program)
        cores = range(1, counts.pop() + 1)
        self.subsets = CoreSubsets()
        for core in cores:
            self.subsets.add_processor(*xy, core)
        table = bytes(transceiver.read_memory(*xy, _PHYSICAL_NUMBERS, 20))
        names = [CoreName(core, table[core]) for core in cores]
        if any(name.physical == 0xFF for name in names):
            raise RunError(f"chip {xy} has fewer than {len(names)} working cores", "machine", "plan for fewer cores")
        self._load(program, names)
        for name, record in zip(names, self.load.records, strict=True):
            transceiver.write_user(*xy, name.virtual, UserRegister.USER_0, record)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "spindl.aplx"
            file.write_bytes(self.image.aplx)
            transceiver.execute_flood(self.subsets, str(file), APPLICATION, wait=True)
        self._wait_for(CPUState.READY)
        transceiver.send_signal(APPLICATION, Signal.START)
        self._wait_for(CPUState.PAUSED)
        self._sequence = 1

    def _load(self, program: Program, names: list[CoreName]) -> None:
        """Everything into one block of SDRAM: data of each graph, then schedules, then records."""
        at, offsets = 0, {}
        for graph, part in program.chips.items():
            offsets[graph] = at
            at += -(-part.bytes // _ALIGN) * _ALIGN
        data_end = at
        sizes = {
            (graph, commit, core): len(encode(self._stamped(schedule)))
            for graph, part in program.chips.items()
            for commit, schedules in part.schedules.items()
            for core, schedule in enumerate(schedules)
        }
        places = {}
        for key, size in sizes.items():
            places[key] = at
            at += -(-size // _ALIGN) * _ALIGN
        records = at
        largest = max(program.chips.values(), key=lambda part: sum(len(s.steps) for s in part.schedules["all"]))
        room = sum(len(encode(self._stamped(s))) + 64 * len(s.steps) + 4096 for s in largest.schedules["all"])
        base = self.transceiver.malloc_sdram(*self.xy, records + room, APPLICATION, 1)
        base += -base % _ALIGN
        self.loaded: dict[str, _Loaded] = {}
        for graph, part in program.chips.items():
            start = base + offsets[graph]
            memory = ChipMemory(self.transceiver, self.xy, start)
            chip.write_contents(part, memory)
            tables: dict[str, tuple[tuple[int, int], ...]] = {}
            for commit, schedules in part.schedules.items():
                lines = []
                for core, schedule in enumerate(schedules):
                    data = encode(self._stamped(relocated(schedule, start)))
                    address = base + places[graph, commit, core]
                    self.transceiver.write_memory(*self.xy, address, data)
                    lines.append((address, len(data)))
                tables[commit] = tuple(lines)
            self.loaded[graph] = _Loaded(part, memory, tables)
        setting = Setting(
            ((base, base + data_end, True), (base + data_end, base + records, False)), command="NONE", time_out=5000
        )
        first = [encode(self._stamped(schedule)) for schedule in largest.schedules["all"]]
        self.load: ChipLoad = chip_load(self.image, first, names, base + records, setting)
        assert self.load.end <= base + records + room
        for address, content in self.load.writes:
            self.transceiver.write_memory(*self.xy, address, content)

    def _stamped(self, schedule: Any) -> Any:
        return replace(schedule, image=self.image.version)

    def _wait_for(self, *states: Any) -> None:
        bad = frozenset({self._states.RUN_TIME_EXCEPTION, self._states.WATCHDOG})
        self.transceiver.wait_for_cores_to_be_in_state(
            self.subsets, APPLICATION, list(states), timeout=30, error_states=bad
        )

    def run(self, graph: str, commit: str) -> None:
        """One step: command, doorbell, answers. Raises RunError with the cores' errors, or when none answers."""
        self._sequence += 1
        command = self._sequence << 8 | COMMANDS["RUN"]
        for record, (address, size) in zip(self.load.records, self.loaded[graph].schedules[commit], strict=True):
            self._put(record, "schedule", address, size)
            self._put(record, "command", command)
        self.transceiver.send_signal(APPLICATION, self._signal.USER_0)
        end, pause = monotonic() + _WAIT, 0.001
        while True:
            records = [self._get(record) for record in self.load.records[:1]]
            if any(each["error"] for each in records):
                self._raise()
            if all(each["answer"] == command for each in records):
                break
            if monotonic() > end:
                self._raise()
            sleep(pause)
            pause = min(2 * pause, 0.05)
        for record in self.load.records:
            each = self._get(record)
            if each["error"] or each["answer"] != command:
                self._raise()

    def _put(self, record: int, field: str, *values: int) -> None:
        data = b"".join(value.to_bytes(4, "little") for value in values)
        self.transceiver.write_memory(*self.xy, record + _FIELDS[field], data)

    def _get(self, record: int) -> dict[str, int]:
        return CORE.unpack(bytes(self.transceiver.read_memory(*self.xy, record, CORE.layout.size)))

    def results(self) -> list[CoreResult]:
        """What each core left of the last step."""
        found = []
        for record, (counters, steps) in zip(self.load.records, self.load.step_counters, strict=True):
            data = bytes(self.transceiver.read_memory(*self.xy, record, CORE.layout.size))
            text = bytes(self.transceiver.read_memory(*self.xy, CORE.unpack(data)["text"], TEXT_BYTES))
            size = steps * STEP_COUNTERS.layout.size
            table = bytes(self.transceiver.read_memory(*self.xy, counters, size)) if size else b""
            found.append(core_result(data, text, table))
        return found

    def _raise(self) -> None:
        lines = [
            f"core {core}: {result.error}" if result.error else f"core {core} has not finished"
            for core, result in enumerate(self.results())
            if result.error or not result.finished
        ]
        raise RunError("; ".join(lines[:4]) or "the cores do not answer", f"chip {self.xy}")

    def stop(self) -> None:
        """Stops the cores' program and frees its memory."""
        self.transceiver.stop_application(APPLICATION)


class MonitoredSession:
    """See `interface.Session`; the machine starts with the first step. Subclasses say how."""

    def __init__(self, program: Program, state: State) -> None:
        self._program = program
        self._values = dict(state.values)
        self._chip: MonitoredChip | None = None
        self._at: str | None = None  # the graph in whose memory the states are

    def connect(self) -> Any:
        """A SpiNNMan transceiver of the running machine."""
        raise NotImplementedError

    def _ready(self, graph: str) -> MonitoredChip:
        if graph not in self._program.chips:
            raise RunError(f"graph '{graph}' has no plan", "program", "plan it for the machine first")
        if self._chip is None:
            self._chip = MonitoredChip(self.connect(), self._program)
        if self._at != graph:
            self._values |= self._states()
            loaded = self._chip.loaded[graph]
            chip.write_states(loaded.program, loaded.memory, self._values)
            self._at = graph
        return self._chip

    def _states(self) -> dict[str, Value]:
        if self._chip is None or self._at is None:
            return {}
        loaded = self._chip.loaded[self._at]
        return chip.read_states(loaded.program, loaded.memory)

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """One step of a graph."""
        machine = self._ready(graph)
        loaded = machine.loaded[graph]
        before = self._states() if commit == "none" else None
        chip.write_inputs(loaded.program, loaded.memory, inputs)
        machine.run(graph, "all" if commit == "all" else "sites")
        outputs = chip.read_outputs(loaded.program, loaded.memory)
        if before is not None:
            chip.write_states(loaded.program, loaded.memory, before)
        return outputs

    def state(self) -> dict[str, Value]:
        """The present values of all states."""
        return {**self._values, **self._states()}

    def close(self) -> None:
        """Stops the cores. Closing twice is allowed."""
        if self._chip is not None:
            self._values |= self._states()
            self._at = None
            self._chip.stop()
            self._chip.transceiver.close()
            self._chip = None
