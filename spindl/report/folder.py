"""Reports into files: the page of a run's folder, its trace, the comparison of several."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from spindl.program.files import write_atomically
from spindl.report.model import StepReport, load_step
from spindl.report.page import comparison_page, run_page
from spindl.report.runs import read_run
from spindl.report.trace import write_trace

PAGE, TRACE, COMPARISON = "report.html", "step.perfetto-trace", "comparison.html"
STEP, MODELLED = "step.json", "modelled.json"
"""Where a step that the executor counted is left, and the same step as it was planned (`spindl.report.counted`)."""


def report_run(folder: Path, step: StepReport | None = None, page: Path | None = None) -> tuple[Path, ...]:
    """Write the page of a run and, with a step and the perfetto package, its trace; returns the files.

    Args:
        folder: of the run.
        step: a modelled step of it on a machine; None: the one that is in the folder, if there is one. It stands beside
            the one that the run's executor counted.
        page: the page's file; None: report.html in the folder. The trace lies beside it.

    Raises:
        ReportError: there is no run.
        RunFolderError: a file cannot be written.
    """
    target = page or folder / PAGE
    counted, planned = (load_step(folder / name) if (folder / name).exists() else None for name in (STEP, MODELLED))
    modelled = (step or planned) if counted else None
    return _write(target, run_page(read_run(folder), counted or step, modelled), counted or step, modelled)


def try_report(folder: Path) -> str:
    """Write the page of a run that has just ended; returns why that failed, "" if it did not.

    A page must never cost anybody a run, so this is the one place that forgives every error.
    """
    try:
        report_run(folder)
    except Exception as error:
        return f"no page was written: {type(error).__name__}: {error}"
    return ""


def report_step(step: StepReport, page: Path) -> tuple[Path, ...]:
    """Write the page and the trace of a step without a run. Raises RunFolderError."""
    return _write(page, run_page(None, step), step)


def compare_runs(folders: Sequence[Path], steps: Sequence[StepReport | None], page: Path) -> tuple[Path, ...]:
    """Write a page with several runs beside each other. Raises ReportError, RunFolderError."""
    write_atomically(page, comparison_page([read_run(folder) for folder in folders], steps).encode())
    return (page,)


def _write(target: Path, content: str, step: StepReport | None, beside: StepReport | None = None) -> tuple[Path, ...]:
    write_atomically(target, content.encode())
    if step is None or not step.timelines or find_spec("perfetto") is None:
        return (target,)
    trace = target.with_name(TRACE if target.name == PAGE else f"{target.stem}.perfetto-trace")
    write_trace(step, trace, beside)
    return target, trace
