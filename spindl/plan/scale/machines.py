"""Machines of boards: how many, and which chips are dead. Boards that are alike are one class; only counts are kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from spindl.machine import TopologyError, spin5
from spindl.plan.scale.network import CHIPS_PER_BOARD, XY, cut_off

BOARDS: Mapping[str, int] = {"spin5": 1, "triad": 3, "frame": 24, "cabinet": 120, "half": 600, "million": 1200}
_TRIADS = re.compile(r"(\d+)x(\d+)-triads(-mesh)?")
MANY = 24
"""Boards from which on dead chips are expected where none are given."""
DEAD_SHARE = 0.01
"""Of the chips of a large machine (J. Heathcote, PhD thesis)."""


@dataclass(frozen=True)
class Boards:
    """A machine by classes of boards.

    Attributes:
        name: as it was asked for.
        classes: chips of a board that are not used, dead or cut off (its own coordinates) -> how many boards.
    """

    name: str
    classes: Mapping[frozenset[XY], int]

    @property
    def boards(self) -> int:
        """How many boards."""
        return sum(self.classes.values())

    @property
    def chips(self) -> int:
        """Chips that work."""
        return sum((CHIPS_PER_BOARD - len(dead)) * count for dead, count in self.classes.items())

    @property
    def smallest(self) -> int:
        """Working chips of the board with the fewest."""
        return CHIPS_PER_BOARD - max(len(dead) for dead in self.classes)


def is_of_boards(name: str) -> bool:
    """Whether a name means a machine of whole boards."""
    return name in BOARDS or _TRIADS.fullmatch(name) is not None


def boards_of(name: str, dead: int | None = None, seed: int = 0) -> Boards:
    """A machine by its name: of BOARDS, or WxH-triads.

    Args:
        name: see above.
        dead: dead chips; None: none on small machines, DEAD_SHARE of large ones.
        seed: draws which. Chips with an Ethernet plug are never dead.

    Raises:
        TopologyError: no such machine, or more dead chips than it has.
    """
    match = _TRIADS.fullmatch(name)
    count = 3 * int(match[1]) * int(match[2]) if match else BOARDS.get(name, 0)
    if not count:
        raise TopologyError(f"this names no machine of boards ({', '.join(BOARDS)}, WxH-triads)", name)
    if dead is None:
        dead = round(DEAD_SHARE * count * CHIPS_PER_BOARD) if count >= MANY else 0
    chips = sorted((p.x, p.y) for p in spin5().places if not p.ethernet)
    if not 0 <= dead <= count * len(chips):
        raise TopologyError(f"{dead} chips cannot be dead", name)
    drawn = np.random.default_rng(seed).choice(count * len(chips), dead, replace=False)
    of_board: dict[int, list[XY]] = {}
    for number in drawn.tolist():
        of_board.setdefault(number // len(chips), []).append(chips[number % len(chips)])
    classes = Counter(cut_off(frozenset(each)) for each in of_board.values())
    if count > len(of_board):
        classes[frozenset()] += count - len(of_board)
    return Boards(name, dict(classes))
