"""Numbers about systems, each with its range, label, grade and source; read from the TOML files beside this one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

TRAIN_IMAGES = 1281167
"""Pictures in an epoch of ImageNet (ILSVRC 2012)."""

LABELS = {
    "measured": "power at the wall during the run",
    "published": "from logs or papers",
    "nameplate": "what the box may draw at most",
    "derived": "computed from published numbers",
    "modelled": "computed from constants of the machine; not run",
}
GRADES = ("V", "S", "D", "A")
"""V read in a primary document, code or raw log; S abstract or secondary page; D derived from V; A assumed."""


@dataclass(frozen=True)
class Figure:
    """One number: its value, the range in which the truth may lie, and where it is from.

    `bound`: the truth is at most the value (energy from a nameplate).
    """

    value: float
    low: float
    high: float
    label: str
    grade: str
    source: str
    bound: bool = False


@dataclass(frozen=True)
class TrainingResult:
    """ResNet-50 v1.5 on ImageNet to 75.9 % (v0.6 and later): one system. None: no number that could be traced."""

    system: str
    round: str
    chips: int
    epochs: tuple[float, float]
    minutes: Figure
    images_per_second: Figure
    watts: Figure | None = None
    joules_per_image: Figure | None = None


@dataclass(frozen=True)
class NeuromorphicResult:
    """Inference, or learning on a neuromorphic machine: what was shown, and the numbers there are."""

    system: str
    task: str
    result: str
    label: str
    grade: str
    source: str
    images_per_second: Figure | None = None
    watts: Figure | None = None


@dataclass(frozen=True)
class Published:
    """Everything in `published.toml`; `sources`: name in the tables -> where to look."""

    sources: Mapping[str, str]
    training: tuple[TrainingResult, ...]
    neuromorphic: tuple[NeuromorphicResult, ...]


def read_toml(name: str) -> dict[str, Any]:
    """A data file of this room."""
    return tomllib.loads((files("spindl.systems") / name).read_text(encoding="utf-8"))


@cache
def published() -> Published:
    """The results of others."""
    document = read_toml("published.toml")
    return Published(
        document["source"],
        tuple(_training(entry) for entry in document["training"]),
        tuple(_neuromorphic(entry) for entry in document["neuromorphic"]),
    )


def _figure(entry: Mapping[str, Any]) -> Figure:
    low = entry.get("low", entry.get("value"))
    high = entry.get("high", entry.get("value"))
    value = entry.get("value", (low + high) / 2)
    bound = entry["label"] == "nameplate"
    return Figure(value, low, high, entry["label"], entry["grade"], entry["source"], bound)


def _training(entry: Mapping[str, Any]) -> TrainingResult:
    minutes = _figure(entry["minutes"])
    few, many = entry["epochs"]
    images = [epochs * TRAIN_IMAGES / 60 for epochs in (few, (few + many) / 2, many)]
    rate = Figure(
        images[1] / minutes.value, images[0] / minutes.high, images[2] / minutes.low, "derived", "D", minutes.source
    )
    watts = _figure(entry["watts"]) if "watts" in entry else None
    joules = None
    if watts:
        label = "measured" if watts.label == "measured" else "derived"
        low, value, high = watts.low / rate.high, watts.value / rate.value, watts.high / rate.low
        joules = Figure(value, low, high, label, "D", watts.source, watts.bound)
    return TrainingResult(entry["system"], entry["round"], entry["chips"], (few, many), minutes, rate, watts, joules)


def _neuromorphic(entry: Mapping[str, Any]) -> NeuromorphicResult:
    rate = _figure(entry["images_per_second"]) if "images_per_second" in entry else None
    origin = entry if rate is None else entry["images_per_second"]
    return NeuromorphicResult(
        entry["system"],
        entry["task"],
        entry["result"],
        origin["label"],
        origin["grade"],
        origin["source"],
        rate,
        _figure(entry["watts"]) if "watts" in entry else None,
    )
