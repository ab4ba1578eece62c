"""A plan as a file: what it was made from, and the digest of what was made. Loading plans it again and compares."""

from __future__ import annotations

import json
from pathlib import Path

from spindl.graph.graph import Graph, GraphError
from spindl.plan.errors import PlanError
from spindl.plan.passes import plan_step
from spindl.plan.plan import PLAN_VERSION, Machine, Plan
from spindl.plan.show import plan_digest
from spindl.program.files import write_atomically


def save_plan(plan: Plan, path: Path) -> None:
    """Writes a plan; the file appears complete or not at all. Raises RunFolderError."""
    m = plan.machine
    document = {
        "plan": PLAN_VERSION,
        "digest": plan_digest(plan),
        "machine": [m.name, m.chips, m.cores, list(m.tiles), m.sdram],
        "graph": plan.graph.to_json(),
    }
    write_atomically(path, json.dumps(document, sort_keys=True).encode())


def load_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        PlanError: the file is missing, damaged or of another version, or this planner plans otherwise.
    """
    where = str(path)
    try:
        document = json.loads(path.read_bytes())
        version = document["plan"]
        name, chips, cores, (low, high), sdram = document["machine"]
        graph, digest = Graph.from_json(document["graph"]), document["digest"]
    except FileNotFoundError as error:
        raise PlanError("no such plan file", where, "check the path") from error
    except (OSError, KeyError, TypeError, ValueError, GraphError) as error:
        raise PlanError(f"the plan file is damaged ({type(error).__name__}: {error})", where, "plan again") from error
    if version != PLAN_VERSION:
        raise PlanError(f"a plan of version {version}; this spindl makes version {PLAN_VERSION}", where, "plan again")
    plan = plan_step(graph, Machine(name, chips, cores, (low, high), sdram))
    if plan_digest(plan) != digest:
        raise PlanError("this version plans the graph otherwise than the one that wrote the file", where, "plan again")
    return plan
