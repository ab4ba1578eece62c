"""Graph -> training graph: layer rules with gradients, losses, optimisers, formats, and the State values they start
from."""

from typing import TYPE_CHECKING, Any

from spindl.train.losses import read_loss
from spindl.train.optimizers import read_optimizer, step_scalars
from spindl.train.rules import RULES
from spindl.train.settings import Formats, Loss, ParameterGroup, TrainingError
from spindl.train.state import float_parameters, initial_state
from spindl.train.transform import evaluation_graph, layers_graph, training_graph, with_frozen

if TYPE_CHECKING:
    from spindl.train.lars import LARS

__all__ = [
    "LARS",
    "RULES",
    "Formats",
    "Loss",
    "ParameterGroup",
    "TrainingError",
    "evaluation_graph",
    "float_parameters",
    "initial_state",
    "layers_graph",
    "read_loss",
    "read_optimizer",
    "step_scalars",
    "training_graph",
    "with_frozen",
]


def __getattr__(name: str) -> Any:
    """LARS is a torch class; it is imported when it is asked for, so that planning a saved graph needs no torch."""
    if name == "LARS":
        from spindl.train.lars import LARS

        return LARS
    raise AttributeError(name)
