"""Tasks: what one core does without meeting the others, in terms of buffers (SDRAM) and regions (its DTCM)."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from spindl.plan.layout import aligned

_NOTHING: Mapping[str, int] = MappingProxyType({})
CORE = "core/"
"""Regions with this prefix belong to the core for the whole step: exponents, sites, words, overflow."""


@dataclass(frozen=True)
class At:
    """A place in a region of DTCM."""

    region: str
    offset: int = 0

    def plus(self, offset: int) -> At:
        """A place behind this one."""
        return At(self.region, self.offset + offset)


@dataclass(frozen=True)
class Move:
    """Rows of bytes between a buffer and a region; offsets, lengths and pitches are multiples of 4."""

    buffer: str
    offset: int
    at: At
    bytes: int
    rows: int = 1
    buffer_pitch: int = 0
    region_pitch: int = 0


@dataclass(frozen=True)
class Call:
    """One kernel call (kernel "": none) with what is loaded before it and stored after it.

    Attributes:
        kernel: its name.
        node: of the training graph, for reports.
        arguments: by name; an At is the address of that place.
        loads, stores: moves.
        condition: a word; if it is 0, the call is left out.
    """

    kernel: str
    node: int
    arguments: Mapping[str, int | At] = field(default_factory=lambda: _NOTHING)
    loads: tuple[Move, ...] = ()
    stores: tuple[Move, ...] = ()
    condition: At | None = None


@dataclass(frozen=True)
class Task:
    """Calls that follow each other on one core, and the bytes of the regions that they share.

    Attributes:
        job: number of the job that it is a part of.
        core: the core that must run it; None: any.
        cost: predicted cycles, for dealing.
    """

    job: int
    calls: tuple[Call, ...]
    regions: Mapping[str, int]
    core: int | None = None
    cost: int = 0

    @property
    def footprint(self) -> int:
        """Bytes of DTCM of its regions, those of the core aside."""
        return sum(aligned(size) for size in self.regions.values())


class Regions:
    """Collects the regions of one task: each as large as its largest use."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}

    def at(self, name: str, size: int) -> At:
        """The start of a region of at least this size."""
        self.sizes[name] = max(self.sizes.get(name, 0), size)
        return At(name)

    def load(self, name: str, buffer: str, start: int, size: int) -> tuple[Move, At]:
        """A load of the words around some bytes of a buffer, and where these bytes then lie."""
        first, last = start // 4 * 4, -(-(start + size) // 4) * 4
        at = self.at(name, last - first)
        return Move(buffer, first, at, last - first), At(name, start - first)

    def load_rows(self, name: str, buffer: str, start: int, size: int, rows: int, pitch: int) -> tuple[Move, At]:
        """A load of rows, which then lie densely. All numbers must be multiples of 4."""
        if rows == 1 or pitch == size:
            return self.load(name, buffer, start, size * rows)
        assert start % 4 == size % 4 == pitch % 4 == 0, (name, start, size, pitch)
        at = self.at(name, size * rows)
        return Move(buffer, start, at, size, rows, pitch, size), at


def store(buffer: str, start: int, size: int, at: At, end: int) -> Move:
    """A store of bytes. They end at a word, or at the end of the value (`end`), behind which the buffer is padded."""
    assert start % 4 == 0 and at.offset % 4 == 0, (buffer, start, at)
    assert size % 4 == 0 or start + size == end, (buffer, start, size, end)
    return Move(buffer, start, at, -(-size // 4) * 4)


def store_rows(buffer: str, start: int, size: int, rows: int, pitch: int, at: At, end: int) -> Move:
    """A store of dense rows to rows of a pitch."""
    if rows == 1 or pitch == size:
        return store(buffer, start, size * rows, at, end)
    assert start % 4 == size % 4 == pitch % 4 == 0, (buffer, start, size, pitch)
    return Move(buffer, start, at, size, rows, pitch, size)


def shares(count: int, parts: int, granule: int = 1, least: int = 1) -> list[tuple[int, int]]:
    """(start, stop) of at most `parts` nearly equal ranges that begin at multiples of `granule`.

    Ranges are not smaller than `least` where that can be helped.
    """
    units = -(-count // granule)
    parts = max(1, min(parts, units, max(1, count // max(1, least))))
    edges = [units * k // parts * granule for k in range(parts)] + [count]
    return [(a, b) for a, b in itertools.pairwise(edges) if b > a]


def pieces(start: int, stop: int, size: int) -> list[tuple[int, int]]:
    """A range cut into pieces of at most `size`, all but the last of that size."""
    return [(at, min(at + size, stop)) for at in range(start, stop, size)]
