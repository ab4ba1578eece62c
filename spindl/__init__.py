"""spindl: train and run deep networks on SpiNNaker in all-integer arithmetic.

The names here are imported when they are asked for: `import spindl` alone does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spindl.errors import SpindlError

if TYPE_CHECKING:
    from spindl.emulator import emulate
    from spindl.fit import Trainer
    from spindl.infer.predictor import Predictor
    from spindl.train import Formats
    from spindl.train.lars import LARS

__all__ = ["LARS", "Formats", "Predictor", "SpindlError", "Trainer", "emulate"]

_HOMES = {
    "LARS": "spindl.train.lars",
    "Formats": "spindl.train",
    "Predictor": "spindl.infer.predictor",
    "Trainer": "spindl.fit",
    "emulate": "spindl.emulator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'spindl' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
