"""`spindl report`."""

from __future__ import annotations

import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spindl.cli.output import output
from spindl.cli.settings import SettingsError

if TYPE_CHECKING:
    from spindl.report.model import StepReport


def report(
    runs: Annotated[list[Path] | None, typer.Argument(metavar="RUN...", help="Folders of runs.")] = None,
    plan: Annotated[Path | None, typer.Option("--plan", help="File of spindl plan --save, or of --save-step.")] = None,
    machine: Annotated[
        str | None,
        typer.Option("--machine", help="Plan the run's training step for it: spin3, spin3:4 (4 of its chips), a file."),
    ] = None,
    cores: Annotated[int, typer.Option("--cores", help="Cores of a chip that compute.", min=1, max=17)] = 16,
    save_step: Annotated[
        Path | None, typer.Option("--save-step", help="Write the step of --machine to a file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="The page; by default RUN/report.html, or comparison.html here.")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write a run's page (and the trace of its step on a machine), or a page that compares several runs."""
    from spindl.cli.app import explained

    with explained():
        files = write(tuple(runs or ()), plan, machine, cores, save_step, out)
        console = output()
        for path in files:
            console.print(str(path), markup=False, highlight=False, soft_wrap=True)
        if (plan or machine) and len(files) == 1 and find_spec("perfetto") is None:
            console.print("no trace: pip install 'spindl[report]'", markup=False, highlight=False)
        if show:
            webbrowser.open(files[0].resolve().as_uri())


def write(
    runs: tuple[Path, ...], plan: Path | None, machine: str | None, cores: int, save_step: Path | None, out: Path | None
) -> tuple[Path, ...]:
    """The files that were written, the page first. Raises SettingsError for options that do not fit each other."""
    from spindl.report.folder import COMPARISON, compare_runs, report_run, report_step
    from spindl.report.model import save_step as save

    if not runs and plan is None:
        raise SettingsError(
            "there is nothing to report on", "command line", "name the folder of a run, or a --plan FILE"
        )
    if plan and (machine or len(runs) > 1):
        raise SettingsError(
            "--plan belongs to one run and excludes --machine", "command line", "give one RUN, and --plan or --machine"
        )
    if save_step and (machine is None or len(runs) != 1):
        raise SettingsError("--save-step needs one RUN and --machine", "command line", "add --machine spin3")
    loaded = _load(plan) if plan else None
    if not runs:
        assert loaded is not None and plan is not None
        return report_step(loaded, out or plan.with_suffix(".html"))
    steps = [_planned(run, machine, cores) if machine else loaded for run in runs]
    if save_step and steps[0]:
        save(steps[0], save_step)
    if len(runs) == 1:
        return report_run(runs[0], steps[0], out)
    return compare_runs(runs, steps, out or Path(COMPARISON))


def _planned(run: Path, machine: str, cores: int) -> StepReport:
    """The modelled training step of a run on a machine."""
    from spindl.plan import plan_step
    from spindl.planning import target_machine
    from spindl.program import load_program
    from spindl.report.planned import plan_report

    graph = load_program(run / "program.spindl").graphs["train"]
    return plan_report(plan_step(graph, target_machine(machine, cores)))


def _load(path: Path) -> StepReport:
    """A file of `spindl plan --save`, or a step that was saved."""
    from spindl.report.model import load_step

    if path.suffix != ".spindl":
        return load_step(path)
    from spindl.plan.file import load_plan
    from spindl.report.planned import plan_report

    return plan_report(load_plan(path))
