"""SDRAM: when each buffer is alive, and where it lies, so that buffers that never live together share their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spindl.plan.draft import Buffer
from spindl.plan.task import Move, Task

Life = tuple[int, int]
"""First phase that uses a buffer, last phase that does."""


def moves(task: Task) -> list[Move]:
    """All moves of a task."""
    return [move for call in task.calls for move in (*call.loads, *call.stores)]


def lives(buffers: Mapping[str, Buffer], phases: Sequence[Sequence[Task]], whole: frozenset[str]) -> dict[str, Life]:
    """When each buffer is alive.

    Args:
        buffers: by name.
        phases: the tasks of each phase.
        whole: buffers of the host: alive from the first phase to the last, as those with content or kept ones are.
    """
    end = len(phases)
    result = {name: (0, end) for name, b in buffers.items() if name in whole or b.kept or b.content is not None}
    for phase, tasks in enumerate(phases):
        for task in tasks:
            for move in moves(task):
                first, last = result.get(move.buffer, (phase, phase))
                result[move.buffer] = min(first, phase), max(last, phase)
    return result


def place(buffers: Mapping[str, Buffer], life: Mapping[str, Life]) -> tuple[dict[str, int], int]:
    """(address of each buffer that is used, bytes in all): large ones first, each as low as it fits."""
    placed: list[tuple[int, int, Life]] = []
    addresses: dict[str, int] = {}
    for name in sorted(life, key=lambda name: (-buffers[name].size, life[name], name)):
        first, last = life[name]
        size, at = buffers[name].size, 0
        for start, end, (_other_first, _other_last) in sorted(
            item for item in placed if item[2][0] <= last and first <= item[2][1]
        ):
            if start - at >= size:
                break
            at = max(at, end)
        addresses[name] = at
        placed.append((at, at + size, life[name]))
    return addresses, max((end for _, end, _ in placed), default=0)
