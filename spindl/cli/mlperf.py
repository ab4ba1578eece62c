"""`spindl mlperf`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from spindl.cli.output import output, plain_table
from spindl.cli.settings import SettingsError
from spindl.mlperf import MlperfSettings, Outcome, Report, benchmark, stored_settings
from spindl.mlperf.package import what_ran
from spindl.record.progress import duration, percent
from spindl.systems import machines, predicted
from spindl.systems.table import TIMES, shown

RUNS = Path("runs")


def mlperf(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="resnet50; others in a rehearsal.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="ImageNet: folder or .zip with train/ and val/.")] = None,
    opt_name: Annotated[str | None, typer.Option("--optimizer", help="lars or sgd.")] = None,
    global_batch_size: Annotated[int | None, typer.Option("--batch-size", min=1)] = None,
    base_learning_rate: Annotated[float | None, typer.Option("--lr", help="After the warm-up.")] = None,
    learning_rate_warmup_epochs: Annotated[float | None, typer.Option("--warmup-epochs")] = None,
    learning_rate_decay_steps: Annotated[
        int | None, typer.Option("--decay-steps", help="After the warm-up; 0 for all that are left.", min=0)
    ] = None,
    momentum: Annotated[float | None, typer.Option("--momentum")] = None,
    weight_decay: Annotated[float | None, typer.Option("--weight-decay", help="0.0001 x 2^N.")] = None,
    label_smoothing: Annotated[float | None, typer.Option("--label-smoothing", help="0 or 0.1.")] = None,
    evaluation_offset: Annotated[int | None, typer.Option("--evaluation-offset", help="0 to 3 epochs.")] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="A run that takes longer is aborted.", min=1)] = None,
    target_accuracy: Annotated[float | None, typer.Option("--target-accuracy", help="0.759.")] = None,
    runs: Annotated[int | None, typer.Option("--runs", help="5.", min=1)] = None,
    first_seed: Annotated[int | None, typer.Option("--seed", help="Of the first run, to repeat it.", min=0)] = None,
    image_size: Annotated[int | None, typer.Option("--image-size", help="224.", min=1)] = None,
    rehearsal: Annotated[bool | None, typer.Option("--rehearsal", help="Other data, models, lengths.")] = None,
    null: Annotated[bool | None, typer.Option("--null", help="Train nothing: what does the harness cost?")] = None,
    machine: Annotated[str | None, typer.Option("--machine", help="spin5, triad, cabinet, million, WxH.")] = None,
    organisation: Annotated[str | None, typer.Option("--organisation", help="Who hands the result in.")] = None,
    executor: Annotated[str | None, typer.Option("--on", "--executor", help="sim or interpreter.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="cpu or cuda.")] = None,
    threads: Annotated[int | None, typer.Option("--threads", min=1)] = None,
    folder: Annotated[Path | None, typer.Option("--folder", help="By default a new one in runs/.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on in the folder.")] = False,
    progress: Annotated[bool | None, typer.Option("--progress/--no-progress")] = None,
) -> None:
    """MLPerf's image classification by the rules of v4.0's closed division: runs, logs, package, checkers."""
    from spindl.cli.app import explained

    given = {name: value for name, value in locals().items() if name not in ("explained", "folder", "resume")}
    with explained():
        run({name: value for name, value in given.items() if value is not None}, folder, resume)


def run(given: Mapping[str, Any], folder: Path | None, resume: bool) -> None:
    """Do the runs and print the tables. Raises the errors of `spindl.mlperf.benchmark`."""
    console = output()
    folder = _folder(folder, resume)
    settings = _settings(given, stored_settings(folder) if resume else None)
    _say(console, f"{settings.system}\n{what_ran(settings)}")
    _say(console, "follows the v4.0 closed-division rules; its int16 format would need approval\n")

    def on_run(number: int, seed: int, outcome: Outcome | None) -> None:
        if outcome is None:
            _say(console, f"run {number + 1} of {settings.runs}, seed {seed}")

    report = benchmark(settings, folder, resume=resume, on_run=on_run)
    show(report, console)
    _say(console, f"package:  {report.package}\nlogs of the checkers:  {folder / 'checks'}")


def show(report: Report, console: Console) -> None:
    """The runs, the result, the verdicts of the checkers, and what was not met."""
    title = f"runs ({report.settings.system})"
    table = plain_table(title, ("run", "seed", "result"), ("epochs", "accuracy", "clock"))
    for number, outcome in enumerate(report.outcomes):
        reached = "target reached" if outcome.success else "target not reached"
        resumed = f", resumed {outcome.resumed} x" if outcome.resumed else ""
        table.add_row(
            str(number + 1),
            str(outcome.seed),
            reached + resumed,
            str(outcome.epochs),
            percent(outcome.accuracy),
            _clock(outcome.seconds),
        )
    console.print()
    console.print(table)
    lines = [result_line(report), modelled_line(report)]
    _say(console, "\n".join(line for line in lines if line) + "\n")
    verdicts = plain_table(f"mlperf-logging's checkers, ruleset {report.rules.ruleset}", ("checker", "verdict"))
    for verdict in report.verdicts:
        verdicts.add_row(verdict.checker, verdict.text)
    console.print(verdicts)
    _say(console, "not met, whatever the settings:")
    for entry in report.rules.open_questions:
        _say(console, f"  - {entry.name}: {entry.text}")
    if report.left_out:
        _say(console, "a rehearsal, not the benchmark:")
        for line in report.left_out:
            _say(console, f"  - {line}")
    _say(console, "")


def result_line(report: Report) -> str:
    """The result in words, with whose time it is."""
    missed = sum(not outcome.success for outcome in report.outcomes)
    if report.settings.null:
        lines = sum(outcome.lines for outcome in report.outcomes)
        seconds = sum(outcome.seconds for outcome in report.outcomes)
        return f"the harness' own cost: {1e3 * seconds / lines:.3f} ms a log line, {lines} lines"
    if report.score_seconds is None:
        reason = f"{missed} of {len(report.outcomes)} runs missed the target" if missed else "fewer than 3 runs"
        return f"no result: {reason}"
    clock = _clock(report.score_seconds)
    return f"mean without the fastest and the slowest run: {clock} on this computer ({report.settings.executor})"


def modelled_line(report: Report) -> str:
    """How long the machine itself would take for as many epochs, where there is a model of that; else ""."""
    settings = report.settings
    whole = settings.model == "resnet50" and settings.image_size == 224 and settings.machine in machines()
    if settings.null or not whole or not report.outcomes:
        return ""
    p = predicted(settings.machine)
    epochs = max(outcome.epochs for outcome in report.outcomes)
    share = epochs / p.epochs
    minutes = replace(p.minutes, value=p.minutes.value * share, low=p.minutes.low * share, high=p.minutes.high * share)
    return (
        f"modelled, not run: {p.title} of SpiNNaker would take {shown(minutes, TIMES)} for {epochs} epochs of ImageNet"
    )


def _clock(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds < 60 else duration(seconds)


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _settings(given: Mapping[str, Any], stored: MlperfSettings | None) -> MlperfSettings:
    values = dict(given)
    if values.get("learning_rate_decay_steps") == 0:
        values["learning_rate_decay_steps"] = None
    if stored is not None:
        return replace(stored, **values)
    if values.get("null"):
        values.setdefault("data", "")
    if "data" not in values:
        raise SettingsError("no data are given", "command line", "name ImageNet's folder with --data")
    defaults = {field.name: field.default for field in fields(MlperfSettings)}
    batch = values.get("global_batch_size", defaults["global_batch_size"])
    if batch != defaults["global_batch_size"] and "learning_rate_decay_steps" not in values:
        values["learning_rate_decay_steps"] = None  # the default belongs to the default batch
    return MlperfSettings(**values)


def _folder(folder: Path | None, resume: bool) -> Path:
    if folder is not None:
        return folder.expanduser()
    numbers = [int(entry.name.removeprefix("mlperf-")) for entry in RUNS.glob("mlperf-[0-9][0-9][0-9]")]
    if resume and not numbers:
        raise SettingsError("there is no benchmark to resume", str(RUNS), "name its folder with --folder")
    return RUNS / f"mlperf-{max(numbers, default=0) + (0 if resume else 1):03}"
