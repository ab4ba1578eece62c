"""Batches of an epoch, decoded in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spindl.data.dataset import Batch, Dataset
from spindl.data.errors import BatchSizeError
from spindl.data.order import epoch_order

Last = Literal["drop", "short", "fill"]
"""What becomes of the records of an epoch that fill no batch: they are left out, make a smaller batch, or are filled up
with the first records of the next epoch's order (which has them once more)."""


def steps_per_epoch(count: int, batch_size: int, last: Last = "drop") -> int:
    """How many batches an epoch of `count` records has."""
    return count // batch_size if last == "drop" else -(-count // batch_size)


def batches(
    dataset: Dataset,
    batch_size: int,
    seed: int,
    epoch: int,
    *,
    start_step: int = 0,
    last: Last = "drop",
    shuffle: bool = True,
    workers: int = 2,
    prefetch: int = 4,
) -> Generator[Batch, None, None]:
    """The batches of one epoch from `start_step` on, in order.

    Which records a batch holds follows from (seed, epoch) alone, how they look from the seed of the data set, the
    epoch and their positions: neither `workers` nor `start_step` changes a bit.

    seed: of the order. shuffle: False gives the order of the data set.
    last: what becomes of the records that fill no batch.
    workers: threads. prefetch: how many batches are decoded or waiting at most.

    An error in a batch is raised when that batch is due. Closing the generator, or an interrupt, ends the threads.
    Raises BatchSizeError at once.
    """
    count = len(dataset)
    if batch_size < 1 or workers < 1 or prefetch < 1:
        raise BatchSizeError(
            batch_size, count, start_step, "batch_size, workers and prefetch must be 1 or more", "raise them"
        )
    if last != "short" and batch_size > count:
        raise BatchSizeError(
            batch_size,
            count,
            start_step,
            f"a batch of {batch_size} from {count} records",
            f"use a batch of {count} or less",
        )
    steps = steps_per_epoch(count, batch_size, last)
    if not 0 <= start_step <= steps:
        raise BatchSizeError(
            batch_size,
            count,
            start_step,
            f"start at step {start_step} of an epoch of {steps} steps",
            "start within the epoch, or go to the next",
        )
    order = _order(count, seed, epoch, shuffle)
    if last == "fill":
        order = np.concatenate([order, _order(count, seed, epoch + 1, shuffle)[: steps * batch_size - count]])
    chunks = [order[step * batch_size : (step + 1) * batch_size] for step in range(start_step, steps)]

    def generate() -> Generator[Batch, None, None]:
        pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="spindl-data")
        try:
            waiting: deque[Future[Batch]] = deque()
            for chunk in chunks:
                waiting.append(pool.submit(dataset.read, chunk, epoch=epoch))
                if len(waiting) == prefetch:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    return generate()


def _order(count: int, seed: int, epoch: int, shuffle: bool) -> NDArray[np.int64]:
    return epoch_order(count, seed, epoch) if shuffle else np.arange(count, dtype=np.int64)
