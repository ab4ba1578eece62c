"""Settings, schedules and parameter groups."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from spindl.cli.recipe import build_loss, build_optimizer, build_schedule, rate_factor
from spindl.cli.settings import SettingsError, TrainSettings, checked, merged

BASE = TrainSettings(model="m", data="d", epochs=4, lr=0.2)


def rates(**changes: object) -> list[float]:
    factor = rate_factor(replace(BASE, **changes), steps_per_epoch=5)  # type: ignore[arg-type]
    return [factor(step) for step in range(20)]


def test_schedules() -> None:
    assert rates(schedule="constant") == [1.0] * 20
    assert rates(schedule="step", milestones=(1, 3), gamma=0.5) == [1.0] * 5 + [0.5] * 10 + [0.25] * 5
    linear = rates(schedule="linear")
    assert linear == pytest.approx([1 - i / 20 for i in range(20)])
    assert rates(schedule="polynomial", power=2.0) == pytest.approx([x * x for x in linear])
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0), 20)
    expected = []
    for _ in range(20):
        expected.append(cosine.get_last_lr()[0])
        cosine.optimizer.step()
        cosine.step()
    assert rates(schedule="cosine") == pytest.approx(expected)


def test_warmup_rises_to_the_whole_rate() -> None:
    values = rates(schedule="cosine", warmup_epochs=1.0)
    assert values[:5] == pytest.approx([1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6])
    assert values[5] == 1.0
    assert values[-1] < 0.05


def test_schedule_moves_every_group() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = build_optimizer(BASE, module)
    schedule = build_schedule(replace(BASE, schedule="linear", epochs=1), optimizer, 2)
    optimizer.step()
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


def test_no_decay_on_biases_and_batch_norm() -> None:
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(2, 2))
    optimizer = build_optimizer(replace(BASE, weight_decay=0.01), module)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    for parameter in module.parameters():
        assert decays[id(parameter)] == (0.01 if parameter.dim() > 1 else 0.0)
    everywhere = build_optimizer(replace(BASE, weight_decay=0.01, decay_all=True), module)
    assert all(group["weight_decay"] == 0.01 for group in everywhere.param_groups)
    lars = build_optimizer(replace(BASE, optimizer="lars"), module)
    assert [group["adapt"] for group in lars.param_groups] == [True, False]


def test_smoothing_reaches_the_loss() -> None:
    assert build_loss(replace(BASE, label_smoothing=0.1)).smoothing == 0.1


def test_the_command_line_wins() -> None:
    settings = merged({"model": "a", "data": "b", "epochs": 3, "lr": 0.5}, {"epochs": 7, "lr": None})
    assert (settings.epochs, settings.lr) == (7, 0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 2.5}, "whole number"),
        ({"epochs": True}, "whole number"),
        ({"lr": "fast"}, "a number"),
        ({"nesterov": 1}, "true or false"),
        ({"milestones": [1, "2"]}, "list of whole numbers"),
        ({"model": 3}, "a text"),
        ({"colour": "red", "size": 2}, "unknown settings colour, size"),
    ],
)
def test_values_of_the_wrong_kind(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        checked(values, "file")


def test_integers_are_numbers() -> None:
    assert checked({"lr": 1, "image_size": 32, "milestones": [1, 2]}, "file") == {
        "lr": 1.0,
        "image_size": 32,
        "milestones": (1, 2),
    }
