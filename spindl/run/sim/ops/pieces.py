"""Exact results made piece by piece: a piece is rounded while it is still in the CPU's cache.

Device tensors of these ops lie channels first, (C, N, H, W) for the logical (N, C, H, W): a channel is one row, which
is what matrix products and numbers per channel want.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from spindl.graph.graph import Node
from spindl.run.sim.ops.table import Implementation, implements
from spindl.run.sim.rounding import Exact, as_tensor
from spindl.run.sim.values import SimValue

Pieces = Iterator[tuple[Tensor, Exact]]
"""Views of the result, channels first, that cover it, each with the exact values that belong there. The receiver may
overwrite both."""

Producer = Callable[..., tuple[int, Pieces]]
"""(node, logical tensor for the result, *inputs) -> the exponent of the exact values, pieces of that tensor."""

PRODUCERS: dict[str, Producer] = {}

BLOCK = 1 << 17
"""Elements of a block of element-wise work on a CPU: 1 MiB in float64, about a core's second-level cache."""


def channels_first(x: Tensor) -> Tensor:
    """(N, C, ...) as (C, N, ...), and back: a view."""
    return x.transpose(0, 1) if x.ndim > 1 else x


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of a logical shape that lies channels first."""
    return channels_first(torch.empty((*shape[:2][::-1], *shape[2:]), dtype=dtype, device=device))


def rows(x: Tensor) -> Tensor:
    """(N, C, ...) as (C, elements of a channel); a view of what lies channels first."""
    return channels_first(x).reshape(x.shape[1] if x.ndim > 1 else 1, -1)


def blocks(shape: torch.Size, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Parts of a matrix, each of about BLOCK elements on a CPU, few rows at a time; elsewhere the whole."""
    height, width = shape
    size = BLOCK if device.type == "cpu" else max(1, height * width)
    tall = max(1, min(height, size // max(1, width)))
    wide = max(1, min(width, size // tall))
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            yield slice(top, min(top + tall, height)), slice(left, min(left + wide, width))


def float64(x: Tensor) -> Tensor:
    """A copy in float64."""
    return x.to(torch.float64)


def in_pieces(op: str) -> Callable[[Producer], Producer]:
    """Declare how the exact values of an op are made, which also implements the op: its pieces, stored as int64."""

    def register(producer: Producer) -> Producer:
        PRODUCERS[op] = producer
        implements(op)(_stored(producer))
        return producer

    return register


def _stored(producer: Producer) -> Implementation:
    def implementation(node: Node, *inputs: SimValue) -> SimValue:
        wide = empty(node.shape, torch.int64, inputs[0].data.device)
        exponent, pieces = producer(node, wide, *inputs)
        for place, exact in pieces:
            place.copy_(as_tensor(exact))
        return SimValue(wide, exponent)

    return implementation
