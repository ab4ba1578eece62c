"""Peripherals, memories, router and links, driven by small programs without a monitor."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from spindl.emulator import Faults, Machine
from spindl.emulator.records import Arrival

Assemble = Callable[[str], bytes]
Bare = Callable[..., Machine]

SLEEP = "sleep: mcr p15, 0, r0, c7, c0, 4\n b sleep\n"
RESULTS = 0x400000


def load(machine: Machine, xy: tuple[int, int], core: int, program: bytes) -> None:
    view = machine.chip(*xy).physical(core)
    view.write(0, program)
    view.start()


def words(machine: Machine, xy: tuple[int, int], core: int, count: int, address: int = RESULTS) -> tuple[int, ...]:
    data = machine.chip(*xy).physical(core).read(address, 4 * count)
    return struct.unpack(f"<{count}I", data)


def test_timer_interrupts_come_at_their_period(bare: Bare, assemble: Assemble) -> None:
    machine = bare("1x1")
    program = assemble(
        """
        b start
        nop
        nop
        nop
        nop
        nop
        ldr pc, [pc, #-0xff0]       @ the vector comes from the interrupt controller
    start:
        mov r0, #0
        mcr p15, 0, r0, c1, c0, 0   @ vectors at 0
        ldr r0, =0xfffff000
        adr r1, tick
        str r1, [r0, #0x100]
        mov r1, #0x24
        str r1, [r0, #0x200]
        mov r1, #0x10
        str r1, [r0, #0x10]
        mov r0, #0x11000000
        ldr r1, =10000
        str r1, [r0]
        mov r1, #0xe2
        str r1, [r0, #8]
        mov r5, #0x400000
        mov r4, #0
        msr cpsr_c, #0x53
    """
        + SLEEP
        + """
    tick:
        add r4, r4, #1
        str r4, [r5]
        mov r8, #0x11000000
        str r8, [r8, #0x0c]
        ldr r8, =0xfffff000
        str r8, [r8, #0x30]
        subs pc, lr, #4
    """
    )
    load(machine, (0, 0), 3, program)
    machine.run(0.01)
    assert words(machine, (0, 0), 3, 1)[0] in (199, 200)  # 10 ms of 50 us, less the set-up
    counters = machine.chip(0, 0).physical(3).counters
    assert counters["interrupts"] in (199, 200)
    assert counters["cycles"] < 20_000, "it sleeps in between"


def test_dma_copies_checks_and_takes_its_time(bare: Bare, assemble: Assemble) -> None:
    machine = bare("1x1")
    data = bytes(i * 7 & 255 for i in range(4096))
    machine.chip(0, 0).write(0x60001000, data)
    program = assemble(
        """
        mov r0, #0x30000000
        ldr r1, =0x60001000
        str r1, [r0, #4]
        ldr r1, =0x00402000
        str r1, [r0, #8]
        ldr r1, =0x01901000         @ read, CRC, bursts of 16 double words, 4096 bytes
        str r1, [r0, #0xc]
        mov r3, #0
    busy:
        ldr r1, [r0, #0x14]
        tst r1, #0x400
        beq busy
        mov r2, #0x400000
        str r1, [r2]
        ldr r1, [r0, #0x1c]
        str r1, [r2, #4]
    """
        + SLEEP
    )
    load(machine, (0, 0), 5, program)
    machine.run(0.001)
    status, crc = words(machine, (0, 0), 5, 2)
    assert status >> 24 == 5, "the core learns its number here"
    assert crc == zlib.crc32(data) ^ 0xFFFFFFFF
    assert machine.chip(0, 0).physical(5).read(0x402000, 4096) == data
    cycles = machine.chip(0, 0).physical(5).counters["cycles"]
    assert 3072 < cycles < 3072 * 1.1, "4096 bytes at 15 ns per word are 3072 cycles"


def test_a_queued_dma_follows(bare: Bare, assemble: Assemble) -> None:
    machine = bare("1x1")
    program = assemble(
        """
        mov r0, #0x30000000
        mov r1, #0x60000000
        str r1, [r0, #4]
        ldr r1, =0x00402000
        str r1, [r0, #8]
        ldr r2, =0x01800200
        str r2, [r0, #0xc]
        ldr r1, =0x00403000
        str r1, [r0, #8]
        str r2, [r0, #0xc]
        ldr r4, [r0, #0x14]
    first:
        ldr r1, [r0, #0x14]
        tst r1, #0x400
        beq first
        mov r1, #8
        str r1, [r0, #0x10]
    second:
        ldr r5, [r0, #0x14]
        tst r5, #0x400
        beq second
        mov r3, #0x400000
        stm r3, {r4, r5}
    """
        + SLEEP
    )
    machine.chip(0, 0).write(0x60000000, b"abcd" * 128)
    load(machine, (0, 0), 1, program)
    machine.run(0.001)
    queued, after = words(machine, (0, 0), 1, 2)
    assert queued & 5 == 5
    assert after & 5 == 0
    for base in (0x402000, 0x403000):
        assert machine.chip(0, 0).physical(1).read(base, 512) == b"abcd" * 128


def test_engines_share_the_memory(bare: Bare, assemble: Assemble) -> None:
    program = assemble(
        """
        mov r0, #0x30000000
        mov r1, #0x60000000
        str r1, [r0, #4]
        ldr r1, =0x00402000
        str r1, [r0, #8]
        ldr r1, =0x01804000
        str r1, [r0, #0xc]
    busy:
        ldr r1, [r0, #0x14]
        tst r1, #0x400
        beq busy
    """
        + SLEEP
    )

    def slowest(cores: int) -> int:
        machine = bare("1x1")
        for core in range(cores):
            load(machine, (0, 0), core, program)
        machine.run(0.003)
        return max(int(machine.chip(0, 0).physical(core).counters["cycles"]) for core in range(cores))

    alone, four = slowest(1), slowest(4)
    assert 16384 * 0.74 < alone < 16384 * 0.75 * 1.1
    assert 4 * 16384 / 3 * 0.99 < four < 4 * 16384 / 3 * 1.1, "four engines ask for 1068 MB/s of 600"


ROUTE = """
    ldr r0, =0xf1000000
    ldr r1, =0x00400001         @ on, wait1 240 router clocks
    str r1, [r0]
    ldr r0, =0xf1004000         @ route, key, mask tables of the router
    ldr r1, ={route}
    str r1, [r0]
    add r0, r0, #0x4000
    ldr r1, =0x1000
    str r1, [r0]
    add r0, r0, #0x4000
    ldr r1, =0xfffff000
    str r1, [r0]
"""

SEND = """
    mov r0, #0x10000000
    mov r1, #0
    str r1, [r0]
    ldr r1, ={key}
    ldr r2, ={count}
more:
    ldr r3, [r0]
    tst r3, #0x10000000         @ not full
    beq more
    str r1, [r0, #4]
    str r1, [r0, #8]
    add r1, r1, #1
    subs r2, r2, #1
    bne more
"""

RECEIVE = """
    mov r0, #0x10000000
    mov r4, #0x400000
    mov r5, #0
next:
    ldr r1, [r0, #0xc]
    tst r1, #0x80000000
    beq next
    ldr r2, [r0, #0x10]
    ldr r3, [r0, #0x14]
    add r5, r5, #1
    str r3, [r4, r5, lsl #2]
    str r5, [r4]
    b next
"""


@pytest.mark.parametrize("distance", [0, 1, 2])
def test_multicast_arrives_in_order(bare: Bare, assemble: Assemble, distance: int) -> None:
    """Across `distance` links; a chip without an entry on the way passes the packets straight on."""
    machine = bare("4x1")
    east, core_two = 1 << 0, 1 << (6 + 2)
    receive = assemble(ROUTE.format(route=core_two) + RECEIVE)
    first = ROUTE.format(route=east if distance else core_two)
    load(machine, (distance, 0), 2, receive)
    machine.run(0.0001)
    load(machine, (0, 0), 1, assemble(first + SEND.format(key=0x1000, count=200) + SLEEP))
    machine.run(0.001)
    got = words(machine, (distance, 0), 2, 201)
    assert got[0] == 200
    assert list(got[1:]) == list(range(0x1000, 0x1000 + 200))
    assert machine.chip(0, 0).counters["dropped"] == 0


def test_an_unread_receiver_holds_the_sender_when_waits_are_endless(bare: Bare, assemble: Assemble) -> None:
    machine = bare("4x1")
    endless = "ldr r0, =0xf1000000\n ldr r1, =0x00ff0001\n str r1, [r0]\n"
    load(machine, (1, 0), 2, assemble(ROUTE.format(route=1 << 8) + endless + SLEEP))
    load(machine, (0, 0), 1, assemble(ROUTE.format(route=1) + endless + SEND.format(key=0x1000, count=1000) + SLEEP))
    machine.run(0.01)
    assert not machine.chip(0, 0).physical(1).waiting, "still sending: nothing was lost, so nothing more fits"
    assert machine.chip(0, 0).counters["dropped"] == machine.chip(1, 0).counters["dropped"] == 0


def test_a_blocked_packet_is_dropped_after_wait1_and_reaches_the_dump_register(bare: Bare, assemble: Assemble) -> None:
    machine = bare("1x1")
    read_dump = """
        ldr r0, =0xf1000000
        mov r4, #0x400000
        ldr r1, [r0, #0x1c]
        ldr r2, [r0, #0x24]
        ldr r3, [r0, #0x28]
        ldr r5, [r0, #0x28]
        stm r4, {r1, r2, r3, r5}
    """
    load(machine, (0, 0), 2, assemble(SLEEP))
    wait = "ldr r1, =20000\n1: subs r1, r1, #1\n bne 1b\n"
    program = ROUTE.format(route=1 << 8) + SEND.format(key=0x1000, count=7) + wait + read_dump + SLEEP
    load(machine, (0, 0), 1, assemble(program))
    machine.run(0.001)
    key, outputs, status, second = words(machine, (0, 0), 1, 4)
    assert machine.chip(0, 0).counters["dropped"] == 3, "four fit into the receiver"
    assert key == 0x1004
    assert outputs == 1 << 8
    assert status == 1 << 31 | 1 << 30 | 1 << 8
    assert second & 0xC0000000 == 0, "reading the status clears it"
    assert machine.chip(0, 0).counters["blocked_cycles"] == 3 * 360


def test_emergency_routing_goes_round_a_blocked_link(bare: Bare, assemble: Assemble) -> None:
    """The link east of (0, 0) is held by a chip that accepts nothing more; the triangle over (1, 1) is free."""
    machine = bare("4x4")
    both_waits = "ldr r0, =0xf1000000\n ldr r1, =0x40040001\n str r1, [r0]\n"
    load(machine, (1, 0), 2, assemble(ROUTE.format(route=1 << 8) + RECEIVE))
    machine.run(0.0001)
    load(machine, (0, 0), 1, assemble(ROUTE.format(route=1) + both_waits + SEND.format(key=0x1000, count=300) + SLEEP))
    machine.run(0.002)
    assert words(machine, (1, 0), 2, 1)[0] == 300
    assert machine.chip(0, 0).counters["emergency"] > 0


def test_a_neighbour_reads_memory_without_software(bare: Bare, assemble: Assemble) -> None:
    machine = bare("2x1-mesh")
    machine.chip(1, 0).write(0x60000040, struct.pack("<I", 0x12345678))
    program = assemble(
        """
        ldr r0, =0xf2000034         @ this core becomes the monitor, so that replies reach it
        ldr r1, =0xf1000000
        ldr r2, =0x00400101
        str r2, [r1]
        mov r0, #0x10000000
        ldr r1, =0x00a00000         @ nearest neighbour, peek, link 0
        str r1, [r0]
        ldr r1, =0x60000040
        str r1, [r0, #8]
    wait:
        ldr r1, [r0, #0xc]
        tst r1, #0x80000000
        beq wait
        mov r4, #0x400000
        ldr r2, [r0, #0x10]
        ldr r3, [r0, #0x14]
        stm r4, {r1, r2, r3}
    """
        + SLEEP
    )
    load(machine, (0, 0), 1, program)
    machine.run(0.001)
    status, payload, key = words(machine, (0, 0), 1, 3)
    assert payload == 0x12345678
    assert key == 0x60000041
    assert status >> 24 & 7 == 0, "came by link 0"


def test_locks_and_interrupts_between_cores(bare: Bare, assemble: Assemble) -> None:
    machine = bare("1x1")
    waiter = assemble(
        """
        ldr r0, =0xfffff000
        mov r1, #0x40000
        str r1, [r0, #0x10]
        mcr p15, 0, r0, c7, c0, 4   @ until core 1 raises our line
        ldr r0, =0xf2000100
        ldr r1, [r0]                @ test and set: already taken
        ldr r2, =0xf2000180
        ldr r3, [r2]                @ test and clear
        ldr r4, [r2]
        mov r5, #0x400000
        stm r5, {r1, r3, r4}
    """
        + SLEEP
    )
    raiser = assemble(
        """
        ldr r0, =0xf2000100
        ldr r1, [r0]
        mov r5, #0x400000
        str r1, [r5]
        ldr r0, =0xf2000008
        ldr r1, =0x5ec00004
        str r1, [r0]
    """
        + SLEEP
    )
    load(machine, (0, 0), 2, waiter)
    machine.run(0.0001)
    load(machine, (0, 0), 1, raiser)
    machine.run(0.0001)
    assert words(machine, (0, 0), 1, 1) == (0,)
    assert words(machine, (0, 0), 2, 3) == (1 << 31, 1 << 31, 0)


def test_memory_maps(bare: Bare, assemble: Assemble) -> None:
    """SDRAM repeats every 128 MB, has two aliases, and everything else aborts."""
    machine = bare("1x1")
    program = assemble(
        """
        mov r0, #0x60000000
        ldr r1, =0xcafe
        str r1, [r0, #0x20]
        ldr r2, =0x78000020
        ldr r3, [r2]
        ldr r0, =0xe5000000
        strb r1, [r0, #5]
        ldr r0, =0xf5000004
        ldr r4, [r0]
        mov r5, #0x400000
        stm r5, {r3, r4}
        mov r0, #0x50000000
        ldr r0, [r0]
    """
        + SLEEP
    )
    load(machine, (0, 0), 1, program)
    machine.run(0.0001)
    assert words(machine, (0, 0), 1, 2) == (0xCAFE, 0xFE00)
    reports = machine.chip(0, 0).reports
    assert (reports[0].kind, reports[0].label, reports[0].core, reports[0].address) == (
        "unmapped",
        "program error",
        1,
        0x50000000,
    )


def test_strict_machines_notice_uninitialised_memory(bare: Bare, assemble: Assemble) -> None:
    program = assemble(
        """
        mov r0, #0x400000
        str r0, [r0]
        ldr r1, [r0]
        ldr r1, [r0, #4]
    """
        + SLEEP
    )
    machine = bare("1x1", strict="warn")
    load(machine, (0, 0), 1, program)
    machine.run(0.0001)
    assert [(r.kind, r.address) for r in machine.chip(0, 0).reports] == [("uninitialised", 0x400004)]


def test_packet_loss_is_counted_and_repeatable(bare: Bare, assemble: Assemble) -> None:
    def received(seed: int) -> tuple[int, ...]:
        machine = bare("4x1", Faults(packet_loss=0.1, seed=seed))
        load(machine, (1, 0), 2, assemble(ROUTE.format(route=1 << 8) + RECEIVE))
        machine.run(0.0001)
        load(machine, (0, 0), 1, assemble(ROUTE.format(route=1) + SEND.format(key=0x1000, count=500) + SLEEP))
        machine.run(0.001)
        got = words(machine, (1, 0), 2, 501)
        assert got[0] + machine.chip(0, 0).counters["links"][0][1] == 500
        return got

    first = received(1)
    assert 400 < first[0] < 490
    assert received(1) == first
    assert received(2) != first


def test_multicast_packets_are_disturbed_at_rates_that_change(bare: Bare, assemble: Assemble) -> None:
    """Losses, repeats and packets behind later ones, from one snapshot; rates of 0 disturb nothing."""
    machine = bare("2x1-mesh")
    load(machine, (1, 0), 2, assemble(ROUTE.format(route=1 << 8) + RECEIVE))
    machine.run(0.0001)
    load(machine, (0, 0), 1, assemble(ROUTE.format(route=1) + SEND.format(key=0x1000, count=500) + SLEEP))
    snapshot = machine.snapshot()

    def received(faults: Faults) -> list[int]:
        machine.restore(snapshot)
        machine.set_rates(faults)
        machine.run(0.001)
        count = words(machine, (1, 0), 2, 1)[0]
        return list(words(machine, (1, 0), 2, 1 + count)[1:])

    def counts() -> tuple[int, int, int]:
        counters = machine.chip(0, 0).counters
        return (counters["links"][0][1], *counters["links_disturbed"][0])

    everything = list(range(0x1000, 0x1000 + 500))
    assert received(Faults()) == everything and counts() == (0, 0, 0)
    lost = received(Faults(seed=1, multicast_loss=0.1))
    assert lost == sorted(set(lost)) and len(lost) == 500 - counts()[0] < 480 and counts()[1:] == (0, 0)
    twice = received(Faults(seed=1, multicast_repeat=0.1))
    assert sorted(set(twice)) == everything and twice == sorted(twice) and len(twice) == 500 + counts()[1] > 520
    late = received(Faults(seed=1, multicast_reorder=0.02))
    assert len(set(late)) == len(late) >= 499, "the last one may still wait for a packet behind it"
    assert late != sorted(late) and counts()[2] > 0
    assert received(Faults(seed=1, multicast_reorder=0.02)) == late != received(Faults(seed=2, multicast_reorder=0.02))


def test_a_dead_link_is_dead_one_way(bare: Bare, assemble: Assemble) -> None:
    machine = bare("2x1-mesh", Faults(links=frozenset({(0, 0, 0)})))
    for xy, link in (((0, 0), 0), ((1, 0), 3)):
        load(machine, xy, 2, assemble(RECEIVE))
        load(
            machine,
            xy,
            1,
            assemble(ROUTE.format(route=1 << link) + SEND.format(key=0x1000 if link else 0x1800, count=1) + SLEEP),
        )
    machine.run(0.0001)
    assert machine.chip(0, 0).counters["links"][0][0] == 0
    assert machine.chip(1, 0).counters["links"][3][0] == 1


def test_threads_do_not_change_anything(bare: Bare, assemble: Assemble) -> None:
    def fingerprint(threads: int) -> int:
        machine = bare("4x4", threads=threads)
        for view in machine:
            for core in range(2, 8):
                route = ROUTE.format(route=1 << (core % 6) | 1 << (6 + 1))
                load(
                    machine, (view.x, view.y), core, assemble(route + SEND.format(key=0x1000 + core, count=300) + SLEEP)
                )
            load(machine, (view.x, view.y), 1, assemble(RECEIVE))
        machine.run(0.0005)
        assert sum(view.counters["dropped"] for view in machine) > 0
        return machine.fingerprint()

    assert fingerprint(1) == fingerprint(2) == fingerprint(3)


WATCHDOG = """
    ldr r0, =0xfffff000
    mov r1, #1
    str r1, [r0, #0x10]             @ its interrupt wakes the core
    ldr r0, =0xf3000000
    ldr r1, =0x1acce551
    str r1, [r0, #0xc00]
    ldr r1, =10000
    str r1, [r0]
    mov r1, #3                      @ count and interrupt, then reset
    str r1, [r0, #8]
    str r1, [r0, #0xc00]            @ locked again
    mov r1, #0
    str r1, [r0, #8]                @ so this changes nothing
    mov r4, #0
    mov r5, #0xe5000000
again:
    mcr p15, 0, r0, c7, c0, 4
    ldr r2, [r0, #0x14]
    add r4, r4, r2
    str r4, [r5, #0x100]
    ldr r1, =0x1acce551
    str r1, [r0, #0xc00]
    cmp r4, #5
    strlt r1, [r0, #0xc]            @ fed five times, then no more
    blt again
"""


def test_the_watchdog_barks_then_bites(bare: Bare, assemble: Assemble) -> None:
    machine = bare("2x1-mesh")
    chip = machine.chip(0, 0)
    load(machine, (0, 0), 3, assemble(WATCHDOG + SLEEP))
    machine.run(5.5 * 15000 / 200e6)
    assert struct.unpack("<I", chip.read(0xE5000100, 4)) == (5,)
    assert chip.read_register(0xF2000030) == 0
    assert chip.read_register(0xF3000004) == pytest.approx(5000, rel=0.1)
    before = chip.physical(3).counters["instructions"]
    assert before > 0
    machine.run(15000 / 200e6)
    assert chip.read_register(0xF2000030) == 1, "the reset code says why"
    assert struct.unpack("<I", chip.read(0xE5000100, 4)) == (5,), "memory stays"
    assert chip.read_register(0xF3000008) == 0
    machine.run(0.001)
    assert chip.physical(3).counters["instructions"] == 0, "the core is in reset"
    assert chip.reports == []


def test_a_frame_that_comes_while_its_interrupt_is_cleared_is_not_forgotten(bare: Bare) -> None:
    """SC&MP clears the request when it has seen no frame; one may have come since, and no further one need follow."""
    machine = bare("1x1")
    chip = machine.chip(0, 0)
    control, status, receive_next, clear = (0xF400C000 + offset for offset in (0x00, 0x04, 0x10, 0x20))
    chip.write_register(control, 0x45B)
    machine.replay([Arrival(1000, 0, 0, bytes(64)), Arrival(2000, 0, 0, bytes(64))], 0.0001)
    assert chip.read_register(status) >> 1 == 2
    chip.write_register(clear, 0x10)
    assert chip.read_register(clear) & 0x10
    for _ in range(2):
        chip.write_register(receive_next, 1)
    chip.write_register(clear, 0x10)
    assert chip.read_register(clear) & 0x10 == 0
