"""Data, model, optimiser and schedule as the reference has them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from spindl.mlperf import MlperfSettings
from spindl.mlperf.workload import build_optimizer, count_data, draw_like_reference, open_split, rate_factor
from tests.mlperf.support import CLASSES, TRAIN_PER_CLASS, VALIDATION, small, write_imagenet

SETTINGS = MlperfSettings(data="imagenet")


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 64, 7, bias=False), nn.BatchNorm2d(64), nn.Flatten(), nn.Linear(512, 10))


def test_schedule_of_the_reference_point() -> None:
    """1632 pictures a batch: 785 steps an epoch, warm-up of 2 epochs to 7.4, then 27,476 steps down to 0.0001."""
    rate = rate_factor(SETTINGS, 785)
    assert 7.4 * rate(0) == 0
    assert 7.4 * rate(785) == pytest.approx(3.7, rel=1e-12)
    assert 7.4 * rate(1570) == 7.4
    halfway = (7.4 - 0.0001) * 0.25 + 0.0001
    assert 7.4 * rate(1570 + 27476 // 2) == pytest.approx(halfway, rel=1e-12)
    assert 7.4 * rate(1570 + 27476) == pytest.approx(0.0001, rel=1e-12)
    assert rate(10**6) == rate(1570 + 27476)


def test_schedule_without_warmup_or_given_steps() -> None:
    settings = replace(SETTINGS, learning_rate_warmup_epochs=0, learning_rate_decay_steps=None, epochs=10)
    rate = rate_factor(settings, 100)
    assert rate(0) == 1
    assert rate(1000) == pytest.approx(0.0001 / 7.4, rel=1e-12)
    assert rate(999) > rate(1000)


def test_lars_leaves_biases_and_batch_norm_alone() -> None:
    module = network()
    groups = build_optimizer(SETTINGS, module).param_groups
    assert [parameter.dim() for parameter in groups[0]["params"]] == [4, 2]
    assert (groups[0]["weight_decay"], groups[0]["adapt"]) == (0.00005, True)
    assert [parameter.dim() for parameter in groups[1]["params"]] == [1, 1, 1]
    assert (groups[1]["weight_decay"], groups[1]["adapt"]) == (0.0, False)


def test_sgd_decays_all_but_batch_norm() -> None:
    module = network()
    groups = build_optimizer(replace(SETTINGS, opt_name="sgd"), module).param_groups
    assert [parameter.dim() for parameter in groups[0]["params"]] == [4, 2, 1]
    assert [id(p) for p in groups[1]["params"]] == [id(p) for p in module[1].parameters()]  # type: ignore[index]
    assert groups[1]["weight_decay"] == 0.0


def test_weights_are_drawn_as_the_reference_draws_them() -> None:
    torch.manual_seed(3)
    module = network()
    draw_like_reference(module)
    convolution, linear = module[0], module[3]  # type: ignore[index]
    fan_in = 3 * 7 * 7
    assert convolution.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.03)
    assert convolution.weight.abs().max().item() <= 2 * math.sqrt(2 / fan_in) / 0.8796 + 1e-6
    assert linear.weight.std().item() == pytest.approx(0.01, rel=0.03)
    assert not linear.bias.any()


def test_pictures_as_the_reference_has_them(tmp_path: Path) -> None:
    settings = small(write_imagenet(tmp_path / "imagenet"))
    counts = {"classes": len(CLASSES), "train_samples": len(CLASSES) * TRAIN_PER_CLASS, "eval_samples": VALIDATION}
    assert count_data(settings) == counts
    train, test = open_split(settings, "train", 1), open_split(settings, "test", 1)
    assert train.image_shape == test.image_shape == (3, 16, 16)
    assert (train.augmentation.area, train.augmentation.tries, train.augmentation.flip) == ((0.05, 1.0), 100, True)
    assert (test.augmentation.resize, test.augmentation.centre_crop) == (18, 16)
    assert not test.augmentation.is_random
    assert train.normalisation is not None
    mean, deviation = train.normalisation
    assert np.allclose(np.array(mean) * 255, (123.68, 116.78, 103.94))
    assert np.allclose(np.array(deviation) * 255, 1)
