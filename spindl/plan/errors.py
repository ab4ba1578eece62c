"""What a plan may fail with."""

from spindl.errors import SpindlError


class PlanError(SpindlError):
    """A graph cannot be planned for this machine; the message names the layer."""


class TooLarge(PlanError):
    """Something does not fit.

    Attributes:
        needed, available: bytes.
    """

    def __init__(self, what: str, where: str, remedy: str, needed: int, available: int) -> None:
        self.needed, self.available = needed, available
        super().__init__(
            f"{what}: {needed:,} bytes are needed, {available:,} are there, {needed - available:,} too many",
            where,
            remedy,
        )
