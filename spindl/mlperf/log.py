"""The log of one run in MLPerf's format, written by mlperf-logging's own library, and what such a log says."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindl.mlperf.errors import MlperfError
from spindl.program.files import disk_errors

TOKEN = ":::MLLOG "
RESUMED = "resumed"
"""Our own key: the run was stopped, and the clock went on."""
_SOURCES = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a finished run comes to.

    seconds: from run_start to run_stop, stops in between included. epochs: at the last evaluation. accuracy: of the
    last evaluation, which is the one that reached the target if `success`. resumed: how often the run was taken up.
    """

    seed: int
    success: bool
    seconds: float
    epochs: int
    accuracy: float | None
    resumed: int
    lines: int


class RunLog:
    """Writes lines to the log of a run."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def event(self, key: str, value: Any = None, **metadata: Any) -> None:
        """A moment."""
        self._logger.event(key=key, value=value, metadata=metadata or None, stack_offset=2)

    def start(self, key: str, **metadata: Any) -> None:
        """Start of an interval."""
        self._logger.start(key=key, metadata=metadata or None, stack_offset=2)

    def stop(self, key: str, **metadata: Any) -> None:
        """End of an interval."""
        self._logger.end(key=key, metadata=metadata or None, stack_offset=2)


def mllog_module() -> Any:
    """The module with MLLogger. Raises MlperfError if it is not installed."""
    try:
        from mlperf_logging.mllog import mllog
    except ImportError as error:
        raise MlperfError(
            "mlperf-logging is not installed", "spindl mlperf", 'install it: pip install "spindl[mlperf]"'
        ) from error
    return mllog


@contextmanager
def run_log(path: Path) -> Iterator[RunLog]:
    """The log at `path`, to be continued if it is there. Raises MlperfError, RunFolderError."""
    mllog = mllog_module()
    _drop_cut_line(path)
    logger = logging.Logger(f"spindl.mlperf.{path}", logging.INFO)
    with disk_errors(path):
        handler = logging.FileHandler(path, encoding="utf-8")
    logger.addHandler(handler)
    try:
        yield RunLog(mllog.MLLogger(logger=logger, root_dir=str(_SOURCES)))
    finally:
        handler.close()


def read_lines(path: Path) -> tuple[Mapping[str, Any], ...]:
    """The complete lines of a log, without one at the end that a kill has cut; none if there is no file."""
    if not path.exists():
        return ()
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.startswith(TOKEN) and line.endswith("\n"):
            lines.append(json.loads(line.removeprefix(TOKEN)))
    return tuple(lines)


def read_outcome(path: Path) -> Outcome | None:
    """What a log says about a run that is over; None if it is not."""
    lines = read_lines(path)
    last = {line["key"]: line for line in lines}
    if "run_stop" not in last:
        return None
    evaluated = last.get("eval_accuracy")
    return Outcome(
        seed=int(last["seed"]["value"]),
        success=last["run_stop"]["metadata"]["status"] == "success",
        seconds=(last["run_stop"]["time_ms"] - last["run_start"]["time_ms"]) / 1000,
        epochs=int(evaluated["metadata"]["epoch_num"]) if evaluated else 0,
        accuracy=float(evaluated["value"]) if evaluated else None,
        resumed=sum(line["key"] == RESUMED for line in lines),
        lines=len(lines),
    )


def _drop_cut_line(path: Path) -> None:
    """A run that was killed may have left half a line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with disk_errors(path):
                os.truncate(path, whole)
