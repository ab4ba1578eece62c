"""Chips' schedules on this computer, with the portable kernels and no timing.

It moves and computes what the cores would, in the order that spindl.program.schedule promises, and at either end of the
freedom which that order leaves: transfers as early, or as late, as they may happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from spindl import _kernels
from spindl.program.core import ERRORS
from spindl.program.kernels import KERNELS
from spindl.program.schedule import Schedule, Step, Transfer
from spindl.run.interface import RunError

_DTCM_END = 0x410000
_NAMES = {kernel.number: kernel.name for kernel in KERNELS.values()}
_STREAMS = frozenset(kernel.number for kernel in KERNELS.values() if not kernel.on_host)
_BLANK = 0xA5
_ARGUMENT = ERRORS["ARGUMENT"][0]


@dataclass(frozen=True)
class WalkError(Exception):
    """A kernel refused its arguments.

    Attributes:
        core, step: where.
        kernel: its name.
        error: its result.
    """

    core: int
    step: int
    kernel: str
    error: int

    def __str__(self) -> str:
        return f"core {self.core}, step {self.step}: kernel {self.kernel} returned {self.error}"


class HostMemory:
    """A chip's SDRAM on the host."""

    def __init__(self, size: int) -> None:
        self.bytes: NDArray[np.uint8] = np.full(size, _BLANK, np.uint8)

    def read(self, address: int, size: int) -> bytes:
        """Some bytes."""
        return self.bytes[address : address + size].tobytes()

    def write(self, address: int, data: bytes) -> None:
        """Changes some bytes."""
        self.bytes[address : address + len(data)] = np.frombuffer(data, np.uint8)


Waiting = Literal["barrier", "stream"]
Network = dict[tuple[int, int], NDArray[np.uint8]]
"""(stream, block) -> its words."""


class _Core:
    """One core: its DTCM, its queue of transfers, its place in the schedule."""

    def __init__(self, number: int, schedule: Schedule, sdram: HostMemory, network: Network, late: bool) -> None:
        self.number, self.steps, self.sdram, self.late = number, schedule.steps, sdram, late
        self.network = network
        self.listening: dict[int, tuple[int, int, int, int]] = {}
        self.memory: NDArray[np.uint8] = np.zeros(_DTCM_END, np.uint8)
        self.memory[0x400000:] = _BLANK
        t = schedule.tables
        self.exponents: Any = self.memory[t.exponents : t.exponents + 2 * t.exponent_count].view(np.int16)
        self.sites = self.memory[t.sites : t.sites + 8 * t.site_count]
        self.queue: deque[tuple[Transfer, bool]] = deque()
        self.asked = self.done = 0
        self.at = 0
        self.redone = 0

    def _ask(self, transfers: Sequence[Transfer], to_dtcm: bool) -> int:
        self.queue += [(transfer, to_dtcm) for transfer in transfers]
        self.asked += len(transfers)
        if not self.late:
            self._drain(self.asked)
        return self.asked

    def _drain(self, until: int) -> None:
        while self.done < until:
            transfer, to_dtcm = self.queue.popleft()
            self.done += 1
            for row in range(transfer.rows):
                s = transfer.sdram + row * transfer.sdram_pitch
                d = transfer.dtcm + row * transfer.dtcm_pitch
                if to_dtcm:
                    self.memory[d : d + transfer.bytes] = self.sdram.bytes[s : s + transfer.bytes]
                else:
                    self.sdram.bytes[s : s + transfer.bytes] = self.memory[d : d + transfer.bytes]

    def walk(self) -> Generator[Waiting, None, None]:
        """All steps; yields where the core waits for others."""
        needed = [0, 0]  # transfers that must be done before the next kernel, and before the one after it
        loaded: int | None = None
        for number, step in enumerate(self.steps):
            self.at = number
            if step.barrier_before:
                self._drain(self.asked)
                yield "barrier"
            skipped = step.condition is not None and not self.memory[step.condition : step.condition + 4].any()
            if loaded is None:
                loaded = self.asked if skipped else self._ask(step.loads, True)
            # the kernel waits for its loads and for the stores of the step before the last
            self._drain(max(loaded, needed[0]))
            following = self.steps[number + 1] if number + 1 < len(self.steps) else None
            loaded = None
            if following is not None and not step.barrier_after:
                early = not (following.barrier_before or following.ordered or following.condition is not None)
                loaded = self._ask(following.loads, True) if early else None
            if not skipped and step.kernel:
                while not self._kernel(step):
                    yield "stream"
            stored = self.asked if skipped else self._ask(step.stores, False)
            needed = [needed[1], stored]
            if step.barrier_after:
                self._drain(self.asked)
                yield "barrier"
        self._drain(self.asked)

    def _kernel(self, step: Step) -> bool:
        """Calls a kernel; False if it has to wait for a stream."""
        if step.kernel in _STREAMS:
            return self._stream(_NAMES[step.kernel], step.words)
        words = np.array(step.words, "<u4").tobytes()
        error, redone = _kernels.run(step.kernel, words, self.memory, self.exponents, self.sites)
        self.redone += redone
        if error:
            raise WalkError(self.number, self.at, _NAMES[step.kernel], error)
        return True

    def _stream(self, name: str, words: Sequence[int]) -> bool:
        """send, listen, receive: a block lies in the network until the walk ends."""
        values = dict(zip((field.name for field in KERNELS[name].arguments), words, strict=True))
        if name == "send":
            block = self.memory[values["x"] : values["x"] + 4 * values["words"]].copy()
            self.network[values["stream"], values["block"]] = block
        elif name == "listen":
            if values["slot"] in self.listening:
                raise WalkError(self.number, self.at, name, _ARGUMENT)
            self.listening[values["slot"]] = values["stream"], values["block"], values["y"], values["words"]
        elif values["slot"] not in self.listening:
            raise WalkError(self.number, self.at, name, _ARGUMENT)
        else:
            stream, number, y, count = self.listening[values["slot"]]
            if (stream, number) not in self.network:
                return False
            del self.listening[values["slot"]]
            found = self.network[stream, number]
            if found.size != 4 * count:
                raise WalkError(self.number, self.at, name, found.size)
            self.memory[y + 4 : y + 4 + found.size] = found
        return True


def walk(schedules: Sequence[Schedule], sdram: HostMemory, *, late: bool = False, backwards: bool = False) -> None:
    """One step on all cores of a chip; see `walk_chips`."""
    walk_chips([(schedules, sdram)], late=late, backwards=backwards)


def walk_chips(
    chips: Sequence[tuple[Sequence[Schedule], HostMemory]], *, late: bool = False, backwards: bool = False
) -> None:
    """One step on all cores of some chips.

    Args:
        chips: of each its cores' schedules, and the SDRAM that their transfers address.
        late: transfers happen as late as they may; else as early.
        backwards: between two barriers the last core goes first.

    Raises:
        WalkError: a kernel refused its arguments.
        RunError: cores wait for something that does not come.
    """
    network: Network = {}
    walks: list[list[Generator[Waiting, None, None]]] = []
    for schedules, sdram in chips:
        made = [_Core(number, schedule, sdram, network, late) for number, schedule in enumerate(schedules)]
        walks.append([core.walk() for core in made])
    state: list[list[Waiting | None]] = [["stream"] * len(cores) for cores in walks]
    while any(each is not None for cores in state for each in cores):
        before, moved = [list(cores) for cores in state], len(network)
        for chip, cores in enumerate(walks):
            if all(each in ("barrier", None) for each in state[chip]):
                if None in state[chip] and "barrier" in state[chip]:
                    raise RunError("cores meet different numbers of barriers", f"chip {chip}")
                state[chip] = ["stream" if each == "barrier" else None for each in state[chip]]
                before[chip] = []
            order = range(len(cores))
            for core in reversed(order) if backwards else order:
                if state[chip][core] == "stream":
                    state[chip][core] = next(cores[core], None)
        if state == before and len(network) == moved:
            raise RunError("cores wait for blocks that nobody sends", "schedule")
