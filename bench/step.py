"""Seconds of a whole training step: the simulator against float32 PyTorch, same network, batch and threads, one run.

    python bench/step.py [--threads N] [--repeats R] [--path PATH] [NETWORK@BATCH ...]

The least time of some repeats counts. PyTorch is given the faster of its two memory formats. The table below the total
says where the simulator's time goes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from copy import deepcopy
from fractions import Fraction
from time import perf_counter, process_time

import numpy as np
import torch
from torch import nn

from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.run.sim import Simulator
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph
from spindl.train.optimizers import scalar

CASES = ("resnet20@128", "resnet50@8", "lenet5@64")
SHAPES = {"resnet20": (3, 32, 32), "resnet50": (3, 224, 224), "lenet5": (1, 28, 28)}
CALIBRATION = 4

CATEGORIES = {
    "convolution": "contraction, forward",
    "convolution_input_gradient": "contraction, input gradient",
    "convolution_weight_gradient": "contraction, weight gradient",
    "affine": "BatchNorm, forward",
    "affine_pair": "BatchNorm, backward",
    "channel_sum": "BatchNorm, sums",
    "channel_dot": "BatchNorm, sums",
    "sums": "BatchNorm, sums",
    "sgd": "update",
    "narrow": "update",
    "next_site": "sites",
}
PER_CHANNEL = (
    "inverse_deviation", "batch_norm_scale", "batch_norm_offset", "gamma_gradient", "batch_norm_slope",
    "batch_norm_gradient_offset", "running_mean", "running_variance", "pair_to_wide",
)  # fmt: skip
CATEGORIES |= dict.fromkeys(PER_CHANNEL, "BatchNorm, per channel")


def fastest(
    steps: Sequence[Callable[[], object]], repeats: int, clock: Callable[[], float] = perf_counter
) -> list[float]:
    """Least seconds of each of some calls, made in turn so that a busy machine disturbs all alike."""
    seconds = [float("inf")] * len(steps)
    for _ in range(repeats):
        for place, step in enumerate(steps):
            started = clock()
            step()
            seconds[place] = min(seconds[place], clock() - started)
    return seconds


def float32_step(
    module: nn.Module, images: torch.Tensor, labels: torch.Tensor, memory_format: torch.memory_format
) -> Callable[[], object]:
    """A step of SGD with momentum in PyTorch."""
    model = deepcopy(module).to(memory_format=memory_format).train()
    x = images.to(memory_format=memory_format)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    step()
    return step


def simulator(
    module: nn.Module, shape: tuple[int, ...], batch: int, threads: int, path: str | None
) -> tuple[Callable[[dict[str, float] | None], object], int]:
    """A function that runs one training step (first exponents found already), and the number of steps compiled."""
    forward = capture(module, shape)
    parameters = {key: value.detach().numpy().copy() for key, value in module.state_dict().items() if value.ndim}
    groups = (ParameterGroup("sgd", tuple(key for key, _ in module.named_parameters())),)
    channels = shape[0]
    normalisation = ((0.5,) * channels, (0.25,) * channels)
    graph = training_graph(forward, Loss("cross_entropy"), groups, Formats(), batch, normalisation)
    sim = Simulator(graph, threads=threads, vector_path=path)
    state = sim.load(initial_state(graph, parameters))
    generator = np.random.default_rng(0)
    inputs = {
        "images": Value(generator.integers(0, 256, (batch, *shape), dtype=np.uint8)),
        "labels": Value(generator.integers(0, 10, batch)),
        "rate/0": scalar(Fraction(1, 100 * batch)),
        "momentum/0": scalar(Fraction(9, 10)),
        "decay/0": scalar(Fraction(batch, 10000)),
    }

    def step(clock: dict[str, float] | None = None, sites_only: bool = False) -> None:
        _, updates = sim.run(state, inputs, clock)
        kept = {name: value for name, value in updates.items() if not sites_only or name.startswith("site/")}
        sim.recycle([state[name] if name in kept else value for name, value in updates.items()])
        state.update(kept)

    for _ in range(CALIBRATION):
        step(sites_only=True)
    step()
    return step, len(sim.steps)


def report(case: str, threads: int, repeats: int, path: str | None, timer: Callable[[], float]) -> None:
    """Measure one network and print."""
    name, _, batch_text = case.partition("@")
    batch, shape = int(batch_text), SHAPES[name]
    torch.manual_seed(0)
    module, _ = load_model(name, input_shape=shape, classes=1000 if name == "resnet50" else 10)
    step, count = simulator(module, shape, batch, threads, path)
    images, labels = torch.randn(batch, *shape), torch.randint(0, 10, (batch,))
    formats = (torch.contiguous_format, torch.channels_last)
    others = [float32_step(module, images, labels, memory_format) for memory_format in formats]
    ours, *found = fastest([step, *others], repeats, timer)
    theirs = min(found)
    clock: dict[str, float] = {}
    started = perf_counter()
    step(clock)
    whole = perf_counter() - started
    ratio = f"ratio {ours / theirs:.2f}, {count} calls"
    print(f"{case}: {1e3 * ours:.1f} ms, float32 PyTorch {1e3 * theirs:.1f} ms, {ratio}")
    categories: dict[str, float] = {"Python between calls": whole - sum(clock.values())}
    for op, seconds in clock.items():
        category = CATEGORIES.get(op, op)
        categories[category] = categories.get(category, 0.0) + seconds
    for category, seconds in sorted(categories.items(), key=lambda item: -item[1]):
        if seconds >= 0.005 * whole:
            print(f"    {category:32s} {1e3 * seconds:8.1f} ms {100 * seconds / whole:5.1f} %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--cpu-seconds", action="store_true", help="count CPU seconds, not the clock's: for a busy machine, --threads 1"
    )
    parser.add_argument("--path", help="vector path: avx512vnni, avx2, portable or torch")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(f"PyTorch {torch.__version__}, {arguments.threads} threads")
    for case in arguments.cases:
        timer = process_time if arguments.cpu_seconds else perf_counter
        report(case, arguments.threads, arguments.repeats, arguments.path, timer)


if __name__ == "__main__":
    main()
