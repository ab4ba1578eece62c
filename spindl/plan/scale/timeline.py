"""The time line of a step: phases of a chip, statistics between them, gradients and weights beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STEPS = 4
"""Steps that are followed until a step is like the one before it."""


@dataclass(frozen=True)
class Block:
    """A weight tensor on the network.

    Attributes:
        ready: phase behind which its gradient is there.
        needed: first phase of the next step that reads the new weights.
        reduce, gather: seconds of the network.
        update: seconds of the owners' update.
    """

    ready: int
    needed: int
    reduce: float
    gather: float
    update: float


@dataclass(frozen=True)
class Exchange:
    """Sums that cross the chips.

    Attributes:
        ready: phase behind which each chip has its own.
        needed: first phase that reads those of all chips.
        seconds: that they take.
    """

    ready: int
    needed: int
    seconds: float


@dataclass(frozen=True)
class Line:
    """Seconds of a step in the steady state.

    Attributes:
        step: in all.
        waits: of all chips for new weights.
        statistics: the same for sums of all chips.
        network: that the rings are busy.
        finished: of each phase, when it ends.
    """

    step: float
    waits: float
    statistics: float
    network: float
    finished: tuple[float, ...]


def follow(phases: Sequence[float], blocks: Sequence[Block], exchanges: Sequence[Exchange] = ()) -> Line:
    """Runs some steps: the network takes one thing after the other, weights that are needed first before gradients.

    Args:
        phases: seconds of each.
        blocks: the tensors, or pieces of them: none is interrupted.
        exchanges: of sums, which do not wait for the tensors.
    """
    start, free, waits, statistics = 0.0, 0.0, 0.0, 0.0
    arrived = [0.0] * len(blocks)
    finished: list[float] = []
    needs: dict[int, list[int]] = {}
    for number, block in enumerate(blocks):
        needs.setdefault(block.needed, []).append(number)
    begins: dict[int, list[Exchange]] = {}
    for exchange in exchanges:
        begins.setdefault(exchange.ready, []).append(exchange)
    for _ in range(STEPS):
        now, waits, statistics, finished = start, 0.0, 0.0, []
        crossed, there = start, dict[int, float]()
        for phase, seconds in enumerate(phases):
            for number in needs.get(phase, ()):
                waits += max(0.0, arrived[number] - now)
                now = max(now, arrived[number])
            sums = max(there.get(phase, now), now)
            statistics += sums - now
            now = sums + seconds
            for exchange in begins.get(phase, ()):
                crossed = max(crossed, now) + exchange.seconds
                there[exchange.needed] = crossed
            finished.append(now - start)
        arrived, free = _network(blocks, [start + finished[b.ready] for b in blocks], free)
        step, start = now - start, now
    return Line(step, waits, statistics, sum(b.reduce + b.gather for b in blocks), tuple(finished))


def _network(blocks: Sequence[Block], ready: Sequence[float], free: float) -> tuple[list[float], float]:
    """When each tensor's new weights have arrived, and when the network is free again."""
    arrived = [0.0] * len(blocks)
    reductions = sorted(range(len(blocks)), key=lambda n: ready[n])
    gathers: list[tuple[float, int]] = []
    while reductions or gathers:
        able = [entry for entry in gathers if entry[0] <= free]
        next_reduction = ready[reductions[0]] if reductions else None
        if next_reduction is not None and (next_reduction <= free or not able):
            if not able and gathers and min(gathers)[0] < max(free, next_reduction):
                free = max(free, min(gathers)[0])
                continue
            number = reductions.pop(0)
            free = max(free, ready[number]) + blocks[number].reduce
            gathers.append((free + blocks[number].update, number))
            continue
        if not able:
            free = min(gathers)[0]
            continue
        entry = min(able, key=lambda e: blocks[e[1]].needed)
        gathers.remove(entry)
        free += blocks[entry[1]].gather
        arrived[entry[1]] = free
    return arrived, free
