"""Contractions in blocks: whatever the cut, a planned step on the host's walker equals the interpreter."""

from __future__ import annotations

import pytest

from spindl.plan import TooLarge, machine_of, plan_step
from spindl.plan.check import check_plan
from spindl.plan.tiles import block_tasks
from spindl.program.core import TILES
from tests.networks import Layers, padded
from tests.plan.networks import NETWORKS, case
from tests.plan.test_equality import check


def wide() -> Layers:
    """Channels enough to be summed in pieces: 3x3, strided 3x3, 1x1, strided 1x1."""
    n = Layers((3, 8, 8), 0)
    x = n.add("relu", n.convolution(0, 32, (3, 3), name="stem", **padded(1)), name="relu0")
    x = n.convolution(x, 32, (3, 3), name="conv1", bias=False, **padded(1, 2))
    x = n.add("relu", n.convolution(x, 64, (1, 1), name="conv2", bias=False), name="relu2")
    x = n.convolution(x, 48, (1, 1), name="conv3", bias=False, **padded(0, 2))
    x = n.convolution(x, 32, (3, 3), name="conv4", bias=False, **padded(1))
    x = n.add("average_pool", x, name="mean", rows=((0, 2),), columns=((0, 2),), divisor=None)
    n.linear(n.add("reshape", x, name="flatten", shape=(32,)), 10, name="fc")
    return n


NETWORKS["wide"] = wide


@pytest.mark.parametrize(
    ("name", "room"),
    [
        *(("lenet", 0), ("lenet", 9000), ("resnet", 0), ("resnet", 9000), ("dense", 0)),
        *(("wide", 0), ("wide", 16000), ("wide", 10500)),
    ],
)
def test_blocks_of_any_size_are_the_interpreters(name: str, room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_tasks, "LARGE", 0)
    tiles = TILES[0] + room if room else TILES[1]
    each = case(name, batch=1, steps=2)
    check_plan(plan_step(each.graph, machine_of("spin3", 1, 3, (TILES[0], tiles), 100 << 20)))
    check(each, 3, tiles=tiles)
    check(each, 3, late=True, backwards=True, tiles=tiles)


def test_small_cores_cut_columns_and_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels' calls show it: exact sums in pieces, rounded at the end."""
    monkeypatch.setattr(block_tasks, "LARGE", 0)
    plan = plan_step(
        case("wide", batch=1, steps=1).graph, machine_of("spin3", 1, 3, (TILES[0], TILES[0] + 10500), 100 << 20)
    )
    calls = [call for phase in plan.phases for core in phase.cores for placed in core for call in placed.task.calls]
    assert any(call.kernel == "round_sums" for call in calls)
    assert any(call.kernel == "convolution" and call.arguments["left"] == 0 for call in calls)


def test_a_core_too_small_for_any_block_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_tasks, "LARGE", 0)
    with pytest.raises(TooLarge, match="does not fit"):
        small = machine_of("spin3", 1, 3, (TILES[0], TILES[0] + 5000), 100 << 20)
        plan_step(case("wide", batch=1, steps=1).graph, small)
