"""What a page and a trace are made from: plain data, with no knowledge of where it came from.

Adapters fill it in: `runs` from the folder of a run, `graphs` from a training graph, `planned` from a Plan, `measured`
from counters of cores. A field that nobody counted is None and is left out of the page; it is never zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from spindl.program.files import disk_errors
from spindl.report.errors import ReportError

STEP_VERSION = 1
"""Of the file that `save_step` writes; raised whenever a field changes its meaning."""

Stage = Literal["forward", "backward", "update", "other"]
STAGES: tuple[Stage, ...] = ("forward", "backward", "update", "other")
Work = Literal["products", "kernel", "runtime", "stream", "wait_dma", "wait_barrier"]
"""What a core does: kernels of contractions, other kernels, walking its schedule, streams, sleeping for a reason."""


@dataclass(frozen=True)
class Origin:
    """How a figure came about: "measured" or "modelled", and by what ("emu", "board", "sim", "plan")."""

    source: Literal["measured", "modelled"]
    executor: str

    @property
    def label(self) -> str:
        """As it stands on the page."""
        if self.source == "modelled":
            return "modelled"
        places = {"emu": "the emulator", "board": "the machine", "walker": "the host"}
        return f"measured on {places.get(self.executor, 'this computer')}"


@dataclass(frozen=True)
class StepCost:
    """What one layer costs in one stage of a step, summed over cores.

    Attributes:
        layer, stage: of what.
        multiply_accumulates: products of its contractions.
        cycles: of cores inside its kernels.
        product_cycles: those of them in kernels of contractions.
        waiting: cycles of cores asleep for its transfers.
        sdram_bytes: moved between SDRAM and DTCM.
        packets: sent for it.
        joules: energy of the step that falls to it.
    """

    layer: str
    stage: Stage
    multiply_accumulates: int | None = None
    cycles: float | None = None
    product_cycles: float | None = None
    waiting: float | None = None
    sdram_bytes: int | None = None
    packets: int | None = None
    joules: float | None = None


@dataclass(frozen=True)
class Slice:
    """Something that goes on from `start` to `end`, in core clock cycles since the step began."""

    start: float
    end: float
    work: Work
    name: str
    layer: str = ""
    stage: Stage = "other"


@dataclass(frozen=True)
class Transfer:
    """A DMA transfer: when it was at work, in cycles, and what it moved."""

    start: float
    end: float
    name: str
    bytes: int
    to_sdram: bool


@dataclass(frozen=True)
class CoreTimeline:
    """What one core and its DMA engine do in a step; both in the order of time, without overlaps."""

    chip: tuple[int, int]
    core: int
    slices: tuple[Slice, ...]
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True)
class LinkUse:
    """When a link carries something: for the trace."""

    chip: tuple[int, int]
    link: int
    slices: tuple[Transfer, ...]


@dataclass(frozen=True)
class Phase:
    """What lies between two barriers: its name, start and end in cycles."""

    name: str
    start: float
    end: float


@dataclass(frozen=True)
class Region:
    """A piece of memory: name, kind ("weights", "activations", ...), first byte, bytes, first and last time of use."""

    name: str
    kind: str
    address: int
    bytes: int
    first: float
    last: float


@dataclass(frozen=True)
class MemoryMap:
    """A memory over time.

    Attributes:
        title: whose memory.
        capacity: bytes there are.
        used: bytes that are in use at most at one time, gaps between them included where there are any.
        base: address that the map starts at.
        times: what `first` and `last` of regions count.
        end: last of these times.
        regions: in any order; regions that live at the same time do not overlap.
    """

    title: str
    capacity: int
    used: int
    base: int
    times: str
    end: float
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class ChipUse:
    """What one chip of a machine does in a step; `links`: load of each of its six links, 0 to 1, or None."""

    x: int
    y: int
    cores: int | None = None
    sdram_bytes: int | None = None
    cycles: float | None = None
    packets: int | None = None
    links: tuple[float | None, ...] = (None,) * 6


@dataclass(frozen=True)
class MachineUse:
    """A machine by its name (see `spindl.machine.parse_topology`) and those of its chips that are in use."""

    name: str
    chips: tuple[ChipUse, ...]


@dataclass(frozen=True)
class EnergyPart:
    """Energy of a step that goes into one thing; low and high: by the range of its constant."""

    name: str
    joules: float
    low: float
    high: float


@dataclass(frozen=True)
class StepReport:
    """One step on a machine.

    Attributes:
        graph: name of what was run: "train", "evaluate".
        machine: its name.
        images: of a step.
        origin: of the times. Memory is the plan's either way.
        clock: cycles a second.
        cycles: of the whole step.
        costs: by layer and stage.
        phases, timelines, links: when what goes on.
        sdram, dtcm: memory of a chip and of a core.
        use: of the machine's chips.
        energy: parts of the step's energy.
        notes: sentences about what the figures rest on.
    """

    graph: str
    machine: str
    images: int
    origin: Origin
    clock: float
    cycles: float
    costs: tuple[StepCost, ...]
    phases: tuple[Phase, ...] = ()
    timelines: tuple[CoreTimeline, ...] = ()
    links: tuple[LinkUse, ...] = ()
    sdram: MemoryMap | None = None
    dtcm: MemoryMap | None = None
    use: MachineUse | None = None
    energy: tuple[EnergyPart, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Length of the step."""
        return self.cycles / self.clock

    @property
    def joules(self) -> float | None:
        """Energy of the step."""
        return sum(part.joules for part in self.energy) if self.energy else None


@dataclass(frozen=True)
class Series:
    """A curve: (x, y) with x in steps; `low`, `high`: range of what each point stands for, where it stands for many."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


@dataclass(frozen=True)
class Exponent:
    """A rounding place: one unit is 2^exponent, `bits` with the sign; extents: log2 of the largest values lately."""

    site: str
    exponent: int
    bits: int
    extents: tuple[int, ...]


@dataclass(frozen=True)
class RunReport:
    """What the folder of a run tells.

    Attributes:
        name: of the folder.
        facts: (what, value) for the head of the page.
        settings: as the run was started with.
        executor, device: where it ran.
        steps, epochs: how far it came.
        loss, accuracy, test_loss, test_accuracy: curves in integers.
        float_loss, float_test_loss, float_test_accuracy: of the float32 twin, where there is one.
        rates: learning rate of each parameter group.
        throughput: images/s, measured on the host.
        saturation: by place: values clipped in each of `bins` ranges of steps.
        bins: last step of each range.
        exponents: of the newest checkpoint.
        costs: of a training step, as far as the program tells.
    """

    name: str
    facts: tuple[tuple[str, str], ...]
    settings: Mapping[str, Any]
    executor: str
    device: str
    steps: int
    epochs: int
    loss: Series | None = None
    accuracy: Series | None = None
    test_loss: Series | None = None
    test_accuracy: Series | None = None
    epoch_loss: Series | None = None
    float_loss: Series | None = None
    float_test_loss: Series | None = None
    float_test_accuracy: Series | None = None
    rates: tuple[Series, ...] = ()
    throughput: Series | None = None
    saturation: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    bins: tuple[int, ...] = ()
    exponents: tuple[Exponent, ...] = ()
    costs: tuple[StepCost, ...] = ()


def save_step(step: StepReport, path: Path) -> None:
    """Write a step as JSON. Raises RunFolderError."""
    with disk_errors(path):
        path.write_text(json.dumps({"version": STEP_VERSION, **asdict(step)}, separators=(",", ":")))


def load_step(path: Path) -> StepReport:
    """What `save_step` wrote. Raises ReportError if the file is missing, damaged or of another version."""
    try:
        document = json.loads(path.read_text())
        version = document.pop("version")
        if version != STEP_VERSION:
            raise ReportError(f"version {version}, this spindl reads {STEP_VERSION}", str(path), "write it again")
        return _step(document)
    except OSError as error:
        raise ReportError(f"cannot be read ({error.strerror})", str(path), "check the path") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ReportError(
            f"this is no step of a report ({type(error).__name__}: {error})", str(path), "give a file of spindl report"
        ) from error


def _step(d: dict[str, Any]) -> StepReport:
    def memory(m: dict[str, Any] | None) -> MemoryMap | None:
        if m is None:
            return None
        return MemoryMap(**{**m, "regions": tuple(Region(**r) for r in m["regions"])})

    use = d["use"]
    changed = {
        "origin": Origin(**d["origin"]),
        "costs": tuple(StepCost(**c) for c in d["costs"]),
        "phases": tuple(Phase(**p) for p in d["phases"]),
        "timelines": tuple(
            CoreTimeline(
                tuple(t["chip"]),
                t["core"],
                tuple(Slice(**s) for s in t["slices"]),
                tuple(Transfer(**s) for s in t["transfers"]),
            )
            for t in d["timelines"]
        ),
        "links": tuple(
            LinkUse(tuple(u["chip"]), u["link"], tuple(Transfer(**s) for s in u["slices"])) for u in d["links"]
        ),
        "sdram": memory(d["sdram"]),
        "dtcm": memory(d["dtcm"]),
        "use": use
        and MachineUse(use["name"], tuple(ChipUse(**{**c, "links": tuple(c["links"])}) for c in use["chips"])),
        "energy": tuple(EnergyPart(**e) for e in d["energy"]),
        "notes": tuple(d["notes"]),
    }
    return StepReport(**{**d, **changed})
