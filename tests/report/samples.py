"""A small planned step, a step on a whole board, and the folder of a run, to report on."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from spindl.machine import parse_topology
from spindl.plan import Plan, machine_of, plan_step
from spindl.program import CheckpointFolder, Program, Progress, State, save_program
from spindl.program.core import TILES
from spindl.report.model import ChipUse, LinkUse, MachineUse, StepReport, Transfer
from spindl.report.planned import plan_report
from tests.plan.networks import Case, case

STEPS = 20


@cache
def small_case() -> Case:
    return case("lenet", 4, steps=1)


@cache
def small_plan(cores: int = 4) -> Plan:
    return plan_step(small_case().graph, machine_of("spin3", 1, cores, TILES, 100 << 20))


@cache
def small_step() -> StepReport:
    return plan_report(small_plan())


def board_step() -> StepReport:
    """The small step with a whole board in use, and a busy link."""
    chips = tuple(
        ChipUse(p.x, p.y, 16, 1 << 20, 1e6 * (p.x + 1), 10 * p.y, tuple(0.5 if n else None for n in p.neighbours))
        for p in parse_topology("spin5").places
    )
    link = LinkUse(
        (0, 0), 2, (Transfer(0.0, 400.0, "gradients", 1024, False), Transfer(500.0, 800.0, "sums", 8, False))
    )
    return replace(small_step(), machine="spin5", use=MachineUse("spin5", chips), links=(link,))


def make_run(folder: Path, name: str = "sample", lr: float = 0.1) -> Path:
    """The folder of a run of two epochs: log, float32 twin, program, checkpoint."""
    run = folder / name
    run.mkdir()
    settings = {"model": "lenet<5>", "data": "mnist", "batch_size": 4, "seed": 0, "lr": lr}
    rows: list[dict[str, object]] = [
        {"kind": "run", "step": 0, "executor": "sim", "device": "cpu", "spindl": "0.1", "program": "0" * 64}
        | {"settings": settings}
    ]
    for step in range(1, STEPS + 1):
        rows.append(
            {"kind": "step", "step": step, "epoch": 1 + (step > STEPS // 2), "loss": 2.0 / step, "accuracy": 0.5}
            | {"learning_rates": [lr, lr], "images_per_second": 100.0 + step}
            | {"saturation": {"fc.output": 3} if step == 7 else {}}
        )
        if step % (STEPS // 2) == 0:
            rows.append(
                {"kind": "epoch", "epoch": step // (STEPS // 2), "step": step, "loss": 1.0, "accuracy": 0.5}
                | {"test_loss": 0.8, "test_accuracy": 0.875, "learning_rates": [lr, lr], "images_per_second": 100.0}
                | {"seconds": 1.0, "saturation": {}}
            )
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    twin = [{"epoch": e, "loss": 1.1, "accuracy": 0.4, "test_loss": 0.9, "test_accuracy": 0.75} for e in (1, 2)]
    (run / "float32.json").write_text(json.dumps(twin))
    program = Program({"train": small_case().graph}, {"model": "LeNet"})
    save_program(program, run / "program.spindl")
    state = State(values=small_case().state, progress=Progress(0, STEPS), program=program.digest())
    (run / "checkpoints").mkdir()
    CheckpointFolder(run / "checkpoints").save(state)
    return run
