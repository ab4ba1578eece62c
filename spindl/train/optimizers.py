"""torch.optim objects as plain data: parameter groups once, scalars for every step."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from spindl.graph.operations import Value
from spindl.number import pairs
from spindl.train.settings import ParameterGroup, TrainingError

SCALAR_BITS = 15


def scalar(value: Fraction) -> Value:
    """A rational number as 15-bit mantissa and exponent."""
    mantissa, exponent = pairs.from_fraction(value, SCALAR_BITS)
    return Value(np.array(mantissa), exponent)


def read_optimizer(optimizer: Any, module: Any) -> tuple[ParameterGroup, ...]:
    """The parameter groups of a torch.optim.SGD or spindl.LARS, with state_dict keys in place of tensors.

    Parameters with requires_grad=False are left out (and so never updated).

    Raises:
        TrainingError: another optimiser, an option without integer meaning, a parameter that is not the module's.
    """
    kind = type(optimizer).__name__
    if kind not in ("SGD", "LARS"):
        raise TrainingError(
            f"the optimiser {kind} has no integer meaning here", "optimizer", "use torch.optim.SGD or spindl.LARS"
        )
    keys = {id(parameter): name for name, parameter in module.named_parameters()}
    groups = []
    for number, group in enumerate(optimizer.param_groups):
        where = f"optimizer, parameter group {number}"
        for option in ("dampening", "maximize", "differentiable"):
            if group.get(option):
                raise TrainingError(f"{option}={group[option]}", where, f"leave {option} at its default")
        if not 0 <= float(group["momentum"]) < 1:
            raise TrainingError(f"momentum of {group['momentum']}", where, "choose 0 <= momentum < 1")
        names = []
        for parameter in group["params"]:
            if id(parameter) not in keys:
                raise TrainingError(
                    "the optimiser holds a parameter that is not the model's", where, "build it from model.parameters()"
                )
            if parameter.requires_grad:
                names.append(keys[id(parameter)])
        groups.append(
            ParameterGroup(
                "lars" if kind == "LARS" else "sgd",
                tuple(names),
                momentum=float(group["momentum"]) > 0,
                nesterov=bool(group.get("nesterov", False)),
                adapt=bool(group.get("adapt", False)),
                eta=float(group.get("eta", 0.001)),
                eps=float(group.get("eps", 0.0)),
            )
        )
    return tuple(groups)


def step_scalars(optimizer: Any, batch: int, previous_batch: int | None = None) -> dict[str, Value]:
    """The scalars of one step from the optimiser's present hyper-parameters (so that any scheduler works).

    Args:
        optimizer: torch.optim.SGD or spindl.LARS.
        batch: images B of this step's batch.
        previous_batch: images of the step before. The momentum buffer holds B times PyTorch's, so a change of B
        rescales it.

    Returns:
        "rate/<g>" = lr / B, "decay/<g>" = B * weight decay, "momentum/<g>".

    Raises:
        TrainingError: a value is negative or not finite, or the batch changes size under Nesterov momentum, whose two
            uses of the factor would then differ.
    """
    result: dict[str, Value] = {}
    for number, group in enumerate(optimizer.param_groups):
        rate, decay, momentum = (_exact(group[name], name, number) for name in ("lr", "weight_decay", "momentum"))
        if type(optimizer).__name__ != "LARS" and previous_batch and previous_batch != batch:
            if group.get("nesterov"):
                raise TrainingError(
                    f"a batch of {batch} images after one of {previous_batch} under Nesterov momentum",
                    f"optimizer, parameter group {number}",
                    "keep the batch size, or use momentum without nesterov=True",
                )
            momentum = momentum * batch / previous_batch
        result[f"rate/{number}"] = scalar(rate / batch)
        result[f"decay/{number}"] = scalar(decay * batch)
        result[f"momentum/{number}"] = scalar(momentum)
    return result


def _exact(value: Any, name: str, number: int) -> Fraction:
    number_value = float(value)
    if not np.isfinite(number_value) or number_value < 0:
        raise TrainingError(
            f"{name} of {number_value}", f"optimizer, parameter group {number}", "choose a finite value >= 0"
        )
    return Fraction(number_value)
