"""When cores compute and wait, predicted from each call's cycles and transfers.

The order is that of spindl.program.schedule: one queue of transfers a core; the next call's loads are asked for while a
kernel runs, unless they must wait; a kernel starts when its loads and the stores of the call before the last are done.
All cores of a chip share the bandwidth of its SDRAM; each core's DMA engine has a limit of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from spindl.machine import CHIP
from spindl.report.model import Slice, Stage, Transfer, Work


@dataclass(frozen=True)
class Piece:
    """A transfer to come: its name, bytes, rows."""

    name: str
    bytes: int
    rows: int


@dataclass(frozen=True)
class Job:
    """One call of a kernel.

    Attributes:
        name: of the kernel.
        layer, stage, work: what it is part of, and its kind.
        cycles: of the kernel.
        overhead: cycles of the runtime for the call, before it waits for anything.
        loads, stores: transfers before and after it.
        ordered: whether its loads wait for all that is before them.
    """

    name: str
    layer: str
    stage: Stage
    work: Work
    cycles: float
    overhead: float
    loads: tuple[Piece, ...]
    stores: tuple[Piece, ...]
    ordered: bool


@dataclass(frozen=True)
class Rates:
    """Bytes a cycle of one DMA engine and of the SDRAM; cycles before each row of a transfer."""

    engine: float
    sdram: float
    row: float


def chip_rates() -> Rates:
    """Of a SpiNNaker chip, from its facts."""
    clock = CHIP.clock.value
    return Rates(CHIP.dma_bandwidth.value / clock, CHIP.sdram_bandwidth.value / clock, CHIP.sdram_latency.value)


_Asked = tuple[Piece, bool]
_Request = tuple[str, float]


class _Core:
    """A core's slices and transfers so far, and its queue."""

    def __init__(self, jobs: Sequence[Job], start: float) -> None:
        self.slices: list[Slice] = []
        self.transfers: list[Transfer] = []
        self.queue: deque[_Asked] = deque()
        self.asked = self.done = 0
        self.waits_for: int | None = None
        self.began = self.now = start
        self.program = self._walk(jobs)

    def _ask(self, pieces: Sequence[Piece], to_sdram: bool) -> int:
        self.queue += [(piece, to_sdram) for piece in pieces]
        self.asked += len(pieces)
        return self.asked

    def _walk(self, jobs: Sequence[Job]) -> Generator[_Request, None, None]:
        """Yields ("done", count of transfers) to wait for, or ("kernel", cycles)."""
        needed, loaded = [0, 0], None
        for number, job in enumerate(jobs):
            before = self.now
            yield "kernel", job.overhead
            self.slices.append(Slice(before, self.now, "runtime", "runtime", job.layer, job.stage))
            before = self.now
            if loaded is None:
                if job.ordered:
                    yield "done", self.asked
                loaded = self._ask(job.loads, False)
            yield "done", max(loaded, needed[0])
            if self.now > before:
                self.slices.append(Slice(before, self.now, "wait_dma", "waiting for DMA", job.layer, job.stage))
            loaded = None
            if number + 1 < len(jobs) and not jobs[number + 1].ordered:
                loaded = self._ask(jobs[number + 1].loads, False)
            if job.cycles:
                before = self.now
                yield "kernel", job.cycles
                self.slices.append(Slice(before, self.now, job.work, job.name, job.layer, job.stage))
            needed = [needed[1], self._ask(job.stores, True)]
        before = self.now
        yield "done", self.asked
        if self.now > before:
            last = jobs[-1]
            self.slices.append(Slice(before, self.now, "wait_dma", "waiting for DMA", last.layer, last.stage))


def run_phase(cores: Sequence[Sequence[Job]], start: float, rates: Rates) -> list[tuple[list[Slice], list[Transfer]]]:
    """What the cores of a chip do between two barriers.

    Args:
        cores: the calls of each core, in order.
        start: cycle of the barrier before.
        rates: of the chip.

    Returns:
        Slices and transfers of each core, in order of time. Waiting at the next barrier is not among them.
    """
    states = [_Core(jobs, start) for jobs in cores]
    kernels: list[tuple[float, int]] = []
    latencies: list[tuple[float, int]] = []
    moving: list[tuple[float, int]] = []  # (served bytes at which the transfer of a core ends, core)
    now, served = start, 0.0

    def next_transfer(core: int) -> None:
        state = states[core]
        if state.queue:
            state.began = now
            heappush(latencies, (now + rates.row * state.queue[0][0].rows, core))

    def resume(core: int) -> None:
        """Let a core go on until it waits."""
        state = states[core]
        state.now = now
        idle = not state.queue
        for kind, amount in state.program:
            if kind == "kernel":
                heappush(kernels, (now + amount, core))
                break
            if state.done < amount:
                state.waits_for = int(amount)
                break
        if idle:
            next_transfer(core)

    for core, jobs in enumerate(cores):
        if jobs:
            resume(core)
    while kernels or latencies or moving:
        rate = min(rates.engine, rates.sdram / len(moving)) if moving else 0.0
        times = [heap[0][0] for heap in (kernels, latencies) if heap]
        if moving:
            times.append(now + max(0.0, moving[0][0] - served) / rate)
        then = min(times)
        served += (then - now) * rate
        now = then
        if kernels and kernels[0][0] <= now:
            resume(heappop(kernels)[1])
        elif latencies and latencies[0][0] <= now:
            core = heappop(latencies)[1]
            heappush(moving, (served + states[core].queue[0][0].bytes, core))
        else:
            core = heappop(moving)[1]
            state = states[core]
            piece, to_sdram = state.queue.popleft()
            state.done += 1
            state.transfers.append(Transfer(state.began, now, piece.name, piece.bytes, to_sdram))
            next_transfer(core)
            if state.waits_for is not None and state.done >= state.waits_for:
                state.waits_for = None
                resume(core)
    return [(state.slices, state.transfers) for state in states]
