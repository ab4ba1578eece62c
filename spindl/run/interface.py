"""The contract of all executors.

A module that is an executor has one function,

    open_session(program: Program, state: State, *, device: str, threads: int | None) -> Session

and gives the bits that the interpreter gives. Opening takes what is slow (compiling, moving weights to the machine); it
raises RunError if the program cannot run there, and never changes the State it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from spindl.errors import SpindlError
from spindl.graph.operations import Value

if TYPE_CHECKING:
    from spindl.run.counters import Count

Commit = Literal["all", "sites", "none"]
"""Which updates of a step stay: all; only those named "site/..." (a dry pass for first exponents); none."""


class RunError(SpindlError):
    """An executor cannot run a program, or cannot go on."""


class Session(Protocol):
    """A Program with its State on an executor."""

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """Run one graph of the Program once.

        Args:
            graph: its name.
            inputs: a Value for each `input` node of that graph, by name; more are ignored. Mantissas are NumPy arrays
                of any integer type whose values fit the node's format.
            commit: which of the graph's updates the State keeps. A step that raises changes nothing.

        Returns:
            The graph's outputs by name, mantissas as NumPy arrays.
        """
        ...

    def state(self) -> dict[str, Value]:
        """The present values of all states of the Program, by name, as int64 copies that later steps do not change."""
        ...

    def counters(self) -> dict[str, Count]:
        """What the executor counted of the last step, by the names of `spindl.run.counters`; sums over all cores, but
        "cycles", which are those of the core that took longest. Empty where nothing is counted."""
        ...

    def close(self) -> None:
        """Release memory, threads and machines. Closing twice is allowed."""
        ...


def committed(updates: Mapping[str, Value], commit: Commit) -> dict[str, Value]:
    """Those of a step's updates that stay."""
    if commit == "none":
        return {}
    return {name: value for name, value in updates.items() if commit == "all" or name.startswith("site/")}
