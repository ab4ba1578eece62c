"""Many pieces of memory of many chips in one go: SpiNNMan keeps up to eight requests under way per Ethernet plug.

Requests to the chips of several boards, each through its own plug, take turns, so that all plugs are busy at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

from spinnman.constants import UDP_MESSAGE_MAX_SIZE
from spinnman.exceptions import SpinnmanException, SpinnmanUnexpectedResponseCodeException
from spinnman.messages.scp.impl import ReadLink, ReadMemory, WriteMemory
from spinnman.processes.abstract_multi_connection_process import AbstractMultiConnectionProcess

from spindl.machine.topology import XY

Piece = tuple[XY, int, bytes]
"""Chip, address, bytes."""
Span = tuple[XY, int, int]
"""Chip, address, number of bytes."""
Given = TypeVar("Given", Piece, tuple[Span, bytearray])
Request = tuple[Any, Callable[[Any], None] | None]
"""A request of SpiNNMan's, and what takes its answer."""
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

    def plug(self, xy: XY) -> XY:
        """The Ethernet chip through which a chip is reached."""
        connection = self._conn_selector.get_next_connection(ReadMemory((*xy, 0), 0, 4))
        return connection.chip_x, connection.chip_y

    def write(self, pieces: Iterable[Piece]) -> dict[XY, int]:
        """Writes all pieces, in any order. Returns how many bytes went through each plug."""
        by_plug = self._by_plug((each[0], each) for each in pieces)
        self._send(map(_writes, by_plug.values()))
        return {plug: sum(len(data) for _, _, data in each) for plug, each in by_plug.items()}

    def read(self, spans: Sequence[Span]) -> tuple[list[bytes], dict[XY, int]]:
        """Reads all spans. Returns them, and how many bytes came through each plug."""
        found = [bytearray(size) for _, _, size in spans]
        by_plug = self._by_plug((span[0], (span, into)) for span, into in zip(spans, found, strict=True))
        self._send(map(_reads, by_plug.values()))
        counts = {plug: sum(len(into) for _, into in each) for plug, each in by_plug.items()}
        return [bytes(each) for each in found], counts

    def _by_plug(self, given: Iterable[tuple[XY, Given]]) -> dict[XY, list[Given]]:
        plugs: dict[XY, XY] = {}
        found: dict[XY, list[Given]] = {}
        for xy, each in given:
            if xy not in plugs:
                plugs[xy] = self.plug(xy)
            found.setdefault(plugs[xy], []).append(each)
        return found

    def _send(self, by_plug: Iterable[Iterator[Request]]) -> None:
        with self._collect_responses():
            for turn in zip_longest(*by_plug):
                for each in turn:
                    if each is not None:
                        self._send_request(*each)

    def read_over_links(self, spans: Sequence[tuple[XY, int, int, int]]) -> list[bytes | None]:
        """Per (chip, link, address, bytes up to 256): what it reads of its neighbour; None if nothing answers."""
        found: list[bytes | None] = [None] * len(spans)

        def put(number: int, response: Any) -> None:
            found[number] = bytes(response.data[response.offset : response.offset + response.length])

        with self._collect_responses(check_error=False):
            for number, ((x, y), link, address, size) in enumerate(spans):
                self._send_request(ReadLink((x, y, 0), link, address, size), partial(put, number))
        return found


def _writes(pieces: Iterable[Piece]) -> Iterator[Request]:
    for (x, y), address, data in pieces:
        for at in range(0, len(data), UDP_MESSAGE_MAX_SIZE):
            yield WriteMemory((x, y, 0), address + at, data[at : at + UDP_MESSAGE_MAX_SIZE]), None


def _reads(spans: Iterable[tuple[Span, bytearray]]) -> Iterator[Request]:
    def put(into: bytearray, at: int, response: Any) -> None:
        into[at : at + response.length] = response.data[response.offset : response.offset + response.length]

    for ((x, y), address, size), into in spans:
        for at in range(0, size, UDP_MESSAGE_MAX_SIZE):
            request = ReadMemory((x, y, 0), address + at, min(UDP_MESSAGE_MAX_SIZE, size - at))
            yield request, partial(put, into, at)
