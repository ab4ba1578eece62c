"""Inference on a machine: full chips, the same outputs, speed by its parts."""

from __future__ import annotations

import numpy as np
import pytest

from spindl import Predictor
from spindl.graph.batch import with_batch
from tests.trainer.support import network, pictures, trainer


def predictor(executor: str, **options: object) -> Predictor:
    images = pictures(1, 3)
    return Predictor(network(), input_shape=(1, 8, 8), normalisation=images.normalisation, executor=executor, **options)  # type: ignore[arg-type]


def test_two_chips_predict_what_the_simulator_does() -> None:
    """Seven images a pass on two chips become eight; the machine stays open from call to call."""
    pytest.importorskip("spinnman")
    with predictor("emu", machine="spin3:2", batch_size=7) as found:
        first, second = found.predict(pictures(13, 3)), found.predict(pictures(4, 5))
        assert found._open is not None
        speed = found.speed
    assert found._open is None
    wanted = predictor("sim", batch_size=8)
    assert np.array_equal(first, wanted.predict(pictures(13, 3)))
    assert np.array_equal(second, wanted.predict(pictures(4, 5)))
    assert wanted.speed is None
    assert speed is not None
    assert (speed.batch, speed.images, speed.executor) == (8, 4, "emu")
    assert 1e-4 < speed.latency < 0.1  # a small network: some milliseconds on 17 cores
    assert (
        speed.lines()[1] == f"throughput: {8 / speed.latency:,.0f} images/s (emulated machine, without its host link)"
    )


def test_another_batch_gives_the_same_outputs() -> None:
    t = trainer(executor="sim", epochs=1)
    t.fit()
    graph = t.program.graphs["evaluate"]
    again = with_batch(with_batch(graph, 3), 16)
    assert again.to_json() == graph.to_json()


def test_any_number_of_test_images() -> None:
    """Eleven images in batches of six, and a single one, on three chips: only true images count."""
    pytest.importorskip("spinnman")
    found = []
    for executor, machine in (("emu", "spin3:3"), ("sim", None)):
        t = trainer(
            executor=executor, machine=machine, epochs=1, batch_size=6, train=pictures(6, 1), test=pictures(11, 2)
        )
        (epoch,) = t.fit().epochs
        found.append((epoch.test_loss, epoch.test_accuracy, t.evaluate(pictures(1, 3))))
    assert found[0] == found[1]
