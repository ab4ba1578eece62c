"""Many pieces of memory of many chips in one go: SpiNNMan keeps up to eight requests under way per Ethernet plug."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from spinnman.constants import UDP_MESSAGE_MAX_SIZE
from spinnman.exceptions import SpinnmanException, SpinnmanUnexpectedResponseCodeException
from spinnman.messages.scp.impl import ReadLink, ReadMemory, WriteMemory
from spinnman.processes.abstract_multi_connection_process import AbstractMultiConnectionProcess

from spindl.machine.topology import XY

Piece = tuple[XY, int, bytes]
"""Chip, address, bytes."""
Span = tuple[XY, int, int]
"""Chip, address, number of bytes."""
FEW_RETRIES, SHORT_TIME_OUT = 2, 0.5
"""Of requests that are expected to fail."""


class SilentChips(SpinnmanException):
    """Chips whose SC&MP does not answer."""

    def __init__(self, chips: Sequence[XY]) -> None:
        self.chips = tuple(chips)
        super().__init__(f"SC&MP of {', '.join(f'chip {xy}' for xy in self.chips)} does not answer")


class Transfers(AbstractMultiConnectionProcess[Any]):
    """Requests of one kind to SC&MP on any number of chips."""

    def check_for_error(self, print_exception: bool = False) -> None:
        """Raises SilentChips if that is all that went wrong, or what SpiNNMan raises."""
        answered = any(isinstance(error, SpinnmanUnexpectedResponseCodeException) for error in self._exceptions)
        if self._exceptions and not answered:
            raise SilentChips(self._failed())
        super().check_for_error(print_exception)

    def _failed(self) -> list[XY]:
        headers = [request.sdp_header for request in self._error_requests]
        return sorted({(header.destination_chip_x, header.destination_chip_y) for header in headers})

    def silent(self, chips: Sequence[XY], address: int) -> list[XY]:
        """Those of some chips that do not let a word be read."""
        with self._collect_responses(check_error=False):
            for x, y in chips:
                self._send_request(ReadMemory((x, y, 0), address, 4))
        return self._failed()

    def write(self, pieces: Iterable[Piece]) -> int:
        """Writes all pieces, in any order. Returns how many bytes they are."""
        total = 0
        with self._collect_responses():
            for (x, y), address, data in pieces:
                total += len(data)
                for at in range(0, len(data), UDP_MESSAGE_MAX_SIZE):
                    self._send_request(WriteMemory((x, y, 0), address + at, data[at : at + UDP_MESSAGE_MAX_SIZE]))
        return total

    def read(self, spans: Sequence[Span]) -> list[bytes]:
        """Reads all spans."""
        found = [bytearray(size) for _, _, size in spans]

        def put(into: bytearray, at: int, response: Any) -> None:
            into[at : at + response.length] = response.data[response.offset : response.offset + response.length]

        with self._collect_responses():
            for ((x, y), address, size), into in zip(spans, found, strict=True):
                for at in range(0, size, UDP_MESSAGE_MAX_SIZE):
                    request = ReadMemory((x, y, 0), address + at, min(UDP_MESSAGE_MAX_SIZE, size - at))
                    self._send_request(request, partial(put, into, at))
        return [bytes(each) for each in found]

    def read_over_links(self, spans: Sequence[tuple[XY, int, int, int]]) -> list[bytes | None]:
        """Per (chip, link, address, bytes up to 256): what it reads of its neighbour; None if nothing answers."""
        found: list[bytes | None] = [None] * len(spans)

        def put(number: int, response: Any) -> None:
            found[number] = bytes(response.data[response.offset : response.offset + response.length])

        with self._collect_responses(check_error=False):
            for number, ((x, y), link, address, size) in enumerate(spans):
                self._send_request(ReadLink((x, y, 0), link, address, size), partial(put, number))
        return found
