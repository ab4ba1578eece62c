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
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from spindl.plan.deal import Placed
from spindl.plan.errors import PlanError
from spindl.plan.plan import Plan
from spindl.plan.task import CORE, Move

_NOBODY = -1
_Word = TypeVar("_Word", np.int16, np.int32)


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
    tables_end = _fixed_end(plan) if plan.fixed else low
    for core in range(plan.machine.cores):
        before: list[tuple[int, int, str]] = []
        for phase in plan.phases:
            for number, placed in enumerate(phase.cores[core]):
                where = f"{phase.name}, core {core}, task {number}"
                spans = list(_spans(placed, plan))
                for start, end, name in spans:
                    if start < low or end > high or start % 4:
                        raise _wrong(f"region {name} at {start:#x}..{end:#x} is outside the tiles", where)
                    if start < tables_end:
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
            if buffer.kept or buffer.content is not None or name.startswith(("input/", "staged/")):
                self.owner[address // 4 : (address + buffer.size) // 4] = self.numbers[name]

    def _words(self, array: NDArray[_Word], move: Move) -> NDArray[_Word]:
        """What an array has for the words of a transfer, row by row: a view, to read and to write."""
        start = (self.plan.addresses[move.buffer] + move.offset) // 4
        words, pitch = move.bytes // 4, move.buffer_pitch // 4
        if move.rows == 1 or pitch == words:
            return array[start : start + move.rows * words]
        size = array.itemsize
        return np.ndarray((move.rows, words), array.dtype, array, start * size, (pitch * size, size))

    def check(self) -> None:
        """Walks through all phases."""
        for phase in self.plan.phases:
            self.core[:] = _NOBODY
            for core, tasks in enumerate(phase.cores):
                for number, move, where in self._moves(tasks, False, f"{phase.name}, core {core}"):
                    cores = self._words(self.core, move)
                    if ((cores != _NOBODY) & (cores != core)).any():
                        raise _wrong(f"two cores write {move.buffer}", where)
                    cores[...] = core
                    self._words(self.call, move)[...] = number
            for core, tasks in enumerate(phase.cores):
                for number, move, where in self._moves(tasks, True, f"{phase.name}, core {core}"):
                    self._check_read(core, number, move, where)
            for tasks in phase.cores:
                for _, move, _ in self._moves(tasks, False, ""):
                    self._words(self.owner, move)[...] = self.numbers[move.buffer]

    def _moves(self, tasks: tuple[Placed, ...], loads: bool, where: str) -> Iterator[tuple[int, Move, str]]:
        number = 0
        for placed in tasks:
            for call in placed.task.calls:
                number += 1
                for move in call.loads if loads else call.stores:
                    yield number, move, where

    def _check_read(self, core: int, number: int, move: Move, where: str) -> None:
        cores = self._words(self.core, move)
        written = cores != _NOBODY
        if written.any():
            if (written & (cores != core)).any():
                raise _wrong(f"{move.buffer} is read while another core writes it", where)
            if (written & (self._words(self.call, move) < number)).any():
                raise _wrong(f"{move.buffer} is read behind a store of the same phase", where)
        foreign = self._words(self.owner, move) != self.numbers[move.buffer]
        if foreign.any():
            self._check_foreign(move, foreign.reshape(move.rows, -1), where)

    def _check_foreign(self, move: Move, foreign: NDArray[np.bool_], where: str) -> None:
        """Words that belong to something else, (rows, words): the last of a buffer may never be written, as values end
        before them."""
        start = self.plan.addresses[move.buffer] + move.offset
        end = (self.plan.addresses[move.buffer] + self.plan.buffers[move.buffer].size) // 4
        for row, column in np.argwhere(foreign):
            word = (start + int(row) * move.buffer_pitch) // 4 + int(column)
            if word < end - 1:
                owner = int(self.owner[word])
                what = "was never written" if owner == _NOBODY else f"was overwritten by {self.names[owner]}"
                raise _wrong(f"{move.buffer}, read at word {word}, {what}", where)
