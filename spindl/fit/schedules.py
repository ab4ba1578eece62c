"""torch.optim optimisers and schedulers across a checkpoint: their state as plain values, and back."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from spindl.program import State, StateError
from spindl.program.plain import NotPlain, to_plain
from spindl.train import TrainingError


def learning_rates(optimizer: torch.optim.Optimizer) -> list[float]:
    """The present rate of each parameter group."""
    return [float(group["lr"]) for group in optimizer.param_groups]


def hyper_parameters(optimizer: torch.optim.Optimizer) -> tuple[Mapping[str, Any], ...]:
    """The parameter groups without their parameters, as plain JSON values."""
    return tuple(
        {key: to_plain(value) for key, value in group.items() if key not in ("params", "param_names")}
        for group in optimizer.param_groups
    )


def scheduler_state(scheduler: Any) -> Mapping[str, Any] | None:
    """The scheduler's state_dict. Raises TrainingError if it holds what JSON cannot."""
    if scheduler is None:
        return None
    state: Mapping[str, Any] = scheduler.state_dict()
    try:
        to_plain(state)
    except NotPlain as error:
        raise TrainingError(
            f"the state of the scheduler {type(scheduler).__name__} holds '{error}', which a checkpoint cannot carry",
            "scheduler",
            "let its state_dict() return numbers, strings, lists and dicts only",
        ) from error
    return state


def restore(optimizer: torch.optim.Optimizer, scheduler: Any, state: State) -> None:
    """Hyper-parameters and schedule as they were; they are the checkpoint's, not the script's."""
    if len(state.optimizer) != len(optimizer.param_groups) or (scheduler is None) != (state.scheduler is None):
        raise StateError(
            "the checkpoint has other parameter groups, or a schedule where there is none now (or the other way round)",
            "optimizer",
            "use the settings that the run was started with, or another --run-dir",
        )
    if scheduler is not None:
        scheduler.load_state_dict(dict(state.scheduler or {}))
    for group, saved in zip(optimizer.param_groups, state.optimizer, strict=True):
        for key, value in saved.items():
            if isinstance(group.get(key), torch.Tensor):
                group[key].fill_(value)
            else:
                group[key] = value


def advance(scheduler: Any, loss: float) -> None:
    """One step of any scheduler."""
    with warnings.catch_warnings():
        # PyTorch misses a call of optimizer.step(): the step happened in integers.
        warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*before.*optimizer.step.*")
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            scheduler.step(loss)
        else:
            scheduler.step()
