"""Rings: every chip sends to its successor at the same moment, and adds what comes from the one before it."""

from __future__ import annotations

import numpy as np
import pytest

from spindl.emulator import Faults, emulate
from spindl.machine import parse_topology
from spindl.machine.topology import XY
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import Setting
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import CONTROL, SDRAM, Result, Route, stream_routes, walk_chips

RING = ((0, 0), (1, 0), (1, 1), (0, 1))
CHIPS = len(RING)
ROUNDS = 2 * (CHIPS - 1)
OWN, COME = 0x400000, 0x405000
OUT = 0x100000
SETTING = Setting(((SDRAM, CONTROL, True),), chips=CHIPS, time_out=200)


def kernel(name: str, node: int, **values: int) -> Step:
    return Step(KERNELS[name].number, node, words=KERNELS[name].words(values))


def stream(place: int, way: int) -> int:
    return 64 + 2 * (2 * place + way)


def ring_core(place: int, way: int, shard: int, memory: int, machine: bool) -> tuple[Step, ...]:
    """Reduce-scatter and all-gather of CHIPS shards of `shard` int32; way 0: to the next chip, 1: to the one before."""
    step = -1 if way else 1
    before = (place - step) % CHIPS
    at = [OWN + 4 * shard * k for k in range(CHIPS)]
    room = [COME + 4 * (shard + 1) * k for k in range(2)]

    def listen(turn: int) -> Step:
        values = {"slot": turn % 2, "stream": stream(before, way), "block": turn, "y": room[turn % 2], "words": shard}
        return kernel("listen", turn, **values, receiver=0)

    load = Transfer(memory, OWN, 4 * shard * CHIPS)
    steps = [Step(0, 0, (load,)), listen(0)]
    if machine:
        steps.append(Step(0, 0, barrier_before=True, machine=True))
    for turn in range(ROUNDS):
        if turn + 1 < ROUNDS:
            steps.append(listen(turn + 1))
        mine, theirs = (place - step * turn) % CHIPS, (place - step * (turn + 1)) % CHIPS
        values = {"stream": stream(place, way), "block": turn, "x": at[mine], "words": shard, "receivers": 1, "gap": 0}
        steps += [kernel("send", turn, **values), kernel("receive", turn, slot=turn % 2)]
        come = room[turn % 2] + 4
        if turn < CHIPS - 1:
            values = {"x": come, "y": at[theirs], "x_bytes": 4, "y_bytes": 4, "rows": 1, "count": shard}
            steps.append(kernel("sum_rows", turn, **values, x_pitch=4 * shard, first=0))
        else:
            steps.append(kernel("copy", turn, x=come, y=at[theirs], words=shard))
    steps.append(Step(0, 0, stores=(Transfer(memory + OUT, OWN, 4 * shard * CHIPS),)))
    return tuple(steps)


def ring(image: Image, shard: int, ways: int, *, machine: bool = True, faults: Faults | None = None) -> Result:
    """All of it on bare chips; raises if a sum is wrong."""
    topology = parse_topology("spin3")
    random = np.random.default_rng(shard)
    values = random.integers(-(2**29), 2**29, (CHIPS, ways, CHIPS * shard)).astype(np.int32)
    schedules: dict[XY, list[Schedule | bytes]] = {}
    memory: dict[XY, dict[int, bytes]] = {}
    routes: dict[XY, list[Route]] = {xy: [] for xy in RING}
    for place, xy in enumerate(RING):
        places = [SDRAM + 0x10000 * way for way in range(ways)]
        tables = [ring_core(place, way, shard, at, machine) for way, at in enumerate(places)]
        schedules[xy] = [Schedule(steps, image.version, Tables(cores=ways)) for steps in tables]
        memory[xy] = {at: values[place, way].tobytes() for way, at in enumerate(places)}
        for way in range(ways):
            to = RING[(place + (-1 if way else 1)) % CHIPS]
            for chip, entries in stream_routes(topology, stream(place, way), (xy, way), {to: [way]}).items():
                routes[chip] += entries
    bare = emulate("spin3", connected=False, faults=faults)
    done = walk_chips(image, schedules, memory, SETTING, routes=routes, machine=bare)
    done.check()
    for xy in RING:
        for way in range(ways):
            found = np.frombuffer(done.read(SDRAM + 0x10000 * way + OUT, 4 * shard * CHIPS, xy), np.int32)
            assert (found == values[:, way].sum(0, np.int32)).all(), (xy, way)
    return done


@pytest.mark.parametrize("ways", [1, 2])
def test_all_chips_send_at_the_same_moment(image: Image, ways: int) -> None:
    done = ring(image, 1000, ways)
    for cores in done.cores.values():
        for core in cores:
            assert core.counters["packets_sent"] < 1.02 * ROUNDS * 1002, "nothing twice"


@pytest.mark.parametrize("shard", [1, 7, 300])
def test_chips_that_begin_when_they_like(image: Image, shard: int) -> None:
    """Without a barrier a block may come before its receiver listens."""
    ring(image, shard, 2, machine=False)


def test_a_ring_that_loses_packets(image: Image) -> None:
    """Each core waits in `send` while it lacks words itself."""
    done = ring(image, 500, 2, faults=Faults(packet_loss=0.02, seed=5))
    assert sum(core.counters["packets_sent"] for core in done.cores[0, 0]) > 2 * ROUNDS * 502
