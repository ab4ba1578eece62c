"""Streams: how blocks of words travel between cores as multicast packets, so that no packet is lost quietly.

A block is up to 1,023 words. Each word is one packet with a 32-bit payload; its key says where the word belongs:

    key[31:14] stream   key[13:10] block number modulo 16   key[9:0] place in the block

Place 0 carries the block's head: its number of words (low 10 bits) and a checksum of them (high 22 bits). It is sent
last: who gets it and lacks words knows that they are lost. Packets may come in any order and more than once. A
receiver places by index, ignores repeats, and acknowledges a block when all of it is there and its checksum is right;
until then the sender keeps it, sends again the places that the receiver names, and says the head again each
millisecond.

Data streams have even numbers; stream + 1 leads back, from the receivers to the sender, with the block's number:

    readiness         place 1023, payload = receiver: it listens to the block from now on
    acknowledgement   place 0, payload = check << 16 | receiver
    request           first missing place, payload = 1 << 31 | check << 16 | number of places << 5 | receiver

A sender waits for the readiness of all receivers before the first word; after one to two milliseconds it sends anyway,
for a readiness may be lost: words that nobody listens to would be lost, and hold up the receiver's router.

The check of an acknowledgement is the upper 15 bits of the block's head; that of a request comes from the block's key.
The checksum contains the number of the run (that of the host's command, equal on all cores), the words and their keys.
So what is left in the network of a block with the same number, an earlier one or one of the step before, is never
taken for a part of this block, and its acknowledgement never for that of this one.

The kernels `send`, `listen` and `receive` of the runtime do this on the cores.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from spindl.program.errors import ProgramError

STREAM_VERSION = 4
"""Raised whenever the key or the head changes."""
RUN_FACTOR = 2654435761
"""2^32 over the golden ratio: spreads the number of a run over the checksum."""
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


def head(stream: int, block: int, words: Sequence[int], run: int = 1) -> int:
    """Number of words and checksum: the sum of the words, each times 2 key + 1, modulo 2^32, its upper 22 bits.

    Damage stays unseen in one case of 2^22. Two words that took each other's places are found unless they differ by
    a multiple of 2^31 over their distance.
    """
    first = key(stream, block, 1)
    total = run * RUN_FACTOR + sum((2 * (first + i) + 1) * word for i, word in enumerate(words))
    return total & 0xFFFFFFFF & ~LARGEST_BLOCK | len(words)


def acknowledgement(stream: int, block: int, receiver: int, head: int) -> Packet:
    """What a receiver (0 to 31) sends back when it has the block with this head."""
    return key(stream + 1, block, 0), head >> 17 << 16 | receiver


def request(stream: int, block: int, receiver: int, first: int, places: int) -> Packet:
    """A receiver (0 to 31) asks for `places` places from `first` on."""
    check = (key(stream, block, 0) >> PLACE_BITS ^ 0x5A5A) & 0x7FFF
    return key(stream + 1, block, first), 1 << 31 | check << 16 | places << 5 | receiver


def packets(stream: int, block: int, words: Sequence[int], run: int = 1) -> list[Packet]:
    """All packets of a block, its head last. Raises ProgramError for an empty or too long block."""
    if not 1 <= len(words) <= LARGEST_BLOCK:
        raise ProgramError(f"a block of {len(words)} words; 1 to {LARGEST_BLOCK} are possible", f"stream {stream}")
    data = [(key(stream, block, place), word) for place, word in enumerate(words, 1)]
    return [*data, (key(stream, block, 0), head(stream, block, words, run))]


@dataclass
class Receiver:
    """Collects one stream's blocks in order; the definition of what a receiving core does.

    Attributes:
        stream: its number.
        block: number of the block that is being received.
        run: number of the run.
        repeats, strays: packets that were there already, and packets of other streams or blocks.
    """

    stream: int
    block: int = 0
    run: int = 1
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
        return [place for place in range(1, (self._places[0] & LARGEST_BLOCK) + 1) if place not in self._places]

    def finish(self) -> list[int]:
        """The complete block's words; afterwards the next block is received.

        Raises:
            ProgramError: something is missing, or the checksum is another.
        """
        if self.missing():
            raise ProgramError(f"block {self.block} lacks places {self.missing()[:8]}", f"stream {self.stream}")
        words = [self._places[place] for place in range(1, (self._places[0] & LARGEST_BLOCK) + 1)]
        if head(self.stream, self.block, words, self.run) != self._places[0]:
            raise ProgramError(f"block {self.block} has another checksum", f"stream {self.stream}")
        self.block, self._places = self.block + 1, {}
        return words
