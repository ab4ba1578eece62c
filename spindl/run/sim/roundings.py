"""Roundings: an exact ("wide") value together with everything that reads it, so that it need never be stored.

producer [-> add_bias] -> requantise [-> relu | sum_groups]
                       -> extent
                       -> saturation
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from spindl.graph.graph import Graph, Node
from spindl.number.rounding import limit
from spindl.run.sim import rounding
from spindl.run.sim.ops.contraction import weight_gradient_parts, with_bias
from spindl.run.sim.ops.pieces import BLOCK, PRODUCERS, Pieces, channels_first, empty
from spindl.run.sim.ops.table import TORCH_OPS
from spindl.run.sim.rounding import Exact, Statistic
from spindl.run.sim.values import SimValue


@dataclass(frozen=True)
class Rounding:
    """Node indices of one rounding place; None where the graph has no such node.

    Attributes:
        producer: makes the exact sums.
        bias: the add_bias after it.
        requantise, extent, saturation: what reads the sums.
        after: relu or sum_groups, if it alone reads the rounded values.
    """

    producer: int
    bias: int | None
    requantise: int
    extent: int | None
    saturation: int | None
    after: int | None

    @property
    def wide(self) -> int:
        """The node of the exact sums."""
        return self.bias if self.bias is not None else self.producer

    @property
    def members(self) -> tuple[int, ...]:
        """All nodes that this rounding computes or makes superfluous."""
        nodes = (self.producer, self.bias, self.requantise, self.extent, self.saturation, self.after)
        return tuple(i for i in nodes if i is not None)


@dataclass(frozen=True, slots=True)
class Target:
    """What the sums are rounded to.

    Attributes:
        exponent: of the site.
        bits: including the sign.
        even: whether ties go to the even neighbour instead of up.
        relu: whether relu follows.
        summed: whether the sum over gradient groups follows.
    """

    exponent: int
    bits: int
    even: bool
    relu: bool
    summed: bool

    def rounding(self, exponent: int) -> tuple[int, int]:
        """(shift, limit) as the native kernels want them for sums of an exponent.

        The shift is held to what they take: beyond, every non-zero sum saturates, or every sum becomes 0.
        """
        return max(-40, min(80, self.exponent - exponent)), limit(self.bits)


@dataclass(frozen=True, slots=True)
class Rounded:
    """The result of a rounding, and its statistics over the exact sums (0-d tensors if the device has them still).

    Attributes:
        result: the rounded values, after relu or the sum over groups.
        largest: max |sum|.
        saturated: how many were clamped.
        exponent: of the exact sums.
    """

    result: SimValue
    largest: Statistic
    saturated: Statistic
    exponent: int


Compute = Callable[..., Rounded | None]
"""(producer node, Target, *inputs of the producer, bias if any) -> Rounded, or None where it cannot do this one."""

AFTER = {"relu": None, "sum_groups": "convolution_weight_gradient"}
"""Ops that may join a rounding, and the only producer they may join (None: any)."""


def find_roundings(graph: Graph) -> list[Rounding]:
    """Every rounding whose exact values nothing else reads."""
    nodes, users = graph.nodes, graph.users()
    visible = {*graph.outputs.values(), *graph.updates.values()}
    found = []
    for index, node in enumerate(nodes):
        if node.op != "requantise":
            continue
        wide, site = node.inputs
        readers = {nodes[user].op: user for user in users[wide]}
        statistics = [nodes[user] for user in users[wide] if nodes[user].op == "saturation"]
        same = all(n.inputs == node.inputs and n.attributes == node.attributes for n in statistics)
        alone = readers.keys() <= {"requantise", "extent", "saturation"} and len(readers) == len(users[wide])
        if not (same and alone and wide not in visible and nodes[wide].inputs and nodes[site].op == "state"):
            continue
        producer, bias = wide, None
        if nodes[wide].op == "add_bias":
            inner = nodes[wide].inputs[0]
            if nodes[inner].op == "convolution" and users[inner] == [wide] and inner not in visible:
                producer, bias = inner, wide
        after = users[index][0] if len(users[index]) == 1 and index not in visible else None
        if after is not None and AFTER.get(nodes[after].op, "") not in (None, nodes[producer].op):
            after = None
        found.append(Rounding(producer, bias, index, readers.get("extent"), readers.get("saturation"), after))
    return found


def torch_rounding(node: Node, target: Target, *inputs: SimValue) -> Rounded:
    """A rounding of any producer in torch, piece by piece. Device inputs are SimValues."""
    if node.op == "convolution_weight_gradient" and target.summed:
        return _weight_gradient(node, target, inputs[0], inputs[1])
    device = inputs[0].data.device
    result = empty(node.shape, torch.int16, device)
    exponent, pieces = _exact_pieces(node, result, inputs)
    statistics = _Statistics()
    for place, exact in pieces:
        rounded = statistics.round(exact, target, exponent)
        place.copy_(rounded.clamp_(min=0) if target.relu else rounded)
    return statistics.rounded(SimValue(result, target.exponent), exponent)


def _exact_pieces(node: Node, result: Tensor, inputs: tuple[SimValue, ...]) -> tuple[int, Pieces]:
    """The producer's exponent and pieces, with the bias if there is one more input than the producer has."""
    count = len(node.inputs)
    produce = PRODUCERS.get(node.op)
    if produce is None:
        stored = TORCH_OPS[node.op](node, *inputs)
        assert isinstance(stored, SimValue)
        return stored.exponent, iter([(channels_first(result), channels_first(stored.data))])
    exponent, pieces = produce(node, result, *inputs[:count])
    return with_bias(exponent, pieces, inputs[count]) if len(inputs) > count else (exponent, pieces)


@dataclass(slots=True)
class _Statistics:
    """Of the exact sums of one rounding, piece by piece."""

    largest: list[Statistic] = field(default_factory=list)
    saturated: list[Statistic] = field(default_factory=list)

    def round(self, exact: Exact, target: Target, exponent: int) -> Tensor:
        """The rounded and clamped values, in the type and perhaps the memory of the exact ones."""
        shift = target.exponent - exponent
        rounded, largest, saturated = rounding.rounded_in_place(exact, shift, target.bits, target.even)
        self.largest.append(largest)
        self.saturated.append(saturated)
        return rounded

    def rounded(self, result: SimValue, exponent: int) -> Rounded:
        """The end of the rounding."""
        largest, saturated = self.largest[0], self.saturated[0]
        for more, clamped in zip(self.largest[1:], self.saturated[1:], strict=True):
            largest = _larger(largest, more)
            saturated = saturated + clamped
        return Rounded(result, largest, saturated, exponent)


def _larger(a: Statistic, b: Statistic) -> Statistic:
    return torch.maximum(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else max(int(a), int(b))


def _weight_gradient(node: Node, target: Target, dy: SimValue, x: SimValue) -> Rounded:
    """The weight gradients of a few groups at a time, rounded and added up (below 2^31)."""
    exponent = dy.exponent + x.exponent
    result = torch.zeros(node.shape[1:], dtype=torch.int32, device=dy.data.device)
    # float64 sums of the rounded values; a smaller last group may be computed in another way, with other axes
    totals: dict[tuple[int, int, int, int, tuple[int, ...]], Tensor] = {}
    statistics = _Statistics()
    for (_, part, lines, axes), wide in weight_gradient_parts(node, dy.data, x.data):
        place = (part.start, part.stop, lines.start, lines.stop, axes)
        if place not in totals:
            totals[place] = torch.zeros(wide.shape[1:], dtype=torch.float64, device=wide.device)
        total = totals[place]
        at_once = max(1, BLOCK // total.numel()) if wide.device.type == "cpu" else wide.shape[0]
        for first in range(0, wide.shape[0], at_once):
            total += statistics.round(wide[first : first + at_once], target, exponent).sum(0)
    for (first, last, top, bottom, axes), total in totals.items():
        result[first:last, :, top:bottom].permute(axes).add_(total.to(torch.int32))
    return statistics.rounded(SimValue(result, target.exponent), exponent)
