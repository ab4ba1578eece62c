"""State: everything that a step changes, and all that is needed to go on exactly where a run stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from spindl.graph import Graph
from spindl.graph.operations import Value
from spindl.program.errors import StateError
from spindl.program.program import Program

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        seed: of the order of the data and of all draws.
        step: optimiser steps done.
        epoch: epochs done.
        position: images of the present epoch done; a whole epoch's worth when only its end (evaluation) is left.
        images: images done since the start.
        previous_batch: images of the last step; None before the first.
    """

    seed: int
    step: int = 0
    epoch: int = 0
    position: int = 0
    images: int = 0
    previous_batch: int | None = None


@dataclass(frozen=True)
class Tally:
    """Sums over the steps of the present epoch.

    Attributes:
        loss: sum over images in units of 2^-16.
        correct: right answers; None for losses without such a count.
        images: how many.
        saturation: values clipped, by rounding place; places without any are left out.
    """

    loss: int = 0
    correct: int | None = None
    images: int = 0
    saturation: Mapping[str, int] = field(default_factory=lambda: _NOTHING)

    def plus(self, loss: int, correct: int | None, images: int, saturation: Mapping[str, int]) -> Tally:
        """With one more step."""
        total = dict(self.saturation)
        for name, count in saturation.items():
            if count:
                total[name] = total.get(name, 0) + count
        right = None if correct is None else (self.correct or 0) + correct
        return Tally(self.loss + loss, right, self.images + images, total)

    def mean_loss(self) -> float:
        """Per image, in nats (or squared units)."""
        return self.loss / 65536 / self.images if self.images else float("nan")

    def accuracy(self) -> float | None:
        """Share of right answers, 0..1."""
        return None if self.correct is None or not self.images else self.correct / self.images


@dataclass(frozen=True)
class State:
    """The State of a run.

    Attributes:
        values: integers by state name: "weights/<key>", "velocity/<key>", "running/<key>", "site/<name>".
        progress, tally: where the run is, and the sums of the present epoch.
        optimizer: hyper-parameters of each parameter group of the torch optimiser.
        scheduler: the torch scheduler's state_dict; None without one.
        best: best test accuracy so far (or, where the loss has none, minus the lowest test loss).
        program: digest of the Program it belongs to.
    """

    values: Mapping[str, Value]
    progress: Progress
    tally: Tally = field(default_factory=Tally)
    optimizer: tuple[Mapping[str, Any], ...] = ()
    scheduler: Mapping[str, Any] | None = None
    best: float | None = None
    program: str = ""


def state_shapes(graphs: Mapping[str, Graph]) -> dict[str, tuple[int, ...]]:
    """Shape of every state that the graphs read, by name."""
    return {str(node.attributes["name"]): node.shape for g in graphs.values() for node in g.nodes if node.op == "state"}


def _weights_first(name: str) -> tuple[bool, str]:
    return not name.startswith("weights/"), name


def check_state(state: State, program: Program, where: str = "", limit: int = 5) -> None:
    """Raise StateError, with the first differences, unless the State belongs to the Program."""
    expected = state_shapes(program.graphs)
    lines = []
    for name in sorted({*expected, *state.values}, key=_weights_first):
        if name not in state.values:
            lines.append(f"{name}: not in the checkpoint, the model has {list(expected[name])}")
        elif name not in expected:
            lines.append(f"{name}: only in the checkpoint, {list(state.values[name].mantissa.shape)}")
        elif state.values[name].mantissa.shape != expected[name]:
            found = list(state.values[name].mantissa.shape)
            lines.append(f"{name}: {found} in the checkpoint, the model has {list(expected[name])}")
    if lines:
        more = [f"... and {len(lines) - limit} more"] if len(lines) > limit else []
        raise StateError(
            f"the checkpoint belongs to another model; {len(lines)} entries differ:",
            where,
            "use the model, optimiser and formats that the run was started with, or another --run-dir",
            differences=[*lines[:limit], *more],
        )
    if state.program and state.program != program.digest():
        raise StateError(
            "the checkpoint was written with another batch size, loss, format or layer",
            where,
            "use the settings that the run was started with, or another --run-dir",
        )
