"""What a run shows while it goes: a live bar on a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from spindl.record import EpochRecord

if TYPE_CHECKING:
    from rich.progress import TaskID

PLAIN_INTERVAL_SECONDS = 10.0


class Display(Protocol):
    """Where progress goes. The rate is images per second, the accuracy 0..1."""

    def note(self, text: str) -> None:
        """A line that stays."""

    def begin(self, images: int, done: int) -> None:
        """Training starts: this many images in all, so many of them before this start."""

    def step(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float | None, rate: float) -> None:
        """A step is over; loss and accuracy are means of the epoch so far."""

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """An epoch is over."""

    def close(self) -> None:
        """No more is coming."""


def percent(share: float | None) -> str:
    """0.9721 -> "97.21 %"; "-" for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def duration(seconds: float) -> str:
    """3725 -> "1:02:05", 65 -> "1:05"."""
    whole = int(seconds + 0.5)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def epoch_line(record: EpochRecord, epochs: int) -> str:
    """One line about an epoch."""
    parts = [f"epoch {record.epoch:>{len(str(epochs))}}/{epochs}", f"loss {record.loss:.4f}"]
    if record.accuracy is not None:
        parts.append(f"accuracy {percent(record.accuracy)}")
    if record.test_loss is not None:
        parts.append(f"test loss {record.test_loss:.4f}")
    if record.test_accuracy is not None:
        parts.append(f"test accuracy {percent(record.test_accuracy)}")
    parts.append(f"{record.images_per_second:,.0f} images/s")
    if record.saturation:
        parts.append(f"{sum(record.saturation.values())} values clipped")
    return "  ".join(parts)


class SilentDisplay:
    """Shows nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def begin(self, images: int, done: int) -> None:
        """Nothing."""

    def step(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float | None, rate: float) -> None:
        """Nothing."""

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


class PlainDisplay:
    """Lines of text: one an epoch, and one every ten seconds in between."""

    def __init__(self, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream or sys.stdout
        self._clock = clock
        self._images = 0
        self._last = clock()

    def note(self, text: str) -> None:
        """A line."""
        print(text, file=self._stream, flush=True)

    def begin(self, images: int, done: int) -> None:
        """Remember how much there is to do."""
        self._images = images
        self._last = self._clock()

    def step(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float | None, rate: float) -> None:
        """A line if the last one is long ago."""
        now = self._clock()
        if now - self._last < PLAIN_INTERVAL_SECONDS:
            return
        self._last = now
        left = (self._images - done) / rate if rate else 0.0
        shown = "" if accuracy is None else f"  accuracy {percent(accuracy)}"
        self.note(f"  epoch {epoch}/{epochs}  loss {loss:.4f}{shown}  {rate:,.0f} images/s  {duration(left)} left")

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """A line."""
        self._last = self._clock()
        self.note(epoch_line(record, epochs))

    def close(self) -> None:
        """Nothing is held."""


class LiveDisplay:
    """A bar with rate, loss, accuracy and time left, below the lines that stay."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[numbers]}"),
            refresh_per_second=4,
        )
        self._task: TaskID | None = None
        self._images = 0

    def note(self, text: str) -> None:
        """A line above the bar."""
        self._progress.console.print(text, markup=False, highlight=False)

    def begin(self, images: int, done: int) -> None:
        """Show the bar."""
        self._images = images
        self._progress.start()
        self._task = self._progress.add_task("training", total=images, completed=done, numbers="")

    def step(self, done: int, epoch: int, epochs: int, loss: float, accuracy: float | None, rate: float) -> None:
        """Move the bar."""
        if self._task is None:
            return
        left = (self._images - done) / rate if rate else 0.0
        shown = "" if accuracy is None else f"  accuracy {percent(accuracy)}"
        self._progress.update(
            self._task,
            completed=done,
            description=f"epoch {epoch}/{epochs}",
            numbers=f"{rate:,.0f} images/s  loss {loss:.4f}{shown}  {duration(left)} left",
        )

    def epoch(self, record: EpochRecord, epochs: int) -> None:
        """A line above the bar."""
        self.note(epoch_line(record, epochs))

    def close(self) -> None:
        """Take the bar away."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._task = None
        self._progress.stop()


def choose_display(shown: bool) -> Display:
    """A live bar on a terminal, plain lines in a file or pipe, nothing if not wanted."""
    if not shown:
        return SilentDisplay()
    return LiveDisplay() if sys.stdout.isatty() else PlainDisplay()
