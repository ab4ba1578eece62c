"""Unmodified SpiNNMan against an emulated board, over UDP."""

from __future__ import annotations

import hashlib
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from spindl.emulator import Machine

pytest.importorskip("spinnman")

from spinn_machine import CoreSubsets, MulticastRoutingEntry, RoutingEntry
from spinnman.data.spinnman_data_writer import SpiNNManDataWriter
from spinnman.messages.scp.enums import Signal
from spinnman.model.enums import CPUState, UserRegister

from tests.emulator.host import binary, transceiver_for, wait_for_states, wait_until

pytestmark = pytest.mark.slow  # SpiNNMan waits in wall time: only for a machine that is not busy otherwise

BINARY = "chip_power_monitor.aplx"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SpiNNMan writes its reports into the working folder."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def spin3(booted: Callable[..., Machine]) -> Iterator[tuple[Machine, Any]]:
    machine = booted("spin3", connected=True)
    transceiver = transceiver_for(machine)
    yield machine, transceiver
    transceiver.close()


def test_machine_details_of_a_spin3(spin3: tuple[Machine, Any]) -> None:
    found = SpiNNManDataWriter.get_machine()
    assert (found.n_chips, found.width, found.height) == (4, 2, 2)
    assert sum(chip.n_processors for chip in found.chips) == 72
    assert {str(chip.ip_address) for chip in found.ethernet_connected_chips} == {spin3[0].host}


def test_machine_details_of_a_spin5(booted: Callable[..., Machine]) -> None:
    transceiver = transceiver_for(booted("spin5", connected=True))
    transceiver.close()
    found = SpiNNManDataWriter.get_machine()
    assert found.n_chips == 48
    assert sum(chip.n_processors for chip in found.chips) == 864
    assert sum(1 for chip in found.chips for _ in chip.router.links) == 240


def test_memory_of_every_chip(spin3: tuple[Machine, Any]) -> None:
    machine, transceiver = spin3
    for x, y in ((0, 0), (0, 1), (1, 0), (1, 1)):
        data = os.urandom(3000)
        transceiver.write_memory(x, y, 0x61000000, data)
        assert bytes(transceiver.read_memory(x, y, 0x61000000, len(data))) == data
        assert machine.chip(x, y).read(0x61000000, len(data)) == data


def test_allocated_memory_does_not_overlap(spin3: tuple[Machine, Any]) -> None:
    transceiver = spin3[1]
    blocks = [transceiver.malloc_sdram(1, 1, 1000, 30, tag) for tag in (1, 2, 3)]
    assert all(b - a >= 1000 for a, b in zip(sorted(blocks), sorted(blocks)[1:], strict=False))
    transceiver.stop_application(30)
    assert transceiver.malloc_sdram(1, 1, 1000, 30, 1) == blocks[0]


def test_routing_tables_load_read_back_and_clear(spin3: tuple[Machine, Any]) -> None:
    transceiver = spin3[1]
    routes = [
        MulticastRoutingEntry(0x1000 + i, 0xFFFFFFFF, RoutingEntry(processor_ids=[i + 1], link_ids=[i]))
        for i in range(4)
    ]
    transceiver.load_multicast_routes(0, 1, routes, app_id=30)
    loaded = transceiver.get_multicast_routes(0, 1, app_id=30)
    assert {(r.key, r.mask, tuple(sorted(r.link_ids))) for r in loaded} == {
        (r.key, r.mask, tuple(sorted(r.link_ids))) for r in routes
    }
    transceiver.clear_multicast_routes((0, 1))
    assert transceiver.get_multicast_routes(0, 1, app_id=30) == []


def test_ip_tags(spin3: tuple[Machine, Any]) -> None:
    from spinn_machine.tags import IPTag

    machine, transceiver = spin3
    transceiver.set_ip_tag(IPTag(machine.host, 0, 0, tag=1, ip_address="127.0.0.1", port=50000, strip_sdp=True))
    assert {(t.ip_address, t.port) for t in transceiver.get_tags() if t.tag == 1} == {("127.0.0.1", 50000)}
    transceiver.clear_ip_tag(1)
    assert all(t.tag != 1 for t in transceiver.get_tags())  # others are the monitor's own, for replies


def test_a_binary_loads_starts_and_stops(spin3: tuple[Machine, Any]) -> None:
    machine, transceiver = spin3
    cores = CoreSubsets()
    for x in (0, 1):
        for y in (0, 1):
            cores.add_processor(x, y, 1)
            cores.add_processor(x, y, 2)
    transceiver.execute_flood(cores, binary(BINARY), 30, wait=True)
    wait_for_states(machine, cores, "ready")
    assert transceiver.get_core_state_count(30, CPUState.READY) == 8
    assert machine.chip(1, 1).states[1:4] == ["ready", "ready", "idle"]

    # Without its data in SDRAM the program aborts, and says so.
    transceiver.send_signal(30, Signal.START)
    wait_for_states(machine, cores, "run_time_exception")
    infos = transceiver.get_cpu_infos(cores)
    errors = [infos.get_cpu_info(*core).run_time_error.name for core in infos]
    assert errors == ["DABT"] * 8
    transceiver.stop_application(30)
    machine.disconnect()
    machine.run(0.1)
    assert machine.chip(0, 0).states[1:3] == ["idle", "idle"]


def test_router_counts_what_the_host_reads(spin3: tuple[Machine, Any]) -> None:
    transceiver = spin3[1]
    transceiver.clear_router_diagnostic_counters((1, 0))
    transceiver.read_memory(1, 0, 0x61000000, 1024)
    assert transceiver.get_router_diagnostics(1, 0).n_local_peer_to_peer_packets > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["spin3", "spin5"])
def test_boots_again_and_again(kind: str, bare: Callable[..., Machine]) -> None:
    machine = bare(kind)
    machine.connect()
    for _ in range(20):
        transceiver_for(machine).close()
        machine.power_cycle()


SENDER = """
    ldr r0, =0x10000000     @ communications controller
    ldr r1, =0x00001000     @ first key
    mov r2, #20
    mov r3, #0
    str r3, [r0]
loop:
    str r1, [r0, #8]        @ send
    add r1, r1, #1
    ldr r4, =2000
wait:
    subs r4, r4, #1
    bne wait
    subs r2, r2, #1
    bne loop
end:
    mcr p15, 0, r0, c7, c0, 4
    b end
"""


def test_a_real_binary_turns_multicast_packets_into_datagrams(
    spin3: tuple[Machine, Any], assemble: Callable[[str], bytes]
) -> None:
    """live_packet_gather.aplx of SpiNNFrontEndCommon on (0, 0); the packets come from a program of ours on (1, 1)."""
    from spinn_front_end_common.utilities.scp import UpdateRuntimeProcess
    from spinn_machine.tags import IPTag

    machine, transceiver = spin3
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        port = receiver.getsockname()[1]
        transceiver.set_ip_tag(IPTag(machine.host, 0, 0, tag=1, ip_address="127.0.0.1", port=port, strip_sdp=True))
        transceiver.load_multicast_routes(
            1, 1, [MulticastRoutingEntry(0x1000, 0xFFFFFF00, RoutingEntry(processor_ids=[], link_ids=[4]))], app_id=30
        )
        transceiver.load_multicast_routes(
            0, 0, [MulticastRoutingEntry(0x1000, 0xFFFFFF00, RoutingEntry(processor_ids=[1], link_ids=[]))], app_id=30
        )

        base = transceiver.malloc_sdram(0, 0, 1024, 30, 1)
        regions = [base + 0x100, base + 0x140, base + 0x200]
        header = struct.pack("<II", 0xAD130AD6, 0x00010000) + b"".join(struct.pack("<III", at, 0, 0) for at in regions)
        name_hash = int(hashlib.md5(b"live_packet_gather").hexdigest()[:8], 16)
        keys_of_32_bits, tag = 2, 1
        config = [0, 0, 0, keys_of_32_bits, 0, 0, 0, 0, 0, tag, 0, 0, 0xFFFFFFFF, 0, 0]
        transceiver.write_memory(0, 0, base, header)
        transceiver.write_memory(0, 0, regions[0], struct.pack("<III", name_hash, 1000, 3))  # name, 1 ms, SDP port
        transceiver.write_memory(0, 0, regions[1], struct.pack(f"<{len(config)}I", *config))
        transceiver.write_user(0, 0, 1, UserRegister.USER_0, base)

        core = CoreSubsets()
        core.add_processor(0, 0, 1)
        transceiver.execute_flood(core, binary("live_packet_gather.aplx"), 30, wait=True)
        wait_for_states(machine, core, "ready")
        transceiver.send_signal(30, Signal.START)
        wait_for_states(machine, core, "paused")
        process = UpdateRuntimeProcess(transceiver.get_scamp_connection_selector())
        process.update_runtime(0, 2000, False, core, 1, 0)
        wait_for_states(machine, core, "sync0", "running")
        transceiver.send_signal(30, Signal.SYNC0)
        wait_for_states(machine, core, "running")

        sender = machine.chip(1, 1).core(17)
        sender.write(0, assemble(SENDER))
        sender.start()
        keys: list[int] = []

        def all_here() -> bool:
            with suppress(BlockingIOError):
                while True:
                    message = receiver.recv(1024)
                    keys.extend(struct.unpack(f"<{message[0]}I", message[2 : 2 + 4 * message[0]]))
            return len(keys) >= 20

        wait_until(machine, "twenty keys at the host", all_here)
    assert keys == list(range(0x1000, 0x1014))
    text = next(iter(transceiver.get_iobuf(core))).iobuf
    assert "ad130ad6" in text  # log lines are coded, but show the magic number it read
    transceiver.stop_application(30)


def test_three_boards_are_found_and_talked_to_through_their_own_plugs(booted: Callable[..., Machine]) -> None:
    machine = booted("1x1-triads", connected=True)
    transceiver = transceiver_for(machine)
    try:
        found = SpiNNManDataWriter.get_machine()
        assert found.n_chips == 144
        assert {(chip.x, chip.y): chip.ip_address for chip in found.ethernet_connected_chips} == {
            (0, 0): machine.hosts[0],
            (4, 8): machine.hosts[1],
            (8, 4): machine.hosts[2],
        }
        before = [machine.chip(x, y).counters["frames_in"] for x, y in ((4, 8), (8, 4))]
        for x, y in ((1, 1), (4, 8), (9, 5), (11, 11)):
            data = os.urandom(2000)
            transceiver.write_memory(x, y, 0x61000000, data)
            assert bytes(transceiver.read_memory(x, y, 0x61000000, len(data))) == data
        after = [machine.chip(x, y).counters["frames_in"] for x, y in ((4, 8), (8, 4))]
        assert all(b > a for a, b in zip(before, after, strict=True))
    finally:
        transceiver.close()


def test_clock_settings_read_back(spin3: tuple[Machine, Any]) -> None:
    chip = spin3[0].chip(0, 1)
    pll_1, pll_2 = (chip.read_register(0xF2000000 + offset) for offset in (0x50, 0x54))
    assert pll_1 & 0x3F == 40, "cores and system: 400 MHz from 10"
    assert pll_2 & 0x3F == 26, "memory: 260 MHz"
