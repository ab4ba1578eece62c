"""Memories of chips (`spindl.run.chip.Memory`) for transfers of all chips in one go."""

from __future__ import annotations

from spindl.machine.topology import XY
from spindl.run.hosted.transfers import Piece, Span


class Pieces:
    """A chip's memory that keeps what is written, for one transfer of everything."""

    def __init__(self, xy: XY, base: int) -> None:
        self._xy, self._base = xy, base
        self.pieces: list[Piece] = []

    def read(self, address: int, size: int) -> bytes:
        """Not there."""
        raise NotImplementedError

    def write(self, address: int, data: bytes) -> None:
        """Keeps it."""
        self.pieces.append((self._xy, self._base + address, data))


class Asked:
    """A memory that notes what is read of it, and holds zeros."""

    def __init__(self, xy: XY, base: int, spans: list[Span]) -> None:
        self._xy, self._base, self._spans = xy, base, spans

    def read(self, address: int, size: int) -> bytes:
        """Zeros."""
        self._spans.append((self._xy, self._base + address, size))
        return bytes(size)

    def write(self, address: int, data: bytes) -> None:
        """Not meant to be."""
        raise NotImplementedError


class Fetched:
    """A memory that gives what was fetched, in the order in which it was asked for."""

    def __init__(self, data: object) -> None:
        self._data = data

    def read(self, address: int, size: int) -> bytes:
        """The next piece."""
        piece = next(self._data)  # type: ignore[call-overload]
        assert isinstance(piece, bytes)
        assert len(piece) == size
        return piece

    def write(self, address: int, data: bytes) -> None:
        """Not meant to be."""
        raise NotImplementedError
