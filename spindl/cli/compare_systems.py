"""`spindl compare-systems`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from spindl.cli.output import output, plain_table
from spindl.systems import csv_text, markdown_page, sensitivity
from spindl.systems.plot import plot
from spindl.systems.table import (
    Text,
    legend,
    neuromorphic_table,
    source_lines,
    spinnaker_table,
    training_table,
)

_WIDTH_OF_FILES = 176


def compare_systems(
    csv: Annotated[Path | None, typer.Option("--csv", help="Write every number with range and source.")] = None,
    markdown: Annotated[Path | None, typer.Option("--markdown", help="Write the tables as Markdown.")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Write the picture (.svg, .png).")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Plan ResNet-50 anew for SpiNNaker's figures, and keep them (minutes).")
    ] = False,
) -> None:
    """Compare SpiNNaker (modelled) with GPUs, TPUs and others (published): time, images/s, watts, joules."""
    from spindl.cli.app import explained
    from spindl.program.files import disk_errors

    with explained():
        console = output()
        if refresh:
            # only now: planning needs torch
            from spindl.cli.plan_systems import refresh_planned

            console.print(f"planned, and kept in {refresh_planned()}", markup=False, highlight=False, soft_wrap=True)
        show(console if console.is_terminal else Console(width=_WIDTH_OF_FILES))
        for path, text in ((csv, csv_text), (markdown, markdown_page)):
            if path is not None:
                with disk_errors(path):
                    path.write_text(text(), encoding="utf-8")
        if picture is not None:
            plot(picture)


def show(console: Console) -> None:
    """Print all tables, what moves the model, and the sources."""
    for table in (training_table(), spinnaker_table()):
        console.print(_table(table))
    moves = plain_table(
        "what moves images/s of one board (one constant of the plan at a time)", ("constant", "range", "unit")
    )
    moves.add_column("images/s", justify="right")
    for row in sensitivity():
        ends = f"{row.at_low:.2f} - {row.at_high:.2f}"
        moves.add_row(row.constant, f"{row.low:g} - {row.high:g}", row.unit, ends)
    console.print(moves)
    console.print(_table(neuromorphic_table(), wrapped=True))
    for line in (f"marks: {legend()}", "sources:"):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for number, text in enumerate(source_lines(), start=1):
        console.print(f"  {number:>2}  {text}", markup=False, highlight=False, soft_wrap=True)


def _table(text: Text, *, wrapped: bool = False) -> Table:
    table = Table(title=text.title, title_justify="left", title_style="", box=box.SIMPLE_HEAD)
    for number, head in enumerate(text.head):
        table.add_column(head, justify="left" if wrapped or number == 0 else "right", no_wrap=not wrapped)
    for line in text.lines:
        table.add_row(*line)
    return table
