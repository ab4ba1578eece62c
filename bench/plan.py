"""Predicted and emulated cycles of planned steps: python -m bench.plan [--phases] [--chips 1,4] [lenet5 resnet8 ...]

--exchanges prints what exchanges between chips take and how much of that lies beside other work, as foreseen, with
each exchange in one phase and with the pass `overlap`, and emulates both.

Each step is planned, run on bare emulated chips of a SpiNN-3 (more than 4: of a SpiNN-5), compared with the simulator
to the bit, and timed by the cores' step counters; the prediction includes the counting. A few dry passes before give
sites the extents of the batch.
It is the second step after the start: in the first one cores also check their schedules, and begin one after the other.
Layers: cycles of all cores for a layer, forward, backward and update, waits for DMA included; layers with less than a
hundredth of the step are left out, and so is the exchange of exponents at its begin and end.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import nn

from spindl.emulator import emulate
from spindl.graph import Graph
from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.plan import Plan, emit, plan_chips
from spindl.plan.cost import Forecast, forecast
from spindl.plan.machine import machine_of
from spindl.plan.overlap import exchange_cycles
from spindl.program.image import Image, load_image
from spindl.program.load import Setting
from spindl.report.agreement import layer_differences
from spindl.report.measured import measured_report
from spindl.report.model import Origin, StepReport
from spindl.report.planned import TABLES, predicted_times, step_report
from spindl.run import chip
from spindl.run.emu.direct import CONTROL, SDRAM, Result, load_programs, walk_again, walk_loaded
from spindl.run.sim import Simulator
from spindl.run.sim.values import to_host
from spindl.run.walker import HostMemory
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar

SHAPES = {"mlp": (2,), "conv1d": (2, 16), "digits": (1, 8, 8), "lenet5": (1, 28, 28), "resnet8": (3, 32, 32)}
LOSSES = {"mlp": "squared_error", "conv1d": "binary_cross_entropy"}
CASES = [*((name, 8) for name in SHAPES), ("lenet5", 32)]
DRY_PASSES = 4
SMALL = 0.01
"""Layers with a smaller part of the step are not compared."""


def convolution_1d() -> nn.Module:
    """The thesis's network over 16 samples of 2 channels."""
    return nn.Sequential(
        *(nn.Conv1d(2, 5, 3), nn.Tanh(), nn.MaxPool1d(2), nn.Flatten()),
        *(nn.Linear(35, 9), nn.Sigmoid(), nn.Linear(9, 3)),
    )


def graph_of(name: str, batch: int) -> tuple[Graph, dict[str, Value]]:
    """The training graph of a network, and its first state."""
    torch.manual_seed(0)
    shape = SHAPES[name]
    module = convolution_1d() if name == "conv1d" else load_model(name, input_shape=shape)[0]
    forward = capture(module, shape)
    keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
    channels = shape[0]
    normalisation = ((0.5,) * channels, (0.25,) * channels) if len(shape) == 3 else None
    loss = Loss(LOSSES.get(name, "cross_entropy"))  # type: ignore[arg-type]
    graph = training_graph(forward, loss, (ParameterGroup("sgd", keys),), Formats(), batch, normalisation)
    return graph, initial_state(graph, {key: tensor.detach().numpy() for key, tensor in module.state_dict().items()})


def scalars(batch: int) -> dict[str, Value]:
    """Those of a step of SGD."""
    return {
        "rate/0": scalar(Fraction(1, 10) / batch),
        "momentum/0": scalar(Fraction(9, 10)),
        "decay/0": scalar(Fraction(1, 10000) * batch),
    }


def inputs_of(graph: Graph, batch: int) -> dict[str, Value]:
    """Random images and labels, and the scalars of a step."""
    generator = np.random.default_rng(1)
    values = scalars(batch)
    for node in graph.nodes:
        name = str(node.attributes.get("name"))
        if node.op == "input" and name == "images" and node.format.kind == "uint8":
            values[name] = Value(generator.integers(0, 256, node.shape))
        elif node.op == "input" and name == "images":
            values[name] = Value(generator.integers(-(1 << 17), 1 << 17, node.shape), -16)
        elif node.op == "input" and name == "labels":
            values[name] = Value(generator.integers(0, graph.nodes[graph.outputs["logits"]].shape[1], batch))
        elif node.op == "input" and name == "targets":
            values[name] = Value(generator.integers(0, 2, node.shape) << 16, -16)
    return values


@cache
def image() -> Image:
    """The cores' program."""
    return load_image()


@dataclass(frozen=True)
class Outcome:
    """A step as it was predicted and as emulated cores counted it."""

    plan: Plan
    modelled: StepReport
    measured: StepReport
    foreseen: Forecast

    @property
    def cycles(self) -> tuple[float, float]:
        """Predicted and emulated."""
        return self.modelled.cycles, self.measured.cycles

    @property
    def layers(self) -> dict[str, float]:
        """Relative difference of each layer that is large enough."""
        whole = sum((cost.cycles or 0) for cost in self.measured.costs)
        rows = layer_differences(self.modelled, self.measured)
        return {name: ours / theirs - 1 for name, ours, theirs in rows if theirs >= SMALL * whole and name != TABLES}


def run(
    graph: Graph,
    state: Mapping[str, Value],
    inputs: Mapping[str, Value],
    chips: int,
    cores: int,
    steps: int = 2,
    overlap: bool = True,
) -> Outcome:
    """Plans a step, runs some on emulated chips, compares each with the simulator, times the last."""
    board = "spin3" if chips <= 4 else "spin5"
    plans = plan_chips(graph, machine_of(board, chips, cores), overlap)
    programs = [emit(plan, image().version) for plan in plans]
    memories = [HostMemory(program.bytes) for program in programs]
    for program, memory in zip(programs, memories, strict=True):
        chip.write_contents(program, memory)
        chip.write_states(program, memory, state)
        chip.write_inputs(program, memory, inputs)
    setting = Setting(((SDRAM, CONTROL, True),), chips, 20_000)
    contents = [memory.bytes.tobytes() for memory in memories]
    loaded = load_programs(image(), programs, contents, setting, emulate(board, connected=False))
    simulator, held = Simulator(graph), dict(state)
    for step in range(1, steps + 1):
        for program, memory in zip(programs, memories, strict=True) if step > 1 else ():
            chip.write_inputs(program, memory, inputs)
            loaded.machine.chip(*program.xy).write(SDRAM, memory.bytes.tobytes())
        done = walk_loaded(loaded) if step == 1 else walk_again(loaded, step)
        done.check()
        outputs, updates = simulator.run(simulator.load(held), inputs)
        held |= {name: to_host(value) for name, value in updates.items()}
        for program, memory in zip(programs, memories, strict=True):
            memory.write(0, done.read(SDRAM, program.bytes, program.xy))
        found = [chip.read_outputs(*each) for each in zip(programs, memories, strict=True)]
        _same(chip.joined_outputs(found, programs[0]), {name: to_host(value) for name, value in outputs.items()})
        states = [chip.read_states(*each) for each in zip(programs, memories, strict=True)]
        _same(chip.joined_states(states, programs), {name: to_host(value) for name, value in updates.items()})
    return outcome(plans, done, steps == 1)


def outcome(plans: Sequence[Plan], done: Result, first: bool) -> Outcome:
    """Prediction and measurement side by side."""
    counters = {xy: [core.steps for core in cores] for xy, cores in done.cores.items()}
    foreseen = forecast(plans[0], counted=True, first=first)
    modelled = step_report(plans[0], "train", Origin("modelled", "plan"), predicted_times(plans[0], foreseen))
    return Outcome(plans[0], modelled, measured_report(plans, counters, "emu"), foreseen)


def _same(found: Mapping[str, Value], wanted: Mapping[str, Value]) -> None:
    for key, value in wanted.items():
        assert found[key].exponent == value.exponent, key
        assert np.array_equal(found[key].mantissa, value.mantissa), key


def measure(name: str, batch: int, chips: int, cores: int, overlap: bool = True) -> Outcome:
    """A step of a network."""
    graph, state = graph_of(name, batch)
    inputs, simulator = inputs_of(graph, batch), Simulator(graph)
    for _ in range(DRY_PASSES):
        updates = simulator.run(simulator.load(state), inputs)[1]
        state |= {key: to_host(value) for key, value in updates.items() if key.startswith("site/")}
    return run(graph, state, inputs, chips, cores, overlap=overlap)


HEADER = """| network | batch | chips | cores | phases | SDRAM bytes | predicted | emulated | difference | worst layer |
|---|---|---|---|---|---|---|---|---|---|"""


def line(name: str, batch: int, o: Outcome) -> str:
    """A row of the table."""
    ours, theirs = o.cycles
    worst = max(o.layers, key=lambda each: abs(o.layers[each]))
    machine = o.plan.machine
    return (
        f"| {name} | {batch} | {machine.chips} | {machine.cores} | {len(o.plan.phases)} | {o.plan.bytes:,} "
        f"| {ours:,.0f} | {theirs:,.0f} | {ours / theirs - 1:+.1%} | {worst} {o.layers[worst]:+.1%} |"
    )


def phase_lines(o: Outcome) -> list[str]:
    """A row for each phase."""
    rows = []
    for a, b in zip(o.modelled.phases, o.measured.phases, strict=True):
        ours, theirs = a.end - a.start, b.end - b.start
        rows.append(f"|  {a.name} | | | | | | {ours:,.0f} | {theirs:,.0f} | {ours / max(1, theirs) - 1:+.1%} | |")
    return rows


COLUMNS = ("network", "batch", "chips", "cores", *2 * ("exchanges", "beside others", "predicted", "emulated"), "fewer")
EXCHANGES = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def exchanges_line(name: str, batch: int, chips: int, cores: int) -> str:
    """A row of the table of exchanges."""
    cells, emulated = [name, str(batch), str(chips), str(cores)], []
    for overlap in (False, True):
        found = measure(name, batch, chips, cores, overlap)
        every, longer = exchange_cycles(found.plan, found.foreseen.walk)
        cells += [f"{every:,}", f"{1 - longer / max(1, every):.0%}", *(f"{each:,.0f}" for each in found.cycles)]
        emulated.append(found.cycles[1])
    return f"| {' | '.join(cells)} | {1 - emulated[1] / emulated[0]:.1%} |"


def main() -> None:
    """Print the table."""
    words = sys.argv[1:]
    chips = [1]
    if "--chips" in words:
        at = words.index("--chips")
        chips = [int(n) for n in words[at + 1].split(",")]
        del words[at : at + 2]
    names = [word for word in words if not word.startswith("-")]
    exchanges = "--exchanges" in words
    print(EXCHANGES if exchanges else HEADER)
    for name, batch in CASES:
        for count in chips if not names or name in names else ():
            images = max(batch, count)
            for cores in (1, 4, 16) if count == 1 else (4, 16) if count <= 4 else (5,):
                if exchanges:
                    print(exchanges_line(name, images, count, cores), flush=True)
                    continue
                found = measure(name, images, count, cores)
                print(line(name, images, found), flush=True)
                if "--phases" in words:
                    print("\n".join(phase_lines(found)), flush=True)


if __name__ == "__main__":
    main()
