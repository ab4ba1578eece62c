"""The image under the unmodified SC&MP, loaded and watched by the unmodified SpiNNMan."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spindl.emulator import Machine
from spindl.program.core import COMMANDS, CORE, ERRORS, KEY_MASK, KEYS, STEP_COUNTERS
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import TEXT_BYTES, ChipLoad, CoreName, CoreResult, Setting, chip_load, core_result
from spindl.program.schedule import Schedule, Step, Tables, Transfer

pytest.importorskip("spinnman")

from spinn_machine import CoreSubsets, MulticastRoutingEntry, RoutingEntry
from spinnman.messages.scp.enums import Signal
from spinnman.model.enums import CPUState, UserRegister

from tests.emulator.conftest import bare, booted  # noqa: F401  (fixtures)
from tests.emulator.host import transceiver_for

COPY, MOVE = KERNELS["copy"], KERNELS["move"]
APP = 33
PHYSICAL_NUMBERS = 0xF5007FA8  # sv: virtual -> physical core
CHIPS = ((0, 0), (1, 1))
CORES = range(1, 5)
A, B = 0x400000, 0x401000
BLOCK = 256


@dataclass
class Session:
    """A machine with SpiNNMan on it, and the image as a file."""

    machine: Machine
    transceiver: Any
    image: Image
    file: str

    def cores(self, chips: tuple[tuple[int, int], ...] = CHIPS) -> Any:
        subsets = CoreSubsets()
        for x, y in chips:
            for p in CORES:
                subsets.add_processor(x, y, p)
        return subsets

    def wait(self, *states: CPUState, errors: frozenset[CPUState] | None = None) -> None:
        bad = errors if errors is not None else frozenset({CPUState.RUN_TIME_EXCEPTION, CPUState.WATCHDOG})
        self.transceiver.wait_for_cores_to_be_in_state(self.cores(), APP, list(states), timeout=30, error_states=bad)

    def place(
        self,
        x: int,
        y: int,
        steps: Callable[[int, int], tuple[Step, ...]],
        command: str,
        chip: int = 0,
        chips: int = 1,
    ) -> tuple[int, ChipLoad]:
        """Writes records and schedules of one chip. Returns where its data lie, and what was written."""
        base = self.transceiver.malloc_sdram(x, y, 1 << 16, APP, 1)
        table = bytes(self.transceiver.read_memory(x, y, PHYSICAL_NUMBERS, 20))
        names = [CoreName(p, table[p]) for p in CORES]
        data = base + 0x8000
        tables = [
            Schedule(steps(data, index), self.image.version, Tables(cores=len(names))) for index in range(len(names))
        ]
        setting = Setting(((data, base + (1 << 16), True),), chips=chips, command=command, time_out=500)
        load = chip_load(self.image, tables, names, (base + 31) // 32 * 32, setting, chip=chip)
        for address, content in load.writes:
            self.transceiver.write_memory(x, y, address, content)
        for name, record in zip(names, load.records, strict=True):
            self.transceiver.write_user(x, y, name.virtual, UserRegister.USER_0, record)
        return data, load

    def left(self, x: int, y: int, load: ChipLoad, index: int) -> CoreResult:
        def read(address: int, size: int) -> bytes:
            return bytes(self.transceiver.read_memory(x, y, address, size))

        record = read(load.records[index], CORE.layout.size)
        at, steps = load.step_counters[index]
        text = read(CORE.unpack(record)["text"], TEXT_BYTES)
        return core_result(record, text, read(at, steps * STEP_COUNTERS.layout.size))


@pytest.fixture
def session(booted: Callable[..., Machine], image: Image, tmp_path: Path) -> Iterator[Session]:  # noqa: F811
    machine = booted("spin3", connected=True)
    transceiver = transceiver_for(machine)
    file = tmp_path / "spindl.aplx"
    file.write_bytes(image.aplx)
    yield Session(machine, transceiver, image, str(file))
    transceiver.close()


def exchange(data: int, index: int) -> tuple[Step, ...]:
    """Each core copies its block behind all blocks, then loads its neighbour's and stores that behind again.

    The second kernel lies in an overlay.
    """
    count = len(CORES)
    out, again = data + count * BLOCK, data + 2 * count * BLOCK
    words = COPY.words({"x": A, "y": B, "words": BLOCK // 4})
    first = Step(
        COPY.number, 1, (Transfer(data + index * BLOCK, A, BLOCK),), (Transfer(out + index * BLOCK, B, BLOCK),), words
    )
    there = out + (index + 1) % count * BLOCK
    moved = dict.fromkeys((field.name for field in MOVE.arguments), 0)
    moved |= {"x": A, "y": B, "bytes": 4, "count_0": 1, "count_1": 1, "count_2": 1, "count_3": BLOCK // 4}
    second = Step(
        MOVE.number,
        2,
        (Transfer(there, A, BLOCK),),
        (Transfer(again + index * BLOCK, B, BLOCK),),
        MOVE.words(moved | {"x_stride_3": 4, "y_stride_3": 4}),
        barrier_before=True,
        barrier_after=True,
    )
    return (first, second)


def check_exchange(session: Session, x: int, y: int, data: int, given: bytes) -> None:
    count = len(CORES)
    blocks = [given[i * BLOCK : (i + 1) * BLOCK] for i in range(count)]
    turned = b"".join(blocks[(i + 1) % count] for i in range(count))
    found = bytes(session.transceiver.read_memory(x, y, data + 2 * count * BLOCK, count * BLOCK))
    assert found == turned


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_load_run_read_stop_again_and_again(session: Session, times: int) -> None:
    given = bytes(i * 7 + i // 256 & 255 for i in range(len(CORES) * BLOCK))
    for turn in range(times):
        loads: dict[tuple[int, int], ChipLoad] = {}
        places: dict[tuple[int, int], int] = {}
        for x, y in CHIPS:
            places[x, y], loads[x, y] = session.place(x, y, exchange, "NONE")
            session.transceiver.write_memory(x, y, places[x, y], given)
        session.transceiver.execute_flood(session.cores(), session.file, APP, wait=True)
        session.wait(CPUState.READY)
        session.transceiver.send_signal(APP, Signal.START)
        session.wait(CPUState.PAUSED)
        for number in (1, 2):  # the doorbell, twice
            for (x, y), load in loads.items():
                for record in load.records:
                    command = struct.pack("<I", (100 * turn + number) << 8 | COMMANDS["RUN"])
                    at = record + [field.name for field in CORE.fields].index("command") * 4
                    session.transceiver.write_memory(x, y, at, command)
            session.transceiver.send_signal(APP, Signal.USER_0)
            brought = {result.counters["overlays_loaded"] for result in _until(session, loads)}
            assert brought == {1 if number == 1 else 0}, "it stays from one walk to the next"
        for (x, y), data in places.items():
            check_exchange(session, x, y, data, given)
        infos = session.transceiver.get_cpu_infos(session.cores())
        assert {infos.get_cpu_info(*core).application_name for core in infos} == {"spindl"}
        text = [entry.iobuf for entry in session.transceiver.get_iobuf(session.cores())]
        assert text == ["spindl is here\n"] * len(CHIPS) * len(CORES)
        session.transceiver.stop_application(APP)
        assert session.transceiver.get_core_state_count(APP, CPUState.PAUSED) == 0
    session.machine.disconnect()
    session.machine.run(0.1)
    assert session.machine.chip(0, 0).states[1:5] == ["idle"] * 4


def _until(session: Session, loads: dict[tuple[int, int], ChipLoad]) -> list[CoreResult]:
    for _ in range(100):
        results = [session.left(x, y, load, i) for (x, y), load in loads.items() for i in range(len(CORES))]
        assert [result.error for result in results if result.error] == []
        if all(result.finished for result in results):
            assert all(result.counters["steps"] == 2 for result in results)
            return results
    raise AssertionError("the cores do not answer")


def test_exit_and_run_time_error_are_seen(session: Session) -> None:
    """One chip's cores meet a schedule that fails, the other's are told to exit."""

    def fails(data: int, index: int) -> tuple[Step, ...]:
        return (Step(COPY.number, 7, words=COPY.words({"x": A + 1, "y": B, "words": 1})),)

    _, load = session.place(0, 0, fails, "RUN")
    session.place(1, 1, exchange, "EXIT")
    session.transceiver.execute_flood(session.cores(), session.file, APP, wait=True)
    session.wait(CPUState.READY)
    session.transceiver.send_signal(APP, Signal.START)
    session.transceiver.wait_for_cores_to_be_in_state(
        session.cores(((1, 1),)), APP, [CPUState.FINISHED], timeout=30, error_states=frozenset()
    )
    session.transceiver.wait_for_cores_to_be_in_state(
        session.cores(((0, 0),)), APP, [CPUState.RUN_TIME_EXCEPTION], timeout=30, error_states=frozenset()
    )
    infos = session.transceiver.get_cpu_infos(session.cores(((0, 0),)))
    assert {infos.get_cpu_info(*core).run_time_error.name for core in infos} == {"SWERR"}
    found = session.left(0, 0, load, 2).error
    assert found is not None
    assert (found.name, found.step, found.node) == ("ARGUMENT", 0, 7)
    text = next(iter(session.transceiver.get_iobuf(session.cores(((0, 0),))))).iobuf
    assert f"stop: {ERRORS['ARGUMENT'][0]:#010x} step 0x00000000" in text


def ask(
    session: Session, to: tuple[int, int, int], port: int, command: int, *words: int, data: bytes = b""
) -> tuple[int, bytes]:
    """One SDP message to a core's port and its answer: (result, what follows)."""
    x, y, p = to
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(10)
        header = struct.pack("<2x8B", 0x87, 0xFF, port << 5 | p, 0xFF, y, x, 0, 0)
        arguments = (*words, 0, 0, 0)[:3]
        udp.sendto(header + struct.pack("<HH3I", command, 9, *arguments) + data, (session.machine.host, 17893))
        answer = udp.recv(1024)
    result, sequence = struct.unpack_from("<HH", answer, 10)
    assert sequence == 9
    return result, answer[14:]


def test_messages_to_a_core(session: Session) -> None:
    """Port 0 answers as tools expect (version, read, write, fill); port 1 is a doorbell."""
    _, load = session.place(0, 0, exchange, "NONE")
    session.place(1, 1, exchange, "NONE")
    session.transceiver.execute_flood(session.cores(), session.file, APP, wait=True)
    session.wait(CPUState.READY)
    session.transceiver.send_signal(APP, Signal.START)
    session.wait(CPUState.PAUSED)
    core = (1, 1, 3)
    result, answer = ask(session, core, 0, 0)
    assert result == 0x80
    assert struct.unpack_from("<I", answer)[0] >> 16 == 0x0101
    assert answer[0] == core[2]
    assert answer[12:].startswith(b"spindl/SpiNNaker\0")
    content = bytes(range(100))
    assert ask(session, core, 0, 3, A, len(content), 0, data=content)[0] == 0x80
    assert ask(session, core, 0, 2, A, len(content), 0) == (0x80, content)
    assert ask(session, core, 0, 5, A, 0xABCD0123, 8)[0] == 0x80
    assert ask(session, core, 0, 2, A, 12, 0)[1] == struct.pack("<II", 0xABCD0123, 0xABCD0123) + content[8:12]
    assert ask(session, core, 0, 2, A, 257, 0)[0] == 0x81
    assert ask(session, core, 0, 77)[0] == 0x83
    for p in CORES:
        assert ask(session, (0, 0, p), 1, 0, 5 << 8 | COMMANDS["RUN"])[0] == 0x80
    _until(session, {(0, 0): load})


def test_chips_meet_under_sc_and_mp(session: Session) -> None:
    """The host loads the router entries of the barriers; SC&MP's own traffic goes on beside ours."""

    def steps(data: int, index: int) -> tuple[Step, ...]:
        return (Step(0, 0), *(Step(0, i, barrier_before=True, machine=True) for i in range(1, 20)))

    link_there, link_back = 1, 4  # (0, 0) to (1, 1) and back
    loads = {}
    for number, (x, y) in enumerate(CHIPS):
        leader = session.transceiver.read_memory(x, y, PHYSICAL_NUMBERS, 2)[1]
        cores, no_cores = [leader], list[int]()
        arrive = ([], cores) if number == 0 else ([link_back], no_cores)
        release = ([link_there], cores) if number == 0 else ([], cores)
        entries = [
            MulticastRoutingEntry(KEYS[name], KEY_MASK, RoutingEntry(processor_ids=to_cores, link_ids=links))
            for name, (links, to_cores) in (("ARRIVE", arrive), ("RELEASE", release))
        ]
        session.transceiver.load_multicast_routes(x, y, entries, APP)
        _, loads[x, y] = session.place(x, y, steps, "RUN", chip=number, chips=len(CHIPS))
    session.transceiver.execute_flood(session.cores(), session.file, APP, wait=True)
    session.wait(CPUState.READY)
    session.transceiver.send_signal(APP, Signal.START)
    for _ in range(100):
        results = [session.left(x, y, load, i) for (x, y), load in loads.items() for i in range(len(CORES))]
        assert [result.error for result in results if result.error] == []
        if all(result.finished for result in results):
            break
    assert {result.counters["steps"] for result in results} == {20}
    assert results[0].counters["packets_sent"] >= 19
