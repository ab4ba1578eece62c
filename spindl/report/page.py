"""One self-contained page: HTML with its style and drawings inside, nothing from outside, no scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from importlib import resources

from spindl.report.agreement import agreement_table
from spindl.report.curves import Line, chart, exponent_map, saturation_map
from spindl.report.hexes import machine_maps
from spindl.report.memories import memory_chart, memory_use
from spindl.report.model import Origin, RunReport, Series, StepReport
from spindl.report.steps import (
    cycle_budget,
    energy_budget,
    layer_table,
    roofline,
    time_line,
)
from spindl.report.svg import amount, percent, rate, tag

HOST = Origin("measured", "sim")
_AGREEMENT = "Core cycles of each layer, and the length of the step. Both read the same constants of the machine."
_FAR_APART = 30
"""A loss whose largest mean is so many times its smallest is drawn with a logarithmic axis."""


def run_page(run: RunReport | None, step: StepReport | None, modelled: StepReport | None = None) -> str:
    """The page of a run, of a step on a machine, or of both; `modelled` stands beside a step that was measured."""
    name = run.name if run else f"{step.graph} on {step.machine}" if step else "nothing"
    head = [tag("h1", escape(name))]
    facts = list(run.facts) if run else []
    if step:
        facts.append(("machine", step.machine))
        facts += [] if run else [("graph", step.graph), ("images a step", str(step.images))]
    head.append(_facts(facts))
    tiles = [*([_run_tiles(run)] if run else []), *([_step_tiles(step)] if step else [])]
    head += [tag("div", *group, class_="tiles") for group in tiles if group]
    body = [*(_learning(run) if run else []), *(_numbers(run) if run else [])]
    body += _step(step) if step else _products(run)
    if step and modelled:
        body += [tag("h2", "Modelled and measured"), tag("p", _AGREEMENT, class_="note")]
        body.append(tag("div", agreement_table(modelled, step), class_="card full scroll"))
    if run:
        body.append(_settings(run))
    return _document(name, "".join(head), "".join(body))


def comparison_page(runs: Sequence[RunReport], steps: Sequence[StepReport | None]) -> str:
    """Several runs beside each other, a colour each; eight colours, then they repeat."""
    name = f"{len(runs)} runs"
    head = tag("h1", escape(name)) + _facts([(str(n + 1), run.name) for n, run in enumerate(runs)])
    body = [_heading("Results", HOST), tag("div", _results(runs, steps), class_="card full scroll")]
    cards = []
    curves: tuple[tuple[str, tuple[str, ...], Callable[[float], str]], ...] = (
        ("Training loss", ("loss",), _number),
        ("Test loss", ("test_loss", "float_test_loss"), _number),
        ("Test accuracy", ("test_accuracy", "float_test_accuracy"), percent),
        ("Images a second", ("throughput",), rate),
    )
    for heading, fields, shown in curves:
        lines = []
        for number, run in enumerate(runs):
            for field in fields:
                series: Series | None = getattr(run, field)
                if series:
                    kind = " (float32)" if field.startswith("float") else ""
                    named = Series(run.name + kind, series.x, series.y)
                    lines.append(Line(named, number % 8 + 1, bool(kind), field not in {"loss", "throughput"}))
        cards.append(
            _card(heading, chart(heading, lines, y_format=shown, log=heading.endswith("loss") and _spread(lines)))
        )
    body += [_heading("Curves", HOST), tag("div", *cards, class_="grid2"), _differences(runs)]
    for run, step in zip(runs, steps, strict=True):
        if step:
            body += [tag("h2", f"{escape(run.name)}: ", escape(step.machine), " ", _label(step.origin))]
            body.append(
                tag(
                    "div",
                    _card("Cycles of the cores", cycle_budget(step)),
                    _card("Energy", energy_budget(step)),
                    class_="grid2",
                )
            )
    return _document(name, head, "".join(body))


# --- parts of a run --------------------------------------------------------------------------------------------------


def _run_tiles(run: RunReport) -> list[str]:
    tiles = []
    if run.test_accuracy:
        tiles.append(_tile(_points(run.test_accuracy.y[-1]), "test accuracy", HOST))
        if run.float_test_accuracy:
            gap = 100 * (run.test_accuracy.y[-1] - run.float_test_accuracy.y[-1])
            tiles.append(_tile(f"{gap:+.2f}", "points from float32", HOST))
    if run.epoch_loss or run.loss:
        series = run.epoch_loss or run.loss
        assert series is not None
        tiles.append(_tile(_number(series.y[-1]), "training loss" + (", last epoch" if run.epoch_loss else ""), HOST))
    if run.throughput:
        mean = sum(run.throughput.y) / len(run.throughput.y)
        tiles.append(_tile(rate(mean), "images/s, mean", HOST))
    clipped = sum(sum(values) for values in run.saturation.values())
    if run.steps:
        tiles.append(_tile(f"{clipped:,}", "values clipped in all steps", HOST))
    return tiles


def _learning(run: RunReport) -> list[str]:
    loss = [
        Line(series, colour, dashed, marks)
        for series, colour, dashed, marks in (
            (run.loss, 1, False, False),
            (run.test_loss, 2, False, True),
            (run.float_loss, 1, True, True),
            (run.float_test_loss, 2, True, True),
        )
        if series
    ]
    accuracy = [
        Line(series, colour, dashed, marks)
        for series, colour, dashed, marks in (
            (run.accuracy, 1, False, False),
            (run.test_accuracy, 2, False, True),
            (run.float_test_accuracy, 2, True, True),
        )
        if series
    ]
    rates = [Line(series, number % 8 + 1) for number, series in enumerate(run.rates)]
    speed = [Line(run.throughput, 6)] if run.throughput else []
    cards = [
        _card("Loss", chart("loss", loss, y_format=_number, log=_spread(loss))),
        _card("Accuracy", chart("accuracy", accuracy, y_format=lambda v: f"{100 * v:.4g} %")),
        _card("Learning rate", chart("learning rate", rates, zero=True)),
        _card("Images a second", chart("throughput", speed, zero=True, y_format=rate)),
    ]
    if not any(cards):
        return []
    note = "The band around a curve spans the steps that a point stands for."
    return [_heading("Learning", HOST), tag("p", note, class_="note"), tag("div", *cards, class_="grid2")]


def _numbers(run: RunReport) -> list[str]:
    if not run.steps:
        return []
    clipped = sum(sum(values) for values in run.saturation.values())
    if clipped:
        said = (
            f"{clipped:,} values were clipped in {run.steps:,} steps, at {len(run.saturation)} of the rounding places."
        )
    else:
        said = f"No value was clipped in {run.steps:,} steps."
    cards = [_card("Clipped values by place and step", saturation_map(run.saturation, run.bins))]
    note = "Blue: from one unit to the largest value of the format. Orange: the largest values of the last 16 steps."
    few = exponent_map(run.exponents[:40])
    cards.append(_card("Exponents at the end", few, note))
    parts = [_heading("Numbers", HOST), tag("p", said, class_="note"), tag("div", *cards, class_="cols")]
    if len(run.exponents) > 40:
        rest = tag("div", _card("More exponents", exponent_map(run.exponents[40:])), class_="grid2")
        parts.append(tag("details", tag("summary", f"{len(run.exponents) - 40} more places"), rest))
    return parts


def _products(run: RunReport | None) -> list[str]:
    """What a program tells of a step without a machine."""
    if run is None or not run.costs:
        return []
    note = "Products counted from the training graph. For times, memory and energy: spindl report RUN --machine spin3."
    return [tag("h2", "Layers"), tag("p", note, class_="note"), tag("div", layer_table(run.costs), class_="card full")]


def _settings(run: RunReport) -> str:
    rows = [tag("tr", tag("td", escape(str(k))), tag("td", escape(str(v)))) for k, v in run.settings.items()]
    if not rows:
        return ""
    table = tag("table", tag("tbody", *rows), class_="wrap")
    return tag("details", tag("summary", "Settings of the run"), tag("div", table, class_="card full"))


# --- parts of a step -------------------------------------------------------------------------------------------------


def _step_tiles(step: StepReport) -> list[str]:
    tiles = [_tile(amount(step.seconds, "s"), f"one step on {step.machine}", step.origin)]
    if step.images:
        tiles.append(_tile(rate(step.images / step.seconds), "images/s on the machine", step.origin))
        if step.joules is not None:
            tiles.append(_tile(amount(step.joules / step.images, "J"), "an image", Origin("modelled", "plan")))
    total = sum(s.end - s.start for line in step.timelines for s in line.slices)
    if total:
        products = sum(s.end - s.start for line in step.timelines for s in line.slices if s.work == "products")
        tiles.append(_tile(percent(products / total), "of the cores' cycles in products", step.origin))
    return tiles


def _step(step: StepReport) -> list[str]:
    parts = [_heading(f"One step on {step.machine}", step.origin)]
    parts += [tag("p", escape(note), class_="note") for note in step.notes]
    line = time_line(step)
    if line:
        hint = "Each core, below it its DMA engine; on top the phases between barriers, named by their longest layer."
        parts.append(tag("div", _card("Time line", line, hint), class_="stack"))
    cards = [
        _card("Cycles of the cores", cycle_budget(step)),
        _card("Energy of the step", energy_budget(step), _joules(step), Origin("modelled", "plan")),
        _card("Roofline", roofline(step), "Size: cycles. Grey band: range of the SDRAM's bandwidth."),
    ]
    parts.append(tag("div", *cards, class_="cols"))
    table = layer_table(step.costs)
    if table:
        parts += [_heading("Layers", step.origin), tag("div", table, class_="card full")]
    memory = [
        _card(m.title[0].upper() + m.title[1:], memory_chart(m, whole=whole), memory_use(m))
        for m, whole in ((step.sdram, False), (step.dtcm, True))
        if m
    ]
    if any(memory):
        parts += [tag("h2", "Memory"), tag("div", *memory, class_="grid2")]
    maps = machine_maps(step.use) if step.use else []
    if maps:
        used = len(step.use.chips) if step.use else 0
        parts.append(_heading("Machine", step.origin))
        parts.append(
            tag("p", f"{used:,} chip{'s' * (used != 1)} in use; Ethernet chips have a dark outline.", class_="note")
        )
        parts.append(tag("div", *(_card(heading, picture) for heading, picture in maps), class_="maps"))
    return parts


def _joules(step: StepReport) -> str:
    if step.joules is None:
        return ""
    low, high = sum(p.low for p in step.energy), sum(p.high for p in step.energy)
    return (
        f"{amount(step.joules, 'J')} a step, {amount(low, 'J')} to {amount(high, 'J')} by the range of the constants."
    )


# --- comparison ------------------------------------------------------------------------------------------------------


def _results(runs: Sequence[RunReport], steps: Sequence[StepReport | None]) -> str:
    columns = [
        "run",
        "executor",
        "epochs",
        "steps",
        "training loss",
        "test loss",
        "test accuracy",
        "float32",
        "clipped",
        "images/s",
    ]
    machine = any(steps)
    columns += ["step on machine", "J/image"] if machine else []
    rows = []
    for number, (run, step) in enumerate(zip(runs, steps, strict=True)):
        speed = run.throughput
        cells = [
            run.executor,
            f"{run.epochs}",
            f"{run.steps:,}",
            _last(run.epoch_loss, _number),
            _last(run.test_loss, _number),
            _last(run.test_accuracy, _points),
            _last(run.float_test_accuracy, _points),
            f"{sum(sum(v) for v in run.saturation.values()):,}",
            rate(sum(speed.y) / len(speed.y)) if speed else "",
        ]
        if machine:
            cells.append(f"{amount(step.seconds, 's')} ({step.origin.label})" if step else "")
            cells.append(amount(step.joules / step.images, "J") if step and step.joules and step.images else "")
        first = tag("th", tag("i", class_=f"f{number % 8 + 1}"), escape(run.name), scope="row")
        rows.append(tag("tr", first, *(tag("td", escape(cell), class_="n") for cell in cells)))
    heads = [tag("th", escape(c), scope="col", class_="n" if k else None) for k, c in enumerate(columns)]
    return tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))


def _last(series: Series | None, shown: object) -> str:
    return str(shown(series.y[-1])) if series and callable(shown) else ""


def _differences(runs: Sequence[RunReport]) -> str:
    keys = sorted({key for run in runs for key in run.settings})
    keys = [k for k in keys if len({str(run.settings.get(k)) for run in runs}) > 1 and k != "run_dir"]
    if not keys:
        return ""
    heads = [tag("th", "setting", scope="col"), *(tag("th", escape(run.name), scope="col") for run in runs)]
    rows = [
        tag("tr", tag("th", escape(key), scope="row"), *(tag("td", escape(str(r.settings.get(key, "")))) for r in runs))
        for key in keys
    ]
    table = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *rows))
    return tag("h2", "What differs in the settings") + tag("div", table, class_="card full scroll")


# --- small parts -----------------------------------------------------------------------------------------------------


def _document(name: str, head: str, body: str) -> str:
    style = resources.files("spindl.report").joinpath("page.css").read_text(encoding="utf-8")
    labels = "“Modelled”: nothing was run on a machine. “Measured” says where. What nobody counted is left out."
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)} · spindl</title><style>{style}</style></head>"
        f'<body><header><div class="brand"><b>spindl</b> report</div>{head}</header>'
        f"<main>{body}<footer>{labels}</footer></main></body></html>\n"
    )


def _spread(lines: Sequence[Line]) -> bool:
    """Whether a logarithmic axis shows more."""
    means = [y for line in lines for y in line.series.y]
    return bool(means) and min(means) > 0 and max(means) > _FAR_APART * min(means)


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    return tag("ul", *(tag("li", tag("span", escape(name)), escape(value)) for name, value in facts), class_="facts")


def _label(origin: Origin) -> str:
    return tag("span", origin.label, class_=f"label {origin.source}")


def _heading(words: str, origin: Origin) -> str:
    return tag("h2", escape(words), " ", _label(origin))


def _tile(value: str, words: str, origin: Origin) -> str:
    return tag("div", tag("b", escape(value)), tag("span", escape(words)), _label(origin), class_="tile")


def _card(heading: str, content: str, words: str = "", origin: Origin | None = None) -> str:
    """A box with a heading; "" around nothing."""
    if not content:
        return ""
    label = f" {_label(origin)}" if origin else ""
    return tag(
        "section", tag("h3", escape(heading), label), tag("p", escape(words)) if words else "", content, class_="card"
    )


def _number(value: float) -> str:
    return f"{value:.4g}"


def _points(share: float) -> str:
    return f"{100 * share:.2f} %"
