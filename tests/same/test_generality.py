"""Networks of many kinds train for 20 steps and follow float32 PyTorch's loss curve."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import spindl
from spindl.comparison.float32 import evaluate_float32, float_inputs, float_targets
from spindl.data import batches, open_dataset
from spindl.infer.examples import read_examples
from spindl.train import read_loss

STEPS, BATCH = 20, 32
FARTHEST = 0.02


def vgg() -> nn.Module:
    """Stacked 3x3 convolutions, max pooling, dropout-free classifier with two hidden layers."""

    def stage(inputs: int, outputs: int) -> list[nn.Module]:
        return [
            nn.Conv2d(inputs, outputs, 3, padding="same"),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]

    head = [nn.Flatten(), nn.Linear(64, 32), nn.ReLU(inplace=True), nn.Linear(32, 10)]
    return nn.Sequential(*stage(1, 8), *stage(8, 16), *head)


class DepthwiseSeparable(nn.Module):
    """A MobileNet-like stack with ReLU6 and a functional mean at the end."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()]
        for inputs, outputs, stride in ((8, 16, 2), (16, 24, 1)):
            layers += [
                nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
                nn.BatchNorm2d(inputs),
                nn.ReLU6(),
                nn.Conv2d(inputs, outputs, 1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU6(),
            ]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class DenseBlock(nn.Module):
    """Every layer sees all earlier ones, concatenated; a transition with average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 6 * i), nn.ReLU(), nn.Conv2d(8 + 6 * i, 6, 3, padding=1)) for i in range(3)
        )
        self.transition = nn.Sequential(nn.Conv2d(26, 12, 1), nn.AvgPool2d(2))
        self.classifier = nn.Linear(12 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.classifier(torch.flatten(self.transition(x), 1))


class Conv1d(nn.Module):
    """The picture's rows one after the other as a signal: strided, dilated and grouped 1-D convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 8, 5, stride=2, padding=2)
        self.second = nn.Conv1d(8, 16, 3, padding=2, dilation=2, groups=2)
        self.norm = nn.BatchNorm1d(16)
        self.classifier = nn.Linear(16 * 8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x.view(x.size(0), 1, 64)))
        x = nn.functional.max_pool1d(torch.relu(self.norm(self.second(x))), 4)
        return self.classifier(x.flatten(1))


def mlp(activation: Callable[[], nn.Module]) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 40), activation(), nn.Linear(40, 24), activation(), nn.Linear(24, 10)
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], float]] = {
    "vgg": (vgg, 0.05),
    "depthwise separable": (DepthwiseSeparable, 0.05),
    "dense block": (DenseBlock, 0.02),
    "conv1d": (Conv1d, 0.02),
    "mlp tanh": (lambda: mlp(nn.Tanh), 0.05),
    "mlp sigmoid": (lambda: mlp(nn.Sigmoid), 0.1),
    "mlp softmax": (lambda: mlp(lambda: nn.Softmax(1)), 0.1),
}


def make_again(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_curve_follows_float32(name: str, tmp_path: Path) -> None:
    make, rate = NETWORKS[name]
    module = make_again(make)
    twin = copy.deepcopy(module)
    data = open_dataset("digits", "train")

    optimizer = torch.optim.SGD(module.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    epochs = -(-STEPS * BATCH // len(data))
    spindl.Trainer(
        module,
        "cross_entropy",
        optimizer,
        train=data,
        batch_size=BATCH,
        epochs=epochs,
        run_dir=tmp_path,
        progress=False,
    ).fit()
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [row["loss"] for row in rows if row["kind"] == "step"][:STEPS]

    loss = read_loss("cross_entropy")
    examples = read_examples(data, loss, data.image_shape, (10,), "train")
    optimizer = torch.optim.SGD(twin.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    expected = []
    with closing(batches(data, BATCH, 0, 0)) as steps:
        for _, batch in zip(range(STEPS), steps, strict=False):
            output = twin(float_inputs(examples, batch, torch.float32, "cpu"))
            value = nn.functional.cross_entropy(output, float_targets(examples, batch, torch.float32, "cpu"))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            expected.append(float(value.detach()))

    assert len(losses) == len(expected) == STEPS
    before, _ = evaluate_float32(make_again(make), loss, examples, BATCH, "cpu")
    after, _ = evaluate_float32(twin, loss, examples, BATCH, "cpu")
    assert after < before, "a curve that goes nowhere would prove little"
    for step, (ours, theirs) in enumerate(zip(losses, expected, strict=True)):
        assert ours == pytest.approx(theirs, rel=FARTHEST), f"step {step}"
