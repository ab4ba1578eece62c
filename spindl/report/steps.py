"""Drawings and tables of one step: where its cycles and joules go, when cores work and wait, layer by layer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from math import log10

from spindl.machine import CHIP
from spindl.report.model import STAGES, CoreTimeline, Phase, Slice, Stage, StepCost, StepReport, Work
from spindl.report.svg import Scale, amount, axes, box, drawing, legend, percent, shortened, tag, text, title

WORKS: dict[Work, tuple[str, str]] = {
    "products": ("f6", "products"),
    "kernel": ("f5", "other kernels"),
    "runtime": ("f7", "runtime"),
    "wait_dma": ("f4", "waiting for DMA"),
    "stream": ("f2", "streams between chips"),
    "wait_barrier": ("f8", "waiting at barriers"),
}
"""Colour and name of what cores do."""
STAGE_COLOURS: dict[Stage, str] = {"forward": "f1", "backward": "f2", "update": "f3", "other": "f8"}
_ENERGY_COLOURS = {
    "idle power of the machine": "f8",
    "cores in products": "f6",
    "cores in other kernels": "f5",
    "cores in the runtime": "f7",
    "cores in streams": "f2",
    "packets, a hop each": "f4",
}
AWAKE = ("products", "kernel", "runtime", "stream")


# --- shares ----------------------------------------------------------------------------------------------------------


def shares(parts: Sequence[tuple[str, str, float, str]]) -> str:
    """A bar of parts and a list below it: (class of the colour, name, size, size as text) of each."""
    total = sum(size for _, _, size, _ in parts)
    if not total:
        return ""
    bar = [
        tag("span", class_=colour, style=f"flex:{size / total:.5f}", title=f"{name}: {shown}, {percent(size / total)}")
        for colour, name, size, shown in parts
        if size
    ]
    rows = [
        tag(
            "tr",
            tag("td", tag("i", class_=colour), escape(name)),
            tag("td", escape(shown), class_="n"),
            tag("td", escape(percent(size / total)), class_="n"),
        )
        for colour, name, size, shown in parts
        if size
    ]
    return tag("div", *bar, class_="bar") + tag("table", tag("tbody", *rows), class_="key")


def cycle_budget(step: StepReport) -> str:
    """Cycles of all cores by what they did."""
    spent = dict.fromkeys(WORKS, 0.0)
    for line in step.timelines:
        for piece in line.slices:
            spent[piece.work] += piece.end - piece.start
    return shares([(*WORKS[work], size, amount(size, "cycles")) for work, size in spent.items()])


def energy_budget(step: StepReport) -> str:
    """Joules by where they go, with the range of the constants."""
    parts = []
    for part in step.energy:
        shown = amount(part.joules, "J")
        if part.high > part.low:
            shown += f" ({amount(part.low, digits=2)} to {amount(part.high, digits=2)})"
        parts.append((_ENERGY_COLOURS.get(part.name, "f1"), part.name, part.joules, shown))
    return shares(parts)


# --- time ------------------------------------------------------------------------------------------------------------


def time_line(step: StepReport, most: int = 36) -> str:
    """A row per core (and a thin one for its DMA engine), with the phases on top."""
    lines = step.timelines[:most]
    if not lines or not step.cycles:
        return ""
    left, width, top = 58, 1030, 40
    lane, thin = (15, 5) if any(line.transfers for line in lines) else (17, 0)
    pitch = lane + thin + 4
    height = top + len(lines) * pitch + 30
    unit, size = ("s", 1.0) if step.seconds >= 2 else ("ms", 1e3)
    x = Scale(0, step.seconds * size, left, left + width)
    per_cycle = width / step.cycles
    parts = [
        _phase(phase, spent, step.clock, left, per_cycle)
        for phase, spent in zip(step.phases, phase_parts(step), strict=True)
    ]
    for number, line in enumerate(lines):
        y = top + number * pitch
        name = (
            f"core {line.core}"
            if len({each.chip for each in lines}) == 1
            else f"{line.chip[0]},{line.chip[1]}: {line.core}"
        )
        parts.append(text(name, left - 6, y + lane - 3, "tick", "end"))
        paths = _lane(line.slices, left, per_cycle, y, lane)
        parts += [tag("path", d=path, class_=WORKS[work][0]) for work, path in paths.items()]
        if thin:
            parts.append(tag("path", d=_dma(line, left, per_cycle, y + lane, thin), class_="f9"))
    bottom = top + len(lines) * pitch
    for value in x.ticks(8):
        parts.append(tag("line", x1=x(value), x2=x(value), y1=top - 4, y2=bottom, class_="grid"))
        parts.append(text(f"{value:g}", x(value), bottom + 14, "tick", "middle"))
    parts.append(text(unit, left + width, bottom + 28, "name", "end"))
    works = [work for work in WORKS if any(s.work == work for line in lines for s in line.slices)]
    names = [WORKS[work] for work in works] + ([("f9", "DMA engine at work")] if thin else [])
    stages = [(f"{STAGE_COLOURS[stage]} pale", f"{stage} (top row)") for stage in STAGES]
    picture = drawing(left + width + 10, height, *parts, label="time line of the cores", class_="chart wide")
    return legend(names) + legend(stages) + tag("div", picture, class_="scroll")


def phase_parts(step: StepReport) -> list[dict[tuple[str, Stage], float]]:
    """For each phase: cycles awake by layer and stage, most first."""
    spent: list[dict[tuple[str, Stage], float]] = [{} for _ in step.phases]
    starts = [phase.start for phase in step.phases]
    for line in step.timelines:
        for piece in line.slices:
            if piece.work in AWAKE and piece.layer:
                of_phase, key = spent[bisect_right(starts, piece.start) - 1], (piece.layer, piece.stage)
                of_phase[key] = of_phase.get(key, 0.0) + piece.end - piece.start
    return [dict(sorted(each.items(), key=lambda item: -item[1])) for each in spent]


def _phase(phase: Phase, spent: dict[tuple[str, Stage], float], clock: float, left: float, per_cycle: float) -> str:
    (layer, stage), _ = next(iter(spent.items()), ((phase.name, "other"), 0.0))
    names = ", ".join(f"{name} {part}" for name, part in list(spent)[:6]) or phase.name
    hint = f"{phase.name}: {names}; {amount((phase.end - phase.start) / clock, 's')}"
    x, width = left + phase.start * per_cycle, (phase.end - phase.start) * per_cycle
    colour = f"{STAGE_COLOURS[stage]} soft"
    parts = [tag("rect", title(hint), x=x, y=8, width=width - min(0.8, 0.2 * width), height=22, class_=colour)]
    room = int((width - 6) / 6.2)
    if room >= min(4, len(layer)):
        parts.append(text(shortened(layer, room), x + width / 2, 23, "in", "middle"))
    return "".join(parts)


def _lane(slices: Sequence[Slice], left: float, per_cycle: float, y: float, height: float) -> dict[Work, str]:
    """A path per kind of work. What is shorter than a third of a pixel is drawn as the longest of its pixel."""
    grain = 0.35 / per_cycle
    merged: list[tuple[Work, float, float]] = []
    pending: dict[Work, float] = {}
    begin = 0.0
    for piece in slices:
        length = piece.end - piece.start
        if merged and not pending and merged[-1][0] == piece.work and piece.start - merged[-1][2] < grain:
            merged[-1] = (piece.work, merged[-1][1], piece.end)
        elif not pending and length >= grain:
            merged.append((piece.work, piece.start, piece.end))
        else:
            begin = begin if pending else piece.start
            pending[piece.work] = pending.get(piece.work, 0.0) + length
            if piece.end - begin >= grain:
                work = max(pending, key=lambda each: pending[each])
                merged.append((work, begin, piece.end))
                pending = {}
    paths: dict[Work, list[str]] = {}
    for work, start, end in merged:
        paths.setdefault(work, []).append(box(left + start * per_cycle, y, (end - start) * per_cycle, height))
    return {work: "".join(boxes) for work, boxes in paths.items()}


def _dma(line: CoreTimeline, left: float, per_cycle: float, y: float, height: float) -> str:
    grain = 0.35 / per_cycle
    spans: list[tuple[float, float]] = []
    for each in line.transfers:
        if spans and each.start - spans[-1][1] < grain:
            spans[-1] = (spans[-1][0], each.end)
        else:
            spans.append((each.start, each.end))
    return "".join(box(left + a * per_cycle, y, max((b - a) * per_cycle, 0.2), height) for a, b in spans)


# --- layers ----------------------------------------------------------------------------------------------------------

_Column = tuple[str, str]


def by_layer(costs: Sequence[StepCost]) -> dict[str, list[StepCost]]:
    """Costs of each layer, in the order of the layers."""
    result: dict[str, list[StepCost]] = {}
    for cost in costs:
        result.setdefault(cost.layer, []).append(cost)
    return result


def _sum(costs: Sequence[StepCost], field: str) -> float | None:
    values = [getattr(cost, field) for cost in costs if getattr(cost, field) is not None]
    return sum(values) if values else None


def _measure(costs: Sequence[StepCost]) -> str:
    """What shares are shares of."""
    return "cycles" if any(cost.cycles is not None for cost in costs) else "multiply_accumulates"


def layer_table(costs: Sequence[StepCost]) -> str:
    """A row per layer and their sum; columns that nobody counted are left out."""
    if not costs:
        return ""
    shown = [
        (heading, field, unit)
        for heading, field, unit in (
            ("MACs", "multiply_accumulates", ""),
            ("core cycles", "cycles", ""),
            ("cycles/MAC", "rate", ""),
            ("waiting", "waiting", ""),
            ("SDRAM", "sdram_bytes", "B"),
            ("packets", "packets", ""),
            ("energy", "joules", "J"),
        )
        if _value(costs, field) is not None
    ]
    measure = _measure(costs)
    total = _sum(costs, measure) or 1.0
    heads = [tag("th", "layer", scope="col")]
    heads += [tag("th", escape(heading), class_="n", scope="col") for heading, _, _ in shown]
    heads.append(tag("th", f"share of {'cycles' if measure == 'cycles' else 'MACs'}", scope="col", class_="share"))
    most = max((_sum(group, measure) or 0.0) for group in by_layer(costs).values()) / total
    rows = []
    for layer, group in by_layer(costs).items():
        cells = [tag("th", escape(layer), scope="row"), *(_cell(group, field, unit) for _, field, unit in shown)]
        rows.append(tag("tr", *cells, tag("td", _stages(group, measure, total, most), class_="share")))
    foot = [tag("th", "all", scope="row"), *(_cell(costs, field, unit) for _, field, unit in shown), tag("td")]
    table = tag(
        "table",
        tag("thead", tag("tr", *heads)),
        tag("tbody", *rows),
        tag("tfoot", tag("tr", *foot)),
        class_="layers",
    )
    present = [stage for stage in STAGES if any(cost.stage == stage for cost in costs)]
    return legend([(STAGE_COLOURS[stage], stage) for stage in present]) + tag("div", table, class_="scroll")


def _value(costs: Sequence[StepCost], field: str) -> float | None:
    if field != "rate":
        return _sum(costs, field)
    products = [cost for cost in costs if cost.multiply_accumulates and cost.product_cycles]
    count = _sum(products, "multiply_accumulates")
    return (_sum(products, "product_cycles") or 0.0) / count if count else None


def _cell(costs: Sequence[StepCost], field: str, unit: str) -> str:
    value = _value(costs, field)
    shown = "" if value is None else f"{value:.2f}" if field == "rate" else amount(float(value), unit)
    return tag("td", shown, class_="n")


def _stages(group: Sequence[StepCost], measure: str, total: float, most: float) -> str:
    parts = {stage: sum(getattr(c, measure) or 0 for c in group if c.stage == stage) / total for stage in STAGES}
    bars = [
        tag("span", class_=STAGE_COLOURS[s], style=f"width:{100 * part / most:.2f}%", title=f"{s}: {percent(part)}")
        for s, part in parts.items()
        if part
    ]
    return tag("span", *bars, class_="spark") + tag("b", escape(percent(sum(parts.values()))))


# --- roofline --------------------------------------------------------------------------------------------------------


def roofline(step: StepReport) -> str:
    """Products a second of each layer and stage against products per byte of SDRAM traffic, of all chips."""
    seen = len({line.chip for line in step.timelines})
    chips = len(step.use.chips) if step.use else seen
    cores = len(step.timelines) * chips // max(1, seen)
    points = []
    for cost in step.costs:
        if cost.multiply_accumulates and cost.cycles and cost.sdram_bytes and cores:
            seconds = (cost.cycles + (cost.waiting or 0.0)) / cores / step.clock
            points.append((cost, cost.multiply_accumulates / cost.sdram_bytes, cost.multiply_accumulates / seconds))
    if not points:
        return ""
    peak = cores * step.clock
    one = CHIP.sdram_bandwidth
    band = replace(one, value=chips * one.value, low=chips * one.low, high=chips * one.high)
    low, high = min(p[1] for p in points) / 3, max([*(p[1] for p in points), peak / band.value]) * 3
    width, height = 460, 300
    x = Scale(low, high, 56, width - 12, True)
    y = Scale(min(*(p[2] for p in points), low * band.value) / 1.5, peak * 2, height - 40, 10, True)
    parts = [axes(x, y, "MACs per byte of SDRAM traffic", _power, lambda v: amount(v, digits=1))]

    def roof(bandwidth: float) -> list[tuple[float, float]]:
        return [(x(low), y(low * bandwidth)), (x(peak / bandwidth), y(peak)), (x(high), y(peak))]

    def path(places: Sequence[tuple[float, float]]) -> str:
        return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)

    slow, fast = roof(band.low), roof(band.high)
    parts.append(tag("path", d=path([*fast, *reversed(slow)]) + "z", class_="band f8"))
    parts.append(tag("path", d=path(roof(band.value)), class_="line s8"))
    parts.append(text(f"{cores} cores, a MAC a cycle", width - 14, y(peak) - 6, "tick", "end"))
    slope = peak / band.value / 6
    if slope > low:
        parts.append(text(f"{amount(band.value, 'B/s')}", x(slope) + 8, y(slope * band.value) + 10, "tick"))
    for cost, intensity, rate in points:
        hint = f"{cost.layer} {cost.stage}: {amount(rate, 'MAC/s')}, {intensity:.2g} MACs a byte"
        size = 3 + 7 * ((cost.cycles or 0) / max(p[0].cycles or 1 for p in points)) ** 0.5
        parts.append(
            tag("circle", title(hint), cx=x(intensity), cy=y(rate), r=size, class_=f"{STAGE_COLOURS[cost.stage]} dot")
        )
    stages = [s for s in STAGES if any(p[0].stage == s for p in points)]
    names = [(STAGE_COLOURS[s], s) for s in stages]
    return legend(names) + drawing(width, height, *parts, label="roofline of the step")


def _power(value: float) -> str:
    return f"{value:g}" if 1e-3 <= value < 1e5 else f"10^{log10(value):.0f}"
