"""mlperf-logging's four checkers, run as the programs they are, and what they say in one line each.

Their exit statuses do not tell (the package checker and the one for system descriptions always end with 0), so their
words are read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from spindl.mlperf.errors import MlperfError
from spindl.mlperf.package import results_folder, system_file
from spindl.mlperf.rules import Rules
from spindl.mlperf.settings import MlperfSettings

TIME_LIMIT_SECONDS = 300
NOT_REACHED = "target accuracy not reached"
_TARGET_CHECK = re.compile(r"Failed checks for eval_accuracy\b.*")
_FINDING = re.compile(
    r"CHECK for '\w+' failed in line \d+|Required [A-Z_]+ .*|Failed .*|.*parsing errors.*|Could not .*"
)
_NOT_CONVERGED = "Insufficient convergence"
_BAD_FILES = re.compile(r"\d+ files? do(?:es)? not comply.*")


@dataclass(frozen=True)
class Verdict:
    """What one checker says.

    findings: what it complains about; empty if it passes. target_only: it complains about nothing but the accuracy.
    """

    checker: str
    passed: bool
    findings: tuple[str, ...]
    target_only: bool = False

    @property
    def text(self) -> str:
        """ "passes", or why not."""
        if self.passed:
            return "passes"
        return f"fails: {NOT_REACHED}, and nothing else" if self.target_only else f"fails: {'; '.join(self.findings)}"


def check_package(root: Path, settings: MlperfSettings, rules: Rules, logs: Path) -> tuple[Verdict, ...]:
    """All four on a package; what they print is kept in the folder `logs`. Raises MlperfError."""
    logs.mkdir(parents=True, exist_ok=True)
    results = results_folder(root, settings, rules)
    compliance = tuple(
        _compliance(path, number, rules, logs) for number, path in enumerate(sorted(results.glob("result_*.txt")))
    )
    files = [f"{logs / 'rcp_checker.log'}", f"{logs / 'package_checker.log'}", f"{logs / 'system_desc_checker.log'}"]
    version = rules.ruleset
    rcp = _run("rcp_checker", ["--rcp_usage", "training", "--rcp_version", version, f"{results}"], files[0])
    package = _run("package_checker", [f"{root}", "training", version], files[1])
    system = _run("system_desc_checker", [f"{system_file(root, settings)}", "training", version], files[2])
    return (
        *compliance,
        read_rcp(rcp),
        read_package(package, all(verdict.passed or verdict.target_only for verdict in compliance)),
        read_system(system),
    )


def _compliance(path: Path, number: int, rules: Rules, logs: Path) -> Verdict:
    arguments = ["--usage", "training", "--ruleset", rules.ruleset, f"{path}"]
    return read_compliance(
        _run("compliance_checker", arguments, f"{logs / f'compliance_checker_{number}.log'}"), number
    )


def _run(module: str, arguments: list[str], log: str) -> str:
    """Everything that a checker prints. Raises MlperfError if it does not come to an end of its own."""
    command = [sys.executable, "-m", f"mlperf_logging.{module}", *arguments, "--log_output", log]
    Path(log).unlink(missing_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIME_LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise MlperfError(f"no verdict within {TIME_LIMIT_SECONDS} s", module, "look at the logs by hand") from error
    text = done.stdout + done.stderr
    if "Traceback (most recent call last)" in text:
        raise MlperfError(f"the checker broke down:\n{text[-2000:]}", module, f"see {log}")
    return text


def _lines(text: str) -> list[str]:
    return [re.sub(r"^(INFO|WARNING|ERROR) - ", "", line).strip() for line in text.splitlines()]


def read_compliance(text: str, number: int) -> Verdict:
    """The verdict in the words of the compliance checker on log `number`."""
    name = f"compliance, result_{number}"
    lines = _lines(text)
    if "SUCCESS" in lines:
        return Verdict(name, True, ())
    findings = tuple(line for line in lines if _FINDING.fullmatch(line))
    target_only = bool(findings) and all(_TARGET_CHECK.fullmatch(line) for line in findings)
    return Verdict(name, False, findings or ("no verdict",), target_only)


def read_rcp(text: str) -> Verdict:
    """The verdict in the words of the checker of convergence points."""
    name = "convergence points"
    lines = _lines(text)
    end = next((line for line in reversed(lines) if "RCP test" in line), "")
    if end.endswith("RCP test PASSED"):
        return Verdict(name, True, ())
    message = end.partition(", RCP test FAILED")[0] or "no verdict"
    return Verdict(name, False, (message, *_too_fast(text)), message == _NOT_CONVERGED)


def _too_fast(text: str) -> tuple[str, ...]:
    """The epochs that were compared, if they were."""
    needed = re.search(r"'Min Epochs': (?:np\.float64\()?([0-9.]+)", text)
    taken = re.search(r"Submission mean epochs: ([0-9.]+)", text)
    if not needed or not taken or float(taken[1]) >= float(needed[1]):
        return ()
    return (f"{float(taken[1]):.1f} epochs on average, fewer than the reference can need ({float(needed[1]):.1f})",)


def read_package(text: str, logs_may_pass: bool) -> Verdict:
    """The verdict in the words of the package checker; `logs_may_pass`: no log fails for more than the accuracy."""
    name = "package"
    if any("NO ERRORS, SUCCESS" in line for line in _lines(text)):
        return Verdict(name, True, ())
    errors = tuple(line.removeprefix("ERROR - ").strip() for line in text.splitlines() if line.startswith("ERROR - "))
    target_only = bool(errors) and all(
        (logs_may_pass and _BAD_FILES.fullmatch(line)) or line == f"RCP Test Failed: {_NOT_CONVERGED}"
        for line in errors
    )
    return Verdict(name, False, errors or ("no verdict",), target_only)


def read_system(text: str) -> Verdict:
    """The verdict in the words of the checker of system descriptions."""
    name = "system description"
    lines = _lines(text)
    if any(line.startswith("System description checker passed") for line in lines):
        return Verdict(name, True, ())
    return Verdict(name, False, tuple(line for line in lines if "failed" in line) or ("no verdict",))
