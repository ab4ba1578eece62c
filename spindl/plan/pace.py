"""How long the calls of streams take on a chip: the kernels send, listen and receive, waits for other chips included.

All chips compute alike. In a ring they also exchange alike: a block has come when the core's own one is sent. In the
tree they do not: sums travel from the leaves up to the root, the total down again. So each block is followed on all
chips. How far others are behind this chip when a phase ends goes on to the next one, unless computing hides it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spindl.plan.network import Network, network_of, up_stream
from spindl.plan.plan import Plan
from spindl.plan.task import Call
from spindl.plan.walk import CoreStep
from spindl.program import costs

STREAMS = frozenset({"send", "listen", "receive"})
"""Kernels whose time is that of the network."""
Numbered = tuple[int, Call]
"""A call and the number of its step on its core."""


def stream_cycles(plan: Plan, steps: Sequence[Sequence[CoreStep]], kernels: Sequence[list[int]]) -> None:
    """Sets the cycles of the calls of streams.

    Args:
        plan: of one chip.
        steps: of each of its cores.
        kernels: cycles of the kernel of each step of each core; those of streams are overwritten.
    """
    if plan.machine.chips == 1:
        return
    network = network_of(plan.machine)
    phases: list[list[list[list[Numbered]]]] = [[[] for _ in steps] for _ in plan.phases]  # phase, core, task, calls
    for core, mine in enumerate(steps):
        placed = None
        for number, step in enumerate(mine):
            if step.call is None:
                continue
            if step.placed is not placed:
                phases[step.phase][core].append([])
                placed = step.placed
            phases[step.phase][core][-1].append((number, step.call))
    late = [0.0] * plan.machine.chips  # of each chip, when it begins a phase, after this one
    for cores in phases:
        ends = list(late)
        for core, tasks in enumerate(cores):
            now = list(late)
            for calls in tasks:
                now = _after(network, plan.chip, now, calls, kernels[core])
            ends = [max(pair) for pair in zip(ends, now, strict=True)]
        late = [end - ends[plan.chip] for end in ends]


def _after(network: Network, chip: int, now: list[float], calls: list[Numbered], kernels: list[int]) -> list[float]:
    """When each chip is done with a task that it begins at `now`."""
    stream = next((call.arguments["stream"] for _, call in calls if call.kernel == "send"), None)
    if stream is None:
        took = _taken(calls, kernels)
        return [each + took for each in now]
    assert isinstance(stream, int)
    if stream < up_stream(0):
        for number, call in calls:
            if call.kernel in STREAMS:
                kernels[number] = costs.stream(call.kernel, _words(call), True, _gap(call))
        first = next(number for number, call in calls if call.kernel == "send")
        begin = max(now)  # a sender waits until the next chip listens, and so on round the ring
        kernels[first] += round(begin - now[chip])
        return [begin + _taken(calls, kernels) - (begin - now[chip])] * len(now)
    number, call = calls[0]  # it leaves the regions to those that follow
    assert not call.kernel
    now = [each + _taken(calls[:1], kernels) for each in now]
    rest = calls[1:]
    while rest:
        block, rest = _first_block(network, chip, rest)
        now = _exchanged(network, chip, now, block, kernels)
    return now


@dataclass(frozen=True)
class _Block:
    """The calls of a chip for a block of the tree.

    Attributes:
        words, gap: of it, and from packet to packet.
        listens: to its children's sums.
        own: the chip's own sums.
        added: for each child, to receive its sums and to add them.
        up: to listen to the total, send the sums to the parent, receive the total; none on the root.
        down: to send the total to the children, if there are any, and what follows.
    """

    words: int
    gap: int
    listens: list[Numbered]
    own: list[Numbered]
    added: list[list[Numbered]]
    up: list[Numbered]
    down: list[Numbered]


def _first_block(network: Network, chip: int, calls: list[Numbered]) -> tuple[_Block, list[Numbered]]:
    """The first block of some calls that `trees.exchange_tasks` has made, and the other calls."""
    at = 0

    def take(count: int) -> list[Numbered]:
        nonlocal at
        at += count
        return calls[at - count : at]

    def others() -> list[Numbered]:
        return take(next(k for k, (_, call) in enumerate(calls[at:]) if call.kernel in STREAMS))

    children = len(network.children[chip])
    listens, own = take(children), others()
    added = [[*take(1), *others()] for _ in range(children)]
    up = take(0 if network.parents[chip] is None else 3)
    down = take(2 if children else 1)
    sent = next(call for _, call in (*up, *down) if call.kernel == "send")
    return _Block(_words(sent), _gap(sent), listens, own, added, up, down), calls[at:]


def _exchanged(network: Network, chip: int, now: list[float], block: _Block, kernels: list[int]) -> list[float]:
    """When each chip is done with a block that it begins at `now`. Sets the cycles of this chip's calls of streams."""
    listen, receive = (costs.stream(kernel, 0) + costs.step(True, 0, 0, 0) for kernel in ("listen", "receive"))
    send, over = costs.stream("send", block.words, False, block.gap), costs.step(True, 0, 0, 0)
    own = _taken(block.own, kernels)
    adds = [_taken(each[1:], kernels) for each in block.added]
    add = sum(adds) / len(adds) if adds else costs.step(True, 0, 0, 0)
    for number, call in (*block.listens, *block.up[:1]):
        kernels[number] = costs.stream(call.kernel, 0)

    now, heard, come = list(now), list(now), list(now)
    order = _from_the_root(network)

    def wait(k: int, until: float, call: Numbered | None) -> None:
        """Chip k receives."""
        waited = max(0.0, until - now[k])
        now[k] += waited + receive
        if k == chip and call is not None:
            kernels[call[0]] = costs.stream("receive", 0) + round(waited)

    def say(k: int, heard: float, call: Numbered | None) -> float:
        """Chip k sends to others who listen from `heard` on: when the block has come."""
        waited = max(0.0, heard - now[k])
        now[k] += waited + send
        if k == chip and call is not None:
            kernels[call[0]] = send + round(waited)
        now[k] += over
        return now[k] - over

    for k in reversed(order):
        parent, children = network.parents[k], network.children[k]
        now[k] += len(children) * listen + own
        for slot, child in enumerate(children):
            wait(k, come[child], block.added[slot][0] if k == chip else None)
            now[k] += add
        if parent is not None:
            now[k] += listen
            heard[k] = now[k]
            come[k] = say(k, 0.0, block.up[1] if k == chip else None)
    for k in order:
        if network.parents[k] is not None:
            wait(k, come[k], block.up[2] if k == chip else None)
        if network.children[k]:
            arrival = say(k, max(heard[child] for child in network.children[k]), block.down[0] if k == chip else None)
            for child in network.children[k]:
                come[child] = arrival
        now[k] += costs.step(False, 0, 0, 0)
    return now


def _from_the_root(network: Network) -> list[int]:
    """All chips, each behind its parent."""
    order = [network.parents.index(None)]
    for k in order:
        order += network.children[k]
    return order


def _taken(calls: Sequence[Numbered], kernels: Sequence[int]) -> float:
    """Cycles of some calls on one core."""
    total = 0
    for number, call in calls:
        rows = sum(move.rows for move in (*call.loads, *call.stores))
        total += kernels[number] + costs.step(bool(call.kernel), len(call.loads), len(call.stores), rows)
    return total


def _words(call: Call) -> int:
    words = call.arguments.get("words", 0)
    assert isinstance(words, int)
    return words


def _gap(call: Call) -> int:
    gap = call.arguments.get("gap", costs.GAP)
    assert isinstance(gap, int)
    return gap
