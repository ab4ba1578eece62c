"""Exact results made piece by piece: a piece is rounded while it is still in the CPU's cache.

Device tensors of these ops lie channels last, (N, H, W, C) for the logical (N, C, H, W), which is what byte
convolutions and patches want.
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
"""Views of the result, with axes (C, N, ...), that cover it, each with the exact values that belong there. The receiver
may overwrite both."""

Producer = Callable[..., tuple[int, Pieces]]
"""(node, logical tensor for the result, *inputs) -> the exponent of the exact values, pieces of that tensor."""

PRODUCERS: dict[str, Producer] = {}

BLOCK = 1 << 17
"""Elements of a block of element-wise work on a CPU: 1 MiB in float64, about a core's second-level cache."""

WIDTH = 1024
"""Rows of `lanes` are made about so wide: short ones are slow."""


def channels_first(x: Tensor) -> Tensor:
    """(N, C, ...) as (C, N, ...), and back: a view."""
    return x.transpose(0, 1) if x.ndim > 1 else x


def channels_last(x: Tensor) -> Tensor:
    """(N, C, ...) as a contiguous (N, ..., C): a view of what lies so."""
    return x.movedim(1, -1).contiguous() if x.ndim > 1 else x.contiguous()


def empty(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of a logical shape that lies channels last."""
    if len(shape) < 3:
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.empty((shape[0], *shape[2:], shape[1]), dtype=dtype, device=device).movedim(-1, 1)


def lanes(x: Tensor) -> Tensor:
    """(N, C, ...) as a matrix whose rows are the channels of some neighbouring pixels, all channels of one after the
    other; a view of what lies channels last."""
    channels = x.shape[1] if x.ndim > 1 else 1
    pixels, together = x.numel() // max(1, channels), 1
    while pixels % (2 * together) == 0 and 2 * together * channels <= WIDTH:
        together *= 2
    return channels_last(x).view(-1, together * channels)


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
