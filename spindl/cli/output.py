"""How the commands print: plain text and tables that keep their columns when they go into a file or a pipe."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

_WIDTH_OF_FILES = 120


def output() -> Console:
    """Standard output; wide when it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_OF_FILES)


def plain_table(title: str, left: tuple[str, ...], right: tuple[str, ...] = ()) -> Table:
    """A table without a frame: columns that stand left, then those that stand right."""
    table = Table(
        title=title or None, title_justify="left", title_style="", box=box.SIMPLE_HEAD, show_header=bool(title)
    )
    for column in left:
        table.add_column(column)
    for column in right:
        table.add_column(column, justify="right", no_wrap=True)
    return table
