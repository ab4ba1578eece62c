"""Batch normalisation on the device: the two exact sums; what follows per channel is the host's."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.run.sim.ops.pieces import BLOCK, blocks, float64, lanes
from spindl.run.sim.ops.table import implements
from spindl.run.sim.rounding import largest_magnitude
from spindl.run.sim.values import SimValue

SUMMED = 2**22
"""Most products of two int16 values whose sum stays within 2^52."""
ADDED = 2**15
"""Most int16 values that are summed in 32 bits."""
FEWEST_TOGETHER = 4
"""Products of large values are summed in float64 at once: so few in 32 bits would save nothing."""
MOST_TOGETHER = 64
"""Products that are summed in 32 bits before all are."""


def _sums(x: Tensor, y: Tensor | None) -> Tensor:
    """Sums of x, or of x * y, over all axes but the channels, as int64: float64 within a block, int64 across blocks."""
    first = lanes(x)
    second = None if y is None else first if y is x else lanes(y)
    together = 0 if second is None else _together(first, second)
    total = torch.zeros(first.shape[1], dtype=torch.int64, device=x.device)
    for part, columns in _parts(first):
        block = first[part, columns]
        if second is None and len(block) <= ADDED:
            total[columns] += block.sum(0, dtype=torch.int32)
            continue
        if second is not None and together >= FEWEST_TOGETHER:
            products = block.to(torch.int32)
            products.mul_(products if second is first else second[part, columns].to(torch.int32))
            whole = len(products) - len(products) % together
            few = products[:whole].view(-1, together, products.shape[1]).sum(1, dtype=torch.int32)
            total[columns] += few.sum(0) + products[whole:].sum(0)
            continue
        block = float64(block)
        if second is not None:
            block = block.mul_(block if second is first else float64(second[part, columns]))
        total[columns] += block.sum(0).to(torch.int64)
    return total.view(-1, x.shape[1]).sum(0)


def _together(x: Tensor, y: Tensor) -> int:
    """How many products of int16 values can surely be summed in 32 bits. Another device than the CPU is not asked."""
    if x.device.type != "cpu":
        return 0
    largest = int(largest_magnitude(x)) * int(largest_magnitude(y))
    return min(MOST_TOGETHER, (2**31 - 1) // max(1, largest))


def _parts(x: Tensor) -> list[tuple[slice, slice]]:
    assert BLOCK <= SUMMED
    if x.device.type == "cpu":
        return list(blocks(x.shape, x.device))
    return [(slice(i, i + SUMMED), slice(None)) for i in range(0, x.shape[0], SUMMED)]


@implements("channel_sum")
def channel_sum(node: Node, x: SimValue) -> SimValue:
    return SimValue(_sums(x.data, None), x.exponent)


@implements("channel_dot")
def channel_dot(node: Node, x: SimValue, y: SimValue) -> SimValue:
    return SimValue(_sums(x.data, y.data), x.exponent + y.exponent)
