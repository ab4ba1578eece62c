"""A stream that stalls: the message names both ends, the links between them, the routers' drops, and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from spindl.emulator import Machine
from spindl.machine import MachineFile, model_topology, save_machine
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.program.core import CoreError
from spindl.program.load import CoreResult
from spindl.program.stream import key
from spindl.run import open_session
from spindl.run.chip import router_entries
from spindl.run.emu.session import EmulatedSession
from spindl.run.hosted.errors import MachineStopped
from spindl.run.hosted.ways import Way, receiver_numbers, stalled, suspects, ways
from tests.plan.networks import case

DISABLED_LINKS = 0xF2000200


def planned_case() -> Program:
    return planned(Program({"train": case("thesis_convolution", steps=1).graph}, {}), "emu", "spin3:4")


def stop(name: str, stream: int, detail: int) -> CoreResult:
    """What a core leaves that waited too long for the first block of a stream."""
    return CoreResult(False, CoreError(name, "", 3, 0, 0, (key(stream, 0, 0), detail)), {}, [], "")


def test_every_stream_of_a_plan_has_a_way_to_those_who_listen() -> None:
    """Ways by the router entries lead to the cores whose schedules listen, and over links that join the chips."""
    program, topology = planned_case(), model_topology("spin3")
    parts, routes = program.chips["train"], router_entries(program)
    neighbours = {(place.x, place.y): place.neighbours for place in topology.places}
    listeners = receiver_numbers(parts)
    assert listeners
    for stream in {stream for stream, _ in listeners}:
        found = ways(routes, topology, stream)
        assert {way.receiver for way in found} == {place for s, place in listeners if s == stream}
        for way in found:
            at, _ = way.sender
            for xy, link in way.hops:
                assert xy == at
                at = neighbours[xy][link] or at
            assert at == way.receiver[0]
    assert ways(routes, topology, 2 * len(listeners) + 4000) == []


def test_only_receivers_without_an_acknowledgement_are_named_and_the_shared_link_is_suspected() -> None:
    program, topology = planned_case(), model_topology("spin3")
    parts, routes = program.chips["train"], router_entries(program)
    listeners = receiver_numbers(parts)
    stream = next(s for s, _ in listeners if len([1 for other, _ in listeners if other == s]) == 2)
    wanted, other = sorted(ways(routes, topology, stream), key=lambda way: listeners[stream, way.receiver])
    sender = {wanted.sender: stop("ACKNOWLEDGE_TIME_OUT", stream, 1 << listeners[stream, wanted.receiver])}
    (alone,) = stalled(sender, parts, routes, topology)
    assert (alone.way, alone.ends, suspects([alone])) == (wanted, ("the sender",), [])
    both = stalled(sender | {wanted.receiver: stop("RECEIVE_TIME_OUT", stream, 9)}, parts, routes, topology)
    assert [(each.way, each.ends) for each in both] == [(wanted, ("the receiver", "the sender"))]
    assert suspects(both) == list(wanted.hops)
    assert isinstance(other, Way)
    assert stalled({other.receiver: stop("BARRIER_TIME_OUT", stream, 0)}, parts, routes, topology) == []


@pytest.mark.parametrize("executor", ["emu", pytest.param("board", marks=pytest.mark.slow)])
def test_a_link_that_dies_between_steps_is_named(executor: str, served: Callable[..., Machine], tmp_path: Path) -> None:
    """Link 2 of chip (1, 1), over which SC&MP's own traffic does not go: both ends, and how to go on without it."""
    machine = served() if executor == "board" else None
    device = "spin3:4" if machine is None else f"{machine.host}:4"
    c = case("thesis_convolution", steps=2)
    program = planned(Program({"train": c.graph}, {}), executor, device)
    with closing(open_session(executor, program, State(c.state, Progress(0)), device=device)) as session:
        session.step("train", c.inputs[0])
        if isinstance(session, EmulatedSession):
            machine = session.machine
        assert machine is not None
        machine.chip(1, 1).write_register(DISABLED_LINKS, 1 << 2)
        with pytest.raises(MachineStopped) as caught:
            session.step("train", c.inputs[1])
    message = str(caught.value)
    assert re.search(
        r"stream \d+, block \d+ modulo 16: chip \(1, 1\) core (\d+) \(physical \d+\)"
        r" -> link 2 \(north\) of chip \(1, 1\) -> chip \(1, 0\) core \1 \(physical \d+\);"
        r" waiting: the receiver and the sender\n"
        r" +dropped by the routers on this way: chip \(1, 1\) \d+, chip \(1, 0\) \d+\n",
        message,
    )
    assert "add link [1, 1, 2] to the file's dead links" in message
    assert "--machine FILE --resume" in message

    file = tmp_path / "board.json"
    save_machine(MachineFile(model_topology("spin3")), file)
    document = json.loads(file.read_text())
    document["dead"]["links"].append([1, 1, 2])
    file.write_text(json.dumps(document))
    around = planned(Program({"train": c.graph}, {}), "emu", f"{file}:4")
    links = {xy: {link for entry in entries for link in entry.links} for xy, entries in router_entries(around).items()}
    assert len(links) == 4
    assert 2 not in links[1, 1]


@pytest.mark.slow
@pytest.mark.parametrize("link", [True, False])
def test_a_link_without_which_the_host_does_not_reach_a_chip(link: bool, served: Callable[..., Machine]) -> None:
    """SC&MP's own way from chip (0, 0) to (1, 0) is link 0. If it dies, chip (1, 0) is silent, but answers over its
    other links: the link is named. If its cores die, links still bring its memory, and none is blamed."""
    machine = served()
    device, c = f"{machine.host}:4", case("thesis_convolution", steps=2)
    program = planned(Program({"train": c.graph}, {}), "board", device)
    with closing(open_session("board", program, State(c.state, Progress(0)), device=device)) as session:
        session.step("train", c.inputs[0])
        if link:
            machine.chip(0, 0).write_register(DISABLED_LINKS, 1 << 0)
        else:
            place = [(place.x, place.y) for place in machine.topology.places].index((1, 0))
            for core in range(18):
                machine.native.halt(place, core)
        with pytest.raises(MachineStopped) as caught:
            session.step("train", c.inputs[1])
    message = str(caught.value)
    assert "chip (1, 0) does not answer" in message
    assert ("link 0 (east) of chip (0, 0) to chip (1, 0): nothing comes over it" in message) == link
    assert "link 5 (south) of chip (1, 1) to chip (1, 0): its memory comes over it" in message
    assert ("link [0, 0, 0]" in message) == link
