"""Whole networks, written the ways people write them: the captured graph computes what the module does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.graph import Graph, describe
from spindl.model import BUILTIN, capture
from tests.model.witness import assert_faithful, ops

SMALL_IMAGE = {"resnet50": (3, 32, 32)}


class DepthwiseSeparable(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1, bias=False)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.pointwise = nn.Conv2d(8, 12, 1)
        self.fc = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu6(self.stem(x))
        x = F.hardtanh(self.norm(self.depthwise(x)), 0.0, 6.0)
        return self.fc(F.adaptive_avg_pool2d(self.pointwise(x), 1).flatten(1))


class DenseBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3 + 4 * i, 4, 3, padding=1) for i in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(3 + 4 * i) for i in range(3))
        self.transition = nn.Sequential(nn.Conv2d(15, 6, 1), nn.AvgPool2d(2))
        self.head = nn.Linear(6 * 4 * 4, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for convolution, norm in zip(self.layers, self.norms, strict=True):
            features.append(convolution(torch.relu(norm(torch.cat(features, 1)))))
        x = self.transition(torch.cat(features, dim=-3))
        return self.head(x.view(-1, 6 * 4 * 4))


class SignalNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 6, 5, stride=2, padding=2), nn.BatchNorm1d(6), nn.ReLU(True), nn.MaxPool1d(2), nn.Dropout(0.2)
        )
        self.mix = nn.Linear(6, 6)
        self.head = nn.Conv1d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
        return self.head(x).mean(dim=2)


class Shared(nn.Module):
    """One layer used three times, one weight under two names, and a lambda that holds a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.first.weight
        self.head = nn.Linear(6, 3)
        self.finish = lambda x: self.head(x) + self.head(x)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(3):
            x = torch.tanh(self.first(x))
        return self.finish(torch.sigmoid(self.tied(x)))


class RawParameters(nn.Module):
    """No layer modules at all: parameters and functions."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3) * 0.2)
        self.shift = nn.Parameter(torch.zeros(6))
        self.matrix = nn.Parameter(torch.randn(4, 6) * 0.2)

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        x = F.conv2d(x, self.kernel, self.shift, stride=2, padding=1)
        x = F.dropout(F.relu(x, inplace=True), 0.5, self.training)
        x += torch.tanh(x)
        y = F.max_pool2d(x, kernel_size=2)
        return F.softmax(F.linear(y.mean((2, 3)), self.matrix), dim=-1)


class Nested(nn.Module):
    """A network made of networks that appear twice."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
        self.stem = nn.Conv2d(1, 4, 1)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 2)), nn.Flatten(), nn.Linear(8, 3))

    def forward(self, *images: Tensor) -> Tensor:
        x = self.stem(images[0])
        x = self.block(x) + x
        x = torch.add(self.block(x), x)
        return self.head(x)


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    for width in (6, 6, None, 10, None):
        if width is None:
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
    head = [nn.Flatten(), nn.Linear(10 * 4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 10)]
    return nn.Sequential(*layers, *head)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(7, 9), nn.Tanh(), nn.Linear(9, 9), nn.Sigmoid(), nn.Linear(9, 4), nn.Softmax(dim=1))


NETWORKS = {
    "vgg": (vgg, (3, 8, 8)),
    "mlp": (mlp, (7,)),
    "depthwise separable": (DepthwiseSeparable, (3, 12, 12)),
    "dense block": (DenseBlock, (3, 8, 8)),
    "signals": (SignalNet, (2, 24)),
    "shared": (Shared, (6,)),
    "raw parameters": (RawParameters, (3, 10, 10)),
    "nested": (Nested, (1, 6, 6)),
    **{name: (build, SMALL_IMAGE.get(name, shape)) for name, (build, shape) in BUILTIN.items()},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str) -> None:
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    graph = assert_faithful(build(), shape)
    names = [node.name for node in graph.nodes]
    assert len(set(names)) == len(names)
    assert Graph.from_json(graph.to_json()).digest() == graph.digest()
    assert "real" in describe(graph)


def test_resnet8_is_the_network_of_the_paper() -> None:
    graph = capture(BUILTIN["resnet8"][0](), (3, 32, 32))
    block = ["convolution", "batch_norm", "relu", "convolution", "batch_norm", "add", "relu"]
    projected = ["convolution", "batch_norm", *block]
    assert ops(graph) == [
        "convolution", "batch_norm", "relu", *block, *projected, *projected, "average_pool", "reshape", "linear",
    ]  # fmt: skip


def test_names_and_source_lines() -> None:
    graph = capture(DepthwiseSeparable(), (3, 12, 12))
    found = {node.name: node.source for node in graph.nodes}
    with open(__file__) as file:
        lines = {text.strip(): f"test_architectures.py:{number}" for number, text in enumerate(file, 1)}
    assert found["stem"] == lines["x = F.relu6(self.stem(x))"]
    assert found["relu6"] == lines["x = F.relu6(self.stem(x))"]
    assert found["norm"] == lines["x = F.hardtanh(self.norm(self.depthwise(x)), 0.0, 6.0)"]
    assert found["fc"] == lines["return self.fc(F.adaptive_avg_pool2d(self.pointwise(x), 1).flatten(1))"]
    assert found["stem.weight"] == ""


def test_a_layer_used_again_gets_a_name_of_its_own() -> None:
    graph = capture(Nested(), (1, 6, 6))
    assert [node.name for node in graph.nodes if node.op == "convolution"] == [
        "stem", "block.0", "block.2", "block.0.convolution", "block.2.convolution",
    ]  # fmt: skip


def test_tied_weights_are_one_parameter() -> None:
    graph = capture(Shared(), (6,))
    names = [graph.nodes[i].attributes["name"] for i in graph.find("parameter")]
    assert names == ["first.weight", "first.bias", "tied.bias", "head.weight", "head.bias"]


def test_a_plain_sequential_has_no_source_lines() -> None:
    assert {node.source for node in capture(mlp(), (7,)).nodes} == {""}


def test_the_same_module_gives_the_same_graph() -> None:
    module = vgg()
    assert capture(module, (3, 8, 8)) == capture(module, (3, 8, 8))


def test_a_module_in_eval_mode_is_captured_for_training_in_train_mode() -> None:
    module = vgg().eval()
    graph = capture(module, (3, 8, 8))
    assert len(graph.find("dropout")) == 1
    assert not any(graph.nodes[i].attributes["frozen"] for i in graph.find("batch_norm"))
    assert not module.training
