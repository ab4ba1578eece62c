"""Memory of the native kernels: channels-last arrays, kept for the next step instead of being returned to the system.

Fresh memory from the system costs a page fault per 4 KiB, for large tensors as much as computing them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spindl.run.sim.values import SimValue

NUMPY_TYPES: dict[torch.dtype, Any] = {torch.int16: np.int16, torch.int32: np.int32, torch.int64: np.int64}


def channels_last_order(axes: int) -> tuple[int, ...]:
    """Axes as they lie in memory: (N, C, H, W) and (O, C, KH, KW) have axis 1 innermost; up to two axes stay."""
    return (0, *range(2, axes), 1) if axes > 2 else tuple(range(axes))


def memory_array(value: SimValue) -> NDArray[Any]:
    """The mantissas of a CPU value as a C-contiguous channels-last array; a copy only if they lie otherwise."""
    if value.array is None:
        value.array = np.ascontiguousarray(value.data.permute(channels_last_order(value.data.ndim)).numpy())
    return value.array


def logical_view(array: NDArray[Any]) -> Tensor:
    """The tensor with PyTorch's order of axes over a channels-last array."""
    axes = array.ndim
    tensor = torch.from_numpy(array)
    return tensor.permute(0, axes - 1, *range(1, axes - 1)) if axes > 2 else tensor


class Memory:
    """Arrays by shape and type that can be taken and given back."""

    def __init__(self) -> None:
        self._free: dict[tuple[tuple[int, ...], torch.dtype], list[tuple[Tensor, NDArray[Any]]]] = {}

    def take(self, shape: tuple[int, ...], dtype: torch.dtype, exponent: int) -> SimValue:
        """A value of this logical shape with undefined mantissas."""
        free = self._free.get((shape, dtype))
        if free:
            tensor, array = free.pop()
        else:
            array = np.empty([shape[axis] for axis in channels_last_order(len(shape))], dtype=NUMPY_TYPES[dtype])
            tensor = logical_view(array)
        return SimValue(tensor, exponent, None, array, True)

    def free_bytes(self) -> int:
        """Bytes that are held for later use."""
        return sum(array.nbytes for arrays in self._free.values() for _, array in arrays)

    def give(self, value: object) -> None:
        """Take a value's memory back, if it came from here; the value must not be used any more."""
        if isinstance(value, SimValue) and value.owned:
            assert value.array is not None
            value.owned = False
            self._free.setdefault((tuple(value.data.shape), value.data.dtype), []).append((value.data, value.array))
