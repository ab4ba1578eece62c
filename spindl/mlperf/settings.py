"""What a benchmark run is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindl.mlperf.errors import RuleError
from spindl.mlperf.rules import HYPERPARAMETERS, WORKLOAD, Rules, broken_rules

SIMULATED = ("sim", "interpreter")
"""Executors that compute a SpiNNaker's arithmetic on this computer."""


@dataclass(frozen=True)
class MlperfSettings:
    """One benchmark: several runs with the same settings and seeds of their own.

    data: ImageNet in its usual layout (`spindl.data.layout`), a folder or .zip archive. model: a built-in name, or
    path/to/file.py:function. The hyper-parameters have the names of the rules. learning_rate_decay_steps: None for all
    steps after the warm-up. epochs: a run that has not reached the target after so many is aborted. first_seed: None
    draws a seed for each run from the system; a number is for repeating a run and breaks a rule. rehearsal: other data,
    models and lengths are allowed, and the result says so. null: train nothing, to time the harness. machine: the
    SpiNNaker that is simulated, for the name of the system.
    """

    data: str
    model: str = "resnet50"
    opt_name: str = "lars"
    global_batch_size: int = 1632
    base_learning_rate: float = 7.4
    learning_rate_warmup_epochs: float = 2
    learning_rate_decay_steps: int | None = 27476
    momentum: float = 0.9
    weight_decay: float = 0.00005
    label_smoothing: float = 0.1
    evaluation_offset: int = 3
    evaluation_interval: int = 4
    target_accuracy: float = 0.759
    epochs: int = 43
    runs: int = 5
    first_seed: int | None = None
    image_size: int = 224
    rehearsal: bool = False
    null: bool = False
    machine: str = "spin5"
    executor: str = "sim"
    device: str = "cpu"
    threads: int | None = None
    organisation: str = "spindl"
    progress: bool = True

    def evaluated(self, epoch: int) -> bool:
        """Whether an epoch, counted from 1, is followed by an evaluation."""
        return epoch >= 1 and (epoch - self.evaluation_offset) % self.evaluation_interval == 0

    @property
    def system(self) -> str:
        """The name of the system, which says what was simulated."""
        if self.null:
            return "null-system-that-trains-nothing"
        kind = "simulated" if self.executor in SIMULATED else "run"
        name = f"spinnaker-{self.machine}-{kind}-by-spindl-{self.executor}-{self.device}"
        return f"{name}-rehearsal" if self.rehearsal else name


def checked_values(settings: MlperfSettings) -> dict[str, Any]:
    """The values of the settings that rules are about."""
    names = (
        "opt_name",
        "global_batch_size",
        "base_learning_rate",
        "learning_rate_warmup_epochs",
        "momentum",
        "weight_decay",
        "label_smoothing",
        "evaluation_offset",
        "evaluation_interval",
        "target_accuracy",
        "runs",
        "model",
        "image_size",
    )
    values = {name: getattr(settings, name) for name in names}
    values["model"] = Path(settings.model).name  # no place on this computer belongs into a package
    if settings.learning_rate_decay_steps is not None:
        values["learning_rate_decay_steps"] = settings.learning_rate_decay_steps
    values |= {
        "seed_source": "system" if settings.first_seed is None else "given",
        "gradient_accumulation_steps": 1,
        "epsilon": 0.0,
        "end_learning_rate": END_LEARNING_RATE,
        "learning_rate_decay_poly_power": POLYNOMIAL_POWER,
    }
    return values


END_LEARNING_RATE = 0.0001
POLYNOMIAL_POWER = 2


def check_rules(settings: MlperfSettings, rules: Rules, data: dict[str, int] | None = None) -> tuple[str, ...]:
    """Test the settings, and the numbers of the data (classes, train_samples, eval_samples) if they are known.

    Returns what a rehearsal leaves out, one line each. Raises RuleError.
    """
    values = {**checked_values(settings), **(data or {})}
    parts = (HYPERPARAMETERS,) if settings.rehearsal else (HYPERPARAMETERS, WORKLOAD)
    broken = broken_rules(rules, values, parts)
    if broken:
        only_workload = all(entry.rule.part == WORKLOAD for entry in broken)
        raise RuleError(
            [str(entry) for entry in broken],
            "change these settings, or try the harness with --rehearsal: its result is labelled as one"
            if only_workload
            else "change these settings",
        )
    return tuple(str(entry) for entry in broken_rules(rules, values, (WORKLOAD,)))
