"""A checker of plans with its own code: it knows the rules of the walker, and nothing of how plans are made.

Rules:
    words     transfers begin and end at multiples of 4, inside SDRAM and inside one region of their task
    regions   regions of a core never overlap while both are in use: those that it keeps, those of a task, and those of
              the task before it unless the first waits for the second
    owners    what is read from SDRAM was last written as a part of the same buffer: in an earlier phase, by the same
              core earlier on, or by the host
    races     in one phase no core writes what another one reads or writes
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spindl.plan.deal import Placed
from spindl.plan.errors import PlanError
from spindl.plan.plan import Plan
from spindl.plan.task import CORE, Move

_NOBODY = -1


def check_plan(plan: Plan) -> None:
    """Raises PlanError if a plan breaks a rule: that is an error of the planner."""
    _check_regions(plan)
    _Memory(plan).check()


def _wrong(what: str, where: str) -> PlanError:
    return PlanError(what, where, "this is an error of the planner; please report it")


def _spans(placed: Placed, plan: Plan) -> Iterator[tuple[int, int, str]]:
    """(start, end, name) of the regions of a task."""
    for name, size in placed.task.regions.items():
        yield placed.addresses[name], placed.addresses[name] + size, name


def _check_disjoint(spans: list[tuple[int, int, str]], where: str) -> None:
    for (_, end, name), (start, _, other) in zip(sorted(spans), sorted(spans)[1:], strict=False):
        if end > start:
            raise _wrong(f"regions {name} and {other} overlap", where)


def _check_regions(plan: Plan) -> None:
    low, high = plan.machine.tiles
    sizes = sorted(plan.fixed.items(), key=lambda item: item[1])
    for core in range(plan.machine.cores):
        before: list[tuple[int, int, str]] = []
        for phase in plan.phases:
            for number, placed in enumerate(phase.cores[core]):
                where = f"{phase.name}, core {core}, task {number}"
                spans = list(_spans(placed, plan))
                for start, end, name in spans:
                    if start < low or end > high or start % 4:
                        raise _wrong(f"region {name} at {start:#x}..{end:#x} is outside the tiles", where)
                    if sizes and start < _fixed_end(plan):
                        raise _wrong(f"region {name} lies on the core's tables", where)
                _check_disjoint(spans, where)
                if number and not placed.ordered:
                    _check_disjoint([*spans, *before], where)
                before = spans or before
                _check_moves(plan, placed, where)


def _fixed_end(plan: Plan) -> int:
    """End of the tables that a core keeps: the exponent table, 8 bytes a site, words and overflow words."""
    ends = {
        CORE + "exponents": 2 * len(plan.rules),
        CORE + "sites": 8 * len(plan.sites),
        CORE + "words": 4 * len(plan.words),
        CORE + "overflow": 4,
    }
    return max(plan.fixed[name] + size for name, size in ends.items())


def _check_moves(plan: Plan, placed: Placed, where: str) -> None:
    for call in placed.task.calls:
        for move in (*call.loads, *call.stores):
            numbers = (move.offset, move.at.offset, move.bytes, move.buffer_pitch, move.region_pitch)
            if any(number % 4 or number < 0 for number in numbers) or not move.bytes or move.rows < 1:
                raise _wrong(f"a transfer of {move} is not made of whole words", where)
            if move.offset + (move.rows - 1) * move.buffer_pitch + move.bytes > plan.buffers[move.buffer].size:
                raise _wrong(f"a transfer leaves its buffer: {move}", where)
            if not move.at.region.startswith(CORE):
                used = move.at.offset + (move.rows - 1) * move.region_pitch + move.bytes
                if used > -(-placed.task.regions[move.at.region] // 8) * 8:
                    raise _wrong(f"a transfer leaves its region: {move}", where)


class _Memory:
    """Who wrote each word of SDRAM: as part of which buffer; and in the present phase which core, at which call."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        words = plan.bytes // 4
        self.numbers = {name: number for number, name in enumerate(plan.addresses)}
        self.names = list(plan.addresses)
        self.owner: NDArray[np.int32] = np.full(words, _NOBODY, np.int32)
        self.core: NDArray[np.int16] = np.full(words, _NOBODY, np.int16)
        self.call: NDArray[np.int32] = np.zeros(words, np.int32)
        for name, address in plan.addresses.items():
            buffer = plan.buffers[name]
            if buffer.kept or buffer.content is not None or name.startswith("input/"):
                self.owner[address // 4 : (address + buffer.size) // 4] = self.numbers[name]

    def _rows(self, move: Move) -> Iterator[slice]:
        start = self.plan.addresses[move.buffer] + move.offset
        for row in range(move.rows):
            at = start + row * move.buffer_pitch
            yield slice(at // 4, (at + move.bytes) // 4)

    def check(self) -> None:
        """Walks through all phases."""
        for phase in self.plan.phases:
            self.core[:] = _NOBODY
            for core, tasks in enumerate(phase.cores):
                for number, move, where in self._moves(tasks, False, f"{phase.name}, core {core}"):
                    for row in self._rows(move):
                        if ((self.core[row] != _NOBODY) & (self.core[row] != core)).any():
                            raise _wrong(f"two cores write {move.buffer}", where)
                        self.core[row], self.call[row] = core, number
            for core, tasks in enumerate(phase.cores):
                for number, move, where in self._moves(tasks, True, f"{phase.name}, core {core}"):
                    self._check_read(core, number, move, where)
            for tasks in phase.cores:
                for _, move, _ in self._moves(tasks, False, ""):
                    for row in self._rows(move):
                        self.owner[row] = self.numbers[move.buffer]

    def _moves(self, tasks: tuple[Placed, ...], loads: bool, where: str) -> Iterator[tuple[int, Move, str]]:
        number = 0
        for placed in tasks:
            for call in placed.task.calls:
                number += 1
                for move in call.loads if loads else call.stores:
                    yield number, move, where

    def _check_read(self, core: int, number: int, move: Move, where: str) -> None:
        for row in self._rows(move):
            written = self.core[row] != _NOBODY
            if (written & (self.core[row] != core)).any():
                raise _wrong(f"{move.buffer} is read while another core writes it", where)
            if (written & (self.call[row] < number)).any():
                raise _wrong(f"{move.buffer} is read behind a store of the same phase", where)
            foreign = np.flatnonzero(self.owner[row] != self.numbers[move.buffer])
            if foreign.size and not self._is_padding(move, row, foreign):
                owner = int(self.owner[row][foreign[0]])
                what = "was never written" if owner == _NOBODY else f"was overwritten by {self.names[owner]}"
                raise _wrong(f"{move.buffer}, read at word {row.start + int(foreign[0])}, {what}", where)

    def _is_padding(self, move: Move, row: slice, foreign: NDArray[np.intp]) -> bool:
        """The last words of a buffer may never be written: values end before them."""
        end = (self.plan.addresses[move.buffer] + self.plan.buffers[move.buffer].size) // 4
        return bool(row.start + int(foreign[0]) >= end - 1)
