"""Losses: what a PyTorch loss means here, and the nodes it becomes."""

from __future__ import annotations

from math import prod
from typing import Any

from spindl.graph.graph import Format
from spindl.graph.operations import INT32
from spindl.graph.ops.loss import MULTIPLIER_BITS
from spindl.number.tables import ONE_Q30
from spindl.train.builder import Builder
from spindl.train.settings import Formats, Loss, TrainingError

LABELS = Format("label")
_NAMES = {
    "cross_entropy": Loss("cross_entropy"),
    "cross-entropy": Loss("cross_entropy"),
    "mse": Loss("squared_error"),
    "mse_loss": Loss("squared_error"),
    "squared_error": Loss("squared_error"),
    "binary_cross_entropy": Loss("binary_cross_entropy", probabilities=True),
    "binary_cross_entropy_with_logits": Loss("binary_cross_entropy"),
    "bce": Loss("binary_cross_entropy", probabilities=True),
    "bce_with_logits": Loss("binary_cross_entropy"),
}


def read_loss(loss: Any) -> Loss:
    """A Loss from a name, a Loss, a function of torch.nn.functional or a loss module of torch.nn.

    Raises TrainingError for another loss, and for options without an integer meaning (class weights, ignore_index,
    other
    reductions than the mean).
    """
    if isinstance(loss, Loss):
        return loss
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    modules = {
        "CrossEntropyLoss": "cross_entropy",
        "MSELoss": "mse",
        "BCELoss": "bce",
        "BCEWithLogitsLoss": "bce_with_logits",
    }
    key = modules.get(name, name)
    if key not in _NAMES:
        raise TrainingError(
            f"the loss {name} has no integer meaning",
            "loss",
            "use cross-entropy, MSE or binary cross-entropy (torch.nn.CrossEntropyLoss, MSELoss, BCELoss, "
            "BCEWithLogitsLoss)",
        )
    result = _NAMES[key]
    if isinstance(loss, str) or not hasattr(loss, "reduction"):
        return result
    unsupported = {
        "reduction": loss.reduction != "mean",
        "weight": getattr(loss, "weight", None) is not None,
        "pos_weight": getattr(loss, "pos_weight", None) is not None,
        "ignore_index": getattr(loss, "ignore_index", -100) >= 0,
    }
    for option, bad in unsupported.items():
        if bad:
            raise TrainingError(
                f"{name} with {option}={getattr(loss, option)}", "loss", f"leave {option} at its default"
            )
    smoothing = getattr(loss, "label_smoothing", 0.0)
    if not 0 <= smoothing < 1:
        raise TrainingError(f"label smoothing of {smoothing}", "loss", "choose 0 <= label_smoothing < 1")
    return Loss(result.kind, smoothing, result.probabilities)


def append_loss(b: Builder, loss: Loss, z: int, formats: Formats) -> int | None:
    """Append loss, count of right answers and, in training, the gradient of the summed loss; returns the gradient's
    node.

    Adds the outputs "loss" (sum over the batch, Q16) and "correct". The graph gains the input "labels" (class
    indices) or
    "targets" (int32 with 16 fraction bits).
    """
    shape = b.shape(z)
    features = prod(shape[1:])
    b.at("loss", "")
    if loss.kind == "cross_entropy":
        if len(shape) != 2 or shape[1] < 2:
            raise TrainingError(
                f"cross-entropy needs logits of shape (batch, classes), the model gives {list(shape)}",
                "loss",
                "flatten the output and give each class one logit",
            )
        target = b.input("labels", shape[:1], LABELS, batched=True)
        attributes = {"smoothing": int(loss.smoothing * ONE_Q30 + 0.5)}
        correct: int | None = b.emit("correct", z, target)
    else:
        target = b.input("targets", shape, INT32, batched=True)
        doubled = 2 if loss.kind == "squared_error" else 1
        attributes = {"multiplier": (2 * (doubled << MULTIPLIER_BITS) + features) // (2 * features)}
        correct = b.emit("binary_correct", z, target) if loss.kind == "binary_cross_entropy" else None
    value_attributes = attributes if loss.kind == "cross_entropy" else {}
    b.outputs["loss"] = b.emit("batch_sum", b.emit(f"{loss.kind}_loss", z, target, **value_attributes))
    if correct is not None:
        b.outputs["correct"] = b.emit("batch_sum", correct)
    if not b.training:
        return None
    return b.round(b.emit(f"{loss.kind}_gradient", z, target, **attributes), "loss.gradient", formats.gradients)
