"""`spindl infer`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from spindl.cli.output import output, plain_table
from spindl.cli.settings import SettingsError
from spindl.data import NORMALISATION, CorruptFileError, Dataset, open_dataset
from spindl.data.augment import for_evaluation
from spindl.data.decode import decode_image
from spindl.infer.predictor import Predictor
from spindl.planning import placed

TOP = 5
_PHOTO_SIDE = 160
"""From this side on a picture is cut as for ImageNet: the shorter side to 256/224 of it, then the middle."""


@dataclass(frozen=True)
class Request:
    """The options of the command."""

    source: str
    data: str | None
    images: tuple[Path, ...]
    split: str
    weights: str | None
    rows: int
    image_size: int | None
    data_root: str | None
    executor: str
    device: str
    machine: str | None
    threads: int | None
    batch_size: int | None = None


def run(request: Request) -> None:
    """Print the most likely classes, and for data with labels the accuracy."""
    console = output()
    where, _ = placed(request.executor, request.device, request.machine)
    console.print(f"executor {request.executor} ({where})", markup=False, highlight=False)
    dataset = _dataset(request) if request.data else None
    with _predictor(request, dataset) as predictor:
        _answer(console, request, dataset, predictor)


def _answer(console: Console, request: Request, dataset: Dataset | None, predictor: Predictor) -> None:
    if request.images:
        pixels = read_images(request.images, predictor.input_shape)
        logits = predictor.predict(pixels)
        console.print(_table([str(path) for path in request.images], logits, predictor.classes, None))
    if dataset is not None:
        logits = predictor.predict(dataset)
        count = min(request.rows, len(dataset))
        names = [f"{dataset.split} {i}" for i in range(count)]
        if count:
            console.print(_table(names, logits[:count], predictor.classes or dataset.classes, dataset.labels[:count]))
        flat = logits.reshape(len(logits), -1)
        if flat.shape[1] > 1:
            right = float((flat.argmax(axis=1) == dataset.labels).mean())
            console.print(f"accuracy {100 * right:.2f} % of {len(dataset)} images", markup=False, highlight=False)
    for line in predictor.speed.lines() if predictor.speed is not None else ():
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def read_images(paths: tuple[Path, ...], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Pictures brought to the shape of the model's input, (count, channels, height, width).

    Raises SettingsError for a model that takes no pictures; DataError for a file that is none.
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise SettingsError(f"the model takes {list(shape)}, not pictures", "command line", "give --data with features")
    return np.stack([_pixels(path, shape) for path in paths])


def _pixels(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorruptFileError(str(path), error.strerror or str(error)) from error
    image = decode_image(content, str(path))
    channels, height, width = shape
    if (image.height, image.width) != (height, width):
        wide = for_evaluation(min(height, width)).resize if min(height, width) >= _PHOTO_SIDE else min(height, width)
        scale = wide / min(image.size)
        size = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BILINEAR)
        left, upper = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, upper, left + width, upper + height))
    pixels = np.asarray(image.convert("L") if channels == 1 else image, dtype=np.uint8)
    return pixels[None] if channels == 1 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _is_run(source: str) -> bool:
    return Path(source).expanduser().is_dir()


def _dataset(request: Request) -> Dataset:
    root = Path(request.data_root) if request.data_root else None
    return open_dataset(str(request.data), request.split, image_size=request.image_size, data_root=root)


def _predictor(request: Request, dataset: Dataset | None) -> Predictor:
    options: dict[str, Any] = {
        "executor": request.executor,
        "device": request.device,
        "machine": request.machine,
        "threads": request.threads,
        "batch_size": request.batch_size,
    }
    if _is_run(request.source):
        return Predictor(request.source, **options)
    from spindl.model import load_model, load_weights

    arguments: dict[str, Any] = {}
    if dataset is not None and ":" not in request.source:
        arguments = {"classes": len(dataset.classes), "input_shape": dataset.image_shape}
    module, shape = load_model(request.source, **arguments)
    shape = dataset.image_shape if dataset is not None else shape
    if shape is None:
        raise SettingsError(
            "the model does not say what it takes", "command line", "return (module, input_shape), or give --data"
        )
    if request.weights is None:
        raise SettingsError("a model without weights", "command line", "give --weights, or the folder of a run")
    load_weights(module, request.weights)
    if dataset is not None:
        normalisation = dataset.normalisation
    else:
        normalisation = NORMALISATION["imagenet"] if shape[0] == 3 else ((0.5,) * shape[0], (0.5,) * shape[0])
    classes = dataset.classes if dataset is not None else ()
    return Predictor(module, input_shape=shape, normalisation=normalisation, classes=classes, **options)


def probabilities(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Softmax over the outputs of each image, (count, outputs); for a single output its sigmoid and the rest."""
    flat = logits.reshape(len(logits), -1)
    if flat.shape[1] == 1:
        flat = np.concatenate([np.zeros_like(flat), flat], axis=1)
    power = np.exp(flat - flat.max(axis=1, keepdims=True))
    return np.asarray(power / power.sum(axis=1, keepdims=True))


def _table(
    names: list[str], logits: NDArray[np.float64], classes: tuple[str, ...], labels: NDArray[np.int64] | None
) -> Table:
    shares = probabilities(logits)
    places = tuple(str(place + 1) for place in range(min(TOP, shares.shape[1])))
    title = f"most likely classes (softmax of the outputs), {len(places)} of {shares.shape[1]}"
    table = plain_table(title, ("image",) if labels is None else ("image", "label"), places)
    for row, name in enumerate(names):
        order = np.argsort(-shares[row], kind="stable")[:TOP]
        cells = [f"{_class(classes, int(i))} {100 * shares[row, i]:.1f} %" for i in order]
        table.add_row(name, *([] if labels is None else [_class(classes, int(labels[row]))]), *cells)
    return table


def _class(classes: tuple[str, ...], index: int) -> str:
    return classes[index] if index < len(classes) else str(index)
