"""The loop over epochs and steps of one call of `Trainer.fit`: tests, records, checkpoints, signals."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from spindl.data import Batch, Last, batches, steps_per_epoch
from spindl.fit.schedules import advance, hyper_parameters, learning_rates, scheduler_state
from spindl.graph.operations import Value
from spindl.infer.evaluation import evaluate
from spindl.infer.examples import Examples
from spindl.program import CheckpointFolder, Progress, State, Tally
from spindl.record import EpochRecord, RecordWriter, epoch_row
from spindl.record.progress import Display
from spindl.run import Session

TRAIN = "train"


class Interrupted(KeyboardInterrupt):
    """Training stopped on a signal after a whole step.

    Attributes:
        checkpoint: folder to go on from; None for a run without a folder.
        signal_name: "SIGINT" or "SIGTERM".
    """

    def __init__(self, checkpoint: Path | None, step: int, signal_name: str) -> None:
        self.checkpoint, self.step, self.signal_name = checkpoint, step, signal_name
        where = (
            f"checkpoint {checkpoint}; the same command with --resume (or resume=True) goes on"
            if checkpoint
            else "no run folder"
        )
        super().__init__(f"stopped by {signal_name} after step {step}: {where}")


@dataclass(frozen=True)
class Event:
    """A moment of training, for clocks and logs.

    In each epoch: epoch_start, epoch_stop after its last step, and, if it is tested, test_start and test_stop. A run
    that is resumed in the middle of an epoch starts that epoch again.
    """

    kind: Literal["epoch_start", "epoch_stop", "test_start", "test_stop"]
    epoch: int
    """Counted from 1."""
    accuracy: float | None = None
    """Of the test, at test_stop."""


@dataclass(frozen=True)
class Kept:
    """What a step has changed outside the executor: goes into the State with the values."""

    progress: Progress
    tally: Tally
    best: float | None


@dataclass(frozen=True)
class Setup:
    """What the loop needs to know of a Trainer; the meaning of each field is there.

    Attributes:
        inputs: the inputs of a training step on a batch.
        program: digest of the Program.
    """

    train: Examples
    test: Examples | None
    batch_size: int
    epochs: int
    last: Last
    seed: int
    optimizer: torch.optim.Optimizer
    scheduler: Any
    schedule_interval: Literal["epoch", "step"]
    checkpoint_seconds: float | None
    checkpoint_steps: int | None
    test_epochs: Callable[[int], bool] | None
    stop: Callable[[EpochRecord], bool] | None
    on_event: Callable[[Event], None] | None
    inputs: Callable[[Batch, Progress], dict[str, Value]]
    program: str


class Loop:
    """One call of `fit`: the loop over epochs and steps."""

    def __init__(
        self,
        setup: Setup,
        state: State,
        session: Session,
        checkpoints: CheckpointFolder | None,
        writer: RecordWriter | None,
        sinks: list[Callable[[Mapping[str, Any]], None]],
        display: Display,
        stopping: Callable[[], str],
    ) -> None:
        self._setup, self._session, self._checkpoints = setup, session, checkpoints
        self._writer, self._sinks, self._display, self._stopping = writer, sinks, display, stopping
        self._kept = Kept(state.progress, state.tally, state.best)
        self._per_epoch = steps_per_epoch(len(setup.train), setup.batch_size, setup.last)
        self._saved_at = time.monotonic()
        self._seconds, self._images = 0.0, 0  # measured in this epoch, since the start of this process

    def train(self, past: list[EpochRecord]) -> list[EpochRecord]:
        """All epochs that are left. Raises Interrupted."""
        t, per_epoch = self._setup, self._per_epoch * self._setup.batch_size
        self._display.begin(t.epochs * per_epoch, self._kept.progress.images)
        while self._kept.progress.epoch < t.epochs and not (past and t.stop and t.stop(past[-1])):
            self._tell("epoch_start")
            self._steps()
            self._check_signal()
            self._tell("epoch_stop")
            record = self._end_epoch()
            past.append(record)
            self._display.epoch(record, t.epochs)
            self._check_signal()
        return past

    def snapshot(self) -> State:
        """The State as it is now."""
        t = self._setup
        return State(
            values=self._session.state(),
            progress=self._kept.progress,
            tally=self._kept.tally,
            optimizer=hyper_parameters(t.optimizer),
            scheduler=scheduler_state(t.scheduler),
            best=self._kept.best,
            program=t.program,
        )

    def save(self, *, best: bool = False) -> Path | None:
        """Write a checkpoint, if there is a run folder."""
        if self._checkpoints is None:
            return None
        if self._writer is not None:
            self._writer.sync()  # the log must never be behind the checkpoint
        folder = self._checkpoints.save(self.snapshot(), best=best)
        self._saved_at = time.monotonic()
        return folder

    def _tell(
        self, kind: Literal["epoch_start", "epoch_stop", "test_start", "test_stop"], accuracy: float | None = None
    ) -> None:
        if self._setup.on_event is not None:
            self._setup.on_event(Event(kind, self._kept.progress.epoch + 1, accuracy))

    def _check_signal(self) -> None:
        if self._stopping():
            raise Interrupted(self.save(), self._kept.progress.step, self._stopping())

    def _steps(self) -> None:
        """The steps that the present epoch still has."""
        t, progress = self._setup, self._kept.progress
        steps = batches(
            t.train.dataset,
            t.batch_size,
            t.seed,
            progress.epoch,
            start_step=progress.position // t.batch_size,
            last=t.last,
        )
        with closing(steps):
            started = time.monotonic()
            for batch in steps:
                outputs = self._session.step(TRAIN, t.inputs(batch, self._kept.progress))
                now = time.monotonic()
                self._seconds, self._images = self._seconds + now - started, self._images + len(batch)
                self._after_step(outputs, len(batch), now - started)
                if self._checkpoint_due():
                    self.save()
                self._check_signal()
                started = time.monotonic()

    def _after_step(self, outputs: Mapping[str, Value], images: int, seconds: float) -> None:
        t, p = self._setup, self._kept.progress
        loss = int(outputs["loss"].mantissa)
        correct = int(outputs["correct"].mantissa) if "correct" in outputs else None
        saturation = {
            name.partition("/")[2]: int(value.mantissa)
            for name, value in outputs.items()
            if name.startswith("saturation/") and int(value.mantissa)
        }
        row = {
            "kind": "step",
            "step": p.step + 1,
            "epoch": p.epoch + 1,
            "loss": loss / 65536 / images,
            "accuracy": None if correct is None else correct / images,
            "learning_rates": learning_rates(t.optimizer),
            "images_per_second": round(images / seconds, 1) if seconds else None,
            "saturation": saturation,
        }
        progress = replace(
            p, step=p.step + 1, position=p.position + images, images=p.images + images, previous_batch=images
        )
        tally = self._kept.tally.plus(loss, correct, images, saturation)
        self._kept = replace(self._kept, progress=progress, tally=tally)
        if t.scheduler is not None and t.schedule_interval == "step":
            advance(t.scheduler, loss / 65536 / images)
        if counts := self._session.counters():
            row["counters"] = {name: count.value for name, count in counts.items()}
        for sink in self._sinks:
            sink(row)
        rate = self._images / self._seconds if self._seconds else 0.0
        self._display.step(progress.images, p.epoch + 1, t.epochs, tally.mean_loss(), tally.accuracy(), rate)

    def _checkpoint_due(self) -> bool:
        t = self._setup
        by_steps = t.checkpoint_steps is not None and self._kept.progress.step % t.checkpoint_steps == 0
        by_time = t.checkpoint_seconds is not None and time.monotonic() - self._saved_at >= t.checkpoint_seconds
        return by_steps or by_time

    def _end_epoch(self) -> EpochRecord:
        """Test, schedule, record, checkpoint. A signal in the test leaves all that to the next start."""
        t, p, tally = self._setup, self._kept.progress, self._kept.tally
        tested = None
        if t.test is not None and (t.test_epochs is None or t.test_epochs(p.epoch + 1)):
            self._tell("test_start")
            tested = evaluate(self._session, t.test, t.batch_size, lambda: bool(self._stopping()))
            if tested is None:
                self._check_signal()
            else:
                self._tell("test_stop", tested.accuracy)
        record = EpochRecord(
            epoch=p.epoch + 1,
            step=p.step,
            loss=tally.mean_loss(),
            accuracy=tally.accuracy(),
            test_loss=tested.loss if tested else None,
            test_accuracy=tested.accuracy if tested else None,
            learning_rates=tuple(learning_rates(t.optimizer)),
            images_per_second=round(self._images / self._seconds, 1) if self._seconds else 0.0,
            seconds=round(self._seconds, 3),
            saturation=dict(sorted(tally.saturation.items())),
        )
        score = None
        if tested is not None:
            score = tested.accuracy if tested.accuracy is not None else -tested.loss
        best = score is not None and (self._kept.best is None or score > self._kept.best)
        if t.scheduler is not None and t.schedule_interval == "epoch":
            advance(t.scheduler, tested.loss if tested else record.loss)
        self._kept = Kept(replace(p, epoch=p.epoch + 1, position=0), Tally(), score if best else self._kept.best)
        self._seconds, self._images = 0.0, 0
        for sink in self._sinks:
            sink(epoch_row(record))
        self.save(best=best)
        return record
