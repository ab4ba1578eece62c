"""One run of the benchmark: the Trainer's, or the null system's, with the same log around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from spindl.mlperf.log import RESUMED, Outcome, RunLog, read_lines, read_outcome, run_log
from spindl.mlperf.rules import Rules
from spindl.mlperf.settings import END_LEARNING_RATE, POLYNOMIAL_POWER, MlperfSettings

RESULT, TRAINING = "result.txt", "training"

Work = Callable[[MlperfSettings, int, Path, RunLog], bool]
"""Trains in a folder with a seed, logs epochs and evaluations, and says whether the target was reached."""


def run_once(
    settings: MlperfSettings, rules: Rules, counts: dict[str, int], seed: int, folder: Path, work: Work
) -> Outcome:
    """A whole run in its folder, taken up where it was left; a finished one is not done again.

    The clock (run_start) starts before the data are opened and the model is built, and is never stopped.
    """
    path = folder / RESULT
    finished = read_outcome(path)
    if finished is not None:
        return finished
    folder.mkdir(parents=True, exist_ok=True)
    started = any(line["key"] == "run_start" for line in read_lines(path))
    if not started:
        path.unlink(missing_ok=True)
    with run_log(path) as log:
        if started:
            log.event(RESUMED)
        else:
            log_start(settings, rules, counts, seed, log)
        reached = work(settings, seed, folder / TRAINING, log)
        log.stop("run_stop", status="success" if reached else "aborted")
    outcome = read_outcome(path)
    assert outcome is not None
    return outcome


def log_start(settings: MlperfSettings, rules: Rules, counts: dict[str, int], seed: int, log: RunLog) -> None:
    """Everything a log holds before the clock starts, and its start."""
    log.event("cache_clear", value=False)
    log.start("init_start")
    log.event("submission_benchmark", rules.benchmark)
    log.event("submission_org", settings.organisation)
    log.event("submission_division", rules.division)
    log.event("submission_status", "research")
    log.event("submission_platform", settings.system)
    log.event("seed", seed)
    log.event("global_batch_size", settings.global_batch_size)
    log.event("gradient_accumulation_steps", 1)
    log.event("train_samples", counts["train_samples"])
    log.event("eval_samples", counts["eval_samples"])
    log.event("model_bn_span", settings.global_batch_size)
    log.event("opt_name", settings.opt_name)
    log_hyperparameters(settings, -(-counts["train_samples"] // settings.global_batch_size), log)
    log.stop("init_stop")
    log.start("run_start")


def log_hyperparameters(settings: MlperfSettings, steps_per_epoch: int, log: RunLog) -> None:
    """The optimiser's keys, which begin with its name."""
    from spindl.mlperf.workload import decay_steps

    name = settings.opt_name
    warmup = settings.learning_rate_warmup_epochs
    log.event(f"{name}_opt_base_learning_rate", settings.base_learning_rate)
    log.event(f"{name}_opt_end_learning_rate", END_LEARNING_RATE)
    log.event(f"{name}_opt_learning_rate_decay_poly_power", POLYNOMIAL_POWER)
    log.event(f"{name}_opt_learning_rate_decay_steps", decay_steps(settings, steps_per_epoch))
    log.event(f"{name}_opt_momentum", settings.momentum)
    log.event(f"{name}_opt_weight_decay", settings.weight_decay)
    if name == "lars":
        log.event("lars_epsilon", 0.0)
        log.event("lars_opt_learning_rate_warmup_epochs", warmup)
    else:
        log.event("opt_learning_rate_warmup_epochs", warmup)


def train(settings: MlperfSettings, seed: int, folder: Path, log: RunLog) -> bool:
    """The Trainer's run."""
    import torch

    from spindl.fit import Event, Trainer
    from spindl.mlperf.workload import build_model, build_optimizer, open_split, rate_factor
    from spindl.record import EpochRecord

    keys = {"epoch_start": log.start, "epoch_stop": log.stop, "test_start": log.start, "test_stop": log.stop}

    def on_event(event: Event) -> None:
        if event.kind == "test_stop":
            log.event("eval_accuracy", event.accuracy, epoch_num=event.epoch)
        keys[event.kind](event.kind.replace("test", "eval"), epoch_num=event.epoch)

    def reached(record: EpochRecord) -> bool:
        return record.test_accuracy is not None and record.test_accuracy >= settings.target_accuracy

    data, test = open_split(settings, "train", seed), open_split(settings, "test", seed)
    module = build_model(settings, len(data.classes), data.image_shape, seed)
    optimizer = build_optimizer(settings, module)
    factor = rate_factor(settings, -(-len(data) // settings.global_batch_size))
    trainer = Trainer(
        module,
        torch.nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing),
        optimizer,
        scheduler=torch.optim.lr_scheduler.LambdaLR(optimizer, factor),
        schedule_interval="step",
        train=data,
        test=test,
        batch_size=settings.global_batch_size,
        epochs=settings.epochs,
        fill_last=True,  # rules 481
        seed=seed,
        run_dir=folder,
        device=settings.device,
        executor=settings.executor,
        threads=settings.threads,
        resume=True,
        tensorboard=False,
        progress=settings.progress,
        settings=asdict(settings),
        test_epochs=settings.evaluated,
        stop=reached,
        on_event=on_event,
    )
    epochs = trainer.fit().epochs
    return bool(epochs) and reached(epochs[-1])


def train_nothing(settings: MlperfSettings, seed: int, folder: Path, log: RunLog) -> bool:
    """The null system: the same log with accuracies drawn by chance, to see what the harness itself costs."""
    draw = random.Random(seed)
    for epoch in range(1, settings.epochs + 1):
        log.start("epoch_start", epoch_num=epoch)
        log.stop("epoch_stop", epoch_num=epoch)
        if settings.evaluated(epoch):
            log.start("eval_start", epoch_num=epoch)
            accuracy = draw.random()
            log.event("eval_accuracy", accuracy, epoch_num=epoch)
            log.stop("eval_stop", epoch_num=epoch)
            if accuracy >= settings.target_accuracy:
                return True
    return False
