"""What a word between neighbouring chips costs, measured on the emulator."""

from __future__ import annotations

from statistics import median

import pytest

from spindl.machine import parse_topology
from spindl.machine.topology import XY
from spindl.program import costs
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import Setting
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import CONTROL, SDRAM, Result, Route, stream_routes, walk_chips

Place = tuple[XY, int]
"""A chip and a core's index on it."""
HERE, THERE = (0, 0), (1, 0)
OUT = SDRAM + 0x100000
SENT, COME = 0x400000, 0x404000
BUFFER = 0x1010


def kernel(name: str, node: int, **values: int) -> Step:
    return Step(KERNELS[name].number, node, words=KERNELS[name].words(values))


def core(words: int, blocks: int, out: int | None, into: int | None) -> tuple[Step, ...]:
    """Sends blocks of stream `out` and receives those of stream `into`, one of each in turn, as a planned core does."""
    steps = []

    def listen(turn: int) -> Step:
        values = {"slot": turn % 2, "stream": into or 0, "block": turn, "y": COME + BUFFER * (turn % 2)}
        return kernel("listen", turn, **values, words=words, receiver=0)

    if into is not None:
        steps.append(listen(0))
    steps.append(Step(0, 0, barrier_before=True, machine=True))
    for turn in range(blocks):
        if into is not None and turn + 1 < blocks:
            steps.append(listen(turn + 1))
        if out is not None:
            at = SENT + BUFFER * (turn % 2)
            values = {"stream": out, "block": turn, "x": at, "words": words, "receivers": 1, "gap": costs.GAP}
            load = Transfer(SDRAM + 4096 * turn, at, 4 * words)
            steps.append(Step(KERNELS["send"].number, turn, (load,), (), KERNELS["send"].words(values)))
        if into is not None:
            store = Transfer(OUT + 4096 * turn, COME + BUFFER * (turn % 2) + 4, 4 * words)
            values = KERNELS["receive"].words({"slot": turn % 2})
            steps.append(Step(KERNELS["receive"].number, turn, (), (store,), values))
            steps.append(Step(0, turn))
    steps.append(Step(0, 0, barrier_before=True, machine=True))
    return tuple(steps)


def run(image: Image, flows: list[tuple[Place, Place]], words: int, blocks: int, step_counters: bool = False) -> Result:
    """All flows, each from a core to a core, go on at once."""
    places = sorted({place for flow in flows for place in flow})
    chips = sorted({xy for xy, _ in places})
    schedules: dict[XY, list[Schedule | bytes]] = {}
    routes: dict[XY, list[Route]] = {xy: [] for xy in chips}
    for number, (start, (xy, index)) in enumerate(flows):
        for chip, entries in stream_routes(parse_topology("spin3"), 2 * number + 2, start, {xy: [index]}).items():
            routes[chip] += entries
    for xy in chips:
        cores = [place for place in places if place[0] == xy]
        assert [index for _, index in cores] == list(range(len(cores)))
        tables = []
        for place in cores:
            out = [2 * number + 2 for number, flow in enumerate(flows) if flow[0] == place]
            into = [2 * number + 2 for number, flow in enumerate(flows) if flow[1] == place]
            steps = core(words, blocks, out[0] if out else None, into[0] if into else None)
            tables.append(Schedule(steps, image.version, Tables(cores=len(cores))))
        schedules[xy] = [*tables]
    setting = Setting(((SDRAM, CONTROL, True),), chips=len(chips), time_out=100, step_counters=step_counters)
    memory = {xy: {SDRAM: bytes(4096 * blocks)} for xy in chips}
    done = walk_chips(image, schedules, memory, setting, routes=routes)
    done.check()
    return done


def per_block(image: Image, flows: list[tuple[Place, Place]], words: int) -> float:
    """Between two lengths, so that start and checks of the table drop out."""
    few, many = 4, 12

    def cycles(blocks: int) -> int:
        done = run(image, flows, words, blocks)
        return max(each.counters["cycles"] for cores in done.cores.values() for each in cores)

    return (cycles(many) - cycles(few)) / (many - few)


SEND = [((HERE, 0), (THERE, 0))]
BOTH_WAYS = [*SEND, ((THERE, 0), (HERE, 0))]
BESIDE = [*SEND, ((THERE, 1), (HERE, 1))]
CORNERS = ((0, 0), (1, 0), (1, 1), (0, 1))
RING = [((xy, 0), (CORNERS[(place + 1) % 4], 0)) for place, xy in enumerate(CORNERS)]
AGAINST = [((xy, 1), (CORNERS[(place - 1) % 4], 1)) for place, xy in enumerate(CORNERS)]


@pytest.mark.parametrize(("flows", "word"), [
    pytest.param(SEND, costs.SEND_WORD, id="send"),
    pytest.param(BESIDE, costs.SEND_WORD, id="another core receives"),
    pytest.param(BOTH_WAYS, costs.PASS_ON_WORD, id="both ways"),
    pytest.param(RING + AGAINST, costs.PASS_ON_WORD, id="two rings of four"),
])  # fmt: skip
def test_cycles_of_a_word(image: Image, flows: list[tuple[Place, Place]], word: int) -> None:
    found = (per_block(image, flows, 1000) - per_block(image, flows, 100)) / 900
    assert found == pytest.approx(word, rel=0.1)


def test_a_ring_alone_is_a_little_quicker(image: Image) -> None:
    """PASS_ON_WORD is that of rings that go on at once, as plans have them: their packets wait for each other."""
    found = (per_block(image, RING, 1000) - per_block(image, RING, 100)) / 900
    assert 0.85 * costs.PASS_ON_WORD < found < costs.PASS_ON_WORD


def test_declared_cycles(image: Image) -> None:
    """Kernels alone, without their steps: from the step counters of sender and receiver."""
    done = run(image, SEND, 500, 6, step_counters=True)
    (sender,), (receiver,) = done.cores[HERE], done.cores[THERE]
    sends = [step["kernel"] for step in sender.steps if step["kernel"]]
    assert sum(sends) / len(sends) == pytest.approx(costs.stream("send", 500), rel=0.05)
    alone = run(image, BOTH_WAYS, 500, 6, step_counters=True).cores[HERE][0]
    kernels = sorted(step["kernel"] for step in alone.steps if step["kernel"])
    assert median(kernels[:6]) == pytest.approx(costs.stream("receive", 0), rel=0.1)
    assert median(kernels[6:12]) == pytest.approx(costs.stream("listen", 500), rel=0.1)
    assert sum(kernels[12:]) / 6 == pytest.approx(costs.stream("send", 500, receiving=True), rel=0.1)
    assert receiver.counters["cycles_waiting_stream"] > 0.8 * sum(sends), "it waits beside its sender"
