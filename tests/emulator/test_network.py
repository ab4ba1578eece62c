"""The whole network under load: where it saturates, how it falls, and what becomes of dropped packets."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spindl.emulator import Faults, Machine, emulate
from spindl.machine import Topology, parse_topology
from tests.emulator import traffic
from tests.emulator.conftest import HOST
from tests.emulator.test_chip import RECEIVE, ROUTE, SEND, SLEEP, load, words

FAN_OUT = 16
LOWEST, HIGHEST = 181e3, 365e3  # where the measured machines saturated, packets a second and chip (J. Heathcote's data)


def hexagonal_distance(x: int, y: int) -> int:
    return max(abs(x), abs(y)) if x * y >= 0 else abs(x) + abs(y)


def part_of_three_boards() -> Topology:
    """Sixty chips around the point where three boards meet, about as many as the measurements used."""
    whole = parse_topology("1x1-triads-mesh")
    kept = {(p.x, p.y) for p in whole.places if hexagonal_distance(p.x - 7, p.y - 7) <= 4}
    places = tuple(
        replace(p, neighbours=tuple(xy if xy in kept else None for xy in p.neighbours), ethernet=False)
        for p in whole.places
        if (p.x, p.y) in kept
    )
    assert {p.board for p in places} == {0, 1, 2}
    return replace(whole, name="part of three boards", places=places)


def test_uniform_traffic_saturates_where_real_machines_do(assemble: Callable[[str], bytes]) -> None:
    topology = part_of_three_boards()
    tables = traffic.routing_tables(topology, FAN_OUT, seed=1)
    assert len(tables) == 60
    code = assemble(traffic.PROGRAM)

    def measure(load: float) -> traffic.Point:
        machine = lambda: Machine(topology, [HOST] * 3, Faults(), 1, "off")  # noqa: E731
        return traffic.measure(machine, code, load, tables, FAN_OUT)

    low, high, beyond = measure(LOWEST), measure(280e3), measure(500e3)
    for point in (low, high):
        assert point.dropped == 0
        assert point.accepted == pytest.approx(point.offered, rel=0.01)
    assert measure(HIGHEST).accepted < 0.5 * HIGHEST
    assert beyond.dropped > 0
    assert beyond.accepted < measure(HIGHEST).accepted < 0.5 * high.accepted, "it falls, and goes on falling"


@pytest.mark.slow
def test_all_of_three_boards(assemble: Callable[[str], bytes]) -> None:
    """144 chips: longer ways, more trees on the busiest link (287 against 166 of one board), so a lower peak."""
    tables = traffic.routing_tables(parse_topology("1x1-triads-mesh"), FAN_OUT, seed=1)
    code = assemble(traffic.PROGRAM)
    machine = lambda: emulate("1x1-triads-mesh", host=HOST, connected=False)  # noqa: E731
    points = [traffic.measure(machine, code, load, tables, FAN_OUT) for load in (150e3, 175e3, 250e3)]
    assert [round(p.accepted / p.offered, 2) for p in points[:2]] == [1.0, 1.0]
    assert points[2].accepted < 0.5 * points[1].accepted


def test_traffic_does_not_depend_on_threads(assemble: Callable[[str], bytes]) -> None:
    topology = parse_topology("4x4-mesh")
    tables = traffic.routing_tables(topology, FAN_OUT, seed=2)
    found = set()
    for threads in (1, 2):
        with emulate(topology, host=HOST, connected=False, threads=threads) as machine:
            traffic.start(machine, assemble(traffic.PROGRAM), 900e3, tables)
            machine.run(0.0003)
            assert sum(chip.counters["dropped"] for chip in machine) > 0
            found.add(machine.fingerprint())
    assert len(found) == 1


SLOW_RECEIVER = RECEIVE.replace("    b next\n", "    mov r6, #200\n1:  subs r6, r6, #1\n    bne 1b\n    b next\n")
SLOW_SENDER = SEND.replace(
    "    subs r2, r2, #1\n", "    mov r6, #100\n1:  subs r6, r6, #1\n    bne 1b\n    subs r2, r2, #1\n"
)
COUNT = 400


def reinjector_data(base: int) -> bytes:
    """What extra_monitor_support finds at its data: a table of regions, then the regions (FrontEndCommon's layout)."""
    regions = [
        struct.pack("<5I", 0, 0, 0, 0, 0x70000000),  # reinject all four types (0 is yes); key of time-out messages
        struct.pack("<5I", *range(0x71000000, 0x71000005)),  # keys of the fast data out
        struct.pack("<4I", *range(0x72000000, 0x72000003), 0),  # keys of the fast data in, no routes
        bytes(16),
    ]
    at, table, body = base + 0x200, b"", b""
    for region in regions:
        table += struct.pack("<3I", at + len(body), 0, 0)
        body += region.ljust(64, b"\0")
    return (struct.pack("<2I", 0xAD130AD6, 0x00010000) + table).ljust(0x200, b"\0") + body


@pytest.mark.slow
def test_dropped_packets_are_reinjected_by_the_real_extra_monitor(
    booted: Callable[..., Machine],
    assemble: Callable[[str], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A receiver that is too slow makes its router drop; extra_monitor_support.aplx picks the packets up again."""
    pytest.importorskip("spinn_front_end_common", reason="brings the extra monitor's binary")
    from spinn_front_end_common.utilities.scp import ReinjectorControlProcess
    from spinn_machine import CoreSubsets
    from spinnman.messages.scp.enums import Signal
    from spinnman.model.enums import UserRegister

    from tests.emulator.host import binary, transceiver_for, wait_for_states

    monkeypatch.chdir(tmp_path)  # SpiNNMan writes its reports there
    machine = booted("spin3", connected=True)
    transceiver = transceiver_for(machine)
    monitor = CoreSubsets()
    monitor.add_processor(0, 0, 1)
    base = transceiver.malloc_sdram(0, 0, 4096, 30, 1)
    transceiver.write_memory(0, 0, base, reinjector_data(base))
    transceiver.write_user(0, 0, 1, UserRegister.USER_0, base)
    transceiver.execute_flood(monitor, binary("extra_monitor_support.aplx"), 30, wait=True)
    wait_for_states(machine, monitor, "ready")
    transceiver.send_signal(30, Signal.START)
    wait_for_states(machine, monitor, "running")

    def status() -> Any:
        process = ReinjectorControlProcess(transceiver.get_scamp_connection_selector())
        return process.get_reinjection_status(0, 0, 1)

    before = status()
    assert before.is_reinjecting_multicast
    machine.disconnect()
    machine.run(0.05)  # it says that it runs before it has copied the routing table, and is deaf until then
    chip = machine.chip(0, 0)
    receiver, sender = chip.core(2).physical, chip.core(3).physical
    dropped = chip.counters["dropped"]
    route = "\n".join(ROUTE.format(route=1 << (6 + receiver)).splitlines()[4:])  # leaves the router's settings alone
    load(machine, (0, 0), receiver, assemble(route + SLOW_RECEIVER))
    machine.run(0.0001)
    load(machine, (0, 0), sender, assemble(SLOW_SENDER.format(key=0x1000, count=COUNT) + SLEEP))
    machine.run(0.02)
    got = words(machine, (0, 0), receiver, COUNT + 1)
    assert chip.counters["dropped"] - dropped >= COUNT // 4
    assert got[0] == COUNT
    assert sorted(got[1:]) == list(range(0x1000, 0x1000 + COUNT)), "each once"
    machine.connect()
    after = status()
    assert after.n_dropped_packets - before.n_dropped_packets >= COUNT // 4
    assert (
        after.n_reinjected_packets - before.n_reinjected_packets == after.n_dropped_packets - before.n_dropped_packets
    )
    assert after.n_missed_dropped_packets == before.n_missed_dropped_packets
    transceiver.close()
