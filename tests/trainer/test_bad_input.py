"""What a user can get wrong: every case has its message, and nothing is written."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import spindl
from spindl.data import BatchSizeError, FeatureRangeError, LabelRangeError, from_arrays
from spindl.infer.examples import ExamplesError
from spindl.model import UnsupportedModel
from spindl.program import CheckpointFolder, RunFolderError, StateError
from spindl.record.log import RecordWriter
from spindl.run import RunError
from spindl.train import Formats, TrainingError
from tests.trainer.support import Net, network, pictures, trainer


def _with_nan() -> nn.Module:
    module = network()
    with torch.no_grad():
        module.fc.weight[1, 2] = float("nan")
    return module


def _pair(**options: Any) -> Callable[[Path], spindl.Trainer]:
    """A trainer on arrays."""
    x = options.pop("x", np.zeros((8, 3)))
    y = options.pop("y", np.zeros(8, dtype=np.int64))
    loss = options.pop("loss", "cross_entropy")
    module = nn.Linear(3, 2)

    def build(run_dir: Path) -> spindl.Trainer:
        return spindl.Trainer(
            module,
            loss,
            torch.optim.SGD(module.parameters(), lr=0.1),
            train=(x, y),
            batch_size=4,
            epochs=1,
            run_dir=run_dir,
            progress=False,
        )

    return build


nan_features = np.zeros((8, 3))
nan_features[3, 1] = np.nan
high_labels = from_arrays(np.array([0, 7]), images=np.zeros((2, 1, 8, 8), dtype=np.uint8), classes=tuple("abcdefgh"))

CASES: dict[str, tuple[Callable[[Path], Any], type[Exception], str]] = {
    "unsupported op": (
        lambda d: trainer(nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.GELU()), run_dir=d),
        UnsupportedModel,
        "gelu",
    ),
    "NaN weights": (lambda d: trainer(_with_nan(), run_dir=d), spindl.SpindlError, "NaN"),
    "NaN inputs": (_pair(x=nan_features), FeatureRangeError, "nan"),
    "infinite inputs": (_pair(x=np.full((8, 3), np.inf)), FeatureRangeError, "inf"),
    "label out of range": (_pair(y=np.array([0, 1, 0, 1, 0, 2, 0, 0])), LabelRangeError, "2"),
    "more classes than outputs": (lambda d: trainer(train=high_labels, batch_size=2, run_dir=d), LabelRangeError, "7"),
    "negative label": (_pair(y=np.array([0, 1, 0, 1, 0, -1, 0, 0])), LabelRangeError, "-1"),
    "real labels": (_pair(y=np.zeros(8)), ExamplesError, "integer labels"),
    "fewer labels": (_pair(y=np.zeros(7, dtype=np.int64)), ExamplesError, "8 inputs and 7 targets"),
    "no examples": (_pair(x=np.zeros((0, 3)), y=np.zeros(0, dtype=np.int64)), spindl.SpindlError, "empty|no records"),
    "targets of another shape": (_pair(loss="mse", y=np.zeros((8, 3))), ExamplesError, "one number for each output"),
    "NaN targets": (_pair(loss="mse", y=np.full((8, 2), np.nan)), FeatureRangeError, "nan"),
    "no probabilities": (_pair(loss="bce_with_logits", y=np.full((8, 2), 1.5)), ExamplesError, r"\[0, 1\]"),
    "no data": (lambda d: trainer(train=[1, 2, 3], run_dir=d), TrainingError, "Dataset or a pair"),
    "other image size": (
        lambda d: trainer(test=(np.zeros((4, 1, 9, 9), dtype=np.uint8), np.zeros(4, dtype=np.int64)), run_dir=d),
        ExamplesError,
        r"\[1, 9, 9\]",
    ),
    "batch larger than the data": (lambda d: trainer(batch_size=71, run_dir=d), BatchSizeError, "71 from 70"),
    "no batch": (lambda d: trainer(batch_size=0, run_dir=d), TrainingError, "batch_size"),
    "negative seed": (lambda d: trainer(seed=-1, run_dir=d), TrainingError, "seed"),
    "interval": (lambda d: trainer(schedule_interval="week", run_dir=d), TrainingError, "week"),
    "resume nothing": (lambda d: trainer(resume=True), TrainingError, "run folder"),
    "bits": (lambda d: trainer(formats=Formats(activations=17), run_dir=d), TrainingError, "17 bits"),
    "Adam": (
        lambda d: trainer(optimizer=lambda m: torch.optim.Adam(m.parameters()), run_dir=d),
        TrainingError,
        "Adam",
    ),
    "infinite rate": (
        lambda d: trainer(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=float("inf")), run_dir=d),
        TrainingError,
        "inf",
    ),
    "executor": (lambda d: trainer(executor="abacus", run_dir=d), RunError, "abacus"),
    "device": (lambda d: trainer(device="cuda:77", executor="sim", run_dir=d), RunError, "cuda:77"),
    "loss": (_pair(loss="hinge"), TrainingError, "hinge"),
    "images for features": (
        lambda d: trainer(test=(np.zeros((4, 1, 8, 8)), np.zeros(4, dtype=np.int64)), run_dir=d),
        TrainingError,
        "features",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_clear_error_and_nothing_written(name: str, tmp_path: Path) -> None:
    action, kind, message = CASES[name]
    with pytest.raises(kind, match=message) as caught:
        action(tmp_path / "run")
    assert str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_run_folder_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match="cannot write") as caught:
        trainer(run_dir=tmp_path / "file" / "run").fit()
    assert "--run-dir" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_run_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunFolderError, match="Permission denied"):
            trainer(run_dir=tmp_path / "run").fit()
    finally:
        tmp_path.chmod(0o700)


def test_read_only_file_system() -> None:
    folder = Path("/sys/spindl-test")
    if not Path("/sys/kernel").is_dir():
        pytest.skip("no /sys here")
    with pytest.raises(RunFolderError, match="cannot write"):
        trainer(run_dir=folder).fit()


def test_not_enough_space_is_noticed_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(RunFolderError, match="MB free"):
        trainer(run_dir=tmp_path / "run").fit()
    assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == ["lock"]


def test_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second checkpoint does not fit: the first stays good, nothing is half-written, and resuming works."""
    from spindl.program import files

    real, calls = os.fsync, 0

    def fsync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls > 15:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", fsync)
        with pytest.raises(RunFolderError, match="No space left"):
            trainer(run_dir=tmp_path, checkpoint_steps=1).fit()
    checkpoints = CheckpointFolder(tmp_path / "checkpoints")
    assert checkpoints.load() is not None
    assert not list(tmp_path.rglob(".*"))
    trainer(run_dir=tmp_path, resume=True).fit()


def test_a_log_that_finds_no_space_says_so_when_it_is_closed_too() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(RunFolderError, match="No space left"), closing(RecordWriter(full)) as writer:
        writer.write({"kind": "step"})


def test_full_file_system(tmp_path: Path) -> None:
    """A real one of 1.2 MB; needs the right to mount."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        (tmp_path / "filler").write_bytes(b"x" * 1_000_000)
        with pytest.raises(RunFolderError, match="MB free"):
            trainer(run_dir=tmp_path / "run").fit()
        assert sorted(entry.name for entry in (tmp_path / "run").iterdir()) == ["lock"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_folder_of_another_run(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    with pytest.raises(RunFolderError, match="holds a run already"):
        trainer(run_dir=tmp_path, epochs=1).fit()


def test_folder_in_use(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(RunFolderError, match="another run"):
            trainer(run_dir=tmp_path).fit()


def test_checkpoint_of_another_model(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    log = (tmp_path / "log.jsonl").read_bytes()
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    with pytest.raises(StateError, match="another model") as caught:
        trainer(other, run_dir=tmp_path, resume=True).fit()
    assert "weights/1.weight: not in the checkpoint" in str(caught.value)
    assert "weights/bn.bias" in str(caught.value)
    assert (tmp_path / "log.jsonl").read_bytes() == log


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 8}, "batch_size: 16 and 8"),
        ({"formats": Formats(weights=12)}, "formats"),
        ({"seed": 1}, "seed 0, not 1"),
    ],
)
def test_resume_with_other_settings(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    trainer(run_dir=tmp_path, epochs=1).fit()
    with pytest.raises(StateError, match=message):
        trainer(run_dir=tmp_path, resume=True, **options).fit()


def test_resume_without_its_schedule(tmp_path: Path) -> None:
    trainer(run_dir=tmp_path, epochs=1, scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1)).fit()
    with pytest.raises(StateError, match="schedule"):
        trainer(run_dir=tmp_path, resume=True).fit()


def test_damaged_checkpoint_and_the_one_before(tmp_path: Path) -> None:
    whole = trainer(run_dir=tmp_path / "whole", epochs=3)
    whole.fit()
    trainer(run_dir=tmp_path / "run", epochs=2).fit()
    folder = CheckpointFolder(tmp_path / "run" / "checkpoints")
    newest = folder.latest()
    assert newest is not None
    tensors = newest / "state.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-3])
    with pytest.raises(StateError, match="damaged") as caught:
        trainer(run_dir=tmp_path / "run", epochs=3, resume=True).fit()
    assert caught.value.where == str(tensors)
    resumed = trainer(run_dir=tmp_path / "run", epochs=3, resume=caught.value.previous)
    resumed.fit()
    for name, value in whole.state.values.items():
        assert np.array_equal(value.mantissa, resumed.state.values[name].mantissa), name


def test_checkpoint_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no such checkpoint"):
        trainer(run_dir=tmp_path, resume=tmp_path / "checkpoints" / "step-00000009").fit()


def test_support_is_what_it_says() -> None:
    assert isinstance(network(), Net)
    assert len(pictures(3, 0)) == 3
