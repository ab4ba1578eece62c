"""One picture: time to train and energy per image of every system, on logarithmic scales, with their ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindl.program.files import disk_errors
from spindl.systems.data import Figure
from spindl.systems.errors import SystemsError
from spindl.systems.table import JOULES, TIMES, Scales, training_rows, without_range

# Colours that stay apart for colour-blind readers (Okabe and Ito); the mark's shape says the same.
COLOURS = {"published": "#0072B2", "measured": "#009E73", "derived": "#0072B2", "modelled": "#D55E00"}
_TIMES = ((1 / 60, "1 s"), (1, "1 min"), (60, "1 h"), (60 * 24, "1 day"), (60 * 24 * 365, "1 year"))
_ENERGIES = ((0.1, "0.1"), (1, "1"), (10, "10"), (100, "100"), (1000, "1,000"))
FORMATS = (".svg", ".png", ".pdf")


def plot(path: Path) -> None:
    """Write the picture; the ending chooses the format. Raises SystemsError, RunFolderError."""
    if path.suffix not in FORMATS:
        raise SystemsError("this ending names no format of a picture", str(path), f"use one of {', '.join(FORMATS)}")
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise SystemsError(
            "matplotlib is not installed", "plot", 'install it: pip install "spindl[plot]", or use --csv'
        ) from error
    rows = training_rows()
    with mpl.rc_context({"svg.hashsalt": "spindl", "svg.fonttype": "none", "font.size": 9}):
        figure = Canvas(figsize=(11, 0.29 * len(rows) + 1.9), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.25, 1))
        _panel(left, [row.minutes for row in rows], "time to train to 75.9 %", _TIMES, TIMES, room=300)
        _panel(right, [row.joules_per_image for row in rows], "joules per training image", _ENERGIES, JOULES, room=12)
        left.set_yticks(range(len(rows)), [row.system for row in rows])
        for label, row in zip(left.get_yticklabels(), rows, strict=True):
            label.set_color(COLOURS["modelled"] if row.modelled else "black")
        left.set_ylim(len(rows) - 0.4, -0.6)
        figure.suptitle("ResNet-50 v1.5 on ImageNet: SpiNNaker as modelled, others as published", x=0.01, ha="left")
        _legend(figure)
        with disk_errors(path):
            figure.savefig(path, dpi=130, metadata={"Date": None} if path.suffix == ".svg" else None)


def _panel(
    axes: Any,
    figures: list[Figure | None],
    title: str,
    ticks: tuple[tuple[float, str], ...],
    scales: Scales,
    *,
    room: float,
) -> None:
    """One half; `room`: how far the scale goes on right of the last tick, for the words."""
    axes.set_xscale("log")
    axes.set_xlim(ticks[0][0] / 2.5, ticks[-1][0] * room)
    for place, figure in enumerate(figures):
        if figure is None:
            axes.text(ticks[0][0] / 2, place, "no figure", color="0.6", fontsize=7.5, va="center")
            continue
        colour = COLOURS[figure.label]
        if figure.bound:  # the truth is at the mark or left of it
            axes.plot([figure.value / 2.2, figure.value], [place, place], color=colour, linewidth=1, alpha=0.6)
            axes.plot(figure.value / 2.2, place, marker="<", color=colour, markersize=4, alpha=0.6)
        elif figure.low != figure.high:
            axes.plot([figure.low, figure.high], [place, place], color=colour, linewidth=2.5, alpha=0.45)
        axes.plot(figure.value, place, marker=_marker(figure), color=colour, markersize=6.5, linestyle="none")
        text = ("at most " if figure.bound else "") + without_range(figure, scales)
        where = (max(figure.value, figure.high), place)
        axes.annotate(text, where, xytext=(8, 0), textcoords="offset points", fontsize=7.5, va="center")
    axes.set_xticks([value for value, _ in ticks], [text for _, text in ticks])
    axes.minorticks_off()
    axes.grid(axis="x", color="0.88")
    axes.set_axisbelow(True)
    axes.set_title(title, loc="left", fontsize=9.5)
    for place in range(len(figures)):
        axes.axhline(place, color="0.94", linewidth=0.6, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(left=False)


def _marker(figure: Figure) -> str:
    return {"modelled": "D", "measured": "s"}.get(figure.label, "o")


def _legend(figure: Any) -> None:
    from matplotlib.lines import Line2D

    entries = [
        ("o", COLOURS["published"], "published, or computed from it; arrow: at most (nameplate power)"),
        ("s", COLOURS["measured"], "power measured during the run"),
        ("D", COLOURS["modelled"], "modelled, not run; bar: all constants at their best and worst"),
    ]
    handles = [
        Line2D([], [], marker=shape, color=colour, linestyle="none", label=text) for shape, colour, text in entries
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=8)
