"""Requests to a slow machine are late by its own time, not by the host's alone."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from itertools import count

import pytest

pytest.importorskip("spinnman")

from spinnman.connections.udp_packet_connections import SCAMPConnection
from spinnman.exceptions import SpinnmanTimeoutException

from spindl.run.hosted.patience import ANSWER_SECONDS, later, make_patient

SHORT = 0.002
TICKS = 20


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        yield made


def test_a_request_is_late_when_the_machines_time_is_over_as_well(silent: socket.socket) -> None:
    times: list[float] = []

    def clock() -> float:
        times.append(len(times) * ANSWER_SECONDS / TICKS)
        return times[-1]

    connection = SCAMPConnection(remote_host="127.0.0.1", remote_port=silent.getsockname()[1])
    make_patient([connection], clock)
    with pytest.raises(SpinnmanTimeoutException):
        connection.receive_scp_response(SHORT)
    assert len(times) >= TICKS
    assert times[-2] < times[0] + ANSWER_SECONDS <= times[-1] + 1e-9
    connection.close()


def test_an_answer_behind_the_hosts_time_out_still_counts(silent: socket.socket) -> None:
    connection = SCAMPConnection(remote_host="127.0.0.1", remote_port=silent.getsockname()[1])
    asked = count()

    def clock() -> float:
        if next(asked) == 3:  # three of the host's time-outs are over
            header = bytes(10) + struct.pack("<HH", 0x80, 77)
            silent.sendto(header, ("127.0.0.1", connection.local_port))
        return 0.0

    make_patient([connection], clock)
    result, sequence, _, _ = connection.receive_scp_response(SHORT)
    assert (result.name, sequence) == ("RC_OK", 77)
    assert next(asked) == 4
    connection.close()


def test_a_clock_that_stands_still_ends_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spindl.run.hosted.patience.STILL_SECONDS", -1.0)
    assert later(lambda: 0.0, 1.0)()
