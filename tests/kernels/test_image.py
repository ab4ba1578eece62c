"""The image of the cores: built the same every time, within its sizes, refused when damaged."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from spindl.program import toolchain
from spindl.program.core import TILES
from spindl.program.image import (
    DATA_GATE,
    DATA_START,
    ITCM_GATE,
    ROOT,
    VERSION_AT,
    Image,
    build_image,
    load_image,
    save_image,
    sizes,
)
from spindl.program.kernels import KERNELS
from spindl.program.schedule import Schedule, Step, Tables, Transfer
from spindl.program.toolchain import ImageError, compile_object
from spindl.run.emu.direct import SDRAM, walk

FOLDER, CACHE = ROOT / "kernels", ROOT / "build" / "arm"


RUNTIME = ["copy", "send", "listen", "receive"]


def test_equal_sources_make_equal_images(image: Image) -> None:
    assert image == build_image(FOLDER, CACHE)
    assert image.code[VERSION_AT : VERSION_AT + 4] == image.version.to_bytes(4, "little")
    assert int(image.sha[:8], 16) == image.version
    assert {f"spindl_{name}" for name in KERNELS} <= set(image.symbols)


def test_the_runtime_fits() -> None:
    """Without kernels; the streams, an overlay of the whole image, included."""
    parts = sizes(FOLDER, CACHE, RUNTIME)
    assert parts["code in all"] <= 10_200
    assert parts["data"] <= DATA_GATE - 2560 - 768, (
        "stacks: 2.5 KB for the program, 768 bytes for interrupts and faults"
    )
    assert parts["stack"] >= 2560


def test_all_kernels_fit() -> None:
    """28 KB with the largest overlay, 56 KB for tiles."""
    parts = sizes(FOLDER, CACHE)
    assert parts["code in all"] <= ITCM_GATE == 28 * 1024
    assert TILES == (0x400000, DATA_START) and DATA_START - TILES[0] == 56 * 1024
    assert parts["stack"] >= 2560


def test_a_file_and_back(image: Image, tmp_path: Path) -> None:
    file = tmp_path / "spindl.image"
    save_image(image, file)
    assert load_image(file) == image
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ImageError, match="not those that the hash names"):
        load_image(file)
    file.write_bytes(b"nonsense")
    with pytest.raises(ImageError, match="not an image"):
        load_image(file)
    with pytest.raises(ImageError, match="not an image"):
        load_image(tmp_path / "missing")


def test_the_table_for_the_loader(image: Image) -> None:
    """Interprets the table as SC&MP's loader does."""
    data, memory, at = image.aplx, {}, 0
    while True:
        operation, *arguments = struct.unpack_from("<4I", data, at)
        if operation == 4:
            assert arguments[0] == 0
            break
        assert operation == 2
        to, offset, size = arguments
        assert size % 32 == 0
        memory[to] = data[at + offset : at + offset + size]
        at += 16
    assert memory[0][: len(image.code)] == image.code
    assert memory.get(DATA_START, b"")[: len(image.data)] == image.data
    assert len(memory[0]) <= 0x7F00, "the loader runs above"


def test_an_image_that_is_too_large(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    shutil.copytree(FOLDER, folder)
    (folder / "ref" / "large.c").write_text(
        "#include <stdint.h>\nconst uint32_t spindl_large[8000] = {1};\n"
        "int spindl_main(uint32_t x);\nint spindl_use(int i) { return (int)spindl_large[i]; }\n"
    )
    script = folder / "rt" / "image.ld"
    script.write_text(
        script.read_text().replace("KEEP(*(.vectors))", "KEEP(*(.vectors)) KEEP(*(.rodata.spindl_large))")
    )
    with pytest.raises(ImageError, match=r"(?s)image: the compiler says.*(overflow|will not fit)"):
        build_image(folder, tmp_path / "cache")


def test_what_the_compiler_says_is_passed_on(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int f(void) { int unused; return 0; }\n")
    with pytest.raises(ImageError, match="unused variable"):
        compile_object(source, (), tmp_path)


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.compiler.cache_clear()
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ImageError, match="no cross-compiler"):
        toolchain.compiler()
    toolchain.compiler.cache_clear()


def test_only_objects_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(b"text")
    with pytest.raises(ImageError, match="no 32-bit ELF"):
        toolchain.read_elf(tmp_path / "x.o")


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="Debian's cross-compiler is not installed")
def test_debians_compiler_builds_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toolchain.compiler.cache_clear()
    monkeypatch.setattr(toolchain, "find_spec", lambda name: None)
    image = build_image(FOLDER, tmp_path, RUNTIME)
    toolchain.compiler.cache_clear()
    assert len(image.code) <= 0x7F00
    given = bytes(range(64))
    words = KERNELS["copy"].words({"x": 0x400000, "y": 0x400100, "words": 16})
    load, store = Transfer(SDRAM, 0x400000, 64), Transfer(SDRAM + 64, 0x400100, 64)
    step = Step(KERNELS["copy"].number, 0, (load,), (store,), words, barrier_after=True)
    done = walk(image, [Schedule((step,), image.version, Tables(2))] * 2, {SDRAM: given})
    done.check()
    assert done.read(SDRAM + 64, 64) == given


def test_an_image_with_some_kernels(image: Image) -> None:
    small = build_image(FOLDER, CACHE, ["copy"])
    assert "spindl_copy" in small.symbols
    assert "spindl_send" not in small.symbols
    assert small.version != image.version
    with pytest.raises(ImageError, match="no kernels nonsense"):
        build_image(FOLDER, CACHE, ["copy", "nonsense"])
