"""The command line: results, exit statuses, messages."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from spindl.cli import doctor
from spindl.cli.app import app
from spindl.record import read_record, read_rows
from tests.trainer.support import pictures

ROOT = Path(__file__).parents[2]

MODEL = """
import torch
from torch import nn

def small():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4))

def bad():
    return nn.Sequential(nn.Flatten(), nn.GELU(), nn.Linear(64, 4), nn.LayerNorm(4))

def two():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)), (2,)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model file and data."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    train, test = pictures(64, 1), pictures(20, 2)
    arrays = {}
    for name, dataset in (("train", train), ("test", test)):
        arrays[f"{name}_images"] = np.asarray(dataset.records.array)  # type: ignore[union-attr]
        arrays[f"{name}_labels"] = dataset.labels
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path


def spindl(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


TRAIN = (
    "train", "model.py:small", "--data", "data.npz", "--epochs", "2", "--batch-size", "16", "--lr", "0.05",
    "--executor", "interpreter", "--no-tensorboard",
)  # fmt: skip


def test_train_infer_and_the_float_twin(place: Path) -> None:
    result = spindl(*TRAIN, "--float32", "--run-dir", "run")
    assert result.exit_code == 0, result.output
    record = read_record(place / "run")
    assert record.test_accuracy is not None
    lines = result.output.splitlines()
    assert lines[0].startswith("executor interpreter (cpu)")
    twin = json.loads((place / "run" / "float32.json").read_text())
    table = [line for line in lines if line.startswith(("  SpiNNaker integers", "  float32 PyTorch  "))]
    shown = [float(n) for n in re.findall(r"([\d.]+) %", "".join(table))]
    assert shown == [
        pytest.approx(100 * record.test_accuracy, abs=0.01),
        pytest.approx(100 * twin[-1]["test_accuracy"], abs=0.01),
    ]
    assert twin[-1]["loss"] == pytest.approx(record.epochs[-1].loss, rel=0.05)
    assert "difference:" in result.output
    assert "run/weights.safetensors" in result.output

    result = spindl("infer", "run", "--data", "data.npz", "--executor", "interpreter", "--rows", "3")
    assert result.exit_code == 0, result.output
    assert f"accuracy {100 * (record.best_test_accuracy or 0):.2f} % of 20 images" in result.output

    Image.fromarray(np.full((11, 9), 200, dtype=np.uint8)).save(place / "bright.png")
    result = spindl("infer", "run", "--image", "bright.png", "--executor", "interpreter")
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if "bright.png" in line)
    assert sum(float(n) for n in re.findall(r"([\d.]+) %", row)) == pytest.approx(100, abs=0.3)

    result = spindl(
        "infer",
        "model.py:small",
        "--weights",
        "run/weights.safetensors",
        "--data",
        "data.npz",
        "--executor",
        "interpreter",
    )
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output


def test_toml_and_command_line(place: Path) -> None:
    (place / "train.toml").write_text(
        'model = "model.py:small"\ndata = "data.npz"\nepochs = 3\nbatch-size = 16\nlr = 0.02\n'
        'executor = "interpreter"\ntensorboard = false\nrun-dir = "run"\n'
        'schedule = "step"\nmilestones = [1]\ngamma = 0.5\n'
    )
    result = spindl("train", "--config", "train.toml", "--epochs", "2")
    assert result.exit_code == 0, result.output
    stored = json.loads((place / "run" / "run.json").read_text())["settings"]
    assert (stored["epochs"], stored["batch_size"], stored["lr"], stored["milestones"]) == (2, 16, 0.02, [1])
    rates = [row["learning_rates"][0] for row in read_rows(place / "run" / "log.jsonl") if row["kind"] == "step"]
    assert rates == [0.02] * 4 + [0.01] * 4


def test_resume_needs_no_repetition(place: Path) -> None:
    assert spindl(*TRAIN, "--run-dir", "whole").exit_code == 0
    assert spindl(*TRAIN, "--run-dir", "run").exit_code == 0
    for name in ("step-00000008", "latest", "best"):
        subprocess.run(["rm", "-r", str(place / "run" / "checkpoints" / name)], check=True)
    result = spindl("train", "--run-dir", "run", "--resume")
    assert result.exit_code == 0, result.output
    assert "resuming from run/checkpoints/step-00000004" in result.output
    a, b = (load_file(place / run / "weights.safetensors") for run in ("whole", "run"))
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_default_run_folders_are_numbered(place: Path) -> None:
    for _ in range(2):
        assert spindl(*TRAIN).exit_code == 0
    assert sorted(p.name for p in (place / "runs").iterdir()) == ["model-data-001", "model-data-002"]
    result = spindl(*TRAIN, "--resume")
    assert "runs/model-data-002 has all its epochs" in result.output or "model-data-002" in result.output
    assert not (place / "runs" / "model-data-003").exists()


@pytest.mark.parametrize("options", [("--optimizer", "lars", "--lr", "2"), ("--nesterov", "--schedule", "linear"),
                                     ("--label-smoothing", "0.1", "--warmup-epochs", "1"), ("--loss", "mse"),
                                     ("--activation-bits", "12", "--weight-bits", "12", "--gradient-bits", "12"),
                                     ("--augment",), ("--no-augment",), ("--schedule", "polynomial")])  # fmt: skip
def test_options_train(place: Path, options: tuple[str, ...]) -> None:
    result = spindl(*TRAIN, *options, "--run-dir", "run")
    assert result.exit_code == 0, result.output
    epochs = read_record(place / "run").epochs
    assert epochs[-1].loss < epochs[0].loss


USAGE = {
    "unknown option": (("train", "digits", "--data", "digits", "--leraning-rate", "1"), "No such option"),
    "unknown command": (("trian",), "No such command"),
    "not a number": (("train", "digits", "--data", "digits", "--epochs", "many"), "Invalid value for '--epochs'"),
    "no model": (("train", "--data", "digits"), "no model is given"),
    "no data": (("train", "digits"), "no data is given"),
    "unknown schedule": (
        ("train", "digits", "--data", "digits", "--schedule", "wild"),
        "choose one of constant, cosine",
    ),
    "unknown optimiser": (("train", "digits", "--data", "digits", "--optimizer", "adam"), "choose one of sgd, lars"),
    "negative rate": (("train", "digits", "--data", "digits", "--lr", "-1"), "more than 0"),
    "unknown setting": (("train", "--config", "bad.toml"), "unknown setting epcohs"),
    "wrong type": (("train", "--config", "type.toml"), "give a whole number"),
    "not TOML": (("train", "--config", "model.py"), "is not TOML"),
    "no such file": (("train", "--config", "none.toml"), "cannot be read"),
    "nothing to infer": (("infer", "run"), "no images are given"),
    "order": (("compare", "digits", "--data", "digits", "--order", "random"), "choose error or layer"),
    "shape": (("check", "model.py:small", "--input-shape", "a,b"), "give numbers"),
}


@pytest.mark.parametrize("name", USAGE)
def test_wrong_usage_is_status_2(place: Path, name: str) -> None:
    (place / "bad.toml").write_text('model = "digits"\ndata = "digits"\nepcohs = 3\n')
    (place / "type.toml").write_text('model = "digits"\ndata = "digits"\nepochs = "3"\n')
    arguments, message = USAGE[name]
    result = spindl(*arguments)
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.output.split())
    assert not (place / "runs").exists()


def test_unknown_setting_lists_the_known(place: Path) -> None:
    (place / "bad.toml").write_text("epcohs = 3\n")
    assert "epochs, batch_size" in spindl("train", "--config", "bad.toml").output


ERRORS = {
    "unsupported model": (("train", "model.py:bad", "--data", "data.npz"), "gelu"),
    "unknown model": (("train", "lenet9", "--data", "data.npz"), "lenet9"),
    "unknown data": (("train", "digits", "--data", "nowhere"), "unknown data set"),
    "large batch": (("train", "model.py:small", "--data", "data.npz", "--batch-size", "100"), "100 from 64"),
    "bits": (("train", "model.py:small", "--data", "data.npz", "--weight-bits", "20"), "choose 8 to 16 bits"),
    "executor": (("train", "model.py:small", "--data", "data.npz", "--executor", "abacus"), "unknown executor"),
    "smoothing": (
        ("train", "model.py:small", "--data", "data.npz", "--loss", "mse", "--label-smoothing", "0.1"),
        "label smoothing",
    ),
    "weights": (("train", "model.py:small", "--data", "data.npz", "--weights", "none.pt"), "no such file"),
    "no run": (("infer", "folder", "--data", "data.npz"), "no run"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_status_1_without_traceback(place: Path, name: str) -> None:
    (place / "folder").mkdir()
    arguments, message = ERRORS[name]
    result = spindl(*arguments)
    assert result.exit_code == 1, result.output
    assert message.lower() in result.output.lower()
    assert "error: " in result.output
    assert "Traceback" not in result.output
    assert not (place / "runs").exists()


def test_debug_shows_where(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINDL_DEBUG", "1")
    result = spindl("train", "lenet9", "--data", "data.npz")
    assert result.exit_code == 1
    assert type(result.exception).__name__ == "ModelError"


def test_check(place: Path) -> None:
    result = spindl("check", "model.py:bad", "--input-shape", "1,8,8")
    assert result.exit_code == 1
    assert "model.py" in result.output or "GELU" in result.output
    assert re.search("gelu", result.output, re.IGNORECASE)
    assert re.search("layer_?norm", result.output, re.IGNORECASE)
    assert "things to change" in result.output
    assert spindl("check", "model.py:small", "--input-shape", "1,8,8").exit_code == 0
    assert spindl("check", "model.py:two").exit_code == 0
    assert spindl("check", "model.py:small").exit_code == 2  # of what size?
    result = spindl("check", "lenet5", "--data", "data.npz")
    assert result.exit_code == 1  # 8 x 8 pictures are too small
    assert "too small" in result.output


def test_check_asks_the_training_transform_too(place: Path) -> None:
    result = spindl("check", "model.py:two", "--loss", "bce")
    assert result.exit_code == 1
    assert "sigmoid" in result.output


def test_compare(place: Path) -> None:
    result = spindl(
        "compare",
        "model.py:small",
        "--data",
        "data.npz",
        "--executor",
        "interpreter",
        "--batch-size",
        "8",
        "--rows",
        "4",
    )
    assert result.exit_code == 0, result.output
    assert result.output.startswith("executor interpreter")
    errors = [float(n) for n in re.findall(r"\s(\d\.\de[-+]\d\d)\s+\d\.\de[-+]\d\d\s", result.output)]
    assert len(errors) == 4
    assert errors == sorted(errors, reverse=True)
    cosine = re.search(r"together: cosine ([\d.]+)", result.output)
    assert cosine is not None
    assert float(cosine[1]) > 0.99


def test_doctor(place: Path) -> None:
    result = spindl("doctor")
    assert "numpy" in result.output
    assert "write to this folder" in result.output
    problems = re.search(r"(\d+) problems?$", result.output.strip())
    assert problems is not None
    assert result.exit_code == (1 if int(problems[1]) else 0)


def test_doctor_finds_a_problem(capsys: pytest.CaptureFixture[str]) -> None:
    status = doctor.run((lambda: [doctor.Item("torch", "not installed", False, "pip install torch")],))
    assert status == 1
    assert "PROBLEM: not installed" in capsys.readouterr().out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_is_status_130_and_goes_on(place: Path, number: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "spindl", *TRAIN, "--run-dir", "run", "--epochs", "500"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log, deadline = place / "run" / "log.jsonl", time.monotonic() + 100
    while time.monotonic() < deadline and (not log.exists() or log.stat().st_size < 3000):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert f"stopped by {number.name} after step" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    step = max(row["step"] for row in read_rows(log))
    assert (place / "run" / "checkpoints" / f"step-{step:08d}" / "state.json").exists()
