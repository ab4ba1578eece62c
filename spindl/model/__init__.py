"""The model room: a PyTorch module in, a forward Graph out, or a list of everything that stands in the way."""

from spindl.model.builtin import BUILTIN
from spindl.model.check import capture, check
from spindl.model.errors import ModelError, WeightsError
from spindl.model.finding import Finding, UnsupportedModel, describe_findings
from spindl.model.load import load_model, load_weights

__all__ = [
    "BUILTIN",
    "Finding",
    "ModelError",
    "UnsupportedModel",
    "WeightsError",
    "capture",
    "check",
    "describe_findings",
    "load_model",
    "load_weights",
]
