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

import itertools
from array import array
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from spindl import _planner
from spindl.plan.deal import Placed
from spindl.plan.errors import PlanError
from spindl.plan.plan import Plan
from spindl.plan.task import CORE, Move

_NOBODY = -1


def check_plan(plan: Plan) -> None:
    """Raises PlanError if a plan breaks a rule: that is an error of the planner."""
    _check_regions(plan)
    table = _move_table(plan)
    _check_moves(plan, table)
    _check_memory(plan, table)


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


def _fixed_end(plan: Plan) -> int:
    """End of the tables that a core keeps: the exponent table, 8 bytes a site, words and overflow words."""
    ends = {
        CORE + "exponents": 2 * len(plan.rules),
        CORE + "sites": 8 * len(plan.sites),
        CORE + "words": 4 * len(plan.words),
        CORE + "overflow": 4,
    }
    return max(plan.fixed[name] + size for name, size in ends.items())


_Place = tuple[int, int, int, int, Placed]
"""Numbers of phase, core, task, and call among those of its core in the phase; the task."""


def _moves(plan: Plan) -> Iterator[tuple[_Place, bool, Move]]:
    """All transfers, and which of them are stores: those of a phase first, as a core may run ahead of others."""
    for phase, each in enumerate(plan.phases):
        for stores in (True, False):
            for core, tasks in enumerate(each.cores):
                number = 0
                for task, placed in enumerate(tasks):
                    for call in placed.task.calls:
                        number += 1
                        for move in call.stores if stores else call.loads:
                            yield (phase, core, task, number, placed), stores, move


def _move(plan: Plan, number: int) -> tuple[_Place, Move]:
    """The transfer of a number, and where it is."""
    place, _, move = next(itertools.islice(_moves(plan), number, None))
    return place, move


_COLUMNS = 12
_UNBOUNDED = 1 << 62


def _move_table(plan: Plan) -> NDArray[np.int64]:
    """All transfers as numbers, (12, transfers): phase, core, call, 1 for a store, buffer, offset, bytes of a row,
    rows, pitch in the buffer, offset in the region, pitch there, bytes of the region."""
    buffers = {name: number for number, name in enumerate(plan.addresses)}
    table = array("q")
    for (phase, core, _, call, placed), is_store, move in _moves(plan):
        at = move.at
        room = _UNBOUNDED if at.region.startswith(CORE) else placed.task.regions[at.region]
        table.extend((phase, core, call, is_store, buffers[move.buffer], move.offset, move.bytes, move.rows))
        table.extend((move.buffer_pitch, at.offset, move.region_pitch, room))
    return np.frombuffer(table, np.int64).reshape(-1, _COLUMNS).T


def _check_moves(plan: Plan, table: NDArray[np.int64]) -> None:
    _, _, _, _, buffer, offset, size, rows, pitch, at, region_pitch, room = table
    buffers = np.array([plan.buffers[name].size for name in plan.addresses], np.int64)
    words = np.stack([offset, size, pitch, at, region_pitch])
    broken = ((words % 4 != 0) | (words < 0)).any(axis=0) | (size == 0) | (rows < 1)
    out_of_buffer = offset + (rows - 1) * pitch + size > buffers[buffer]
    out_of_region = at + (rows - 1) * region_pitch + size > -(-room // 8) * 8
    wrong = broken | out_of_buffer | out_of_region
    if not wrong.any():
        return
    number = int(wrong.argmax())
    (phase, core, task, _, _), move = _move(plan, number)
    where = f"{plan.phases[phase].name}, core {core}, task {task}"
    if broken[number]:
        raise _wrong(f"a transfer of {move} is not made of whole words", where)
    raise _wrong(f"a transfer leaves its {'buffer' if out_of_buffer[number] else 'region'}: {move}", where)


def _check_memory(plan: Plan, table: NDArray[np.int64]) -> None:
    """Follows who wrote each word of SDRAM: as part of which buffer; in the present phase, which core at which call."""
    names = list(plan.addresses)
    owner: NDArray[np.int32] = np.full(plan.bytes // 4, _NOBODY, np.int32)
    for number, (name, address) in enumerate(plan.addresses.items()):
        buffer = plan.buffers[name]
        if buffer.kept or buffer.content is not None or name.startswith(("input/", "staged/")):
            owner[address // 4 : (address + buffer.size) // 4] = number
    addresses = np.array([plan.addresses[name] for name in names], np.int64)
    ends = np.array([(plan.addresses[name] + plan.buffers[name].size) // 4 for name in names], np.int64)
    phase, core, call, is_store, buffer_of, offset, size, rows, pitch = table[:9]
    start = (addresses[buffer_of] + offset) // 4
    accesses = [phase, core, call, is_store, buffer_of, start, size // 4, rows, pitch // 4, ends[buffer_of]]
    mistake, number, word, owned = _planner.check_memory(np.stack(accesses, axis=1), owner)
    if not mistake:
        return
    (in_phase, on_core, *_), move = _move(plan, number)
    who = "was never written" if owned == _NOBODY else f"was overwritten by {names[owned]}"
    what = {
        1: f"{move.buffer} is not in SDRAM",
        2: f"two cores write {move.buffer}",
        3: f"{move.buffer} is read while another core writes it",
        4: f"{move.buffer} is read behind a store of the same phase",
        5: f"{move.buffer}, read at word {word}, {who}",
    }[mistake]
    raise _wrong(what, f"{plan.phases[in_phase].name}, core {on_core}")
