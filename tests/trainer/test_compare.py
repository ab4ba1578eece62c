"""Compare: small errors where the arithmetic is right, large ones where something is made wrong."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from spindl.comparison import CompareError, Comparison, compare
from spindl.train import Formats
from tests.trainer.support import network, pictures


def run(module: nn.Module, data: Any = None, loss: Any = "cross_entropy", **options: Any) -> Comparison:
    return compare(module, loss, data or pictures(40, 1), batch_size=16, executor="interpreter", **options)


def test_every_place_is_close() -> None:
    module = network()
    before = copy.deepcopy(module.state_dict())
    result = run(module, dtype=torch.float64)
    rows = {(row.layer, row.what): row for row in result.rows}
    assert {("input", "input"), ("conv", "output"), ("bn", "input gradient"), ("loss", "loss gradient")} <= rows.keys()
    assert {row.layer for row in result.rows if row.what == "gradient"} == {k for k, _ in module.named_parameters()}
    for row in result.rows:
        assert row.cosine > 0.999, row
        assert row.error < 0.03, row
        assert row.saturated == 0
        assert row.elements > 0
    assert rows["conv", "output"].error < 1e-3
    assert rows["conv", "output"].elements == 16 * 4 * 8 * 8
    assert rows["fc.weight", "gradient"].error < 2e-3
    assert result.gradient_cosine > 0.9995
    assert result.loss == pytest.approx(result.reference_loss, rel=1e-3)
    assert result.capture_difference < 1e-6
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_fewer_bits_are_worse() -> None:
    fine, coarse = run(network()), run(network(), formats=Formats(10, 10, 10))
    assert coarse.worst(1)[0].error > 4 * fine.worst(1)[0].error
    assert coarse.gradient_cosine < fine.gradient_cosine
    assert [row.error for row in coarse.worst()] == sorted((row.error for row in coarse.rows), reverse=True)


class Branches(nn.Module):
    """A shared layer, several rows through a linear layer, a sum, one input used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Linear(8, 6)
        self.conv = nn.Conv1d(8, 8, 3, padding=1)
        self.fc = nn.Linear(64 + 48, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(1, 2)
        y = torch.tanh(self.conv(self.conv(x)) + x)
        return self.fc(torch.cat([y.flatten(1), self.rows(y).flatten(1)], 1))


def test_shared_layers_rows_and_branches() -> None:
    torch.manual_seed(0)
    result = run(Branches(), dtype=torch.float64)
    assert {row.what for row in result.rows} >= {"output", "input gradient", "sum of gradients", "gradient"}
    for row in result.rows:
        assert row.cosine > 0.99999, row
        assert row.error < 5e-3, row


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits", "bce"])
def test_other_losses(loss: str) -> None:
    torch.manual_seed(0)
    generator = np.random.default_rng(0)
    layers: list[nn.Module] = [nn.Linear(3, 8), nn.Sigmoid(), nn.Linear(8, 2)]
    module = nn.Sequential(*layers, *([nn.Sigmoid()] if loss == "bce" else []))
    data = (generator.normal(size=(32, 3)), generator.uniform(size=(32, 2)))
    result = run(module, data, loss, dtype=torch.float64)
    for row in result.rows:
        assert row.cosine > 0.99999, row
    assert result.loss == pytest.approx(result.reference_loss, rel=2e-3)


def test_a_wrong_capture_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import spindl.comparison.step as room

    real = room.capture

    def wrong(module: nn.Module, shape: Any) -> Any:
        twin = copy.deepcopy(module)
        with torch.no_grad():
            for part in twin.modules():
                if isinstance(part, nn.BatchNorm2d):
                    part.eps = 0.05
        return real(twin, shape)

    monkeypatch.setattr(room, "capture", wrong)
    with pytest.raises(CompareError, match="other outputs"):
        run(network())
