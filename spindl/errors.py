"""The errors that a user of spindl can meet.

Every error says what happened, where, and what to do; subclasses add their own fields. The tree:

    SpindlError
    ├── graph.GraphError          a Graph breaks a rule of the op table
    ├── model.UnsupportedModel    the PyTorch model holds something that cannot be trained exactly
    ├── data.DataError            a dataset is missing, damaged or does not fit
    ├── program.StateError        a checkpoint is damaged, or belongs to another model
    ├── program.toolchain.ImageError   the program of the cores cannot be built, or its file is damaged
    ├── train.TrainingError       a loss, optimiser or setting that has no integer meaning
    └── run.RunError              an executor cannot go on
"""

from __future__ import annotations


class SpindlError(Exception):
    """Something the user can act on.

    Attributes:
        what: what happened, with the numbers.
        where: the layer, file or setting it happened in; empty if the message says it already.
        remedy: what to do about it; empty if there is nothing.
    """

    def __init__(self, what: str, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(what, where, remedy)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}\n  -> {self.remedy}" if self.remedy else text
