"""Tasks to cores, regions to DTCM addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from spindl.plan.errors import TooLarge
from spindl.plan.layout import aligned
from spindl.plan.task import Task
from spindl.program.overlays import overlay_of


@dataclass(frozen=True)
class Placed:
    """A task on a core: DTCM addresses of its regions; whether its first loads must wait for what is before them."""

    task: Task
    addresses: Mapping[str, int]
    ordered: bool


def deal(tasks: Sequence[Task], cores: int) -> list[list[Task]]:
    """Tasks of one phase to cores: those that name a core first, then the longest to the least loaded core."""
    result: list[list[Task]] = [[] for _ in range(cores)]
    loads = [0] * cores
    for task in tasks:
        if task.core is not None:
            result[task.core].append(task)
            loads[task.core] += task.cost
    pinned = [len(each) for each in result]
    free = [(load, core) for core, load in enumerate(loads)]
    heapify(free)
    order = sorted((i for i, t in enumerate(tasks) if t.core is None), key=lambda i: (-tasks[i].cost, i))
    for i in order:
        load, core = heappop(free)
        result[core].append(tasks[i])
        heappush(free, (load + tasks[i].cost, core))
    return [each[:count] + _by_code(each[count:]) for each, count in zip(result, pinned, strict=True)]


def _by_code(tasks: Sequence[Task]) -> list[Task]:
    """Tasks whose kernels lie in the same overlay one after the other; otherwise in their order."""
    codes = [next((o for o in (overlay_of(call.kernel) for call in task.calls) if o), 0) for task in tasks]
    return [tasks[i] for i in sorted(range(len(tasks)), key=lambda i: codes.index(codes[i]))]


def place_regions(
    tasks: Sequence[Task], start: int, end: int, fixed: Mapping[str, int], names: Sequence[str]
) -> list[Placed]:
    """DTCM addresses for the tasks of one core, in order: from the bottom and from the top in turn.

    Args:
        tasks: of all phases.
        start, end: addresses of the tile area.
        fixed: regions that the core keeps, and their addresses.
        names: of the graph's nodes, for errors.

    Raises:
        TooLarge: a task needs more than there is.
    """
    result, bottom, before = [], True, 0
    for task in tasks:
        size = task.footprint
        if size > end - start:
            largest = max(task.regions, key=lambda name: task.regions[name])
            what = f"the tiles of {task.calls[-1].kernel} (largest: {largest}) do not fit a core"
            raise TooLarge(what, names[task.calls[-1].node], "use fewer channels", size, end - start)
        at = start if bottom else end - size
        addresses = dict(fixed)
        for region, needed in task.regions.items():
            addresses[region] = at
            at += aligned(needed)
        result.append(Placed(task, addresses, size + before > end - start))
        if size:
            bottom, before = not bottom, size
    return result
