"""A checker of what brings a State, and the pictures of a step, from the first chip to all others, with its own code.

Rules:
    source    what a chip stores of a block is what the first chip loaded at that place of it: the same words of the
              same buffer, or the chip's own shard or pictures where the host leaves them
    passed    a chip passes on the block that it has received last, from where it lies
    whole     all words of a chip's state, or of its pictures, are stored once
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from spindl.plan import ends
from spindl.plan.errors import PlanError
from spindl.plan.layout import element_bytes
from spindl.plan.plan import Plan
from spindl.plan.task import At, Call, Move

Sent = Mapping[tuple[int, int, int], Mapping[int, Move]]
"""(core, number of its task, number of the block) -> by place in the block: the load that brought it."""


def check_deliveries(plans: Sequence[Plan]) -> None:
    """Raises PlanError if the plans of all chips break a rule: that is an error of the planner."""
    nodes = plans[0].graph.nodes
    if plans[0].deliveries:
        _check(plans, [i for i, node in enumerate(nodes) if node.op == "state"])
    inputs = sorted({each.node for each in plans[0].staged if nodes[each.node].op == "input"})
    if inputs:
        _check([replace(plan, deliveries=plan.phases[:1]) for plan in plans], inputs)


def _check(plans: Sequence[Plan], nodes: Sequence[int]) -> None:
    """What the deliveries of plans leave of some nodes on each chip."""
    sent = _sent(plans[0])
    own = {(each.chip, plans[0].places[each.node]): (each.buffer, each.offset) for each in plans[0].staged}
    for chip, plan in enumerate(plans[1:], 1):
        spans: dict[str, list[tuple[int, int]]] = {}
        sharded = {plan.places[index] for index in plan.shards if index in plan.places}
        for core in range(plan.machine.cores):
            for move, source in _stored(plan, core, sent):
                buffer, start = own.get((chip, move.buffer), (move.buffer, 0))
                wanted = buffer, start + move.offset
                if (source.buffer, source.offset) != wanted or (buffer == move.buffer and buffer in sharded):
                    raise _wrong(f"{move.buffer} from {move.offset} gets {source.buffer} {source.offset}", chip, core)
                spans.setdefault(move.buffer, []).append((move.offset, move.offset + move.bytes))
        _check_whole(plan, nodes, spans)


def _wrong(what: str, chip: int, core: int) -> PlanError:
    return PlanError(what, f"chip and core {(chip, core)}", "this is an error of the planner; please report it")


def _calls(plan: Plan, core: int) -> list[tuple[int, Call]]:
    """Calls, each with the number of its task: tasks of one number are those of one ring on all chips."""
    tasks = [placed.task for phase in plan.deliveries for placed in phase.cores[core]]
    return [(number, call) for number, task in enumerate(tasks) for call in task.calls]


def _number(call: Call, name: str) -> int:
    value = call.arguments[name]
    assert isinstance(value, int)
    return value


def _place(call: Call, name: str) -> At:
    value = call.arguments[name]
    assert isinstance(value, At)
    return value


def _sent(first: Plan) -> Sent:
    found: dict[tuple[int, int, int], dict[int, Move]] = {}
    for core in range(first.machine.cores):
        for task, call in _calls(first, core):
            if call.kernel == "send":
                x = _place(call, "x")
                block = {move.at.offset - x.offset: move for move in call.loads if move.at.region == x.region}
                if sum(move.bytes for move in block.values()) != 4 * _number(call, "words"):
                    raise _wrong(f"block {call.arguments['block']} is not loaded whole", 0, core)
                found[core, task, _number(call, "block")] = block
    return found


def _stored(plan: Plan, core: int, sent: Sent) -> Iterator[tuple[Move, Move]]:
    """What a core stores, and the load on the first chip that it comes from."""
    listening: dict[int, tuple[int, At]] = {}
    last: tuple[int, At] | None = None
    for task, call in _calls(plan, core):
        if call.kernel == "listen":
            listening[_number(call, "slot")] = _number(call, "block"), _place(call, "y").plus(4)
        elif call.kernel == "send" and (_number(call, "block"), _place(call, "x")) != last:
            raise _wrong(f"block {call.arguments['block']} is passed on from elsewhere", plan.chip, core)
        elif call.kernel == "receive":
            last = number, at = listening.pop(_number(call, "slot"))
            for move in call.stores:
                source = sent.get((core, task, number), {}).get(move.at.offset - at.offset)
                if source is None or move.at.region != at.region or source.bytes != move.bytes:
                    raise _wrong(f"{move.buffer} is stored from no part of block {number}", plan.chip, core)
                yield move, source


def _check_whole(plan: Plan, nodes: Sequence[int], spans: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    sizes = {}
    for index in nodes:
        node = plan.graph.nodes[index]
        start, stop = plan.shards.get(index, (0, prod(node.shape)))
        if node.format.kind == "site":
            sizes[ends.STATES] = plan.buffers[ends.STATES].size
        else:
            sizes[plan.places[index]] = (stop - start) * element_bytes(node.format)
        if node.op == "state":
            sizes[ends.STATE_WORDS] = plan.buffers[ends.STATE_WORDS].size
    for name, size in sizes.items():
        edges = sorted(spans.get(name, []))
        if not edges or edges[0][0] or edges[-1][1] < size or any(a[1] != b[0] for a, b in itertools.pairwise(edges)):
            raise _wrong(f"{name} of {size} bytes gets {edges[:4]}", plan.chip, 0)


__all__ = ["check_deliveries"]
