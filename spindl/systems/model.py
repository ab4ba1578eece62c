"""How fast SpiNNaker would train ResNet-50, and with how much energy. Nothing here was run.

spindl's integers: what the planner predicts, kept in `planned.toml` (an image a chip and step; `spindl compare-systems
--refresh` makes it anew). The thesis's float32 neurons: their products alone, from the constants in `spinnaker.toml`.
Ranges: all weak constants at their worst, all at their best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from spindl.machine import CHIP, Fact
from spindl.machine.energy import POWER
from spindl.systems.data import Figure, read_toml
from spindl.systems.errors import SystemsError

SOURCE = "model"
PLANNED = "planned.toml"
CHIPS_PER_BOARD, BOARDS_PER_FRAME = 48, 24
INT16, SOFT_FLOAT = "int16", "float32 neurons"
MAPPINGS = (INT16, SOFT_FLOAT)
EVALUATION_EPOCHS = 4
"""Every so many epochs the validation pictures are evaluated, on the clock (MLPerf v4.0)."""


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


class Ends(NamedTuple):
    """A number and its range."""

    value: float
    low: float
    high: float


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
    plan = next(each for each in _planned()["machine"] if each["name"] == machine)
    if mapping == SOFT_FLOAT:
        return _prediction(entry["title"], plan, mapping, *_software_floats(plan))
    step, forward = Ends(*plan["step_seconds"]), Ends(*_planned()["forward_seconds"])
    return _prediction(entry["title"], plan, mapping, step, forward, _planned_watts(plan))


def sensitivity() -> tuple[Sensitivity, ...]:
    """What each weak constant of the plan alone does to images/s of one board, the strongest first."""
    rows = [
        Sensitivity(move["name"], move["unit"], move["low"], move["high"], *move["images_per_second"])
        for move in _planned()["move"]
    ]
    return tuple(sorted(rows, key=lambda row: -abs(row.at_high - row.at_low)))


def constants() -> dict[str, Fact]:
    """The constants of `spinnaker.toml` by name."""
    return {
        entry["name"]: Fact(
            entry["value"],
            entry["unit"],
            f"{entry['source']} ({entry['grade']})",
            entry.get("low", entry["value"]),
            entry.get("high", entry["value"]),
        )
        for entry in _document()["constant"]
    }


def epochs_to_target(batch: float) -> float:
    """Epochs to 75.9 % by the reference's points, straight lines between them; the ends hold beyond them (assumed)."""
    points = _document()["epochs"]
    return float(np.interp(batch, [point["batch"] for point in points], [point["mean"] for point in points]))


@cache
def _document() -> dict[str, Any]:
    return read_toml("spinnaker.toml")


@cache
def _planned() -> dict[str, Any]:
    return read_toml(PLANNED)


def _planned_watts(plan: Mapping[str, Any]) -> Ends:
    """Of a machine while it trains."""
    facts = {
        "boards, idle": POWER.board5,
        "cores": POWER.core,
        "power supply, switch, fans": _around(plan["boards"]),
        "packets": POWER.packet,
        "SDRAM": POWER.sdram,
    }
    images = plan["chips"] / plan["step_seconds"][0]
    parts = [(joules * images, facts[what]) for what, joules in plan["joules"].items()]
    return Ends(
        sum(watts for watts, _ in parts),
        sum(watts * fact.low / fact.value for watts, fact in parts),
        sum(watts * fact.high / fact.value for watts, fact in parts),
    )


def _around(boards: int) -> Fact:
    return POWER.box if boards < BOARDS_PER_FRAME else POWER.frame


def _software_floats(plan: Mapping[str, Any]) -> tuple[Ends, Ends, Ends]:
    """Seconds of a step and of a forward pass, watts: nothing is known of the communication, none is counted."""
    network, c, boards = _document()["network"], constants(), plan["boards"]
    cycles, cores, rest = c["soft_float_cycles_per_mac"], c["soft_float_cores"], c["elementwise_seconds"]

    def seconds(macs: float) -> Ends:
        share = macs / network["training_macs"]
        middle, fast = (cycles.value, cores.value, rest.value), (cycles.low, cores.high, rest.low)
        ends = (middle, fast, (cycles.high, cores.low, rest.high))
        return Ends(*(macs * a / (b * CHIP.clock.value) + share * d for a, b, d in ends))

    around, frames = _around(boards), boards if boards < BOARDS_PER_FRAME else boards / BOARDS_PER_FRAME
    watts = (
        boards * (board + CHIPS_PER_BOARD * cores.value * core) + frames * other
        for board, core, other in (
            (POWER.board5.value, POWER.core.value, around.value),
            (POWER.board5.low, POWER.core.low, around.low),
            (POWER.board5.high, POWER.core.high, around.high),
        )
    )
    return seconds(network["training_macs"]), seconds(network["forward_macs"]), Ends(*watts)


def _prediction(
    title: str, plan: Mapping[str, Any], mapping: str, step: Ends, forward: Ends, watts: Ends
) -> Prediction:
    network, decoded = _document()["network"], constants()["decoded_per_core"]
    chips = plan["chips"]
    epochs = epochs_to_target(chips)
    rate, inference = _inverse(chips, step), _inverse(chips, forward)
    evaluation = _inverse(epochs / EVALUATION_EPOCHS * network["eval_images"] / 60, inference)
    training = _inverse(epochs * network["train_images"] / 60, rate)
    minutes = Ends(*(a + b for a, b in zip(training, evaluation, strict=True)))
    return Prediction(
        plan["name"],
        title,
        mapping,
        plan["boards"],
        chips,
        epochs,
        _modelled(step),
        _modelled(rate),
        _modelled(watts),
        _modelled(Ends(watts.value / rate.value, watts.low / rate.high, watts.high / rate.low)),
        _modelled(minutes),
        _modelled(evaluation),
        _modelled(Ends(*(w * m * 60 / 1e6 for w, m in zip(watts, minutes, strict=True)))),
        _modelled(inference),
        _modelled(Ends(rate.value / decoded.value, rate.low / decoded.high, rate.high / decoded.low)),
    )


def _inverse(amount: float, ends: Ends) -> Ends:
    return Ends(amount / ends.value, amount / ends.high, amount / ends.low)


def _modelled(ends: Ends) -> Figure:
    return Figure(*ends, "modelled", "D", SOURCE)
