"""The table of torch implementations: op name -> function (node, *values) -> value, like the interpreter's meanings."""

from __future__ import annotations

from collections.abc import Callable

from spindl.graph.operations import Value
from spindl.run.sim.values import Pending, SimValue

Implementation = Callable[..., SimValue | Pending | Value]

TORCH_OPS: dict[str, Implementation] = {}


def implements(op: str) -> Callable[[Implementation], Implementation]:
    """Declare the torch implementation of an op."""

    def register(function: Implementation) -> Implementation:
        if op in TORCH_OPS:
            raise AssertionError(f"op {op} is implemented twice")
        TORCH_OPS[op] = function
        return function

    return register
