"""Values of the simulator: torch tensors on the device, small numbers on the host, and what is on its way between them.

Where a value lives follows from its format: sites, scalars, counts and pairs are made and read by ops that work on the
host (NumPy, Python integers); everything else stays on the device in its storage type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spindl.graph.graph import Format
from spindl.graph.operations import Value

STORAGE: dict[str, torch.dtype] = {
    "int16": torch.int16,
    "int32": torch.int32,
    "wide": torch.int64,
    "uint8": torch.uint8,
    "label": torch.int64,
    "pair": torch.int64,
    "site": torch.int64,
    "scalar": torch.int64,
    "count": torch.int64,
}
HOST_KINDS = ("pair", "site", "scalar", "count")


@dataclass(slots=True)
class SimValue:
    """Mantissas on the device and their exponent.

    Attributes:
        data: logical (PyTorch's) shape, any memory layout, storage type of the format.
        exponent: known on the host.
        lift: a 0-d tensor still to be added to the exponent (torch's `descend` makes one, to not wait for the device).
        array: the same memory as the native kernels want it, if known (see `spindl.run.sim.memory`).
        owned: whether the memory belongs to a Memory.
    """

    data: Tensor
    exponent: int
    lift: Tensor | None = None
    array: NDArray[Any] | None = None
    owned: bool = False


@dataclass(slots=True)
class Pending:
    """A few integers that the device has yet to deliver, and what the host makes of them."""

    raw: Tensor
    finish: Callable[[NDArray[np.int64]], Value]


AnyValue = SimValue | Pending | Value


def as_value(x: SimValue) -> Value:
    """A device value as the interpreter would hold it: int64 mantissas on the host."""
    exponent = x.exponent + (int(x.lift) if x.lift is not None else 0)
    return Value(x.data.to("cpu", torch.int64).contiguous().numpy(), exponent)


def to_host(x: AnyValue) -> Value:
    """Any value for an op that works on the host."""
    if isinstance(x, Value):
        return x
    if isinstance(x, Pending):
        return x.finish(x.raw.to("cpu", torch.int64).numpy())
    return as_value(x)


def to_device(x: AnyValue, device: torch.device, dtype: torch.dtype = torch.int64) -> SimValue:
    """Any value for an op that works on the device, with mantissas of a storage type (which must hold them)."""
    if isinstance(x, SimValue):
        return x
    host = to_host(x)
    return SimValue(from_numpy(host.mantissa, dtype).to(device, non_blocking=True), host.exponent)


def from_numpy(array: NDArray[Any], dtype: torch.dtype) -> Tensor:
    """An integer array as a CPU tensor of this type; shares memory where the types agree."""
    contiguous = np.require(array, requirements=("C", "W"))
    return torch.from_numpy(contiguous).to(dtype)


def storage_type(format: Format) -> torch.dtype:
    """The tensor type that holds values of this format."""
    return STORAGE[format.kind]


def read_together(values: Sequence[AnyValue]) -> list[Value]:
    """Fetch several small values from the device in one transfer, so that the device is waited for once.

    A CPU's statistics are on the host already.
    """
    pieces: list[Tensor] = []
    for value in values:
        if isinstance(value, Value):
            continue
        pieces.append((value.raw if isinstance(value, Pending) else value.data).reshape(-1).to(torch.int64))
        if isinstance(value, SimValue) and value.lift is not None:
            pieces.append(value.lift.reshape(-1).to(torch.int64))
    numbers = torch.cat(pieces).cpu().numpy() if pieces else np.zeros(0, np.int64)
    result, place = [], 0
    for value in values:
        if isinstance(value, Value):
            result.append(value)
            continue
        tensor = value.raw if isinstance(value, Pending) else value.data
        mantissa = numbers[place : place + tensor.numel()].reshape(tuple(tensor.shape))
        place += tensor.numel()
        if isinstance(value, Pending):
            result.append(value.finish(mantissa))
            continue
        exponent = value.exponent
        if value.lift is not None:
            exponent, place = exponent + int(numbers[place]), place + 1
        result.append(Value(mantissa, exponent))
    return result
