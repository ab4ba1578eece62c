"""Delayed scaling: history, headroom, the guard against dead tensors, and the bounds of an exponent."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from spindl.number.sites import EMPTY, HIGHEST_EXPONENT, HISTORY, LOWEST_EXPONENT, ZERO_STEP, new_site, next_site

EXTENTS = st.lists(st.integers(-150, 190) | st.just(EMPTY), min_size=1, max_size=40)


@given(
    EXTENTS, st.integers(8, 16) | st.just(32), st.sampled_from([0, 1, 2, 8]), st.sampled_from([LOWEST_EXPONENT, -20])
)
def test_every_sequence(extents: list[int], bits: int, headroom: int, lowest: int) -> None:
    site = new_site()
    since_zero: list[int] = []
    for extent in extents:
        before = site[0]
        site = next_site(site, extent, bits, headroom, lowest)
        exponent, history = site
        assert len(history) == HISTORY
        assert lowest <= exponent <= HIGHEST_EXPONENT
        if extent == EMPTY:
            since_zero = []
            assert exponent == max(before - ZERO_STEP, lowest)
            assert set(history) == {EMPTY}
        else:
            since_zero = [extent, *since_zero][:HISTORY]
            assert list(history) == since_zero + [EMPTY] * (HISTORY - len(since_zero))
            wanted = max(since_zero) + headroom - (bits - 1)
            assert exponent == min(max(wanted, lowest), HIGHEST_EXPONENT)
            if lowest < exponent < HIGHEST_EXPONENT:  # the largest of the history fits, with the headroom to spare
                assert max(since_zero) + headroom == exponent + bits - 1


def test_a_spike_is_forgotten_after_the_history() -> None:
    site = next_site(new_site(), 20, 15, 1)
    for _ in range(HISTORY - 1):
        site = next_site(site, 0, 15, 1)
        assert site[0] == 20 + 1 - 14
    assert next_site(site, 0, 15, 1)[0] == 0 + 1 - 14


def test_exponents_fit_their_storage() -> None:
    # int8 for a tensor's, and for the sum of two (a product's); int16 for an extent
    assert 2 * LOWEST_EXPONENT >= -128 and 2 * HIGHEST_EXPONENT <= 127
    assert EMPTY < 2 * LOWEST_EXPONENT
