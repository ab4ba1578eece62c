"""The executor "interpreter": the definition itself, slow and obvious."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.program import Program, State
from spindl.run.counters import Count, modelled
from spindl.run.interface import Commit, RunError, committed


class InterpreterSession:
    """Runs graphs node by node in NumPy; see `interface.Session`."""

    def __init__(self, program: Program, state: State) -> None:
        self._program = program
        self._values = dict(state.values)
        self._counters: dict[str, Count] = {}

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """One step of a graph."""
        whole = {
            name: Value(np.asarray(value.mantissa, dtype=np.int64), value.exponent) for name, value in inputs.items()
        }
        outputs, updates, _ = interpret(self._program.graphs[graph], self._values, whole)
        self._values |= committed(updates, commit)
        plan = self._program.plans.get(graph)
        self._counters = modelled(plan.predicted, "interpreter") if plan is not None else {}
        return outputs

    def state(self) -> dict[str, Value]:
        """All states as they are now."""
        return {name: Value(value.mantissa.copy(), value.exponent) for name, value in self._values.items()}

    def counters(self) -> dict[str, Count]:
        """What the planner foresees of the last step, if the program is planned: no cycle of a machine passes here."""
        return dict(self._counters)

    def close(self) -> None:
        """Nothing is held."""


def open_session(
    program: Program, state: State, *, device: str = "cpu", threads: int | None = None
) -> InterpreterSession:
    """A Session of the interpreter. Raises RunError for another device than "cpu"."""
    if device != "cpu":
        raise RunError(f"the interpreter has no device '{device}'", "device", "use device cpu, or the executor sim")
    return InterpreterSession(program, state)
