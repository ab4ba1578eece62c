"""Jobs: nodes of a training graph that are computed together, tile by tile, so that what lies between is never stored.

    rounding   producer [-> add_bias] -> requantise [-> relu | sum_groups], with extent and clamped elements
    loss       gradient (rounded), loss and hits of the same logits
    sums       channel_sum and channel_dot of one tensor
    channels   BatchNorm's numbers per channel, one after the other
    update     one parameter's direction, momentum, saturation, descent
    others     one node each

Every node has a *home*: the node under whose name its value lies in memory. It differs from the node where nothing
moves (a reshape that changes no order, relu inside a rounding).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from spindl.graph.graph import Graph, Node
from spindl.plan.errors import PlanError
from spindl.plan.layout import permute_loops, reshape_loops, stays

CHANNEL_OPS = frozenset(
    {"inverse_deviation", "running_inverse_deviation", "batch_norm_scale", "batch_norm_offset", "running_offset"}
    | {"gamma_gradient", "running_gamma_gradient", "batch_norm_slope", "batch_norm_gradient_offset"}
    | {"running_mean", "running_variance", "pair_to_wide"}
)
UPDATE_OPS = frozenset(["direction", "momentum", "saturate32", "scale_direction", "descend"])
SUM_OPS = frozenset({"channel_sum", "channel_dot"})
LOSS_OPS = frozenset(f"{kind}_loss" for kind in ("cross_entropy", "squared_error", "binary_cross_entropy")) | {
    "correct",
    "binary_correct",
}
SINGLE_OPS = frozenset(
    ["narrow", "relu", "relu6", "relu_gradient", "relu6_gradient", "max_pool", "batch_sum", "squared_norm", "lars_rate"]
)
STATISTICS = frozenset({"extent", "saturation", "next_site"})
ACTIVATIONS = {"relu": 1, "relu6": 2}
_RELU_ONLY = frozenset({"convolution"})
"""Producers whose kernels end with ReLU but not with ReLU6."""
_NO_ACTIVATION = frozenset({"convolution_input_gradient", "convolution_weight_gradient"})


@dataclass(frozen=True)
class Rounding:
    """Nodes of a rounding; None where the graph has no such node.

    Attributes:
        producer: makes the exact values (a leaf where features are rounded as they come).
        bias: the add_bias after it.
        requantise: the rounding; its value is what is stored, after the activation.
        activation: 0 none, 1 ReLU, 2 ReLU6.
        summed: the sum over gradient groups, which is stored instead.
    """

    producer: int
    bias: int | None
    requantise: int
    activation: int = 0
    summed: int | None = None


@dataclass(frozen=True)
class Part:
    """Some turns of an exchange around the rings: those before and behind are made in other phases.

    Attributes:
        first: number of the first turn.
        stop: the one behind the last; None: up to the end.
        words: of a block, at most.
    """

    first: int
    stop: int | None
    words: int


@dataclass(frozen=True)
class Job:
    """Nodes that are computed together.

    Attributes:
        kind: which builder of tasks makes it.
        nodes: all its nodes, in order.
        reads: homes of the values it reads from memory.
        writes: homes of the values it leaves in memory.
        rounding: of kinds "rounding" and "loss".
        first: jobs whose tiles it makes just before its own, so that they are not loaded again.
        part: of kinds "reduce" and "gather": which turns are made; None: all.
        crowded: of exchanges between chips: in the same phase others go over the same links, rings and tree.
    """

    kind: str
    nodes: tuple[int, ...]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    rounding: Rounding | None = None
    first: tuple[Job, ...] = ()
    part: Part | None = None
    crowded: bool = False


@dataclass
class _Finder:
    graph: Graph
    users: list[list[int]]
    visible: set[int]
    home: dict[int, int] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    jobs: list[Job] = field(default_factory=list)

    def at(self, index: int) -> int:
        while index in self.home:
            index = self.home[index]
        return index

    def add(
        self, kind: str, nodes: list[int], reads: list[int], writes: list[int], rounding: Rounding | None = None
    ) -> None:
        for index in nodes:
            self.taken[index] = len(self.jobs)
        self.jobs.append(Job(kind, tuple(nodes), tuple(reads), tuple(writes), rounding))


def find_jobs(graph: Graph) -> tuple[tuple[Job, ...], Mapping[int, int]]:
    """All jobs in an order in which every job stands behind those it reads from, and the homes of nodes.

    Raises:
        PlanError: an op, or a combination of ops, that no kernel computes.
    """
    finder = _Finder(graph, graph.users(), {*graph.outputs.values(), *graph.updates.values()})
    _free_moves(finder)
    roundings = {r.requantise: r for r in (_rounding(finder, i) for i in graph.find("requantise"))}
    inside = _inside(finder, roundings)
    channels = _families(graph, CHANNEL_OPS)
    updates = _families(graph, UPDATE_OPS)
    for index, node in enumerate(graph.nodes):
        if index in finder.taken or index in finder.home or not node.inputs:
            continue
        if index in roundings:
            _add_rounding(finder, roundings[index])
        elif index in inside or node.op in STATISTICS or node.op == "exponent_of":
            continue
        elif index in channels:
            _add_family(finder, "channels", channels[index])
        elif index in updates:
            _add_family(finder, "update", updates[index])
        elif node.op in SUM_OPS:
            _add_sums(finder, index)
        elif node.op in LOSS_OPS:
            _add_loss(finder, index, None)
        elif node.op in SINGLE_OPS:
            finder.add(node.op, [index], [finder.at(i) for i in node.inputs], [index])
        elif node.op in ("reshape", "permute", "slice"):
            finder.add("move", [index], [finder.at(node.inputs[0])], [index])
        else:
            raise PlanError(f"no kernel computes {node.op} here", node.name, "run this model on the simulator")
    homes = {index: finder.at(index) for index in range(len(graph.nodes))}
    return ordered(graph, finder.jobs, homes), homes


def _free_moves(finder: _Finder) -> None:
    for index, node in enumerate(finder.graph.nodes):
        before = finder.graph.nodes[node.inputs[0]].shape if node.inputs else ()
        free = (node.op == "reshape" and stays(reshape_loops(before, node.shape))) or (
            node.op == "permute" and stays(permute_loops(before, tuple(node.attributes["order"])))
        )
        if free:
            finder.home[index] = node.inputs[0]


def _only_user(finder: _Finder, index: int) -> int | None:
    """The node that alone reads a value, past moves that are free."""
    while True:
        if index in finder.visible or len(finder.users[index]) != 1:
            return None
        index = finder.users[index][0]
        if finder.home.get(index) is None:
            return index


def _rounding(finder: _Finder, index: int) -> Rounding:
    nodes, users = finder.graph.nodes, finder.users
    wide = nodes[index].inputs[0]
    readers = [user for user in users[wide] if nodes[user].op not in STATISTICS]
    if readers != [index] or wide in finder.visible:
        raise PlanError("exact values that are rounded are read by something else too", nodes[index].name)
    producer, bias = wide, None
    if nodes[wide].op == "add_bias":
        producer, bias = nodes[wide].inputs[0], wide
        if nodes[producer].op != "convolution" or users[producer] != [wide]:
            raise PlanError("a bias without a convolution of its own", nodes[index].name)
    op, after = nodes[producer].op, _only_user(finder, index)
    activation, summed = 0, None
    possible = op not in _NO_ACTIVATION and (op not in _RELU_ONLY or after is None or nodes[after].op == "relu")
    if after is not None and nodes[after].op in ACTIVATIONS and possible:
        activation = ACTIVATIONS[nodes[after].op]
        finder.home[after] = nodes[after].inputs[0]
    if after is not None and nodes[after].op == "sum_groups":
        summed = after
    if op == "convolution_weight_gradient" and summed is None:
        raise PlanError("a weight gradient that is not summed over its groups", nodes[index].name)
    return Rounding(producer, bias, index, activation, summed)


def _inside(finder: _Finder, roundings: Mapping[int, Rounding]) -> set[int]:
    """Nodes that belong to a rounding and have no value in memory."""
    inside: set[int] = set()
    for rounding in roundings.values():
        inside |= {rounding.producer, *([rounding.bias] if rounding.bias is not None else [])}
        inside |= {rounding.summed} if rounding.summed is not None else set()
    return {index for index in inside if finder.graph.nodes[index].inputs}


def _add_rounding(finder: _Finder, r: Rounding) -> None:
    nodes = finder.graph.nodes
    op = nodes[r.producer].op
    if op in ("cross_entropy_gradient", "squared_error_gradient", "binary_cross_entropy_gradient"):
        _add_loss(finder, r.producer, r)
        return
    reads = [finder.at(i) for i in nodes[r.producer].inputs] or [r.producer]
    if r.bias is not None:
        reads.append(finder.at(nodes[r.bias].inputs[1]))
    members = [i for i in (r.producer, r.bias, r.requantise, r.summed) if i is not None and nodes[i].inputs]
    finder.add("rounding", members, reads, [r.summed if r.summed is not None else r.requantise], r)


def _add_loss(finder: _Finder, index: int, rounding: Rounding | None) -> None:
    """The loss ops of the same logits and targets, in one job."""
    nodes = finder.graph.nodes
    z, target = nodes[index].inputs
    same = [
        i
        for i, node in enumerate(nodes)
        if node.op in LOSS_OPS
        and i not in finder.taken
        and [finder.at(k) for k in node.inputs] == [finder.at(z), target]
    ]
    if rounding is None:
        gradients = [i for i, n in enumerate(nodes) if n.op.endswith("_gradient") and n.inputs == (z, target)]
        if gradients:  # the job comes with the rounding of the gradient
            wide = finder.users[gradients[0]]
            requantise = next(i for i in wide if nodes[i].op == "requantise")
            rounding = _rounding(finder, requantise)
    members, writes = list(same), list(same)
    if rounding is not None:
        members += [rounding.producer, rounding.requantise]
        writes.append(rounding.requantise)
    finder.add("loss", sorted(members), [finder.at(z), target], writes, rounding)


def _add_sums(finder: _Finder, index: int) -> None:
    """channel_sum(x) together with channel_dot(x, y) for one y."""
    nodes = finder.graph.nodes
    x = finder.at(nodes[index].inputs[0])
    mates = [index]
    for other in range(index + 1, len(nodes)):
        node = nodes[other]
        new = node.op in SUM_OPS - {nodes[i].op for i in mates}
        if new and other not in finder.taken and finder.at(node.inputs[0]) == x:
            mates.append(other)
    second = [finder.at(nodes[i].inputs[1]) for i in mates if nodes[i].op == "channel_dot"]
    finder.add("sums", mates, [x, *second], mates)


def _families(graph: Graph, ops: frozenset[str]) -> dict[int, list[int]]:
    """Groups of these ops that follow each other directly, by member.

    Nodes of a group have the same depth, counted in steps that enter or leave the ops: so no path leaves a group and
    comes back to it.
    """
    depth: list[int] = []
    parent: dict[int, int] = {}

    def root(index: int) -> int:
        while parent[index] != index:
            index = parent[index]
        return index

    for index, node in enumerate(graph.nodes):
        inner = node.op in ops
        steps = [depth[i] + (not (inner and graph.nodes[i].op in ops)) for i in node.inputs]
        depth.append(max(steps, default=0))
        if inner:
            parent[index] = index
            for i in node.inputs:
                if graph.nodes[i].op in ops and depth[i] == depth[index]:
                    parent[root(i)] = root(index)
    groups: dict[int, list[int]] = {}
    for index in parent:
        groups.setdefault(root(index), []).append(index)
    return {index: sorted(groups[root(index)]) for index in parent}


def _add_family(finder: _Finder, kind: str, members: list[int]) -> None:
    nodes = finder.graph.nodes
    reads: list[int] = []
    for index in members:
        for i in _operands(nodes[index]):
            place = finder.at(i)
            if i not in members and place not in members and place not in reads and nodes[i].op != "exponent_of":
                reads.append(place)
    outside = [
        i
        for i in members
        if i in finder.visible
        or any(user not in members and nodes[user].op not in STATISTICS for user in finder.users[i])
    ]
    finder.add(kind, members, reads, outside)


def _operands(node: Node) -> tuple[int, ...]:
    """Inputs whose elements a channel or update op reads: sites and references of exponents are not among them."""
    if node.op == "batch_norm_scale":
        return node.inputs[:2]
    drop = {
        "batch_norm_offset": {3},
        "running_offset": {3},
        "batch_norm_slope": {3, 4},
        "batch_norm_gradient_offset": {4},
        "pair_to_wide": {1},
        "direction": {2},
        "scale_direction": {2},
    }.get(node.op, set())
    return tuple(i for place, i in enumerate(node.inputs) if place not in drop)


def operands(node: Node) -> tuple[int, ...]:
    """Inputs whose elements an op reads."""
    return _operands(node)


def dependencies(graph: Graph, jobs: Sequence[Job], homes: Mapping[int, int]) -> list[set[int]]:
    """For each job the jobs that must be done before it: producers, and earlier readers of state that it overwrites."""
    makers: dict[int, list[int]] = {}  # in their order: a sum, its total, its exchange
    for number, job in enumerate(jobs):
        for index in job.writes:
            makers.setdefault(index, []).append(number)
    states = {str(n.attributes["name"]): i for i, n in enumerate(graph.nodes) if n.op == "state"}
    overwritten = {homes[index]: states[name] for name, index in graph.updates.items()}
    readers: dict[int, set[int]] = {}
    for number, job in enumerate(jobs):
        for index in job.reads:
            readers.setdefault(index, set()).add(number)
    result = []
    for number, job in enumerate(jobs):
        needed = {_last_maker(makers[index], number) for index in job.reads if index in makers}
        for index in job.writes:
            if index in overwritten:
                needed |= readers.get(overwritten[index], set())
        result.append(needed - {number})
    return result


def _last_maker(makers: list[int], reader: int) -> int:
    """The last job that makes a value, or the one before the reader if that is one of them."""
    return makers[makers.index(reader) - 1] if reader in makers else makers[-1]


def ordered(graph: Graph, jobs: list[Job], homes: Mapping[int, int]) -> tuple[Job, ...]:
    """The jobs, each behind those that it needs. Raises PlanError if there is no such order."""
    needs = dependencies(graph, jobs, homes)
    done: dict[int, None] = {}
    waiting = list(range(len(jobs)))
    while waiting:
        ready = [number for number in waiting if needs[number] <= done.keys()]
        if not ready:
            raise PlanError(
                "state is overwritten while something still needs it", graph.nodes[jobs[waiting[0]].nodes[0]].name
            )
        done |= dict.fromkeys(ready)
        waiting = [number for number in waiting if number not in done]
    return tuple(jobs[number] for number in done)


def levels(
    graph: Graph,
    jobs: Sequence[Job],
    homes: Mapping[int, int],
    at_least: Mapping[int, int] = MappingProxyType({}),
) -> list[int]:
    """For each job the phase it can run in, from 0: one behind the last that it needs.

    Args:
        graph, jobs, homes: what is computed; each job stands behind those that it needs.
        at_least: by number of a job, a phase before which it is not to run.
    """
    result: list[int] = []
    for number, needed in enumerate(dependencies(graph, jobs, homes)):
        result.append(max((at_least.get(number, 0), *(result[other] + 1 for other in needed))))
    return result
