"""`spindl plan`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from rich.table import Table

from spindl.cli.check import parse_shape
from spindl.cli.output import output
from spindl.cli.recipe import build_data
from spindl.cli.settings import SettingsError, merged
from spindl.graph import Graph
from spindl.model import capture, load_model
from spindl.plan import Plan, plan_chips
from spindl.plan.check import check_plan
from spindl.plan.check_chips import check_plans
from spindl.plan.cost import PhaseCost, forecast, predict
from spindl.plan.file import TRAIN, load_plan
from spindl.plan.scale.machines import boards_of, is_of_boards
from spindl.plan.scale.predict import CHIPS_PER_BOARD, chip_of
from spindl.plan.scale.show import layer_lines, lines_of
from spindl.plan.share import share_of
from spindl.plan.show import diff_plans, phase_rows, summary
from spindl.planning import target_machine, with_plans
from spindl.program import Program, save_program, spindl_version
from spindl.train import Formats, ParameterGroup, read_loss, training_graph

PROGRAM_FILE = ".spindl"


@dataclass(frozen=True)
class Request:
    """What the command was asked for; see `spindl plan --help`."""

    source: str
    data: str | None = None
    input_shape: str | None = None
    loss: str = "cross_entropy"
    batch_size: int = 1
    machine: str = "spin3"
    cores: int = 16
    save: Path | None = None
    show: bool = False
    diff: Path | None = None
    dead: int | None = None


def run(request: Request) -> None:
    """Plans all chips, checks, prints, saves, compares."""
    console = output()
    if is_of_boards(request.machine):
        _predict(request)
        return
    program = None
    if request.source.endswith(PROGRAM_FILE):
        plan = load_plan(Path(request.source))
        check_plan(plan)
    else:
        program, target = _program(request), target_machine(request.machine, request.cores)
        started = perf_counter()
        plans = plan_chips(program.graphs[TRAIN], target)
        planned, started = perf_counter() - started, perf_counter()
        check_plans(plans)
        plan, checked = plans[0], perf_counter() - started
        console.print(f"planned in {planned:.2f} s, checked in {checked:.2f} s", markup=False, highlight=False)
    foreseen = forecast(plan)
    phases = foreseen.phases
    for line in summary(plan, foreseen):
        console.print(line, markup=False, highlight=False)
    if request.show:
        console.print(_table(plan, phases))
    if request.save is not None:
        if program is None:
            raise SettingsError("--save of a file", "command line", "copy the file, or give a MODEL")
        save_program(with_plans(program, plan.machine), request.save)
        console.print(f"saved in {request.save}", markup=False, highlight=False)
    if request.diff is not None:
        other = load_plan(request.diff)
        lines = diff_plans(plan, other, phases, predict(other))
        for line in lines or ["the plans do the same"]:
            console.print(line, markup=False, highlight=False)


def _program(request: Request) -> Program:
    """The training graph as a Program."""
    metadata = {
        "spindl": spindl_version(),
        "model": request.source,
        "loss": request.loss,
        "batch_size": request.batch_size,
    }
    return Program({TRAIN: graph_of(request)}, metadata)


def _predict(request: Request) -> None:
    """A machine of boards: one image a chip."""
    console = output()
    machine = boards_of(request.machine, request.dead)
    graph = share_of(graph_of(replace(request, batch_size=CHIPS_PER_BOARD)), CHIPS_PER_BOARD)
    started = perf_counter()
    chip = chip_of(graph)
    lines = lines_of(chip, machine)
    planned, started = perf_counter() - started, perf_counter()
    check_plan(chip.planned.plan)
    checked = perf_counter() - started
    console.print(f"planned in {planned:.2f} s, checked in {checked:.2f} s", markup=False, highlight=False)
    if request.show:
        lines += ["the longest phases: seconds, of which kernels", *layer_lines(chip)]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def graph_of(request: Request) -> Graph:
    """The training graph that a request means."""
    shape = parse_shape(request.input_shape) if request.input_shape else None
    classes = None
    if request.data is not None:
        dataset = build_data(merged({}, {"model": request.source, "data": request.data}), "train")
        shape, classes = dataset.image_shape, len(dataset.classes)
    module, own_shape = load_model(request.source, classes=classes, input_shape=shape)
    shape = shape or own_shape
    if shape is None:
        raise SettingsError("the model does not say what it takes", "command line", "give --input-shape or --data")
    forward = capture(module, shape)
    keys = tuple(str(n.attributes["name"]) for n in forward.nodes if n.op == "parameter")
    normalisation = ((0.5,) * shape[0], (0.5,) * shape[0]) if len(shape) == 3 else None
    groups = (ParameterGroup("sgd", keys),)
    return training_graph(forward, read_loss(request.loss), groups, Formats(), request.batch_size, normalisation)


def _table(plan: Plan, phases: tuple[PhaseCost, ...]) -> Table:
    table = Table("phase", "what", "tasks", "cycles", "read", "written", "packets")
    for name, what, *numbers in phase_rows(plan, phases):
        table.add_row(name, what, *(f"{number:,}" for number in numbers))
    return table
