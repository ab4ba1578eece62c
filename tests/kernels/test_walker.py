"""The walker on emulated cores: what a schedule says happens, in its order, on one core and on many."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindl.emulator import Faults, emulate
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import Setting
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.run.emu.direct import CONTROL, SDRAM, Result, walk, walk_chips

COPY = KERNELS["copy"]
A, B, C = 0x400000, 0x401000, 0x402000
OUT = SDRAM + 0x100000


def copy(x: int, y: int, words: int) -> tuple[int, ...]:
    return COPY.words({"x": x, "y": y, "words": words})


def run(image: Image, *cores: tuple[Step, ...], memory: dict[int, bytes]) -> Result:
    tables = Tables(cores=len(cores))
    done = walk(image, [Schedule(steps, image.version, tables) for steps in cores], memory)
    done.check()
    return done


def data(count: int, seed: int = 1) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, count, np.uint8).tobytes()


def test_tiles_go_through_the_kernel(image: Image) -> None:
    """Many steps with double buffers: loads are early, stores late, the result is that of one after the other."""
    steps, block = 20, 512
    given = data(steps * block)

    def step(i: int) -> Step:
        x, y = A + block * (i % 2), B + block * (i % 2)
        load = Transfer(SDRAM + i * block, x, block)
        store = Transfer(OUT + i * block, y, block)
        return Step(COPY.number, i, (load,), (store,), copy(x, y, block // 4))

    done = run(image, tuple(step(i) for i in range(steps)), memory={SDRAM: given})
    assert done.read(OUT, len(given)) == given
    counters = done.cores[0, 0][0].counters
    assert counters["steps"] == steps
    assert counters["sdram_bytes_written"] == len(given)
    assert all(each["kernel"] > 0 and each["total"] >= each["kernel"] for each in done.cores[0, 0][0].steps)


def test_rows_with_pitch(image: Image) -> None:
    given = data(64 * 100)
    load = Transfer(SDRAM + 20, A, 24, rows=50, sdram_pitch=128, dtcm_pitch=24)
    store = Transfer(OUT, A, 24, rows=50, sdram_pitch=32, dtcm_pitch=24)
    done = run(image, (Step(0, 0, (load,), (store,)),), memory={SDRAM: given, OUT: bytes(32 * 50)})
    rows = [given[20 + 128 * i : 44 + 128 * i] + bytes(8) for i in range(50)]
    assert done.read(OUT, 32 * 50) == b"".join(rows)


def test_an_ordered_step_sees_what_the_step_before_stored(image: Image) -> None:
    first = Step(COPY.number, 0, (Transfer(SDRAM, A, 64),), (Transfer(OUT, B, 64),), copy(A, B, 16))
    second = Step(0, 1, (Transfer(OUT, A, 64),), (Transfer(OUT + 64, A, 64),), ordered=True)
    given = data(64)
    done = run(image, (first, second), memory={SDRAM: given, OUT: bytes(128)})
    assert done.read(OUT + 64, 64) == given
    early = run(image, (first, replace(second, ordered=False)), memory={SDRAM: given, OUT: bytes(128)})
    assert early.read(OUT + 64, 64) == bytes(64), "loads of an ordinary step are early: the test shows what it is about"


@pytest.mark.parametrize("word", [0, 1])
def test_a_condition_decides(image: Image, word: int) -> None:
    load = Step(0, 0, (Transfer(SDRAM, A, 64),))
    maybe = Step(0, 1, stores=(Transfer(OUT, A, 64),), condition=A)
    given = word.to_bytes(4, "little") + data(60)
    done = run(image, (load, maybe, Step(0, 2)), memory={SDRAM: given})
    assert done.read(OUT, 64) == (given if word else bytes(64))


@pytest.mark.parametrize("cores", [1, 2, 5, 16, 17])
def test_cores_exchange_blocks_at_barriers(image: Image, cores: int) -> None:
    """In each round a core stores its block and loads its neighbour's: wrong without barriers."""
    block, rounds = 128, 8
    given = data(cores * block)

    def steps(core: int) -> tuple[Step, ...]:
        made = []
        for i in range(rounds):
            here, there = (SDRAM, OUT) if i % 2 == 0 else (OUT, SDRAM)
            load = Transfer(here + (core + 1) % cores * block, A, block)
            store = Transfer(there + core * block, B, block)
            made.append(Step(COPY.number, i, (load,), (store,), copy(A, B, block // 4), barrier_after=True))
        return tuple(made)

    done = run(image, *(steps(core) for core in range(cores)), memory={SDRAM: given})
    blocks = [given[i * block : (i + 1) * block] for i in range(cores)]
    turned = [blocks[(i + rounds) % cores] for i in range(cores)]
    assert done.read(SDRAM, len(given)) == b"".join(turned)


CHIPS = ((0, 0), (1, 0), (0, 1), (1, 1))
ALL_SDRAM = Setting(((SDRAM, CONTROL, True),), chips=len(CHIPS), time_out=20)


def machine_steps(slow: bool, rounds: int = 4) -> tuple[Step, ...]:
    work = Step(COPY.number, 0, words=copy(A, B, 10000 if slow else 1))
    return tuple(step for _ in range(rounds) for step in (work, Step(0, 1, barrier_before=True, machine=True)))


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_chips_meet(image: Image, loss: float) -> None:
    """One core of one chip is slow: all others wait for it in every round, also when packets are lost on the way."""
    tables = Tables(cores=3)
    schedules = {
        xy: [Schedule(machine_steps(xy == (1, 1) and core == 2), image.version, tables) for core in range(3)]
        for xy in CHIPS
    }
    faults = Faults(packet_loss=loss, seed=5)
    done = walk_chips(image, schedules, {}, ALL_SDRAM, machine=emulate("spin3", connected=False, faults=faults))
    done.check()
    slow = done.cores[1, 1][2].counters["kernel_cycles"]
    for xy, cores in done.cores.items():
        for index, core in enumerate(cores):
            waited = core.counters["cycles_waiting_barrier"]
            if (xy, index) != ((1, 1), 2):
                assert waited > 0.9 * slow
            elif loss == 0:
                assert waited < 0.1 * slow


def test_a_chip_that_does_not_come_is_named(image: Image) -> None:
    stays_away = (Step(0, 0),)
    schedules = {xy: [Schedule(machine_steps(False) if xy != (0, 1) else stays_away, image.version)] for xy in CHIPS}
    done = walk_chips(image, schedules, {}, ALL_SDRAM)
    found = done.cores[0, 0][0].error or done.cores[1, 0][0].error
    assert found is not None
    assert (found.name, found.step) == ("MACHINE_TIME_OUT", 1)
    leading = done.cores[0, 0][0].error
    assert leading is None or leading.details == (1 << CHIPS.index((0, 1)), 1)


def test_a_strict_machine_has_nothing_to_report(image: Image) -> None:
    """No reads of memory that was never written, nothing unaligned, unmapped or unknown."""
    given = data(64 * 8)

    def step(i: int, core: int) -> Step:
        at = SDRAM + 256 * core + 64 * i
        store = Transfer(OUT + 256 * core + 64 * i, B, 64)
        return Step(COPY.number, i, (Transfer(at, A, 64),), (store,), copy(A, B, 16), barrier_after=True)

    machine = emulate("spin3", connected=False, strict="warn")
    schedules = [Schedule(tuple(step(i, core) for i in range(4)), image.version, Tables(2)) for core in range(2)]
    done = walk(image, schedules, {SDRAM: given}, machine=machine)
    done.check()
    assert done.read(OUT, len(given)) == given
    assert machine.chip(0, 0).reports == []


def test_a_machine_walks_again(image: Image) -> None:
    """Also after an odd number of barriers, which leaves the chip's flags set."""
    machine = emulate("spin3", connected=False)
    for turn in range(3):
        given = data(256, seed=turn)
        steps = (Step(0, 0, (Transfer(SDRAM, A, 256),), (Transfer(OUT, A, 256),), barrier_after=True),)
        done = walk(image, [Schedule(steps, image.version, Tables(3))] * 3, {SDRAM: given}, machine=machine)
        done.check()
        assert done.read(OUT, 256) == given


def test_the_same_walk_takes_the_same_cycles(image: Image) -> None:
    def cycles() -> list[dict[str, int]]:
        steps = tuple(Step(0, i, (Transfer(SDRAM, A, 400),), barrier_after=True) for i in range(9))
        done = walk(image, [Schedule(steps, image.version, Tables(7))] * 7, {})
        return [core.counters for core in done.cores[0, 0]]

    assert cycles() == cycles()
