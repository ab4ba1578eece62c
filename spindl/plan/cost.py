"""What a plan will take: cycles, bytes and packets of each phase and core, from the kernels' own cost functions and a
walk through the schedules (`spindl.plan.walk`). Constants come from spindl.machine and spindl.program.costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spindl.graph.products import total_products
from spindl.machine import CHIP
from spindl.machine.energy import POWER, idle_watts
from spindl.plan.ask import cycles
from spindl.plan.deal import Placed
from spindl.plan.pace import STREAMS, stream_cycles
from spindl.plan.plan import Plan
from spindl.plan.task import Call, Task
from spindl.plan.walk import (
    BEGIN,
    CODE,
    CODE_END,
    DMA,
    DMA_END,
    END,
    KERNEL,
    KERNEL_END,
    MEET,
    MEET_END,
    CoreStep,
    Walk,
    core_steps,
    step_table,
    walk,
)
from spindl.program import costs


@dataclass(frozen=True)
class PhaseCost:
    """What one phase takes.

    Attributes:
        name: of the phase.
        cycles: from the end of the phase before, when its last core was done, to the end of this one.
        kernel: cycles of kernels, of the core with the most.
        read, written: bytes of SDRAM, of all cores; schedules and code are not in them.
        packets: sent to other chips, acknowledgements included.
        nodes: kernel cycles by node of the graph, of all cores.
    """

    name: str
    cycles: int
    kernel: int
    read: int
    written: int
    packets: int
    nodes: Mapping[int, int]


Activity = Literal["runtime", "wait", "barrier", "kernel", "load", "store", "overlay"]
"""What a span of time goes to: the core's first four, or a transfer of its DMA engine; overlay: a kernel's code."""


@dataclass(frozen=True)
class Span:
    """Something that a core (or its DMA engine) does from `start` to `end`, in cycles since the step began.

    Attributes:
        activity: what.
        placed, call: the task and the call that it is for; None: the core only meets the others.
        move: number of the move among the call's loads or stores, for transfers.
    """

    activity: Activity
    start: float
    end: float
    placed: Placed | None
    call: Call | None
    move: int = 0


@dataclass(frozen=True)
class Forecast:
    """A plan's step as the planner foresees it: what each phase takes, and when each core does what."""

    phases: tuple[PhaseCost, ...]
    walk: Walk


def forecast(
    plan: Plan,
    bandwidth: float = CHIP.sdram_bandwidth.value,
    slower: float = 1.0,
    counted: bool = False,
    first: bool = False,
) -> Forecast:
    """The cost of every phase.

    Args:
        plan: of one chip; the others are taken to do the same at the same time.
        bandwidth: of SDRAM in bytes/s.
        slower: factor on the kernels' own cycles.
        counted: the cores write step counters.
        first: the cores meet their schedules for the first time, and check them.
    """
    return next(forecasts(plan, [(bandwidth, slower)], counted, first))


def forecasts(
    plan: Plan, constants: Iterable[tuple[float, float]], counted: bool = False, first: bool = False
) -> Iterator[Forecast]:
    """The cost of every phase at several (bandwidth of SDRAM, factor on kernels' cycles); see `forecast`."""
    known: dict[tuple[object, ...], int] = {}
    steps = [core_steps(plan, core) for core in range(plan.machine.cores)]
    own = [np.array(_kernels(mine, known), np.int64) for mine in steps]
    table, work = step_table(plan.machine.cores, steps, first), _work(plan, steps)
    for bandwidth, slower in constants:
        kernels = [np.rint(slower * each).astype(np.int64) for each in own]
        if plan.machine.chips > 1:
            with_streams = [each.tolist() for each in kernels]
            stream_cycles(plan, steps, with_streams)
            kernels = [np.array(each, np.int64) for each in with_streams]
        walked = walk(steps, table, kernels, bandwidth, counted)
        yield Forecast(_phase_costs(plan, work, np.concatenate(kernels), np.concatenate(walked.taken)[:, END]), walked)


@dataclass(frozen=True)
class _Work:
    """What the steps of all cores do, core after core, arrays of one element a step.

    Attributes:
        phase, core: of each.
        node: of the graph, for reports; -1: it only meets the others.
        read, written: bytes of SDRAM.
        packets: sent.
    """

    phase: NDArray[np.int64]
    core: NDArray[np.int64]
    node: NDArray[np.int64]
    read: NDArray[np.int64]
    written: NDArray[np.int64]
    packets: NDArray[np.int64]


def _work(plan: Plan, steps: Sequence[Sequence[CoreStep]]) -> _Work:
    rows = []
    for core, mine in enumerate(steps):
        for step in mine:
            call, read, written = step.call, 0, 0
            if call is None:
                rows.append((step.phase, core, -1, 0, 0, 0))
                continue
            if call.condition is None:
                for move in call.loads:
                    read += move.bytes * move.rows
                for move in call.stores:
                    written += move.bytes * move.rows
            rows.append((step.phase, core, call.node, read, written, packets_of(call)))
    return _Work(*np.array(rows, np.int64).reshape(-1, 6).T)


def _phase_costs(
    plan: Plan, work: _Work, kernels: NDArray[np.int64], ends: NDArray[np.float64]
) -> tuple[PhaseCost, ...]:
    """What the phases take, from the cycles of the kernel of each step and the time at which it ends."""
    count = len(plan.phases)
    ended = np.zeros(count)
    np.maximum.at(ended, work.phase, ends)
    of_core = np.zeros((count, plan.machine.cores), np.int64)
    np.add.at(of_core, (work.phase, work.core), kernels)
    sums = np.zeros((3, count), np.int64)
    for total, values in zip(sums, (work.read, work.written, work.packets), strict=True):
        np.add.at(total, work.phase, values)
    nodes: list[dict[int, int]] = [{} for _ in plan.phases]
    order = np.argsort(work.phase, kind="stable")
    order = order[work.node[order] >= 0]
    for phase, node, time in zip(*(each[order].tolist() for each in (work.phase, work.node, kernels)), strict=True):
        nodes[phase][node] = nodes[phase].get(node, 0) + time
    until = [round(end) for end in [0.0, *ended.tolist()]]
    most, totals = of_core.max(axis=1).tolist(), sums.T.tolist()
    costs_of: list[PhaseCost] = []
    for k, (phase, (read, written, packets)) in enumerate(zip(plan.phases, totals, strict=True)):
        costs_of.append(PhaseCost(phase.name, until[k + 1] - until[k], most[k], read, written, packets, nodes[k]))
    return tuple(costs_of)


def predict(plan: Plan, bandwidth: float = CHIP.sdram_bandwidth.value, slower: float = 1.0) -> tuple[PhaseCost, ...]:
    """The cost of every phase; see `forecast`."""
    return forecast(plan, bandwidth, slower).phases


def joules(plan: Plan, foreseen: Forecast) -> dict[str, float]:
    """Energy of a step on all chips by what draws it: idle power of the whole machine, cores awake, packets, SDRAM."""
    seconds = total_cycles(foreseen.phases) / CHIP.clock.value
    awake = 0.0
    for taken in foreseen.walk.taken:
        asleep = taken[:, DMA].sum() + (taken[:, MEET_END] - taken[:, MEET]).sum()
        awake += float(taken[-1, END] - asleep)
    chips = plan.machine.chips
    return {
        "idle": idle_watts(plan.machine.topology).value * seconds,
        "cores": POWER.core.value * chips * awake / CHIP.clock.value,
        "packets": POWER.packet.value * chips * sum(phase.packets for phase in foreseen.phases),
        "SDRAM": POWER.sdram.value * chips * sum(phase.read + phase.written for phase in foreseen.phases),
    }


def counts(plan: Plan, foreseen: Forecast) -> dict[str, float]:
    """What all cores of all chips will count in a step, by the names and units of `spindl.run.counters`."""
    chips, phases = plan.machine.chips, foreseen.phases
    cycles = total_cycles(phases)
    taken = foreseen.walk.taken
    return {
        "cycles": cycles,
        "seconds": cycles / CHIP.clock.value,
        "joules": sum(joules(plan, foreseen).values()),
        "multiply_accumulates": chips * total_products(plan.graph),
        "cycles_kernel": chips * sum(sum(phase.nodes.values()) for phase in phases),
        "cycles_waiting_dma": round(chips * sum(float(each[:, DMA].sum()) for each in taken)),
        "cycles_waiting_barrier": round(
            chips * sum(float((each[:, MEET_END] - each[:, MEET]).sum()) for each in taken)
        ),
        "sdram_bytes_read": chips * sum(phase.read for phase in phases),
        "sdram_bytes_written": chips * sum(phase.written for phase in phases),
        "packets_sent": chips * sum(phase.packets for phase in phases),
    }


def packets_of(call: Call) -> int:
    """Packets that a call sends: the words of a block and its head, or an acknowledgement."""
    if call.kernel == "send":
        words = call.arguments["words"]
        assert isinstance(words, int)
        return words + 1
    return int(call.kernel == "receive")


def time_line(walked: Walk) -> tuple[tuple[Span, ...], ...]:
    """What each core and its DMA engine do, in the order of the steps."""
    result = []
    for mine, taken, moved in zip(walked.steps, walked.taken, walked.moved, strict=True):
        spans: list[Span] = []
        transfer = 0
        for step, row in zip(mine, taken.tolist(), strict=True):
            spans += _spans(step, row)
            call = step.call
            if call is None or call.condition is not None:
                continue
            if row[CODE_END] > row[CODE]:
                spans.append(Span("overlay", row[CODE], row[CODE_END], step.placed, call))
            for number in range(len(call.loads)):
                start, end = moved[transfer].tolist()
                spans.append(Span("load", start, end, step.placed, call, number))
                transfer += 1
            for number in range(len(call.stores)):
                start, end = moved[transfer].tolist()
                spans.append(Span("store", start, end, step.placed, call, number))
                transfer += 1
        result.append(tuple(spans))
    return tuple(result)


def _spans(step: CoreStep, row: Sequence[float]) -> list[Span]:
    """What the core does in a step. Its waits for DMA are drawn as one, at the end of the last."""
    spans: list[Span] = []
    now = row[BEGIN]

    def until(activity: Activity, end: float) -> None:
        nonlocal now
        if end > now:
            spans.append(Span(activity, now, end, step.placed, step.call))
            now = end

    if row[MEET_END] > row[MEET]:
        until("runtime", row[MEET])
        until("barrier", row[MEET_END])
    if row[DMA] and row[DMA_END] <= row[KERNEL]:
        until("runtime", row[DMA_END] - row[DMA])
        until("wait", row[DMA_END])
    until("runtime", row[KERNEL])
    until("kernel", row[KERNEL_END])
    if row[DMA] and row[DMA_END] > row[KERNEL_END]:
        until("runtime", row[DMA_END] - row[DMA])
        until("wait", row[DMA_END])
    until("runtime", row[END])
    return spans


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


def _kernels(steps: Sequence[CoreStep], known: dict[tuple[object, ...], int]) -> list[int]:
    """Cycles of the kernel of each step of a core, without those of streams.

    A site that a core meets for the first time in a step costs a contraction some blocks through C.
    """
    times: list[int] = []
    met: set[object] = set()
    for step in steps:
        call = step.call
        time = 0 if call is None else _kernel(call, known)
        if call is not None and call.kernel.startswith("convolution") and time and call.arguments["site"] not in met:
            met.add(call.arguments["site"])
            time += costs.LEARNING
        times.append(time)
    return times


def _kernel(call: Call, known: dict[tuple[object, ...], int]) -> int:
    if not call.kernel or call.condition is not None or call.kernel in STREAMS:  # conditional calls: rare events
        return 0
    words = call.arguments
    key = (call.kernel, *words, *[v if isinstance(v, int) else v.offset % 8 for v in words.values()])
    if key not in known:
        known[key] = cycles(call.kernel, call.arguments)
    return known[key]
