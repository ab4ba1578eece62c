"""The benchmark from end to end on a small ImageNet: logs, package, checkers, resuming; the null system; errors."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.cli.mlperf import modelled_line
from spindl.machine import TopologyError
from spindl.mlperf import (
    MlperfError,
    MlperfSettings,
    Outcome,
    Report,
    RuleError,
    Verdict,
    benchmark,
    load_rules,
)
from spindl.mlperf.checkers import NOT_REACHED
from spindl.mlperf.log import RunLog, read_lines, read_outcome
from spindl.systems import predicted
from tests.mlperf.support import small, write_imagenet

pytest.importorskip("mlperf_logging", reason='needs "spindl[mlperf]"')

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 120
LOGS = [f"compliance, result_{number}" for number in range(5)]


def by_name(verdicts: tuple[Verdict, ...]) -> dict[str, Verdict]:
    return {verdict.checker: verdict for verdict in verdicts}


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_imagenet(tmp_path_factory.mktemp("data") / "imagenet")


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the checkers out, where they are not what is tested: each takes half a second to start."""
    monkeypatch.setattr("spindl.mlperf.harness.check_package", lambda *arguments: ())


def test_five_runs_from_end_to_end(imagenet: Path, tmp_path: Path) -> None:
    settings = small(imagenet, first_seed=None)
    report = benchmark(settings, tmp_path / "run")
    assert len({outcome.seed for outcome in report.outcomes}) == 5
    assert all(outcome.success and outcome.accuracy and outcome.accuracy >= 0.759 for outcome in report.outcomes)
    assert all(outcome.epochs % 4 == 0 for outcome in report.outcomes)
    middle = sorted(outcome.seconds for outcome in report.outcomes)[1:-1]
    assert report.score_seconds == pytest.approx(sum(middle) / 3)

    stored = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [verdict["checker"] for verdict in stored["verdicts"]] == [verdict.checker for verdict in report.verdicts]
    verdicts = by_name(report.verdicts)
    assert list(verdicts) == [*LOGS, "convergence points", "package", "system description"]
    assert all(verdicts[name].passed for name in (*LOGS, "system description"))
    # Four coloured classes are learnt sooner than ImageNet: the checker of convergence points must say so.
    assert not verdicts["convergence points"].passed
    assert "fewer than the reference can need (33.8)" in verdicts["convergence points"].text
    assert verdicts["package"].findings == ("RCP Test Failed: Missing RCP, please submit RCP with BS = 8",)
    assert not verdicts["package"].target_only

    system = settings.system
    assert system == "spinnaker-spin5-simulated-by-spindl-sim-cpu-rehearsal"
    files = {str(path.relative_to(report.package)) for path in report.package.rglob("*") if path.is_file()}
    assert files == {
        f"systems/{system}.json",
        f"benchmarks/resnet/implementations/{system}/README.md",
        *(f"results/{system}/resnet/result_{number}.txt" for number in range(5)),
    }
    description = json.loads((report.package / "systems" / f"{system}.json").read_text())
    assert "no SpiNNaker took part" in description["hw_notes"]
    assert "would need approval" in description["sw_notes"]
    assert str(tmp_path) not in "".join((report.package / name).read_text() for name in files)


@pytest.mark.usefixtures("unchecked")
def test_log_holds_what_happened(imagenet: Path, tmp_path: Path) -> None:
    settings = small(imagenet, runs=1, opt_name="lars", base_learning_rate=1.5, target_accuracy=0.9999, epochs=5)
    report = benchmark(settings, tmp_path / "run")
    lines = read_lines(tmp_path / "run" / "runs" / "0" / "result.txt")
    values = {line["key"]: line["value"] for line in lines}
    assert values["seed"] == 7
    assert values["lars_opt_base_learning_rate"] == 1.5
    assert values["lars_opt_learning_rate_decay_steps"] == 5 * 5 - 5  # 40 pictures in batches of 8, 1 epoch of warm-up
    assert (values["train_samples"], values["eval_samples"], values["model_bn_span"]) == (40, 22, 8)
    moments = [(line["key"], line["metadata"].get("epoch_num")) for line in lines[-15:]]
    assert moments == [
        ("run_start", None),
        *[("epoch_start", 1), ("epoch_stop", 1), ("epoch_start", 2), ("epoch_stop", 2)],
        *[("epoch_start", 3), ("epoch_stop", 3), ("epoch_start", 4), ("epoch_stop", 4)],
        *[("eval_start", 4), ("eval_accuracy", 4), ("eval_stop", 4)],
        *[("epoch_start", 5), ("epoch_stop", 5)],
        ("run_stop", None),
    ]
    assert not report.outcomes[0].success
    assert report.score_seconds is None


def scripted(epochs: int) -> Callable[[MlperfSettings, int, Path, RunLog], bool]:
    """A run that reaches 0.76 after so many epochs, and 0.5 before."""

    def work(settings: MlperfSettings, seed: int, folder: Path, log: RunLog) -> bool:
        for epoch in range(1, settings.epochs + 1):
            log.start("epoch_start", epoch_num=epoch)
            log.stop("epoch_stop", epoch_num=epoch)
            if settings.evaluated(epoch):
                log.start("eval_start", epoch_num=epoch)
                log.stop("eval_stop", epoch_num=epoch)
                log.event("eval_accuracy", 0.76 if epoch >= epochs else 0.5, epoch_num=epoch)
                if epoch >= epochs:
                    return True
        return False

    return work


@pytest.mark.parametrize("opt_name", ["lars", "sgd"])
def test_all_checkers_pass_where_the_reference_is_matched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opt_name: str
) -> None:
    monkeypatch.setattr("spindl.mlperf.harness.train_nothing", scripted(35))
    settings = MlperfSettings(data="", null=True, opt_name=opt_name)
    report = benchmark(settings, tmp_path / "run")
    assert {verdict.checker: verdict.text for verdict in report.verdicts} == dict.fromkeys(
        [*LOGS, "convergence points", "package", "system description"], "passes"
    )


def test_missing_the_target_is_said_to_be_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spindl.mlperf.harness.train_nothing", scripted(1000))
    report = benchmark(MlperfSettings(data="", null=True), tmp_path / "run")
    verdicts = by_name(report.verdicts)
    for name in (*LOGS, "convergence points", "package"):
        assert verdicts[name].text == f"fails: {NOT_REACHED}, and nothing else"
        assert verdicts[name].target_only
    assert verdicts["system description"].passed
    assert report.score_seconds is None


def test_other_findings_are_not_called_a_missed_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(settings: MlperfSettings, seed: int, folder: Path, log: RunLog) -> bool:
        log.event("global_batch_size", 3)
        return scripted(1000)(settings, seed, folder, log)

    monkeypatch.setattr("spindl.mlperf.harness.train_nothing", work)
    verdicts = by_name(benchmark(MlperfSettings(data="", null=True), tmp_path / "run").verdicts)
    assert not verdicts[LOGS[0]].target_only
    assert any("'global_batch_size'" in finding for finding in verdicts[LOGS[0]].findings)
    assert not verdicts["package"].target_only


@pytest.mark.slow
def test_all_checkers_pass_after_real_training(imagenet: Path, tmp_path: Path) -> None:
    settings = small(imagenet, base_learning_rate=0.001, learning_rate_warmup_epochs=40, epochs=60)
    report = benchmark(settings, tmp_path / "run")
    assert [verdict.text for verdict in report.verdicts] == ["passes"] * 8


def test_null_system_is_no_result(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["mlperf", "--null", "--folder", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert "null-system-that-trains-nothing" in result.output
    assert "the harness' own cost: " in result.output
    assert "mean without the fastest" not in result.output
    assert "int16 format would need approval" in result.output
    assert "MLPerf-compliant" not in result.output


@pytest.mark.usefixtures("unchecked")
def test_resuming_on_the_command_line_needs_no_settings(tmp_path: Path) -> None:
    start = ["mlperf", "--null", "--rehearsal", "--runs", "1", "--epochs", "4", "--folder", str(tmp_path / "run")]
    assert CliRunner().invoke(app, start).exit_code == 0
    log = (tmp_path / "run" / "runs" / "0" / "result.txt").read_bytes()
    result = CliRunner().invoke(app, ["mlperf", "--resume", "--folder", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "runs" / "0" / "result.txt").read_bytes() == log
    stored = json.loads((tmp_path / "run" / "report.json").read_text())
    assert [run["lines"] for run in stored["runs"]] == [len(read_lines(tmp_path / "run" / "runs" / "0" / "result.txt"))]
    assert stored["what_ran"].startswith("Null system")


# --- stopping and going on -------------------------------------------------------------------------------------------


def timeless(path: Path) -> list[tuple[Any, ...]]:
    """A log without times, and without what a resumed run repeats."""
    seen: list[tuple[Any, ...]] = []
    for line in read_lines(path):
        entry = (line["key"], json.dumps(line["value"]), line["metadata"].get("epoch_num"))
        if line["key"] != "resumed" and entry not in seen:
            seen.append(entry)
    return seen


KILLED = """
import os, signal, sys
from pathlib import Path
from spindl.mlperf import benchmark, log
from tests.mlperf.support import small

real, stopped = log.RunLog.stop, 0


def stop(self, key, **metadata):
    global stopped
    real(self, key, **metadata)
    stopped += key == "epoch_stop"
    if stopped == 8 + 3:
        os.kill(os.getpid(), signal.SIGKILL)


log.RunLog.stop = stop
benchmark(small(Path(sys.argv[1]), runs=2, target_accuracy=0.9999, epochs=8), Path(sys.argv[2]))
"""


@pytest.mark.usefixtures("unchecked")
def test_killed_run_goes_on_to_the_same_bits(imagenet: Path, tmp_path: Path) -> None:
    settings = small(imagenet, runs=2, target_accuracy=0.9999, epochs=8)
    whole = benchmark(settings, tmp_path / "whole")
    command = [sys.executable, "-c", KILLED, str(imagenet), str(tmp_path / "run")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=LIMIT_SECONDS, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    second = tmp_path / "run" / "runs" / "1" / "result.txt"
    assert sum(line["key"] == "epoch_stop" for line in read_lines(second)) == 3
    with second.open("a") as file:
        file.write(':::MLLOG {"namespace": "", "time_')  # as if the line had been cut

    first = (tmp_path / "run" / "runs" / "0" / "result.txt").read_bytes()
    resumed = benchmark(settings, tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "runs" / "0" / "result.txt").read_bytes() == first, "a finished run is kept as it is"
    assert [outcome.resumed for outcome in resumed.outcomes] == [0, 1]
    assert [outcome.accuracy for outcome in resumed.outcomes] == [outcome.accuracy for outcome in whole.outcomes]
    for number in ("0", "1"):
        a, b = (tmp_path / name / "runs" / number for name in ("whole", "run"))
        weights = "training/weights.safetensors"
        assert (a / weights).read_bytes() == (b / weights).read_bytes()
        assert timeless(a / "result.txt") == timeless(b / "result.txt")


# --- errors ----------------------------------------------------------------------------------------------------------


def test_broken_rule_stops_before_anything_is_written(imagenet: Path, tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="classes is 4, but the model has 1000 or 1001"):
        benchmark(MlperfSettings(data=str(imagenet), progress=False), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_rule_on_the_command_line(imagenet: Path, tmp_path: Path) -> None:
    arguments = ["mlperf", "resnet20", "--data", str(imagenet), "--folder", str(tmp_path / "run")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "model is 'resnet20', but the model is ResNet-50 v1.5" in result.stderr
    assert "--rehearsal" in result.stderr


@pytest.mark.usefixtures("unchecked")
def test_folder_in_use_and_other_settings(tmp_path: Path) -> None:
    settings = MlperfSettings(data="", null=True, runs=1, rehearsal=True)
    benchmark(settings, tmp_path)
    with pytest.raises(MlperfError, match="holds a benchmark already"):
        benchmark(settings, tmp_path)
    with pytest.raises(MlperfError, match="started with other settings: epochs"):
        benchmark(replace(settings, epochs=3), tmp_path, resume=True)
    assert benchmark(replace(settings, threads=2), tmp_path, resume=True).outcomes


def test_nothing_to_resume(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["mlperf", "--resume", "--folder", str(tmp_path)])
    assert result.exit_code == 1
    assert "no benchmark to resume" in result.stderr


def test_no_data(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["mlperf", "--folder", str(tmp_path)])
    assert result.exit_code == 2
    assert "name ImageNet's folder with --data" in result.stderr


def test_names_that_cannot_be_names_of_files(tmp_path: Path) -> None:
    settings = MlperfSettings(data="", null=True)
    with pytest.raises(MlperfError, match=r"the organisation is '\.\./a'"):
        benchmark(replace(settings, organisation="../a"), tmp_path / "run")
    with pytest.raises(TopologyError, match="names no machine"):
        benchmark(replace(settings, machine="spin4"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_modelled_time_is_for_the_whole_network_only() -> None:
    outcome = Outcome(1, True, 10.0, 70, 0.76, 0, 100)
    settings = MlperfSettings(data="imagenet")
    report = Report(settings, load_rules(), (outcome,), (), Path(), ())
    days = 70 / 35 * predicted("spin5").minutes.value / 60 / 24  # 35 epochs are its own
    line = modelled_line(report)
    assert line.startswith("modelled, not run: one board of SpiNNaker would take ")
    assert float(line.split("take ")[1].split()[0]) == float(f"{days:.1e}")
    assert modelled_line(replace(report, settings=replace(settings, image_size=32))) == ""


def test_missing_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlperf_logging.mllog", None)
    with pytest.raises(MlperfError, match=r"pip install \"spindl\[mlperf\]\""):
        benchmark(MlperfSettings(data="", null=True), tmp_path / "run")


def test_checker_that_breaks_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mlperf_logging").mkdir()
    for name in ("__init__", "compliance_checker"):
        (tmp_path / "mlperf_logging" / f"{name}.py").write_text("" if name == "__init__" else "1 / 0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MlperfError, match="the checker broke down"):
        benchmark(MlperfSettings(data="", null=True), tmp_path / "run")


def test_unfinished_log_has_no_outcome(tmp_path: Path) -> None:
    assert read_outcome(tmp_path / "nothing.txt") is None
