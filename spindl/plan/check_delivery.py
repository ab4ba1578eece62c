"""A checker of what brings a State, and the pictures of a step, from where they enter to all chips, with its own code.

Rules:
    source    what a chip stores of a block is what an entrance loaded at that place of it: the same words of the same
              buffer, from the entrance that the host writes them to, or the chip's own shard or pictures where the
              host leaves them
    passed    a chip passes on the block that it has received last, from where it lies
    whole     all words of a chip's state, or of its pictures, are written by the host or stored, once
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from spindl.plan import ends
from spindl.plan.errors import PlanError
from spindl.plan.layout import element_bytes
from spindl.plan.plan import Plan
from spindl.plan.task import At, Call, Move

Block = tuple[int, int]
"""Stream and number."""
Loaded = tuple[int, Mapping[int, Move]]
"""Chip, and by place in a block the load that brought it there."""
Span = tuple[int, int]
"""First byte of a buffer and the one behind the last."""


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
    passages = [_Passages.of(plan) for plan in plans]
    loaded = {block: each for found in passages for block, each in found.loaded.items()}
    came_as = {block: each for found in passages for block, each in found.passed.items()}

    def origin(block: Block) -> Loaded | None:
        for _ in range(len(plans)):
            if block in loaded:
                return loaded[block]
            block = came_as.get(block, block)
        return None

    left = _left(plans[0])
    for chip, (plan, found) in enumerate(zip(plans, passages, strict=True)):
        spans = _written(plan, nodes)
        for move, block, at in found.stored:
            entrance, moves = origin(block) or (-1, {})
            source = moves.get(at)
            if source is None or source.bytes != move.bytes:
                raise _wrong(f"{move.buffer} is stored from no part of block {block}", chip)
            own = left.get((chip, move.buffer), [])
            shared = left.get((None, move.buffer), [])
            from_where = entrance, source.buffer, source.offset
            if not any(
                from_where == (each.entrance, each.buffer, each.start + move.offset - each.offset)
                and each.offset <= move.offset
                and move.offset + move.bytes <= each.offset + each.bytes
                for each in (*own, *shared)
            ):
                raise _wrong(f"{move.buffer} from {move.offset} gets {source.buffer} {source.offset}", chip)
            spans.setdefault(move.buffer, []).append((move.offset, move.offset + move.bytes))
        _check_whole(plan, nodes, spans)


@dataclass(frozen=True)
class _Left:
    """Bytes of a chip's buffer, from `offset` on, that an entrance has from `start` of a buffer on."""

    offset: int
    bytes: int
    entrance: int
    buffer: str
    start: int


def _left(plan: Plan) -> dict[tuple[int | None, str], list[_Left]]:
    """By the chip whose they are (None: all) and its buffer: what the host leaves on entrances."""
    found: dict[tuple[int | None, str], list[_Left]] = {}
    for name in (ends.STATES, ends.STATE_WORDS):
        found[None, name] = [_Left(0, plan.buffers[name].size, 0, name, 0)]
    for each in plan.staged:
        buffer, size = plan.places[each.node], plan.buffers[plan.places[each.node]].size
        offset = each.offset if each.chip is None else 0
        if each.part is not None:
            size = -(-(each.part[1] - each.part[0]) * element_bytes(plan.graph.nodes[each.node].format) // 8) * 8
        left = _Left(offset, size, each.entrance, each.buffer, each.offset)
        found.setdefault((each.chip, buffer), []).append(left)
    return found


def _written(plan: Plan, nodes: Sequence[int]) -> dict[str, list[Span]]:
    """What the host writes to a chip's own buffers of some nodes."""
    found: dict[str, list[Span]] = {}
    for (chip, buffer), each in _left(plan).items():
        mine = [left for left in each if left.entrance == plan.chip and left.buffer == buffer]
        if chip in (None, plan.chip):
            found.setdefault(buffer, []).extend((left.offset, left.offset + left.bytes) for left in mine)
    brought = {(each.node, each.chip) for each in plan.staged}
    for index in nodes:
        if plan.graph.nodes[index].op == "input" and (index, plan.chip) not in brought:
            found[plan.places[index]] = [(0, plan.buffers[plan.places[index]].size)]
    return found


def _wrong(what: str, chip: int) -> PlanError:
    return PlanError(what, f"chip {chip}", "this is an error of the planner; please report it")


def _number(call: Call, name: str) -> int:
    value = call.arguments[name]
    assert isinstance(value, int)
    return value


def _place(call: Call, name: str) -> At:
    value = call.arguments[name]
    assert isinstance(value, At)
    return value


@dataclass(frozen=True)
class _Passages:
    """What a chip does with blocks.

    Attributes:
        loaded: those that it loads and sends.
        passed: those that it passes on, and as which they came.
        stored: what it stores: the move, the block that it comes from, the place in that.
    """

    loaded: dict[Block, Loaded] = field(default_factory=dict)
    passed: dict[Block, Block] = field(default_factory=dict)
    stored: list[tuple[Move, Block, int]] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> _Passages:
        """Those of a plan."""
        found = cls()
        for core in range(plan.machine.cores):
            found._walk(plan, [c for p in plan.deliveries for placed in p.cores[core] for c in placed.task.calls])
        return found

    def _walk(self, plan: Plan, calls: Sequence[Call]) -> None:
        listening: dict[int, tuple[Block, At]] = {}
        last: tuple[Block, At] | None = None
        for call in calls:
            if call.kernel == "listen":
                block = _number(call, "stream"), _number(call, "block")
                listening[_number(call, "slot")] = block, _place(call, "y").plus(4)
            elif call.kernel == "send":
                block, x = (_number(call, "stream"), _number(call, "block")), _place(call, "x")
                if call.loads:
                    moves = {move.at.offset - x.offset: move for move in call.loads if move.at.region == x.region}
                    if sum(move.bytes for move in moves.values()) != 4 * _number(call, "words"):
                        raise _wrong(f"block {block} is not loaded whole", plan.chip)
                    self.loaded[block] = plan.chip, moves
                elif last is None or x != last[1]:
                    raise _wrong(f"block {block} is passed on from elsewhere", plan.chip)
                else:
                    self.passed[block] = last[0]
            elif call.kernel == "receive":
                last = block, at = listening.pop(_number(call, "slot"))
                for move in call.stores:
                    if move.at.region != at.region:
                        raise _wrong(f"{move.buffer} is stored from no part of block {block}", plan.chip)
                    self.stored.append((move, block, move.at.offset - at.offset))


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
            raise _wrong(f"{name} of {size} bytes gets {edges[:4]}", plan.chip)


__all__ = ["check_deliveries"]
