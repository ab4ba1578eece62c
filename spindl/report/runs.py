"""Folder of a run -> RunReport."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

from spindl.errors import SpindlError
from spindl.program import CheckpointFolder, Program, State, load_program
from spindl.record import LOG, read_rows
from spindl.report.errors import ReportError
from spindl.report.graphs import graph_costs
from spindl.report.model import Exponent, RunReport, Series

POINTS = 300
"""Of a curve at most: more steps are averaged."""
BINS = 48
"""Ranges of steps that saturation is counted in."""
TRAIN = "train"

Row = Mapping[str, Any]


def read_run(folder: Path) -> RunReport:
    """What a run left behind. Raises ReportError if there is no log of a run, or nothing in it."""
    rows = list(read_rows(folder / LOG))
    header = next((row for row in rows if row.get("kind") in ("run", "resume")), None)
    if header is None:
        raise ReportError(
            "no log of a run here", str(folder / LOG), "give the folder that spindl train named, such as runs/..."
        )
    steps = [row for row in rows if row.get("kind") == "step"]
    epochs = [row for row in rows if row.get("kind") == "epoch"]
    program = read_program(folder)
    settings = header.get("settings") or {}
    groups = len(steps[0]["learning_rates"]) if steps else 0
    saturation, bins = _saturation(steps)
    twin = _twin(folder, epochs)
    rates = [_curve(f"group {g}", steps, partial(_rate, group=g)) for g in range(groups)]
    last = steps[-1]["step"] if steps else 0
    return RunReport(
        name=folder.resolve().name,
        facts=_facts(header, settings, program, epochs, last),
        settings=settings,
        executor=str(header.get("executor", "unknown")),
        device=str(header.get("device", "")),
        steps=last,
        epochs=len(epochs),
        loss=_curve("training, integers", steps, lambda row: row["loss"]),
        accuracy=_curve("training, integers", steps, lambda row: row["accuracy"]),
        epoch_loss=_points("training, integers", epochs, "loss"),
        test_loss=_points("test, integers", epochs, "test_loss"),
        test_accuracy=_points("test, integers", epochs, "test_accuracy"),
        float_loss=_points("training, float32", twin, "loss"),
        float_test_loss=_points("test, float32", twin, "test_loss"),
        float_test_accuracy=_points("test, float32", twin, "test_accuracy"),
        rates=_distinct([rate for rate in rates if rate is not None]),
        throughput=_curve("training", steps, lambda row: row["images_per_second"]),
        saturation=saturation,
        bins=bins,
        exponents=_exponents(folder, program),
        costs=graph_costs(program.graphs[TRAIN]) if program and TRAIN in program.graphs else (),
    )


def read_program(folder: Path) -> Program | None:
    """The program of a run; None if there is none that this version reads."""
    try:
        return load_program(folder / "program.spindl")
    except SpindlError:
        return None


def _rate(row: Row, group: int) -> float:
    return float(row["learning_rates"][group])


def _facts(
    header: Row, settings: Row, program: Program | None, epochs: Sequence[Row], steps: int
) -> tuple[tuple[str, str], ...]:
    meta = program.metadata if program else {}
    found = {
        "model": settings.get("model") or meta.get("model"),
        "data": settings.get("data"),
        "executor": header.get("executor"),
        "device": header.get("device"),
        "batch": settings.get("batch_size") or meta.get("batch_size"),
        "steps": f"{steps:,}",
        "epochs": str(len(epochs)),
        "seed": settings.get("seed"),
        "spindl": header.get("spindl"),
        "program": str(header.get("program", ""))[:12],
    }
    return tuple((name, str(value)) for name, value in found.items() if value not in (None, "", "unknown"))


def _curve(name: str, rows: Sequence[Row], value: Callable[[Row], Any]) -> Series | None:
    """Means of ranges of steps, with the lowest and highest value of each; None without values."""
    pairs = [(row["step"], value(row)) for row in rows]
    pairs = [(x, float(y)) for x, y in pairs if y is not None and isfinite(y)]
    if not pairs:
        return None
    width = -(-len(pairs) // POINTS)
    groups = [pairs[at : at + width] for at in range(0, len(pairs), width)]
    x = tuple(sum(p[0] for p in g) / len(g) for g in groups)
    y = tuple(sum(p[1] for p in g) / len(g) for g in groups)
    if width == 1:
        return Series(name, x, y)
    return Series(name, x, y, tuple(min(p[1] for p in g) for g in groups), tuple(max(p[1] for p in g) for g in groups))


def _points(name: str, rows: Sequence[Row], key: str) -> Series | None:
    pairs = [(float(row["step"]), float(row[key])) for row in rows if row.get(key) is not None]
    pairs = [(x, y) for x, y in pairs if isfinite(y)]
    return Series(name, tuple(x for x, _ in pairs), tuple(y for _, y in pairs)) if pairs else None


def _distinct(series: Sequence[Series]) -> tuple[Series, ...]:
    """One of those that are equal."""
    kept: list[Series] = []
    for each in series:
        if all(each.y != other.y for other in kept):
            kept.append(each)
    return tuple(kept)


def _saturation(steps: Sequence[Row]) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    """(counts by place and range of steps, last step of each range); places with the most first."""
    if not steps:
        return {}, ()
    width = -(-len(steps) // BINS)
    ranges = [steps[at : at + width] for at in range(0, len(steps), width)]
    counts: dict[str, list[int]] = {}
    for number, rows in enumerate(ranges):
        for row in rows:
            for place, count in row.get("saturation", {}).items():
                counts.setdefault(place, [0] * len(ranges))[number] += count
    ordered = sorted(counts.items(), key=lambda item: (-sum(item[1]), item[0]))
    return {place: tuple(values) for place, values in ordered}, tuple(rows[-1]["step"] for rows in ranges)


def _twin(folder: Path, epochs: Sequence[Row]) -> list[Row]:
    """Epochs of the float32 twin, at the steps of ours."""
    try:
        found = json.loads((folder / "float32.json").read_text())
        ends = {row["epoch"]: row["step"] for row in epochs}
        return [{**row, "step": ends[row["epoch"]]} for row in found if row["epoch"] in ends]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _exponents(folder: Path, program: Program | None) -> tuple[Exponent, ...]:
    """Of the newest checkpoint, in the order of the program."""
    state = _state(folder)
    if state is None or program is None or TRAIN not in program.graphs:
        return ()
    graph, result = program.graphs[TRAIN], []
    bits = {
        str(graph.nodes[node.inputs[0]].attributes["name"]): int(node.attributes["bits"])
        for node in graph.nodes
        if node.op == "next_site"
    }
    for name, width in bits.items():
        value = state.values.get(name)
        if value is not None:
            extents = tuple(int(extent) for extent in value.mantissa if int(extent) > -32768)
            result.append(Exponent(name.partition("/")[2], int(value.exponent), width, extents))
    return tuple(result)


def _state(folder: Path) -> State | None:
    try:
        return CheckpointFolder(folder / "checkpoints").load()
    except SpindlError:
        return None
