"""Blocks from core to cores, on a chip and between chips: all words arrive, whatever the network does to packets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindl.emulator import Faults, emulate
from spindl.machine import parse_topology
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import Setting
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.program.stream import head
from spindl.run.emu.direct import CONTROL, SDRAM, Result, stream_routes, walk_chips

STREAM = 6
X, Y = 0x400000, 0x404000
BLOCK_BYTES = 4096
OUT = SDRAM + 0x100000
CHIPS = ((0, 0), (1, 0), (0, 1), (1, 1))
SETTING = Setting(((SDRAM, CONTROL, True),), chips=4, time_out=60)


def words_of(block: int, count: int) -> bytes:
    return np.random.default_rng(block).integers(0, 2**32, count, np.uint32).tobytes()


def kernel(name: str, node: int, **values: int) -> Step:
    return Step(KERNELS[name].number, node, words=KERNELS[name].words(values))


def sender(sizes: list[int], receivers: int, gap: int = 0, stream: int = STREAM) -> tuple[Step, ...]:
    steps = []
    for block, words in enumerate(sizes):
        values = {"stream": stream, "block": block, "x": X, "words": words, "receivers": receivers, "gap": gap}
        loads = (Transfer(SDRAM + block * BLOCK_BYTES, X, 4 * words),)
        steps.append(Step(KERNELS["send"].number, block, loads, words=KERNELS["send"].words(values), ordered=True))
    return tuple(steps)


def receiver(sizes: list[int], number: int, stream: int = STREAM) -> tuple[Step, ...]:
    """Listens one block ahead."""

    def listen(block: int) -> Step:
        at = Y + BLOCK_BYTES * (block % 2)
        values = {"slot": block % 2, "stream": stream, "block": block, "y": at, "words": sizes[block]}
        return kernel("listen", block, **values, receiver=number)

    steps = [listen(0)]
    for block, words in enumerate(sizes):
        if block + 1 < len(sizes):
            steps.append(listen(block + 1))
        steps.append(kernel("receive", block, slot=block % 2))
        place = OUT + 0x20000 * number + block * BLOCK_BYTES
        steps.append(Step(0, block, stores=(Transfer(place, Y + BLOCK_BYTES * (block % 2) + 4, 4 * words),)))
        steps.append(Step(0, block, ordered=True))  # the next listen uses the other buffer, the one after it this
    return tuple(steps)


def broadcast(image: Image, sizes: list[int], faults: Faults | None = None, gap: int = 0) -> Result:
    """From core 0 of chip (0, 0) to one core of each chip."""
    schedules, receivers = {}, {}
    for number, xy in enumerate(CHIPS):
        first = (sender(sizes, 0b1111, gap),) if number == 0 else ()
        tables = [*first, receiver(sizes, number)]
        schedules[xy] = [Schedule(steps, image.version) for steps in tables]
        receivers[xy] = [len(tables) - 1]
    routes = stream_routes(parse_topology("spin3"), STREAM, ((0, 0), 0), receivers)
    memory = {SDRAM + block * BLOCK_BYTES: words_of(block, words) for block, words in enumerate(sizes)}
    machine = emulate("spin3", connected=False, faults=faults)
    done = walk_chips(image, schedules, {(0, 0): memory}, SETTING, routes=routes, machine=machine)
    done.check()
    for number, xy in enumerate(CHIPS):
        for block, words in enumerate(sizes):
            found = done.read(OUT + 0x20000 * number + block * BLOCK_BYTES, 4 * words, xy)
            assert found == words_of(block, words), (xy, block)
    return done


def test_blocks_of_all_sizes_reach_all_chips(image: Image) -> None:
    sizes = [1, 2, 3, 31, 32, 33, 100, 1022, 1023, 1, 500, 17, 64, 999, 7, 8, 9, 300]
    done = broadcast(image, sizes)
    sent = done.cores[0, 0][0].counters["packets_sent"]
    assert sent < 1.2 * sum(size + 1 for size in sizes), "hardly anything twice"


def test_the_head_is_the_defined_one(image: Image) -> None:
    sizes = [5, 1023, 64]
    routes = stream_routes(parse_topology("spin3"), STREAM, ((0, 0), 0), {(0, 0): [1]})
    memory = {SDRAM + block * BLOCK_BYTES: words_of(block, words) for block, words in enumerate(sizes)}
    heads = [Transfer(OUT + 4 * block, Y + BLOCK_BYTES * (block % 2), 4) for block in range(3)]
    takes = list(receiver(sizes, 0))
    for block, at in enumerate(place for place, step in enumerate(takes) if step.stores):
        takes[at] = replace(takes[at], stores=(*takes[at].stores, heads[block]))
    schedules = [Schedule(steps, image.version) for steps in (sender(sizes, 1), tuple(takes))]
    setting = Setting(SETTING.regions, time_out=60)
    done = walk_chips(image, {(0, 0): schedules}, {(0, 0): memory}, setting, routes=routes)
    done.check()
    words = [np.frombuffer(words_of(block, count), "<u4").tolist() for block, count in enumerate(sizes)]
    found = np.frombuffer(done.read(OUT, 12), "<u4").tolist()
    assert found == [head(STREAM, block, each) for block, each in enumerate(words)]


def test_lost_packets_are_sent_again(image: Image) -> None:
    sizes = [50, 1023, 200, 1, 700]
    done = broadcast(image, sizes, Faults(packet_loss=0.05, seed=3))
    counters = done.cores[0, 0][0].counters
    assert counters["packets_sent"] - counters["packets_repeated"] == sum(size + 1 for size in sizes)
    assert 0.05 * sum(sizes) < counters["packets_repeated"] < 0.5 * sum(sizes)


def test_changed_keys_do_no_harm(image: Image) -> None:
    broadcast(image, [400, 1023, 30, 600], Faults(packet_corruption=0.0005, seed=4))


def test_a_receiver_that_listens_late(image: Image) -> None:
    sizes = [300, 20]
    busy = kernel("copy", 0, x=X, y=Y, words=10000)
    routes = stream_routes(parse_topology("spin3"), STREAM, ((0, 0), 0), {(0, 0): [1]})
    schedules = [sender(sizes, 1 << 5), (busy, busy, busy, *receiver(sizes, 5))]
    memory = {SDRAM + block * BLOCK_BYTES: words_of(block, words) for block, words in enumerate(sizes)}
    setting = Setting(SETTING.regions, time_out=60)
    done = walk_chips(
        image,
        {(0, 0): [Schedule(steps, image.version) for steps in schedules]},
        {(0, 0): memory},
        setting,
        routes=routes,
    )
    done.check()
    assert done.read(OUT + 0x20000 * 5, 1200) == words_of(0, 300)
    assert done.read(OUT + 0x20000 * 5 + BLOCK_BYTES, 80) == words_of(1, 20)


def alone(image: Image, steps: tuple[Step, ...]) -> Result:
    routes = stream_routes(parse_topology("spin3"), STREAM, ((0, 0), 0), {(0, 0): [0]})
    setting = Setting(SETTING.regions, time_out=8)
    return walk_chips(image, {(0, 0): [Schedule(steps, image.version)]}, {}, setting, routes=routes)


def test_a_missing_stream_is_named(image: Image) -> None:
    found = alone(image, (Step(0, 0), *receiver([100], 3))).cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.step, found.kernel) == ("RECEIVE_TIME_OUT", 2, KERNELS["receive"].number)
    assert found.details == (STREAM << 14, 101)
    assert f"stream {STREAM}, block 0 modulo 16" in str(found)


def test_missing_receivers_are_named(image: Image) -> None:
    found = alone(image, sender([10], 0b1010)).cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.step) == ("ACKNOWLEDGE_TIME_OUT", 0)
    assert found.details == (STREAM << 14, 0b1010)


BAD = [
    ("send", {"stream": 7, "block": 0, "x": X, "words": 1, "receivers": 1, "gap": 0}),
    ("send", {"stream": 6, "block": 0, "x": X, "words": 0, "receivers": 1, "gap": 0}),
    ("send", {"stream": 6, "block": 0, "x": X, "words": 1024, "receivers": 1, "gap": 0}),
    ("listen", {"slot": 2, "stream": 6, "block": 0, "y": Y, "words": 1, "receiver": 0}),
    ("listen", {"slot": 0, "stream": 6, "block": 0, "y": 0x40E000 - 8, "words": 2, "receiver": 0}),
    ("listen", {"slot": 0, "stream": 6, "block": 0, "y": Y + 2, "words": 2, "receiver": 0}),
    ("listen", {"slot": 0, "stream": 6, "block": 0, "y": Y, "words": 2, "receiver": 32}),
    ("receive", {"slot": 1}),
]


@pytest.mark.parametrize(("name", "values"), BAD)
def test_refused_arguments(image: Image, name: str, values: dict[str, int]) -> None:
    found = alone(image, (kernel(name, 0, **values),)).cores[0, 0][0].error
    assert found is not None
    assert found.name == "ARGUMENT"


def test_a_slot_is_listened_to_again_after_its_receive(image: Image) -> None:
    listen = kernel("listen", 0, slot=1, stream=STREAM, block=0, y=Y, words=1, receiver=0)
    found = alone(image, (listen, listen)).cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.step) == ("ARGUMENT", 1)


def test_a_whole_board(image: Image) -> None:
    """48 chips meet, and 32 of them, as many as one send can wait for, get two blocks."""
    topology = parse_topology("spin5")
    chips = [(place.x, place.y) for place in topology.places]
    sizes = [1023, 200]
    meet = Step(0, 0, barrier_before=True, machine=True)
    schedules = {xy: [Schedule((*receiver(sizes, n), meet), image.version)] for n, xy in enumerate(chips[:32])}
    schedules |= {xy: [Schedule((meet,), image.version)] for xy in chips[32:]}
    schedules[chips[0]] = [
        Schedule((*sender(sizes, 0xFFFFFFFF), meet), image.version, Tables(2)),
        Schedule((*receiver(sizes, 0), meet), image.version, Tables(2)),
    ]
    receivers = {xy: [1 if n == 0 else 0] if n < 32 else [] for n, xy in enumerate(chips)}
    routes = stream_routes(topology, STREAM, (chips[0], 0), receivers)
    memory = {SDRAM + block * BLOCK_BYTES: words_of(block, words) for block, words in enumerate(sizes)}
    setting = Setting(SETTING.regions, chips=len(chips), time_out=100)
    done = walk_chips(image, schedules, {chips[0]: memory}, setting, routes=routes, topology="spin5")
    done.check()
    for number, xy in enumerate(chips[:32]):
        for block, words in enumerate(sizes):
            place = OUT + 0x20000 * number + block * BLOCK_BYTES
            assert done.read(place, 4 * words, xy) == words_of(block, words), (xy, block)
