"""Plans in a Program's file: what was made, and what it was made from. Showing one plans it again and compares."""

from __future__ import annotations

from pathlib import Path

from spindl.plan.emit import emit
from spindl.plan.errors import PlanError
from spindl.plan.machine import machine_from_json
from spindl.plan.passes import plan_step
from spindl.plan.plan import Plan
from spindl.program import load_program

TRAIN = "train"


def load_plan(path: Path, graph: str = TRAIN) -> Plan:
    """The plan of a graph in a program's file, of the first chip.

    Raises:
        ProgramError: the file is missing, damaged or of another version.
        PlanError: the graph is not planned in it, or this planner plans otherwise.
    """
    where = str(path)
    program = load_program(path)
    planned = program.plans.get(graph)
    if planned is None or not planned.chips:
        raise PlanError(f"the program has no plan of its graph '{graph}'", where, "make one: spindl plan ... --save")
    try:
        machine = machine_from_json(planned.machine)
    except (KeyError, TypeError, ValueError) as error:
        raise PlanError(f"the plan names no machine ({type(error).__name__}: {error})", where, "plan again") from error
    plan = plan_step(program.graphs[graph], machine)
    if emit(plan, 0) != planned.chips[0]:
        raise PlanError("this version plans the graph otherwise than the one that wrote the file", where, "plan again")
    return plan
