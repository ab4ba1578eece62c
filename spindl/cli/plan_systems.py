"""What the planner says of ResNet-50 on each machine that `spindl compare-systems` shows, as a data file.

Planning takes a minute, so the comparison reads the file, and `--refresh` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from spindl.cli import plan as plan_command
from spindl.graph.graph import Graph
from spindl.machine import CHIP
from spindl.plan.scale.machines import BOARDS, boards_of
from spindl.plan.scale.predict import CHIPS_PER_BOARD, FAST, MIDDLE, SLOW, Chip, Constants, chip_of, predict
from spindl.plan.share import share_of
from spindl.program import spindl_version
from spindl.program.files import write_atomically
from spindl.systems.model import PLANNED

COMMAND = "spindl compare-systems --refresh"
MOVES: Mapping[str, tuple[str, Constants, Constants]] = {
    "bandwidth of SDRAM": (
        "MB/s",
        replace(MIDDLE, sdram=SLOW.sdram),
        replace(MIDDLE, sdram=FAST.sdram),
    ),
    "cycles of kernels": (
        "of those planned",
        replace(MIDDLE, kernels=FAST.kernels),
        replace(MIDDLE, kernels=SLOW.kernels),
    ),
    "symbol of a link": ("ns", replace(MIDDLE, symbol=FAST.symbol), replace(MIDDLE, symbol=SLOW.symbol)),
}
"""What one constant alone does to a board: its unit, and the constants with it at its low and its high end."""
_ENDS = {
    "bandwidth of SDRAM": (SLOW.sdram / 1e6, FAST.sdram / 1e6),
    "cycles of kernels": (FAST.kernels, SLOW.kernels),
    "symbol of a link": (FAST.symbol * 1e9, SLOW.symbol * 1e9),
}


def planned_systems(graph: Graph) -> str:
    """The data file, TOML.

    Args:
        graph: the training graph of ResNet-50 for one image (`spindl.plan.share.share_of`).
    """
    moved = tuple(constants for _, low, high in MOVES.values() for constants in (low, high))
    chip = chip_of(graph, tuple(dict.fromkeys((MIDDLE, SLOW, FAST, *moved))))
    lines = [
        f"# ResNet-50 at 224 x 224, an image a chip, as the planner predicts it. Made by `{COMMAND}`.",
        "# [value, low, high]: the weak constants at their values, and all at one end (spindl.plan.scale.predict).",
        "",
        f'spindl = "{spindl_version()}"',
        f"phases = {len(chip.planned.plan.phases)}",
        f"forward_seconds = {_ends([_forward(chip, c) for c in (MIDDLE, SLOW, FAST)])}",
    ]
    for name in BOARDS:
        machine = boards_of(name)
        found = [predict(chip, machine, constants) for constants in (MIDDLE, SLOW, FAST)]
        lines += [
            "",
            "[[machine]]",
            f'name = "{name}"',
            f"boards = {machine.boards}",
            f"chips = {machine.chips}",
            f"step_seconds = {_ends([each.line.step for each in found])}",
            "[machine.joules]",
            *(f'"{what}" = {joules:.5g}' for what, joules in found[0].joules.items()),
        ]
    board = boards_of("spin5")
    for name, (unit, *ends) in MOVES.items():
        rates = [predict(chip, board, constants).images_per_second for constants in ends]
        low, high = _ENDS[name]
        lines += [
            "",
            "[[move]]",
            f'name = "{name}"',
            f'unit = "{unit}"',
            f"low = {low:.4g}",
            f"high = {high:.4g}",
            f"images_per_second = [{rates[0]:.4g}, {rates[1]:.4g}]",
        ]
    return "\n".join(lines) + "\n"


def _forward(chip: Chip, constants: Constants) -> float:
    """Seconds of the phases before the loss: a forward pass, with the sums that BatchNorm takes in training."""
    nodes = chip.planned.plan.graph.nodes
    last = next(
        number
        for number, jobs in enumerate(chip.planned.phase_jobs)
        if any(nodes[i].op == "cross_entropy_loss" for job in jobs for i in job.nodes)
    )
    return sum(cost.cycles for cost in chip.costs[constants][:last]) / CHIP.clock.value


def _ends(values: list[float]) -> str:
    return f"[{values[0]:.5g}, {min(values):.5g}, {max(values):.5g}]"


def fresh() -> str:
    """The data file from a fresh plan of ResNet-50. Takes minutes."""
    graph = plan_command.graph_of(plan_command.Request("resnet50", batch_size=CHIPS_PER_BOARD, machine="spin5"))
    return planned_systems(share_of(graph, CHIPS_PER_BOARD))


def refresh_planned() -> Path:
    """Write the data file of this installation anew. Raises RunFolderError."""
    path = Path(str(files("spindl.systems"))) / PLANNED
    write_atomically(path, fresh().encode())
    return path
