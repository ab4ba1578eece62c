"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from spindl import _kernels, _planner
from spindl.graph import Graph
from spindl.graph.batch import batch_of, with_batch
from spindl.machine import CHIP, load_machine, model_topology, parse_machine
from spindl.plan import Machine, emit, machine_of, plan_chips
from spindl.plan.cost import predict
from spindl.program import Program
from spindl.program.cache import cached, keep
from spindl.program.machine import ChipProgram

PLANNED = ("emu", "board")
"""Executors that need a plan."""
_PLANNER = ("graph", "machine", "number", "plan", "program")


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

    A graph that changes no state, such as an evaluation, is planned for the next number of images that can be dealt to
    the chips; the executors fill its batch up. Plans are kept by the hash of what they follow from
    (`spindl.program.cache`): a second start plans nothing.
    """
    if executor not in PLANNED or program.chips or not program.graphs:
        return program
    target = target_machine(device)
    chips, seconds = {}, {}
    for name, own in program.graphs.items():
        graph = _dealt(own, target.chips)
        key = _key(graph, target)
        found = cached(key)
        if found is None:
            found = _plan(graph, target)
            keep(key, found)
        chips[name], seconds[name] = found
    return replace(program, chips=chips, step_seconds=seconds)


def _dealt(graph: Graph, chips: int) -> Graph:
    """The graph with as many images as can be dealt to the chips equally. A training step's batch is never changed."""
    if graph.updates or batch_of(graph) % chips == 0:
        return graph
    return with_batch(graph, -(-batch_of(graph) // chips) * chips)


def _plan(graph: Graph, target: Machine) -> tuple[tuple[ChipProgram, ...], float]:
    """The program of each chip, and the predicted seconds of a step."""
    plans = plan_chips(graph, target)
    cycles = sum(phase.cycles for phase in predict(plans[0]))
    return tuple(emit(plan, 0) for plan in plans), cycles / CHIP.clock.value


def _key(graph: Graph, target: Machine) -> str:
    """Hash of all that a plan follows from: graph, machine, planner."""
    machine = json.dumps(asdict(target), sort_keys=True)
    return sha256(f"{planner_version()} {machine} {graph.to_json()}".encode()).hexdigest()


@cache
def planner_version() -> str:
    """Hash of the planner: of the sources that plans follow from, and of the kernels' costs."""
    root = Path(__file__).parent
    files = [path for room in _PLANNER for path in sorted((root / room).rglob("*.py"))]
    made = sha256()
    for path in [Path(__file__), *files, Path(_kernels.__file__), Path(_planner.__file__)]:
        made.update(path.read_bytes())
    return made.hexdigest()
