"""Simulator: a training or evaluation graph compiled once into a list of steps on torch tensors.

Bit-equal to the interpreter. Exponents and sites stay on the host and are known before the pass, so that a step never
waits for the device except where a host op needs sums that the device made (BatchNorm's, LARS's norms) and at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np
import torch

from spindl.graph.graph import Graph, GraphError, Node
from spindl.graph.operations import Value
from spindl.run.sim.compiler import Step, compile_graph
from spindl.run.sim.memory import Memory
from spindl.run.sim.native import choose_backend
from spindl.run.sim.values import HOST_KINDS, AnyValue, Pending, SimValue, read_together, storage_type, to_device


class Simulator:
    """Runs one graph; holds no state of the training, only compiled steps and memory to reuse."""

    def __init__(
        self,
        graph: Graph,
        device: str = "cpu",
        threads: int | None = None,
        vector_path: str | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Compile.

        Args:
            graph: a training or evaluation graph that obeys the op table.
            device: "cpu", "cuda" or "cuda:N".
            threads: CPU threads; None: as torch has it.
            vector_path: how a CPU computes: "avx512vnni", "avx2", "portable" (native kernels) or "torch"; None: the
                fastest.
            memory: shared with other simulators whose runs exchange state; None: its own.

        Raises:
            GraphError: an op has no implementation here.
            RunError: this machine does not have the vector path.
        """
        self.graph, self.device = graph, torch.device(device)
        self.memory = memory if memory is not None else Memory()
        if threads is not None:
            torch.set_num_threads(threads)
        self.backend = choose_backend(self.memory, self.device, vector_path, torch.get_num_threads())
        self.steps: list[Step] = compile_graph(graph, self.device, self.backend, self.device.type != "cpu")
        self._constants = {
            index: self._place(index, _constant(node))
            for index, node in enumerate(graph.nodes)
            if node.op == "constant"
        }
        self._leaves = [index for index, node in enumerate(graph.nodes) if node.op in ("input", "state")]

    def _place(self, index: int, value: Value) -> AnyValue:
        """A leaf's value where ops expect it."""
        format = self.graph.nodes[index].format
        return value if format.kind in HOST_KINDS else to_device(value, self.device, storage_type(format))

    def load(self, values: Mapping[str, Value]) -> dict[str, AnyValue]:
        """State as `run` takes it: copies of those of these values for which the graph has a `state` node."""
        loaded = {}
        for index, node in enumerate(self.graph.nodes):
            name = str(node.attributes.get("name"))
            if node.op == "state" and name in values:
                value = values[name]
                loaded[name] = self._place(index, Value(value.mantissa.copy(), value.exponent))
        return loaded

    def run(
        self, state: Mapping[str, AnyValue], inputs: Mapping[str, Value], clock: dict[str, float] | None = None
    ) -> tuple[dict[str, AnyValue], dict[str, AnyValue]]:
        """One step.

        Args:
            state: what `load` gave, or the updates of the step before, for every `state` node by name.
            inputs: a value for every `input` node, by name.
            clock: if given, the seconds spent in each op are added to it (meaningful on a CPU only).

        Returns:
            outputs by name, new state by name (only what the step changes). Both stay valid during later runs; hand
            state that is no longer needed to `recycle`.

        Raises:
            GraphError: a value is missing or has another shape.
        """
        values: list[Any] = [None] * (2 * len(self.graph.nodes))
        for index, constant in self._constants.items():
            values[index] = constant
        for index in self._leaves:
            values[index] = self._leaf(index, state, inputs)
        self.backend.activate()
        for step in self.steps:
            started = perf_counter() if clock is not None else 0.0
            for index, value in zip(step.outputs, step.call(*[values[i] for i in step.inputs]), strict=True):
                values[index] = value
            for index in step.dead:
                self.memory.give(values[index])
                values[index] = None
            if clock is not None:
                clock[step.op] = clock.get(step.op, 0.0) + perf_counter() - started
        return self._settled(values)

    def _leaf(self, index: int, state: Mapping[str, AnyValue], inputs: Mapping[str, Value]) -> AnyValue:
        node = self.graph.nodes[index]
        name = str(node.attributes["name"])
        source: Mapping[str, AnyValue] = state if node.op == "state" else inputs
        if name not in source:
            raise GraphError(f"{node.op} '{name}' was not given")
        value = source[name]
        if isinstance(value, Value):
            value = self._place(index, value)
        assert not isinstance(value, Pending)
        shape = tuple(value.data.shape) if isinstance(value, SimValue) else value.mantissa.shape
        if shape != node.shape:
            raise GraphError(f"{node.op} '{name}' has shape {list(shape)}, expected {list(node.shape)}")
        return value

    def _settled(self, values: list[Any]) -> tuple[dict[str, AnyValue], dict[str, AnyValue]]:
        """Outputs and updates; what is still on its way is read in one go."""
        wanted = sorted({*self.graph.outputs.values(), *self.graph.updates.values()})
        late = [i for i in wanted if isinstance(values[i], Pending)]
        lifted = [i for i in wanted if isinstance(values[i], SimValue) and values[i].lift is not None]
        read = read_together([*(values[i] for i in late), *(Pending(values[i].lift, Value) for i in lifted)])
        for index, value in zip([*late, *lifted], read, strict=True):
            if isinstance(values[index], Pending):
                values[index] = value
            else:
                values[index] = SimValue(values[index].data, values[index].exponent + int(value.mantissa))
        return (
            {name: values[i] for name, i in self.graph.outputs.items()},
            {name: values[i] for name, i in self.graph.updates.items()},
        )

    def recycle(self, values: Iterable[AnyValue]) -> None:
        """Take back the memory of state that a step has replaced."""
        for value in values:
            self.memory.give(value)


def _constant(node: Node) -> Value:
    a: Any = node.attributes
    return Value(np.array(a["values"], dtype=np.int64).reshape(node.shape), a["exponent"])
