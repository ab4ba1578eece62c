"""What can go wrong before a model is there to be checked."""

from __future__ import annotations

from collections.abc import Sequence

from spindl.errors import SpindlError


class ModelError(SpindlError):
    """The model that was asked for cannot be built: no such name, file or function, or its code fails."""


class WeightsError(SpindlError):
    """A weights file cannot be read, or is not for this model.

    Attributes:
        missing: keys the model has and the file has not.
        unexpected: keys the file has and the model has not.
        different: for keys in both, "key: file shape, model shape" (or dtype) where these disagree.
    """

    def __init__(
        self,
        what: str,
        where: str = "",
        remedy: str = "",
        *,
        missing: Sequence[str] = (),
        unexpected: Sequence[str] = (),
        different: Sequence[str] = (),
    ) -> None:
        self.missing, self.unexpected, self.different = tuple(missing), tuple(unexpected), tuple(different)
        super().__init__(what, where, remedy)
