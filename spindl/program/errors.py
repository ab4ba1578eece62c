"""What can go wrong with the files of a run.

ProgramError      a program file is damaged or of another version
StateError        a checkpoint is damaged, or belongs to another model
RunFolderError    the run folder cannot be written
"""

from __future__ import annotations

from collections.abc import Sequence

from spindl.errors import SpindlError


class ProgramError(SpindlError):
    """A program file is missing, damaged or of another version; `where` is the file."""


class StateError(SpindlError):
    """A checkpoint cannot be used; `where` is the file.

    Attributes:
        previous: the newest good checkpoint before it; empty if there is none.
        differences: what differs from the model, first things first; empty for damage.
    """

    def __init__(
        self, what: str, where: str = "", remedy: str = "", *, previous: str = "", differences: Sequence[str] = ()
    ) -> None:
        self.previous, self.differences = previous, tuple(differences)
        super().__init__("\n  ".join([what, *self.differences]), where, remedy)


class RunFolderError(SpindlError):
    """The run folder cannot be written, or holds another run; `where` is the file or folder."""
