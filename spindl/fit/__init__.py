"""Training: a module, a loss and an optimiser in; trained weights, a Record and a folder of the run out.

`trainer.Trainer` is what users call, `loop` its loop over epochs and steps.
"""

from spindl.fit.loop import Event, Interrupted
from spindl.fit.trainer import CHECKPOINTS, SETTINGS_FILE, WEIGHTS_FILE, Trainer, module_arrays

__all__ = ["CHECKPOINTS", "SETTINGS_FILE", "WEIGHTS_FILE", "Event", "Interrupted", "Trainer", "module_arrays"]
