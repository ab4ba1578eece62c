"""The image with all kernels: code that does not fit into ITCM at once comes from SDRAM when a kernel needs it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from spindl.machine import CHIP
from spindl.program import costs
from spindl.program.image import ITCM_GATE, PLACES, Image, load_image, save_image
from spindl.program.kernels import KERNELS
from spindl.program.overlays import LARGEST_OVERLAYS, OVERLAYS, arrange, overlay_of
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.program.toolchain import ImageError, compile_object
from spindl.run.emu.direct import SDRAM, Result, walk
from tests.kernels.contraction_cases import DIRECTIONS, Case, cases, exact, rounded, run_case
from tests.kernels.test_contraction import check_rounded, check_sums

X, Y, Z, OUT = 0x400000, 0x401000, 0x402000, SDRAM + 0x10000
BESIDE = 350
"""Cycles of a switch that pass beside the step's own work."""
GIVEN = np.arange(1, 33, dtype=np.int32)


@pytest.fixture(scope="module")
def full() -> Image:
    return load_image()


def places(image: Image) -> list[tuple[int, int]]:
    at = image.symbols[PLACES]
    words = np.frombuffer(image.code[at : at + 12 * LARGEST_OVERLAYS], "<u4").reshape(-1, 3)
    return [(int(offset), int(size)) for offset, size, _ in words]


def move() -> Step:
    """32 words from X to Y."""
    words = dict.fromkeys((field.name for field in KERNELS["move"].arguments), 0)
    words |= {"x": X, "y": Y, "bytes": 4, "count_0": 1, "count_1": 1, "count_2": 1, "count_3": 32}
    words |= {"x_stride_3": 4, "y_stride_3": 4}
    return Step(KERNELS["move"].number, 1, words=KERNELS["move"].words(words))


def largest_bits() -> Step:
    """Of 32 words at Y, to Z."""
    words = {"x": Y, "largest": Z, "x_bytes": 4, "first": 0, "count": 32}
    return Step(KERNELS["largest_bits"].number, 2, words=KERNELS["largest_bits"].words(words))


def run(image: Image, steps: Iterable[Step], cores: int) -> Result:
    """Loads to X, clears Z, runs the steps, stores what is in Y and Z."""
    first = Step(0, 0, (Transfer(SDRAM, X, 128), Transfer(SDRAM + 128, Z, 128)))

    def schedule(core: int) -> Schedule:
        at = OUT + 256 * core
        last = Step(0, 3, stores=(Transfer(at, Y, 128), Transfer(at + 128, Z, 4)))
        return Schedule((first, *steps, last), image.version, Tables(cores))

    done = walk(image, [schedule(core) for core in range(cores)], {SDRAM: GIVEN.tobytes() + bytes(128)})
    done.check()
    for core in range(cores):
        assert done.read(OUT + 256 * core, 132) == GIVEN.tobytes() + (6).to_bytes(4, "little")
    return done


def test_the_image_says_where_its_overlays_are(full: Image) -> None:
    listed = places(full)
    assert [size > 0 for _, size in listed] == [number < len(OVERLAYS) for number in range(LARGEST_OVERLAYS)]
    assert sum(size for _, size in listed) == len(full.overlays)
    start = full.symbols["overlay_start"]
    assert start == len(full.code)
    assert all(start + size <= ITCM_GATE for _, size in listed)
    for name in KERNELS:
        assert (full.symbols[f"spindl_{name}"] >= start) == (overlay_of(name) > 0), name


@pytest.mark.parametrize("cores", [1, 5])
def test_kernels_of_two_overlays_in_turn(full: Image, cores: int) -> None:
    done = run(full, [move(), largest_bits()] * 3, cores)
    assert [core.counters["overlays_loaded"] for core in done.cores[0, 0]] == [6] * cores


def test_a_conditional_step_brings_its_code_only_if_it_runs(full: Image) -> None:
    """Z is 0 before the first `largest_bits`."""
    left_out = replace(move(), condition=Z)
    done = run(full, [left_out, move(), largest_bits(), replace(move(), condition=Z)], 1)
    assert done.cores[0, 0][0].counters["overlays_loaded"] == 3


@pytest.mark.parametrize("cores", [1, 16])
def test_cycles_of_a_switch(full: Image, cores: int) -> None:
    """The same steps in two orders: 20 switches more."""
    turns = 11
    done = [
        run(full, steps, cores)
        for steps in ([move(), largest_bits()] * turns, [move()] * turns + [largest_bits()] * turns)
    ]
    cycles = [max(core.counters["cycles"] for core in each.cores[0, 0]) for each in done]
    sizes = [places(full)[overlay_of(name) - 1][1] for name in ("move", "largest_bits")]
    cycle = CHIP.clock.value * max(1 / CHIP.dma_bandwidth.value, cores / CHIP.sdram_bandwidth.value)
    expected = sum(size * cycle - BESIDE for size in sizes) * (turns - 1)
    assert cycles[0] - cycles[1] == pytest.approx(expected, rel=0.2)


def test_declared_sizes(full: Image) -> None:
    """The planner counts with the sizes of the overlays."""
    assert tuple(size for _, size in places(full) if size) == costs.OVERLAY_BYTES


def test_damaged_overlays_are_refused(full: Image) -> None:
    damaged = bytearray(full.overlays)
    offset, size = places(full)[2]
    damaged[offset + size // 2] ^= 4
    schedule = Schedule((Step(0, 0),), full.version)
    done = walk(replace(full, overlays=bytes(damaged)), [schedule], {})
    error = done.cores[0, 0][0].error
    assert error is not None
    assert (error.name, error.details[0]) == ("OVERLAY_CRC", 3)


def test_missing_overlays_are_refused(full: Image) -> None:
    done = walk(replace(full, overlays=b""), [Schedule((Step(0, 0),), full.version)], {})
    error = done.cores[0, 0][0].error
    assert error is not None
    assert (error.name, error.details[0]) == ("OVERLAYS", 0)


def test_overlays_are_a_part_of_the_file(full: Image, tmp_path: Path) -> None:
    save_image(full, tmp_path / "image")
    assert load_image(tmp_path / "image") == full
    save_image(replace(full, overlays=full.overlays[:-1] + b"?"), tmp_path / "damaged")
    with pytest.raises(ImageError, match="not those that the hash names"):
        load_image(tmp_path / "damaged")


@pytest.mark.parametrize("sums", [False, True])
@pytest.mark.parametrize("direction", DIRECTIONS)
@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(case=cases(largest=6))
def test_contractions_on_the_whole_image(direction: str, sums: bool, case: Case) -> None:
    """The other kernels' tests have a place "image" too."""
    (check_sums if sums else check_rounded)(case, direction, "image")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_sums_that_leave_int32_on_the_whole_image(direction: str) -> None:
    """The definition lies where the tuned kernel can call it."""
    case = Case(inputs=8, outputs=7, shape=(6, 7), values="extreme", shift=20, bits=16)
    expected, site = rounded(case, direction, exact(case, direction))
    found, result = run_case(case, direction, "image")
    assert np.array_equal(found, expected.sum(axis=0) if direction == "convolution_weight_gradient" else expected)
    assert result.tiles_redone > 0
    assert result.sites[1] == site


def objects(folder: Path, **sources: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, text in sources.items():
        (folder / f"{name}.c").write_text(text)
    return [compile_object(folder / f"{name}.c", (), folder) for name in sources]


VECTORS = 'int shared(int); __attribute__((section(".vectors"))) int start(int x) { return shared(x); }\n'


def test_code_lies_where_all_who_use_it_are(tmp_path: Path) -> None:
    made = objects(
        tmp_path,
        start=VECTORS,
        a="int both(int), shared(int), a_only(int);\n"
        "int spindl_a(int x) { return both(x) + shared(x) + a_only(x) + 1; }\n"
        "__attribute__((noinline)) int a_only(int x) { return x * 77; }\n",
        b="int both(int);\n"
        "static const int numbers[] = {5, 4, 3, 9, 7};\n"
        "int spindl_b(int x) { return both(numbers[x]) + 1; }\nint spindl_c(int x) { return x; }\n",
        more="int both(int x) { return x / 3; }\nint shared(int x) { return x * 5; }\n"
        "int unused(int x) { return x; }\n",
    )
    place = arrange(made, ["a", "b", "c"], (("a",), ("b",)))
    by_section = {section: number for (_, section), number in place.items()}
    assert by_section[".text.spindl_a"] == by_section[".text.a_only"] == 1
    assert by_section[".text.spindl_b"] == by_section[".rodata.numbers"] == 2
    assert by_section[".text.both"] == by_section[".text.shared"] == by_section[".text.spindl_c"] == 0
    assert ".text.unused" not in by_section


def test_kernels_are_in_one_overlay_at_most(tmp_path: Path) -> None:
    made = objects(tmp_path, start=VECTORS, a="int shared(int x) { return x; }\nint spindl_a(int x) { return x; }\n")
    with pytest.raises(ImageError, match="in two overlays"):
        arrange(made, ["a"], (("a",), ("a",)))
    with pytest.raises(ImageError, match="kernel b is not defined"):
        arrange(made, ["b"], ())
