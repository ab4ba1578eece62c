"""The two contracts with the cores: the schedule table and the stream blocks."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spindl.program import ProgramError
from spindl.program.schedule import (
    HEADER,
    LARGEST_TRANSFER,
    STEP,
    TRANSFER,
    Schedule,
    Step,
    Tables,
    Transfer,
    c_header,
    decode,
    encode,
)
from spindl.program.stream import LARGEST_BLOCK, Receiver, acknowledgement, key, packets, request
from spindl.run import RunError
from spindl.run.counters import COUNTERS, Count, check_counts

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
WORDS = st.integers(0, 2**32 - 1)
TRANSFERS = st.builds(
    lambda sdram, dtcm, words, rows, pitch: Transfer(4 * sdram, 4 * dtcm, 4 * words, rows, 4 * pitch, 8 * pitch),
    st.integers(0, 2**30 - 1),
    st.integers(0, 2**30 - 1),
    st.integers(1, LARGEST_TRANSFER // 4),
    st.integers(1, 2**16 - 1),
    st.integers(0, 2**20),
)
STEPS = st.builds(
    Step,
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    st.lists(TRANSFERS, max_size=3).map(tuple),
    st.lists(TRANSFERS, max_size=3).map(tuple),
    st.lists(WORDS, max_size=5).map(tuple),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(0, 2**32 - 1),
    st.booleans(),
)
HALVES = st.integers(0, 2**16 - 1)
SCHEDULES = st.builds(
    Schedule,
    st.lists(STEPS, min_size=1, max_size=6).map(tuple),
    WORDS,
    st.builds(Tables, HALVES, WORDS, WORDS, HALVES, HALVES),
)


@given(SCHEDULES)
def test_schedule_round_trip(schedule: Schedule) -> None:
    assert decode(encode(schedule)) == schedule


@given(SCHEDULES, st.data())
def test_a_changed_bit_is_refused(schedule: Schedule, data: st.DataObject) -> None:
    table = bytearray(encode(schedule))
    place = data.draw(st.integers(0, len(table) - 1))
    table[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ProgramError):
        decode(bytes(table))


def test_impossible_schedules() -> None:
    step = Step(1, 2, loads=(Transfer(0x60000000, 0x400000, 64),))
    with pytest.raises(ProgramError, match="without steps"):
        encode(Schedule((), 0))
    for bad in (Transfer(2, 0, 4), Transfer(0, 0, 0), Transfer(0, 0, 4, 0), Transfer(0, 0, LARGEST_TRANSFER + 4)):
        with pytest.raises(ProgramError, match="is no DMA"):
            encode(Schedule((replace(step, loads=(bad,)),), 0))
    with pytest.raises(ProgramError, match="does not fit"):
        encode(Schedule((replace(step, kernel=1 << 16),), 0))
    with pytest.raises(ProgramError, match="inside the record"):
        decode(encode(Schedule((step,), 0))[:10])


@pytest.mark.skipif(COMPILER is None, reason="no C compiler on this machine")
def test_c_reads_what_python_writes(tmp_path: Path) -> None:
    """A C program walks a table by the generated header and prints every field."""
    step = Step(7, 99, (Transfer(0x60001000, 0x401000, 256),), (Transfer(0x60002000, 0x402000, 64),), (5, 6), True)
    (tmp_path / "table.bin").write_bytes(encode(Schedule((step,), 0xABCD1234)))
    (tmp_path / "spindl_schedule.h").write_text(c_header())
    records = (HEADER, STEP, TRANSFER, TRANSFER)
    prints = [
        f"{{ {r.name} r; if (fread(&r, sizeof r, 1, f) != 1) return 1; "
        + " ".join(f'printf("%u\\n", (unsigned)r.{field.name});' for field in r.fields)
        + " }"
        for r in records
    ]
    source = tmp_path / "walk.c"
    source.write_text(
        '#include "spindl_schedule.h"\n#include <stdio.h>\nint main(int n, char **a) {\n(void)n;\n'
        'FILE *f = fopen(a[1], "rb");\nif (!f) return 1;\n' + "\n".join(prints) + "\nreturn 0;\n}\n"
    )
    program = tmp_path / "walk"
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([str(COMPILER), *flags, str(source), "-o", str(program)], check=True)
    output = subprocess.run([str(program), str(tmp_path / "table.bin")], check=True, capture_output=True).stdout
    data, offset, expected = (tmp_path / "table.bin").read_bytes(), 0, []
    for record in records:
        expected += list(record.unpack(data, offset).values())
        offset += record.layout.size
    assert [int(v) for v in output.split()] == expected


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(0, 2**18 - 1), st.integers(0, 40), st.randoms())
def test_blocks_survive_any_order_and_repeats(words: list[int], stream: int, block: int, order: object) -> None:
    sent = packets(stream, block, words)
    arrived = sent + sent[::2]
    order.shuffle(arrived)  # type: ignore[attr-defined]
    receiver = Receiver(stream, block)
    receiver.take(arrived)
    assert receiver.repeats == len(sent[::2])
    assert receiver.finish() == words
    assert receiver.block == block + 1


@given(st.lists(WORDS, min_size=1, max_size=40), st.data())
def test_a_lost_packet_is_named_and_repaired(words: list[int], data: st.DataObject) -> None:
    sent = packets(3, 5, words)
    lost = data.draw(st.integers(0, len(sent) - 1))
    receiver = Receiver(3, 5)
    receiver.take(packet for place, packet in enumerate(sent) if place != lost)
    assert receiver.missing() == [sent[lost][0] % 1024]
    with pytest.raises(ProgramError, match="lacks places"):
        receiver.finish()
    receiver.take([sent[lost]])
    assert receiver.finish() == words


@given(st.lists(WORDS, min_size=1, max_size=20), st.data())
def test_a_changed_word_is_found(words: list[int], data: st.DataObject) -> None:
    sent = packets(3, 5, words)
    place = data.draw(st.integers(0, len(words) - 1))
    sent[place] = (sent[place][0], sent[place][1] ^ 1 << data.draw(st.integers(0, 31)))
    receiver = Receiver(3, 5)
    receiver.take(sent)
    with pytest.raises(ProgramError, match="checksum"):
        receiver.finish()


@given(st.lists(WORDS, min_size=2, max_size=40), st.data())
def test_exchanged_words_are_found(words: list[int], data: st.DataObject) -> None:
    first, second = sorted(data.draw(st.sets(st.integers(0, len(words) - 1), min_size=2, max_size=2)))
    change = (words[first] - words[second]) * 2 * (second - first)
    assume((change + 1023) % 2**32 > 2046)  # its upper 22 bits differ in any case
    sent = packets(3, 5, words)
    sent[first], sent[second] = (sent[first][0], sent[second][1]), (sent[second][0], sent[first][1])
    receiver = Receiver(3, 5)
    receiver.take(sent)
    with pytest.raises(ProgramError, match="checksum"):
        receiver.finish()


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(0, 2**24 - 1), st.integers(1, 1000))
def test_what_is_left_of_another_run_is_not_taken(words: list[int], run: int, later: int) -> None:
    """The same words, stream and block: only the run differs."""
    stale, sent = packets(64, 0, words, run), packets(64, 0, words, run + later)
    assert stale[-1] != sent[-1]
    receiver = Receiver(64, 0, run + later)
    receiver.take(stale)
    with pytest.raises(ProgramError, match="checksum"):
        receiver.finish()


@given(st.lists(WORDS, min_size=1, max_size=40), st.integers(0, 2**24 - 1))
def test_acknowledgements_of_the_run_before_are_others(words: list[int], run: int) -> None:
    heads = [packets(64, 0, words, number)[-1][1] for number in (run, run + 1)]
    assert acknowledgement(64, 0, 3, heads[0]) != acknowledgement(64, 0, 3, heads[1])
    assert request(64, 0, 3, 0, 1)[1] >> 31 == 1 and acknowledgement(64, 0, 3, heads[0])[1] >> 31 == 0


def test_keys_and_strays() -> None:
    with pytest.raises(ProgramError, match="no such key"):
        key(1 << 18, 0, 0)
    with pytest.raises(ProgramError, match="1 to 1023"):
        packets(0, 0, [0] * (LARGEST_BLOCK + 1))
    receiver = Receiver(3, 5)
    receiver.take([*packets(3, 6, [1]), *packets(4, 5, [1])])
    assert receiver.strays == 4
    receiver.take([(key(3, 5, 1), 7)])
    assert receiver.missing() == [0]
    with pytest.raises(ProgramError, match="two payloads"):
        receiver.take([(key(3, 5, 1), 8)])


def test_counters() -> None:
    check_counts({name: Count(1, "modelled", "sim") for name in COUNTERS})
    with pytest.raises(RunError, match="unknown counters: cycle"):
        check_counts({"cycle": Count(1, "measured", "emu")})
