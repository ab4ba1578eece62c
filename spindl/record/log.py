"""Records: what happened in a run, one JSON object a line, and the few numbers an epoch comes down to.

Kinds of lines: "run" and "resume" (executor, versions, settings), "step" (step, epoch, loss, accuracy, learning rates,
images/s, saturations that are not zero), "epoch" (the means, the test results, saturations of the whole epoch).
Losses and counts follow from the integers and repeat exactly; images/s and seconds are measured on the host.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spindl.program import RunFolderError
from spindl.program.files import disk_errors

LOG = "log.jsonl"


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: means over its images, and the test after it (None where there was none).

    `saturation`: values clipped in the epoch, by rounding place, places without any left out. `seconds` and
    `images_per_second` are measured on the host, training steps only, since the last resume.
    """

    epoch: int
    step: int
    loss: float
    accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    learning_rates: tuple[float, ...]
    images_per_second: float
    seconds: float
    saturation: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """A whole run: its executor, folder (None: nothing was written) and epochs."""

    executor: str
    run_dir: Path | None
    epochs: tuple[EpochRecord, ...]

    @property
    def test_accuracy(self) -> float | None:
        """After the last epoch."""
        return self.epochs[-1].test_accuracy if self.epochs else None

    @property
    def best_test_accuracy(self) -> float | None:
        """Over all epochs."""
        return max((e.test_accuracy for e in self.epochs if e.test_accuracy is not None), default=None)


class RecordWriter:
    """Appends lines to the log of a run."""

    def __init__(self, path: Path) -> None:
        with disk_errors(path):
            self._file = path.open("ab")
        self._path = path

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one line; it is with the operating system when this returns. Raises RunFolderError."""
        with disk_errors(self._path):
            self._file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")
            self._file.flush()

    def sync(self) -> None:
        """Have all lines on the disk. Raises RunFolderError."""
        with disk_errors(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file. Raises RunFolderError if a line that could not be written still cannot."""
        with disk_errors(self._path):
            self._file.close()


def read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The complete lines of a log, up to the first that is cut off or damaged; nothing if there is no log."""
    for _, row in _rows_with_ends(path):
        yield row


def _rows_with_ends(path: Path) -> Generator[tuple[int, dict[str, Any]], None, None]:
    if not path.exists():
        return
    end = 0
    with path.open("rb") as file:
        for line in file:
            end += len(line)
            try:
                row = json.loads(line)
            except ValueError:
                return
            if not line.endswith(b"\n") or not isinstance(row, dict):
                return
            yield end, row


def truncate_log(path: Path, step: int, epochs: int) -> None:
    """Cut the log to what a State at this step, with so many epochs finished, has seen. Raises RunFolderError."""
    kept = 0
    with closing(_rows_with_ends(path)) as rows:
        for end, row in rows:
            if row.get("step", 0) > step or (row.get("kind") == "epoch" and row["epoch"] > epochs):
                break
            kept = end
    if path.exists():
        with disk_errors(path):
            os.truncate(path, kept)


def epoch_row(record: EpochRecord) -> dict[str, Any]:
    """A line of kind "epoch"."""
    return {
        "kind": "epoch",
        **vars(record),
        "learning_rates": list(record.learning_rates),
        "saturation": dict(record.saturation),
    }


def epoch_records(rows: Iterator[dict[str, Any]]) -> tuple[EpochRecord, ...]:
    """The epochs among the lines of a log."""
    result = []
    for row in rows:
        if row.get("kind") == "epoch":
            values = {key: value for key, value in row.items() if key != "kind"}
            result.append(EpochRecord(**{**values, "learning_rates": tuple(values["learning_rates"])}))
    return tuple(result)


def read_record(run_dir: Path) -> Record:
    """The Record of a run from its folder. Raises RunFolderError if it holds no log."""
    path = run_dir / LOG
    if not path.exists():
        raise RunFolderError("no log of a run here", str(path), "give the folder that spindl train named")
    rows = list(read_rows(path))
    executor = next((str(row["executor"]) for row in rows if row.get("kind") == "run"), "unknown")
    return Record(executor, run_dir, epoch_records(iter(rows)))


def tensorboard_sink(folder: Path, purge_step: int) -> tuple[Callable[[Mapping[str, Any]], None], Callable[[], None]]:
    """(write a row, close) for TensorBoard. Raises ImportError if it is not installed."""
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=purge_step)

    def write(row: Mapping[str, Any]) -> None:
        names = {
            "step": {
                "loss": "train/loss",
                "accuracy": "train/accuracy",
                "images_per_second": "speed/images_per_second",
            },
            "epoch": {"test_loss": "test/loss", "test_accuracy": "test/accuracy"},
        }.get(str(row.get("kind")), {})
        for key, tag in names.items():
            if row.get(key) is not None:
                writer.add_scalar(tag, row[key], row["step"])
        if names and "learning_rates" in row:
            for number, rate in enumerate(row["learning_rates"]):
                writer.add_scalar(f"learning_rate/{number}", rate, row["step"])
        if row.get("kind") == "epoch":
            for site, count in row["saturation"].items():
                writer.add_scalar(f"saturation/{site}", count, row["step"])

    return write, writer.close
