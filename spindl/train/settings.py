"""What a user decides about training, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from spindl.errors import SpindlError


class TrainingError(SpindlError):
    """A loss, an optimiser or a setting that has no integer meaning here."""


@dataclass(frozen=True)
class Formats:
    """Mantissa bits including the sign (8..16) and the images per gradient group.

    Attributes:
        activations, weights, gradients: bits of the int16 tensors.
        group_size: consecutive images whose weight gradient is summed exactly before its one rounding to 16 bits.
    """

    activations: int = 15
    weights: int = 14
    gradients: int = 15
    group_size: int = 1

    def __post_init__(self) -> None:
        for name in ("activations", "weights", "gradients"):
            bits = getattr(self, name)
            if not 8 <= bits <= 16:
                raise TrainingError(f"{name} of {bits} bits", "formats", "choose 8 to 16 bits")
        if self.group_size < 1:
            raise TrainingError(f"gradient group of {self.group_size} images", "formats", "choose 1 or more")


LossKind = Literal["cross_entropy", "squared_error", "binary_cross_entropy"]


@dataclass(frozen=True)
class Loss:
    """The loss at the end of the network.

    Attributes:
        kind: cross_entropy (logits, class labels), squared_error or binary_cross_entropy (logits, targets in [0, 1]).
        smoothing: label smoothing of cross_entropy.
        probabilities: binary_cross_entropy after a final sigmoid, as torch.nn.BCELoss has it: the sigmoid joins the
        loss.
    """

    kind: LossKind
    smoothing: float = 0.0
    probabilities: bool = False


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share hyper-parameters; their values come with each step as scalars.

    Attributes:
        kind: sgd (PyTorch's) or lars (as MLPerf defines it).
        parameters: state_dict keys.
        momentum: whether there is a momentum buffer.
        nesterov: Nesterov's form of momentum.
        adapt: lars only: scale by the trust ratio (off for biases and BatchNorm).
        eta, eps: lars only: trust coefficient, and what is added to the norm below.
    """

    kind: Literal["sgd", "lars"]
    parameters: tuple[str, ...]
    momentum: bool = True
    nesterov: bool = False
    adapt: bool = False
    eta: float = 0.001
    eps: float = 0.0
