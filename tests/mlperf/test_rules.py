"""The rules as data: every one is tested from both sides, and the error names what is broken."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spindl.mlperf import MlperfSettings, RuleError, broken_rules, check_rules, load_rules
from spindl.mlperf.rules import HYPERPARAMETERS, WORKLOAD
from spindl.mlperf.settings import checked_values

RULES = load_rules()
IMAGENET = {"classes": 1000, "train_samples": 1281167, "eval_samples": 50000}
LARS = MlperfSettings(data="imagenet")
SGD = replace(
    LARS, opt_name="sgd", base_learning_rate=1.6, global_batch_size=4096, weight_decay=0.0001, label_smoothing=0.0
)


def broken(settings: MlperfSettings, **values: Any) -> list[str]:
    found = broken_rules(RULES, {**checked_values(settings), **IMAGENET, **values}, (HYPERPARAMETERS, WORKLOAD))
    return [entry.rule.name for entry in found]


@pytest.mark.parametrize("settings", [LARS, SGD], ids=["lars", "sgd"])
def test_the_benchmark_itself_breaks_no_rule(settings: MlperfSettings) -> None:
    assert broken(settings) == []
    assert check_rules(settings, RULES, IMAGENET) == ()


@pytest.mark.parametrize(
    ("settings", "name", "good", "bad"),
    [
        (LARS, "opt_name", "sgd", "adam"),
        (LARS, "global_batch_size", 48, 0),
        (LARS, "gradient_accumulation_steps", 3, 0),
        (LARS, "base_learning_rate", 7.4321, 0.0),
        (SGD, "base_learning_rate", 0.128, 0.1285),
        (LARS, "end_learning_rate", 0.0001, 0.0),
        (SGD, "end_learning_rate", 0.0001, 0.0002),
        (LARS, "learning_rate_decay_poly_power", 2, 1),
        (SGD, "learning_rate_decay_steps", 0, -1),
        (LARS, "learning_rate_warmup_epochs", 2.5, -1),
        (SGD, "learning_rate_warmup_epochs", 5, 2.5),
        (LARS, "momentum", 0.9, 0.94),
        (replace(LARS, global_batch_size=32768), "momentum", 0.94, -0.1),
        (SGD, "momentum", 0.9, 0.8),
        (LARS, "weight_decay", 0.0001 / 8, 0.0003),
        (SGD, "weight_decay", 0.0008, 0.0),
        (LARS, "epsilon", 0.0, 1e-8),
        (LARS, "label_smoothing", 0.0, 0.2),
        (LARS, "evaluation_offset", 0, 4),
        (LARS, "evaluation_interval", 4, 1),
        (LARS, "seed_source", "system", "given"),
        (LARS, "runs", 5, 4),
        (LARS, "target_accuracy", 0.759, 0.75),
        (LARS, "model", "resnet50", "resnet20"),
        (LARS, "image_size", 224, 160),
        (LARS, "classes", 1001, 10),
        (LARS, "train_samples", 1281167, 1281166),
        (LARS, "eval_samples", 50000, 49999),
    ],
)
def test_each_rule(settings: MlperfSettings, name: str, good: Any, bad: Any) -> None:
    assert name not in broken(settings, **{name: good})
    assert name in broken(settings, **{name: bad})


def test_every_rule_is_tested_above() -> None:
    mark = next(mark for mark in test_each_rule.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    assert {case[1] for case in mark.args[1]} == {rule.name for rule in RULES.rules}


def test_error_names_value_rule_and_source() -> None:
    with pytest.raises(RuleError, match=r"weight_decay is 0\.0003, but the weight decay is 0\.0001 x 2\^N") as caught:
        check_rules(replace(LARS, weight_decay=0.0003, model="resnet20"), RULES)
    assert "rules 331" in str(caught.value)
    assert [line.split()[0] for line in caught.value.broken] == ["weight_decay", "model"]
    assert "rehearsal" not in caught.value.remedy


def test_a_rehearsal_is_offered_and_lists_what_it_leaves_out() -> None:
    other = replace(LARS, model="resnet20", runs=2)
    with pytest.raises(RuleError, match="--rehearsal"):
        check_rules(other, RULES)
    left_out = check_rules(replace(other, rehearsal=True), RULES, {**IMAGENET, "classes": 10})
    assert [line.split()[0] for line in left_out] == ["runs", "model", "classes"]


def test_a_rehearsal_keeps_the_rules_of_hyperparameters() -> None:
    with pytest.raises(RuleError, match=r"momentum is 0\.5"):
        check_rules(replace(LARS, rehearsal=True, momentum=0.5), RULES)


def test_a_place_on_this_computer_stays_out() -> None:
    values = checked_values(replace(LARS, model="/home/someone/nets.py:tiny"))
    assert values["model"] == "nets.py:tiny"


def test_reference_points_are_the_checkers() -> None:
    library = pytest.importorskip("mlperf_logging", reason='needs "spindl[mlperf]"')
    path = Path(library.__file__).parent / "rcp_checker" / "training_4.0.0" / "rcps_resnet.json"
    theirs = {entry["BS"]: entry for entry in json.loads(path.read_text()).values()}
    for point in RULES.reference_points:
        entry = theirs[point["global_batch_size"]]
        parameters, epochs = entry["Hyperparams"], sorted(entry["Epochs to converge"])[1:-1]
        assert point["base_learning_rate"] == parameters["opt_base_learning_rate"]
        assert point["learning_rate_warmup_epochs"] == parameters["opt_learning_rate_warmup_epochs"]
        assert point["learning_rate_decay_steps"] == parameters["opt_learning_rate_decay_steps"]
        assert point["weight_decay"] == parameters["opt_weight_decay"]
        assert point["momentum"] == parameters["opt_momentum"]
        assert point["mean_epochs"] == round(sum(epochs) / len(epochs), 2)
        values = {name: point[name] for name in point if name != "mean_epochs"}
        assert check_rules(replace(LARS, **values), RULES) == ()
