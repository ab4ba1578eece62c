"""Streams: how blocks of words travel between cores as multicast packets, so that no packet is lost quietly.

A block is up to 1,023 words. Each word is one packet with a 32-bit payload; its key says where the word belongs:

    key[31:14] stream   key[13:10] block number modulo 16   key[9:0] place in the block

Place 0 carries the block's head: its number of words (low 16 bits) and a 16-bit checksum of them (high 16 bits).
Packets may come in any order and more than once. A receiver places by index, ignores repeats, and acknowledges a
block when all of it is there; until then the sender keeps it, and sends again the places that the receiver names.

Data streams have even numbers; stream + 1 leads back, from the receivers to the sender, with the block's number:

    acknowledgement   place 0, payload = check << 16 | receiver
    request           first missing place, payload = 1 << 31 | check << 16 | number of places << 5 | receiver

The check, 15 bits, is that of the block's key: a word whose key was changed on its way is not taken for an answer.

The kernels `send`, `listen` and `receive` of the runtime do this on the cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spindl.program.errors import ProgramError

STREAM_VERSION = 2
"""Raised whenever the key or the head changes."""
STREAM_BITS, BLOCK_BITS, PLACE_BITS = 18, 4, 10
LARGEST_BLOCK = (1 << PLACE_BITS) - 1
BLOCK_NUMBERS = 1 << BLOCK_BITS
STREAM_MASK = (1 << STREAM_BITS) - 1 << (BLOCK_BITS + PLACE_BITS)
"""Bits of a key that say which stream: the mask of its router entries."""

FIRST_STREAM = 64
"""Even; in exchanges between chips, chip c sends stream FIRST_STREAM + 2 c, and is answered by the one behind it."""

Packet = tuple[int, int]
"""(key, payload), both 32 bits."""


def key(stream: int, block: int, place: int) -> int:
    """The routing key of one packet. Raises ProgramError for a stream or place that has no key."""
    if not 0 <= stream < 1 << STREAM_BITS or not 0 <= place < 1 << PLACE_BITS:
        raise ProgramError(f"stream {stream}, place {place}: no such key", "stream")
    return stream << (BLOCK_BITS + PLACE_BITS) | block % BLOCK_NUMBERS << PLACE_BITS | place


def checksum(words: Sequence[int]) -> int:
    """Sum of the words' halves, each times its place, modulo 2^16 - 1: finds changed and exchanged words."""
    return sum((2 * i + 1) * (w & 0xFFFF) + (2 * i + 2) * (w >> 16) for i, w in enumerate(words)) % 0xFFFF


def answer(stream: int, block: int, receiver: int, first: int = 0, places: int = 0) -> Packet:
    """What a receiver (0 to 31) sends back: an acknowledgement, or a request for `places` places from `first` on."""
    check = (key(stream, block, 0) >> PLACE_BITS ^ 0x5A5A) & 0x7FFF
    return key(stream + 1, block, first), (places > 0) << 31 | check << 16 | places << 5 | receiver


def packets(stream: int, block: int, words: Sequence[int]) -> list[Packet]:
    """All packets of a block, its head first. Raises ProgramError for an empty or too long block."""
    if not 1 <= len(words) <= LARGEST_BLOCK:
        raise ProgramError(f"a block of {len(words)} words; 1 to {LARGEST_BLOCK} are possible", f"stream {stream}")
    head = checksum(words) << 16 | len(words)
    return [(key(stream, block, place), word) for place, word in enumerate((head, *words))]


@dataclass
class Receiver:
    """Collects one stream's blocks in order; the definition of what a receiving core does.

    Attributes:
        stream: its number.
        block: number of the block that is being received.
        repeats, strays: packets that were there already, and packets of other streams or blocks.
    """

    stream: int
    block: int = 0
    repeats: int = 0
    strays: int = 0
    _places: dict[int, int] = field(default_factory=dict)

    def take(self, arrived: Iterable[Packet]) -> None:
        """Place some packets. Raises ProgramError if two packets of one place differ: the network changed one."""
        first = key(self.stream, self.block, 0)
        for packet_key, payload in arrived:
            place = packet_key - first
            if not 0 <= place <= LARGEST_BLOCK:
                self.strays += 1
            elif place in self._places:
                self.repeats += 1
                if self._places[place] != payload:
                    raise ProgramError(f"place {place} arrived with two payloads", f"stream {self.stream}")
            else:
                self._places[place] = payload

    def missing(self) -> list[int]:
        """Places that have not come; [0] as long as not even the head has (the length is unknown until then)."""
        if 0 not in self._places:
            return [0]
        return [place for place in range(1, (self._places[0] & 0xFFFF) + 1) if place not in self._places]

    def finish(self) -> list[int]:
        """The complete block's words; afterwards the next block is received.

        Raises:
            ProgramError: something is missing, or the checksum is another.
        """
        if self.missing():
            raise ProgramError(f"block {self.block} lacks places {self.missing()[:8]}", f"stream {self.stream}")
        head = self._places[0]
        words = [self._places[place] for place in range(1, (head & 0xFFFF) + 1)]
        if checksum(words) != head >> 16:
            raise ProgramError(f"block {self.block} has another checksum", f"stream {self.stream}")
        self.block, self._places = self.block + 1, {}
        return words
