"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

from dataclasses import replace

from spindl.machine import CHIP, parse_topology
from spindl.plan import Machine, emit, plan_step
from spindl.program import Program
from spindl.program.core import TILES

PLANNED = ("emu",)
"""Executors that need a plan."""
CORES = 16
"""Compute cores of a chip: of its 18 one is SC&MP's, and one may be dead."""
RESERVED = 20 << 20
"""Bytes of SDRAM for SC&MP, schedules, records and counters."""


def describe_machine(name: str, chips: int = 1, cores: int = CORES) -> Machine:
    """A machine to plan for. Raises TopologyError for one that cannot exist."""
    parse_topology(name)
    return Machine(name, chips, cores, TILES, int(CHIP.sdram.value) - RESERVED)


def planned(program: Program, executor: str, machine: str) -> Program:
    """The program with what the executor's machine needs. Raises PlanError."""
    if executor not in PLANNED or program.chips or not program.graphs:
        return program
    target = describe_machine("spin3" if machine == "cpu" else machine)
    return replace(program, chips={name: emit(plan_step(graph, target), 0) for name, graph in program.graphs.items()})
