"""A plan as a file: what it was made from, and the digest of what was made. Loading plans it again and compares."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spindl.graph.graph import Graph, GraphError
from spindl.machine import Place, Topology
from spindl.plan.errors import PlanError
from spindl.plan.machine import Machine
from spindl.plan.passes import plan_step
from spindl.plan.plan import PLAN_VERSION, Plan
from spindl.plan.show import plan_digest
from spindl.program.files import write_atomically


def save_plan(plan: Plan, path: Path) -> None:
    """Writes a plan; the file appears complete or not at all. Raises RunFolderError."""
    m = plan.machine
    document = {
        "plan": PLAN_VERSION,
        "digest": plan_digest(plan),
        "topology": asdict(m.topology),
        "machine": [m.used, m.cores, m.tiles, m.sdram],
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
        if version != PLAN_VERSION:
            raise PlanError(
                f"a plan of version {version}; this spindl makes version {PLAN_VERSION}", where, "plan again"
            )
        used, cores, (low, high), sdram = document["machine"]
        machine = Machine(_topology(document["topology"]), tuple((x, y) for x, y in used), cores, (low, high), sdram)
        graph, digest = Graph.from_json(document["graph"]), document["digest"]
    except FileNotFoundError as error:
        raise PlanError("no such plan file", where, "check the path") from error
    except (OSError, KeyError, TypeError, ValueError, GraphError) as error:
        raise PlanError(f"the plan file is damaged ({type(error).__name__}: {error})", where, "plan again") from error
    plan = plan_step(graph, machine)
    if plan_digest(plan) != digest:
        raise PlanError("this version plans the graph otherwise than the one that wrote the file", where, "plan again")
    return plan


def _topology(fields: dict[str, Any]) -> Topology:
    """A topology from its fields as JSON has them."""
    places = tuple(
        Place(**{**each, "neighbours": tuple(None if xy is None else (xy[0], xy[1]) for xy in each["neighbours"])})
        for each in fields["places"]
    )
    return Topology(**{**fields, "places": places})
