"""What can go wrong in comparing systems."""

from __future__ import annotations

from spindl.errors import SpindlError


class SystemsError(SpindlError):
    """A machine without a prediction, or a table or plot that cannot be written."""
