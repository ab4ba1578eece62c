"""Predicted and emulated cycles of planned steps: python -m bench.plan [--phases] [lenet5 resnet8 ...]

Each step is planned for one chip, run on a bare emulated SpiNN-3, compared with the interpreter to the bit, and timed
by the cores' step counters. The first phase is left out: in it the cores check their schedules, which they do once.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import numpy as np
import torch

from spindl.graph import Graph
from spindl.graph.interpreter import interpret
from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.plan import emit, plan_step
from spindl.plan.cost import predict, total_cycles
from spindl.plan.machine import machine_of
from spindl.program.image import load_image
from spindl.program.machine import relocated
from spindl.run import chip
from spindl.run.emu.direct import SDRAM, walk
from spindl.run.walker import HostMemory
from spindl.train import Formats, ParameterGroup, initial_state, read_loss, training_graph
from spindl.train.optimizers import scalar

SHAPES = {"lenet5": (1, 28, 28), "resnet8": (3, 32, 32), "digits": (1, 8, 8), "mlp": (1, 4, 4)}
BATCH = 8


def graph_of(name: str) -> tuple[Graph, dict[str, Value]]:
    """The training graph of a built-in network, and its first state."""
    torch.manual_seed(0)
    module, _ = load_model(name, input_shape=SHAPES[name])
    forward = capture(module, SHAPES[name])
    keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
    channels = SHAPES[name][0]
    graph = training_graph(
        forward,
        read_loss("cross_entropy"),
        (ParameterGroup("sgd", keys),),
        Formats(),
        BATCH,
        ((0.5,) * channels, (0.25,) * channels),
    )
    return graph, initial_state(graph, {key: tensor.detach().numpy() for key, tensor in module.state_dict().items()})


def inputs_of(graph: Graph) -> dict[str, Value]:
    """Random images and labels, and the scalars of a step."""
    generator = np.random.default_rng(1)
    shape = next(n.shape for n in graph.nodes if n.op == "input" and n.attributes["name"] == "images")
    classes = graph.nodes[graph.outputs["logits"]].shape[1]
    rate, decay = scalar(Fraction(1, 10) / BATCH), scalar(Fraction(1, 10000) * BATCH)
    return {
        "images": Value(generator.integers(0, 256, shape)),
        "labels": Value(generator.integers(0, classes, BATCH)),
        "rate/0": rate,
        "momentum/0": scalar(Fraction(9, 10)),
        "decay/0": decay,
    }


def measure(name: str, cores: int, phases: bool) -> str:
    """One line of the table."""
    graph, state = graph_of(name)
    image = load_image()
    plan = plan_step(graph, machine_of("spin3", cores=cores))
    program = emit(plan, image.version)
    memory = HostMemory(program.bytes)
    inputs = inputs_of(graph)
    chip.write_contents(program, memory)
    chip.write_states(program, memory, state)
    chip.write_inputs(program, memory, inputs)
    schedules = [relocated(schedule, SDRAM) for schedule in program.schedules["all"]]
    done = walk(image, schedules, {SDRAM: memory.bytes.tobytes()})
    done.check()
    memory.write(0, done.read(SDRAM, program.bytes))
    expected, updates, _ = interpret(graph, state, inputs)
    outputs, states = chip.read_outputs(program, memory), chip.read_states(program, memory)
    for found, wanted in ((outputs, expected), (states, updates)):
        for key, value in wanted.items():
            assert found[key].exponent == value.exponent, key
            assert np.array_equal(found[key].mantissa, value.mantissa), key
    costs = predict(plan)
    ends = np.zeros((len(plan.phases), cores), np.int64)
    for core, result in enumerate(done.cores[0, 0]):
        phase = total = 0
        for number, (counted, step) in enumerate(zip(result.steps, schedules[core].steps, strict=True)):
            phase += step.barrier_before and number > 0
            total += counted["total"]
            ends[phase, core] = total
    spans = np.diff(ends.max(axis=1), prepend=0)
    lines = []
    predicted, emulated = total_cycles(costs[1:]), int(spans[1:].sum())  # the first phase checks the schedules
    difference = predicted / emulated - 1
    lines.append(
        f"| {name} | {cores} | {len(plan.phases)} | {plan.bytes:,} | {predicted:,} | {emulated:,} | {difference:+.1%} |"
    )
    if phases:
        lines += [
            f"|  {cost.name} | | | | {cost.cycles:,} | {int(span):,} | {cost.cycles / max(1, int(span)) - 1:+.1%} |"
            for cost, span in zip(costs, spans, strict=True)
        ]
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    phases = "--phases" in sys.argv
    names = [name for name in sys.argv[1:] if not name.startswith("-")] or ["digits", "lenet5", "resnet8"]
    print("| network | cores | phases | bytes of SDRAM | predicted cycles | emulated cycles | difference |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        for cores in (1, 4, 16):
            print(measure(name, cores, phases), flush=True)


if __name__ == "__main__":
    main()
