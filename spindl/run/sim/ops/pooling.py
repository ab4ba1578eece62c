"""Pooling in torch, window position by window position."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.graph.ops.contraction import taps
from spindl.graph.ops.pooling import RECIPROCAL_BITS, reciprocals
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import SimValue

LOWEST = -(2**15)
"""Below every int16 mantissa: padding never wins."""


def _best(x: Tensor, outputs: tuple[int, ...], a: Any) -> tuple[Tensor, Tensor]:
    """Largest value of each window and the row-major position of the first element that has it."""
    best = torch.full((*x.shape[:2], *outputs), LOWEST, dtype=torch.int16, device=x.device)
    winner = torch.zeros_like(best)
    for i, j, read, write in taps(tuple(x.shape[2:]), outputs, a["kernel"], a):
        seen = x[(..., *read)]
        better = seen > best[(..., *write)]
        best[(..., *write)] = torch.where(better, seen, best[(..., *write)])
        winner[(..., *write)].masked_fill_(better, i * a["kernel"][1] + j)
    return best, winner


@implements("max_pool")
def max_pool(node: Node, x: SimValue) -> SimValue:
    return SimValue(_best(x.data, node.shape[2:], node.attributes)[0], x.exponent)


@implements("max_pool_gradient")
def max_pool_gradient(node: Node, dy: SimValue, x: SimValue) -> SimValue:
    a: Any = node.attributes
    outputs = tuple(dy.data.shape[2:])
    winner = _best(x.data, outputs, a)[1]
    dx = torch.zeros(x.data.shape, dtype=torch.int64, device=x.data.device)
    for i, j, read, write in taps(tuple(x.data.shape[2:]), outputs, a["kernel"], a):
        won = winner[(..., *write)] == i * a["kernel"][1] + j
        dx[(..., *read)] += dy.data[(..., *write)] * won
    return SimValue(dx, dy.exponent)


def _reciprocals(node: Node, device: torch.device) -> Tensor:
    return torch.from_numpy(reciprocals(node.attributes)).to(device)


@implements("window_sum")
def window_sum(node: Node, x: SimValue) -> SimValue:
    a: Any = node.attributes
    rows = torch.stack([x.data[:, :, start:stop].sum(2, dtype=torch.int64) for start, stop in a["rows"]], 2)
    sums = torch.stack([rows[..., start:stop].sum(3) for start, stop in a["columns"]], 3)
    return SimValue(sums * _reciprocals(node, sums.device), x.exponent - RECIPROCAL_BITS)


@implements("window_sum_gradient")
def window_sum_gradient(node: Node, dy: SimValue) -> SimValue:
    a: Any = node.attributes
    dx = torch.zeros(node.shape, dtype=torch.int64, device=dy.data.device)
    scaled = dy.data * _reciprocals(node, dy.data.device)
    for i, (top, bottom) in enumerate(a["rows"]):
        for j, (left, right) in enumerate(a["columns"]):
            dx[:, :, top:bottom, left:right] += scaled[:, :, i : i + 1, j : j + 1]
    return SimValue(dx, dy.exponent - RECIPROCAL_BITS)
