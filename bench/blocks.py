"""Bottleneck blocks of ResNet-50 at full width, forward and backward, on emulated cores: python -m bench.blocks [NAMES]

The first block of each stage has the projection in its shortcut, the others have not. Each is planned for one image and
one chip of 16 cores, with BatchNorm, ReLU and the residual sum, from a random input and a random gradient of its result
to the gradient of its input and the update of all parameters; run on bare emulated cores, and compared with the
simulator to the bit. Cycles as in bench.plan, of the first step. NAMES choose blocks: parts of their names.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch

from bench.plan import DRY_PASSES, Outcome, run, scalars
from spindl.graph.operations import Value
from spindl.model import capture
from spindl.model.builtin import Bottleneck
from spindl.run.sim import Simulator
from spindl.run.sim.values import to_host
from spindl.train import Formats, ParameterGroup, initial_state, layers_graph


@dataclass(frozen=True)
class Block:
    """A block: its stage (1 to 4), whether it is the first, channels before it, width, side of its input, stride."""

    stage: int
    first: bool
    before: int
    width: int
    size: int
    stride: int

    @property
    def name(self) -> str:
        """As in the table."""
        which = "first" if self.first else "other"
        stride = f" stride {self.stride}" if self.stride > 1 else ""
        return f"stage {self.stage}, {which}: {self.before}->{4 * self.width}{stride}, {self.size}x{self.size}"


def blocks() -> tuple[Block, ...]:
    """The distinct blocks of ResNet-50, in order."""
    found, before, size = [], 64, 56
    for stage, width in enumerate((64, 128, 256, 512), 1):
        stride = 1 if stage == 1 else 2
        found.append(Block(stage, True, before, width, size, stride))
        before, size = 4 * width, size // stride
        found.append(Block(stage, False, before, width, size, 1))
    return tuple(found)


def measure(block: Block, cores: int = 16) -> Outcome:
    """Plans, runs, compares and times one block. Raises TooLarge if no plan fits a core."""
    torch.manual_seed(block.stage)
    module = Bottleneck(block.before, block.width, block.stride if block.first else 1)
    if not block.first:
        module.downsample = None
    shape = (block.before, block.size, block.size)
    forward = capture(module, shape)
    keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
    graph = layers_graph(forward, (ParameterGroup("sgd", keys),), Formats(), 1)
    state = initial_state(graph, {key: tensor.detach().numpy() for key, tensor in module.state_dict().items()})
    rng = np.random.default_rng(block.stage)
    inputs = scalars(1000)  # a rate so low that no weight overflows: halving is in no prediction
    for node in graph.nodes:
        if node.op == "input" and node.format.kind == "int32":
            values = np.clip(np.round(rng.normal(0, 1 << 16, node.shape)), -(1 << 18), 1 << 18)
            inputs[str(node.attributes["name"])] = Value(values.astype(np.int64), -16)
    simulator = Simulator(graph)
    for _ in range(DRY_PASSES):
        updates = simulator.run(simulator.load(state), inputs)[1]
        state |= {key: to_host(value) for key, value in updates.items() if key.startswith("site/")}
    return run(graph, state, inputs, 1, cores, steps=1)  # in the second one its weights have left their range


HEADER = """| block | phases | SDRAM bytes | predicted | emulated | difference | worst layer |
|---|---|---|---|---|---|---|"""


def line(block: Block, o: Outcome) -> str:
    """A row of the table."""
    ours, theirs = o.cycles
    worst = max(o.layers, key=lambda each: abs(o.layers[each]))
    return (
        f"| {block.name} | {len(o.plan.phases)} | {o.plan.bytes:,} | {ours:,.0f} | {theirs:,.0f} "
        f"| {ours / theirs - 1:+.1%} | {worst} {o.layers[worst]:+.1%} |"
    )


def main() -> None:
    """Print the table."""
    print(HEADER)
    for block in blocks():
        if any(word in block.name for word in sys.argv[1:] or [""]):
            print(line(block, measure(block)), flush=True)


if __name__ == "__main__":
    main()
