"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

from dataclasses import replace

from spindl.machine import CHIP, parse_topology
from spindl.plan import Machine, PlanError, emit, plan_step
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


def planned(program: Program, executor: str, device: str) -> Program:
    """The program with what the executor's machine needs.

    Args:
        program: with the graphs to plan.
        executor: those that need no plan get the program as it is.
        device: the machine's name and, behind a colon, the number of chips that share each batch: "spin3:4" (one by
            default); "cpu" stands for "spin3".

    Raises:
        PlanError: something that no kernel computes, or that does not fit.
    """
    if executor not in PLANNED or program.chips or not program.graphs:
        return program
    name, _, chips = device.partition(":")
    if chips and (not chips.isdecimal() or int(chips) < 1):
        raise PlanError(f"'{chips}' chips", "machine", "write a number behind the colon, as in spin3:4")
    target = describe_machine("spin3" if name == "cpu" else name, int(chips or 1))
    made = {
        key: tuple(emit(plan_step(graph, target, number), 0) for number in range(target.chips))
        for key, graph in program.graphs.items()
    }
    return replace(program, chips=made)
