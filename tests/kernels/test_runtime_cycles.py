"""What the runtime itself costs, measured on the emulator; docs/kernels.md shows the figures that these bounds hold."""

from __future__ import annotations

import pytest

from spindl.program.image import Image, load_image
from spindl.program.kernels import KERNELS
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import SDRAM, walk

COPY = KERNELS["copy"]
X, Y = 0x400000, 0x404040


@pytest.fixture(scope="module")
def image() -> Image:
    return load_image()


def cycles_per_step(image: Image, step: Step, cores: int = 1) -> float:
    """Between two lengths of the same schedule, so that start and checks of the table drop out."""

    def cycles(count: int) -> int:
        schedule = Schedule((step,) * count, image.version, Tables(cores=cores))
        done = walk(image, [schedule] * cores, {}, step_counters=False)
        done.check()
        return max(core.counters["cycles"] for core in done.cores[0, 0])

    return (cycles(180) - cycles(60)) / 120


@pytest.fixture(scope="module")
def empty(image: Image) -> float:
    return cycles_per_step(image, Step(0, 0))


def test_a_step_without_anything(empty: float) -> None:
    assert empty < 1100  # 150 of them are its part of the table's CRC, when the core meets the table first


@pytest.mark.parametrize(("cores", "cycles"), [(2, 500), (4, 600), (8, 750), (16, 800)])
def test_a_barrier(image: Image, empty: float, cores: int, cycles: int) -> None:
    step = Step(0, 0, barrier_after=True)
    assert cycles_per_step(image, step, cores) - empty < cycles


def test_a_row_of_a_transfer(image: Image) -> None:
    """Beside a kernel that runs meanwhile: what the rows take away from it."""

    def step(rows: int) -> Step:
        words = COPY.words({"x": X, "y": Y, "words": 2000})
        return Step(COPY.number, 0, (Transfer(SDRAM, X, 4096 // rows, rows, 4096 // rows, 4096 // rows),), words=words)

    row = (cycles_per_step(image, step(32)) - cycles_per_step(image, step(1))) / 31
    assert row < 105


def test_a_transfer_more(image: Image) -> None:
    def step(count: int) -> Step:
        words = COPY.words({"x": X, "y": Y, "words": 2000})
        return Step(COPY.number, 0, (Transfer(SDRAM, X, 64),) * count, words=words)

    transfer = (cycles_per_step(image, step(9)) - cycles_per_step(image, step(1))) / 8
    assert transfer < 450  # 150 of them are its part of the CRC
