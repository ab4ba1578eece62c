"""Batches: the same whatever the workers and the start, bounded, closed cleanly, errors where they belong."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from data_makers import picture_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from spindl.data import (
    Augmentation,
    Batch,
    BatchSizeError,
    CorruptImageError,
    CountMismatchError,
    Dataset,
    EmptyDatasetError,
    LabelRangeError,
    NoClassesError,
    PositionError,
    batches,
    epoch_order,
    from_arrays,
    steps_per_epoch,
)
from spindl.data.dataset import FileRecords
from spindl.data.files import FileTree


def arrays(count: int = 23) -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    return from_arrays(np.arange(count) % 3, images=images, augmentation=Augmentation(pad_crop=2, flip=True))


class Pictures:
    """A data set of files that records when each is read, and can hold up or break one."""

    def __init__(self, count: int) -> None:
        self.read: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken = ""
        names = tuple(f"{i:03}.png" for i in range(count))

        def read(name: str) -> bytes:
            self.gate.wait(10)
            self.read.append(name)
            return picture_bytes(int(name[:3]))[: 100 if name == self.broken else None]

        labels = np.zeros(count, dtype=np.int64)
        self.dataset = replace(
            from_arrays(labels, images=np.zeros((count, 3, 8, 6), dtype=np.uint8)),
            records=FileRecords(FileTree("pictures", names, "", read), names),
        )


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        np.array_equal(a.images, b.images)
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.positions, b.positions)
        for a, b in zip(left, right, strict=True)
    )


def loader_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("spindl-data")]


@settings(deadline=None, max_examples=25)
@given(
    batch_size=st.integers(1, 23),
    background=st.fixed_dictionaries({"workers": st.integers(1, 4), "prefetch": st.integers(1, 6)}),
    options=st.fixed_dictionaries({"last": st.sampled_from(["drop", "short", "fill"]), "shuffle": st.booleans()}),
    data=st.data(),
)
def test_workers_and_resumption_change_nothing(
    batch_size: int, background: dict[str, int], options: dict[str, Any], data: st.DataObject
) -> None:
    dataset = arrays()
    whole = list(batches(dataset, batch_size, 5, 2, workers=1, prefetch=1, **options))
    steps = steps_per_epoch(len(dataset), batch_size, options["last"])
    assert len(whole) == steps
    order, after = (epoch_order(23, 5, epoch) if options["shuffle"] else np.arange(23) for epoch in (2, 3))
    if options["last"] == "fill":
        order = np.concatenate([order, after])
    visited = np.concatenate([batch.positions for batch in whole])
    assert np.array_equal(visited, order[: steps * batch_size])
    assert all(np.array_equal(batch.labels, batch.positions % 3) for batch in whole)
    start = data.draw(st.integers(0, steps))
    tail = list(batches(dataset, batch_size, 5, 2, start_step=start, **background, **options))
    assert same(tail, whole[start:])


def test_the_last_batch_may_be_smaller() -> None:
    assert [len(batch) for batch in batches(arrays(), 10, 0, 0, last="short")] == [10, 10, 3]
    assert [len(batch) for batch in batches(arrays(), 10, 0, 0)] == [10, 10]
    assert [len(batch) for batch in batches(arrays(), 10, 0, 0, last="fill")] == [10, 10, 10]
    assert [len(batch) for batch in batches(arrays(), 100, 0, 0, last="short")] == [23]


def test_a_batch_larger_than_the_data() -> None:
    with pytest.raises(BatchSizeError) as caught:
        batches(arrays(), 24, 0, 0)
    assert (caught.value.batch_size, caught.value.count) == (24, 23)
    assert "23 or less" in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"batch_size": 0}, {"workers": 0}, {"prefetch": 0}, {"start_step": 6}, {"start_step": -1}]
)
def test_numbers_that_make_no_sense(settings: dict[str, int]) -> None:
    with pytest.raises(BatchSizeError):
        batches(arrays(), **{"batch_size": 4, "seed": 0, "epoch": 0, **settings})


def test_decoding_runs_ahead_but_not_further_than_asked() -> None:
    pictures = Pictures(40)
    iterator = batches(pictures.dataset, 2, 0, 0, workers=2, prefetch=3)
    assert pictures.read == []
    next(iterator)
    deadline = time.monotonic() + 5
    while len(pictures.read) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert len(pictures.read) == 6
    iterator.close()


def test_closing_ends_the_threads() -> None:
    iterator = batches(Pictures(40).dataset, 2, 0, 0)
    next(iterator)
    assert loader_threads()
    iterator.close()
    assert loader_threads() == []


def test_the_end_of_the_epoch_ends_the_threads() -> None:
    assert len(list(batches(Pictures(8).dataset, 2, 0, 0))) == 4
    assert loader_threads() == []


def test_an_interrupt_ends_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = Pictures(40)
    iterator = batches(pictures.dataset, 2, 0, 0, shuffle=False)
    next(iterator)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    # What Ctrl-C does while the main thread waits for a batch.
    monkeypatch.setattr("concurrent.futures._base.Future.result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    assert loader_threads() == []


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_comes_when_its_batch_is_due(workers: int) -> None:
    pictures = Pictures(12)
    pictures.broken = "005.png"
    iterator = batches(pictures.dataset, 2, 0, 0, shuffle=False, workers=workers)
    assert [next(iterator).positions.tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(CorruptImageError) as caught:
        next(iterator)
    assert caught.value.file == "pictures/005.png"
    assert loader_threads() == []


@pytest.mark.parametrize("position", [-1, 23])
def test_records_outside_the_data_set(position: int) -> None:
    with pytest.raises(PositionError) as caught:
        arrays().read([0, position], epoch=0)
    assert (caught.value.position, caught.value.count) == (position, 23)


def test_arrays_that_are_no_data_set() -> None:
    images = np.zeros((3, 1, 4, 4), dtype=np.uint8)
    with pytest.raises(EmptyDatasetError):
        from_arrays(np.zeros(0, dtype=int), images=images[:0])
    with pytest.raises(CountMismatchError):
        from_arrays(np.zeros(2, dtype=int), images=images)
    with pytest.raises(NoClassesError):
        from_arrays(np.zeros(3, dtype=int), images=images, classes=[])
    for label in (-1, 2):
        with pytest.raises(LabelRangeError) as caught:
            from_arrays(np.array([0, 1, label]), images=images, classes=["a", "b"])
        assert (caught.value.position, caught.value.label) == (2, label)
    with pytest.raises(ValueError, match="uint8"):
        from_arrays(np.zeros(3, dtype=int), images=images.astype(np.float32))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="integers"):
        from_arrays(np.zeros(3), images=images)
    with pytest.raises(ValueError, match="either"):
        from_arrays(np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="normalisation"):
        from_arrays(np.zeros(3, dtype=int), images=images, normalisation=((0.5,) * 3, (0.5,) * 3))
