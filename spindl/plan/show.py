"""A plan as text, its digest, and what differs between two plans."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256

from spindl.machine import CHIP
from spindl.plan.cost import Forecast, PhaseCost, joules, total_cycles
from spindl.plan.emit import emit
from spindl.plan.plan import Plan
from spindl.program.schedule import encode


def plan_digest(plan: Plan) -> str:
    """SHA-256 of all schedules and addresses: equal for plans that do the same."""
    program = emit(plan, 0)
    digest = sha256(json.dumps(plan.addresses, sort_keys=True).encode())
    for schedule in program.schedules["all"]:
        digest.update(encode(schedule))
    digest.update(repr((program.xy, program.entries, sorted(program.passing.items()))).encode())
    return digest.hexdigest()


def largest_region(plan: Plan) -> int:
    """Bytes of DTCM of the largest task, the core's own tables included."""
    tasks = [placed.task.footprint for phase in plan.phases for core in phase.cores for placed in core]
    tables = max(plan.fixed.values()) - plan.machine.tiles[0]
    return tables + max(tasks, default=0)


def phase_rows(plan: Plan, phases: Sequence[PhaseCost]) -> list[tuple[str, str, int, int, int, int, int]]:
    """(phase, what it computes, tasks, cycles, bytes read, bytes written, packets sent) of every phase."""
    rows = []
    for phase, cost in zip(plan.phases, phases, strict=True):
        tasks = [placed.task for core in phase.cores for placed in core]
        nodes = sorted({call.node for task in tasks for call in task.calls if call.kernel and task.job >= 0})
        names = [f"{plan.graph.nodes[i].name or 'graph'} {_verb(plan.graph.nodes[i].op)}" for i in nodes]
        what = ", ".join(dict.fromkeys(names))
        rows.append((cost.name, what, len(tasks), cost.cycles, cost.read, cost.written, cost.packets))
    return rows


def _verb(op: str) -> str:
    return {"requantise": "rounded", "sum_groups": "weight gradient"}.get(op, op.replace("_", " "))


def summary(plan: Plan, foreseen: Forecast) -> list[str]:
    """What a plan is, in a few lines."""
    phases, energy = foreseen.phases, joules(plan, foreseen)
    parts = ", ".join(f"{name} {amount * 1e3:.3g}" for name, amount in energy.items())
    m, cycles = plan.machine, total_cycles(phases)
    tiles = m.tiles[1] - m.tiles[0]
    calls = sum(len(p.task.calls) for phase in plan.phases for core in phase.cores for p in core)
    read, written = sum(p.read for p in phases), sum(p.written for p in phases)
    share, milliseconds = sum(p.kernel for p in phases) / max(1, cycles), cycles / CHIP.clock.value * 1e3
    return [
        f"machine   {m.name}: {m.chips} chip{'s' * (m.chips > 1)}, {m.cores} cores",
        f"phases    {len(plan.phases)}, {calls:,} calls of kernels",
        f"memory    {plan.bytes:,} bytes of SDRAM; {largest_region(plan):,} of {tiles:,} bytes of DTCM",
        f"predicted {cycles:,} cycles a step: {milliseconds:.2f} ms (modelled), {share:.0%} in kernels",
        f"SDRAM     {read:,} bytes read, {written:,} written a step and chip",
        f"network   {sum(p.packets for p in phases):,} packets a step and chip",
        f"energy    {sum(energy.values()) * 1e3:.3g} mJ a step (modelled): {parts}",
        f"digest    {plan_digest(plan)[:16]}",
    ]


def diff_plans(a: Plan, b: Plan, a_cost: Sequence[PhaseCost], b_cost: Sequence[PhaseCost]) -> list[str]:
    """What differs between two plans, largest things first; empty if they do the same."""
    if plan_digest(a) == plan_digest(b):
        return []
    pairs = {
        "machine": (a.machine.name, b.machine.name),
        "cores": (a.machine.cores, b.machine.cores),
        "nodes": (len(a.graph.nodes), len(b.graph.nodes)),
        "phases": (len(a.phases), len(b.phases)),
        "bytes of SDRAM": (a.bytes, b.bytes),
        "cycles (modelled)": (total_cycles(a_cost), total_cycles(b_cost)),
    }
    lines = [f"{name}: {x} and {y}" for name, (x, y) in pairs.items() if x != y]
    if len(a.phases) == len(b.phases):
        for x, y in zip(a_cost, b_cost, strict=True):
            if x.cycles != y.cycles:
                lines.append(f"{x.name}: {x.cycles:,} and {y.cycles:,} cycles")
    return lines or ["the same sizes and cycles, but other addresses or tiles"]
