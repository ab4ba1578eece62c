"""What crosses between chips, and how long it takes: gradients and weights by bandwidth, statistics by latency.

All of it is modelled. On a board a ring passes through all working chips, used in both directions. Gradients go round
it as int32 partial sums (reduce-scatter), new weights as int16 (all-gather), both in packets of four bytes. Between
boards each shard has a ring of its own through the chip links of a board's edge. Statistics are summed up a tree and
come back by multicast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from spindl.machine import CHIP, spin5
from spindl.plan.errors import PlanError
from spindl.plan.network import ring_through
from spindl.program import costs

XY = tuple[int, int]
CHIPS_PER_BOARD = 48
_TURNS = 200_000  # rotations until a ring is given up
SYMBOLS = 19
"""Symbols of a packet with payload on a link (AppNote 7)."""
BOARD_LINKS = 48
"""Chip links that leave a board, 8 on each of its 6 cables."""
CROSSING_LINKS = BOARD_LINKS // 3
"""Links that rings along one of the three axes use: one cable out, one in."""


@dataclass(frozen=True)
class Links:
    """Rates of the network.

    Attributes:
        words: 4-byte words per second and direction of a chip link.
        core_words: words per second that a communication core passes on.
        cores: communication cores of a chip.
        hop: seconds from chip to chip.
    """

    words: float
    core_words: float
    cores: int
    hop: float

    @property
    def ring(self) -> float:
        """Words per second through a chip of a ring that is used in both directions."""
        return min(2 * self.words, self.cores * self.core_words)


def links(cores: int, symbol: float = CHIP.symbol_time.value, hop: float = CHIP.hop_latency.value) -> Links:
    """The network with so many communication cores; symbol: seconds of one symbol of a link."""
    return Links(1 / (SYMBOLS * symbol), CHIP.clock.value / costs.PASS_ON_WORD, cores, hop)


def reduce_seconds(words: int, chips: int, boards: int, net: Links) -> float:
    """Sums of `words` int32 over all chips, each left on its owner."""
    return words * (chips - 1) / chips / net.ring + _between(words, boards, net)


def gather_seconds(words: int, chips: int, boards: int, net: Links) -> float:
    """New int16 weights from their owners to all chips."""
    return words / 2 * (chips - 1) / chips / net.ring + _between(words // 2, boards, net)


def _between(words: int, boards: int, net: Links) -> float:
    """Half of an all-reduce around the rings of boards: every word leaves each board once."""
    if boards == 1:
        return 0.0
    rate = min(CROSSING_LINKS * net.words, CHIPS_PER_BOARD * net.ring)
    return words * (boards - 1) / boards / rate


def tree_seconds(words: int, chips: int, boards: int, net: Links) -> float:
    """Sums of a few words over all chips, and back to all: two children a chip, then one multicast."""
    levels = max(1, (chips - 1).bit_length()) + (boards - 1).bit_length()
    hops = levels * 2 if boards == 1 else levels * 2 + round((boards * chips) ** 0.5)
    up = 2 * words / min(net.words, net.cores * net.core_words)
    down = words / min(net.words, net.core_words)
    return up + down + 2 * hops * net.hop + 2 * levels * STEP_SECONDS


STEP_SECONDS = 3 * costs.STEP / CHIP.clock.value
"""Of a chip to take a block and pass it on, besides its words: three steps of the walker."""


def cut_off(dead: frozenset[XY]) -> frozenset[XY]:
    """The dead chips of a board and those that they leave with fewer than two neighbours: no ring passes there."""
    near = {(p.x, p.y): {n for n in p.neighbours if n is not None} for p in spin5().places}
    while True:
        lost = {xy for xy, around in near.items() if xy not in dead and len(around - dead) < 2}
        if not lost:
            return dead
        dead |= lost


@cache
def board_ring(dead: frozenset[XY] = frozenset()) -> tuple[XY, ...]:
    """A ring of neighbours through all working chips of a board, as chip coordinates.

    Raises:
        PlanError: there is none.
    """
    chips = {(p.x, p.y): [n for n in p.neighbours if n is not None] for p in spin5().places}
    alive = {xy: sorted(n for n in near if n not in dead) for xy, near in chips.items() if xy not in dead}
    found = ring_through(alive, _TURNS) if alive else None
    if found is None:
        raise PlanError(f"no ring passes through a board without {sorted(dead)}", "plan", "use a chip less")
    return found
