"""A checker of the plans of chips that share a batch, with its own code.

Rules:
    blocks    every block is sent once, and listened to by as many receivers as its sender waits for, with as many words
    numbers   blocks that follow each other in a stream, also from step to step, differ modulo 16: a receiver would take
              what is said again of one for the next
    routes    a packet of a stream reaches the cores that listen to it and nobody else, an answer the sender alone, over
              working links and past routers that know exactly one way; a router has room for its entries
    order     all cores come to an end: nobody waits for somebody who waits for him
    shards    the shards of a state cover it once
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from spindl.machine.topology import XY
from spindl.plan.check import check_plan
from spindl.plan.check_delivery import check_deliveries
from spindl.plan.errors import PlanError
from spindl.plan.network import machine_entries
from spindl.plan.plan import Plan
from spindl.program.machine import RouterEntry
from spindl.program.stream import BLOCK_NUMBERS, key

ENTRIES = 1023
"""Of a router that a plan may use: SC&MP keeps one."""
Core = tuple[int, int]
"""Numbers of chip and core."""
Block = tuple[int, int]
"""Stream and number."""


@dataclass(frozen=True)
class _Event:
    """What a core does with others: send, listen, receive, or barrier (block (0, 0))."""

    what: str
    block: Block = (0, 0)
    words: int = 0
    receivers: int = 0
    slot: int = 0


def check_plans(plans: Sequence[Plan]) -> None:
    """Raises PlanError if the plans of all chips break a rule, alone or together: that is an error of the planner."""
    for plan in plans:
        check_plan(plan)
        if plan.deliveries:
            check_plan(replace(plan, phases=plan.deliveries))
    check_exchanges(plans)


def check_exchanges(plans: Sequence[Plan]) -> None:
    """What lies between the chips alone, in a step and where a State is brought to all of them. Raises PlanError."""
    _check_exchanges(plans)
    if plans[0].deliveries:
        _check_exchanges([replace(plan, phases=plan.deliveries) for plan in plans])
    check_deliveries(plans)


def _check_exchanges(plans: Sequence[Plan]) -> None:
    if len(plans) > 1:
        events = {(chip, core): _events(plan, core) for chip, plan in enumerate(plans) for core in _cores(plan)}
        senders, listeners = _blocks(events)
        _check_numbers(events)
        _check_routes(plans[0], senders, listeners)
        _check_order(events, listeners)
        _check_shards(plans)


def _wrong(what: str, where: str) -> PlanError:
    return PlanError(what, where, "this is an error of the planner; please report it")


def _cores(plan: Plan) -> range:
    return range(plan.machine.cores)


def _events(plan: Plan, core: int) -> list[_Event]:
    found = []
    for number, phase in enumerate(plan.phases):
        if number:
            found.append(_Event("barrier"))
        for placed in phase.cores[core]:
            for call in placed.task.calls:
                if call.kernel in ("send", "listen", "receive"):
                    a = {name: value for name, value in call.arguments.items() if isinstance(value, int)}
                    block = (a.get("stream", 0), a.get("block", 0))
                    receivers = a["receivers"] if call.kernel == "send" else 1 << a.get("receiver", 0)
                    found.append(_Event(call.kernel, block, a.get("words", 0), receivers, a.get("slot", 0)))
    return found


def _blocks(events: Mapping[Core, Sequence[_Event]]) -> tuple[dict[Block, Core], dict[Block, list[Core]]]:
    """Who sends and who listens to each block."""
    senders: dict[Block, Core] = {}
    listeners: dict[Block, list[Core]] = {}
    wanted: dict[Block, tuple[int, int]] = {}
    heard: dict[Block, int] = {}
    for core, each in events.items():
        for event in each:
            if event.what == "send":
                if event.block in senders:
                    raise _wrong(f"block {event.block} is sent twice", f"chip and core {core}")
                senders[event.block], wanted[event.block] = core, (event.receivers, event.words)
    for core, each in events.items():
        for event in each:
            if event.what == "listen":
                receivers, words = wanted.get(event.block, (0, 0))
                if event.words != words or not event.receivers & receivers & ~heard.get(event.block, 0):
                    raise _wrong(f"block {event.block} of {event.words} words is not sent so", f"chip and core {core}")
                heard[event.block] = heard.get(event.block, 0) | event.receivers
                listeners.setdefault(event.block, []).append(core)
    for block, (receivers, _) in wanted.items():
        if heard.get(block) != receivers:
            raise _wrong(f"block {block} waits for receivers {receivers:#x}", f"chip and core {senders[block]}")
    return senders, listeners


def _check_numbers(events: Mapping[Core, Sequence[_Event]]) -> None:
    for core, each in events.items():
        sent: dict[int, list[int]] = {}
        for event in each:
            if event.what == "send":
                sent.setdefault(event.block[0], []).append(event.block[1])
        for stream, numbers in sent.items():
            for number, following in itertools.pairwise([*numbers, numbers[0]]):
                if (number - following) % BLOCK_NUMBERS == 0:
                    what = f"block {following} of stream {stream} follows block {number}: one number modulo 16"
                    raise _wrong(what, f"chip and core {core}")


def _check_routes(plan: Plan, senders: Mapping[Block, Core], listeners: Mapping[Block, Sequence[Core]]) -> None:
    entries = machine_entries(plan.machine)
    for xy, each in entries.items():
        if len(each) > ENTRIES:
            raise _wrong(f"{len(each)} router entries, {ENTRIES} are possible", f"chip {xy}")
    used = plan.machine.used
    neighbours = {(place.x, place.y): place.neighbours for place in plan.machine.topology.places}
    known: dict[int, tuple[Core, frozenset[Core]]] = {}
    for block, sender in senders.items():
        ends = sender, frozenset(listeners[block])
        if known.setdefault(block[0], ends) != ends:
            raise _wrong(f"stream {block[0]} has several senders or sets of receivers", f"block {block[1]}")
    for stream, (sender, receivers) in known.items():
        reached = _reached(entries, neighbours, used, key(stream, 0, 0), used[sender[0]])
        if reached != receivers:
            raise _wrong(f"stream {stream} reaches {sorted(reached)}, listened to by {sorted(receivers)}", "routes")
        for chip, _ in receivers:
            if _reached(entries, neighbours, used, key(stream + 1, 0, 0), used[chip]) != {sender}:
                raise _wrong(f"answers to stream {stream} from chip {chip} do not reach {sender} alone", "routes")


def _reached(
    entries: Mapping[XY, Sequence[RouterEntry]],
    neighbours: Mapping[XY, Sequence[XY | None]],
    used: Sequence[XY],
    packet: int,
    start: XY,
) -> frozenset[Core]:
    """The cores that a packet comes to."""
    found: set[Core] = set()
    queue = [start]
    for xy in queue:
        matching = [entry for entry in entries.get(xy, ()) if packet & entry.mask == entry.key]
        if len(matching) != 1 or len(queue) > len(neighbours):
            raise _wrong(f"{len(matching)} entries for key {packet:#x}, or a way in a circle", f"chip {xy}")
        found |= {(used.index(xy), core) for core in matching[0].cores}
        for link in matching[0].links:
            other = neighbours[xy][link]
            if other is None:
                raise _wrong(f"key {packet:#x} leaves by link {link}, which does not work", f"chip {xy}")
            queue.append(other)
    return frozenset(found)


def _check_order(events: Mapping[Core, Sequence[_Event]], listeners: Mapping[Block, Sequence[Core]]) -> None:
    """Runs through all events; a block arrives when its sender sends it and its receivers have listened."""
    at = dict.fromkeys(events, 0)
    heard: set[tuple[Block, Core]] = set()
    sent: set[Block] = set()
    slots: dict[tuple[Core, int], Block | None] = {}
    chips: dict[int, list[Core]] = {}
    for core in events:
        chips.setdefault(core[0], []).append(core)

    def goes_on(core: Core, event: _Event) -> bool:
        if event.what == "listen":
            if slots.get((core, event.slot)) is not None:
                raise _wrong(f"slot {event.slot} is listened to before its block is received", f"chip and core {core}")
            slots[core, event.slot] = event.block
            heard.add((event.block, core))
            return True
        if event.what == "send":
            sent.add(event.block)
            return all((event.block, other) in heard for other in listeners[event.block])
        if event.what == "receive":
            block = slots.get((core, event.slot))
            if block is None:
                raise _wrong(f"slot {event.slot} is received without a block", f"chip and core {core}")
            if block in sent:
                slots[core, event.slot] = None
            return block in sent
        return False

    moved = True
    while moved:
        moved = False
        for core, each in events.items():
            while at[core] < len(each) and goes_on(core, each[at[core]]):
                at[core] += 1
                moved = True
        for cores in chips.values():
            if all(at[c] < len(events[c]) and events[c][at[c]].what == "barrier" for c in cores):
                at.update({c: at[c] + 1 for c in cores})
                moved = True
    stuck = [(core, each[at[core]]) for core, each in events.items() if at[core] < len(each)]
    if stuck:
        (chip, index), event = next((s for s in stuck if s[1].what != "barrier"), stuck[0])
        raise _wrong(f"{event.what} of {event.block} waits for ever", f"chip {chip}, core {index}")


def _check_shards(plans: Sequence[Plan]) -> None:
    first = plans[0]
    for index in {i for plan in plans for i in plan.shards if first.graph.nodes[i].op == "state"}:
        name = f"state {first.graph.nodes[index].attributes['name']}"
        if any(index not in plan.shards for plan in plans):
            raise _wrong("a state in shards on some chips only", name)
        end = 0
        for start, stop in sorted(plan.shards[index] for plan in plans):
            if start != end or stop <= start:
                raise _wrong(f"a shard begins at {start} behind one that ends at {end}", name)
            end = stop
        if end != prod(first.graph.nodes[index].shape):
            raise _wrong(f"shards that end at {end} of {prod(first.graph.nodes[index].shape)}", name)
