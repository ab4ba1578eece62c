"""A checker of the schedule that brings a State from the first chip to all others, with its own code.

Rules:
    source    what a chip stores of a block is what the first chip loaded at that place of it: the same words of the
              same buffer, or the chip's own shard where the host leaves it
    passed    a chip passes on the block that it has received last, from where it lies
    whole     all words of a chip's state are stored once
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from math import prod

from spindl.plan import ends
from spindl.plan.deliver import STAGED_STATES
from spindl.plan.errors import PlanError
from spindl.plan.layout import element_bytes
from spindl.plan.plan import Plan
from spindl.plan.task import At, Call, Move

Sent = Mapping[tuple[int, int, int], Mapping[int, Move]]
"""(core, number of its task, number of the block) -> by place in the block: the load that brought it."""


def check_deliveries(plans: Sequence[Plan]) -> None:
    """Raises PlanError if the plans of all chips break a rule: that is an error of the planner."""
    if not plans[0].deliveries:
        return
    sent = _sent(plans[0])
    shards = {(each.chip, plans[0].places[each.node]): each.offset for each in plans[0].staged}
    for chip, plan in enumerate(plans[1:], 1):
        spans: dict[str, list[tuple[int, int]]] = {}
        sharded = {plan.places[index] for index in plan.shards if index in plan.places}
        for core in range(plan.machine.cores):
            for move, source in _stored(plan, core, sent):
                offset = source.offset
                shard = shards.get((chip, move.buffer))
                wanted = (move.buffer, move.offset) if shard is None else (STAGED_STATES, shard + move.offset)
                if (source.buffer, offset) != wanted or (shard is None and move.buffer in sharded):
                    raise _wrong(f"{move.buffer} from {move.offset} gets {source.buffer} from {offset}", chip, core)
                spans.setdefault(move.buffer, []).append((move.offset, move.offset + move.bytes))
        _check_whole(plan, spans)


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


def _check_whole(plan: Plan, spans: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    for index, node in enumerate(plan.graph.nodes):
        if node.op != "state":
            continue
        site = node.format.kind == "site"
        start, stop = plan.shards.get(index, (0, prod(node.shape)))
        name = ends.STATES if site else plan.places[index]
        size = plan.buffers[name].size if site else (stop - start) * element_bytes(node.format)
        edges = sorted(spans.get(name, []))
        if not edges or edges[0][0] or edges[-1][1] < size or any(a[1] != b[0] for a, b in itertools.pairwise(edges)):
            raise _wrong(f"{name} of {size} bytes gets {edges[:4]}", plan.chip, 0)
    if not spans.get(ends.STATE_WORDS):
        raise _wrong("the words of state do not come", plan.chip, 0)


__all__ = ["check_deliveries"]
