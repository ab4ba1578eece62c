"""The float32 twin: the same module, weights, batches and schedule in PyTorch, to compare with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.data import Batch, batches
from spindl.infer.examples import Examples
from spindl.train import Loss


@dataclass(frozen=True)
class Float32Epoch:
    """Means of one epoch; accuracies are 0..1, None where the loss has no such count."""

    epoch: int
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None


def float_inputs(examples: Examples, batch: Batch, dtype: torch.dtype, device: str) -> Tensor:
    """Images normalised, or features, as the cores see them but in floating point: (N, ...)."""
    x = torch.from_numpy(batch.images).to(device=device, dtype=dtype)
    if x.dim() == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    if examples.dataset.normalisation is None:
        return x * 2.0**-16
    shape = (1, -1, 1, 1)
    mean, deviation = (torch.tensor(v, dtype=dtype, device=device).view(shape) for v in examples.dataset.normalisation)
    return (x / 255 - mean) / deviation


def float_targets(examples: Examples, batch: Batch, dtype: torch.dtype, device: str) -> Tensor:
    """Labels, or targets as numbers."""
    if examples.targets is None:
        return torch.from_numpy(batch.labels).to(device)
    return torch.from_numpy(examples.targets[batch.positions]).to(device=device, dtype=dtype) * 2.0**-16


def summed_loss(loss: Loss, output: Tensor, target: Tensor) -> Tensor:
    """The loss summed over the batch; squared error and binary cross-entropy are means over the outputs of an image."""
    if loss.kind == "cross_entropy":
        return F.cross_entropy(output, target, reduction="sum", label_smoothing=loss.smoothing)
    features = output[0].numel()
    if loss.kind == "squared_error":
        return F.mse_loss(output, target, reduction="sum") / features
    if loss.probabilities:
        return F.binary_cross_entropy(output, target, reduction="sum") / features
    return F.binary_cross_entropy_with_logits(output, target, reduction="sum") / features


def right_answers(loss: Loss, output: Tensor, target: Tensor) -> int | None:
    """How many answers are right, by the rules of the integer ops; None for squared error."""
    if loss.kind == "cross_entropy":
        return int((output.argmax(1) == target).sum())
    if loss.kind == "squared_error":
        return None
    threshold = 0.5 if loss.probabilities else 0.0
    return int(((output >= threshold) == (target >= 0.5)).flatten(1).all(1).sum())


def evaluate_float32(
    module: nn.Module, loss: Loss, examples: Examples, batch_size: int, device: str
) -> tuple[float, float | None]:
    """Loss per image and accuracy over a dataset."""
    module.eval()
    total, correct, counted = 0.0, 0, True
    with closing(batches(examples.dataset, batch_size, 0, 0, last="short", shuffle=False)) as steps, torch.no_grad():
        for batch in steps:
            output = module(float_inputs(examples, batch, torch.float32, device))
            target = float_targets(examples, batch, torch.float32, device)
            total += float(summed_loss(loss, output, target))
            right = right_answers(loss, output, target)
            counted = counted and right is not None
            correct += right or 0
    return total / len(examples), correct / len(examples) if counted else None


def train_float32(
    module: nn.Module,
    loss: Loss,
    optimizer: torch.optim.Optimizer,
    scheduler: Any,
    *,
    train: Examples,
    test: Examples | None,
    batch_size: int,
    epochs: int,
    seed: int,
    schedule_interval: str = "epoch",
    device: str = "cpu",
    on_epoch: Callable[[Float32Epoch], None] = lambda record: None,
) -> tuple[Float32Epoch, ...]:
    """Train in float32 with the batches that Trainer takes; the module is changed.

    Arguments are those of Trainer, with the data as Examples; `on_epoch` is called after every epoch. Dropout draws
    from torch's generator, seeded with `seed`.
    """
    module.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's faster layout
    torch.manual_seed(seed)
    result = []
    for epoch in range(epochs):
        module.train()
        total, correct, counted, images = 0.0, 0, True, 0
        with closing(batches(train.dataset, batch_size, seed, epoch)) as steps:
            for batch in steps:
                target = float_targets(train, batch, torch.float32, device)
                output = module(float_inputs(train, batch, torch.float32, device))
                value = summed_loss(loss, output, target)
                optimizer.zero_grad()
                (value / len(batch)).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                total, images = total + float(value.detach()), images + len(batch)
                right = right_answers(loss, output.detach(), target)
                counted = counted and right is not None
                correct += right or 0
                if scheduler is not None and schedule_interval == "step":
                    scheduler.step()
        tested = evaluate_float32(module, loss, test, batch_size, device) if test is not None else (None, None)
        if scheduler is not None and schedule_interval == "epoch":
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(tested[0] if tested[0] is not None else total / images)
            else:
                scheduler.step()
        record = Float32Epoch(epoch + 1, total / images, correct / images if counted else None, *tested)
        on_epoch(record)
        result.append(record)
    return tuple(result)
