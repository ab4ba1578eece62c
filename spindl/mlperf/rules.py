"""The rules of the benchmark as data (`rules.toml`), and the values of a run tested against them."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

TARGET_ACCURACY, RUNS, EVALUATION_INTERVAL = "target_accuracy", "runs", "evaluation_interval"
HYPERPARAMETERS, WORKLOAD = "hyperparameters", "workload"
_TOLERANCE = 1e-5
"""Of whole numbers that come out of a division, as mlperf-logging's checker has it."""


@dataclass(frozen=True)
class Rule:
    """One rule: the value it is about, the test (`kind` with its `limits`), the rule in words, where it is from."""

    name: str
    part: str
    kind: str
    limits: Mapping[str, Any]
    text: str
    source: str
    optimizer: str | None = None


@dataclass(frozen=True)
class OpenQuestion:
    """Something no setting can meet, and so is said in every report."""

    name: str
    text: str
    source: str


@dataclass(frozen=True)
class Rules:
    """All rules of one benchmark in one round; `reference_points`: hyper-parameters, mean epochs of the reference."""

    benchmark: str
    ruleset: str
    round: str
    division: str
    rules: tuple[Rule, ...]
    open_questions: tuple[OpenQuestion, ...]
    reference_points: tuple[Mapping[str, Any], ...]

    def only_value(self, name: str) -> Any:
        """The value that a rule of kind one_of with a single value leaves."""
        (rule,) = (rule for rule in self.rules if rule.name == name)
        (value,) = rule.limits["values"]
        return value


@dataclass(frozen=True)
class Broken:
    """A value that breaks a rule."""

    rule: Rule
    value: Any

    def __str__(self) -> str:
        return f"{self.rule.name} is {self.value!r}, but {self.rule.text} ({self.rule.source})"


@cache
def load_rules() -> Rules:
    """The rules that come with spindl."""
    document = tomllib.loads((files("spindl.mlperf") / "rules.toml").read_text(encoding="utf-8"))
    common = {"name", "part", "kind", "text", "source", "optimizer"}
    rules = tuple(
        Rule(
            **{key: value for key, value in entry.items() if key in common},
            limits={key: value for key, value in entry.items() if key not in common},
        )
        for entry in document["rule"]
    )
    return Rules(
        document["benchmark"],
        document["ruleset"],
        document["round"],
        document["division"],
        rules,
        tuple(OpenQuestion(**entry) for entry in document["open_question"]),
        tuple(document["reference_point"]),
    )


def broken_rules(rules: Rules, values: Mapping[str, Any], parts: Iterable[str]) -> tuple[Broken, ...]:
    """The rules of these parts that the values break. A value that is not there is not tested."""
    wanted = set(parts)
    return tuple(
        Broken(rule, values[rule.name])
        for rule in rules.rules
        if rule.part in wanted
        and rule.name in values
        and rule.optimizer in (None, values["opt_name"])
        and not _TESTS[rule.kind](values[rule.name], rule.limits, values)
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: float) -> bool:
    return abs(value - round(value)) < _TOLERANCE


def _multiple_of(value: Any, limits: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return _number(value) and value > 0 and _whole(value / limits["step"])


def _power_of_two(value: Any, limits: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    return _number(value) and value > 0 and _whole(math.log2(value / limits["base"]))


def _fixed_below(value: Any, limits: Mapping[str, Any], values: Mapping[str, Any]) -> bool:
    if values["global_batch_size"] < limits["batch"]:
        return bool(value == limits["value"])
    return _number(value) and value >= 0


_TESTS: dict[str, Callable[[Any, Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "one_of": lambda value, limits, values: value in limits["values"],
    "multiple_of": _multiple_of,
    "power_of_two": _power_of_two,
    "at_least": lambda value, limits, values: _number(value) and value >= limits["lowest"],
    "whole": lambda value, limits, values: _number(value) and value == int(value) and value >= limits["lowest"],
    "above": lambda value, limits, values: _number(value) and value > limits["limit"],
    "fixed_below": _fixed_below,
}
