"""ResNet-50 at 224 x 224: the plan that `spindl plan resnet50 --machine spin5` prints, checked to its end."""

from __future__ import annotations

import pytest

from spindl.cli.plan import Request, graph_of
from spindl.plan.check import check_plan
from spindl.plan.scale.machines import boards_of
from spindl.plan.scale.predict import CHIPS_PER_BOARD, MIDDLE, SDRAM_OF_USERS, chip_of, predict
from spindl.plan.share import share_of


@pytest.mark.slow
def test_resnet50_is_checked_and_meets_its_bars() -> None:
    """One plan stands for the chips of any board: with a dead chip, each of the others still has one image."""
    graph = share_of(graph_of(Request("resnet50", batch_size=CHIPS_PER_BOARD)), CHIPS_PER_BOARD)
    chip = chip_of(graph, (MIDDLE,))
    check_plan(chip.planned.plan)
    board = predict(chip, boards_of("spin5"))
    for dead in (0, 1):
        machine = predict(chip, boards_of("spin5", dead))
        assert machine.chips == CHIPS_PER_BOARD - dead
        assert sum(machine.memory.values()) <= SDRAM_OF_USERS
        assert machine.images_per_second >= 5
        assert machine.mac_share >= 0.8
        assert machine.to_infinite <= 1.1
    million = predict(chip, boards_of("million"))
    assert million.images_per_second >= 0.85 * 1200 * board.images_per_second
