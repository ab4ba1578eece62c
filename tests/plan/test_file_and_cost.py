"""Plans as files, their differences, and what they predict."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.plan import Plan, PlanError, machine_of, plan_step
from spindl.plan.cost import forecast, predict, total_cycles
from spindl.plan.file import load_plan
from spindl.plan.show import diff_plans, plan_digest, summary
from spindl.planning import with_plans
from spindl.program import Program, ProgramError, load_program, save_program
from spindl.program.core import TILES
from spindl.program.image import load_image, read_image
from tests.plan.networks import case


@cache
def planned(cores: int = 4, batch: int = 8) -> Plan:
    return plan_step(case("lenet", batch, steps=1).graph, machine_of("spin3", 1, cores, TILES, 100 << 20))


def saved(path: Path) -> Program:
    """The program of a small network, planned and saved."""
    graph = case("lenet", 8, steps=1).graph
    program = with_plans(Program({"train": graph}, {}), machine_of("spin3", 2, 4))
    save_program(program, path)
    return program


def test_a_saved_program_holds_all_that_a_machine_needs(tmp_path: Path) -> None:
    path = tmp_path / "lenet.spindl"
    program = saved(path)
    again = load_program(path)
    assert again.plans == program.plans
    assert len(again.chips["train"]) == 2
    assert read_image(again.image, "file") == load_image()
    assert path.read_bytes() == (save_program(again, tmp_path / "b.spindl"), (tmp_path / "b.spindl").read_bytes())[1]
    plan = load_plan(path)
    assert plan_digest(plan) == plan_digest(plan_step(program.graphs["train"], plan.machine))
    assert plan.machine == machine_of("spin3", 2, 4)


def test_files_that_hold_no_plan(tmp_path: Path) -> None:
    path = tmp_path / "lenet.spindl"
    with pytest.raises(ProgramError, match="no such program file"):
        load_plan(path)
    path.write_text("{")
    with pytest.raises(ProgramError, match="damaged"):
        load_plan(path)
    program = saved(path)
    bare = replace(program, plans={}, image=b"")
    save_program(bare, path)
    with pytest.raises(PlanError, match="no plan of its graph 'train'"):
        load_plan(path)
    own = program.plans["train"]
    save_program(replace(program, plans={"train": replace(own, machine="{}")}), path)
    with pytest.raises(PlanError, match="names no machine"):
        load_plan(path)
    save_program(replace(program, plans={"train": replace(own, chips=own.chips[::-1])}), path)
    with pytest.raises(PlanError, match="otherwise"):
        load_plan(path)


def test_one_damaged_byte_anywhere_is_found(tmp_path: Path) -> None:
    path = tmp_path / "lenet.spindl"
    saved(path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        places = {info.filename: info.header_offset + 60 + info.file_size // 2 for info in archive.infolist()}
    assert set(places) == {"program.json", "graphs/train.json", "plans/train", "image"}
    for place in places.values():
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ProgramError, match="damaged"):
            load_program(path)


def test_differences_are_named() -> None:
    a, b = planned(), planned(cores=8)
    assert diff_plans(a, a, predict(a), predict(a)) == []
    lines = diff_plans(a, b, predict(a), predict(b))
    assert "cores: 4 and 8" in lines
    assert any(line.startswith("cycles") for line in lines)


def test_more_cores_and_smaller_batches_take_less_time() -> None:
    one, four, small = (total_cycles(predict(p)) for p in (planned(cores=1), planned(), planned(batch=2)))
    assert one > 2 * four > 0
    assert small < four


def test_bytes_are_those_of_the_schedules() -> None:
    plan = planned()
    phases = predict(plan)
    calls = [c for phase in plan.phases for core in phase.cores for p in core for c in p.task.calls]
    always = [call for call in calls if call.condition is None]
    assert sum(p.read for p in phases) == sum(m.bytes * m.rows for call in always for m in call.loads)
    assert sum(p.written for p in phases) == sum(m.bytes * m.rows for call in always for m in call.stores)
    assert f"{plan.bytes:,} bytes of SDRAM" in "\n".join(summary(plan, forecast(plan)))


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "mlp.spindl"
    runner = CliRunner()
    made = runner.invoke(app, ["plan", "mlp", "--show", "--cores", "4", "--save", str(file)])
    assert made.exit_code == 0, made.output
    assert "4 cores" in made.output
    assert "finish" in made.output
    same = runner.invoke(app, ["plan", str(file), "--diff", str(file)])
    assert same.exit_code == 0
    assert "the plans do the same" in same.output
    wrong = runner.invoke(app, ["plan", "mlp", "--machine", "spin99"])
    assert wrong.exit_code == 1
    assert "names no machine" in wrong.output
