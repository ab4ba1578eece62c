"""Session of the executor "sim": a Program's graphs compiled once each, and its State on the device."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from spindl.graph.operations import Value
from spindl.program import Program, State
from spindl.run.counters import Count, modelled
from spindl.run.interface import Commit, RunError
from spindl.run.sim.memory import Memory
from spindl.run.sim.simulator import Simulator
from spindl.run.sim.values import AnyValue, SimValue, to_host


class SimulatorSession:
    """Runs graphs on torch tensors and native kernels; see `interface.Session`."""

    def __init__(self, program: Program, state: State, device: str, threads: int | None) -> None:
        self._program, self._device, self._threads = program, device, threads
        self._memory = Memory()
        self._simulators: dict[str, Simulator] = {}
        self._initial = state.values
        self._values: dict[str, AnyValue] = {}
        self._counters: dict[str, Count] = {}

    def _simulator(self, graph: str) -> Simulator:
        if graph not in self._simulators:
            simulator = Simulator(self._program.graphs[graph], self._device, self._threads, memory=self._memory)
            missing = {name: value for name, value in self._initial.items() if name not in self._values}
            self._values |= simulator.load(missing)
            self._simulators[graph] = simulator
        return self._simulators[graph]

    def step(self, graph: str, inputs: Mapping[str, Value], commit: Commit = "all") -> dict[str, Value]:
        """One step of a graph."""
        simulator = self._simulator(graph)
        outputs, updates = simulator.run(self._values, inputs)
        results = {name: _copy(value) for name, value in outputs.items()}
        kept = {name for name in updates if commit == "all" or (commit == "sites" and name.startswith("site/"))}
        replaced = [self._values[name] if name in kept else value for name, value in updates.items()]
        replaced += outputs.values()
        self._values |= {name: updates[name] for name in kept}
        in_use = {id(value) for value in self._values.values()}
        simulator.recycle([value for value in replaced if id(value) not in in_use])
        plan = self._program.plans.get(graph)
        self._counters = modelled(plan.predicted, "sim") if plan is not None else {}
        return results

    def state(self) -> dict[str, Value]:
        """All states as they are now."""
        return {name: _copy(self._values.get(name, value)) for name, value in self._initial.items()}

    def counters(self) -> dict[str, Count]:
        """What the planner foresees of the last step, if the program is planned: no cycle of a machine passes here."""
        return dict(self._counters)

    def close(self) -> None:
        """Forget compiled graphs and state."""
        self._simulators.clear()
        self._values.clear()
        self._memory = Memory()


def _copy(value: AnyValue) -> Value:
    """On the host, in memory of its own."""
    host = to_host(value)
    if isinstance(value, SimValue) and value.data.dtype != torch.int64:  # converted, so copied already
        return host
    return Value(host.mantissa.copy(), host.exponent)


def open_session(
    program: Program, state: State, *, device: str = "cpu", threads: int | None = None
) -> SimulatorSession:
    """A Session of the simulator. Raises RunError if torch has no such device here."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise RunError(f"torch cannot use the device '{device}': {error}", "device", "use device cpu") from error
    return SimulatorSession(program, state, device, threads)


__all__ = ["SimulatorSession", "open_session"]
