"""`spindl train`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from spindl.cli.output import output, plain_table
from spindl.cli.recipe import build_data, build_formats, build_loss, build_model, build_optimizer, build_schedule
from spindl.cli.settings import RUN_ONLY, SettingsError, TrainSettings, checked, names
from spindl.comparison.float32 import Float32Epoch, train_float32
from spindl.data import BatchSizeError, steps_per_epoch
from spindl.errors import SpindlError
from spindl.fit import CHECKPOINTS, SETTINGS_FILE, WEIGHTS_FILE, Trainer
from spindl.infer.examples import Examples, read_examples
from spindl.program import CheckpointFolder
from spindl.program.files import write_atomically
from spindl.record import LOG, Record
from spindl.record.progress import percent
from spindl.report.folder import PAGE, try_report

RUNS = Path("runs")
FLOAT32_FILE = "float32.json"


def stored_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    """With --resume and --run-dir: the settings that the run was started with, so that they need not be repeated."""
    if not (given.get("resume") or given.get("resume_from")) or not given.get("run_dir"):
        return {}
    path = Path(given["run_dir"]).expanduser() / SETTINGS_FILE
    try:
        stored = json.loads(path.read_text())["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return checked({key: value for key, value in stored.items() if key in names() and key not in RUN_ONLY}, str(path))


def run(settings: TrainSettings) -> None:
    """Train, test, and say how the result compares and where it lies."""
    console = output()
    settings = replace(settings, run_dir=str(_run_folder(settings)))
    run_dir = Path(str(settings.run_dir))
    train, test = build_data(settings, "train"), _test_data(settings)
    if settings.batch_size > len(train):
        raise BatchSizeError(
            settings.batch_size,
            len(train),
            0,
            f"a batch of {settings.batch_size} from {len(train)} records",
            f"use a batch of {len(train)} or less (--batch-size)",
        )
    module = build_model(settings, train)
    loss = build_loss(settings)
    optimizer = build_optimizer(settings, module)
    steps = steps_per_epoch(len(train), settings.batch_size)
    trainer = Trainer(
        module,
        loss,
        optimizer,
        scheduler=build_schedule(settings, optimizer, steps),
        schedule_interval="step",
        train=train,
        test=test,
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
        run_dir=run_dir,
        device=settings.device,
        machine=settings.machine,
        executor=settings.executor,
        formats=build_formats(settings),
        threads=settings.threads,
        resume=settings.resume_from or settings.resume,
        checkpoint_seconds=settings.checkpoint_seconds,
        tensorboard=settings.tensorboard,
        progress=settings.progress,
        settings={key: value for key, value in asdict(settings).items() if key not in RUN_ONLY},
    )
    if not settings.progress:  # every run says where it runs
        console.print(f"executor {settings.executor} ({trainer.device})", markup=False, highlight=False)
    record = trainer.fit()
    twin = _train_twin(settings, console) if settings.float32 else ()
    if twin:
        write_atomically(
            run_dir / FLOAT32_FILE, (json.dumps([asdict(epoch) for epoch in twin], indent=1) + "\n").encode()
        )
        try_report(run_dir)  # again, with the twin's curves
    _print_result(console, record, twin, run_dir)


def _run_folder(settings: TrainSettings) -> Path:
    """The folder asked for; else the newest run of this model and data to resume, or the next free one."""
    if settings.run_dir:
        return Path(settings.run_dir).expanduser()
    if settings.resume_from:
        folder = Path(settings.resume_from).expanduser()
        if folder.parent.name == CHECKPOINTS:
            return folder.parent.parent
        raise SettingsError(
            f"resume_from is '{folder}'", "settings", "give a folder such as RUN/checkpoints/step-00000100"
        )
    stem = "-".join(Path(name.partition(":")[0]).stem or "run" for name in (settings.model, settings.data))
    numbers = [int(entry.name.removeprefix(f"{stem}-")) for entry in RUNS.glob(f"{stem}-[0-9][0-9][0-9]")]
    if settings.resume:
        if not numbers:
            raise SettingsError(
                "there is no run to resume", str(RUNS / f"{stem}-001"), "name its folder with --run-dir"
            )
        return RUNS / f"{stem}-{max(numbers):03}"
    return RUNS / f"{stem}-{max(numbers, default=0) + 1:03}"


def _test_data(settings: TrainSettings) -> Any:
    from spindl.data import MissingSplitError

    try:
        return build_data(settings, "test")
    except MissingSplitError:
        return None


def _train_twin(settings: TrainSettings, console: Console) -> tuple[Float32Epoch, ...]:
    """The same model, weights, batches and schedule in float32."""
    console.print("\nfloat32 PyTorch with the same initial weights and batches:", markup=False)
    train, test = build_data(settings, "train"), _test_data(settings)
    module, loss = build_model(settings, train), build_loss(settings)
    optimizer = build_optimizer(settings, module)
    steps = steps_per_epoch(len(train), settings.batch_size)
    output_shape = _output_shape(module, train.image_shape)
    examples = [
        None if data is None else read_examples(data, loss, train.image_shape, output_shape, what)
        for data, what in ((train, "train"), (test, "test"))
    ]
    first: Examples | None = examples[0]
    assert first is not None
    if settings.threads:
        import torch

        torch.set_num_threads(settings.threads)

    def show(epoch: Float32Epoch) -> None:
        if settings.progress:
            tested = "" if epoch.test_accuracy is None else f"  test accuracy {percent(epoch.test_accuracy)}"
            console.print(
                f"epoch {epoch.epoch}/{settings.epochs}  loss {epoch.loss:.4f}{tested}", markup=False, highlight=False
            )

    return train_float32(
        module,
        loss,
        optimizer,
        build_schedule(settings, optimizer, steps),
        train=first,
        test=examples[1],
        batch_size=settings.batch_size,
        epochs=settings.epochs,
        seed=settings.seed,
        schedule_interval="step",
        device=settings.device,
        on_epoch=show,
    )


def _output_shape(module: Any, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    import torch

    training = module.training
    with torch.no_grad():
        shape = tuple(module.eval()(torch.zeros(2, *input_shape)).shape[1:])
    module.train(training)
    return shape


def _print_result(console: Console, record: Record, twin: tuple[Float32Epoch, ...], run_dir: Path) -> None:
    if not record.epochs:
        console.print(f"nothing to train: {run_dir} has all its epochs", markup=False, highlight=False)
        return
    last = record.epochs[-1]
    columns = ("training loss", "test loss", "test accuracy")
    table = plain_table(f"after epoch {last.epoch}", ("arithmetic",), columns)
    table.add_row(
        f"SpiNNaker integers ({record.executor})",
        f"{last.loss:.4f}",
        _number(last.test_loss),
        percent(last.test_accuracy),
    )
    if twin:
        float_last = twin[-1]
        table.add_row(
            "float32 PyTorch",
            f"{float_last.loss:.4f}",
            _number(float_last.test_loss),
            percent(float_last.test_accuracy),
        )
    console.print()
    console.print(table)
    if twin and last.test_accuracy is not None and twin[-1].test_accuracy is not None:
        points = 100 * (last.test_accuracy - twin[-1].test_accuracy)
        console.print(f"difference: {points:+.2f} points", markup=False, highlight=False)
    clipped = sum(sum(epoch.saturation.values()) for epoch in record.epochs)
    console.print(f"values clipped in all epochs: {clipped}", markup=False, highlight=False)
    best = CheckpointFolder(run_dir / CHECKPOINTS).best()
    rows = {
        "files": run_dir,
        "report": run_dir / PAGE,
        "log": run_dir / LOG,
        "weights": run_dir / WEIGHTS_FILE,
        "best checkpoint": best,
        "use it": f"spindl infer {run_dir} --image FILE",
    }
    for name, value in rows.items():
        console.print(f"{name + ':':<17}{value}", markup=False, highlight=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


__all__ = ["SpindlError", "run", "stored_settings"]
