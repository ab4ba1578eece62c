"""Uniform random multicast traffic on a whole machine: trees, routing tables, and the program that makes it.

Every application core is the source of one tree with `fan_out` leaves, drawn evenly from all application cores. A tree
grows leaf by leaf from its nearest chip, along a shortest path with random choices. Cores send at random intervals of
0.5 to 1.5 times the mean, count what arrives, and sleep in between.
"""

from __future__ import annotations

import random
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from spindl.emulator import Machine
from spindl.machine import Topology

SOURCES = range(1, 17)  # cores 1 to 16: as many as work on an average chip, less the monitor
_SETTINGS = 0x400000  # key, mean interval, seed
_COUNTS = 0x400020  # received, sent, blocked

PROGRAM = f"""
    ldr r11, =0x10000000
    ldr r10, =0x11000000
    ldr r0, =0xfffff000
    mov r1, #0x50                   @ timer and packets wake the core
    str r1, [r0, #0x10]
    ldr r0, ={_SETTINGS}
    ldm r0, {{r7, r8, r9}}            @ key, interval, random state
    mov r4, #0
    mov r5, #0
    mov r6, #0
    str r4, [r11]
    mov r0, #0x20
    str r0, [r10, #8]
    bl draw
    mov r0, #0xa3                   @ on, interrupt, 32 bits, once
    str r0, [r10, #8]
loop:
    ldr r0, [r11, #0xc]
    tst r0, #0x80000000
    beq no_packet
    ldr r0, [r11, #0x14]
    add r4, r4, #1
    b loop
no_packet:
    ldr r0, [r10, #0x10]
    tst r0, #1
    beq sleep
    str r0, [r10, #0xc]
    bl draw
    ldr r0, [r11]
    tst r0, #0x10000000             @ room in the transmitter
    addeq r6, r6, #1
    strne r7, [r11, #8]
    addne r5, r5, #1
    b loop
sleep:
    ldr r0, ={_COUNTS}
    stm r0, {{r4, r5, r6}}
    mcr p15, 0, r0, c7, c0, 4
    b loop
draw:                               @ 0.5 to 1.5 intervals, by an xorshift generator
    eor r9, r9, r9, lsl #13
    eor r9, r9, r9, lsr #17
    eor r9, r9, r9, lsl #5
    umull r1, r0, r9, r8
    add r0, r0, r8, lsr #1
    str r0, [r10]
    bx lr
"""


@dataclass(frozen=True)
class Point:
    """What a machine did under one load, all in packets (of 40 bits) a second and chip.

    Attributes:
        offered: what the cores tried to send; sent: what fitted into their transmitters.
        accepted: what arrived, divided by the fan-out; dropped: how often routers gave up a packet.
    """

    offered: float
    sent: float
    accepted: float
    dropped: float


def distances(topology: Topology) -> list[list[int]]:
    """Hops between any two chips, by index; a path exists between all of them."""
    index = {(place.x, place.y): i for i, place in enumerate(topology.places)}
    neighbours = [[index[xy] for xy in place.neighbours if xy is not None] for place in topology.places]
    rows = []
    for start in range(len(neighbours)):
        row = [-1] * len(neighbours)
        row[start] = 0
        queue = deque([start])
        while queue:
            chip = queue.popleft()
            for to in neighbours[chip]:
                if row[to] < 0:
                    row[to] = row[chip] + 1
                    queue.append(to)
        rows.append(row)
    return rows


def routing_tables(topology: Topology, fan_out: int, seed: int) -> list[list[tuple[int, int, int]]]:
    """The multicast entries of every chip, by index. Key of a tree: index of the source's chip * 32 + its core."""
    rng = random.Random(seed)
    index = {(place.x, place.y): i for i, place in enumerate(topology.places)}
    links = [[(link, index[xy]) for link, xy in enumerate(p.neighbours) if xy is not None] for p in topology.places]
    hops = distances(topology)
    everyone = [(chip, core) for chip in range(len(links)) for core in SOURCES]
    tables: list[list[tuple[int, int, int]]] = [[] for _ in links]
    for source, core in everyone:
        routes, came_by = {source: 0}, {source: -1}
        leaves = sorted(rng.sample(everyone, fan_out), key=lambda leaf: hops[source][leaf[0]])
        for chip, leaf_core in leaves:
            at = min(routes, key=lambda known: hops[known][chip])
            while at != chip:
                link, to = rng.choice([step for step in links[at] if hops[step[1]][chip] < hops[at][chip]])
                routes[at] |= 1 << link
                routes.setdefault(to, 0)
                came_by[to] = link
                at = to
            routes[chip] |= 1 << (6 + leaf_core)
        for chip, route in routes.items():
            if route != 1 << came_by[chip] if came_by[chip] >= 0 else True:  # straight on needs no entry
                tables[chip].append((source * 32 + core, 0xFFFFFFFF, route))
    return tables


def start(machine: Machine, code: bytes, load: float, tables: list[list[tuple[int, int, int]]], seed: int = 1) -> None:
    """Loads tables and program, and starts all sources at `load` packets a second and chip."""
    rng = random.Random(seed)
    interval = round(len(SOURCES) * 200e6 / load)
    for chip, table in zip(machine, tables, strict=True):
        chip.write_register(0xF1000000, 0x00400001)  # SARK's setting: on, wait1 240 router clocks, wait2 none
        chip.load_routes(table)
        for core in SOURCES:
            view = chip.physical(core)
            view.write(0, code)
            view.write(_SETTINGS, struct.pack("<3I", chip.index * 32 + core, interval, rng.randrange(1, 1 << 32)))
            view.start()


def counts(machine: Machine) -> tuple[int, int, int, int]:
    """Received, sent, blocked, dropped of the whole machine until now."""
    received = sent = blocked = dropped = 0
    for chip in machine:
        dropped += chip.counters["dropped"]
        for core in SOURCES:
            r, s, b = struct.unpack("<3I", chip.physical(core).read(_COUNTS, 12))
            received, sent, blocked = received + r, sent + s, blocked + b
    return received, sent, blocked, dropped


def measure(
    make: Callable[[], Machine], code: bytes, load: float, tables: list[list[tuple[int, int, int]]], fan_out: int
) -> Point:
    """One load: half a millisecond to get going, then one millisecond of measuring."""
    machine = make()
    start(machine, code, load, tables)
    machine.run(0.0005)
    before = counts(machine)
    machine.run(0.001)
    received, sent, blocked, dropped = (b - a for a, b in zip(before, counts(machine), strict=True))
    per = 1 / (0.001 * len(tables))
    machine.close()
    return Point((sent + blocked) * per, sent * per, received / fan_out * per, dropped * per)
