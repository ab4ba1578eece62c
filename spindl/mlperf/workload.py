"""The benchmark's data, model, optimiser and schedule, as the reference has them (`rules.toml` gives the sources)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from spindl.data import Augmentation, Dataset, open_dataset
from spindl.data.files import open_tree
from spindl.data.layout import list_split
from spindl.mlperf.settings import END_LEARNING_RATE, POLYNOMIAL_POWER, MlperfSettings
from spindl.model import load_model
from spindl.train.lars import LARS

# reference imagenet_preprocessing.py: the means are subtracted from pixel values 0..255, nothing is divided.
CHANNEL_MEANS = (123.68, 116.78, 103.94)
NORMALISATION = (tuple(mean / 255 for mean in CHANNEL_MEANS), (1 / 255,) * 3)
CROP_AREA, CROP_RATIO, CROP_TRIES = (0.05, 1.0), (0.75, 1.33), 100
RESIZED_SHARE = (256, 224)
"""Evaluation pictures are resized to 256 pixels for a crop of 224."""

# tf.keras's he_normal draws from a normal distribution cut at two standard deviations, widened to keep its variance.
_CUT_NORMAL_DEVIATION = 0.87962566103423978
_LINEAR_DEVIATION = 0.01
"""reference resnet_model.py: of the last layer's weights."""


def count_data(settings: MlperfSettings) -> dict[str, int]:
    """Classes and pictures by the names of the files; no picture is read. Raises DataError."""
    tree = open_tree(Path(settings.data).expanduser())
    train, test = (list_split(tree, split) for split in ("train", "test"))
    return {"classes": len(train.classes), "train_samples": len(train.names), "eval_samples": len(test.names)}


def open_split(settings: MlperfSettings, split: str, seed: int) -> Dataset:
    """One split ("train" or "test") with the reference's changes of pictures. Raises DataError."""
    side = settings.image_size
    if split == "train":
        change = Augmentation(random_resized_crop=side, area=CROP_AREA, ratio=CROP_RATIO, tries=CROP_TRIES, flip=True)
    else:
        larger, smaller = RESIZED_SHARE
        change = Augmentation(resize=round(side * larger / smaller), centre_crop=side)
    return open_dataset(
        Path(settings.data).expanduser(), split, image_size=side, augment=change, seed=seed, normalisation=NORMALISATION
    )


def build_model(settings: MlperfSettings, classes: int, input_shape: tuple[int, ...], seed: int) -> nn.Module:
    """The model with weights drawn from the seed; resnet50 from the reference's distributions. Raises ModelError."""
    torch.manual_seed(seed)
    if settings.model.endswith(".py") or ":" in settings.model:
        return load_model(settings.model)[0]
    module = load_model(settings.model, classes=classes, input_shape=input_shape)[0]
    if settings.model == "resnet50":
        draw_like_reference(module)
    return module


def draw_like_reference(module: nn.Module) -> None:
    """Draw the weights of convolutions and linear layers as the reference does; biases start at 0."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            fan_in = part.weight[0].numel()
            deviation = math.sqrt(2 / fan_in) / _CUT_NORMAL_DEVIATION
            nn.init.trunc_normal_(part.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        elif isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=_LINEAR_DEVIATION)
            nn.init.zeros_(part.bias)


def build_optimizer(settings: MlperfSettings, module: nn.Module) -> torch.optim.Optimizer:
    """LARS, which leaves BatchNorm and biases to plain momentum without decay; or SGD, which decays all but BatchNorm.

    The decay enters the gradient as decay x weight.
    """
    normalising = {
        id(parameter)
        for part in module.modules()
        if isinstance(part, nn.modules.batchnorm._BatchNorm)
        for parameter in part.parameters()
    }
    trained = [p for p in module.parameters() if p.requires_grad]
    rate, momentum, decay = settings.base_learning_rate, settings.momentum, settings.weight_decay
    lars = settings.opt_name == "lars"
    plain = [p for p in trained if id(p) in normalising or (lars and p.dim() <= 1)]
    left = {id(p) for p in plain}
    groups: list[dict[str, object]] = [
        {"params": [p for p in trained if id(p) not in left], "weight_decay": decay},
    ]
    if plain:
        groups.append({"params": plain, "weight_decay": 0.0, **({"adapt": False} if lars else {})})
    if lars:
        return LARS(groups, lr=rate, momentum=momentum, eta=0.001, eps=0.0)
    return torch.optim.SGD(groups, lr=rate, momentum=momentum)


def decay_steps(settings: MlperfSettings, steps_per_epoch: int) -> int:
    """Steps in which the rate falls: the setting, or all that are left after the warm-up."""
    if settings.learning_rate_decay_steps is not None:
        return settings.learning_rate_decay_steps
    return max(1, settings.epochs * steps_per_epoch - warmup_steps(settings, steps_per_epoch))


def warmup_steps(settings: MlperfSettings, steps_per_epoch: int) -> int:
    """Steps in which the rate rises."""
    return round(settings.learning_rate_warmup_epochs * steps_per_epoch)


def rate_factor(settings: MlperfSettings, steps_per_epoch: int) -> Callable[[int], float]:
    """step -> factor of the base learning rate: a rise from 0 by equal steps, then a fall by a polynomial.

    As the reference's schedule: rate = base x step / warm-up steps, then (base - end) (1 - share)^2 + end.
    """
    rising, falling = warmup_steps(settings, steps_per_epoch), decay_steps(settings, steps_per_epoch)
    end = END_LEARNING_RATE / settings.base_learning_rate

    def factor(step: int) -> float:
        if step < rising:
            return step / rising
        share = min(1.0, (step - rising) / falling) if falling else 1.0
        return (1 - end) * float((1 - share) ** POLYNOMIAL_POWER) + end

    return factor
