"""A modelled step beside a measured one: how far the prediction is off, by layer and as a whole."""

from __future__ import annotations

from html import escape

from spindl.report.model import Stage, StepReport
from spindl.report.svg import amount, percent, tag


def differences(modelled: StepReport, measured: StepReport) -> list[tuple[str, float, float]]:
    """(what, cycles modelled, cycles measured): the step, then each layer and stage in both, largest first.

    Cycles of a layer are those of all cores that work or wait for DMA for it.
    """
    ours, theirs = _cycles(modelled), _cycles(measured)
    rows = [
        (f"{layer} {stage}", ours[layer, stage], cycles)
        for (layer, stage), cycles in theirs.items()
        if (layer, stage) in ours
    ]
    rows.sort(key=lambda row: -row[2])
    return [("the whole step", modelled.cycles, measured.cycles), *rows]


def layer_differences(modelled: StepReport, measured: StepReport) -> list[tuple[str, float, float]]:
    """(layer, cycles modelled, cycles measured) of all its stages, in the order of the layers."""
    sums: list[dict[str, float]] = []
    for step in (modelled, measured):
        sums.append({})
        for (layer, _), cycles in _cycles(step).items():
            sums[-1][layer] = sums[-1].get(layer, 0.0) + cycles
    ours, theirs = sums
    return [(layer, ours[layer], cycles) for layer, cycles in theirs.items() if layer in ours]


def _cycles(step: StepReport) -> dict[tuple[str, Stage], float]:
    return {(cost.layer, cost.stage): cost.cycles + (cost.waiting or 0.0) for cost in step.costs if cost.cycles}


def agreement_table(modelled: StepReport, measured: StepReport, most: int = 30) -> str:
    """The step and its largest layers as a table."""
    heads = [tag("th", "cycles", scope="col")]
    columns = ("modelled", "measured", "difference", "share")
    heads += [tag("th", word, scope="col", class_="n") for word in columns]
    whole = sum(_cycles(measured).values())
    rows = []
    for number, (name, ours, theirs) in enumerate(differences(modelled, measured)[:most]):
        share = percent(theirs / whole) if number and whole else ""
        cells = (amount(ours), amount(theirs), f"{100 * (ours / theirs - 1):+.1f} %", share)
        rows.append(tag("tr", tag("th", escape(name), scope="row"), *(tag("td", cell, class_="n") for cell in cells)))
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
