"""ResNet-50 v1.5 at 224x224 in integers against float64: every layer by itself, and the whole network.

    python bench/fidelity.py [--data FOLDER] [--batch 8] [--steps 30]

Layer by layer: each rounded tensor of one training step is compared with the float64 result of the same layer *given
the simulator's own inputs*; the difference is given in units of the last place. The whole network: after some float32
steps the gradients of one integer step are compared with float64's (cosine over all weights), and the loss.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import chain, count, islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.data import Batch, Dataset, batches, open_dataset
from spindl.graph import Graph
from spindl.graph.operations import Value
from spindl.model import capture, load_model
from spindl.model.evaluate import evaluate
from spindl.number.rounding import limit
from spindl.run.sim.simulator import Simulator
from spindl.train import Formats, Loss, ParameterGroup, initial_state, training_graph

DOUBLE = torch.float64
DRY_PASSES = 8
RATE = 0.05


@dataclass(frozen=True)
class LayerError:
    """Largest difference of one rounded tensor from float64, in units of its last place."""

    layer: str
    what: str
    units: float
    saturated: int


def real(value: Value) -> Tensor:
    """Mantissas and exponent as float64."""
    return torch.from_numpy(np.ldexp(value.mantissa.astype(np.float64), value.exponent))


def padded(x: Tensor, padding: Any) -> Tensor:
    return F.pad(x, [size for pair in reversed(padding) for size in pair])


def convolve(a: Any, x: Tensor, w: Tensor) -> Tensor:
    return F.conv2d(padded(x, a["padding"]), w, None, a["stride"], 0, a["dilation"], a["groups"])


class Reference:
    """Float64 results of wide ops from the simulator's own int16 inputs."""

    def __init__(self, graph: Graph, values: dict[int, Value], eps: float) -> None:
        self.graph, self.values, self.eps = graph, values, eps

    def real(self, index: int) -> Tensor:
        return real(self.values[index])

    def compute(self, index: int) -> Tensor | None:
        """The float64 value of a wide node; None for ops this page does not check."""
        node = self.graph.nodes[index]
        rule = getattr(self, node.op, None)
        return None if rule is None else rule(node)

    def convolution(self, node: Any) -> Tensor:
        return convolve(node.attributes, self.real(node.inputs[0]), self.real(node.inputs[1]))

    def add_bias(self, node: Any) -> Tensor:
        return self.compute(node.inputs[0]) + self.real(node.inputs[1]).reshape(1, -1, 1, 1)

    def convolution_input_gradient(self, node: Any) -> Tensor:
        dy, w = (self.real(i) for i in node.inputs)
        x = torch.zeros(dy.shape[0], *node.attributes["input_shape"], dtype=DOUBLE, requires_grad=True)
        return torch.autograd.grad(convolve(node.attributes, x, w), x, dy)[0]

    def convolution_weight_gradient(self, node: Any) -> Tensor:
        dy, x = (self.real(i) for i in node.inputs)
        groups = []
        for image in range(dy.shape[0]):
            w = torch.zeros(node.attributes["weight_shape"], dtype=DOUBLE, requires_grad=True)
            y = convolve(node.attributes, x[image : image + 1], w)
            groups.append(torch.autograd.grad(y, w, dy[image : image + 1])[0])
        return torch.stack(groups)

    def add(self, node: Any) -> Tensor:
        return self.real(node.inputs[0]) + self.real(node.inputs[1])

    def _gamma_beta(self, scale: int, offset: int | None) -> tuple[Tensor, Tensor | None]:
        gamma = self.real(self.graph.nodes[scale].inputs[0])
        return gamma, None if offset is None else self.real(self.graph.nodes[offset].inputs[0])

    def affine(self, node: Any) -> Tensor | None:
        x, scale, offset = node.inputs
        if self.graph.nodes[scale].op != "batch_norm_scale":
            return self.real(x) * self.real(scale).reshape(1, -1, 1, 1) + self.real(offset).reshape(1, -1, 1, 1)
        gamma, beta = self._gamma_beta(scale, offset)
        return F.batch_norm(self.real(x), None, None, gamma, beta, True, 0.0, self.eps)

    def affine_pair(self, node: Any) -> Tensor:
        dy, scale, x, _, _ = node.inputs
        gamma, _ = self._gamma_beta(scale, None)
        source = self.real(x).requires_grad_()
        y = F.batch_norm(source, None, None, gamma, None, True, 0.0, self.eps)
        return torch.autograd.grad(y, source, self.real(dy))[0]


def layer_errors(
    graph: Graph, state: dict[str, Value], inputs: dict[str, Value], eps: float = 1e-5
) -> list[LayerError]:
    """One step on the simulator with everything kept; every rounding compared with float64."""
    roundings = graph.find("requantise")
    wanted: set[int] = set(roundings)
    for index in roundings:
        stack = [graph.nodes[index].inputs[0]]
        while stack:
            node = graph.nodes[stack.pop()]
            for i in node.inputs:
                wanted.add(i)
                if graph.nodes[i].format.kind in ("wide",) and graph.nodes[i].op not in ("constant",):
                    stack.append(i)
    kept = {f"value/{i}": i for i in sorted(wanted) if keepable(graph, i)}
    simulator = Simulator(replace(graph, outputs=kept, updates={}))
    outputs, _ = simulator.run(simulator.load(state), inputs)
    values = {int(name[6:]): as_value(value) for name, value in outputs.items()}
    for index, node in enumerate(graph.nodes):
        if node.op in ("state", "input"):
            source = state if node.op == "state" else inputs
            if node.attributes["name"] in source:
                values[index] = source[node.attributes["name"]]
        elif node.op == "constant":
            values[index] = Value(np.array(node.attributes["values"]), node.attributes["exponent"])
    reference = Reference(graph, values, eps)
    result = []
    for index in roundings:
        node = graph.nodes[index]
        wide = node.inputs[0]
        expected = reference.compute(wide)
        if expected is None:
            continue
        y = values[index]
        units = np.abs(y.mantissa - np.ldexp(expected.detach().numpy(), -y.exponent))
        free = np.abs(y.mantissa) < limit(node.format.bits)
        worst = float(units[free].max(initial=0.0))
        result.append(LayerError(node.name, graph.nodes[wide].op, worst, int((~free).sum())))
    return result


def keepable(graph: Graph, index: int) -> bool:
    node = graph.nodes[index]
    return node.op not in ("state", "input", "constant") and node.format.kind in ("int16", "int32")


def as_value(value: Any) -> Value:
    """A simulator value as NumPy."""
    return value if isinstance(value, Value) else Value(value.data.cpu().numpy().astype(np.int64), value.exponent)


def pixels(images: np.ndarray, normalisation: Any, dtype: torch.dtype) -> Tensor:
    mean, deviation = (torch.tensor(part, dtype=dtype).reshape(1, -1, 1, 1) for part in normalisation)
    return (torch.from_numpy(images).to(dtype) / 255 - mean) / deviation


@dataclass(frozen=True)
class Fidelity:
    """What one integer step of a network has in common with float64's.

    Attributes:
        layers: every rounded tensor by itself.
        cosine: of all weight gradients together; worst: (cosine, parameter) of the three least alike.
        integer_loss, double_loss: per image.
    """

    layers: list[LayerError]
    cosine: float
    worst: list[tuple[float, str]]
    integer_loss: float
    double_loss: float


def warmed_up(dataset: Dataset, batch: int, steps: int) -> tuple[nn.Module, Batch]:
    """ResNet-50 with zero-initialised last gammas after some float32 steps, and the next batch."""
    torch.manual_seed(0)
    module, _ = load_model("resnet50", classes=1000, input_shape=dataset.image_shape, zero_init_residual=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=0.9)
    stream = chain.from_iterable(batches(dataset, batch, 0, epoch) for epoch in count())
    module.train()
    for number, part in enumerate(islice(stream, steps)):
        optimizer.zero_grad()
        x = pixels(part.images, dataset.normalisation, torch.float32)
        loss = F.cross_entropy(module(x), torch.from_numpy(part.labels))
        loss.backward()
        optimizer.step()
        print(f"float32 step {number + 1}: loss {loss.item():.4f}", end="\r", flush=True)
    return module, next(stream)


def measure(module: nn.Module, dataset: Dataset, batch: Batch) -> Fidelity:
    """One integer training step of a module, compared with float64 layer by layer and as a whole."""
    size = len(batch)
    forward = capture(module, dataset.image_shape)
    keys = tuple(name for name, _ in module.named_parameters())
    floats = {name: t.detach() for name, t in module.state_dict().items() if t.is_floating_point()}
    groups = (ParameterGroup("sgd", keys, momentum=False),)
    graph = training_graph(forward, Loss("cross_entropy"), groups, Formats(), size, dataset.normalisation)
    state = initial_state(graph, {name: t.numpy() for name, t in floats.items()})
    inputs = {
        "images": Value(batch.images.astype(np.int64)),
        "labels": Value(batch.labels),
        "rate/0": Value(np.array(1), 0),
        "decay/0": Value(np.array(0), 0),
    }
    dry = Simulator(graph)
    loaded: Any = dry.load(state)
    for _ in range(DRY_PASSES):
        _, updates = dry.run(loaded, inputs)
        loaded |= {name: value for name, value in updates.items() if name.startswith("site/")}
    state |= {name: as_value(value) for name, value in loaded.items() if name.startswith("site/")}

    kept = {graph.nodes[i].name: i for i in graph.find("saturate32")}
    simulator = Simulator(replace(graph, outputs={"loss": graph.outputs["loss"], **kept}, updates={}))
    outputs, _ = simulator.run(simulator.load(state), inputs)
    doubles = {name: t.to(DOUBLE).clone().requires_grad_(name in keys) for name, t in floats.items()}
    logits = evaluate(forward, doubles, pixels(batch.images, dataset.normalisation, DOUBLE), training=True)[-1]
    loss = F.cross_entropy(logits, torch.from_numpy(batch.labels), reduction="sum")
    loss.backward()
    cosines, total = [], np.zeros(3)
    for key in keys:
        a, b = real(as_value(outputs[key])).reshape(-1), doubles[key].grad.reshape(-1)
        products = np.array([float(a @ b), float(a @ a), float(b @ b)])
        total += products
        if products[1] and products[2]:
            cosines.append((float(products[0] / (products[1] * products[2]) ** 0.5), key))
    return Fidelity(
        layer_errors(graph, state, inputs),
        float(total[0] / (total[1] * total[2]) ** 0.5),
        sorted(cosines)[:3],
        int(as_value(outputs["loss"]).mantissa) / 2**16 / size,
        float(loss.detach()) / size,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/imagenet-samples")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=30)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data, image_size=224)
    module, batch = warmed_up(dataset, arguments.batch, arguments.steps)
    found = measure(module, dataset, batch)
    print(f"\nLayer by layer, batch {arguments.batch}: largest difference from float64, in last places")
    for what in sorted({e.what for e in found.layers}):
        group = [e for e in found.layers if e.what == what]
        worst = max(group, key=lambda e: e.units)
        saturated = sum(e.saturated for e in group)
        print(f"  {what:30} {len(group):4} tensors  worst {worst.units:.4f} ({worst.layer})  saturated {saturated}")
    print(f"\nWhole network after {arguments.steps} float32 steps: gradient cosine {found.cosine:.5f}")
    print("least alike: " + ", ".join(f"{key} {value:.4f}" for value, key in found.worst))
    apart = abs(found.integer_loss / found.double_loss - 1)
    print(f"loss {found.integer_loss:.5f}, float64 {found.double_loss:.5f} ({apart:.3%} apart)")


if __name__ == "__main__":
    main()
