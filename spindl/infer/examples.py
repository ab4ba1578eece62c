"""Examples: a dataset with what the loss compares the outputs to, and the integer inputs of a step made from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.data import Batch, Dataset, LabelRangeError, features_to_fixed, from_arrays
from spindl.errors import SpindlError
from spindl.graph import Graph
from spindl.graph.operations import Value
from spindl.train import Loss

TARGET_EXPONENT = -16


class ExamplesError(SpindlError):
    """Data that do not fit the model or the loss."""


@dataclass(frozen=True)
class Examples:
    """A dataset and, for losses that compare with numbers, its targets.

    Attributes:
        dataset: images or features, and labels.
        targets: int32 with 16 fraction bits, (len(dataset), *output shape); None for cross-entropy, which takes labels.
    """

    dataset: Dataset
    targets: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.dataset)


def read_examples(
    data: Any, loss: Loss | None, input_shape: Sequence[int], output_shape: Sequence[int], what: str
) -> Examples:
    """What the user gave as data, checked against the model.

    Args:
        data: a `spindl.data` Dataset, or (x, y): arrays or tensors. x is uint8 images (count, channels, height, width)
            or real features (count, ...); y is class indices (count,) or, for the other losses, numbers of the output's
            shape.
        loss: decides what y must be; None takes anything.
        input_shape, output_shape: of one image.
        what: "train" or "test", for messages.

    Raises:
        ExamplesError: other shapes or types; DataError and its kin: NaN, labels out of range, no data.
    """
    if isinstance(data, Dataset):
        dataset, numbers = data, None
    else:
        dataset, numbers = _from_pair(data, loss, what)
    if tuple(dataset.image_shape) != tuple(input_shape):
        raise ExamplesError(
            f"records of shape {list(dataset.image_shape)}, the model takes {list(input_shape)}",
            f"{what} data",
            "give the model's input size (--image-size for pictures), or another model",
        )
    if loss is None:
        return Examples(dataset)
    if loss.kind == "cross_entropy":
        check_labels(dataset, output_shape[0])
        return Examples(dataset)
    return Examples(dataset, _targets(dataset, numbers, loss, tuple(output_shape), what))


def check_labels(dataset: Dataset, classes: int) -> None:
    """Raise LabelRangeError unless the model has an output for every label."""
    outside = np.flatnonzero(dataset.labels >= classes)
    if len(outside):
        position = int(outside[0])
        raise LabelRangeError(dataset.source, position, int(dataset.labels[position]), classes)


def _array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):  # a tensor, also one on a GPU or with a gradient
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _from_pair(data: Any, loss: Loss | None, what: str) -> tuple[Dataset, NDArray[Any] | None]:
    if not (isinstance(data, tuple | list) and len(data) == 2):
        raise ExamplesError(
            f"data of type {type(data).__name__}",
            f"{what} data",
            "give a spindl.data Dataset or a pair (x, y) of arrays",
        )
    x, y = _array(data[0]), _array(data[1])
    if len(y) != len(x):
        raise ExamplesError(f"{len(x)} inputs and {len(y)} targets", f"{what} data", "give one target an input")
    whole = y.dtype.kind in "iu" and y.ndim == 1
    if loss is not None and loss.kind == "cross_entropy" and not whole:
        raise ExamplesError(
            f"cross-entropy takes integer labels of shape (count,), these are {y.dtype} {list(y.shape)}",
            f"{what} data",
            "give class indices, or use another loss",
        )
    labels = y if whole else np.zeros(len(x), dtype=np.int64)
    classes = None if whole else ("target",)
    if x.dtype == np.uint8 and x.ndim == 4:
        dataset = from_arrays(labels, images=x, classes=classes, name=what, split=what)
    elif x.dtype.kind in "fiub" and x.ndim >= 2:
        dataset = from_arrays(labels, features=x, classes=classes, name=what, split=what)
    else:
        raise ExamplesError(
            f"inputs of {x.dtype} {list(x.shape)}",
            f"{what} data",
            "give uint8 images (count, channels, height, width) or real features (count, ...)",
        )
    return dataset, y


def _targets(
    dataset: Dataset, numbers: NDArray[Any] | None, loss: Loss, output_shape: tuple[int, ...], what: str
) -> NDArray[np.int32]:
    """Targets of squared error and binary cross-entropy: the numbers given, or labels as 0 and 1."""
    count, features = len(dataset), prod(output_shape)
    if numbers is not None and (numbers.dtype.kind == "f" or numbers.ndim > 1 or features == 1):
        if prod(numbers.shape[1:]) != features:
            raise ExamplesError(
                f"targets of shape {list(numbers.shape[1:])}, the model gives {list(output_shape)}",
                f"{what} data",
                "give one number for each output",
            )
        values = numbers.astype(np.float64).reshape(count, *output_shape)
    elif features == 1:
        values = dataset.labels.astype(np.float64).reshape(count, *output_shape)
    else:
        if len(output_shape) != 1:
            raise ExamplesError(
                f"labels for outputs of shape {list(output_shape)}", f"{what} data", "give numbers as targets"
            )
        check_labels(dataset, features)
        values = np.eye(features)[dataset.labels]
    if loss.kind == "binary_cross_entropy":
        outside = np.flatnonzero(~((values >= 0) & (values <= 1)).reshape(count, -1).all(axis=1))
        if len(outside):
            raise ExamplesError(
                f"the target of record {int(outside[0])} is not in [0, 1]",
                f"{what} data",
                "binary cross-entropy takes probabilities",
            )
    return features_to_fixed(values, f"{what} targets")


def input_names(graph: Graph) -> frozenset[str]:
    """Names of a graph's inputs."""
    return frozenset(str(node.attributes["name"]) for node in graph.nodes if node.op == "input")


def step_inputs(
    examples: Examples, batch: Batch, *, start: int, seed: int, step: int, scalars: Mapping[str, Value] | None = None
) -> dict[str, Value]:
    """The inputs of one step.

    Args:
        examples: where the batch is from.
        batch: the records.
        start: how many records of the epoch came before; "positions" count on from there.
        seed, step: what random draws are keyed by.
        scalars: learning rates and the like.
    """
    inputs = {
        "images": Value(batch.images, 0 if examples.dataset.normalisation else TARGET_EXPONENT),
        "labels": Value(batch.labels),
        "positions": Value(np.arange(start, start + len(batch), dtype=np.int64)),
        "seed": Value(np.array(seed, dtype=np.int64)),
        "step": Value(np.array(step, dtype=np.int64)),
    }
    if examples.targets is not None:
        inputs["targets"] = Value(examples.targets[batch.positions], TARGET_EXPONENT)
    return {**inputs, **(scalars or {})}


def padded(batch: Batch, size: int) -> Batch:
    """The batch, filled up to `size` records with copies of its last one."""
    missing = size - len(batch)
    if missing == 0:
        return batch
    return Batch(
        *(
            np.concatenate([a, np.repeat(a[-1:], missing, axis=0)])
            for a in (batch.images, batch.labels, batch.positions)
        )
    )
