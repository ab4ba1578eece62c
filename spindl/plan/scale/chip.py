"""What one chip of many does: forward and backward of its images, up to its part of every weight gradient.

The weights are int16 and lie on every chip; the master weights, their momentum and their update belong to the chip that
owns the shard (see shard.py). The gradient of one image is int16 and takes the place of its layer's weights, which are
not needed any more once the gradient of the layer's input is known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from spindl.graph.graph import Graph
from spindl.plan import ends
from spindl.plan.cost import weighed
from spindl.plan.deal import deal
from spindl.plan.draft import Draft, Stored
from spindl.plan.errors import PlanError, TooLarge
from spindl.plan.jobs import Job, find_jobs, levels
from spindl.plan.join import join_jobs
from spindl.plan.memory import lives, place
from spindl.plan.passes import fixed_regions, machine_draft, place_cores
from spindl.plan.plan import Machine, Phase, Plan
from spindl.plan.recompute import with_recomputed
from spindl.plan.task import Task
from spindl.plan.tiles.build import build

CYCLES_PER_BYTE = 50
"""What a byte of a core's schedule is worth that is not needed: they are a fifth of a chip's memory at full size."""
RECOMPUTED = 3_000_000
"""Bytes of activations that are made again in the backward pass: the room goes to schedule tables (docs/scale.md)."""
OWNERS = frozenset({"update", "narrow", "squared_norm", "lars_rate", "batch_sum"})
"""Kinds of jobs that the owners of shards, or a tree over the chips, do."""


@dataclass(frozen=True)
class ChipPlan:
    """The plan of a chip and what the other parts of the plan need of it.

    Attributes:
        plan: tasks and memory; its outputs are the gradients.
        phase_jobs: the jobs of each phase of the plan.
        gradients: for each weight gradient (the sum over groups): its phase, bytes of its int16.
    """

    plan: Plan
    phase_jobs: tuple[tuple[Job, ...], ...]
    gradients: dict[int, tuple[int, int]]


def plan_chip(graph: Graph, machine: Machine) -> ChipPlan:
    """The plan of one chip for its share of the batch (spindl.plan.share.share_of), one image.

    Raises:
        PlanError: an op that no kernel computes, or several images on a chip.
        TooLarge: something that fits no core, or all of it no chip.
    """
    images = {node.shape[0] for node in graph.nodes if node.op == "input" and node.format.kind == "uint8"}
    if images != {1}:
        raise PlanError(f"{sorted(images)} images on a chip", "plan", "use as many images as chips")
    graph, again = with_recomputed(graph, RECOMPUTED)
    jobs, homes = find_jobs(graph)
    jobs = join_jobs(graph, jobs, homes)
    levels_of = levels(graph, jobs, homes)
    kept = [(_own_part(graph, job), level) for job, level in zip(jobs, levels_of, strict=True)]
    kept = [(job, level) for job, level in kept if job.kind not in OWNERS and job.nodes]
    kept = _just_before(_beside_exchanges(_gradients_last(graph, kept, homes, again)), again)
    draft = machine_draft(graph, homes, replace(machine, used=machine.used[:1]), 0)
    draft.narrow, draft.per_byte = True, CYCLES_PER_BYTE
    _resident_weights(draft, jobs)
    owned = _owned(graph)
    own = {name for name, buffer in draft.buffers.items() if buffer.kept and name in owned}
    tasks: list[list[Task]] = [[] for _ in range(max(level for _, level in kept) + 1)]
    gradients: dict[int, int] = {}  # by number of the job
    for number, (job, level) in enumerate(kept):
        tasks[level] += build(draft, number, job)
        if job.rounding is not None and job.rounding.summed is not None:
            gradients[number] = job.rounding.summed
            _stage(draft, job, again)
    ends.last_rules(draft)
    known: dict[tuple[object, ...], int] = {}
    every = [ends.begin_tasks(draft), *tasks, ends.collect_tasks(draft)]
    phases = [[weighed(_moved(task, draft), known) for task in phase] for phase in every]
    phases = _carried(phases, frozenset(gradients), machine.cores)
    last = {task.job: number for number, phase in enumerate(phases) for task in phase}
    names = ["begin", *(f"level {k}" for k in range(len(tasks))), "collect"]
    fixed, start = fixed_regions(draft, machine)
    cores = [deal(phase, machine.cores) for phase in phases]
    placed = place_cores(cores, start, machine, fixed, [node.name for node in graph.nodes])
    inputs = frozenset(name for name in draft.buffers if name.startswith("input/"))
    life = lives(draft.buffers, phases, inputs)
    life = {name: span for name, span in life.items() if name not in own}
    addresses, size = place(draft.buffers, life)
    if size > machine.sdram:
        largest = ", ".join(
            f"{n} {draft.buffers[n].size:,}" for n in sorted(life, key=lambda n: -draft.buffers[n].size)[:3]
        )
        remedy = f"use smaller images (largest: {largest})"
        raise TooLarge("an image does not fit a chip's SDRAM", "plan", remedy, size, machine.sdram)
    plan = Plan(
        graph,
        machine,
        0,
        tuple(
            Phase(name, tuple(tuple(placed[core][k]) for core in range(machine.cores))) for k, name in enumerate(names)
        ),
        draft.buffers,
        addresses,
        life,
        size,
        fixed,
        homes,
        {index: stored.buffer for index, stored in draft.stored.items()},
        {},
        draft.sites,
        draft.words,
        tuple(draft.rules),
    )
    done = {index: (last[number], draft.stored[index].bytes) for number, index in gradients.items()}
    by_phase: list[list[Job]] = [[] for _ in phases]
    for job, level in kept:
        by_phase[level + 1].append(job)
    return ChipPlan(plan, tuple(tuple(each) for each in by_phase), done)


def _own_part(graph: Graph, job: Job) -> Job:
    """The job without running statistics: all chips have the same sums, so one chip of the board keeps them."""
    if job.kind != "channels":
        return job
    nodes = tuple(i for i in job.nodes if graph.nodes[i].op not in ("running_mean", "running_variance"))
    reads = tuple(i for i in job.reads if any(i in graph.nodes[n].inputs for n in nodes))
    return replace(job, nodes=nodes, reads=reads, writes=tuple(i for i in job.writes if i in nodes))


def _gradients_last(
    graph: Graph, jobs: list[tuple[Job, int]], homes: Mapping[int, int], again: Mapping[int, int]
) -> list[tuple[Job, int]]:
    """Weight gradients one level behind the input gradient of their layer: then they may lie on its weights."""
    last_use: dict[int, int] = {}
    for job, level in jobs:
        for index in job.reads:
            last_use[index] = max(last_use.get(index, 0), level)
    result = []
    for job, level in jobs:
        if job.rounding is not None and job.rounding.summed is not None:
            weights = homes[_weights_of(graph, job, again)]
            result.append((job, max(level, last_use.get(weights, 0) + 1)))
        else:
            result.append((job, level))
    return result


def _beside_exchanges(jobs: list[tuple[Job, int]]) -> list[tuple[Job, int]]:
    """Weight gradients that could run before sums are made go behind them, in a level of their own: the sums of a
    BatchNorm cross the chips meanwhile, and what needs them comes one level later."""
    order = [2 * level for _, level in jobs]
    before = -1
    for sums in sorted({level for job, level in jobs if job.kind == "sums"}):
        for number, (job, level) in enumerate(jobs):
            if before < level <= sums and job.rounding is not None and job.rounding.summed is not None:
                order[number] = 2 * sums + 1
        before = sums
    places = {place: level for level, place in enumerate(sorted(set(order)))}
    return [(job, places[place]) for (job, _), place in zip(jobs, order, strict=True)]


def _just_before(jobs: list[tuple[Job, int]], again: Mapping[int, int]) -> list[tuple[Job, int]]:
    """What is made again, one level before it is first read."""
    first: dict[int, int] = {}
    for job, level in jobs:
        for index in job.reads:
            first[index] = min(first.get(index, level), level)
    return [(job, max(level, first[job.writes[0]] - 1) if job.nodes[0] in again else level) for job, level in jobs]


def _carried(phases: Sequence[Sequence[Task]], gradients: frozenset[int], cores: int) -> list[list[Task]]:
    """Phases of weight gradients alone leave to the next such phase the tasks with which cores would end unequally.

    Args:
        phases: their tasks, with predicted cycles.
        gradients: numbers of the jobs that make weight gradients; nothing in the plan needs them.
        cores: of the chip.
    """
    result = [list(phase) for phase in phases]
    alone = [number for number, phase in enumerate(phases) if phase and all(task.job in gradients for task in phase)]
    for here, there in pairwise(alone):
        tasks = sorted(result[here], key=lambda task: -task.cost)
        lost = {}
        for kept in range(max(cores, len(tasks) - cores), len(tasks) + 1):
            loads = [sum(task.cost for task in core) for core in deal(tasks[:kept], cores)]
            lost[kept] = cores * max(loads) - sum(loads), -kept
        best = min(lost, key=lambda kept: lost[kept], default=len(tasks))
        result[here], result[there] = tasks[:best], [*result[there], *tasks[best:]]
    return result


def _weights_of(graph: Graph, job: Job, again: Mapping[int, int]) -> int:
    """The narrowed weights of the layer that a weight gradient belongs to: those with which its input was convolved."""
    assert job.rounding is not None
    source = graph.nodes[job.rounding.producer].inputs[1]
    source = again.get(source, source)
    shape = graph.nodes[job.rounding.producer].attributes["weight_shape"]
    name = graph.nodes[job.rounding.producer].name
    found = [
        n.inputs[1]
        for n in graph.nodes
        if n.op == "convolution"
        and n.name == name
        and n.inputs[0] == source
        and tuple(graph.nodes[n.inputs[1]].shape) == tuple(shape)
    ]
    if len(found) != 1:
        raise PlanError("a weight gradient whose weights are used by several layers", name)
    return found[0]


def _resident_weights(draft: Draft, jobs: Sequence[Job]) -> None:
    """Buffers of the int16 weights, which the shards' owners fill before a step."""
    for job in jobs:
        if job.kind == "narrow":
            index = job.nodes[0]
            stored = draft.keep(index)
            draft.buffers[stored.buffer].kept = True


def _owned(graph: Graph) -> set[str]:
    """Buffers of states that only the owner of a shard has: masters that are narrowed, and momentum."""
    narrowed = {graph.nodes[i].inputs[0] for i in graph.find("narrow")}
    states = {index for index in graph.find("state") if graph.nodes[index].format.kind == "int32"}
    momenta = {graph.nodes[i].inputs[0] for i in graph.find("momentum")}
    return {f"state/{graph.nodes[i].attributes['name']}" for i in (narrowed | momenta) & states}


def _stage(draft: Draft, job: Job, again: Mapping[int, int]) -> None:
    """The gradient's buffer becomes an alias of its layer's weights."""
    assert job.rounding is not None and job.rounding.summed is not None
    stored = draft.stored[job.rounding.summed]
    weights = draft.place(_weights_of(draft.graph, job, again))
    assert stored.bytes <= weights.bytes, (stored, weights)
    draft.staged[stored.buffer] = weights.buffer
    draft.stored[job.rounding.summed] = Stored(weights.buffer, 1, stored.bytes)


def _moved(task: Task, draft: Draft) -> Task:
    """The task with its staged stores where they belong."""
    names = draft.staged
    if not any(move.buffer in names for call in task.calls for move in call.stores):
        return task
    calls = tuple(
        replace(call, stores=tuple(replace(m, buffer=names.get(m.buffer, m.buffer)) for m in call.stores))
        for call in task.calls
    )
    return replace(task, calls=calls)
