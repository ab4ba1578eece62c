"""Plans as files, their differences, and what they predict."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from spindl.cli.app import app
from spindl.plan import Plan, PlanError, machine_of, plan_step
from spindl.plan.cost import forecast, predict, total_cycles
from spindl.plan.file import load_plan, save_plan
from spindl.plan.show import diff_plans, plan_digest, summary
from spindl.program.core import TILES
from tests.plan.networks import case


@cache
def planned(cores: int = 4, batch: int = 8) -> Plan:
    return plan_step(case("lenet", batch, steps=1).graph, machine_of("spin3", 1, cores, TILES, 100 << 20))


def test_a_saved_plan_is_the_same_plan(tmp_path: Path) -> None:
    save_plan(planned(), tmp_path / "lenet.plan")
    assert plan_digest(load_plan(tmp_path / "lenet.plan")) == plan_digest(planned())


def test_files_that_are_no_plans(tmp_path: Path) -> None:
    path = tmp_path / "lenet.plan"
    with pytest.raises(PlanError, match="no such plan file"):
        load_plan(path)
    path.write_text("{")
    with pytest.raises(PlanError, match="damaged"):
        load_plan(path)
    save_plan(planned(), path)
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"plan": 99}))
    with pytest.raises(PlanError, match="version 99"):
        load_plan(path)
    path.write_text(json.dumps(document | {"digest": "0" * 64}))
    with pytest.raises(PlanError, match="otherwise"):
        load_plan(path)


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
    file = tmp_path / "mlp.plan"
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
