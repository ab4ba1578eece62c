"""Planned chips as bytes, and the folder that keeps them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spindl import planning
from spindl.plan import emit, machine_of, plan_step
from spindl.planning import planned
from spindl.program import Program, ProgramError
from spindl.program.cache import cached, keep, usage
from spindl.program.stored import from_stored, to_stored
from tests.plan.networks import case


def test_planned_chips_come_back_as_they_were() -> None:
    machine = machine_of("spin3", 2, 3)
    graph = case("lenet", steps=1).graph
    chips = tuple(emit(plan_step(graph, machine, number), 7) for number in range(2))
    assert from_stored(to_stored((chips, 0.5))) == (chips, 0.5)


def test_damaged_bytes_and_other_things() -> None:
    data = to_stored({"a": (1, b"xyz", None, 2.5, True)})
    assert from_stored(data) == {"a": (1, b"xyz", None, 2.5, True)}
    for bad in (b"", data[:-1], data[:50] + bytes([data[50] ^ 1]) + data[51:], b"SPDX" + data[4:]):
        with pytest.raises(ProgramError, match="damaged"):
            from_stored(bad)
    with pytest.raises(TypeError, match="no stored form"):
        to_stored(object())


def test_the_folder_is_bounded_and_forgets_the_least_used(tmp_path: Path) -> None:
    size = len(to_stored(os.urandom(1000)))
    for number, key in enumerate("abc"):
        keep(key, os.urandom(1000), tmp_path, limit=3 * size + 100)
        os.utime(tmp_path / f"{key}.chips", (number, number))
    assert cached("a", tmp_path) is not None  # used now: b is the oldest
    keep("d", os.urandom(1000), tmp_path, limit=3 * size + 100)
    assert [key for key in "abcd" if cached(key, tmp_path) is not None] == ["a", "c", "d"]
    assert usage(tmp_path)[0] == 3
    keep("e", os.urandom(9000), tmp_path, limit=3 * size + 100)
    assert cached("e", tmp_path) is None
    (tmp_path / "a.chips").write_bytes(b"damaged")
    assert cached("a", tmp_path) is None
    assert not (tmp_path / "a.chips").exists()


def test_a_second_start_plans_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPINDL_CACHE", str(tmp_path))
    program = Program({"train": case("thesis_convolution", steps=1).graph}, {})
    first = planned(program, "emu", "spin3")

    def refuse(*_: object) -> None:
        raise AssertionError("planned again")

    monkeypatch.setattr(planning, "plan_chips", refuse)
    again = planned(program, "emu", "spin3")
    assert again.plans == first.plans
    with pytest.raises(AssertionError, match="planned again"):
        planned(program, "emu", "spin3:2")
    monkeypatch.setattr(planning, "planner_version", lambda: "another")
    with pytest.raises(AssertionError, match="planned again"):
        planned(program, "emu", "spin3")
