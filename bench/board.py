"""Training steps on an emulated SpiNN-5, driven by SpiNNMan under the unmodified SC&MP, against the simulator.

    python -m bench.board lenet5 --chips 16 --steps 3

Every step's outputs, and the State at the end, must be equal to the bit. Prints cycles and wall time of each step.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch
from torch import nn

from bench.plan import SHAPES, graph_of, inputs_of
from spindl.graph import Graph
from spindl.graph.operations import Value
from spindl.model import capture
from spindl.model.builtin import Bottleneck, ResNet50
from spindl.plan import emit, machine_of, plan_chips
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.image import load_image
from spindl.program.load import Setting
from spindl.run import chip, open_session
from spindl.run.emu.direct import CONTROL, SDRAM, walk_programs
from spindl.run.walker import HostMemory
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph

DRY_PASSES = 3
NETWORKS = (*SHAPES, "resnet50")


@dataclass(frozen=True)
class Step:
    """What one step took: cycles of the slowest core, cycles that it slept in streams, wall-clock seconds."""

    cycles: int
    stream: int
    seconds: float


def small_resnet50() -> nn.Module:
    """ResNet-50 v1.5 with an eighth of its channels, for 10 classes."""
    module = ResNet50(10, (3, 32, 32))
    module.conv1, module.bn1 = nn.Conv2d(3, 8, 7, 2, padding=3, bias=False), nn.BatchNorm2d(8)
    before = 8
    for number, (channels, blocks) in enumerate(((8, 3), (16, 4), (32, 6), (64, 3))):
        stride = 1 if number == 0 else 2
        made = []
        for block in range(blocks):
            made.append(Bottleneck(before, channels, stride if block == 0 else 1))
            before = 4 * channels
        setattr(module, f"layer{number + 1}", nn.Sequential(*made))
    module.fc = nn.Linear(before, 10)
    return module


def network(name: str, batch: int) -> tuple[Graph, dict[str, Value]]:
    """The training graph of a network by name, and its first state."""
    if name != "resnet50":
        return graph_of(name, batch)
    torch.manual_seed(0)
    module, shape = small_resnet50(), (3, 32, 32)
    forward = capture(module, shape)
    keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
    normalisation = ((0.5,) * 3, (0.25,) * 3)
    groups = (ParameterGroup("sgd", keys),)
    graph = training_graph(forward, Loss("cross_entropy"), groups, Formats(), batch, normalisation)
    return graph, initial_state(graph, {key: tensor.detach().numpy() for key, tensor in module.state_dict().items()})


def differences(found: Mapping[str, Value], expected: Mapping[str, Value]) -> list[str]:
    """Names of values that are not equal to the bit."""
    return [
        name
        for name, value in expected.items()
        if found[name].exponent != value.exponent or not np.array_equal(found[name].mantissa, value.mantissa)
    ]


def run(name: str, chips: int, steps: int, images: int = 1, device: str = "spin5") -> list[Step]:
    """Runs steps on both executors. Raises AssertionError if a bit differs."""
    batch = chips * images
    graph, first = network(name, batch)
    inputs = inputs_of(graph, batch)
    program, where = Program({"train": graph}, {}), f"{device}:{chips}"
    started = perf_counter()
    made = planned(program, "emu", where)
    print(f"{name}, {chips} chips of {machine_of(device, chips).cores} cores, batch {batch}:", end=" ")
    print(f"planned in {perf_counter() - started:.1f} s", flush=True)
    result = []
    with closing(open_session("sim", program, State(first, Progress(0)))) as simulator:
        for _ in range(DRY_PASSES):
            simulator.step("train", inputs, "sites")
        state = State(simulator.state(), Progress(0))
        with closing(open_session("emu", made, state, device=where)) as machine:
            for number in range(steps):
                expected = simulator.step("train", inputs)
                started = perf_counter()
                wrong = differences(machine.step("train", inputs), expected)
                assert not wrong, f"step {number}: {wrong}"
                counters = [left.counters for _, _, left in machine.results()]  # type: ignore[attr-defined]
                slowest = max(counters, key=lambda c: c["cycles"])
                result.append(Step(slowest["cycles"], slowest["cycles_waiting_stream"], perf_counter() - started))
                print(
                    f"  step {number}: {slowest['cycles']:,} cycles, {result[-1].seconds:.1f} s of wall time",
                    flush=True,
                )
            wrong = differences(machine.state(), simulator.state())
            assert not wrong, wrong
    return result


def run_bare(name: str, chips: int, steps: int, images: int = 1, device: str = "spin5") -> list[Step]:
    """The same on emulated cores without SC&MP and host, which loads in no time. Raises AssertionError, RunError."""
    batch = chips * images
    graph, first = network(name, batch)
    inputs, image = inputs_of(graph, batch), load_image()
    programs = [emit(plan, image.version) for plan in plan_chips(graph, machine_of(device, chips))]
    memories = [HostMemory(program.bytes) for program in programs]
    both = list(zip(programs, memories, strict=True))
    result = []
    with closing(open_session("sim", Program({"train": graph}, {}), State(first, Progress(0)))) as simulator:
        for _ in range(DRY_PASSES):
            simulator.step("train", inputs, "sites")
        for program, memory in both:
            chip.write_contents(program, memory)
            chip.write_states(program, memory, simulator.state())
        for number in range(steps):
            for program, memory in both:
                chip.write_inputs(program, memory, inputs)
            started = perf_counter()
            data = [memory.read(0, program.bytes) for program, memory in both]
            setting = Setting(((SDRAM, CONTROL, True),), chips, 3000, step_counters=False)
            done = walk_programs(image, programs, data, setting, topology=device)
            done.check()
            for program, memory in both:
                memory.write(0, done.read(SDRAM, program.bytes, program.xy))
            outputs = chip.joined_outputs([chip.read_outputs(*each) for each in both], programs[0])
            states = chip.joined_states([chip.read_states(*each) for each in both], programs)
            wrong = differences(outputs, simulator.step("train", inputs)) + differences(states, simulator.state())
            assert not wrong, f"step {number}: {wrong}"
            counters = [core.counters for cores in done.cores.values() for core in cores]
            slowest = max(counters, key=lambda c: c["cycles"])
            step = Step(slowest["cycles"], slowest["cycles_waiting_stream"], perf_counter() - started)
            result.append(step)
            print(f"  step {number}: {step.cycles:,} cycles, {step.seconds:.1f} s of wall time", flush=True)
    return result


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=NETWORKS)
    parser.add_argument("--chips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--bare", action="store_true", help="without SC&MP and SpiNNMan")
    chosen = parser.parse_args()
    (run_bare if chosen.bare else run)(chosen.name, chosen.chips, chosen.steps, chosen.images)
    print("equal bits")


if __name__ == "__main__":
    main()
