"""When each core of a chip does what: the plan's steps through a discrete-event model of the cores' runtime.

The model (native/planner/walk.cpp) is the walker of kernels/rt, step by step: blocks are fetched ahead, loads run
beside the kernel before, stores beside the one behind, interrupts of rows lengthen kernels, code is brought when
another overlay is needed, cores meet at barriers. The DMA engines of the chip share its SDRAM at every moment. The
constants are in spindl.program.costs and spindl.machine.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spindl import _planner
from spindl.machine import CHIP
from spindl.plan.deal import Placed
from spindl.plan.plan import Plan
from spindl.plan.task import Call
from spindl.program import costs
from spindl.program.kernels import KERNELS
from spindl.program.overlays import overlay_of
from spindl.program.schedule import HEADER, STEP, TRANSFER

_CLOCK = CHIP.clock.value
_BARRIER, _ORDERED, _LEFT_OUT = 1, 2, 4
BEGIN, END, CODE, CODE_END, MEET, MEET_END, DMA, DMA_END, KERNEL, KERNEL_END = range(10)
"""Columns of `Walk.taken`."""


@dataclass(frozen=True)
class CoreStep:
    """One step of a core's schedule: its phase, its call (None: it only meets the others), how it begins."""

    phase: int
    placed: Placed | None
    call: Call | None
    barrier: bool = False
    ordered: bool = False


@dataclass(frozen=True)
class Walk:
    """The times of a chip, cycles since the start of the step.

    Attributes:
        steps: of each core.
        taken: of each core, a row per step, columns BEGIN to KERNEL_END.
        moved: of each core, a row per transfer (loads, then stores, step by step): begin and end.
    """

    steps: tuple[tuple[CoreStep, ...], ...]
    taken: tuple[NDArray[np.float64], ...]
    moved: tuple[NDArray[np.float64], ...]


def core_steps(plan: Plan, core: int) -> tuple[CoreStep, ...]:
    """The steps of a core's schedule, as `spindl.plan.emit` writes them."""
    steps: list[CoreStep] = []
    for number, phase in enumerate(plan.phases):
        calls = [(placed, call) for placed in phase.cores[core] for call in placed.task.calls]
        if not calls:
            steps.append(CoreStep(number, None, None, number > 0))
        for place, (placed, call) in enumerate(calls):
            ordered = placed.ordered and call is placed.task.calls[0]
            steps.append(CoreStep(number, placed, call, number > 0 and place == 0, ordered))
    return tuple(steps)


@dataclass(frozen=True)
class StepTable:
    """The steps of all cores as numbers, core after core, without what depends on the constants of a walk.

    Attributes:
        rows: as native/planner/walk.hpp has them; the cycles of kernels are 0.
        runs: whether a step runs a kernel.
        transfers: rows, and bytes of a row, in the order of the steps, loads before stores.
        begins: number of each core's first step, and that of all steps.
        starts: cycles that each core needs before its first step.
    """

    rows: NDArray[np.float64]
    runs: NDArray[np.bool_]
    transfers: NDArray[np.uint32]
    begins: NDArray[np.uint32]
    starts: NDArray[np.float64]


def step_table(cores: int, steps: Sequence[Sequence[CoreStep]], first: bool = False) -> StepTable:
    """The steps as a walk takes them.

    Args:
        cores: of the chip.
        steps: of each core; see `core_steps`.
        first: the cores meet their schedules for the first time, and check them.
    """
    rows: list[tuple[float, ...]] = []
    transfers = array("I")
    begins, starts = [0], []
    for mine in steps:
        there, table = 0 if first else _last_overlay(mine), HEADER.layout.size
        for step in mine:
            row, there = _row(step, there, transfers)
            rows.append(row)
            table += int(row[2])
        begins.append(len(rows))
        starts.append(costs.START + first * costs.check(table, cores))
    whole = np.array(rows, float).reshape(-1, 6)
    runs = whole[:, 0] >= 0
    moved = np.frombuffer(transfers, np.uint32).reshape(-1, 2)
    return StepTable(whole, runs, moved, np.array(begins, np.uint32), np.array(starts, float))


def walk(
    steps: Sequence[Sequence[CoreStep]],
    table: StepTable,
    kernels: Sequence[NDArray[np.int64]],
    sdram: float = CHIP.sdram_bandwidth.value,
    counted: bool = False,
) -> Walk:
    """Times of a plan's steps.

    Args:
        steps: of each core; see `core_steps`.
        table: the same as numbers.
        kernels: predicted cycles of the kernel of each step of each core.
        sdram: bytes/s of the chip's SDRAM.
        counted: the cores write step counters.
    """
    rows = table.rows.copy()
    rows[:, 0] = np.where(table.runs, np.concatenate(kernels), -1)
    taken, moved = np.zeros((len(rows), 10)), np.zeros((len(table.transfers), 2))
    constants = _constants(len(steps), sdram, counted)
    _planner.walk(rows, table.transfers, table.begins, table.starts, constants, taken, moved)
    taken, moved = np.rint(taken), np.rint(moved)
    before = np.concatenate([[0], np.cumsum(rows[:, 3] + rows[:, 4])]).astype(int)
    return Walk(
        tuple(tuple(mine) for mine in steps),
        tuple(taken[a:b] for a, b in itertools.pairwise(table.begins)),
        tuple(moved[before[a] : before[b]] for a, b in itertools.pairwise(table.begins)),
    )


def _last_overlay(steps: Sequence[CoreStep]) -> int:
    """What the step before has left in a core's window."""
    calls = [step.call for step in steps if step.call is not None and step.call.condition is None]
    return next((number for call in reversed(calls) if (number := overlay_of(call.kernel))), 0)


def _row(step: CoreStep, there: int, transfers: array[int]) -> tuple[tuple[float, ...], int]:
    """A step as numbers, and the overlay that is in the core's window after it; its transfers are added to the others.

    Args:
        step: of a core.
        there: the overlay in its window before.
        transfers: rows and bytes of each.
    """
    call = step.call
    flags = _BARRIER * step.barrier | _ORDERED * step.ordered
    if call is None:
        return (-1.0, 0.0, STEP.layout.size, 0, 0, flags), there
    words = len(KERNELS[call.kernel].arguments) if call.kernel else 0
    block = STEP.layout.size + TRANSFER.layout.size * (len(call.loads) + len(call.stores)) + 4 * words
    if call.condition is not None:  # for rare events: it is left out
        return (-1.0, 0.0, block, 0, 0, flags | _LEFT_OUT), there
    overlay = overlay_of(call.kernel)
    code = costs.OVERLAY_BYTES[overlay - 1] if overlay not in (0, there) else 0
    for move in (*call.loads, *call.stores):
        transfers.extend((move.rows, move.bytes))
    return (0.0 if call.kernel else -1.0, code, block, len(call.loads), len(call.stores), flags), overlay or there


def _constants(cores: int, sdram: float, counted: bool) -> NDArray[np.float64]:
    """As native/planner/walk.hpp lists them."""
    return np.array(
        [
            CHIP.dma_bandwidth.value / _CLOCK,
            sdram / _CLOCK,
            costs.ROW,
            costs.ROW_LEAST,
            costs.STEP_BEFORE,
            costs.STEP_OPEN,
            costs.STEP - costs.STEP_BEFORE - costs.STEP_OPEN - costs.ROW,
            costs.KERNEL,
            costs.QUEUE,
            costs.TRANSFER,
            costs.WAKE,
            costs.BARRIER if cores > 1 else 0,
            costs.BARRIER_PER_CORE if cores > 1 else 0,
            costs.STEP_COUNTERS if counted else 0,
        ],
        float,
    )
