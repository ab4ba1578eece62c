"""The step that an executor counted in full, into the folder of its run, beside what the planner foresaw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spindl.graph.graph import Graph
from spindl.machine import Topology
from spindl.plan import machine_of, plan_chips
from spindl.report.folder import MODELLED, STEP
from spindl.report.measured import XY, CoreSteps, measured_report
from spindl.report.model import save_step
from spindl.report.planned import plan_report


def save_counted(
    folder: Path,
    graph: Graph,
    topology: Topology,
    cores: int,
    counters: Mapping[XY, Sequence[CoreSteps]],
    executor: str,
    graph_name: str = "train",
) -> None:
    """Plans the step again, as it was run, and writes the measured and the modelled step.

    Args:
        folder: of the run.
        graph: that was run, for the whole batch.
        topology, cores: the machine, and cores of each chip.
        counters: of each chip, each core, each step of its schedule.
        executor: "emu" or "board".
        graph_name: of the graph.

    Raises:
        ReportError: the counters are not those of the plan.
        RunFolderError: a file cannot be written.
    """
    machine = machine_of(topology, len(counters), cores)
    plans = list(plan_chips(graph, machine))
    save_step(measured_report(plans, counters, executor, graph_name), folder / STEP)
    save_step(plan_report(plans[0], graph_name), folder / MODELLED)
