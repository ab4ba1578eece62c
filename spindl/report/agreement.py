"""A modelled step beside a measured one: how far the prediction is off, by layer and as a whole."""

from __future__ import annotations

from html import escape

from spindl.report.model import Stage, StepReport
from spindl.report.svg import amount, tag


def differences(modelled: StepReport, measured: StepReport) -> list[tuple[str, float, float]]:
    """(what, cycles modelled, cycles measured): the step, then each layer and stage in both, largest first.

    Cycles of a layer are those that cores are awake for it.
    """
    ours, theirs = _cycles(modelled), _cycles(measured)
    rows = [
        (f"{layer} {stage}", ours[layer, stage], cycles)
        for (layer, stage), cycles in theirs.items()
        if (layer, stage) in ours
    ]
    rows.sort(key=lambda row: -row[2])
    return [("the whole step", modelled.cycles, measured.cycles), *rows]


def _cycles(step: StepReport) -> dict[tuple[str, Stage], float]:
    return {(cost.layer, cost.stage): cost.cycles for cost in step.costs if cost.cycles}


def agreement_table(modelled: StepReport, measured: StepReport, most: int = 30) -> str:
    """The step and its largest layers as a table."""
    heads = [tag("th", "cycles", scope="col")]
    heads += [tag("th", word, scope="col", class_="n") for word in ("modelled", "measured", "difference")]
    rows = []
    for name, ours, theirs in differences(modelled, measured)[:most]:
        cells = (amount(ours), amount(theirs), f"{100 * (ours / theirs - 1):+.1f} %")
        rows.append(tag("tr", tag("th", escape(name), scope="row"), *(tag("td", cell, class_="n") for cell in cells)))
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
