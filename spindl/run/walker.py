"""The executor "walker": a chip's schedules on this computer, with the portable kernels and no timing.

It moves and computes what the cores would, in the order that spindl.program.schedule promises, and at either end of the
freedom which that order leaves: transfers as early, or as late, as they may happen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl import _kernels
from spindl.program.kernels import KERNELS
from spindl.program.schedule import Schedule, Step, Transfer
from spindl.run.interface import RunError

_DTCM_END = 0x410000
_NAMES = {kernel.number: kernel.name for kernel in KERNELS.values()}
_BLANK = 0xA5


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


class _Core:
    """One core: its DTCM, its queue of transfers, its place in the schedule."""

    def __init__(self, number: int, schedule: Schedule, sdram: HostMemory, late: bool) -> None:
        self.number, self.steps, self.sdram, self.late = number, schedule.steps, sdram, late
        self.memory: NDArray[np.uint8] = np.zeros(_DTCM_END, np.uint8)
        self.memory[0x400000:] = _BLANK
        t = schedule.tables
        self.exponents: Any = self.memory[t.exponents : t.exponents + 2 * t.exponent_count].view(np.int16)
        self.sites = self.memory[t.sites : t.sites + 8 * t.site_count]
        self.queue: deque[tuple[Transfer, bool]] = deque()
        self.asked = self.done = 0
        self.at = 0
        self.redone = 0
        self.needed = [0, 0]  # transfers that must be done before the next kernel, and before the one after it

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

    def _is_early(self, step: Step) -> bool:
        return not (step.barrier_before or step.ordered or step.condition is not None)

    def walk_to_barrier(self, first: bool) -> None:
        """Steps until the next barrier, or the end. `first`: begin after a barrier_before that has been met."""
        loaded: int | None = None
        while self.at < len(self.steps):
            step = self.steps[self.at]
            if step.barrier_before and not first:
                self._drain(self.asked)
                return
            first = False
            skipped = False
            if loaded is None:
                skipped = step.condition is not None and not self.memory[step.condition : step.condition + 4].any()
                loaded = self.asked if skipped else self._ask(step.loads, True)
            following = self.steps[self.at + 1] if self.at + 1 < len(self.steps) else None
            # the kernel waits for its loads and for the stores of the step before the last
            self._drain(max(loaded, self.needed[0]))
            ahead = None
            if following is not None and self._is_early(following) and not step.barrier_after:
                ahead = self._ask(following.loads, True)
            if not skipped and step.kernel:
                self._kernel(step)
            stored = self.asked if skipped else self._ask(step.stores, False)
            self.needed = [self.needed[1], stored]
            loaded = ahead
            self.at += 1
            if step.barrier_after:
                self._drain(self.asked)
                return
        self._drain(self.asked)

    def _kernel(self, step: Step) -> None:
        words = np.array(step.words, "<u4").tobytes()
        error, redone = _kernels.run(step.kernel, words, self.memory, self.exponents, self.sites)
        self.redone += redone
        if error:
            raise WalkError(self.number, self.at, _NAMES[step.kernel], error)


def walk(schedules: Sequence[Schedule], sdram: HostMemory, *, late: bool = False, backwards: bool = False) -> None:
    """One step on all cores of a chip.

    Args:
        schedules: one of each core; transfers address `sdram`.
        sdram: the chip's memory.
        late: transfers happen as late as they may; else as early.
        backwards: between two barriers the last core goes first.

    Raises:
        WalkError: a kernel refused its arguments.
        RunError: cores meet different numbers of barriers.
    """
    cores = [_Core(number, schedule, sdram, late) for number, schedule in enumerate(schedules)]
    barriers = {sum(s.barrier_before + s.barrier_after for s in core.steps) for core in cores}
    if len(barriers) > 1:
        raise RunError(f"cores meet {sorted(barriers)} barriers", "schedule")
    for turn in range(barriers.pop() + 1):
        for core in reversed(cores) if backwards else cores:
            core.walk_to_barrier(turn > 0)
