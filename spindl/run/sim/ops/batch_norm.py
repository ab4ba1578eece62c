"""Batch normalisation on the device: the two exact sums; what follows per channel is the host's."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import SimValue


def _per_channel(x: Tensor, exponent: int) -> SimValue:
    return SimValue(x.sum([axis for axis in range(x.ndim) if axis != 1], dtype=torch.int64), exponent)


@implements("channel_sum")
def channel_sum(node: Node, x: SimValue) -> SimValue:
    return _per_channel(x.data, x.exponent)


@implements("channel_dot")
def channel_dot(node: Node, x: SimValue, y: SimValue) -> SimValue:
    return _per_channel(x.data.to(torch.int32) * y.data, x.exponent + y.exponent)
