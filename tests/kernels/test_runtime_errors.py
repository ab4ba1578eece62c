"""What a core does with a schedule that is damaged, foreign or impossible: a named error with the step, no more."""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindl.emulator import emulate
from spindl.program.core import COMMANDS, ERRORS, CoreError
from spindl.program.image import Image
from spindl.program.kernels import KERNELS
from spindl.program.load import USER_REGISTERS, user_register
from spindl.program.schedule import HEADER, STEP, TRANSFER, Schedule, Step, Tables, Transfer, encode
from spindl.run import RunError
from spindl.run.emu.direct import SDRAM, Result, walk

COPY = KERNELS["copy"]
A, B = 0x400000, 0x401000
IN, OUT, END = SDRAM, SDRAM + 0x10000, SDRAM + 0x20000
REGIONS = ((IN, OUT, False), (OUT, END, True))
GUARD = bytes(range(256)) * 4
STEPS = tuple(
    Step(
        COPY.number,
        100 + i,
        (Transfer(IN + 256 * i, A, 64, 2, 128, 64),),
        (Transfer(OUT + 256 * i, B, 128),),
        COPY.words({"x": A, "y": B, "words": 32}),
        ordered=i == 2,
    )
    for i in range(4)
)
HEADER_BYTES, STEP_BYTES, TRANSFER_BYTES = (record.layout.size for record in (HEADER, STEP, TRANSFER))
BLOCK = STEP_BYTES + 2 * TRANSFER_BYTES + 12
FIELD_CODES = {"B": 1, "H": 2, "h": 2, "I": 4, "i": 4}


def table(image: Image, *steps: Step, cores: int = 1) -> bytes:
    return encode(Schedule(steps or STEPS, image.version, Tables(cores=cores)))


def with_crc(data: bytes) -> bytes:
    crc = crc32(data[HEADER_BYTES:], crc32(data[: HEADER_BYTES - 4]))
    return data[: HEADER_BYTES - 4] + crc.to_bytes(4, "little") + data[HEADER_BYTES:]


def changed(data: bytes, record: object, at: int, field: str, value: int) -> bytes:
    """The table with one field changed and a right CRC."""
    offset = at
    for each in record.fields:  # type: ignore[attr-defined]
        if each.name == field:
            size = FIELD_CODES[each.code]
            mask = (1 << 8 * size) - 1
            return with_crc(data[:offset] + (value & mask).to_bytes(size, "little") + data[offset + size :])
        offset += FIELD_CODES[each.code]
    raise AssertionError(field)


def outcome(image: Image, *tables: bytes, regions: tuple[tuple[int, int, bool], ...] = REGIONS) -> Result:
    """Runs tables between guarded regions and checks that nothing outside the writable one has changed."""
    given_bytes = np.random.default_rng(3).integers(0, 256, OUT - IN, np.uint8).tobytes()
    done = walk(image, tables, {IN: given_bytes, END: GUARD}, regions=regions, time_out=3, limit=0.2)
    assert done.read(IN, len(given_bytes)) == given_bytes
    assert done.read(END, len(GUARD)) == GUARD
    return done


def error(
    image: Image, *tables: bytes, regions: tuple[tuple[int, int, bool], ...] = REGIONS, core: int = 0
) -> CoreError:
    found = outcome(image, *tables, regions=regions).cores[0, 0][core]
    assert not found.finished
    assert found.error is not None
    number = ERRORS[found.error.name][0]
    assert f"stop: {number:#010x} step {found.error.step:#010x} kernel {found.error.kernel:#010x} node" in found.text
    return found.error


def block_at(step: int) -> int:
    return HEADER_BYTES + BLOCK * step


def test_the_table_itself_runs(image: Image) -> None:
    outcome(image, table(image)).check()


def test_a_damaged_byte_anywhere_is_found(image: Image) -> None:
    data = table(image)
    for place in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        done = outcome(image, bytes(damaged))
        found = done.cores[0, 0][0].error
        assert found is not None
        assert found.name.startswith("SCHEDULE") or found.name == "IMAGE", (place, found)
        assert done.read(OUT, 1024) == bytes(1024), "nothing was done"


HEADER_CASES = [
    ("magic", 1, "SCHEDULE_MAGIC", (1, 0)),
    ("version", 99, "SCHEDULE_VERSION", (99, 0)),
    ("image", 5, "IMAGE", None),
    ("cores", 3, "SCHEDULE_CORES", (3, 2)),
    ("bytes", 1 << 20, "SCHEDULE_PLACE", None),
    ("bytes", 6, "SCHEDULE_PLACE", None),
    ("first", 2000, "SCHEDULE_BLOCK", None),
    ("first", BLOCK - 4, "SCHEDULE_BLOCK", (BLOCK - 4, BLOCK)),
    ("exponents", 0x40E000, "SCHEDULE_TABLES", (0x40E000, 10)),
    ("sites", 0x400002, "SCHEDULE_TABLES", (0x400002, 16)),
]


@pytest.mark.parametrize(("field", "value", "name", "details"), HEADER_CASES)
def test_header(image: Image, field: str, value: int, name: str, details: tuple[int, int] | None) -> None:
    data = encode(Schedule(STEPS, image.version, Tables(1, 0x400000, 0x400100, 5, 2)))
    found = error(image, changed(data, HEADER, 0, field, value))
    assert (found.name, found.step) == (name, 0)
    assert details is None or found.details == details


STEP_CASES = [
    ("kernel", 31, "KERNEL", (31, 0)),
    ("words", 2, "SCHEDULE_BLOCK", (BLOCK, BLOCK - 4)),
    ("loads", 0, "SCHEDULE_BLOCK", None),
    ("next", BLOCK + 4, "SCHEDULE_BLOCK", None),
    ("next", 0xFFFFFFFC, "SCHEDULE_BLOCK", None),
]


@pytest.mark.parametrize(("field", "value", "name", "details"), STEP_CASES)
def test_step(image: Image, field: str, value: int, name: str, details: tuple[int, int] | None) -> None:
    found = error(image, changed(table(image), STEP, block_at(2), field, value))
    assert (found.name, found.step) == (name, 3 if field == "next" else 2)
    assert details is None or found.details == details


def test_wrong_number_of_words(image: Image) -> None:
    found = error(image, table(image, *STEPS[:2], replace(STEPS[2], words=(1, 2))))
    assert (found.name, found.step, found.node, found.details) == ("KERNEL_WORDS", 2, 102, (3, 2))


def test_a_condition_outside_the_tiles(image: Image) -> None:
    found = error(image, table(image, STEPS[0], replace(STEPS[1], condition=0x40E000)))
    assert (found.name, found.step, found.details) == ("CONDITION", 1, (0x40E000, 0))


def test_the_last_step_is_not_marked(image: Image) -> None:
    assert error(image, changed(table(image), STEP, block_at(3), "flags", 0)).name == "SCHEDULE_BLOCK"


TRANSFER_CASES = [
    (0, "sdram", END, "TRANSFER_SDRAM"),
    (0, "sdram", 0x10000000, "TRANSFER_SDRAM"),
    (0, "sdram", IN + 2, "TRANSFER_SHAPE"),
    (0, "dtcm", 0x40E000 - 64, "TRANSFER_DTCM"),
    (0, "dtcm", 0x3FFFFC, "TRANSFER_DTCM"),
    (0, "dtcm", 0, "TRANSFER_DTCM"),
    (0, "bytes", 0, "TRANSFER_SHAPE"),
    (0, "bytes", 1 << 17, "TRANSFER_SHAPE"),
    (0, "bytes", 0xE000, "TRANSFER_DTCM"),
    (0, "rows", 0, "TRANSFER_SHAPE"),
    (0, "rows", 0xFFFF, "TRANSFER_DTCM"),
    (0, "direction", 1, "TRANSFER_SHAPE"),
    (0, "direction", 2, "TRANSFER_SHAPE"),
    (0, "sdram_pitch", 0xFFFFFFFC, "TRANSFER_SDRAM"),
    (0, "dtcm_pitch", 0xFFFFFFFC, "TRANSFER_DTCM"),
    (1, "sdram", IN, "TRANSFER_SDRAM"),
    (1, "sdram", END - 124, "TRANSFER_SDRAM"),
    (1, "direction", 0, "TRANSFER_SHAPE"),
]


@pytest.mark.parametrize(("transfer", "field", "value", "name"), TRANSFER_CASES)
def test_transfer(image: Image, transfer: int, field: str, value: int, name: str) -> None:
    at = block_at(2) + STEP_BYTES + transfer * TRANSFER_BYTES
    found = error(image, changed(table(image), TRANSFER, at, field, value))
    assert (found.name, found.step, found.node) == (name, 2, 102)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_change_ends_in_a_result_or_a_named_error(image: Image, drawn: st.DataObject) -> None:
    """Damage that the CRC does not show (the arguments of kernels apart: they are the kernel's to check)."""
    plain = tuple(replace(step, kernel=0, words=()) for step in STEPS)
    data = bytearray(table(image, *plain))
    for _ in range(drawn.draw(st.integers(1, 3))):
        place = drawn.draw(st.integers(4, len(data) - 1))
        data[place] = drawn.draw(st.integers(0, 255))
    done = outcome(image, with_crc(bytes(data))).cores[0, 0][0]
    assert done.finished or (done.error is not None and done.error.name in ERRORS)


def test_a_kernel_refuses(image: Image) -> None:
    bad = replace(STEPS[1], words=COPY.words({"x": A + 2, "y": B, "words": 1}))
    found = error(image, table(image, STEPS[0], bad, STEPS[2]))
    assert (found.name, found.step, found.kernel, found.node) == ("ARGUMENT", 1, COPY.number, 101)


def test_a_kernel_that_faults(image: Image) -> None:
    bad = replace(STEPS[1], words=COPY.words({"x": 0x50000000, "y": B, "words": 1}))
    done = outcome(image, table(image, STEPS[0], bad, STEPS[2]))
    found = done.cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.step) == ("DATA", 1)
    code = image.symbols["spindl_copy"]
    assert code <= found.details[0] < code + 200, "the address of the instruction"
    block = done.machine.chip(0, 0).read(0xE5007080, 128)
    assert (block[0x2C], block[0x2E]) == (13, 2), "run-time exception, software error, for SpiNNMan"


def test_an_error_of_the_dma_engine(image: Image) -> None:
    nowhere = replace(STEPS[1], loads=(Transfer(0x50000000, A, 64),))
    found = error(image, table(image, STEPS[0], nowhere, STEPS[2]), regions=(*REGIONS, (0x50000000, 0x50001000, False)))
    assert found.name == "DMA"
    assert found.step in {0, 1}


def test_a_core_that_does_not_come_is_named(image: Image) -> None:
    meets = table(image, *(replace(step, barrier_before=True) for step in STEPS), cores=3)
    stays_away = table(image, STEPS[0], cores=3)
    found = error(image, meets, meets, stays_away)
    assert (found.name, found.step) == ("BARRIER_TIME_OUT", 0)
    assert found.details == (1 << 3, 0b1110), "virtual core 3 is missing"


def test_a_refused_core_stops_the_others_by_name(image: Image) -> None:
    meets = table(image, *(replace(step, barrier_before=True) for step in STEPS), cores=2)
    foreign = changed(meets, HEADER, 0, "image", 77)
    done = outcome(image, meets, foreign)
    _, second = (core.error for core in done.cores[0, 0])
    assert second is not None
    assert second.name == "IMAGE"
    with pytest.raises(RunError, match=r"IMAGE|BARRIER_TIME_OUT"):
        done.check()


def test_more_regions_than_there_is_room_for(image: Image) -> None:
    many = tuple((IN + 4 * i, IN + 4 * i + 4, False) for i in range(20))
    found = error(image, table(image), regions=many)
    assert (found.name, found.details[0]) == ("REGIONS", 21)


def test_a_kernel_that_uses_too_much_stack(image: Image) -> None:
    """A kernel that writes where the stack ends: the word below it is looked at after each kernel."""
    bad = replace(STEPS[1], words=COPY.words({"x": A, "y": image.symbols["stack_guard"], "words": 1}))
    found = error(image, table(image, STEPS[0], bad, STEPS[2]))
    assert (found.name, found.step) == ("STACK", 1)


def test_a_core_without_a_record_stops(image: Image) -> None:
    for address in (0, 0x60000000, 0x60000002, 0xE5000000):
        machine = emulate("spin3", connected=False)
        chip = machine.chip(0, 0)
        chip.physical(3).write(0, image.code)
        chip.write(user_register(3, 0), address.to_bytes(4, "little"))
        chip.physical(3).start()
        machine.run(0.001)
        block = chip.read(user_register(3, 0) - USER_REGISTERS, 128)
        assert (block[0x2C], block[0x2E]) == (13, 2)
        assert block[0x48:0x4E] == b"spindl"
        assert chip.physical(3).waiting


def test_a_record_for_another_image(image: Image) -> None:
    other = replace(image, sha="00000001" + image.sha[8:])
    found = walk(other, [table(image)], {}, time_out=3).cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.details) == ("IMAGE", (1, image.version))


def test_an_unknown_command(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "RUN", 9)
    found = walk(image, [table(image)], {}, time_out=3).cores[0, 0][0].error
    assert found is not None
    assert (found.name, found.details[0] & 255) == ("COMMAND", 9)
