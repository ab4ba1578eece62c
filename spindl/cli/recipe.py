"""From settings to torch objects: parameter groups, optimiser, schedule, loss, data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spindl.cli.settings import SettingsError, TrainSettings
from spindl.data import Augmentation, Dataset, open_dataset
from spindl.model import load_model, load_weights
from spindl.train import Formats, Loss, TrainingError, read_loss
from spindl.train.lars import LARS


def build_data(settings: TrainSettings, split: str) -> Dataset:
    """The training or test data."""
    root = Path(settings.data_root) if settings.data_root else None
    size = settings.image_size
    if split == "test" or settings.augment is None:
        return open_dataset(settings.data, split, image_size=size, seed=settings.seed, data_root=root)
    usual = open_dataset(settings.data, split, image_size=size, seed=settings.seed, data_root=root)
    if settings.augment and (usual.augmentation.is_random or usual.normalisation is None):
        return usual
    change = usual.augmentation
    if settings.augment:
        change = replace(change, pad_crop=max(1, usual.image_shape[-1] // 8), flip=True)
    else:
        change = Augmentation()
    return open_dataset(settings.data, split, image_size=size, augment=change, seed=settings.seed, data_root=root)


def build_model(settings: TrainSettings, dataset: Dataset) -> nn.Module:
    """The model for the data, with its initial weights from the seed or from a file."""
    torch.manual_seed(settings.seed)
    classes = _outputs(settings, dataset)
    if settings.model.endswith(".py") or ":" in settings.model:
        # A function in a file decides for itself; it may take the two arguments or not.
        module, _ = load_model(settings.model)
    else:
        module, _ = load_model(settings.model, classes=classes, input_shape=dataset.image_shape)
    if settings.weights:
        load_weights(module, settings.weights)
    return module


def _outputs(settings: TrainSettings, dataset: Dataset) -> int:
    binary = settings.loss in ("bce", "bce_with_logits") and len(dataset.classes) == 2
    return 1 if binary else len(dataset.classes)


def build_loss(settings: TrainSettings) -> Loss:
    """The loss. Raises TrainingError."""
    loss = read_loss(settings.loss)
    if settings.label_smoothing == 0:
        return loss
    if loss.kind != "cross_entropy":
        raise TrainingError("label smoothing with another loss than cross-entropy", "label_smoothing", "leave it out")
    if settings.label_smoothing >= 1:
        raise TrainingError(f"label smoothing of {settings.label_smoothing}", "label_smoothing", "choose less than 1")
    return replace(loss, smoothing=settings.label_smoothing)


def build_formats(settings: TrainSettings) -> Formats:
    """Mantissa bits and gradient groups."""
    return Formats(settings.activation_bits, settings.weight_bits, settings.gradient_bits, settings.group_size)


def build_optimizer(settings: TrainSettings, module: nn.Module) -> torch.optim.Optimizer:
    """SGD or LARS; biases and BatchNorm's parameters in a group of their own: no decay, no scaling by LARS."""
    trained = [p for p in module.parameters() if p.requires_grad]
    weights = [p for p in trained if p.dim() > 1]
    others = [p for p in trained if p.dim() <= 1]
    decay = settings.weight_decay
    plain: dict[str, Any] = {"params": others, "weight_decay": decay if settings.decay_all else 0.0}
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": decay}]
    if settings.optimizer == "lars":
        if others:
            groups.append({**plain, "adapt": False})
        return LARS(groups, lr=settings.lr, momentum=settings.momentum, eta=settings.eta)
    if settings.nesterov and settings.momentum == 0:
        raise SettingsError("nesterov without momentum", "settings", "give a momentum above 0")
    if others:
        groups.append(plain)
    return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum, nesterov=settings.nesterov)


def build_schedule(
    settings: TrainSettings, optimizer: torch.optim.Optimizer, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rate for every step (the scheduler counts steps)."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, rate_factor(settings, steps_per_epoch))


def rate_factor(settings: TrainSettings, steps_per_epoch: int) -> Callable[[int], float]:
    """step -> factor of the learning rate."""
    total = settings.epochs * steps_per_epoch
    warmup = min(total, int(settings.warmup_epochs * steps_per_epoch + 0.5))
    milestones = settings.milestones or (settings.epochs // 2, settings.epochs * 3 // 4)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min(1.0, (step - warmup) / max(1, total - warmup))
        if settings.schedule == "cosine":
            return 0.5 * (1 + math.cos(math.pi * done))
        if settings.schedule == "linear":
            return 1 - done
        if settings.schedule == "polynomial":
            return float((1 - done) ** settings.power)
        if settings.schedule == "step":
            return float(settings.gamma ** sum(step >= m * steps_per_epoch for m in milestones))
        return 1.0

    return factor
