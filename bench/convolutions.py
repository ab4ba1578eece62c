"""Whole convolutions of ResNet-50, from SDRAM to SDRAM, on emulated cores: python -m bench.convolutions [NAMES]

Each distinct convolution of ResNet-50 v1.5 (image of 224x224, batch 1) and each of its passes is a graph of that op and
its rounding. It is planned like any step, run on bare emulated cores with random operands, and its whole result and the
extent of its site are compared with the simulator's. Cycles are those of the phases between the first, in which the
cores check their schedules, and the last ones, which bring sites back to the State: from the first load to the last
store. --cores 1,16
chooses machines, NAMES choose convolutions: parts of "forward 1x1 64->256, 56x56".
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from spindl.graph import Graph
from spindl.graph.graph import Format
from spindl.graph.operations import Value
from spindl.number.sites import new_site
from spindl.plan import Plan, emit, plan_step
from spindl.plan.cost import predict
from spindl.plan.machine import machine_of
from spindl.program.image import Image, load_image
from spindl.program.load import CoreResult
from spindl.program.machine import relocated
from spindl.program.schedule import Schedule
from spindl.run import chip
from spindl.run.emu.direct import SDRAM, walk
from spindl.run.sim import Simulator
from spindl.run.sim.values import to_host
from spindl.run.walker import HostMemory
from spindl.train.builder import Builder

INT16 = Format("int16", 16)
FORWARD, INPUT, WEIGHT = PASSES = ("forward", "input gradient", "weight gradient")


@dataclass(frozen=True)
class Layer:
    """A convolution with square maps and windows, and how often the network has it."""

    kernel: int
    inputs: int
    outputs: int
    size: int
    stride: int
    count: int

    @property
    def out(self) -> int:
        """Rows of the result."""
        return -(-self.size // self.stride)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one pass."""
        return self.kernel**2 * self.inputs * self.outputs * self.out**2

    @property
    def name(self) -> str:
        """As in the tables."""
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        return f"{self.kernel}x{self.kernel} {self.inputs}->{self.outputs}{stride}, {self.size}x{self.size}"

    @property
    def passes(self) -> tuple[str, ...]:
        """The first layer's input needs no gradient."""
        return PASSES if self.inputs > 3 else (FORWARD, WEIGHT)


def resnet50() -> tuple[Layer, ...]:
    """The distinct convolutions of ResNet-50 v1.5 (stride in the 3x3), in order."""
    found = [Layer(7, 3, 64, 224, 2, 1)]
    inputs, size = 64, 56
    for width, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            stride = 2 if block == 0 and width > 64 else 1
            found.append(Layer(1, inputs, width, size, 1, 1))
            found.append(Layer(3, width, width, size, stride, 1))
            if block == 0:
                found.append(Layer(1, inputs, 4 * width, size, stride, 1))
            size //= stride
            found.append(Layer(1, width, 4 * width, size, 1, 1))
            inputs = 4 * width
    counts = {layer: found.count(layer) for layer in found}
    return tuple(replace(layer, count=count) for layer, count in counts.items())


def graph_of(layer: Layer, way: str) -> Graph:
    """One pass of a layer: its op, rounding and site."""
    b = Builder(training=True, batch=1)
    b.at(layer.name, "")
    pad = layer.kernel // 2
    geometry = {
        "stride": (layer.stride,) * 2,
        "padding": ((pad, pad),) * 2,
        "dilation": (1, 1),
        "groups": 1,
    }
    shapes = {
        "x": (1, layer.inputs, layer.size, layer.size),
        "w": (layer.outputs, layer.inputs, layer.kernel, layer.kernel),
        "dy": (1, layer.outputs, layer.out, layer.out),
    }
    operands = {FORWARD: ("x", "w"), INPUT: ("dy", "w"), WEIGHT: ("dy", "x")}[way]
    a, c = (b.state(name, shapes[name], INT16, "operand") for name in operands)
    if way == FORWARD:
        b.outputs["result"] = b.round(b.emit("convolution", a, c, **geometry), "result", 15)
    elif way == INPUT:
        wide = b.emit("convolution_input_gradient", a, c, **geometry, input_shape=shapes["x"][1:])
        b.outputs["result"] = b.round(wide, "result", 15)
    else:
        wide = b.emit("convolution_weight_gradient", a, c, **geometry, weight_shape=shapes["w"], group_size=1)
        b.outputs["result"] = b.emit("sum_groups", b.round(wide, "result", 16))
    return b.graph()


def operands_of(graph: Graph) -> dict[str, Value]:
    """Normally distributed mantissas as formats of 14 and 15 bits leave them, the largest near 6000; a new site."""
    rng = np.random.default_rng(7)
    state = {}
    for node in graph.nodes:
        if node.op == "state":
            name = str(node.attributes["name"])
            if node.format.kind == "site":
                exponent, history = new_site()
                state[name] = Value(np.array(history, np.int64), exponent)
            else:
                mantissa = np.clip(np.round(rng.normal(0, 1200, node.shape)), -8191, 8191)
                state[name] = Value(mantissa.astype(np.int64), -14)
    return state


@dataclass(frozen=True)
class Measured:
    """One pass of one layer on some cores of a chip.

    Attributes:
        cycles: from the first load to the last store, of the core that takes longest.
        predicted: the planner's number for them.
        bytes: moved between SDRAM and the cores.
        steps: of all cores.
        waited: part of the cores' time asleep for DMA.
        idle: part of the cores' time in which a core has nothing left to do.
        redone: tiles computed again because int32 sums overflowed.
    """

    cycles: int
    predicted: int
    bytes: int
    steps: int
    waited: float
    idle: float
    redone: int


@cache
def _image() -> Image:
    return load_image()


def expected(graph: Graph) -> tuple[dict[str, Value], dict[str, Value]]:
    """A state whose site knows the values already, and the simulator's outputs."""
    state, simulator = operands_of(graph), Simulator(graph)
    for _ in range(2):
        outputs, updates = simulator.run(simulator.load(state), {})
        results = {name: to_host(value) for name, value in outputs.items()}
        before, state = state, state | {name: to_host(value) for name, value in updates.items()}
    return before, results


def measure(layer: Layer, way: str, cores: int) -> Measured:
    """Plans, runs, compares and times one pass."""
    graph = graph_of(layer, way)
    state, wanted = expected(graph)
    plan = plan_step(graph, machine_of("spin3", cores=cores))
    program = emit(plan, _image().version)
    memory = HostMemory(program.bytes)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, state)
    schedules = [relocated(schedule, SDRAM) for schedule in program.schedules["all"]]
    done = walk(_image(), schedules, {SDRAM: memory.bytes.tobytes()}, time_out=20_000)
    done.check()
    memory.write(0, done.read(SDRAM, program.bytes))
    found = chip.read_outputs(program, memory)
    for name, value in wanted.items():
        assert found[name].exponent == value.exponent, (layer.name, way, name)
        assert np.array_equal(found[name].mantissa, value.mantissa), (layer.name, way, name)
    return _measured(plan, schedules, done.cores[0, 0])


def _measured(plan: Plan, schedules: Sequence[Schedule], results: Sequence[CoreResult]) -> Measured:
    """Of the phases that are neither the first nor the last ones."""
    names = [phase.name for phase in plan.phases]
    levels = {number for number, name in enumerate(names) if name.startswith("level")}
    ends, own = np.zeros((len(names), len(results)), np.int64), np.zeros(len(results), np.int64)
    steps = waited = 0
    for core, (schedule, result) in enumerate(zip(schedules, results, strict=True)):
        phase = total = 0
        for number, (counted, step) in enumerate(zip(result.steps, schedule.steps, strict=True)):
            phase += step.barrier_before and number > 0
            total += counted["total"]
            ends[phase, core] = total
            if phase in levels:
                own[core] += counted["total"] - counted["barrier"]
                waited += counted["dma"]
                steps += 1
    spans = np.diff(ends.max(axis=1), prepend=0)
    cycles = int(sum(spans[number] for number in levels))
    costs = [cost for number, cost in enumerate(predict(plan)) if number in levels]
    return Measured(
        cycles,
        sum(cost.cycles for cost in costs),
        sum(cost.read + cost.written for cost in costs),
        steps,
        waited / (cycles * len(results)),
        1 - int(own.sum()) / (cycles * len(results)),
        sum(result.counters["tiles_redone"] for result in results),
    )


HEADER = """| convolution | times | pass | cores | cycles/MAC | predicted | wait for DMA | idle | SDRAM MB | redone |
|---|---|---|---|---|---|---|---|---|---|"""


def line(layer: Layer, way: str, cores: int, m: Measured) -> str:
    """A row of the table; cycles per multiply-accumulate are those of each core."""
    each, said = m.cycles * cores / layer.macs, m.predicted * cores / layer.macs
    return (
        f"| {layer.name} | {layer.count} | {way} | {cores} | {each:.3f} | {said:.3f} | {m.waited:.1%} | {m.idle:.1%} "
        f"| {m.bytes / 1e6:.1f} | {m.redone} |"
    )


def mean(measured: Sequence[tuple[Layer, int, Measured]]) -> float:
    """Cycles per multiply-accumulate of a core, over all convolutions of the network."""
    macs = sum(layer.macs * layer.count for layer, _, _ in measured)
    return sum(m.cycles * cores * layer.count for layer, cores, m in measured) / macs


def main() -> None:
    """Print the tables and the means."""
    words = sys.argv[1:]
    counts = [1, 16]
    if "--cores" in words:
        at = words.index("--cores")
        counts = [int(n) for n in words[at + 1].split(",")]
        del words[at : at + 2]
    wanted = words or [""]
    for cores in counts:
        print(HEADER)
        found: dict[str, list[tuple[Layer, int, Measured]]] = {way: [] for way in PASSES}
        for layer in resnet50():
            for way in layer.passes:
                if any(f"{way} {layer.name}".find(each) >= 0 for each in wanted):
                    m = measure(layer, way, cores)
                    found[way].append((layer, cores, m))
                    print(line(layer, way, cores, m), flush=True)
        found["all passes"] = [m for each in found.values() for m in each]
        for way, all_of_it in found.items():
            if all_of_it:
                print(f"{way}, {cores} cores, weighted by MACs: {mean(all_of_it):.3f} cycles per MAC and core")


if __name__ == "__main__":
    main()
