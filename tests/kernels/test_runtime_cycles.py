"""What the runtime itself costs, measured on the emulator; docs/kernels.md shows the figures that these bounds hold."""

from __future__ import annotations

import numpy as np
import pytest

from spindl.program import costs
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.schedule import STEP, TRANSFER, Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import SDRAM, walk
from tests.kernels.harness import places, run

COPY = KERNELS["copy"]
X, Y = 0x400000, 0x404040
TUNED = places("copy")[-1]


def cycles_per_step(image: Image, step: Step, cores: int = 1, most: int = 180) -> float:
    """Between two lengths of the same schedule, so that start and checks of the table drop out."""

    def cycles(count: int) -> int:
        schedule = Schedule((step,) * count, image.version, Tables(cores=cores))
        done = walk(image, [schedule] * cores, {}, step_counters=False)
        done.check()
        return max(core.counters["cycles"] for core in done.cores[0, 0])

    return (cycles(most) - cycles(60)) / (most - 60)


def crc(transfers: int = 0, words: int = 0) -> int:
    """The part of a step in the check of a table that the core has not met before."""
    return costs.CRC_WORD * ((STEP.layout.size + TRANSFER.layout.size * transfers) // 4 + words)


@pytest.fixture(scope="module")
def empty(image: Image) -> float:
    return cycles_per_step(image, Step(0, 0)) - crc()


def test_a_step_without_anything(empty: float) -> None:
    assert empty == pytest.approx(costs.step(False, 0, 0, 0), rel=0.1)


@pytest.mark.parametrize("cores", [2, 4, 8, 16])
def test_a_barrier(image: Image, empty: float, cores: int) -> None:
    """How many cores fetch at the same moment differs from barrier to barrier, the more the more cores there are."""
    step = Step(0, 0, barrier_after=True)
    found = cycles_per_step(image, step, cores, 660) - crc() - empty
    assert found == pytest.approx(costs.barrier(cores), rel=0.2 if cores < 16 else 0.35)


def kernel_step(transfers: int, rows: int) -> Step:
    """A kernel that takes longer than its loads."""
    words = COPY.words({"x": X, "y": Y, "words": 2000})
    size = 2048 // rows // transfers
    return Step(COPY.number, 0, (Transfer(SDRAM, X, size, rows, size, size),) * transfers, words=words)


@pytest.mark.parametrize(("transfers", "rows"), [(1, 1), (1, 16), (8, 1), (4, 8)])
def test_transfers(image: Image, transfers: int, rows: int) -> None:
    kernel = run("copy", {"words": 2000}, {"x": np.zeros(2000, np.uint32), "y": np.zeros(2000, np.uint32)}, where=TUNED)
    found = cycles_per_step(image, kernel_step(transfers, rows)) - crc(transfers, len(COPY.arguments)) - kernel.cycles
    assert found == pytest.approx(costs.step(True, transfers, 0, transfers * rows), rel=0.1)


def test_step_counters(image: Image) -> None:
    schedule = Schedule((Step(0, 0),) * 100, image.version)
    cycles = [walk(image, [schedule], {}, step_counters=on).cores[0, 0][0].counters["cycles"] for on in (False, True)]
    assert (cycles[1] - cycles[0]) / 100 == pytest.approx(costs.STEP_COUNTERS, rel=0.15)
