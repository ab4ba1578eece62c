"""What a plan will take: cycles of each phase and core, from the kernels' own cost functions and a model of DMA.

A core's DMA engine works through its queue at the engine's rate; the chip's SDRAM serves all engines together, so that
transfers are slower while many cores load. Constants come from spindl.machine and spindl.program.costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from spindl.machine import CHIP
from spindl.plan.ask import cycles
from spindl.plan.deal import Placed
from spindl.plan.plan import Phase, Plan
from spindl.plan.task import Call, Task
from spindl.program import costs
from spindl.program.overlays import overlay_of
from spindl.program.schedule import STEP, TRANSFER

_CLOCK = CHIP.clock.value
_ENGINE = CHIP.dma_bandwidth.value / _CLOCK
"""Bytes per cycle of one core's DMA engine."""


@dataclass(frozen=True)
class PhaseCost:
    """What one phase takes.

    Attributes:
        name: of the phase.
        cycles: until the last core arrives at its end, barrier included.
        kernel: cycles of kernels, of the core with the most.
        read, written: bytes of SDRAM, of all cores.
        nodes: kernel cycles by node of the graph, of all cores.
    """

    name: str
    cycles: int
    kernel: int
    read: int
    written: int
    nodes: Mapping[int, int]


Activity = Literal["runtime", "wait", "kernel", "load", "store", "overlay"]
"""What a span of time goes to: the core's first three, or a transfer of its DMA engine; overlay: a kernel's code."""


@dataclass(frozen=True)
class Span:
    """Something that a core (or its DMA engine) does from `start` to `end`, in cycles since its phase began.

    Attributes:
        activity: what.
        placed, call: the task and the call that it is for.
        move: number of the move among the call's loads or stores, for transfers.
    """

    activity: Activity
    start: float
    end: float
    placed: Placed
    call: Call
    move: int = 0


_Record = Callable[[Span], None]


def _unrecorded(span: Span) -> None:
    """A prediction needs no spans."""


def time_line(plan: Plan) -> tuple[tuple[tuple[Span, ...], ...], ...]:
    """What each core does in each phase, in the order of time: the same walk that `predict` sums up."""
    known: dict[tuple[object, ...], int] = {}
    result = []
    there = [0] * plan.machine.cores
    for phase in plan.phases:
        calls = [[call for placed in tasks for call in placed.task.calls] for tasks in phase.cores]
        kernels = [[_kernel(call, known) for call in each] for each in calls]
        brings = [_brings(each, there, core) for core, each in enumerate(calls)]
        _, rate, crowded = _rates(phase, kernels, brings)
        cores = []
        for tasks, each, codes in zip(phase.cores, kernels, brings, strict=True):
            spans: list[Span] = []
            _walk(tasks, each, codes, rate, crowded, spans.append)
            cores.append(tuple(spans))
        result.append(tuple(cores))
    return tuple(result)


def _rates(
    phase: Phase,
    kernels: Sequence[Sequence[int]],
    brings: Sequence[Sequence[bool]],
    sdram: float = CHIP.sdram_bandwidth.value / _CLOCK,
) -> tuple[float, float, float]:
    """(cycles of the phase, bytes per cycle of an engine, the same while all cores load)."""
    calls = [[call for placed in tasks for call in placed.task.calls] for tasks in phase.cores]
    usual = [call for each in calls for call in each if call.condition is None]
    moved = sum(move.bytes * move.rows for call in usual for move in (*call.loads, *call.stores))
    busy = max(1, sum(1 for each in calls if each))
    crowded = sdram / busy
    walk, rate = 0.0, crowded
    for _ in range(3):  # how busy SDRAM is depends on how long the phase takes
        others = min(1.0, moved / sdram / walk) * (busy - 1) / busy if walk else 1.0
        rate = min(_ENGINE, max(crowded, sdram * (1 - others)))
        walk = max(
            (_walk(*core, rate, crowded) for core in zip(phase.cores, kernels, brings, strict=True)), default=0.0
        )
    return walk, rate, crowded


def predict(plan: Plan, bandwidth: float = CHIP.sdram_bandwidth.value, slower: float = 1.0) -> tuple[PhaseCost, ...]:
    """The cost of every phase; bandwidth: of SDRAM in bytes/s; slower: factor on the kernels' own cycles."""
    known: dict[tuple[object, ...], int] = {}
    result = []
    there = [0] * plan.machine.cores  # the overlay in each core's window
    for number, phase in enumerate(plan.phases):
        calls = [[call for placed in tasks for call in placed.task.calls] for tasks in phase.cores]
        kernels = [[round(slower * _kernel(call, known)) for call in each] for each in calls]
        brings = [_brings(each, there, core) for core, each in enumerate(calls)]
        usual = [call for each in calls for call in each if call.condition is None]
        read = sum(move.bytes * move.rows for call in usual for move in call.loads)
        written = sum(move.bytes * move.rows for call in usual for move in call.stores)
        walk, _, _ = _rates(phase, kernels, brings, bandwidth / _CLOCK)
        barrier = costs.barrier(plan.machine.cores) if number else 0
        nodes: dict[int, int] = {}
        for each, times in zip(calls, kernels, strict=True):
            for call, time in zip(each, times, strict=True):
                nodes[call.node] = nodes.get(call.node, 0) + time
        most = max((sum(each) for each in kernels), default=0)
        result.append(PhaseCost(phase.name, round(walk) + barrier, most, read, written, nodes))
    return tuple(result)


def weighed(task: Task, known: dict[tuple[object, ...], int]) -> Task:
    """The task with its cycles as the kernels and the runtime declare them, waiting for SDRAM aside."""
    cost = 0
    for call in task.calls:
        rows = sum(move.rows for move in (*call.loads, *call.stores))
        cost += _kernel(call, known) + costs.step(bool(call.kernel), len(call.loads), len(call.stores), rows)
    return replace(task, cost=cost)


def total_cycles(phases: Sequence[PhaseCost]) -> int:
    """Cycles of the whole step."""
    return sum(phase.cycles for phase in phases)


def _kernel(call: Call, known: dict[tuple[object, ...], int]) -> int:
    if not call.kernel or call.condition is not None:  # conditional calls are for rare events
        return 0
    key = (call.kernel, *((name, v if isinstance(v, int) else v.offset % 8) for name, v in call.arguments.items()))
    if key not in known:
        known[key] = cycles(call.kernel, call.arguments)
    return known[key]


def _brings(calls: Sequence[Call], there: list[int], core: int) -> list[bool]:
    """Which calls have to bring their kernel's code into the core's window; `there` is kept up to date."""
    result = []
    for call in calls:
        number = overlay_of(call.kernel) if call.condition is None else 0
        result.append(number not in (0, there[core]))
        there[core] = number or there[core]
    return result


def _walk(
    tasks: Sequence[Placed],
    kernels: Sequence[int],
    brings: Sequence[bool],
    rate: float,
    crowded: float,
    record: _Record = _unrecorded,
) -> float:
    """Cycles of one core for one phase; the first loads come while all cores load (`crowded`)."""
    now, engine, asked = 0.0, 0.0, 0.0
    stored = [0.0, 0.0]  # when the stores of the last two steps are done
    number, early = 0, False
    latency = CHIP.sdram_latency.value
    for placed in tasks:
        for place, call in enumerate(placed.task.calls):
            skipped = call.condition is not None
            loads = () if skipped else call.loads
            stores = () if skipped else call.stores
            rows = sum(move.rows for move in (*loads, *stores))
            ordered = number == 0 or (place == 0 and placed.ordered) or skipped
            block = STEP.layout.size + TRANSFER.layout.size * (len(call.loads) + len(call.stores))
            begun = now if ordered or not early else asked
            engine = max(engine, begun)
            if brings[number]:
                start = engine
                engine += latency + costs.OVERLAY_BYTES / (rate if number else min(crowded, _ENGINE))
                record(Span("overlay", start, engine, placed, call))
            for k, move in enumerate(loads):
                start = engine
                engine += move.rows * latency + move.rows * move.bytes / (crowded if number == 0 else rate)
                record(Span("load", start, engine, placed, call, k))
            loaded = engine if loads or brings[number] else 0.0
            start = now
            now += costs.step(bool(call.kernel) and not skipped, len(loads), len(stores), rows) + block / 4
            record(Span("runtime", start, now, placed, call))
            start = now
            now = max(now, loaded, stored[0])
            record(Span("wait", start, now, placed, call))
            asked, early = now, True
            start = now
            now += kernels[number]
            record(Span("kernel", start, now, placed, call))
            engine = max(engine, now)
            for k, move in enumerate(stores):
                start = engine
                engine += move.rows * latency + move.rows * move.bytes / rate
                record(Span("store", start, engine, placed, call, k))
            stored = [stored[1], engine if stores else 0.0]
            number += 1
            if engine > now and placed is tasks[-1] and call is placed.task.calls[-1]:
                record(Span("wait", now, engine, placed, call))
    return max(now, engine)
