"""The planner on one page: a training graph and a machine in, a Plan out. Each pass is a function of plain data.

share      several chips: the chip's part of the batch, its shards of weights, where sums cross (rings, trees)
jobs       nodes that are computed together; homes of values (where nothing moves)
join       jobs on elements that follow each other on the same tiles
levels     the phase of each job: one behind the last that it needs; narrowed weights go round just before their use
overlap    several chips: exchanges around rings cut into parts, beside the work of several phases
numbers    sites, words of state; states, inputs and constants get their buffers
tiles      each job becomes tasks: cuts of its result that fit a core
ends       the first phase fills the tables of exponents, the last ones bring them back to the State
deal       tasks to cores, longest first by the kernels' own cycles
regions    DTCM addresses
deliver    several chips: a schedule that brings a State from each board's entrance to all chips
memory     SDRAM addresses by liveness
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from struct import pack
from types import MappingProxyType

from spindl.graph.graph import Graph
from spindl.plan import ends
from spindl.plan.cost import forecast, total_cycles, weighed
from spindl.plan.deal import Placed, deal, place_regions
from spindl.plan.deliver import (
    STAGED_INPUTS,
    STAGED_STATES,
    Staged,
    delivery_tasks,
    input_items,
    staged_inputs,
    staged_states,
    state_items,
)
from spindl.plan.draft import Draft, Limits, Stored
from spindl.plan.errors import PlanError, TooLarge
from spindl.plan.jobs import Job, find_jobs, levels
from spindl.plan.join import join_jobs
from spindl.plan.layout import ELEMENT_BYTES, aligned, element_bytes, value_bytes
from spindl.plan.machine import Machine, entrances
from spindl.plan.memory import Life, lives
from spindl.plan.network import network_of
from spindl.plan.overlap import EXCHANGES, beside_others, with_crowded
from spindl.plan.plan import Phase, Plan
from spindl.plan.same import Known, placed, tasks_of
from spindl.plan.share import Shard, gathers_late, shards_of, share_of, with_exchanges
from spindl.plan.task import Task

_WHOLE: Mapping[int, Shard] = MappingProxyType({})


def plan_step(graph: Graph, machine: Machine, chip: int = 0, overlap: bool = True) -> Plan:
    """The plan of one step for one of the machine's chips.

    Args:
        graph: for the whole batch.
        machine: with the number of chips that share it.
        chip: number of the chip, which has the images chip * share up to (chip + 1) * share - 1.
        overlap: False leaves each exchange in one phase, to see what the pass of that name gains.

    Raises:
        PlanError: an op that no kernel computes.
        TooLarge: something that fits no core, or all of it no chip.
    """
    return _plan(_prepared(graph, machine, overlap), machine, chip, Known())


def plan_chips(graph: Graph, machine: Machine, overlap: bool = True) -> tuple[Plan, ...]:
    """The plans of all chips, each as `plan_step` makes it; what is the same on all is planned once."""
    prepared, known = _prepared(graph, machine, overlap), Known()
    return tuple(_plan(prepared, machine, chip, known) for chip in range(machine.chips))


@dataclass(frozen=True)
class _Prepared:
    """A chip's graph, its jobs, the homes of its values, the phase of each job."""

    graph: Graph
    jobs: tuple[Job, ...]
    homes: Mapping[int, int]
    phase_of: Sequence[int]


def _prepared(graph: Graph, machine: Machine, overlap: bool) -> _Prepared:
    """What all chips have in common; exchanges beside other work, if the step is predicted to be shorter then."""
    graph = share_of(graph, machine.chips)
    jobs, homes = find_jobs(graph)
    jobs = join_jobs(graph, jobs, homes)
    shards = shards_of(graph, homes, machine.chips, 0)
    jobs = with_exchanges(graph, jobs, machine.chips, shards)
    whole = _Prepared(graph, jobs, homes, gathers_late(jobs, levels(graph, jobs, homes)))
    if machine.chips == 1:
        return whole
    network = network_of(machine)
    whole = replace(whole, jobs=with_crowded(jobs, whole.phase_of, network))
    if not overlap or not any(job.kind in EXCHANGES for job in jobs):
        return whole
    foreseen = forecast(_plan(whole, machine, 0, Known()))
    draft = machine_draft(graph, homes, machine, 0, shards)
    parts, phase_of = beside_others(graph, homes, jobs, whole.phase_of, draft, foreseen.walk)
    cut = _Prepared(graph, with_crowded(parts, phase_of, network), homes, phase_of)
    try:
        shorter = total_cycles(forecast(_plan(cut, machine, 0, Known())).phases) < total_cycles(foreseen.phases)
    except TooLarge:  # gradients stay longer
        return whole
    return cut if shorter else whole


def _plan(prepared: _Prepared, machine: Machine, chip: int, known: Known) -> Plan:
    graph, jobs, homes = prepared.graph, prepared.jobs, prepared.homes
    draft = machine_draft(graph, homes, machine, chip, shards_of(graph, homes, machine.chips, chip))
    tasks = [phase for phase in _tiles(draft, jobs, prepared.phase_of, known) if phase]
    exponents = {index: draft.exponent(homes[index]) for index in _readable(graph)}
    ends.last_rules(draft)
    begin, collect = ends.begin_tasks(draft), ends.collect_tasks(draft)
    between = ends.exchange_phases(draft)
    pictures, picture_tasks = _pictures(draft)
    begin += picture_tasks
    phases: list[Sequence[Task]] = [begin, *tasks, collect, *between, ends.finish_tasks(draft, len(jobs))]
    names = ["begin", *(f"level {k}" for k in range(len(tasks))), "collect"]
    names += [*(f"between {k}" for k in range(len(between))), "finish"]
    fixed, start = fixed_regions(draft, machine)
    phases = [[task if task.core is not None else weighed(task, known.cycles) for task in phase] for phase in phases]
    cores = [deal(phase, machine.cores) for phase in phases]
    node_names = [node.name for node in graph.nodes]
    on_cores = place_cores(cores, start, machine, fixed, node_names)
    hosts = _hosts(graph, homes)
    host = {place.buffer for index, place in draft.stored.items() if index in hosts}
    life = lives(draft.buffers, phases, frozenset({*host, ends.MERGED, ends.EXPONENTS} & draft.buffers.keys()))
    if pictures:
        life[STAGED_INPUTS] = (0, 0)  # on all chips, as they lie alike
    staged, deliveries = _deliveries(draft, machine, life, known)
    addresses, size = placed(draft.buffers, life, known)
    if size > machine.sdram:
        raise TooLarge("the step does not fit a chip's SDRAM", "plan", _sdram_remedy(draft, life), size, machine.sdram)
    to_all = place_cores([deal(deliveries, machine.cores)], start, machine, fixed, node_names) if deliveries else []
    return Plan(
        graph,
        machine,
        chip,
        _phases(names, on_cores),
        draft.buffers,
        addresses,
        life,
        size,
        fixed,
        homes,
        {index: stored.buffer for index, stored in draft.stored.items()},
        exponents,
        draft.sites,
        draft.words,
        tuple(draft.rules),
        draft.shards,
        _phases(["states"], to_all) if to_all else (),
        (*staged, *pictures),
    )


def _phases(names: Sequence[str], on_cores: Sequence[Sequence[Sequence[Placed]]]) -> tuple[Phase, ...]:
    return tuple(Phase(name, tuple(tuple(core[k]) for core in on_cores)) for k, name in enumerate(names))


def _pictures(draft: Draft) -> tuple[list[Staged], list[Task]]:
    """The tasks that bring pictures to all chips in the first phase, and what the host leaves on entrances for them."""
    if draft.chips == 1:
        return [], []
    staged, size = staged_inputs(draft)
    if not staged:
        return [], []
    draft.buffer(STAGED_INPUTS, size)
    return staged, delivery_tasks(draft, -1, staged[0].node, input_items(draft, staged))


def _deliveries(draft: Draft, machine: Machine, life: dict[str, Life], known: Known) -> tuple[list[Staged], list[Task]]:
    """The tasks that bring a State to all chips, and what the host leaves on entrances for them.

    What it leaves there takes the place of what is alive in later phases only; no tasks if there is no room.
    """
    if machine.chips == 1:
        return [], []
    staged, size = staged_states(draft)
    if size:
        draft.buffer(STAGED_STATES, size)
        life[STAGED_STATES] = (0, 0)
        if placed(draft.buffers, life, known)[1] > machine.sdram:
            del draft.buffers[STAGED_STATES], life[STAGED_STATES]
            return [], []
    items = state_items(draft, staged, ends.STATES, ends.STATE_WORDS)
    return staged, delivery_tasks(replace(draft, blocks={}), -1, 0, items)


def _readable(graph: Graph) -> list[int]:
    """Outputs whose exponent the host needs, in the order of the graph: names may come in any."""
    return [i for i in sorted({*graph.outputs.values()}) if graph.nodes[i].op not in ("extent", "saturation")]


def _hosts(graph: Graph, homes: Mapping[int, int]) -> set[int]:
    """Homes of values that the host writes or reads."""
    leaves = {i for i, node in enumerate(graph.nodes) if node.op in ("input", "state")}
    return leaves | {homes[i] for i in graph.outputs.values()}


def machine_draft(
    graph: Graph, homes: Mapping[int, int], machine: Machine, chip: int, shards: Mapping[int, Shard] = _WHOLE
) -> Draft:
    """Numbers of sites and words of state, buffers of leaves, room for tasks."""
    tile = machine.tiles[1] - machine.tiles[0]
    draft = Draft(graph, homes, Limits(machine.cores, tile), users=graph.users(), chips=machine.chips, chip=chip)
    draft.shards = {index: shard for index, shard in shards.items() if graph.nodes[index].op == "state"}
    if machine.chips > 1:
        draft.network, draft.entrances = network_of(machine), entrances(machine)
    moving = {graph.nodes[i].inputs[0] for i in graph.updates.values() if graph.nodes[i].op == "next_site"}
    sites = [i for i, n in enumerate(graph.nodes) if n.op == "state" and n.format.kind == "site"]
    draft.sites |= {index: k for k, index in enumerate(sorted(sites, key=lambda i: i not in moving))}
    draft.moving_sites = len(moving)
    for index, node in enumerate(graph.nodes):
        if node.op in ("input", "state") and node.format.kind != "site":
            name = f"{node.op}/{node.attributes['name']}"
            size = draft.room(index) * element_bytes(node.format)
            draft.stored[index] = Stored(draft.buffer(name, size, kept=node.op == "state"), 1, size)
            if node.format.kind == "int32" and node.op == "state":
                draft.word(index)
        elif node.op == "constant":
            size, content = value_bytes(node), _constant(node.format.kind, node.attributes)
            draft.stored[index] = Stored(draft.buffer(f"constant/{index}", size, content), 1, size)
    draft.limits = Limits(machine.cores, tile - _most_table_bytes(draft))
    return draft


def _most_table_bytes(draft: Draft) -> int:
    """What the tables of a core take at most: as if a kernel read the exponent of every value."""
    probe = Draft(draft.graph, draft.homes, draft.limits, sites=draft.sites, words=dict(draft.words))
    for index, node in enumerate(draft.graph.nodes):
        if node.format.kind not in ("site", "scalar", "count"):
            with suppress(PlanError):  # values whose exponent no kernel may ask for
                probe.exponent(index)
    weights = len(draft.graph.find("descend"))
    sizes = 2 * len(probe.rules), 8 * len(draft.sites), 4 * (len(probe.words) + weights), 4 * max(1, weights)
    return sum(aligned(size) for size in sizes)


def _constant(kind: str, attributes: Mapping[str, object]) -> bytes:
    values, exponent = attributes["values"], attributes["exponent"]
    assert isinstance(values, tuple) and isinstance(exponent, int)
    if kind == "scalar":
        return pack("<2i", values[0], exponent)
    return b"".join(int(v).to_bytes(ELEMENT_BYTES[kind], "little", signed=kind != "uint8") for v in values)


def _tiles(draft: Draft, jobs: Sequence[Job], phase_of: Sequence[int], known: Known) -> list[list[Task]]:
    tasks: list[list[Task]] = [[] for _ in range(max(phase_of, default=-1) + 1)]
    for number, (job, phase) in enumerate(zip(jobs, phase_of, strict=True)):
        tasks[phase] += tasks_of(draft, number, job, known)
    return tasks


def fixed_regions(draft: Draft, machine: Machine) -> tuple[dict[str, int], int]:
    """Addresses of the tables that each core keeps, and the first one behind them."""
    at, fixed = machine.tiles[0], {}
    for region, size in ends.core_regions(draft).items():
        fixed[region] = at
        at += size
    return fixed, at


def place_cores(
    cores: Sequence[Sequence[Sequence[Task]]],
    start: int,
    machine: Machine,
    fixed: Mapping[str, int],
    names: Sequence[str],
) -> list[list[list[Placed]]]:
    """The tasks of each core and phase at their DTCM addresses. Raises TooLarge."""
    result = []
    for core in range(machine.cores):
        flat = [task for phase in cores for task in phase[core]]
        placed = iter(place_regions(flat, start, machine.tiles[1], fixed, names))
        result.append([[next(placed) for _ in phase[core]] for phase in cores])
    return result


def _sdram_remedy(draft: Draft, life: Mapping[str, tuple[int, int]]) -> str:
    largest = sorted(life, key=lambda name: -draft.buffers[name].size)[:3]
    named = ", ".join(f"{name} {draft.buffers[name].size:,}" for name in largest)
    return f"use a smaller batch or more chips (largest: {named})"
