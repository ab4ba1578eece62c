"""Delayed scaling: the exponent a tensor gets in step t depends on the steps before t only.

A *site* is a place where values are rounded (each `requantise` node has one). Its state is the exponent in use and the
extents of the last 16 steps; the extent of a tensor is e + bit_length(max |m|), taken on the exact sum before
saturation. The next exponent leaves `headroom` bits above the largest of them.
"""

from __future__ import annotations

from typing import Final

HISTORY: Final = 16
"""Steps that the maximum is taken over (NUMERICS trials: 16 with one bit of headroom saturates about 1e-9 of the
elements)."""
EMPTY: Final = -32768
"""The extent of an all-zero tensor, and of a step that has not happened."""
FIRST_EXPONENT: Final = -12
ZERO_STEP: Final = 8
"""An all-zero tensor lowers the exponent by this: otherwise a dead branch could never wake up."""
LOWEST_EXPONENT: Final = -60
HIGHEST_EXPONENT: Final = 60
"""Exponents are stored in 8 bits, and those of products (sums of two) must fit as well."""

Site = tuple[int, tuple[int, ...]]
"""(exponent, extents of the last 16 steps, newest first)."""


def new_site() -> Site:
    """A site that has seen nothing."""
    return FIRST_EXPONENT, (EMPTY,) * HISTORY


def next_site(site: Site, extent: int, bits: int, headroom: int, lowest: int = LOWEST_EXPONENT) -> Site:
    """The site after a step in which the exact values had this extent.

    Args:
        site: exponent and history before the step.
        extent: e + bit_length(max |m|), or EMPTY if all values were zero.
        bits: mantissa bits including the sign of the rounded tensor.
        headroom: free bits above the largest extent of the history.
        lowest: the exponent never falls below this (and never rises above HIGHEST_EXPONENT).
    """
    exponent, history = site
    if extent == EMPTY:
        return max(exponent - ZERO_STEP, lowest), (EMPTY,) * HISTORY
    history = (extent, *history[: HISTORY - 1])
    return min(max(max(history) + headroom - (bits - 1), lowest), HIGHEST_EXPONENT), history
