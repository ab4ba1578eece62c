"""What a report may fail with."""

from spindl.errors import SpindlError


class ReportError(SpindlError):
    """Something to report on is missing or damaged; the message names the file."""
