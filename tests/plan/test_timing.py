"""What the planner foresees against what emulated cores count: whole steps, their layers, and the walk's own rules."""

from __future__ import annotations

import numpy as np
import pytest

from bench import blocks
from bench.plan import measure
from spindl import _planner
from spindl.plan.cost import forecast, time_line
from spindl.plan.walk import _constants
from spindl.program import costs
from spindl.program.image import Image, load_image
from spindl.program.kernels import KERNELS
from spindl.program.schedule import STEP, TRANSFER, Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import SDRAM, walk
from tests.report.samples import small_plan

OF_A_STEP, OF_A_LAYER = 0.10, 0.20


@pytest.mark.parametrize(
    ("name", "batch", "chips", "cores"),
    [
        *[("conv1d", 8, 1, 4), ("digits", 8, 1, 16)],
        *[pytest.param("conv1d", 8, 1, cores, marks=pytest.mark.slow) for cores in (1, 16)],
        *[pytest.param("digits", 8, 1, cores, marks=pytest.mark.slow) for cores in (1, 4)],
        *[pytest.param("mlp", 8, 1, cores, marks=pytest.mark.slow) for cores in (1, 4, 16)],
        *[pytest.param("lenet5", batch, 1, cores, marks=pytest.mark.slow) for batch in (8, 32) for cores in (1, 4, 16)],
        *[pytest.param("resnet8", 8, 1, cores, marks=pytest.mark.slow) for cores in (1, 4, 16)],
        *[
            pytest.param(name, 8, chips, cores, marks=pytest.mark.slow)
            for name in ("mlp", "conv1d", "lenet5", "resnet8")
            for chips in (2, 4)
            for cores in (4, 16)
        ],
        *[pytest.param(name, 16, 16, 5, marks=pytest.mark.slow) for name in ("mlp", "conv1d", "lenet5")],
    ],
)
def test_steps_take_what_was_foreseen(name: str, batch: int, chips: int, cores: int) -> None:
    """`measure` also compares the step's results with the simulator's."""
    found = measure(name, batch, chips, cores)
    ours, theirs = found.cycles
    assert ours == pytest.approx(theirs, rel=OF_A_STEP)
    assert found.layers
    for layer, difference in found.layers.items():
        assert abs(difference) <= OF_A_LAYER, layer


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(blocks.blocks())))
def test_blocks_of_resnet50_take_what_was_foreseen(number: int) -> None:
    """At full width, forward, backward and update, bit for bit the simulator's."""
    ours, theirs = blocks.measure(blocks.blocks()[number]).cycles
    assert ours == pytest.approx(theirs, rel=OF_A_STEP)


@pytest.fixture(scope="module")
def image() -> Image:
    return load_image()


def emulated(image: Image, step: Step, cores: int) -> float:
    """Cycles of a step among many like it, without the check of the table."""

    def cycles(count: int) -> int:
        schedule = Schedule((step,) * count, image.version, Tables(cores=cores))
        done = walk(image, [schedule] * cores, {}, step_counters=False)
        done.check()
        return max(core.counters["cycles"] for core in done.cores[0, 0])

    return (cycles(120) - cycles(40)) / 80 - costs.CRC_WORD * block_of(step) / 4


def block_of(step: Step) -> int:
    return STEP.layout.size + TRANSFER.layout.size * (len(step.loads) + len(step.stores)) + 4 * len(step.words)


def modelled(step: Step, kernel: float, cores: int) -> float:
    """The same from the model."""
    row = (kernel, 0, block_of(step), len(step.loads), len(step.stores), int(step.barrier_before))
    moves = [(t.rows, t.bytes) for t in (*step.loads, *step.stores)]

    def cycles(count: int) -> float:
        taken, moved = np.zeros((cores * count, 10)), np.zeros((cores * count * len(moves), 2))
        transfers = np.array(moves * (cores * count), np.uint32).reshape(-1, 2)
        first = np.arange(0, cores * count + 1, count, dtype=np.uint32)
        constants = _constants(cores, 600e6, False)
        _planner.walk(
            np.array([row] * (cores * count), float), transfers, first, np.zeros(cores), constants, taken, moved
        )
        return float(taken[:, 1].max())

    return (cycles(120) - cycles(40)) / 80


COPY = KERNELS["copy"]
LOADS = {
    "one row": (1, 2048),
    "long rows": (8, 1024),
    "rows": (16, 128),
    "short rows": (64, 16),
    "words": (100, 4),
}


@pytest.mark.parametrize(
    ("name", "cores"), [*((name, 1) for name in LOADS), *((name, 16) for name in ("one row", "long rows", "rows"))]
)
def test_loads_without_a_kernel(image: Image, name: str, cores: int) -> None:
    rows, size = LOADS[name]
    step = Step(0, 0, (Transfer(SDRAM, 0x400000, size, rows, size, size),))
    assert modelled(step, -1, cores) == pytest.approx(emulated(image, step, cores), rel=0.08)


@pytest.mark.parametrize("cores", [1, 4])
def test_interrupts_lengthen_a_kernel(image: Image, cores: int) -> None:
    words = COPY.words({"x": 0x400000, "y": 0x404040, "words": 2000})
    alone = Step(COPY.number, 0, words=words)
    kernel = emulated(image, alone, 1) - emulated(image, Step(0, 0), 1) - costs.KERNEL
    step = Step(COPY.number, 0, (Transfer(SDRAM, 0x400000, 64, 32, 64, 64),), words=words)
    found = emulated(image, step, cores)
    assert found > emulated(image, alone, cores) + 32 * costs.ROW
    assert modelled(step, kernel, cores) == pytest.approx(found, rel=0.03)


@pytest.mark.parametrize("cores", [2, 4, 8, 16])
def test_barriers(image: Image, cores: int) -> None:
    step = Step(0, 0, barrier_before=True)
    assert modelled(step, -1, cores) == pytest.approx(emulated(image, step, cores), rel=0.08)


def test_tables_that_do_not_match() -> None:
    constants, first = _constants(1, 600e6, False), np.array([0, 1], np.uint32)
    for steps, transfers in ((1, 1), (2, 0)):
        with pytest.raises(ValueError, match="match"):
            _planner.walk(
                np.array([(-1, 0, 24, 0, 0, 0)] * steps, float),
                np.zeros((transfers, 2), np.uint32),
                first,
                np.zeros(1),
                constants,
                np.zeros((steps, 10)),
                np.zeros((transfers, 2)),
            )


def test_slower_memory_takes_longer_and_moves_the_same() -> None:
    plan = small_plan()
    fast, slow = forecast(plan), forecast(plan, bandwidth=100e6)
    assert sum(p.cycles for p in slow.phases) > sum(p.cycles for p in fast.phases)
    assert [p.read + p.written for p in slow.phases] == [p.read + p.written for p in fast.phases]
    ends = max(span.end for spans in time_line(slow.walk) for span in spans)
    assert ends == pytest.approx(sum(p.cycles for p in slow.phases), abs=len(slow.phases))
