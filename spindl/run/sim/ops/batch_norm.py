"""Batch normalisation on the device: the two exact sums; what follows per channel is the host's."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.run.sim.ops.pieces import BLOCK, blocks, float64, lanes
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import SimValue

SUMMED = 2**22
"""Most products of two int16 values whose sum stays within 2^52."""
ADDED = 2**15
"""Most int16 values that are summed in 32 bits."""


def _sums(x: Tensor, y: Tensor | None) -> Tensor:
    """Sums of x, or of x * y, over all axes but the channels, as int64: float64 within a block, int64 across blocks."""
    first = lanes(x)
    second = None if y is None else first if y is x else lanes(y)
    total = torch.zeros(first.shape[1], dtype=torch.int64, device=x.device)
    for part, columns in _parts(first):
        block = first[part, columns]
        if second is None and len(block) <= ADDED:
            total[columns] += block.sum(0, dtype=torch.int32)
            continue
        block = float64(block)
        if second is not None:
            block = block.mul_(block if second is first else float64(second[part, columns]))
        total[columns] += block.sum(0).to(torch.int64)
    return total.view(-1, x.shape[1]).sum(0)


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
