"""Trainer: tests after chosen epochs only, an early end, and events for clocks and logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spindl.fit import Event
from spindl.record import EpochRecord
from tests.trainer.support import assert_same_state, trainer


def test_only_chosen_epochs_are_tested() -> None:
    record = trainer(epochs=5, test_epochs=lambda epoch: epoch in (2, 5)).fit()
    assert [epoch.test_accuracy is not None for epoch in record.epochs] == [False, True, False, False, True]


def test_tests_do_not_change_training() -> None:
    often, never = trainer(epochs=3), trainer(epochs=3, test_epochs=lambda epoch: False)
    often.fit()
    never.fit()
    assert never.state.best is None
    assert_same_state(often.state, replace(never.state, best=often.state.best))


def test_training_stops_early_and_stays_stopped(tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(record: EpochRecord) -> bool:
        seen.append(record.epoch)
        return record.epoch == 2

    options = {"epochs": 4, "stop": stop, "run_dir": tmp_path / "run", "resume": True}
    stopped = trainer(**options)
    assert [epoch.epoch for epoch in stopped.fit().epochs] == [1, 2]
    again = trainer(**options)
    assert [epoch.epoch for epoch in again.fit().epochs] == [1, 2]
    assert_same_state(stopped.state, again.state)
    assert set(seen) == {1, 2}


def test_events_tell_epochs_and_tests() -> None:
    events: list[Event] = []
    record = trainer(epochs=3, test_epochs=lambda epoch: epoch % 2 == 0, on_event=events.append).fit()
    assert events == [
        Event("epoch_start", 1),
        Event("epoch_stop", 1),
        Event("epoch_start", 2),
        Event("epoch_stop", 2),
        Event("test_start", 2),
        Event("test_stop", 2, record.epochs[1].test_accuracy),
        Event("epoch_start", 3),
        Event("epoch_stop", 3),
    ]


def test_resuming_starts_the_epoch_again(tmp_path: Path) -> None:
    events: list[Event] = []

    class Crash(Exception):
        pass

    def on_event(event: Event) -> None:
        events.append(event)
        if event == Event("epoch_stop", 2):
            raise Crash

    options = {"epochs": 2, "run_dir": tmp_path / "run", "resume": True, "test": None}
    with pytest.raises(Crash):
        trainer(on_event=on_event, **options).fit()
    resumed = trainer(on_event=events.append, **options)
    resumed.fit()
    kinds = [(event.kind, event.epoch) for event in events]
    assert kinds[2:] == [("epoch_start", 2), ("epoch_stop", 2), ("epoch_start", 2), ("epoch_stop", 2)]
    whole = trainer(epochs=2, test=None)
    whole.fit()
    assert_same_state(resumed.state, whole.state)
