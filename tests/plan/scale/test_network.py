"""Rings, machines with dead chips, the time line."""

from __future__ import annotations

import pytest

from spindl.machine import CHIP, TopologyError, spin5
from spindl.plan import PlanError
from spindl.plan.scale.machines import boards_of
from spindl.plan.scale.network import board_ring, cut_off, gather_seconds, links, reduce_seconds, tree_seconds
from spindl.plan.scale.timeline import Block, Exchange, follow
from spindl.program import costs

PLACES = {(p.x, p.y): p for p in spin5().places}


@pytest.mark.parametrize("dead", [None, *(xy for xy, place in sorted(PLACES.items()) if not place.ethernet)])
def test_a_ring_passes_through_every_working_chip_of_a_board(dead: tuple[int, int] | None) -> None:
    lost = frozenset() if dead is None else frozenset({dead})
    ring = board_ring(lost)
    assert sorted(ring) == sorted(set(PLACES) - lost)
    for here, there in zip(ring, (*ring[1:], ring[0]), strict=True):
        assert there in PLACES[here].neighbours


def test_chips_that_dead_ones_cut_off_are_not_used() -> None:
    corner = next(xy for xy, p in PLACES.items() if sum(n is not None for n in p.neighbours) == 3 and not p.ethernet)
    near = [n for n in PLACES[corner].neighbours if n is not None]
    assert corner in cut_off(frozenset(near[:2]))
    with pytest.raises(PlanError, match="no ring passes"):
        board_ring(frozenset(near[:2]))


def test_a_large_machine_is_a_table_of_differences() -> None:
    machine = boards_of("million")
    assert machine.boards == 1200
    assert 57600 - 576 - 20 < machine.chips <= 57600 - 576
    assert sum(len(lost) * count for lost, count in machine.classes.items()) == 57600 - machine.chips
    assert machine == boards_of("million")
    assert boards_of("spin5", 1).chips == 47
    assert boards_of("2x1-triads").boards == 6
    with pytest.raises(TopologyError, match="machine of boards"):
        boards_of("4x4")
    with pytest.raises(TopologyError, match="cannot be dead"):
        boards_of("spin5", 48)


def test_collectives_take_what_their_bytes_take() -> None:
    assert links(4).ring == pytest.approx(2 * links(4).words)  # the links limit, not the cores
    net = links(3)
    assert 0.95 * 2 * net.words < net.ring == 3 * CHIP.clock.value / costs.PASS_ON_WORD  # three cores nearly keep up
    assert reduce_seconds(48_000_000, 48, 1, net) == pytest.approx(47e6 / net.ring)
    assert gather_seconds(48_000_000, 48, 1, net) == pytest.approx(23.5e6 / net.ring)
    assert reduce_seconds(1_000_000, 48, 3, net) > reduce_seconds(1_000_000, 48, 1, net)
    assert tree_seconds(256, 48, 1, net) < tree_seconds(256, 48, 1200, net) < tree_seconds(4096, 48, 1200, net)


def test_the_time_line_waits_for_weights_that_come_late() -> None:
    phases = [1.0, 1.0, 1.0, 1.0]  # forward of two layers, backward of two
    free = follow(phases, [Block(2, 1, 0.0, 0.0, 0.0), Block(3, 0, 0.0, 0.0, 0.0)])
    assert (free.step, free.waits) == (4.0, 0.0)
    hidden = follow(phases, [Block(2, 1, 0.5, 0.5, 0.0)])  # ready at 3, back at 4
    assert (hidden.step, hidden.waits, hidden.network) == (4.0, 0.0, 1.0)
    late = follow(phases, [Block(3, 0, 0.5, 0.25, 0.125)])  # the first layer's gradient comes last and is needed first
    assert late.step == late.waits + 4.0 == 4.875
    both = follow(phases, [Block(2, 1, 1.0, 1.0, 0.0), Block(3, 0, 0.5, 0.5, 0.0)])
    assert both.waits == pytest.approx(1.0)  # the first layer's weights overtake the second one's


def test_sums_cross_the_chips_beside_phases_that_do_not_need_them() -> None:
    phases = [1.0, 1.0, 1.0]
    assert follow(phases, [], [Exchange(0, 2, 0.5)]).statistics == 0.0
    waited = follow(phases, [], [Exchange(0, 1, 0.5)])
    assert (waited.statistics, waited.step) == (0.5, 3.5)
    assert follow(phases, [], [Exchange(0, 2, 0.75), Exchange(0, 2, 0.75)]).statistics == 0.5  # one behind the other


def test_urgent_weights_overtake_pieces_of_others() -> None:
    urgent = Block(3, 0, 0.125, 0.125, 0.0)
    whole = follow([1.0] * 4, [Block(2, 3, 0.25, 1.0, 0.0), urgent])  # its new weights are under way until 4.25
    cut = follow([1.0] * 4, [*[Block(2, 3, 0.25 / 8, 1.0 / 8, 0.0)] * 8, urgent])
    assert cut.network == whole.network == 1.5
    assert (whole.waits, cut.waits) == (0.5, 0.25)
