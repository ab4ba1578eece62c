"""Plans the graphs of a Program for the executors that need it."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path

from spindl import _kernels, _planner
from spindl.graph import Graph
from spindl.graph.batch import batch_of, with_batch
from spindl.machine import load_machine, model_topology, parse_machine
from spindl.plan import Machine, emit, machine_of, plan_chips, plan_step
from spindl.plan.check import check_plan
from spindl.plan.check_chips import check_plans
from spindl.plan.cost import counts, forecast
from spindl.plan.machine import machine_json
from spindl.program import Program
from spindl.program.cache import cached, keep
from spindl.program.image import image_bytes, load_image
from spindl.program.machine import PlannedGraph

PLANNED = ("emu", "board")
"""Executors that need a plan. The others report what the planner foresees, if they are told a machine."""
_PLANNER = ("graph", "machine", "number", "plan", "program")


def placed(executor: str, device: str, machine: str | None) -> tuple[str, str | None]:
    """Where a session is opened, and the machine to plan for: a device that is no "cpu" names the machine of executors
    that need one."""
    if executor not in PLANNED:
        return device, machine
    name = machine or ("spin3" if device == "cpu" else device)
    return name, name


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


def planned(program: Program, executor: str, machine: str | None) -> Program:
    """The program with what the executor needs of the planner.

    Args:
        program: with the graphs to plan; plans that it has already are kept where they follow from the same things.
        executor: "emu" and "board" need the program of each chip; the others report what is foreseen.
        machine: its name, see `target_machine`; None: spin3 for executors that need a plan, none for the others.

    Raises:
        PlanError: something that no kernel computes, or that does not fit.
        ImageError: there is no image for the cores.
        SpindlError: a machine that cannot be had, see `target_machine`.

    A graph that changes no state, such as an evaluation, is planned for the next number of images that can be dealt to
    the chips; the executors fill its batch up. Plans are kept by the hash of what they follow from
    (`spindl.program.cache`): a second start plans nothing.
    """
    whole = executor in PLANNED
    if not program.graphs or (machine is None and not whole):
        return replace(program, plans={}, image=b"")
    target = target_machine(machine or "spin3")
    return with_plans(program, target, whole)


def with_plans(program: Program, target: Machine, whole: bool = True) -> Program:
    """The program planned for a machine: whole, or only what the planner foresees. Errors as of `planned`."""
    plans = {}
    for name, own in program.graphs.items():
        graph = _dealt(own, target.chips)
        key = _key(graph, target, whole)
        known = program.plans.get(name)
        found = known if known is not None and known.key == key else cached(key)
        if not isinstance(found, PlannedGraph):
            found = _plan(graph, target, key, whole)
            keep(key, found)
        plans[name] = found
    kept = whole and program.image and all(plans[name] is program.plans.get(name) for name in plans)
    image = program.image if kept else image_bytes(load_image()) if whole else b""
    return replace(program, plans=plans, image=image)


def _dealt(graph: Graph, chips: int) -> Graph:
    """The graph with as many images as can be dealt to the chips equally. A training step's batch is never changed."""
    if graph.updates or batch_of(graph) % chips == 0:
        return graph
    return with_batch(graph, -(-batch_of(graph) // chips) * chips)


def _plan(graph: Graph, target: Machine, key: str, whole: bool) -> PlannedGraph:
    """Plans, checks, foresees; `whole`: and emits the program of each chip."""
    plans = plan_chips(graph, target) if whole else (plan_step(graph, target),)
    if whole:
        check_plans(plans)
    else:
        check_plan(plans[0])
    chips = tuple(emit(plan, 0) for plan in plans) if whole else ()
    return PlannedGraph(key, machine_json(target), counts(plans[0], forecast(plans[0])), chips)


def _key(graph: Graph, target: Machine, whole: bool) -> str:
    """Hash of all that a plan follows from: graph, machine, planner."""
    what = "all" if whole else "counters"
    return sha256(f"{planner_version()} {what} {machine_json(target)} {graph.to_json()}".encode()).hexdigest()


@cache
def planner_version() -> str:
    """Hash of the planner: of the sources that plans follow from, and of the kernels' costs."""
    root = Path(__file__).parent
    files = [path for room in _PLANNER for path in sorted((root / room).rglob("*.py"))]
    made = sha256()
    for path in [Path(__file__), *files, Path(_kernels.__file__), Path(_planner.__file__)]:
        made.update(path.read_bytes())
    return made.hexdigest()
