"""Plan -> StepReport: the one place of this room that knows what a Plan looks like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from spindl.graph.graph import Graph
from spindl.machine import CHIP, Fact
from spindl.machine.energy import POWER, idle_watts
from spindl.plan.cost import Forecast, Span, forecast, packets_of, time_line
from spindl.plan.deal import Placed
from spindl.plan.plan import Plan
from spindl.plan.task import CORE, Call
from spindl.program import costs
from spindl.program.overlays import overlay_of
from spindl.report.graphs import graph_costs, layers, stages
from spindl.report.model import (
    STAGES,
    ChipUse,
    CoreTimeline,
    EnergyPart,
    MachineUse,
    MemoryMap,
    Origin,
    Phase,
    Region,
    Slice,
    Stage,
    StepCost,
    StepReport,
    Transfer,
    Work,
)

DTCM_BASE = 0x400000
TABLES = "exponents"
"""The layer under which the first and last phases of a step go."""
AWAKE: frozenset[Work] = frozenset({"products", "kernel", "runtime", "stream"})
_STREAMS = frozenset({"send", "listen", "receive"})
_NOTES = (
    "Times are the planner's: kernels by the cost functions beside their code, the runtime as measured on emulated "
    "cores, transfers by the bandwidths of the DMA engine and of the SDRAM.",
)
_ENERGY_NOTE = (
    "Energy: boards draw their idle power through the whole step, a core 34 mW more while it is awake; a layer's "
    "energy is its share of the cores' cycles awake."
)


@dataclass(frozen=True)
class Times:
    """When everything goes on: what a prediction or a measurement has to give."""

    phases: tuple[Phase, ...]
    timelines: tuple[CoreTimeline, ...]


@dataclass(frozen=True)
class Labels:
    """Layer and stage of each node of a graph."""

    layers: Sequence[str]
    stages: Sequence[Stage]

    def of(self, placed: Placed, call: Call) -> tuple[str, Stage, Work]:
        """Layer, stage and kind of work of a call."""
        work: Work = "products" if call.kernel.startswith("convolution") else "kernel"
        if call.kernel in _STREAMS:
            work = "stream"
        if placed.task.job < 0:
            return TABLES, "other", work
        return self.layers[call.node], "update" if call.kernel == "halve" else self.stages[call.node], work


def labels(graph: Graph) -> Labels:
    """Of a graph's nodes."""
    return Labels(layers(graph), stages(graph))


def plan_report(plan: Plan, graph_name: str = "train") -> StepReport:
    """The modelled step of a plan."""
    return step_report(plan, graph_name, Origin("modelled", "plan"), predicted_times(plan), _NOTES)


def step_report(plan: Plan, graph_name: str, origin: Origin, times: Times, notes: tuple[str, ...] = ()) -> StepReport:
    """A plan's step with times from anywhere."""
    total = max((phase.end for phase in times.phases), default=0.0)
    steps = _step_costs(plan, times.timelines)
    energy = energy_parts(plan, times.timelines, total, sum(cost.packets or 0 for cost in steps))
    joules = sum(part.joules for part in energy) if energy else None
    return StepReport(
        graph_name,
        plan.machine.name,
        _images(plan.graph) * plan.machine.chips,
        origin,
        CHIP.clock.value,
        total,
        _with_energy(steps, joules),
        times.phases,
        times.timelines,
        (),
        sdram_map(plan),
        dtcm_map(plan, 0),
        _use(plan, times.timelines),
        energy,
        (*notes, _ENERGY_NOTE) if energy else notes,
    )


def _images(graph: Graph) -> int:
    return next((n.shape[0] for n in graph.nodes if n.op == "input" and n.attributes.get("batched") and n.shape), 0)


# --- times -----------------------------------------------------------------------------------------------------------


def calls_of(plan: Plan, core: int) -> list[list[tuple[Placed, Call]]]:
    """The calls of a core, by phase."""
    return [[(placed, call) for placed in phase.cores[core] for call in placed.task.calls] for phase in plan.phases]


def predicted_times(plan: Plan, foreseen: Forecast | None = None) -> Times:
    """Times as the planner predicts them."""
    named, foreseen = labels(plan.graph), foreseen or forecast(plan)
    now = 0.0
    phases: list[Phase] = []
    for cost in foreseen.phases:
        phases.append(Phase(cost.name, now, now + cost.cycles))
        now += cost.cycles
    lines = []
    for core, spans in enumerate(time_line(foreseen.walk)):
        busy = [_slice(span, named) for span in spans if span.activity in _OF_CORES]
        if busy and now > busy[-1].end:
            busy.append(Slice(busy[-1].end, now, "wait_barrier", "waiting for the others"))
        moves = sorted((_transfer(s) for s in spans if s.activity not in _OF_CORES), key=lambda each: each.start)
        lines.append(CoreTimeline((0, 0), core, tuple(busy), tuple(moves)))
    return Times(tuple(phases), tuple(lines))


_OF_CORES: Mapping[str, tuple[Work, str]] = {
    "runtime": ("runtime", "runtime"),
    "wait": ("wait_dma", "waiting for DMA"),
    "barrier": ("wait_barrier", "waiting at the barrier"),
    "kernel": ("kernel", ""),
}


def _slice(span: Span, named: Labels) -> Slice:
    work, title = _OF_CORES[span.activity]
    if span.placed is None or span.call is None or work == "wait_barrier":
        return Slice(span.start, span.end, work, title)
    layer, stage, of_call = named.of(span.placed, span.call)
    if span.activity == "kernel":
        work, title = of_call, span.call.kernel
    return Slice(span.start, span.end, work, title, layer, stage)


def _transfer(span: Span) -> Transfer:
    call = span.call
    assert call is not None
    if span.activity == "overlay":
        size = costs.OVERLAY_BYTES[overlay_of(call.kernel) - 1]
        return Transfer(span.start, span.end, f"code of {call.kernel}", size, False)
    to_sdram = span.activity == "store"
    move = (call.stores if to_sdram else call.loads)[span.move]
    return Transfer(span.start, span.end, move.buffer, move.bytes * move.rows, to_sdram)


# --- costs -----------------------------------------------------------------------------------------------------------


def _alike(plan: Plan, timelines: Sequence[CoreTimeline]) -> float:
    """How many chips each chip of the time lines stands for: a prediction has one, which all others resemble."""
    return plan.machine.chips / max(1, len({line.chip for line in timelines}))


def _step_costs(plan: Plan, timelines: Sequence[CoreTimeline]) -> list[StepCost]:
    """By layer and stage, in the order of the graph, of all chips."""
    named = labels(plan.graph)
    products = {(cost.layer, cost.stage): cost.multiply_accumulates or 0 for cost in graph_costs(plan.graph)}
    moved: dict[tuple[str, Stage], int] = {}
    sent: dict[tuple[str, Stage], int] = {}
    for core in range(plan.machine.cores):
        for phase in calls_of(plan, core):
            for placed, call in phase:
                layer, stage, _ = named.of(placed, call)
                size = sum(move.bytes * move.rows for move in (*call.loads, *call.stores))
                if call.condition is None:
                    moved[layer, stage] = moved.get((layer, stage), 0) + size
                if packets := packets_of(call):
                    sent[layer, stage] = sent.get((layer, stage), 0) + packets
    spent: dict[tuple[str, Stage], list[float]] = {key: [0.0, 0.0, 0.0] for key in moved}
    alike = _alike(plan, timelines)
    for line in timelines:
        for piece in line.slices:
            key = (piece.layer, piece.stage)
            if piece.layer:
                spent.setdefault(key, [0.0, 0.0, 0.0])  # other chips may do what this one does not
                length = (piece.end - piece.start) * alike
                spent[key][0] += length * (piece.work in AWAKE)  # the runtime works for the layer, too
                spent[key][1] += length * (piece.work == "products")
                spent[key][2] += length * (piece.work == "wait_dma")
    chips = plan.machine.chips
    place = {layer: index for index, layer in reversed(list(enumerate(named.layers)))}
    return [
        StepCost(
            *key,
            chips * products[key] if key in products else None,
            kernel,
            of_products or None,
            waiting,
            chips * moved[key] if key in moved else None,
            chips * sent[key] if key in sent else None,
        )
        for key, (kernel, of_products, waiting) in sorted(
            spent.items(), key=lambda item: (place.get(item[0][0], len(named.layers)), STAGES.index(item[0][1]))
        )
    ]


def _with_energy(costs: Sequence[StepCost], joules: float | None) -> tuple[StepCost, ...]:
    """Energy of the whole step, shared out by cycles in kernels."""
    total = sum(cost.cycles or 0 for cost in costs)
    if joules is None or not total:
        return tuple(costs)
    return tuple(replace(cost, joules=joules * (cost.cycles or 0) / total) for cost in costs)


def energy_parts(
    plan: Plan, timelines: Sequence[CoreTimeline], total: float, packets: int = 0
) -> tuple[EnergyPart, ...]:
    """Energy of a step on all chips."""
    idle = idle_watts(plan.machine.topology)
    clock = CHIP.clock.value

    def awake(works: frozenset[Work]) -> float:
        return (
            sum(s.end - s.start for line in timelines for s in line.slices if s.work in works)
            / clock
            * _alike(plan, timelines)
        )

    def part(name: str, watts: Fact, seconds: float) -> EnergyPart:
        return EnergyPart(name, watts.value * seconds, watts.low * seconds, watts.high * seconds)

    parts = (
        part("idle power of the machine", idle, total / clock),
        part("cores in products", POWER.core, awake(frozenset({"products"}))),
        part("cores in other kernels", POWER.core, awake(frozenset({"kernel"}))),
        part("cores in the runtime", POWER.core, awake(frozenset({"runtime"}))),
        part("cores in streams", POWER.core, awake(frozenset({"stream"}))),
        part("packets, a hop each", POWER.packet, packets),
    )
    return tuple(each for each in parts if each.joules)


def _use(plan: Plan, timelines: Sequence[CoreTimeline]) -> MachineUse | None:
    busy: dict[tuple[int, int], float] = {}
    for line in timelines:
        awake = sum(s.end - s.start for s in line.slices if s.work in AWAKE)
        busy[line.chip] = busy.get(line.chip, 0.0) + awake
    like = next(iter(busy.values()), None) if len(busy) == 1 else None
    chips = busy.keys() if len(busy) == plan.machine.chips else plan.machine.used
    used = (ChipUse(x, y, plan.machine.cores, plan.bytes, busy.get((x, y), like)) for x, y in chips)
    return MachineUse(plan.machine.name, tuple(used))


# --- memory ----------------------------------------------------------------------------------------------------------


def buffer_kind(name: str, graph: Graph, named: Labels) -> str:
    """What a buffer of SDRAM is for."""
    first, _, rest = name.partition("/")
    if first == "node":
        index = int(rest)
        if graph.nodes[index].op == "narrow":
            return "weights"
        return "activations" if named.stages[index] == "forward" else "gradients"
    if first == "state" and rest.startswith("weights/"):
        return "weights"
    if first == "state" and rest not in ("sites", "words"):
        return "optimiser state" if not rest.startswith("running/") else "statistics"
    return {"input": "inputs", "constant": "constants", "zeros": "constants"}.get(first, "exponents")


def _buffer_title(name: str, graph: Graph) -> str:
    first, _, rest = name.partition("/")
    if first != "node":
        return name
    node = graph.nodes[int(rest)]
    return f"{node.name}: {node.op} {list(node.shape)}"


def sdram_map(plan: Plan) -> MemoryMap:
    """Every buffer of a chip over the phases."""
    named = labels(plan.graph)
    regions = tuple(
        Region(
            _buffer_title(name, plan.graph),
            buffer_kind(name, plan.graph, named),
            plan.addresses[name],
            plan.buffers[name].size,
            first,
            min(last + 1, len(plan.phases)),
        )
        for name, (first, last) in plan.lives.items()
    )
    return MemoryMap("SDRAM of a chip", plan.machine.sdram, plan.bytes, 0, "phase", len(plan.phases), regions)


def dtcm_map(plan: Plan, core: int) -> MemoryMap:
    """A core's data memory: in each phase, the task that needs most."""
    end = DTCM_BASE + int(CHIP.dtcm.value)
    regions = [
        Region("runtime, stack", "runtime", plan.machine.tiles[1], end - plan.machine.tiles[1], 0, len(plan.phases))
    ]
    edges = sorted(plan.fixed.items(), key=lambda item: item[1])
    for number, (name, address) in enumerate(edges):
        behind = edges[number + 1][1] if number + 1 < len(edges) else address
        if behind > address:
            regions.append(
                Region(
                    f"{name.removeprefix(CORE)} of the core", "tables", address, behind - address, 0, len(plan.phases)
                )
            )
    for number, phase in enumerate(plan.phases):
        if not phase.cores[core]:
            continue
        placed = max(phase.cores[core], key=lambda each: each.task.footprint)
        kinds = _region_kinds(placed)
        regions += [
            Region(
                f"{name} ({phase.name})", kinds.get(name, "scratch"), placed.addresses[name], size, number, number + 1
            )
            for name, size in placed.task.regions.items()
            if size
        ]
    used = max(sum(r.bytes for r in regions if r.first <= k < r.last) for k in range(len(plan.phases)))
    return MemoryMap(
        f"data memory of core {core}: the largest task of each phase",
        int(CHIP.dtcm.value),
        used,
        DTCM_BASE,
        "phase",
        len(plan.phases),
        tuple(regions),
    )


def _region_kinds(placed: Placed) -> Mapping[str, str]:
    """Regions that transfers fill, and those that they empty."""
    kinds: dict[str, str] = {}
    for call in placed.task.calls:
        kinds |= {move.at.region: "operands" for move in call.loads}
    for call in placed.task.calls:
        kinds |= {move.at.region: "results" for move in call.stores}
    return kinds
