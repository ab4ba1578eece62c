"""Traces, histories and the GDB stub."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable

from spindl.emulator import GdbServer, Machine

PROGRAM = """
    mov r0, #0
again:
    add r0, r0, #1
    add r1, r0, r0
    b again
"""


def started(bare: Callable[..., Machine], assemble: Callable[[str], bytes]) -> Machine:
    machine: Machine = bare("1x1")
    core = machine.chip(0, 0).physical(4)
    core.write(0, assemble(PROGRAM))
    core.start()
    return machine


def test_history_of_a_watched_core(bare: Callable[..., Machine], assemble: Callable[[str], bytes]) -> None:
    machine, unwatched = started(bare, assemble), started(bare, assemble)
    machine.chip(0, 0).watch(4, limit=10)
    machine.run(0.0001)
    unwatched.run(0.0001)
    history = machine.chip(0, 0).history
    assert len(history) == 10
    assert [b.pc - a.pc for a, b in itertools.pairwise(history)].count(4) >= 6
    adds = [entry for entry in history if entry.pc == 8]
    assert all(entry.registers[1] == 2 * entry.registers[0] for entry in adds)
    assert machine.fingerprint() == unwatched.fingerprint(), "watching changes nothing"
    assert "core 4" in machine.chip(0, 0).physical(4).post_mortem()


def test_packet_events(bare: Callable[..., Machine], assemble: Callable[[str], bytes]) -> None:
    machine = bare("2x1-mesh")
    machine.chip(0, 0).trace_packets(0x1000, 0xFFFFFFFF)
    core = machine.chip(0, 0).physical(1)
    core.write(
        0,
        assemble("""
        ldr r0, =0x10000000
        mov r1, #0
        str r1, [r0]
        ldr r1, =0x1000
        str r1, [r0, #8]
        ldr r1, =0x2000
        str r1, [r0, #8]
    end: b end
    """),
    )
    core.start()
    machine.run(0.0001)
    events = machine.chip(0, 0).packet_events
    assert [event.event for event in events] == ["sent", "routed", "dropped"], "no entry, from a core: nowhere to go"
    assert {event.key for event in events} == {0x1000}


class Debugger:
    """As much of a GDB as the test needs."""

    def __init__(self, server: GdbServer) -> None:
        self.socket = socket.create_connection((server.core.machine.host, server.port))
        self.socket.settimeout(5)

    def ask(self, command: str) -> str:
        self.socket.sendall(f"${command}#{sum(command.encode()) & 255:02x}".encode())
        return self.answer()

    def answer(self) -> str:
        text = b""
        while text.count(b"#") == 0 or len(text) < text.index(b"#") + 3:
            text += self.socket.recv(1)
        return text[text.index(b"$") + 1 : text.index(b"#")].decode()


def test_gdb_breaks_steps_and_lets_go(bare: Callable[..., Machine], assemble: Callable[[str], bytes]) -> None:
    machine = started(bare, assemble)
    core = machine.chip(0, 0).physical(4)
    machine.connect()
    with GdbServer(core) as server:
        debugger = Debugger(server)
        assert "features" in debugger.ask("qSupported")
        assert "arm.core" in debugger.ask("qXfer:features:read:target.xml:0,fff")
        assert debugger.ask("Z0,8,4") == "OK"
        assert debugger.ask("c") == "S05"
        assert core.registers[15] == 8
        count = core.registers[0]
        assert debugger.ask("s") == "S05"
        assert (core.registers[15], core.registers[1]) == (12, 2 * count)
        assert debugger.ask("p0") == count.to_bytes(4, "little").hex()
        assert debugger.ask("P0=00100000") == "OK"
        assert debugger.ask("c") == "S05"
        assert core.registers[0] == 0x1001
        assert debugger.ask("m0,4") == core.read(0, 4).hex()
        assert debugger.ask("m50000000,4") == "E01"
        assert debugger.ask("D") == "OK"
    before = core.counters["instructions"]
    machine.disconnect()
    machine.run(0.001)
    assert core.counters["instructions"] > before
