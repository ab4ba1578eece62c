"""Exact int16 contractions against PyTorch's float32 ones: milliseconds and their ratio, layer by layer.

Both sides run in this process, one after the other, with the same number of threads; PyTorch gets the better of its two
memory formats. Mantissas are drawn as they occur in training: activations 15 bits, weights 14, gradients 15.

    python bench/contraction.py [--threads N] [--network resnet20|resnet50|lenet5|all] [--repeats N]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from spindl import _native


@dataclass(frozen=True)
class Layer:
    """A square convolution, and how often the network has it."""

    channels: int
    size: int
    outputs: int
    kernel: int
    stride: int = 1
    count: int = 1
    first: bool = False  # its input gradient is never needed
    padding: int = -1

    @property
    def border(self) -> int:
        return self.kernel // 2 if self.padding < 0 else self.padding

    @property
    def out_size(self) -> int:
        return (self.size + 2 * self.border - self.kernel) // self.stride + 1


def resnet20() -> list[Layer]:
    layers = [Layer(3, 32, 16, 3, first=True), Layer(16, 32, 16, 3, count=6)]
    for channels, size in ((16, 32), (32, 16)):
        layers += [
            Layer(channels, size, 2 * channels, 3, stride=2),
            Layer(channels, size, 2 * channels, 1, stride=2),
            Layer(2 * channels, size // 2, 2 * channels, 3, count=5),
        ]
    return [*layers, Layer(64, 1, 10, 1)]


def resnet50() -> list[Layer]:
    layers = [Layer(3, 224, 64, 7, stride=2, first=True)]
    before, size = 64, 56
    for stage, blocks in enumerate((3, 4, 6, 3)):
        inner, outer = 64 << stage, 256 << stage
        stride = 1 if stage == 0 else 2
        layers += [
            Layer(before, size, inner, 1),
            Layer(inner, size, inner, 3, stride=stride),
            Layer(before, size, outer, 1, stride=stride),
        ]
        size //= stride
        layers += [
            Layer(inner, size, outer, 1, count=blocks),
            Layer(outer, size, inner, 1, count=blocks - 1),
            Layer(inner, size, inner, 3, count=blocks - 1),
        ]
        before = outer
    return [*layers, Layer(2048, 1, 1000, 1)]


def lenet5() -> list[Layer]:
    return [
        Layer(1, 28, 6, 5, first=True),
        Layer(6, 14, 16, 5, padding=0),
        Layer(400, 1, 120, 1),
        Layer(120, 1, 84, 1),
        Layer(84, 1, 10, 1),
    ]


NETWORKS = {"resnet20": (resnet20, 128), "resnet50": (resnet50, 8), "lenet5": (lenet5, 128)}


def best(run: Callable[[], object], repeats: int) -> float:
    """Shortest time of one call in milliseconds."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def mantissas(
    generator: np.random.Generator, shape: tuple[int, ...], spread: float, bits: int, relu: bool
) -> np.ndarray:
    limit = 2 ** (bits - 1) - 1
    values = np.clip(generator.normal(0, spread, shape), 0 if relu else -limit, limit)
    return values.round().astype(np.int16)


def native_times(layer: Layer, batch: int, repeats: int) -> list[float]:
    generator = np.random.default_rng(1)
    x = mantissas(generator, (batch, layer.size, layer.size, layer.channels), 1500, 15, True)
    w = mantissas(generator, (layer.outputs, layer.kernel, layer.kernel, layer.channels), 1100, 14, False)
    dy = mantissas(generator, (batch, layer.out_size, layer.out_size, layer.outputs), 300, 15, False)
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty(w.shape, np.int32)
    stride, padding = (layer.stride, layer.stride), (layer.border, layer.border)

    def forward() -> object:
        return _native.convolution(x, w, None, y, stride, padding, shift=18, limit=16383)

    def input_gradient() -> object:
        return _native.convolution_input_gradient(dy, w, dx, stride, padding, shift=16, limit=16383)

    def weight_gradient() -> object:
        return _native.convolution_weight_gradient(dy, x, dw, stride, padding, group_size=1, shift=12, limit=32767)

    return [best(run, repeats) for run in (forward, input_gradient, weight_gradient)]


def torch_times(layer: Layer, batch: int, repeats: int) -> list[float]:
    results = []
    for memory in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(batch, layer.channels, layer.size, layer.size).contiguous(memory_format=memory)
        w = torch.randn(layer.outputs, layer.channels, layer.kernel, layer.kernel).contiguous(memory_format=memory)
        dy = torch.randn(batch, layer.outputs, layer.out_size, layer.out_size).contiguous(memory_format=memory)

        def backward(x: torch.Tensor, w: torch.Tensor, dy: torch.Tensor, mask: list[bool]) -> object:
            stride, padding = [layer.stride] * 2, [layer.border] * 2
            return torch.ops.aten.convolution_backward(dy, x, w, None, stride, padding, [1, 1], False, [0, 0], 1, mask)

        results.append(
            [
                best(lambda x=x, w=w: F.conv2d(x, w, stride=layer.stride, padding=layer.border), repeats),
                best(lambda x=x, w=w, dy=dy: backward(x, w, dy, [True, False, False]), repeats),
                best(lambda x=x, w=w, dy=dy: backward(x, w, dy, [False, True, False]), repeats),
            ]
        )
    return [min(pair) for pair in zip(*results, strict=True)]


def run(network: str, repeats: int) -> None:
    make, batch = NETWORKS[network]
    print(f"{network}, batch {batch}: ms of spindl, ms of PyTorch float32, ratio")
    print(f"{'layer':>32}  {'forward':^22}  {'input gradient':^22}  {'weight gradient':^22}")
    totals = np.zeros((3, 2))
    for layer in make():
        ours, theirs = native_times(layer, batch, repeats), torch_times(layer, batch, repeats)
        cells = []
        for direction in range(3):
            if direction == 1 and layer.first:
                cells.append(" " * 22)
                continue
            totals[direction] += np.array([ours[direction], theirs[direction]]) * layer.count
            cells.append(f"{ours[direction]:7.2f} {theirs[direction]:7.2f} {ours[direction] / theirs[direction]:6.2f}")
        shape = f"{layer.kernel}x{layer.kernel}/{layer.stride} {layer.channels}->{layer.outputs} @{layer.size}"
        name = f"{layer.count}x {shape}"
        print(f"{name:>32}  " + "  ".join(cells), flush=True)
    cells = [f"{ours:7.1f} {theirs:7.1f} {ours / theirs:6.2f}" for ours, theirs in totals]
    print(f"{'all layers':>32}  " + "  ".join(cells))
    ours, theirs = totals.sum(axis=0)
    print(f"{'step':>32}  {ours:7.1f} {theirs:7.1f} {ours / theirs:6.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=_native.threads())
    parser.add_argument("--network", choices=[*NETWORKS, "all"], default="all")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    _native.set_threads(arguments.threads)
    torch.set_num_threads(arguments.threads)
    print(f"{_native.vector_path()}, {arguments.threads} threads, torch {torch.__version__}")
    for network in NETWORKS if arguments.network == "all" else [arguments.network]:
        run(network, arguments.repeats)


if __name__ == "__main__":
    main()
