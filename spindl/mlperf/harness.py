"""The benchmark: check the rules, do the runs, pack the results, have them checked."""

from __future__ import annotations

import json
import re
import secrets
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from spindl.machine import parse_topology
from spindl.mlperf.checkers import Verdict, check_package
from spindl.mlperf.errors import MlperfError
from spindl.mlperf.log import Outcome, mllog_module
from spindl.mlperf.package import what_ran, write_package
from spindl.mlperf.rules import Rules, load_rules
from spindl.mlperf.runs import RESULT, run_once, train, train_nothing
from spindl.mlperf.settings import MlperfSettings, check_rules
from spindl.program.files import disk_errors, write_atomically
from spindl.record.run_folder import locked
from spindl.systems import machines

BENCHMARK_FILE, REPORT_FILE, PACKAGE, CHECKS = "benchmark.json", "report.json", "package", "checks"
MAY_DIFFER = ("threads", "progress")
"""Settings that a resumed benchmark may have otherwise."""
SEED_BITS = 31


@dataclass(frozen=True)
class Report:
    """A benchmark that is over: its runs, what the checkers say, where it lies, and what a rehearsal left out."""

    settings: MlperfSettings
    rules: Rules
    outcomes: tuple[Outcome, ...]
    verdicts: tuple[Verdict, ...]
    package: Path
    left_out: tuple[str, ...]

    @property
    def score_seconds(self) -> float | None:
        """Mean without the fastest and the slowest run; None below 3 runs or if two or more missed the target."""
        seconds = sorted(outcome.seconds if outcome.success else float("inf") for outcome in self.outcomes)
        if len(seconds) < 3 or sum(not outcome.success for outcome in self.outcomes) > 1:
            return None
        return statistics.fmean(seconds[1:-1])


def benchmark(
    settings: MlperfSettings,
    folder: Path,
    *,
    resume: bool = False,
    on_run: Callable[[int, int, Outcome | None], None] = lambda number, seed, outcome: None,
) -> Report:
    """Do all runs in a folder and have the package checked.

    folder: runs/<number>/ of each run, package/, checks/ (what the checkers print), benchmark.json (settings,
        seeds), report.json (results, verdicts).
    resume: go on in a folder: finished runs are kept, the unfinished one goes on from its newest checkpoint.
    on_run: is told number and seed of a run before it starts (outcome None) and after it.

    Raises:
        RuleError: the settings or the data break a rule; nothing was written.
        MlperfError: mlperf-logging is missing, the folder holds another benchmark, a checker broke down.
        DataError, ModelError, TrainingError, RunFolderError: what `spindl train` raises.
    """
    rules = load_rules()
    mllog_module()
    _check_names(settings)
    check_rules(settings, rules)
    counts = _counts(settings)
    left_out = check_rules(settings, rules, counts)
    with locked(folder):
        seeds = _seeds(settings, folder, resume)
        outcomes, results = [], []
        for number, seed in enumerate(seeds):
            on_run(number, seed, None)
            place = folder / "runs" / str(number)
            work = train_nothing if settings.null else train
            outcomes.append(run_once(settings, rules, counts, seed, place, work))
            results.append(place / RESULT)
            on_run(number, seed, outcomes[-1])
        package = write_package(folder / PACKAGE, settings, rules, results, left_out)
        verdicts = check_package(package, settings, rules, folder / CHECKS)
        report = Report(settings, rules, tuple(outcomes), verdicts, package, left_out)
        write_atomically(folder / REPORT_FILE, (json.dumps(_plain(report), indent=1) + "\n").encode())
    return report


def stored_settings(folder: Path) -> MlperfSettings:
    """The settings that the benchmark in a folder was started with. Raises MlperfError."""
    try:
        stored = json.loads((folder / BENCHMARK_FILE).read_text(encoding="utf-8"))["settings"]
        return MlperfSettings(**stored)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MlperfError(
            f"no benchmark to resume ({error})", str(folder / BENCHMARK_FILE), "start it without --resume"
        ) from error


def _check_names(settings: MlperfSettings) -> None:
    """Names become names of files. Raises MlperfError, TopologyError."""
    if re.fullmatch(r"\w[\w .-]*", settings.organisation) is None:
        raise MlperfError(
            f"the organisation is '{settings.organisation}'", "settings", "use letters, digits, blanks, dots and dashes"
        )
    if settings.machine not in machines():
        parse_topology(settings.machine)


def _plain(report: Report) -> dict[str, Any]:
    """A report as JSON values."""
    return {
        "system": report.settings.system,
        "what_ran": what_ran(report.settings),
        "score_seconds": report.score_seconds,
        "runs": [asdict(outcome) for outcome in report.outcomes],
        "verdicts": [asdict(verdict) for verdict in report.verdicts],
        "not_met": [asdict(question) for question in report.rules.open_questions],
        "left_out_in_rehearsal": list(report.left_out),
    }


def _counts(settings: MlperfSettings) -> dict[str, int]:
    if settings.null:  # it sees no data: the numbers are ImageNet's
        return {"classes": 1000, "train_samples": 1281167, "eval_samples": 50000}
    from spindl.mlperf.workload import count_data

    return count_data(settings)


def _seeds(settings: MlperfSettings, folder: Path, resume: bool) -> list[int]:
    """The seeds of all runs: those of the folder, or new ones."""
    path = folder / BENCHMARK_FILE
    if path.exists():
        if not resume:
            raise MlperfError(
                "this folder holds a benchmark already", str(folder), "resume it (--resume), or choose another --folder"
            )
        stored = stored_settings(folder)
        other = [
            field.name
            for field in fields(MlperfSettings)
            if field.name not in MAY_DIFFER and getattr(stored, field.name) != getattr(settings, field.name)
        ]
        if other:
            raise MlperfError(
                f"the benchmark was started with other settings: {', '.join(other)}",
                str(folder),
                "leave the settings out with --resume, or choose another --folder",
            )
        return [int(seed) for seed in json.loads(path.read_text(encoding="utf-8"))["seeds"]]
    if settings.first_seed is None:
        seeds: list[int] = []
        while len(seeds) < settings.runs:
            seed = secrets.randbits(SEED_BITS)
            seeds += [] if seed in seeds else [seed]
    else:
        seeds = [settings.first_seed + number for number in range(settings.runs)]
    with disk_errors(path):
        write_atomically(path, (json.dumps({"settings": asdict(settings), "seeds": seeds}, indent=1) + "\n").encode())
    return seeds
