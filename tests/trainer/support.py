"""A small task that trains in a second: which quarter of an 8x8 picture is bright?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

import spindl
from spindl.data import Dataset, from_arrays
from spindl.program import State

CLASSES = 4


def pictures(count: int, seed: int) -> Dataset:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, count)
    images = generator.integers(0, 120, (count, 1, 8, 8))
    for image, label in zip(images, labels, strict=True):
        row, column = 4 * (label // 2), 4 * (label % 2)
        image[0, row : row + 4, column : column + 4] += 100
    return from_arrays(labels, images=images.astype(np.uint8), classes=tuple("abcd"), name=f"pictures {seed}")


class Net(nn.Module):
    """Convolution, BatchNorm, dropout, linear: everything that has state or draws."""

    def __init__(self, dropout: float = 0.25) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(64, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.bn(self.conv(x))))
        return self.fc(self.dropout(x.flatten(1)))


def network(seed: int = 0) -> Net:
    torch.manual_seed(seed)
    return Net()


def trainer(
    module: nn.Module | None = None,
    *,
    optimizer: Callable[[nn.Module], torch.optim.Optimizer] | None = None,
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
    **options: Any,
) -> spindl.Trainer:
    module = module or network()
    chosen = optimizer(module) if optimizer else torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)
    settings: dict[str, Any] = {
        "train": pictures(70, 1),
        "test": pictures(25, 2),
        "batch_size": 16,
        "epochs": 2,
        "progress": False,
        "tensorboard": False,
        "executor": "interpreter",
        "checkpoint_seconds": None,
        **options,
    }
    return spindl.Trainer(
        module, nn.CrossEntropyLoss(), chosen, scheduler=scheduler(chosen) if scheduler else None, **settings
    )


def assert_same_state(a: State, b: State) -> None:
    """Equal in every bit, progress and schedule included."""
    assert a.values.keys() == b.values.keys()
    for name, value in a.values.items():
        assert value.exponent == b.values[name].exponent, name
        assert np.array_equal(value.mantissa, b.values[name].mantissa), name
    assert a.progress == b.progress
    assert a.tally == b.tally
    assert a.best == b.best
    assert a.optimizer == b.optimizer
    assert a.scheduler == b.scheduler
