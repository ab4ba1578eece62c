"""Machines: sizes, links, boards, dead parts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spindl.machine import (
    CHIP,
    LINK_DIRECTIONS,
    Topology,
    TopologyError,
    mesh,
    parse_topology,
    spin3,
    spin5,
    torus,
    triads,
)


def links_of(topology: Topology) -> int:
    return sum(xy is not None for place in topology.places for xy in place.neighbours)


@pytest.mark.parametrize(
    ("name", "chips", "links", "boards"),
    [
        ("spin3", 4, 24, 1),
        ("spin5", 48, 240, 1),
        ("1x1-triads", 144, 864, 3),
        ("1x1-triads-mesh", 144, 792, 3),
        ("2x1-triads", 288, 1728, 6),
        ("8x8", 64, 384, 1),
        ("8x8-mesh", 64, 2 * (2 * 56 + 49), 1),
    ],
)
def test_counts(name: str, chips: int, links: int, boards: int) -> None:
    topology = parse_topology(name)
    assert (len(topology.places), topology.boards) == (chips, boards)
    if name != "1x1-triads-mesh":
        assert links_of(topology) == links


def test_the_full_machine() -> None:
    topology = triads(20, 20)
    assert len(topology.places) == 57_600
    assert topology.boards == 1_200


@given(st.sampled_from(["spin3", "spin5", "1x1-triads", "1x1-triads-mesh", "3x5", "4x7-mesh"]))
def test_links_lead_back(name: str) -> None:
    topology = parse_topology(name)
    places = {(place.x, place.y): place for place in topology.places}
    for place in topology.places:
        for link, xy in enumerate(place.neighbours):
            if xy is not None:
                assert places[xy].neighbours[(link + 3) % 6] == (place.x, place.y)


def test_link_directions_go_round() -> None:
    assert all((a[0] + b[0], a[1] + b[1]) == (0, 0) for a, b in zip(LINK_DIRECTIONS, LINK_DIRECTIONS[3:], strict=False))
    assert len(set(LINK_DIRECTIONS)) == 6
    assert all(a != b for a, b in pairwise(LINK_DIRECTIONS))


@pytest.mark.parametrize("name", ["", "spin4", "0x3", "300x2", "2x2x2", "-1x2", "22x1-triads", "2x2-mesh-mesh"])
def test_impossible_machines(name: str) -> None:
    with pytest.raises(TopologyError) as caught:
        parse_topology(name)
    assert caught.value.wanted == name
    assert caught.value.remedy


def test_dead_parts() -> None:
    topology = spin5().without(chips=frozenset({(3, 3)}), cores=frozenset({(1, 1, 5)}), links=frozenset({(0, 0, 0)}))
    places = {(place.x, place.y): place for place in topology.places}
    assert (3, 3) not in places
    assert all((3, 3) not in place.neighbours for place in topology.places)
    assert places[1, 1].working_cores == 0x3FFFF & ~(1 << 5)
    assert places[0, 0].neighbours[0] is None
    assert places[1, 0].neighbours[3] == (0, 0), "the other direction lives"


@pytest.mark.parametrize(
    "dead", [{"chips": {(0, 0)}}, {"chips": {(9, 9)}}, {"cores": {(0, 0, 18)}}, {"links": {(7, 0, 0)}}]
)
def test_impossible_deaths(dead: dict[str, set[tuple[int, ...]]]) -> None:
    with pytest.raises(TopologyError):
        spin5().without(**{name: frozenset(parts) for name, parts in dead.items()})  # type: ignore[arg-type]


def test_facts_lie_in_their_ranges() -> None:
    for fact in vars(CHIP).values():
        assert fact.low <= fact.value <= fact.high
        assert fact.source
        assert fact.unit
    assert spin3().version == 3
    assert torus(2, 2).places == spin3().places
    assert mesh(1, 1).places[0].neighbours == (None,) * 6
