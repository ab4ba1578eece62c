"""What a plan will take: cycles of each phase and core, from the kernels' own cost functions and a model of DMA.

A core's DMA engine works through its queue at the engine's rate; the chip's SDRAM serves all engines together, so that
transfers are slower while many cores load. Constants come from spindl.machine and spindl.program.costs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spindl.machine import CHIP
from spindl.plan.ask import cycles
from spindl.plan.deal import Placed
from spindl.plan.plan import Plan
from spindl.plan.task import Call, Task
from spindl.program import costs
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


def predict(plan: Plan, bandwidth: float = CHIP.sdram_bandwidth.value, slower: float = 1.0) -> tuple[PhaseCost, ...]:
    """The cost of every phase; bandwidth: of SDRAM in bytes/s; slower: factor on the kernels' own cycles."""
    sdram = bandwidth / _CLOCK
    known: dict[tuple[object, ...], int] = {}
    result = []
    for number, phase in enumerate(plan.phases):
        calls = [[call for placed in tasks for call in placed.task.calls] for tasks in phase.cores]
        kernels = [[round(slower * _kernel(call, known)) for call in each] for each in calls]
        usual = [call for each in calls for call in each if call.condition is None]
        read = sum(move.bytes * move.rows for call in usual for move in call.loads)
        written = sum(move.bytes * move.rows for call in usual for move in call.stores)
        busy = sum(1 for each in calls if each)
        walk = 0.0
        for _ in range(3):  # how busy SDRAM is depends on how long the phase takes
            share = min(1.0, (read + written) / sdram / walk) if walk else 1.0
            rate = min(_ENGINE, sdram / max(1.0, 1 + share * (busy - 1)))
            walk = max(
                (
                    _walk(tasks, each, rate, sdram / max(1, busy))
                    for tasks, each in zip(phase.cores, kernels, strict=True)
                ),
                default=0.0,
            )
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


def _walk(tasks: Sequence[Placed], kernels: Sequence[int], rate: float, crowded: float) -> float:
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
            for move in loads:
                engine += move.rows * latency + move.rows * move.bytes / (crowded if number == 0 else rate)
            loaded = engine if loads else 0.0
            now += costs.step(bool(call.kernel) and not skipped, len(loads), len(stores), rows) + block / 4
            now = max(now, loaded, stored[0])
            asked, early = now, True
            now += kernels[number]
            engine = max(engine, now)
            for move in stores:
                engine += move.rows * latency + move.rows * move.bytes / rate
            stored = [stored[1], engine if stores else 0.0]
            number += 1
    return max(now, engine)
