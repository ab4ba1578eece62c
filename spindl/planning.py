"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

from dataclasses import replace

from spindl.plan import PlanError, emit, machine_of, plan_step
from spindl.program import Program

PLANNED = ("emu",)
"""Executors that need a plan."""


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
    target = machine_of("spin3" if name == "cpu" else name, int(chips or 1))
    made = {
        key: tuple(emit(plan_step(graph, target, number), 0) for number in range(target.chips))
        for key, graph in program.graphs.items()
    }
    return replace(program, chips=made)
