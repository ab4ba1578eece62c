"""What can go wrong with an emulated machine, for its user."""

from __future__ import annotations

from spindl.errors import SpindlError


class EmulatorError(SpindlError):
    """The emulator cannot go on.

    `label` says whose problem it is: "program error", "undefined behaviour", "unimplemented", "configuration" or
    "emulator bug".
    """

    def __init__(self, what: str, where: str = "", remedy: str = "", label: str = "configuration") -> None:
        self.label = label
        super().__init__(f"{label}: {what}", where, remedy)


class PortTaken(EmulatorError):
    """A UDP port of the machine is used by another program.

    Attributes:
        endpoint: "address:port".
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        self.endpoint = endpoint
        super().__init__(
            f"cannot listen on {endpoint} (UDP): {reason}",
            remedy="another emulated machine may be running there; choose another address (host=, --host)",
        )


class ImageMissing(EmulatorError):
    """The SC&MP boot image was not found: SpiNNMan, which brings it, is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "the SC&MP boot image is part of SpiNNMan, which is not installed",
            remedy='pip install "spinnman==1!7.4.1"',
        )
