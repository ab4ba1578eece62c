"""The comparison of systems: the model's numbers by hand, ranges, sources, tables, picture, errors."""

from __future__ import annotations

import csv
import io
import sys
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.cli.plan_systems import fresh
from spindl.mlperf import load_rules
from spindl.plan.scale.machines import BOARDS, boards_of
from spindl.systems import Figure, SystemsError, csv_text, machines, markdown_page, predicted, published, training_rows
from spindl.systems.data import GRADES, LABELS, read_toml
from spindl.systems.model import INT16, MAPPINGS, PLANNED, SOFT_FLOAT, constants, epochs_to_target, sensitivity
from spindl.systems.plot import plot
from spindl.systems.table import (
    neuromorphic_table,
    shown,
    source_lines,
    source_numbers,
    spinnaker_table,
    training_table,
)

RATES = ((1e3, 1e3, "k"), (0, 1, ""))


def figures() -> list[Figure]:
    found = [
        value
        for rows in (training_rows(), published().neuromorphic, [predicted(m, k) for m in machines() for k in MAPPINGS])
        for row in rows
        for field in fields(row)
        if isinstance(value := getattr(row, field.name), Figure)
    ]
    assert len(found) > 100
    return found


def planned(machine: str) -> dict[str, Any]:
    return next(each for each in read_toml(PLANNED)["machine"] if each["name"] == machine)


def test_one_board_by_hand() -> None:
    p, plan = predicted("spin5"), planned("spin5")
    step, fast, slow = plan["step_seconds"]
    assert p.batch == 48
    assert (p.step_seconds.value, p.step_seconds.low, p.step_seconds.high) == (step, fast, slow)
    assert p.images_per_second.value == pytest.approx(48 / step, rel=1e-12)
    assert p.images_per_second.low == pytest.approx(48 / slow, rel=1e-12)
    without_traffic = 26.84 + 48 * (13 + 3) * 0.034 + 5.04
    assert without_traffic < p.watts.value < 1.03 * without_traffic
    assert p.joules_per_image.value == pytest.approx(sum(plan["joules"].values()), rel=1e-4)
    forward = read_toml(PLANNED)["forward_seconds"][0]
    evaluation = 35 / 4 * 50000 * forward / 48
    assert p.evaluation_minutes.value == pytest.approx(evaluation / 60, rel=1e-9)
    assert p.minutes.value == pytest.approx((35 * 1281167 * step / 48 + evaluation) / 60, rel=1e-9)
    assert p.megajoules.value == pytest.approx(p.watts.value * p.minutes.value * 60 / 1e6, rel=1e-12)
    assert 1 / 4 < forward / step < 1 / 2, "a training step has three products where a forward pass has one"


def test_whole_machine_by_hand() -> None:
    p = predicted("million")
    assert p.batch == planned("million")["chips"]
    assert p.images_per_second.value == pytest.approx(p.batch / planned("million")["step_seconds"][0], rel=1e-12)
    assert 68 < p.epochs < 85.85
    without_traffic = 1200 * (26.84 + 768 * 0.99 * 0.034) + 50 * 154.16
    assert without_traffic < p.watts.value < 1.03 * without_traffic
    assert p.decoding_cores.value == pytest.approx(p.images_per_second.value / 350, rel=1e-12)
    assert p.watts.high == pytest.approx(100e3, rel=0.02), "the published 100 kW"


def test_machines_are_the_planners() -> None:
    for name in machines():
        machine = boards_of(name)
        assert (planned(name)["boards"], planned(name)["chips"]) == (machine.boards, machine.chips)
    assert list(BOARDS) == list(machines())


@pytest.mark.slow
def test_kept_figures_are_those_of_a_fresh_plan() -> None:
    """If the planner has changed: `spindl compare-systems --refresh`."""
    kept, found = read_toml(PLANNED), tomllib.loads(fresh())
    assert {**kept, "spindl": ""} == {**found, "spindl": ""}


def test_software_floating_point_by_hand() -> None:
    p = predicted("spin5", SOFT_FLOAT)
    assert p.step_seconds.value == pytest.approx(12149538816 * 95.3 / (17 * 200e6) + 0.4, rel=1e-12)
    assert p.images_per_second.high < predicted("spin5", INT16).images_per_second.low


def test_multiplications_are_counted_from_the_network() -> None:
    import torch
    from torch import nn

    from spindl.model.builtin import resnet50

    module = resnet50()
    counts: dict[nn.Module, int] = {}

    def count(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        counts[part] = output.numel() * part.weight[0].numel()

    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.register_forward_hook(count)
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, 224, 224))
    network = read_toml("spinnaker.toml")["network"]
    assert network["forward_macs"] == sum(counts.values())
    assert network["training_macs"] == 3 * sum(counts.values()) - counts[module.conv1]
    assert network["train_images"] == load_rules().only_value("train_samples")
    assert network["eval_images"] == load_rules().only_value("eval_samples")


def test_epochs_are_the_reference_points_of_the_harness() -> None:
    points = {point["batch"]: point["mean"] for point in read_toml("spinnaker.toml")["epochs"]}
    assert points == {p["global_batch_size"]: p["mean_epochs"] for p in load_rules().reference_points}
    assert epochs_to_target(48) == 35.0
    assert epochs_to_target(10**6) == 85.85
    assert epochs_to_target((32768 + 49152) / 2) == pytest.approx(62.0)


def test_every_number_has_range_label_grade_and_source() -> None:
    numbers = source_numbers()
    for figure in figures():
        assert 0 < figure.low <= figure.value <= figure.high
        assert figure.label in LABELS
        assert figure.grade in GRADES
        assert source_lines()[numbers[figure.source] - 1]
    assert {figure.source for figure in figures()} | {n.source for n in published().neuromorphic} == set(numbers)
    for name, fact in constants().items():
        assert fact.low <= fact.value <= fact.high, name
        assert fact.source
        assert fact.unit


def test_spinnaker_is_modelled_and_others_are_not() -> None:
    for row in training_rows():
        assert row.modelled == row.system.startswith("SpiNNaker")
        labels = {figure.label for figure in (row.minutes, row.images_per_second) if figure}
        assert ("modelled" in labels) == row.modelled
        assert row.joules_per_image is None or (row.joules_per_image.label == "modelled") == row.modelled


def test_rates_that_follow_from_the_logs() -> None:
    by_name = {row.system: row for row in training_rows()}
    assert by_name["DGX-1, 8 x V100 (v0.6)"].images_per_second.value == pytest.approx(60 * 1281167 / (115.22 * 60))
    power = by_name["8 x H100 (v4.0, with power)"]
    assert power.watts and power.joules_per_image
    assert power.joules_per_image.label == "measured"
    assert power.joules_per_image.value * 35 * 1281167 == pytest.approx(7000 * 13.37 * 60)
    nameplate = by_name["DGX H100, 8 x H100 (v4.0)"].joules_per_image
    assert nameplate and nameplate.bound and nameplate.value > power.joules_per_image.value


def test_sensitivity_moves_the_right_way() -> None:
    rows = sensitivity()
    assert len(rows) == 3
    for row in rows:
        assert (row.at_high > row.at_low) == row.constant.startswith("bandwidth")
        lowest, highest = sorted((row.at_low, row.at_high))
        rate = predicted("spin5").images_per_second
        assert rate.low <= lowest * 1.001 and highest <= rate.high * 1.001
    moves = [abs(row.at_high - row.at_low) for row in rows]
    assert moves == sorted(moves, reverse=True)


def test_larger_machines_are_faster_and_spend_more() -> None:
    predictions = [predicted(machine) for machine in machines()]
    assert len(predictions) == 6
    for smaller, larger in pairwise(predictions):
        assert smaller.boards < larger.boards
        assert smaller.minutes.value > larger.minutes.value
        assert smaller.megajoules.value < larger.megajoules.value
        assert larger.batch <= 67840, "the last reference point"


def test_unknown_machine() -> None:
    with pytest.raises(SystemsError, match="no prediction for 'spin4'") as caught:
        predicted("spin4")
    assert "million" in caught.value.remedy


@pytest.mark.parametrize(
    ("figure", "text"),
    [
        (None, "-"),
        (Figure(6255.9, 4865.8, 8238.7, "modelled", "D", "model"), "6.3 (4.9-8.2) k *"),
        (Figure(56342, 56342, 56342, "derived", "D", "v40"), "56.3 k d"),
        (Figure(0.18103, 0.18103, 0.18103, "derived", "D", "v40", True), "<= 0.181 d"),
        (Figure(99.96, 99.96, 99.96, "published", "V", "v40"), "100 p"),
    ],
)
def test_numbers_in_words(figure: Figure | None, text: str) -> None:
    assert shown(figure, RATES) == text


def test_csv_holds_every_row_and_source() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text())))
    assert [row["system"] for row in rows] == [row.system for row in training_rows()]
    for row in rows:
        for name in ("minutes", "images_per_second", "watts", "joules_per_image"):
            assert bool(row[f"{name}_value"]) == bool(row[f"{name}_source"]) == bool(row[f"{name}_label"])
    assert float(rows[0]["minutes_value"]) == training_rows()[0].minutes.value


def test_markdown_tables_are_whole() -> None:
    page = markdown_page()
    lines = [line for line in page.splitlines() if line.startswith("|")]
    tables = (training_table(), spinnaker_table(), neuromorphic_table())
    assert len(lines) == sum(len(table.lines) + 2 for table in tables)
    assert {line.count("|") for line in lines} == {len(table.head) + 1 for table in tables}
    assert "mlcommons/training_results_v4.0" in page
    assert "not run" in page


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(tmp_path / "systems.svg")
    texts = "".join(ET.parse(tmp_path / "systems.svg").getroot().itertext())
    for row in training_rows():
        assert row.system in texts
    assert "modelled, not run" in texts
    plot(tmp_path / "systems.png")
    with Image.open(tmp_path / "systems.png") as image:
        assert image.width > 1000
        assert len(image.convert("RGB").getcolors(1 << 20) or []) > 10


def test_picture_of_another_format(tmp_path: Path) -> None:
    with pytest.raises(SystemsError, match="names no format of a picture"):
        plot(tmp_path / "systems.jpg")


def test_picture_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemsError, match=r"spindl\[plot\]"):
        plot(tmp_path / "systems.svg")


def test_command(tmp_path: Path) -> None:
    files = {"--csv": tmp_path / "s.csv", "--markdown": tmp_path / "s.md"}
    arguments = [text for option, path in files.items() for text in (option, str(path))]
    result = CliRunner().invoke(app, ["compare-systems", *arguments])
    assert result.exit_code == 0, result.output
    assert "SpiNNaker, one board, int16" in result.output
    assert "modelled: computed from constants of the machine; not run" in result.output
    assert "…" not in result.output, "a cell was cut"
    assert files["--csv"].read_text() == csv_text()
    assert files["--markdown"].read_text() == markdown_page()


def test_command_that_cannot_write(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["compare-systems", "--csv", str(tmp_path / "no" / "s.csv")])
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
