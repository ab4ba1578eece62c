"""From a graph to the list of calls that compute it: roundings, host ops, device ops, and when values die."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spindl.graph.graph import Graph, GraphError
from spindl.graph.operations import LEAVES, Value
from spindl.run.sim.host import HOST_OPS, host_operations
from spindl.run.sim.ops import TORCH_OPS
from spindl.run.sim.ops.layout import ALIASES
from spindl.run.sim.rounding import extent_of, pending_extent
from spindl.run.sim.roundings import Compute, Rounding, Target, find_roundings, torch_rounding
from spindl.run.sim.values import HOST_KINDS, AnyValue, Pending, read_together, to_device, to_host

Call = Callable[..., Sequence[AnyValue]]


@dataclass(frozen=True)
class Step:
    """One call: which values it reads and writes, and what to forget afterwards.

    Attributes:
        op: name of the op (of several: the first), for listings and timings.
        inputs, outputs: node indices; len(nodes) + i is the copy of node i on the host.
        call: takes the inputs' values, returns the outputs' values in order.
        host: works on host values.
        dead: nodes whose values nobody reads after this step.
    """

    op: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    call: Call
    host: bool = False
    dead: tuple[int, ...] = ()


@dataclass(frozen=True)
class Group:
    """Several nodes that one step computes at the place of the node `at`: inputs stand before it, users after it."""

    at: int
    members: tuple[int, ...]
    step: Step


@dataclass(frozen=True)
class Backend:
    """What computes faster than torch on this machine; empty for torch alone.

    Attributes:
        name: for listings.
        operations: op -> (node, *values) -> value.
        host_operations: op -> (node, *host values) -> host value.
        roundings: producer op -> how its exact values are rounded without storing them.
        groups: finds further nodes that one call can compute.
        activate: called before each run.
    """

    name: str = "torch"
    operations: Mapping[str, Callable[..., AnyValue]] = field(default_factory=dict)
    host_operations: Mapping[str, Callable[..., Value]] = field(default_factory=dict)
    roundings: Mapping[str, Compute] = field(default_factory=dict)
    groups: Callable[[Graph], list[Group]] = lambda graph: []
    activate: Callable[[], None] = lambda: None


def compile_graph(graph: Graph, device: torch.device, backend: Backend, gather: bool) -> list[Step]:
    """The steps that compute a graph, in order.

    Args:
        graph: obeys the op table.
        device: where device ops work.
        backend: what to use instead of torch where it can.
        gather: whether to fetch what host ops need in few transfers (see `gather_transfers`).

    Raises:
        GraphError: an op has no implementation.
    """
    groups = [_rounding_group(graph, r, device, backend) for r in find_roundings(graph)]
    groups += backend.groups(graph)
    steps_at = {group.at: group.step for group in groups}
    covered = {index for group in groups for index in group.members}
    on_host = {**host_operations(), **backend.host_operations}
    steps = []
    for index, node in enumerate(graph.nodes):
        if index in steps_at:
            steps.append(steps_at[index])
        elif index in covered or node.op in LEAVES:
            continue
        elif node.op == "exponent_of":
            steps.append(_exponent_step(graph, index))
        elif node.op in HOST_OPS:
            steps.append(_host_step(graph, index, on_host[node.op]))
        elif node.op in backend.operations:
            steps.append(_step(graph, index, backend.operations[node.op]))
        elif node.op in TORCH_OPS:
            steps.append(_step(graph, index, _on_device(graph, node.inputs, TORCH_OPS[node.op], device)))
        else:
            raise GraphError(f"the simulator has no implementation of '{node.op}'", node.name)
    if gather:
        steps = gather_transfers(graph, steps)
    return with_last_uses(graph, steps)


def _step(graph: Graph, index: int, function: Callable[..., AnyValue]) -> Step:
    node = graph.nodes[index]
    return Step(node.op, node.inputs, (index,), lambda *values: (function(node, *values),))


def _host_step(graph: Graph, index: int, function: Callable[..., Value]) -> Step:
    node = graph.nodes[index]
    return Step(node.op, node.inputs, (index,), lambda *values: (function(node, *map(to_host, values)),), host=True)


def _exponent_step(graph: Graph, index: int) -> Step:
    """exponent_of: never fetches the elements."""
    node = graph.nodes[index]
    return Step(node.op, node.inputs, (index,), lambda x: (Value(np.array(0), x.exponent),), host=True)


def _on_device(
    graph: Graph, inputs: Sequence[int], function: Callable[..., Any], device: torch.device
) -> Callable[..., Any]:
    """The function with its inputs brought to the device, but for those that the host keeps."""
    kept = [graph.nodes[i].format.kind in HOST_KINDS for i in inputs]

    def call(*values: Any) -> Any:
        first = len(values) - len(kept)  # arguments before the inputs pass through
        return function(
            *values[:first],
            *(v if keep else to_device(v, device) for v, keep in zip(values[first:], kept, strict=True)),
        )

    return call


def _rounding_group(graph: Graph, rounding: Rounding, device: torch.device, backend: Backend) -> Group:
    producer, requantise = graph.nodes[rounding.producer], graph.nodes[rounding.requantise]
    inputs = producer.inputs
    if rounding.bias is not None:
        inputs = (*inputs, graph.nodes[rounding.bias].inputs[1])
    after = graph.nodes[rounding.after].op if rounding.after is not None else ""
    bits: Any = requantise.attributes["bits"]
    even = requantise.attributes.get("ties") == "even"
    relu, summed = after == "relu", after == "sum_groups"
    slow: Compute = _on_device(graph, inputs, torch_rounding, device)
    fast = backend.roundings.get(producer.op, slow)
    outputs = [rounding.after if rounding.after is not None else rounding.requantise]
    outputs += [i for i in (rounding.extent, rounding.saturation) if i is not None]

    def call(*values: Any) -> Sequence[AnyValue]:
        *operands, site = values
        target = Target(site.exponent, bits, even, relu, summed)
        rounded = fast(producer, target, *operands) or slow(producer, target, *operands)
        assert rounded is not None
        result: list[AnyValue] = [rounded.result]
        if rounding.extent is not None:
            result.append(_extent(rounded.largest, rounded.exponent))
        if rounding.saturation is not None:
            result.append(_count(rounded.saturated))
        return result

    step = Step(producer.op, (*inputs, requantise.inputs[1]), tuple(outputs), call)
    return Group(rounding.wide, rounding.members, step)


def _extent(largest: int | Tensor, exponent: int) -> AnyValue:
    return extent_of(largest, exponent) if isinstance(largest, int) else pending_extent(largest, exponent)


def _count(count: int | Tensor) -> AnyValue:
    return Value(np.array(count)) if isinstance(count, int) else Pending(count, Value)


def gather_transfers(graph: Graph, steps: Sequence[Step]) -> list[Step]:
    """The steps in another order, so that the host waits for the device seldom and fetches all it needs at once.

    The phase of a step is the number of such waits before it. Host ops whose inputs come from the device wait for the
    next phase; at its start one transfer brings everything that its host ops read.
    """
    nodes, count = graph.nodes, len(graph.nodes)
    resident = {i for i, n in enumerate(nodes) if n.op in LEAVES and n.format.kind not in HOST_KINDS}
    resident |= {i for step in steps if not step.host for i in step.outputs}

    def fetched(step: Step) -> list[int]:
        return [i for i in step.inputs if i in resident] if step.host and step.op != "exponent_of" else []

    phase = [0] * count
    by_phase: dict[int, list[Step]] = {}
    for step in steps:
        waits = fetched(step)
        level = max((phase[i] + (i in waits) for i in step.inputs), default=0)
        for i in step.outputs:
            phase[i] = level
        by_phase.setdefault(level, []).append(step)
    result: list[Step] = []
    here: set[int] = set()
    for level in sorted(by_phase):
        wanted = sorted({i for step in by_phase[level] for i in fetched(step)} - here)
        if wanted:
            here |= set(wanted)
            copies = tuple(count + i for i in wanted)
            result.append(Step("transfer", tuple(wanted), copies, lambda *v: read_together(v), host=True))
        for step in by_phase[level]:
            moved = set(fetched(step))
            result.append(replace(step, inputs=tuple(count + i if i in moved else i for i in step.inputs)))
    return result


def with_last_uses(graph: Graph, steps: Sequence[Step]) -> list[Step]:
    """The same steps, each with the nodes to forget after it; leaves, outputs and updates are never forgotten."""
    nodes, count = graph.nodes, len(graph.nodes)
    root = list(range(2 * count))
    for index, node in enumerate(nodes):
        if node.op in ALIASES:
            root[index] = root[node.inputs[0]]
    kept = {root[i] for i in (*graph.outputs.values(), *graph.updates.values())}
    kept |= {i for i, n in enumerate(nodes) if n.op in LEAVES}
    last: dict[int, int] = {}
    members: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        for index in (*step.inputs, *step.outputs):
            last[root[index]] = place
            group = members.setdefault(root[index], [])
            if index not in group:
                group.append(index)
    dead: list[list[int]] = [[] for _ in steps]
    for index, place in last.items():
        if index not in kept:
            dead[place] += members[index]
    return [replace(step, dead=tuple(d)) for step, d in zip(steps, dead, strict=True)]
