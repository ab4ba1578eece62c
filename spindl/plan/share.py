"""Several chips: a chip's share of the batch as a graph, its shards of weights, and where sums cross between chips.

Each chip runs the same graph on its own images. What crosses images is an exact sum or a maximum (docs/numbers.md, "Why
the split of a batch never changes a bit"), so parts are added in whatever order they come. Two ways lead across:

    ring   a large weight's gradient: each chip gets the sum of its shard alone, and updates that shard of the master
           and its momentum; the narrowed shards go round to all chips before the layer's first use
    tree   everything else: sums up, the total down; what follows is computed on every chip alike
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

from spindl.graph.graph import Graph
from spindl.graph.operations import is_batched, lookup
from spindl.plan.errors import PlanError
from spindl.plan.jobs import UPDATE_OPS, Job
from spindl.plan.task import shares

CROSSING = frozenset({"channel_sum", "channel_dot", "sum_groups", "batch_sum"})
"""Ops whose results are sums over images."""
SHARD_LEAST = 64
"""Elements of a shard: weights with fewer per chip are updated on every chip alike."""
GRANULE = 8
"""Shards begin at multiples of so many elements."""
_READERS = frozenset({"narrow", "descend", "direction", "squared_norm", "exponent_of"})
"""Ops that may read a master of which a chip has a shard only."""

Shard = tuple[int, int]
"""First element, in the order of memory, and the one behind the last."""


def share_of(graph: Graph, chips: int) -> Graph:
    """The graph for one chip's images, equal shares in the order of the chips.

    Raises:
        PlanError: the batch, or its gradient groups, cannot be dealt equally.
    """
    if chips == 1:
        return graph
    nodes, batched = list(graph.nodes), is_batched(graph)
    for index, node in enumerate(nodes):
        if node.op == "input" and batched[index]:
            images = node.shape[0]
            if images % chips:
                fitting = next(n for n in range(chips, 0, -1) if images % n == 0)
                raise PlanError(
                    f"a batch of {images} cannot be dealt to {chips} chips equally",
                    "plan",
                    f"use a batch of {images // chips * chips or chips} or {-(-images // chips) * chips}, "
                    f"or {fitting} chip{'s' * (fitting > 1)}",
                )
            nodes[index] = replace(node, shape=(images // chips, *node.shape[1:]))
        elif node.inputs:
            if node.op == "convolution_weight_gradient":
                size, mine = int(node.attributes["group_size"]), nodes[node.inputs[0]].shape[0]
                if mine % size:
                    raise PlanError(
                        f"gradient groups of {size} images in shares of {mine}", node.name, "use a larger batch"
                    )
            shape, format = lookup(node.op).infer([nodes[i] for i in node.inputs], node.attributes)
            nodes[index] = replace(node, shape=shape, format=format)
    return replace(graph, nodes=tuple(nodes))


def all_shards(count: int, chips: int) -> list[Shard]:
    """The shards of a tensor of so many elements, by number of chip."""
    return shares(count, chips, GRANULE)


def shards_of(graph: Graph, homes: Mapping[int, int], chips: int, chip: int) -> dict[int, Shard]:
    """A chip's shards, by node: of masters, of their momentum, of gradients, and of all that lies between them."""
    if chips == 1:
        return {}
    found: dict[int, Shard] = {}
    readers = _readers(graph, homes)
    for master in graph.find("state"):
        users = readers.get(master, [])
        ops = {graph.nodes[i].op for i in users}
        count = prod(graph.nodes[master].shape)
        if graph.nodes[master].format.kind != "int32" or "narrow" not in ops or not ops <= _READERS:
            continue
        if count < SHARD_LEAST * chips:
            continue
        moved = [master, *_update_states(graph, [i for i in users if graph.nodes[i].op == "descend"])]
        gradients = {homes[g] for i in users if graph.nodes[i].op == "direction" for g in graph.nodes[i].inputs[3:]}
        if all(_only_updates(graph, readers, g) for g in gradients):
            found |= dict.fromkeys([*moved, *gradients], all_shards(count, chips)[chip])
    for index, node in enumerate(graph.nodes):
        moving = [found[homes[i]] for i in node.inputs if homes[i] in found]
        if node.op in UPDATE_OPS and moving:
            found[index] = moving[0]
    return found


def _readers(graph: Graph, homes: Mapping[int, int]) -> dict[int, list[int]]:
    """Nodes that read each value, moves that cost nothing aside."""
    found: dict[int, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        for source in node.inputs:
            if homes[source] != homes[index]:
                found.setdefault(homes[source], []).append(index)
    return found


def _only_updates(graph: Graph, readers: Mapping[int, Sequence[int]], gradient: int) -> bool:
    """Whether a gradient is a sum over images in int32 that nothing but the update reads."""
    users = {graph.nodes[i].op for i in readers.get(gradient, [])}
    seen = gradient in graph.outputs.values()
    return graph.nodes[gradient].op == "sum_groups" and not seen and users <= {"direction", "squared_norm"}


def _update_states(graph: Graph, descends: Sequence[int]) -> list[int]:
    """Momentum that belongs to some descents: int32 states that their chains of ops read."""
    states, queue = set(), list(descends)
    for index in queue:
        for source in graph.nodes[index].inputs:
            node = graph.nodes[source]
            if node.op == "state" and node.format.kind == "int32":
                states.add(source)
            elif node.op in UPDATE_OPS and source not in queue:
                queue.append(source)
    return sorted(states)


def with_exchanges(graph: Graph, jobs: tuple[Job, ...], chips: int, shards: Mapping[int, Shard]) -> tuple[Job, ...]:
    """The jobs, each sum over images followed by its way across the chips, narrowed shards by theirs."""
    if chips == 1:
        return jobs
    result: list[Job] = []
    for job in jobs:
        if job.kind == "squared_norm" and job.reads[0] in shards:
            (index,) = job.writes
            whole = (*job.reads, index)
            result.append(Job("largest", (index,), job.reads, (index,)))
            result.append(Job("tree_maximum", (index,), (index,), (index,)))
            result.append(Job("squared", (index,), whole, (index,)))
            result.append(Job("tree_norm", (index,), (index,), (index,)))
            continue
        result.append(job)
        crossing = tuple(i for i in job.writes if graph.nodes[i].op in CROSSING)
        for index in crossing:
            if index in shards:
                result.append(Job("total", (index,), (index,), (index,)))
                result.append(Job("reduce", (index,), (index,), (index,)))
        small = tuple(i for i in crossing if i not in shards)
        if small:
            result.append(Job("tree", small, small, small))
        if job.kind == "narrow" and job.reads[0] in shards:
            result.append(Job("gather", job.writes, job.writes, job.writes))
    return tuple(result)


def gathers_late(jobs: Sequence[Job], phases: Sequence[int]) -> list[int]:
    """The phases of jobs, with the way of narrowed weights around the ring just before the phase that needs them."""
    first_use: dict[int, int] = {}
    for job, phase in zip(jobs, phases, strict=True):
        if job.kind != "gather":
            for index in job.reads:
                first_use[index] = min(first_use.get(index, phase), phase)
    return [
        max(phase, first_use.get(job.writes[0], phase + 1) - 1) if job.kind == "gather" else phase
        for job, phase in zip(jobs, phases, strict=True)
    ]
