"""What a machine needs of a Program: each core's schedule, what lies in SDRAM, and where the host's values are.

A `ChipProgram` is for one chip. Addresses of SDRAM count from its base, so that it can lie anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format
from spindl.graph.operations import Value
from spindl.machine.topology import XY
from spindl.program.errors import ProgramError
from spindl.program.kernels.reductions import SITE_STATE
from spindl.program.schedule import Schedule, Transfer

_NOTHING: Mapping[XY, tuple[RouterEntry, ...]] = MappingProxyType({})

STORAGE: Mapping[str, Any] = {
    "int16": np.dtype("<i2"),
    "int32": np.dtype("<i4"),
    "wide": np.dtype("<i8"),
    "uint8": np.dtype("u1"),
    "label": np.dtype("<i4"),
    "pair": np.dtype("<i4"),
    "count": np.dtype("<i8"),
}
"""How a value's mantissas are stored. A scalar is {int32 mantissa, int32 exponent}."""


@dataclass(frozen=True)
class Place:
    """A value in SDRAM.

    Attributes:
        address: of its first byte, from the base.
        format, shape: as in the graph; it lies channels-last.
        exponent: a fixed exponent; None: another field says it.
        number: of the exponent in the chip's exponent table, which the cores leave in memory after a step.
        word: of state, which holds the exponent between steps.
        site: number of the site, whose record (or extent, or count of clamped elements) it is.
        share: (first, behind the last) image of the batch that lies here; None: all, or no axis of images.
        storage: NumPy type of its mantissas, where it is not that of its format.
        shard: (first, behind the last) element, in the order of memory, that lies here; None: all.
    """

    address: int
    format: Format
    shape: tuple[int, ...]
    exponent: int | None = None
    number: int | None = None
    word: int | None = None
    site: int | None = None
    storage: str = ""
    share: tuple[int, int] | None = None
    shard: tuple[int, int] | None = None

    @property
    def stored_as(self) -> Any:
        """NumPy type of its mantissas."""
        return np.dtype(self.storage) if self.storage else STORAGE[self.format.kind]

    @property
    def bytes(self) -> int:
        """Its size."""
        if self.format.kind == "site":
            return SITE_STATE.layout.size
        count = prod(self.shape) if self.shard is None else self.shard[1] - self.shard[0]
        return 8 if self.format.kind == "scalar" else count * int(self.stored_as.itemsize)


@dataclass(frozen=True)
class RouterEntry:
    """A router entry of one chip: key and mask; links and indices of the chip's cores that get the packet."""

    key: int
    mask: int
    links: tuple[int, ...]
    cores: tuple[int, ...]


@dataclass(frozen=True)
class SiteKind:
    """What the record of a site holds beside its exponent and history."""

    bits: int
    headroom: int
    lowest: int


@dataclass(frozen=True)
class ChipProgram:
    """One graph on one chip.

    Attributes:
        schedules: of each core: a step of which all updates stay ("all"), or those of the sites alone ("sites"); of
            several chips also what brings a State to all of them ("states").
        contents: address -> bytes that are written once.
        inputs, states, outputs: by name.
        site_kinds: by name of state.
        words, exponents: addresses of the words of state (int32) and of the exponent table (int16).
        bytes: of SDRAM.
        xy: coordinates of the chip that it was planned for.
        entries: of the chip's router.
        passing: entries of chips that take no part but pass packets on; the first chip's program has those of all.
        staged: names of states, and where on this chip the host leaves parts of them for "states"; besides, the first
            chip's sites, and the exponents of all states. Empty on a chip through which no data for others enter.
        staged_inputs: names of inputs, and where on this chip the host leaves other chips' shares of them for a step,
            which brings them there; `inputs` of the others are without these.
    """

    schedules: Mapping[str, tuple[Schedule, ...]]
    contents: Mapping[int, bytes]
    inputs: Mapping[str, Place]
    states: Mapping[str, Place]
    outputs: Mapping[str, Place]
    site_kinds: Mapping[str, SiteKind]
    words: int
    exponents: int
    bytes: int
    xy: XY = (0, 0)
    entries: tuple[RouterEntry, ...] = ()
    passing: Mapping[XY, tuple[RouterEntry, ...]] = field(default_factory=lambda: _NOTHING)
    staged: tuple[tuple[str, Place], ...] = ()
    staged_inputs: tuple[tuple[str, Place], ...] = ()


@dataclass(frozen=True)
class PlannedGraph:
    """One graph of a Program, planned for a machine.

    Attributes:
        key: hash of what the plan follows from: graph, machine, planner.
        machine: JSON of the machine, as the planner reads it.
        predicted: counters of a step that the planner foresees, by the names and units of `spindl.run.counters`; sums
            over all cores, but "cycles", which are those of the core that takes longest.
        chips: the program of each chip; empty where only what is foreseen was asked for.
    """

    key: str
    machine: str
    predicted: Mapping[str, float]
    chips: tuple[ChipProgram, ...] = ()


def to_bytes(value: Value, place: Place, kind: SiteKind | None = None) -> bytes:
    """A value as it lies in SDRAM. Raises ProgramError for another shape, or mantissas that do not fit."""
    if place.format.kind == "site":
        assert kind is not None
        history = {f"extent_{i}": int(extent) for i, extent in enumerate(value.mantissa)}
        fields = {"exponent": value.exponent, "lowest": kind.lowest, "bits": kind.bits, "headroom": kind.headroom}
        return SITE_STATE.pack(fields | history)
    if place.format.kind == "scalar":
        return np.array([int(value.mantissa), value.exponent], "<i4").tobytes()
    mantissa = np.asarray(value.mantissa)
    if mantissa.shape != place.shape:
        raise ProgramError(f"a value of shape {list(mantissa.shape)}, expected {list(place.shape)}", "value")
    storage = STORAGE[place.format.kind]
    if place.format.kind != "count" and mantissa.size:
        limits = np.iinfo(storage)
        if int(mantissa.min()) < limits.min or int(mantissa.max()) > limits.max:
            raise ProgramError(f"mantissas that do not fit {storage.name}", "value")
    flat = np.ascontiguousarray(_channels_last(mantissa)).astype(storage).reshape(-1)
    return flat[slice(*place.shard) if place.shard is not None else slice(None)].tobytes()


def from_bytes(data: bytes, place: Place, exponent: int = 0) -> Value:
    """The value that lies in SDRAM; of a site, its exponent and history; of a shard, its elements in a row."""
    if place.format.kind == "site":
        fields = SITE_STATE.unpack(data)
        return Value(np.array([fields[f"extent_{i}"] for i in range(16)], dtype=np.int64), fields["exponent"])
    if place.format.kind == "scalar":
        mantissa, exponent = np.frombuffer(data, "<i4")
        return Value(np.array(int(mantissa)), int(exponent))
    flat = np.frombuffer(data, place.stored_as).astype(np.int64)
    return Value(flat if place.shard is not None else _shaped(flat, place), exponent)


def joined(shards: Sequence[tuple[Value, Place]]) -> Value:
    """A value from its shards and where they lay, in any order. Raises ProgramError if they are not one tensor."""
    ordered = sorted(shards, key=lambda each: each[1].shard or (0, 0))
    ends = [(place.shard or (0, 0)) for _, place in ordered]
    edges = [0, *(stop for _, stop in ends)]
    if [start for start, _ in ends] != edges[:-1] or edges[-1] != prod(ordered[0][1].shape):
        raise ProgramError(f"shards {ends} do not make a tensor of shape {list(ordered[0][1].shape)}", "state")
    flat = np.concatenate([value.mantissa for value, _ in ordered])
    return Value(_shaped(flat, ordered[0][1]), ordered[0][0].exponent)


def _shaped(flat: NDArray[Any], place: Place) -> NDArray[Any]:
    """Elements in the order of memory as the graph's shape has them."""
    if len(place.shape) >= 3:
        last = (place.shape[0], *place.shape[2:], place.shape[1])
        return np.ascontiguousarray(np.moveaxis(flat.reshape(last), -1, 1))
    return flat.reshape(place.shape)


def _channels_last(mantissa: NDArray[Any]) -> NDArray[Any]:
    return np.moveaxis(mantissa, 1, -1) if mantissa.ndim >= 3 else mantissa


def relocated(schedule: Schedule, base: int) -> Schedule:
    """The same schedule for a program that lies at a base."""

    def moved(transfers: tuple[Transfer, ...]) -> tuple[Transfer, ...]:
        return tuple(replace(t, sdram=t.sdram + base) for t in transfers)

    steps = tuple(replace(step, loads=moved(step.loads), stores=moved(step.stores)) for step in schedule.steps)
    return replace(schedule, steps=steps)
