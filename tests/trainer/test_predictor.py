"""Predictor: from a run folder and from a module."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import spindl
from spindl.infer.predictor import PredictorError
from spindl.program import ProgramError
from tests.trainer.support import network, pictures, trainer


def test_run_folder_gives_what_the_test_saw(tmp_path: Path) -> None:
    record = trainer(run_dir=tmp_path).fit()
    test = pictures(25, 2)
    predictor = spindl.Predictor(tmp_path, executor="interpreter")
    logits = predictor.predict(test)
    assert logits.shape == (25, 4)
    assert record.best_test_accuracy == (logits.argmax(axis=1) == test.labels).mean()
    assert np.array_equal(predictor.classify(test), logits.argmax(axis=1))
    assert predictor.classes == tuple("abcd")


def test_executors_predict_the_same_bits(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    results = [spindl.Predictor(tmp_path, executor=e).predict(pictures(9, 3)) for e in ("sim", "interpreter")]
    assert np.array_equal(*results)


def test_a_given_checkpoint(tmp_path: Path) -> None:
    t = trainer(run_dir=tmp_path)
    t.fit()
    early = spindl.Predictor(tmp_path / "checkpoints" / "step-00000004", executor="interpreter")
    assert early.state.progress.step == 4


def test_arrays_and_tensors(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    predictor = spindl.Predictor(tmp_path, executor="interpreter")
    test = pictures(5, 2)
    images = np.asarray(test.records.array)  # type: ignore[union-attr]
    # Arrays come with the model's own normalisation, the same as the data set's here.
    assert np.array_equal(predictor.predict(images), predictor.predict(torch.from_numpy(images)))
    assert np.array_equal(predictor.predict(images), predictor.predict(test))


def test_module_in_memory_follows_pytorch() -> None:
    t = trainer(epochs=3)
    t.fit()
    module = t.module.eval()
    test = pictures(40, 2)
    assert test.normalisation is not None
    predictor = spindl.Predictor(
        module, input_shape=(1, 8, 8), normalisation=test.normalisation, executor="interpreter", batch_size=16
    )
    logits = predictor.predict(test)
    x = (torch.from_numpy(np.asarray(test.records.array)) / 255 - 0.5) / 0.5  # type: ignore[union-attr]
    with torch.no_grad():
        expected = module(x).numpy()
    assert np.abs(logits - expected).max() < 2e-3 * np.abs(expected).max()


def test_module_of_features() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 5), nn.Sigmoid(), nn.Linear(5, 2), nn.Softmax(dim=1))
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    result = spindl.Predictor(module, input_shape=(3,), executor="interpreter").predict(x)
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    assert np.abs(result - expected).max() < 2e-3


def test_wrong_input(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    predictor = spindl.Predictor(tmp_path, executor="interpreter")
    with pytest.raises(PredictorError, match="takes images"):
        predictor.predict(np.zeros((2, 1, 8, 8)))
    with pytest.raises(spindl.SpindlError, match=r"\[1, 9, 9\]"):
        predictor.predict(np.zeros((2, 1, 9, 9), dtype=np.uint8))


def test_wrong_source(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match="no run"):
        spindl.Predictor(tmp_path)
    with pytest.raises(PredictorError, match="shape"):
        spindl.Predictor(network())
