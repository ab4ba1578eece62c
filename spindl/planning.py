"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from spindl.machine import CHIP, load_machine, model_topology, parse_machine
from spindl.plan import Machine, emit, machine_of, plan_chips
from spindl.plan.cost import predict
from spindl.program import Program

PLANNED = ("emu", "board")
"""Executors that need a plan."""


def target_machine(device: str, cores: int | None = None) -> Machine:
    """A machine with those of its chips and cores that are used.

    Args:
        device: the machine's name (`spindl.machine.name`); "cpu" stands for "spin3". A live one is read and probed.
        cores: of each chip that compute; None: all that work.

    Raises:
        TopologyError, MachineFileError: a name or a file that means no machine.
        RunError: a live machine that cannot be had.
        PlanError: fewer chips than asked for.
    """
    name = parse_machine("spin3" if device == "cpu" else device)
    if name.live:
        from spindl.run.board import read_machine

        topology = read_machine(name).topology
    elif name.source == "file":
        topology = load_machine(Path(name.what)).topology
    else:
        topology = model_topology(name.what)
    return machine_of(topology, name.chips or 1, cores)


def planned(program: Program, executor: str, device: str) -> Program:
    """The program with what the executor's machine needs.

    Args:
        program: with the graphs to plan.
        executor: those that need no plan get the program as it is.
        device: see `target_machine`.

    Raises:
        PlanError: something that no kernel computes, or that does not fit.
        SpindlError: a machine that cannot be had, see `target_machine`.
    """
    if executor not in PLANNED or program.chips or not program.graphs:
        return program
    target = target_machine(device)
    chips, seconds = {}, {}
    for key, graph in program.graphs.items():
        plans = plan_chips(graph, target)
        chips[key] = tuple(emit(plan, 0) for plan in plans)
        seconds[key] = sum(phase.cycles for phase in predict(plans[0])) / CHIP.clock.value
    return replace(program, chips=chips, step_seconds=seconds)
