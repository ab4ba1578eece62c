"""LARS in float32 for PyTorch, as MLPerf's ResNet-50 defines it: the float twin of the integer update.

For a weight w with gradient g (You, Gitman, Ginsburg, arXiv:1708.03888; MLPerf's form keeps the learning rate in
the momentum
buffer): trust = eta * |w| / (|g| + weight_decay * |w| + eps), v = momentum * v + lr * trust * (g + weight_decay *
w), w = w - v.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


class LARS(torch.optim.Optimizer):
    """Layer-wise adaptive rate scaling.

    Args:
        params: parameters or groups. A group with adapt=False (biases, BatchNorm) takes plain momentum steps (trust
        = 1).
        lr: learning rate.
        momentum: factor of the buffer.
        weight_decay: L2 penalty, part of the gradient and of the trust ratio.
        eta: trust coefficient.
        eps: added to the norm below; MLPerf fixes 0.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 0.001,
        eps: float = 0.0,
        *,
        adapt: bool = True,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "eta": eta,
            "eps": eps,
            "adapt": adapt,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update from the gradients in `.grad`."""
        loss = None if closure is None else closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                trust: Any = 1.0
                if group["adapt"]:
                    weight, gradient = parameter.norm(), parameter.grad.norm()
                    below = gradient + group["weight_decay"] * weight + group["eps"]
                    trust = torch.where(
                        (weight > 0) & (gradient > 0), group["eta"] * weight / below, torch.ones_like(weight)
                    )
                step = group["lr"] * trust * (parameter.grad + group["weight_decay"] * parameter)
                buffer = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
                buffer.mul_(group["momentum"]).add_(step)
                parameter.sub_(buffer)
        return loss
