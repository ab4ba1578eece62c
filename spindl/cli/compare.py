"""`spindl compare`."""

from __future__ import annotations

import torch
from rich.table import Table

from spindl.cli.output import output, plain_table
from spindl.cli.recipe import build_data, build_formats, build_loss, build_model
from spindl.cli.settings import TrainSettings
from spindl.comparison import Comparison, Row, compare


def run(settings: TrainSettings, rows: int, order: str, double: bool) -> None:
    """Print the table, worst places first (or in the order of the network), and the whole."""
    console = output()
    console.print(f"executor {settings.executor} ({settings.device})", markup=False, highlight=False)
    data = build_data(settings, "train")
    result = compare(
        build_model(settings, data),
        build_loss(settings),
        data,
        batch_size=settings.batch_size,
        seed=settings.seed,
        formats=build_formats(settings),
        executor=settings.executor,
        device=settings.device,
        threads=settings.threads,
        dtype=torch.float64 if double else torch.float32,
    )
    chosen = (result.rows if order == "layer" else result.worst())[: rows or None]
    name = "float64" if double else "float32"
    console.print(table(chosen, f"one training step against {name} PyTorch"))
    if len(chosen) < len(result.rows):
        console.print(f"{len(chosen)} of {len(result.rows)} places; --rows 0 lists all", markup=False, highlight=False)
    for line in summary(result, name):
        console.print(line, markup=False, highlight=False)


def table(rows: tuple[Row, ...], title: str) -> Table:
    """Rows as a table."""
    numbers = ("elements", "error", "largest", "cosine", "clipped", "exponent")
    result = plain_table(title, ("layer", "what"), numbers)
    for row in rows:
        exponent = "-" if row.exponent is None else str(row.exponent)
        result.add_row(
            row.layer,
            row.what,
            f"{row.elements:,}",
            f"{row.error:.1e}",
            f"{row.largest:.1e}",
            f"{row.cosine:.6f}",
            str(row.saturated),
            exponent,
        )
    return result


def summary(result: Comparison, name: str) -> list[str]:
    """The whole in three lines."""
    return [
        f"loss {result.loss:.6f}, {name} {result.reference_loss:.6f}",
        f"all parameter gradients together: cosine {result.gradient_cosine:.6f}, error {result.gradient_error:.1e}",
        f"values clipped: {sum(row.saturated for row in result.rows)}",
    ]
