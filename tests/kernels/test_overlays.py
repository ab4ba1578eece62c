"""The image with all kernels: code that does not fit into ITCM at once comes from SDRAM when a kernel needs it."""

from __future__ import annotations

import numpy as np
import pytest

from spindl.program import image as builder
from spindl.program.image import LARGEST_OVERLAYS, OVERLAYS_AT, ROOT, Image, ImageError, load_image, overlay_groups
from spindl.program.kernels import KERNELS
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.program.toolchain import compile_object
from spindl.run.emu.direct import SDRAM, walk

X, Y, Z, OUT = 0x400000, 0x401000, 0x402000, SDRAM + 0x10000


@pytest.fixture(scope="module")
def full() -> Image:
    image = load_image()
    if not image.overlays:
        pytest.skip("all kernels fit without overlays")
    return image


def places(image: Image) -> list[tuple[int, int]]:
    words = np.frombuffer(image.code[OVERLAYS_AT : OVERLAYS_AT + 8 * LARGEST_OVERLAYS], "<u4").reshape(-1, 2)
    return [(int(offset), int(size)) for offset, size in words]


def test_the_image_says_where_its_overlays_are(full: Image) -> None:
    listed = places(full)
    used = [size for _, size in listed if size]
    assert listed[len(used) :] == [(len(full.overlays), 0)] * (LARGEST_OVERLAYS - len(used))
    assert sum(size for _, size in listed) == len(full.overlays)
    start = full.symbols["overlay_start"]
    assert start == len(full.code)
    assert all(start + size <= 32 * 1024 for _, size in listed)


@pytest.mark.parametrize("cores", [1, 5])
def test_kernels_of_two_overlays_in_turn(full: Image, cores: int) -> None:
    given = np.arange(1, 33, dtype=np.int32)
    move = dict.fromkeys((field.name for field in KERNELS["move"].arguments), 0)
    move |= {"x": X, "y": Y, "bytes": 4, "count_0": 1, "count_1": 1, "count_2": 1, "count_3": 32}
    move |= {"x_stride_3": 4, "y_stride_3": 4}
    total = {"x": Y, "y": Z, "x_bytes": 4, "y_bytes": 4, "rows": 1, "count": 32, "x_pitch": 128, "first": 0}
    steps = [Step(0, 0, (Transfer(SDRAM, X, 128), Transfer(SDRAM + 128, Z, 128)))]
    for _ in range(3):
        steps.append(Step(KERNELS["move"].number, 1, words=KERNELS["move"].words(move)))
        steps.append(Step(KERNELS["sum_rows"].number, 2, words=KERNELS["sum_rows"].words(total)))

    def schedule(core: int) -> Schedule:
        store = Step(0, 3, stores=(Transfer(OUT + 256 * core, Z, 128),))
        return Schedule((*steps, store), full.version, Tables(cores))

    done = walk(full, [schedule(core) for core in range(cores)], {SDRAM: given.tobytes() + bytes(128)})
    done.check()
    for core in range(cores):
        assert done.read(OUT + 256 * core, 128) == (3 * given).tobytes()
    largest = max(size for _, size in places(full))
    assert done.cores[0, 0][0].counters["sdram_bytes_read"] < 6 * largest + 4000


def test_files_that_call_each_other_stay_together(monkeypatch: pytest.MonkeyPatch) -> None:
    includes = (ROOT / "kernels" / "include", ROOT / "kernels" / "include" / "generated", ROOT / "kernels" / "ref")
    names = ("losses", "tables", "move", "copy")
    objects = [
        compile_object(ROOT / "kernels" / "ref" / f"{name}.c", includes, ROOT / "build" / "arm") for name in names
    ]
    assert overlay_groups(objects) == (("move",), ("losses", "tables"))
    monkeypatch.setattr(builder, "OVERLAID", ("tables",))
    with pytest.raises(ImageError, match=r"losses calls spindl_\w+ of tables"):
        overlay_groups(objects)
