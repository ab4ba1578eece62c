"""SpiNNMan's time-outs for a machine whose time passes more slowly than the host's.

An emulated machine under load may take seconds of wall-clock time for the millisecond in which SC&MP answers. A request
to it is late only when enough of the machine's own time has passed as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any

from spinnman.connections.udp_packet_connections import SCAMPConnection
from spinnman.exceptions import SpinnmanTimeoutException

ANSWER_SECONDS = 0.05
"""Machine's seconds in which SC&MP answers: it takes well below a millisecond for one request, and eight wait at most;
the rest is for its own repeats between chips."""
STILL_SECONDS = 60.0
"""Wall-clock seconds that the machine's time may stand still."""

Clock = Callable[[], float]
"""Seconds of a machine's own time."""


def later(clock: Clock, seconds: float) -> Callable[[], bool]:
    """A function that says whether so many seconds of a clock have passed from now on, or the clock stands still."""
    begun = last = clock()
    moved_at = monotonic()

    def passed() -> bool:
        nonlocal last, moved_at
        now = clock()
        if now != last:
            last, moved_at = now, monotonic()
        return now - begun >= seconds or monotonic() - moved_at > STILL_SECONDS

    return passed


def make_patient(connections: Iterable[object], clock: Clock) -> None:
    """Lets SCP connections of SpiNNMan's wait until `clock` has gone on by ANSWER_SECONDS, too."""

    class Patient(SCAMPConnection):
        """A connection whose time-outs also look at the machine's time."""

        __slots__ = ()

        def receive_scp_response(self, timeout: float | None = 1.0) -> Any:
            """See SpiNNMan's. Raises SpinnmanTimeoutException when both times are over."""
            passed = later(clock, ANSWER_SECONDS)
            while True:
                try:
                    return super().receive_scp_response(timeout)
                except SpinnmanTimeoutException:
                    if passed():
                        raise

    for connection in connections:
        if isinstance(connection, SCAMPConnection):
            connection.__class__ = Patient
