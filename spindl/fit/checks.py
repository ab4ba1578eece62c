"""Settings and data that a Trainer refuses before anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spindl.train import TrainingError


def check_settings(
    batch_size: int, epochs: int, seed: int, schedule_interval: str, keep: int, resume: bool | str | Path, run_dir: Any
) -> None:
    """Raises TrainingError for a setting outside its range."""
    limits = {"batch_size": (batch_size, 1), "epochs": (epochs, 0), "seed": (seed, 0), "keep": (keep, 1)}
    for name, (value, lowest) in limits.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise TrainingError(f"{name} of {value!r}", name, f"choose a whole number of {lowest} or more")
    if seed >= 2**32:
        raise TrainingError(f"seed of {seed}", "seed", "choose a seed below 2^32")
    if schedule_interval not in ("epoch", "step"):
        raise TrainingError(f"schedule_interval {schedule_interval!r}", "schedule_interval", "choose 'epoch' or 'step'")
    if resume and run_dir is None:
        raise TrainingError("resume without a run folder", "resume", "name the folder of the run (run_dir, --run-dir)")


def data_shape(data: Any) -> tuple[int, ...]:
    """Shape of one record, before anything else is known."""
    shape = getattr(data, "image_shape", None)
    if shape is None and isinstance(data, tuple | list) and len(data) == 2:
        shape = tuple(np.shape(data[0]))[1:]
    if not shape:
        raise TrainingError(
            f"training data of type {type(data).__name__}",
            "train data",
            "give a spindl.data Dataset or a pair (x, y) of arrays",
        )
    return tuple(shape)
