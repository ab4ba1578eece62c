"""Small forward graphs made by hand, for tests that should not depend on the capture of PyTorch models."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindl.graph import REAL, Graph, Node
from spindl.graph.layers import infer
from spindl.graph.operations import Value

CONVOLUTION = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}


class Layers:
    """Appends layer ops; parameters get seeded random values in `parameters`."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.nodes: list[Node] = [Node("input", (), {"name": "x"}, (1, *shape), REAL, "input")]
        self.parameters: dict[str, np.ndarray] = {}
        self.generator = np.random.default_rng(seed)

    def parameter(self, name: str, values: np.ndarray) -> int:
        self.parameters[name] = values.astype(np.float32)
        self.nodes.append(Node("parameter", (), {"name": name, "trainable": True}, values.shape, REAL, name))
        return len(self.nodes) - 1

    def add(self, op: str, *inputs: int, name: str, **attributes: Any) -> int:
        shape = infer(op, [self.nodes[i] for i in inputs], attributes)
        self.nodes.append(Node(op, inputs, attributes, shape, REAL, name))
        return len(self.nodes) - 1

    def convolution(
        self, x: int, outputs: int, kernel: tuple[int, ...], *, name: str, bias: bool = True, **attributes: Any
    ) -> int:
        a = {**CONVOLUTION, **attributes}
        if len(kernel) == 1:
            a = {key: value if key == "groups" else tuple(value)[-1:] for key, value in a.items()}
        channels = self.nodes[x].shape[1] // a["groups"]
        fan_in = channels * int(np.prod(kernel))
        w = self.parameter(f"{name}.weight", self.generator.normal(0, fan_in**-0.5, (outputs, channels, *kernel)))
        inputs = [x, w]
        if bias:
            inputs.append(self.parameter(f"{name}.bias", self.generator.normal(0, 0.1, outputs)))
        return self.add("convolution", *inputs, name=name, **a)

    def linear(self, x: int, outputs: int, *, name: str, bias: bool = True) -> int:
        features = self.nodes[x].shape[-1]
        inputs = [x, self.parameter(f"{name}.weight", self.generator.normal(0, features**-0.5, (outputs, features)))]
        if bias:
            inputs.append(self.parameter(f"{name}.bias", self.generator.normal(0, 0.1, outputs)))
        return self.add("linear", *inputs, name=name)

    def batch_norm(self, x: int, *, name: str, momentum: float = 0.1, frozen: bool = False) -> int:
        channels = self.nodes[x].shape[1]
        gamma = self.parameter(f"{name}.weight", self.generator.uniform(0.5, 1.5, channels))
        beta = self.parameter(f"{name}.bias", self.generator.normal(0, 0.2, channels))
        self.parameters[f"{name}.running_mean"] = np.zeros(channels, dtype=np.float32)
        self.parameters[f"{name}.running_var"] = np.ones(channels, dtype=np.float32)
        return self.add(
            "batch_norm",
            x,
            gamma,
            beta,
            name=name,
            eps=1e-5,
            momentum=momentum,
            running_mean=f"{name}.running_mean",
            running_var=f"{name}.running_var",
            frozen=frozen,
        )

    def graph(self) -> Graph:
        return Graph(tuple(self.nodes), {"output": len(self.nodes) - 1})


def window(kernel: int, stride: int, padding: int = 0) -> dict[str, Any]:
    return {
        "kernel": (kernel, kernel),
        "stride": (stride, stride),
        "padding": ((padding, padding),) * 2,
        "dilation": (1, 1),
    }


def padded(padding: int, stride: int = 1) -> dict[str, Any]:
    return {"padding": ((padding, padding),) * 2, "stride": (stride, stride)}


def small_lenet(seed: int = 0) -> Layers:
    """8x8x1 -> 2 convolutions, max pooling, 2 linear layers -> 10."""
    n = Layers((1, 8, 8), seed)
    x = n.add("relu", n.convolution(0, 4, (3, 3), name="conv1", **padded(1)), name="relu1")
    x = n.add("max_pool", x, name="pool1", **window(2, 2))
    x = n.add("relu", n.convolution(x, 6, (3, 3), name="conv2"), name="relu2")
    x = n.add("reshape", x, name="flatten", shape=(24,))
    x = n.add("relu", n.linear(x, 12, name="fc1"), name="relu3")
    n.linear(x, 10, name="fc2")
    return n


def small_resnet(seed: int = 0) -> Layers:
    """8x8x3 -> stem, one plain and one strided block with BatchNorm and shortcuts, global mean -> 10."""
    n = Layers((3, 8, 8), seed)

    def block(x: int, width: int, stride: int, name: str) -> int:
        y = n.convolution(x, width, (3, 3), name=f"{name}.conv1", bias=False, **padded(1, stride))
        y = n.add("relu", n.batch_norm(y, name=f"{name}.bn1"), name=f"{name}.relu1")
        y = n.convolution(y, width, (3, 3), name=f"{name}.conv2", bias=False, **padded(1))
        y = n.batch_norm(y, name=f"{name}.bn2")
        if stride != 1:
            x = n.convolution(x, width, (1, 1), name=f"{name}.shortcut", bias=False, **padded(0, stride))
            x = n.batch_norm(x, name=f"{name}.bn3")
        return n.add("relu", n.add("add", y, x, name=f"{name}.add"), name=f"{name}.relu2")

    x = n.convolution(0, 4, (3, 3), name="stem", bias=False, **padded(1))
    x = n.add("relu", n.batch_norm(x, name="stem.bn"), name="stem.relu")
    x = block(block(x, 4, 1, "block1"), 8, 2, "block2")
    x = n.add("average_pool", x, name="mean", rows=((0, 4),), columns=((0, 4),), divisor=None)
    n.linear(n.add("reshape", x, name="flatten", shape=(8,)), 10, name="fc")
    return n


def frozen_norms(seed: int = 0) -> Layers:
    """BatchNorm whose statistics are frozen, before and behind one that follows the batch."""
    n = Layers((3, 8, 8), seed)
    x = n.convolution(0, 6, (3, 3), name="conv1", **padded(1))
    x = n.add("relu", n.batch_norm(x, name="bn1", frozen=True), name="relu1")
    x = n.add("relu", n.batch_norm(n.convolution(x, 6, (3, 3), name="conv2"), name="bn2"), name="relu2")
    x = n.batch_norm(n.convolution(x, 4, (3, 3), name="conv3", **padded(0, 2)), name="bn3", frozen=True)
    for name, channels in (("bn1", 6), ("bn3", 4)):
        n.parameters[f"{name}.running_mean"] = n.generator.normal(0, 0.3, channels).astype(np.float32)
        n.parameters[f"{name}.running_var"] = n.generator.uniform(0.2, 3, channels).astype(np.float32)
    n.linear(n.add("reshape", x, name="flatten", shape=(16,)), 10, name="fc")
    return n


def byte_batch(shape: tuple[int, ...], batch: int, classes: int = 10, seed: int = 1) -> dict[str, Value]:
    """Random byte images and labels as graph inputs."""
    generator = np.random.default_rng(seed)
    return {
        "images": Value(generator.integers(0, 256, (batch, *shape))),
        "labels": Value(generator.integers(0, classes, batch)),
        "positions": Value(np.arange(batch)),
        "seed": Value(np.array(7)),
        "step": Value(np.array(3)),
    }
