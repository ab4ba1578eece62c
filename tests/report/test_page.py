"""Pages: valid HTML, self-contained, labelled, nothing made up."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import html5lib
import pytest
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.report import folder as folders
from spindl.report.agreement import differences
from spindl.report.folder import compare_runs, report_run, report_step, try_report
from spindl.report.hexes import LARGEST, machine_maps
from spindl.report.model import ChipUse, MachineUse, Origin, StepCost, save_step
from spindl.report.page import comparison_page, run_page
from spindl.report.runs import read_run
from spindl.report.steps import layer_table
from spindl.report.svg import Scale, amount, covering, rate, round_step, shortened
from tests.report.samples import board_step, make_run, small_step


def check(page: str) -> None:
    """Valid HTML that needs nothing from outside."""
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(page)
    assert parser.errors == []
    assert len(page) < 5_000_000
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|<script|<link", page)
    assert 'name="viewport"' in page and "prefers-color-scheme: dark" in page
    assert "nan" not in re.findall(r'="([^"]*)"', page)


def test_the_page_of_a_run_and_its_step(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path))
    page = run_page(run, small_step())
    check(page)
    assert "lenet&lt;5&gt;" in page and "lenet<5>" not in page
    for heading in (
        "Loss",
        "Accuracy",
        "Learning rate",
        "Clipped values",
        "Exponents",
        "Time line",
        "Energy of the step",
    ):
        assert heading in page
    for heading in ("Roofline", "Layers", "SDRAM of a chip", "Data memory of core 0", "cores in use", "float32"):
        assert heading in page
    assert "measured on this computer" in page and ">modelled<" in page
    assert "measured on the emulator" not in page


def test_a_run_without_a_machine_shows_no_machine(tmp_path: Path) -> None:
    page = run_page(read_run(make_run(tmp_path)), None)
    check(page)
    assert ">modelled<" not in page and "Time line" not in page and "Energy" not in page
    assert "MACs" in page and "cycles/MAC" not in page


def test_a_board(tmp_path: Path) -> None:
    (page, trace) = report_step(board_step(), tmp_path / "board.html")
    text = page.read_text()
    check(text)
    assert trace.name == "board.perfetto-trace"
    assert text.count("<title>chip 7,7") == 5  # cores, SDRAM, cycles, packets, links
    assert "links by load" in text


def test_maps_of_machines() -> None:
    use = MachineUse("20x20-triads", tuple(ChipUse(x, 0, 16) for x in range(4)))
    ((heading, picture),) = machine_maps(use)
    assert heading == "cores in use"
    assert picture.count("<path") == 1200 < LARGEST  # a hexagon per board
    assert machine_maps(MachineUse("nowhere", use.chips)) == []


def test_what_nobody_counted_is_left_out() -> None:
    table = layer_table([StepCost("a", "forward", 100), StepCost("b", "forward", 300)])
    assert "MACs" in table and "SDRAM" not in table and "cycles/MAC" not in table
    assert "75.0 %" in table
    assert layer_table([]) == ""


def test_a_comparison(tmp_path: Path) -> None:
    runs = [read_run(make_run(tmp_path, name, lr)) for name, lr in (("one", 0.1), ("two", 0.2))]
    page = comparison_page(runs, [small_step(), None])
    check(page)
    assert "What differs in the settings" in page and "<td>0.2</td>" in page
    assert page.count("87.50 %") == 2


def test_files_of_a_run(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    assert report_run(run) == (run / "report.html",)
    save_step(small_step(), run / "step.json")  # as an executor that counts leaves it
    assert report_run(run) == (run / "report.html", run / "step.perfetto-trace")
    assert "Time line" in (run / "report.html").read_text()
    assert compare_runs([run, run], [None, None], tmp_path / "both.html") == (tmp_path / "both.html",)


def test_without_perfetto_there_is_a_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "find_spec", lambda name: None)
    assert report_step(small_step(), tmp_path / "step.html") == (tmp_path / "step.html",)


def test_a_page_that_fails_says_so_and_costs_nothing(tmp_path: Path) -> None:
    assert "no log of a run here" in try_report(tmp_path)
    assert try_report(make_run(tmp_path)) == ""


def test_the_command(tmp_path: Path) -> None:
    run, runner = make_run(tmp_path), CliRunner()
    step = tmp_path / "step.json"
    made = runner.invoke(app, ["report", str(run), "--machine", "spin3", "--cores", "4", "--save-step", str(step)])
    assert made.exit_code == 0, made.output
    assert "report.html" in made.output and "step.perfetto-trace" in made.output
    again = runner.invoke(app, ["report", "--plan", str(step), "--out", str(tmp_path / "step.html")])
    assert again.exit_code == 0 and (tmp_path / "step.html").exists()
    plan = tmp_path / "mlp.spindl"
    assert runner.invoke(app, ["plan", "mlp", "--cores", "2", "--save", str(plan)]).exit_code == 0
    assert runner.invoke(app, ["report", "--plan", str(plan)]).exit_code == 0
    assert (tmp_path / "mlp.html").exists() and (tmp_path / "mlp.perfetto-trace").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to report on"),
        (["RUN", "RUN", "--plan", "x.json"], "--plan belongs to one run"),
        (["RUN", "--save-step", "x.json"], "--save-step needs"),
        (["RUN", "--machine", "spin99"], "names no machine"),
        (["nothing"], "no log of a run here"),
        (["RUN", "--plan", "nothing.json"], "cannot be read"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, arguments: list[str], message: str) -> None:
    run = make_run(tmp_path)
    result = CliRunner().invoke(app, ["report", *(str(run) if a == "RUN" else a for a in arguments)])
    assert result.exit_code in (1, 2)
    assert message in result.output


def test_numbers() -> None:
    assert [amount(v, "B") for v in (0, 999, 1500, 1.5e9, 12e-6)] == ["0 B", "999 B", "1.50 kB", "1.50 GB", "12.0 µB"]
    assert amount(999.6) == "1.00 k"
    assert [rate(v) for v in (0.09, 12.0, 4500)] == ["0.09", "12", "4.50 k"]
    assert [round_step(v) for v in (0.03, 1, 1.1, 6)] == [0.05, 1, 2, 10]
    assert Scale(0, 10, 0, 100).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Scale(0.5, 3000, 0, 1, True).ticks() == [1, 10, 100, 1000]
    assert Scale(0.3, 20, 0, 1, True).ticks()[-1] == 20
    assert Scale(1, 100, 0, 200, True)(10) == pytest.approx(100)
    assert covering([3.0, 3.0]) == (2.0, 4.0)
    assert len(shortened("layer1.0.conv1.weight_gradient")) == 26
    assert shortened("fc") == "fc"


def test_one_value_and_equal_values_draw(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    lines = (run / "log.jsonl").read_text().splitlines()[:2]
    (run / "log.jsonl").write_text("\n".join(lines) + "\n")
    check(run_page(read_run(run), replace(small_step(), energy=(), use=None, dtcm=None)))


def test_modelled_beside_measured(tmp_path: Path) -> None:
    modelled = small_step()
    costs = tuple(
        replace(cost, cycles=2 * (cost.cycles or 0), waiting=2 * (cost.waiting or 0)) for cost in modelled.costs
    )
    measured = replace(modelled, costs=costs, cycles=4 * modelled.cycles, origin=Origin("measured", "emu"))
    rows = differences(modelled, measured)
    assert rows[0] == ("the whole step", modelled.cycles, 4 * modelled.cycles)
    assert all(theirs == 2 * ours for _, ours, theirs in rows[1:])
    run = make_run(tmp_path)
    save_step(measured, run / "step.json")
    report_run(run, modelled)
    page = (run / "report.html").read_text()
    check(page)
    assert "Modelled and measured" in page and "-75.0 %" in page and "-50.0 %" in page
    assert "measured on the emulator" in page
