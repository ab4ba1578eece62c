"""How fast SpiNNaker would train ResNet-50, and with how much energy: an analytic model, to be replaced by the planner.

Nothing here was run. One image a chip and step; on each chip the compute cores share the products; SDRAM traffic
overlaps with them; communication that is not hidden lengthens the step. Ranges come from the constants in
`spinnaker.toml`: all of them at their worst, all at their best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from spindl.machine import CHIP, Fact
from spindl.systems.data import Figure, read_toml
from spindl.systems.errors import SystemsError

SOURCE = "model"
CHIPS_PER_BOARD, BOARDS_PER_FRAME = 48, 24
INT16, SOFT_FLOAT = "int16", "float32 neurons"
MAPPINGS = (INT16, SOFT_FLOAT)
EVALUATION_EPOCHS = 4
"""Every so many epochs the validation pictures are evaluated, on the clock (MLPerf v4.0)."""

Constants = Mapping[str, float]


@dataclass(frozen=True)
class Prediction:
    """What one machine is predicted to do. All figures are modelled.

    machine: a name of `machines()`; mapping: "int16" (spindl's), or "float32 neurons" (the thesis's: one neuron a core,
    a dot product in software floating point; its packets and its memory are left out, so it can only be slower).
    batch: images a step, one a chip that works. epochs: to 75.9 %, by the batch. minutes: with evaluations.
    inference_per_second: pictures through the forward pass. decoding_cores: of hosts, to decode the training pictures.
    """

    machine: str
    title: str
    mapping: str
    boards: int
    batch: int
    epochs: float
    step_seconds: Figure
    images_per_second: Figure
    watts: Figure
    joules_per_image: Figure
    minutes: Figure
    evaluation_minutes: Figure
    megajoules: Figure
    inference_per_second: Figure
    decoding_cores: Figure


@dataclass(frozen=True)
class Sensitivity:
    """Images/s of a machine with one constant at its two ends, all others at their values."""

    constant: str
    unit: str
    low: float
    high: float
    at_low: float
    at_high: float


@dataclass(frozen=True)
class _Point:
    """The model at one choice of constants."""

    batch: int
    epochs: float
    step_seconds: float
    images_per_second: float
    watts: float
    joules_per_image: float
    minutes: float
    evaluation_minutes: float
    megajoules: float
    inference_per_second: float
    decoding_cores: float


def machines() -> tuple[str, ...]:
    """The machines with a prediction."""
    return tuple(entry["name"] for entry in _document()["machine"])


def predicted(machine: str, mapping: str = INT16) -> Prediction:
    """The prediction for a machine of `machines()`. Raises SystemsError for others.

    The one place that the tables, the plot and the harness ask.
    """
    entry = next((entry for entry in _document()["machine"] if entry["name"] == machine), None)
    if entry is None or mapping not in MAPPINGS:
        raise SystemsError(
            f"no prediction for '{machine}' ({mapping})",
            "compare-systems",
            f"choose one of {', '.join(machines())} and {' or '.join(MAPPINGS)}",
        )
    facts = constants()
    middle = _point(entry["boards"], mapping, {name: fact.value for name, fact in facts.items()})
    slow = _point(entry["boards"], mapping, _end(facts, fast=False))
    fast = _point(entry["boards"], mapping, _end(facts, fast=True))
    frugal = {name: fact.low if name.endswith("_watts") else fact.value for name, fact in facts.items()}
    greedy = {name: fact.high if name.endswith("_watts") else fact.value for name, fact in facts.items()}
    watts = tuple(_point(entry["boards"], mapping, each).watts for each in (frugal, greedy))

    def figure(name: str) -> Figure:
        ends = sorted((getattr(slow, name), getattr(fast, name)))
        return _modelled(getattr(middle, name), ends[0], ends[1])

    joules = _modelled(middle.joules_per_image, watts[0] / fast.images_per_second, watts[1] / slow.images_per_second)
    minutes = figure("minutes")
    energy = _modelled(middle.megajoules, watts[0] * minutes.low * 60 / 1e6, watts[1] * minutes.high * 60 / 1e6)
    return Prediction(
        machine,
        entry["title"],
        mapping,
        entry["boards"],
        middle.batch,
        middle.epochs,
        figure("step_seconds"),
        figure("images_per_second"),
        _modelled(middle.watts, *watts),
        joules,
        minutes,
        figure("evaluation_minutes"),
        energy,
        figure("inference_per_second"),
        _modelled(middle.decoding_cores, slow.decoding_cores, fast.decoding_cores),
    )


def sensitivity(machine: str) -> tuple[Sensitivity, ...]:
    """What each constant alone does to images/s, the strongest first. Raises SystemsError."""
    boards = predicted(machine).boards
    facts = constants()
    values = {name: fact.value for name, fact in facts.items()}
    rows = []
    for name, fact in facts.items():
        if fact.low == fact.high:
            continue
        ends = [_point(boards, INT16, {**values, name: end}).images_per_second for end in (fact.low, fact.high)]
        if ends[0] != ends[1]:
            rows.append(Sensitivity(name, fact.unit, fact.low, fact.high, ends[0], ends[1]))
    return tuple(sorted(rows, key=lambda row: -abs(row.at_high - row.at_low)))


def constants() -> dict[str, Fact]:
    """The constants of the model by name, with those of the chip that it needs."""
    facts = {
        entry["name"]: Fact(
            entry["value"],
            entry["unit"],
            f"{entry['source']} ({entry['grade']})",
            entry.get("low", entry["value"]),
            entry.get("high", entry["value"]),
        )
        for entry in _document()["constant"]
    }
    return facts | {"clock": CHIP.clock, "sdram_bandwidth": CHIP.sdram_bandwidth}


def epochs_to_target(batch: float) -> float:
    """Epochs to 75.9 % by the reference's points, straight lines between them; the ends hold beyond them (assumed)."""
    points = _document()["epochs"]
    return float(np.interp(batch, [point["batch"] for point in points], [point["mean"] for point in points]))


@cache
def _document() -> dict[str, Any]:
    return read_toml("spinnaker.toml")


_FASTER_WHEN_HIGH = ("compute_cores", "soft_float_cores", "sdram_bandwidth", "clock")
_NOT_SPEED = ("board_watts", "core_watts", "box_watts", "frame_watts", "communication_cores", "decoded_per_core")


def _end(facts: Mapping[str, Fact], *, fast: bool) -> dict[str, float]:
    """All constants at the end that makes the machine fast, or slow; those of power at their values."""
    return {
        name: fact.value if name in _NOT_SPEED else (fact.high if (name in _FASTER_WHEN_HIGH) == fast else fact.low)
        for name, fact in facts.items()
    }


def _point(boards: int, mapping: str, c: Constants) -> _Point:
    network = _document()["network"]
    dead = c["dead_share"] if boards > 1 else 0.0
    chips = round(boards * CHIPS_PER_BOARD * (1 - dead))
    soft = mapping == SOFT_FLOAT
    cores = c["soft_float_cores"] if soft else c["compute_cores"]
    cycles = c["soft_float_cycles_per_mac"] if soft else c["cycles_per_mac"]
    active = cores if soft else cores + c["communication_cores"]

    def pass_seconds(macs: float) -> float:
        """Of one image on one chip."""
        share = float(macs / network["training_macs"])
        computing = macs * cycles / (cores * c["clock"]) + share * c["elementwise_seconds"]
        return max(computing, 0.0 if soft else share * c["sdram_bytes"] / c["sdram_bandwidth"])

    step = pass_seconds(network["training_macs"])
    if not soft:  # nothing is known of the communication of the other mapping: none is counted
        step = step * (1 + c["exposed_share"]) + c["board_exchange_seconds"] * (1 - 1 / boards)
    rate = chips / step
    inference = chips / pass_seconds(network["forward_macs"])
    board = c["board_watts"] + CHIPS_PER_BOARD * active * c["core_watts"]
    around = c["box_watts"] if boards < BOARDS_PER_FRAME else c["frame_watts"] / BOARDS_PER_FRAME
    watts = boards * (board + around)
    epochs = epochs_to_target(chips)
    evaluation = epochs / EVALUATION_EPOCHS * network["eval_images"] / inference / 60
    minutes = epochs * network["train_images"] / rate / 60 + evaluation
    return _Point(
        batch=chips,
        epochs=epochs,
        step_seconds=step,
        images_per_second=rate,
        watts=watts,
        joules_per_image=watts / rate,
        minutes=minutes,
        evaluation_minutes=evaluation,
        megajoules=watts * minutes * 60 / 1e6,
        inference_per_second=inference,
        decoding_cores=rate / c["decoded_per_core"],
    )


def _modelled(value: float, low: float, high: float) -> Figure:
    return Figure(value, low, high, "modelled", "D", SOURCE)
