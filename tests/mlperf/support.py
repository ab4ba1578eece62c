"""A small ImageNet in ILSVRC's layout: four classes told apart by colour, two wrong validation labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from spindl.mlperf import MlperfSettings

CLASSES = ("n00000001", "n00000002", "n00000003", "n00000004")
COLOURS = ((210, 60, 60), (60, 200, 70), (60, 70, 210), (190, 190, 60))
TRAIN_PER_CLASS, VALIDATION = 10, 22
WRONG = 2

MODEL = '''
import torch
from torch import nn


def tiny():
    """For pictures of any size and four classes."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )
'''


def write_imagenet(folder: Path) -> Path:
    """Pictures of 24 x 20 pixels; accuracy can reach 20 / 22 at most."""
    generator = np.random.default_rng(1)

    def picture(label: int, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.array(COLOURS[label]) + generator.integers(-40, 40, (20, 24, 3))
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(path, "JPEG", quality=90)

    for label, name in enumerate(CLASSES):
        for number in range(TRAIN_PER_CLASS):
            picture(label, folder / "train" / name / f"{name}_{number}.JPEG")
    lines = []
    for number in range(VALIDATION):
        label = number % len(CLASSES)
        name = f"ILSVRC2012_val_{number + 1:08}.JPEG"
        picture(label, folder / "val" / name)
        said = (label + 1) % len(CLASSES) if number < WRONG else label
        lines.append(f"{name} {CLASSES[said]}\n")
    (folder / "val" / "val_labels.txt").write_text("".join(lines))
    (folder.parent / "tiny.py").write_text(MODEL)
    return folder


def small(data: Path, **changes: object) -> MlperfSettings:
    """A rehearsal that takes a second or two a run."""
    settings = MlperfSettings(
        data=str(data),
        model=f"{data.parent / 'tiny.py'}:tiny",
        opt_name="sgd",
        global_batch_size=8,
        base_learning_rate=0.05,
        learning_rate_warmup_epochs=1,
        learning_rate_decay_steps=None,
        evaluation_offset=0,
        epochs=12,
        image_size=16,
        rehearsal=True,
        first_seed=7,
        threads=1,
        progress=False,
    )
    return replace(settings, **changes)
