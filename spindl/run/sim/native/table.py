"""The tables of native implementations, and how values become the kernels' arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from spindl.graph.operations import Value
from spindl.run.sim.memory import memory_array
from spindl.run.sim.roundings import Rounded
from spindl.run.sim.values import AnyValue, SimValue, to_host

ROUNDINGS: dict[str, Callable[..., Rounded | None]] = {}
"""Producer op -> (memory, node, target, *inputs, bias if any) -> Rounded, or None if it cannot do these exponents."""
OPERATIONS: dict[str, Callable[..., AnyValue]] = {}
"""Op -> (memory, node, *values) -> value."""
HOST_OPERATIONS: dict[str, Callable[..., Value]] = {}
"""Op -> (node, *host values) -> host value."""

Function = TypeVar("Function", bound=Callable[..., Any])


def enters(table: dict[str, Any], op: str) -> Callable[[Function], Function]:
    """Declare the native implementation of an op."""

    def register(function: Function) -> Function:
        table[op] = function
        return function

    return register


def integers(x: AnyValue) -> NDArray[np.int64]:
    """A few int64 numbers per channel, wherever they are."""
    return to_host(x).mantissa


def flat(x: AnyValue) -> NDArray[Any]:
    """All mantissas in the order they lie in memory."""
    return (memory_array(x) if isinstance(x, SimValue) else to_host(x).mantissa).reshape(-1)


def rows(x: SimValue) -> NDArray[Any]:
    """All mantissas as (pixels, channels)."""
    array = memory_array(x)
    return array.reshape(-1, array.shape[-1])
