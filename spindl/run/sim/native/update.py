"""The optimiser step, natively: op by op, and SGD's whole chain in one pass over memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spindl import _native as kernels
from spindl.graph.graph import Graph, Node
from spindl.graph.operations import LEAVES, Value
from spindl.run.sim.compiler import Group, Step
from spindl.run.sim.memory import Memory
from spindl.run.sim.native.table import OPERATIONS, enters, flat
from spindl.run.sim.rounding import extent_of
from spindl.run.sim.values import AnyValue, SimValue

# ruff: noqa: D103  (the op table documents each op)


@enters(OPERATIONS, "direction")
def direction(
    memory: Memory, node: Node, master: SimValue, decay: Value, site: Value, *gradients: SimValue | Value
) -> SimValue:
    out = memory.take(node.shape, torch.int64, site.exponent)
    shift = site.exponent - decay.exponent - master.exponent
    terms = [(flat(g), site.exponent - g.exponent) for g in gradients]
    kernels.direction(flat(master), int(decay.mantissa), shift, flat(out), terms)
    return out


@enters(OPERATIONS, "momentum")
def momentum(memory: Memory, node: Node, velocity: SimValue, step: SimValue, factor: Value) -> SimValue:
    out = memory.take(node.shape, torch.int64, step.exponent)
    shift = step.exponent - factor.exponent - velocity.exponent
    kernels.momentum(flat(velocity), int(factor.mantissa), shift, flat(step), flat(out))
    return out


@enters(OPERATIONS, "saturate32")
def saturate32(memory: Memory, node: Node, x: SimValue) -> SimValue:
    out = memory.take(node.shape, torch.int32, x.exponent)
    kernels.saturate32(flat(x), flat(out))
    return out


@enters(OPERATIONS, "descend")
def descend(memory: Memory, node: Node, master: SimValue, step: SimValue, rate: Value) -> SimValue:
    out = memory.take(node.shape, torch.int32, master.exponent)
    shift = master.exponent - rate.exponent - step.exponent
    fixed = bool(node.attributes["fixed"])
    out.exponent += kernels.descend(flat(master), flat(step), int(rate.mantissa), shift, fixed, flat(out))
    return out


@enters(OPERATIONS, "squared_norm")
def squared_norm(memory: Memory, node: Node, x: SimValue) -> Value:
    total, shift = kernels.squared_norm(flat(x))
    return Value(np.array(total), 2 * (x.exponent + shift))


@enters(OPERATIONS, "scale_direction")
def scale_direction(memory: Memory, node: Node, step: SimValue, rate: Value, site: Value) -> SimValue:
    out = memory.take(node.shape, torch.int64, site.exponent)
    shift = site.exponent - rate.exponent - step.exponent
    kernels.scale_direction(flat(step), int(rate.mantissa), shift, flat(out))
    return out


@dataclass(frozen=True)
class Chain:
    """Node indices of one parameter's SGD step; None where the graph has no such node.

    direction [-> momentum] -> saturate32 [-> momentum -> saturate32, Nesterov's] -> descend
                            -> extent
    """

    direction: int
    momentum: int | None
    saturate: int
    extent: int | None
    nesterov: tuple[int, int] | None
    descend: int


def _chain(graph: Graph, users: Sequence[Sequence[int]], visible: set[int], start: int) -> Chain | None:
    """The chain that begins at a `direction` node, if nothing outside reads its inner values."""

    def by_op(index: int) -> dict[str, int]:
        return {graph.nodes[user].op: user for user in users[index]}

    readers = by_op(start)
    moved = min((u for u in users[start] if graph.nodes[u].op == "momentum"), default=None)
    total = start if moved is None else moved
    after = by_op(total)
    if "saturate32" not in after:
        return None
    saturate = after["saturate32"]
    final = by_op(saturate)
    nesterov = None
    if "momentum" in final:
        again = final["momentum"]
        second = by_op(again).get("saturate32")
        # Nesterov's second look: at the same direction, with the same factor, from the new velocity.
        same_inputs = moved is not None and graph.nodes[again].inputs[1:] == graph.nodes[moved].inputs[1:]
        if second is None or not same_inputs or graph.nodes[again].inputs[0] != saturate:
            return None
        nesterov = again, second
        final = by_op(second)
    if "descend" not in final:
        return None
    chain = Chain(start, moved, saturate, after.get("extent"), nesterov, final["descend"])
    inner = {start, total, *(nesterov or ())}
    if moved is None:
        inner.add(saturate)  # with momentum it is the new velocity, which the step gives
    members = {*inner, saturate, chain.descend} | ({chain.extent} if chain.extent is not None else set())
    closed = all(set(users[i]) <= members for i in (*inner, saturate)) and not inner & visible
    tail = graph.nodes[chain.descend].inputs
    given = [tail[2]] if moved is None else [tail[2], *graph.nodes[moved].inputs[::2]]
    leaves = all(graph.nodes[i].op in LEAVES for i in given)
    same = tail[0] == graph.nodes[start].inputs[0] and len(readers) > 0
    return chain if closed and leaves and same else None


def find_updates(graph: Graph, memory: Memory) -> list[Group]:
    """Every SGD chain of a training graph as one step."""
    users, visible = graph.users(), {*graph.outputs.values(), *graph.updates.values()}
    chains = (_chain(graph, users, visible, index) for index in graph.find("direction"))
    return [_group(graph, chain, memory) for chain in chains if chain is not None]


def _group(graph: Graph, chain: Chain, memory: Memory) -> Group:
    nodes = graph.nodes
    shape, fixed = nodes[chain.descend].shape, bool(nodes[chain.descend].attributes["fixed"])
    velocity_inputs = nodes[chain.momentum].inputs[::2] if chain.momentum is not None else ()
    outputs = [chain.descend]
    if chain.momentum is not None:
        outputs.append(chain.saturate)
    if chain.extent is not None:
        outputs.append(chain.extent)
    moving = len(velocity_inputs)

    def call(rate: Value, *values: Any) -> Sequence[AnyValue]:
        master, decay, site, *gradients = values[moving:]
        at = site.exponent
        weights = memory.take(shape, torch.int32, master.exponent)
        result: list[AnyValue] = [weights]
        options: dict[str, Any] = {}
        old = None
        if moving:
            velocity, factor = values[:moving]
            moved = memory.take(shape, torch.int32, at)
            result.append(moved)
            old = flat(velocity)
            options = {
                "mu_m": int(factor.mantissa),
                "shift_v": at - factor.exponent - velocity.exponent,
                "out_velocity": flat(moved),
            }
            if chain.nesterov is not None:
                options["nesterov_shift"] = -factor.exponent  # the new velocity is at the site's exponent
        largest, lift = kernels.sgd_step(
            flat(master),
            old,
            [(flat(g), at - g.exponent) for g in gradients],
            decay_m=int(decay.mantissa),
            shift_w=at - decay.exponent - master.exponent,
            rate_m=int(rate.mantissa),
            shift_rate=master.exponent - rate.exponent - at,
            fixed=fixed,
            out_master=flat(weights),
            **options,
        )
        weights.exponent += lift
        if chain.extent is not None:
            result.append(extent_of(largest, at))
        return result

    inputs = (nodes[chain.descend].inputs[2], *velocity_inputs, *nodes[chain.direction].inputs)
    optional = (chain.momentum, chain.extent, *(chain.nesterov or ()))
    members = (chain.direction, chain.saturate, chain.descend, *(i for i in optional if i is not None))
    return Group(chain.direction, members, Step("sgd", inputs, tuple(outputs), call))
