"""Boot, snapshots, replay, faults and errors of whole machines."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable

import pytest

from spindl.emulator import EmulatorError, Faults, Machine, PortTaken, emulate
from spindl.machine import TopologyError
from tests.emulator.conftest import HOST


def scp(sock: socket.socket, command: int, *arguments: int, sequence: int = 1) -> bytes:
    """Sends one SCP request to core 0 of chip (0, 0) and returns what follows result code and sequence number."""
    padded = [*arguments, 0, 0, 0][:3]
    sock.send(
        struct.pack("<2x4B4B", 0x87, 0xFF, 0, 0xFF, 0, 0, 0, 0) + struct.pack("<HH3I", command, sequence, *padded)
    )
    reply = sock.recv(2048)
    assert struct.unpack_from("<HH", reply, 10) == (0x80, sequence)
    return reply[14:]


def connected_socket(machine: Machine, port: int = 17893) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.connect((machine.host, port))
    return sock


def test_all_cores_idle_after_boot(booted: Callable[..., Machine]) -> None:
    machine = booted("spin3")
    for chip in machine:
        assert chip.states == ["running"] + ["idle"] * 17
        assert chip.reports == []


def test_a_snapshot_goes_on_as_the_machine_does(booted: Callable[..., Machine]) -> None:
    machine, other = booted("spin3"), booted("spin3")
    machine.run(0.2)
    saved = machine.snapshot()
    machine.run(0.2)
    other.restore(saved)
    assert other.time == pytest.approx(machine.time - 0.2, abs=1e-6)
    other.run(0.2)
    assert other.fingerprint() == machine.fingerprint()
    assert other.snapshot() == machine.snapshot()


@pytest.mark.parametrize("damage", [lambda s: s[:1000], lambda s: b"x" + s[1:], lambda s: b"", lambda s: s[:-9]])
def test_damaged_snapshots_are_refused(booted: Callable[..., Machine], damage: Callable[[bytes], bytes]) -> None:
    machine = booted("spin3")
    with pytest.raises(EmulatorError):
        machine.restore(damage(machine.snapshot()))


def test_a_snapshot_of_another_machine_is_refused(booted: Callable[..., Machine], bare: Callable[..., Machine]) -> None:
    with pytest.raises(EmulatorError, match="another machine"):
        bare("4x1").restore(booted("spin3").snapshot())


def test_a_recorded_session_replays_to_the_same_state(booted: Callable[..., Machine]) -> None:
    machine, again = booted("spin3"), booted("spin3", threads=2)
    machine.start_recording()
    machine.connect()
    with connected_socket(machine) as sock:
        assert b"SC&MP/SpiNNaker" in scp(sock, 0)
        for i in range(20):
            scp(sock, 2, 0x60000000 + 256 * i, 256, 0, sequence=2 + i)
    machine.disconnect()
    arrivals = machine.recording()
    assert len(arrivals) > 20
    again.replay(arrivals, machine.time)
    assert again.time == machine.time
    assert again.fingerprint() == machine.fingerprint()


def test_dead_parts_are_seen_by_the_monitor() -> None:
    pytest.importorskip("spinnman")
    faults = Faults(cores=frozenset({(0, 0, 0), (1, 1, 7)}), links=frozenset({(0, 0, 0), (1, 0, 3)}))
    with emulate("spin3", host=HOST, booted=True, connected=False, faults=faults) as machine:
        assert machine.chip(0, 0).states.count("idle") == 16
        assert machine.chip(0, 0).core(0).physical == 1, "physical core 0 is dead, so core 1 is the monitor"
        assert machine.chip(1, 1).states.count("idle") == 16
        assert machine.chip(0, 1).states.count("idle") == 17
        links = machine.chip(0, 0).read(0xF5007F65, 1)[0]
        assert links & 1 == 0


def test_a_dead_chip_is_left_out() -> None:
    pytest.importorskip("spinnman")
    with emulate(
        "3x3-mesh", host=HOST, booted=True, connected=False, faults=Faults(chips=frozenset({(1, 1)}))
    ) as machine:
        assert len(list(machine)) == 8
        assert all(chip.states[0] == "running" for chip in machine)


def test_two_machines_in_one_process(booted: Callable[..., Machine]) -> None:
    first, second = booted("spin3"), booted("spin3")
    first.chip(0, 0).write(0x60000000, b"first")
    assert second.chip(0, 0).read(0x60000000, 5) == bytes(5)


def test_a_taken_port_is_explained(booted: Callable[..., Machine]) -> None:
    first, second = booted("spin3", connected=True), booted("spin3")
    with pytest.raises(PortTaken) as caught:
        second.connect()
    assert caught.value.endpoint == f"{first.host}:17893"
    first.close()
    second.connect()


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "localhost", "127.0.0"])
def test_bad_addresses(host: str) -> None:
    with pytest.raises(EmulatorError) as caught:
        emulate("spin3", host=host)
    assert caught.value.label == "configuration"
    assert caught.value.remedy


def test_bad_requests(booted: Callable[..., Machine]) -> None:
    with pytest.raises(TopologyError):
        emulate("spin7")
    machine = booted("spin3")
    with pytest.raises(EmulatorError, match="no chip"):
        machine.chip(5, 5)
    with pytest.raises(EmulatorError, match="no memory"):
        machine.chip(0, 0).read(0x50000000, 4)
    with pytest.raises(EmulatorError, match="no memory"):
        machine.chip(0, 0).write(0x0040FFFE, b"1234")


@pytest.mark.slow
def test_simulated_time_keeps_up_with_wall_time(booted: Callable[..., Machine]) -> None:
    machine = booted("spin3", connected=True)
    time.sleep(0.2)
    start, begun = machine.time, time.monotonic()
    time.sleep(0.5)
    assert machine.time - start == pytest.approx(time.monotonic() - begun, rel=0.3)
    machine.pause()
    time.sleep(0.05)
    held = machine.time
    time.sleep(0.05)
    assert machine.time == held


REQUEST = struct.pack("<2x4B4B", 0x87, 0xFF, 0, 0xFF, 0, 0, 0, 0) + struct.pack("<HH3I", 0, 1, 0, 0, 0)


def send_fuzz(machine: Machine, count: int, kinds: tuple[str, ...]) -> None:
    rng = random.Random(1)
    with connected_socket(machine) as sock, connected_socket(machine, 54321) as boot:
        for i in range(count):
            kind = rng.choice(kinds)
            if kind == "short":
                sock.send(rng.randbytes(rng.randrange(0, 9)))
            elif kind == "boot":
                boot.send(rng.randbytes(rng.randrange(0, 1100)))
            elif kind == "cut":
                sock.send(REQUEST[: rng.randrange(10, len(REQUEST))])
            elif kind == "command":
                sock.send(
                    REQUEST[:10]
                    + bytes([rng.choice((0, 31, 40, 99, 255)), rng.randrange(256)])
                    + rng.randbytes(rng.randrange(270))
                )
            elif kind == "mutated":
                packet = bytearray(REQUEST + rng.randbytes(rng.choice((0, 0, 16, 256))))
                for _ in range(rng.randrange(1, 6)):
                    packet[rng.randrange(2, len(packet))] = rng.randrange(256)
                sock.send(packet)
            else:
                sock.send(rng.randbytes(rng.randrange(1472)))
            if i % 50 == 0:
                time.sleep(0.01)
    time.sleep(0.3)


@pytest.mark.parametrize("count", [2000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_malformed_datagrams_are_answered_or_ignored(booted: Callable[..., Machine], count: int) -> None:
    machine = booted("spin3", connected=True)
    send_fuzz(machine, count, ("boot", "cut", "command"))
    with connected_socket(machine) as sock:
        assert b"SC&MP/SpiNNaker" in scp(sock, 0, sequence=77)


@pytest.mark.parametrize("count", [1000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_datagrams_that_kill_the_monitor_do_not_hurt_the_emulator(booted: Callable[..., Machine], count: int) -> None:
    """SC&MP 4.0.0 dies of UDP payloads shorter than its header; as a board, the machine is then switched off and on."""
    machine = booted("spin3", connected=True)
    send_fuzz(machine, count, ("short", "noise", "mutated"))
    before = machine.time
    time.sleep(0.2)
    assert machine.time > before
    failure = machine.chip(0, 0).monitor_failure
    assert failure is not None
    assert failure.label == "program error"
    machine.disconnect()
    machine.power_cycle()
    assert machine.chip(0, 0).monitor_failure is None
    machine.boot()
    machine.connect()
    with connected_socket(machine) as sock:
        assert b"SC&MP/SpiNNaker" in scp(sock, 0)


def test_malformed_boot_packets_do_not_boot(bare: Callable[..., Machine]) -> None:
    machine = bare("spin3")
    machine.connect()
    rng = random.Random(2)
    with connected_socket(machine, 54321) as boot:
        for _ in range(500):
            opcode = rng.choice([1, 3, 5, 5, 7])
            words = [opcode, rng.choice([0, 31, 0xFFFFFFFF]), 0, rng.choice([0, 29, 200])]
            boot.send(
                struct.pack(">H4I", rng.choice([0, 1, 1, 2]), *words) + rng.randbytes(rng.choice([0, 3, 4, 1024]))
            )
    time.sleep(0.1)
    machine.disconnect()
    machine.run(0.01)
