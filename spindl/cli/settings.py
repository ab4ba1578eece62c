"""Settings of `spindl train`: the same names on the command line and in a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from spindl.errors import SpindlError


class SettingsError(SpindlError):
    """A setting that does not exist or has an impossible value; `where` is the file or "command line"."""


CHOICES = {
    "optimizer": ("sgd", "lars"),
    "schedule": ("constant", "cosine", "step", "linear", "polynomial"),
    "loss": ("cross_entropy", "mse", "bce_with_logits", "bce"),
}


@dataclass(frozen=True)
class TrainSettings:
    """Everything `spindl train` can be told. In a TOML file the names may be written with - or with _.

    model: a built-in name, or path/to/file.py:function. data: a known name or a path. weights: a state_dict to start
    from. weight_decay does not reach biases and BatchNorm unless decay_all. milestones (epochs) and gamma belong to the
    schedule "step", power to "polynomial"; warmup_epochs raise the rate linearly at the start of any schedule. eta: of
    LARS. augment: None for what is usual for the data. run_dir: None for the next free runs/MODEL-DATA-NUMBER.
    """

    model: str = ""
    data: str = ""
    weights: str | None = None
    epochs: int = 15
    batch_size: int = 32
    optimizer: str = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    decay_all: bool = False
    eta: float = 0.001
    schedule: str = "cosine"
    warmup_epochs: float = 0.0
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    power: float = 2.0
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    seed: int = 0
    device: str = "cpu"
    machine: str | None = None
    executor: str = "sim"
    threads: int | None = None
    run_dir: str | None = None
    resume: bool = False
    resume_from: str | None = None
    checkpoint_seconds: float = 60.0
    image_size: int | None = None
    augment: bool | None = None
    data_root: str | None = None
    activation_bits: int = 15
    weight_bits: int = 14
    gradient_bits: int = 15
    group_size: int = 1
    float32: bool = False
    tensorboard: bool | None = None
    progress: bool = True


RUN_ONLY = ("resume", "resume_from", "progress", "threads")
"""Settings that may differ when a run is resumed and say nothing about it."""


def names() -> tuple[str, ...]:
    """All settings."""
    return tuple(field.name for field in fields(TrainSettings))


def read_config(path: Path) -> dict[str, Any]:
    """Settings in a TOML file, checked. Raises SettingsError for a missing or damaged file and for unknown names."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot be read: {error.strerror}", str(path), "check the path") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"is not TOML: {error}", str(path), "write lines such as: epochs = 10") from error
    return checked({key.replace("-", "_"): value for key, value in document.items()}, str(path))


def checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The values in the types of TrainSettings. Raises SettingsError."""
    unknown = [key for key in values if key not in names()]
    if unknown:
        raise SettingsError(
            f"unknown setting{'s' if len(unknown) > 1 else ''} {', '.join(unknown)}",
            where,
            f"known are: {', '.join(names())}",
        )
    hints = get_type_hints(TrainSettings)
    return {key: _convert(key, value, hints[key], where) for key, value in values.items()}


def merged(config: Mapping[str, Any], given: Mapping[str, Any]) -> TrainSettings:
    """Defaults, then the file's values, then those of the command line (None: not given)."""
    present = checked({key: value for key, value in given.items() if value is not None}, "command line")
    settings = replace(TrainSettings(), **{**config, **present})
    for name, choices in CHOICES.items():
        if getattr(settings, name) not in choices:
            raise SettingsError(
                f"{name} is '{getattr(settings, name)}'", "settings", f"choose one of {', '.join(choices)}"
            )
    for name in ("model", "data"):
        if not getattr(settings, name):
            raise SettingsError(
                f"no {name} is given", "settings", f'give it on the command line, or as {name} = "..." in --config'
            )
    positive = ("batch_size", "epochs", "lr", "image_size", "threads", "checkpoint_seconds", "eta")
    natural = ("momentum", "weight_decay", "warmup_epochs", "label_smoothing", "seed", "gamma", "power")
    for name in (*positive, *natural):
        value = getattr(settings, name)
        if value is not None and not (value > 0 if name in positive else value >= 0):
            raise SettingsError(
                f"{name} is {value}", "settings", f"choose {'more than 0' if name in positive else '0 or more'}"
            )
    return settings


def _convert(key: str, value: Any, hint: Any, where: str) -> Any:
    options = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    for option in options:
        if get_origin(option) is tuple:
            if isinstance(value, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in value):
                return tuple(value)
        elif option is float and isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        elif option is bool or isinstance(value, bool):
            if option is bool and isinstance(value, bool):
                return value
        elif isinstance(value, option):
            return value
    kinds = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    wanted = next((kinds[option] for option in options if option in kinds), "a list of whole numbers")
    raise SettingsError(f"{key} is {value!r}", where, f"give {wanted}")
