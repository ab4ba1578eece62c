"""The comparison as rows of plain data, and those as Markdown and CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spindl.systems.data import LABELS, Figure, published
from spindl.systems.model import INT16, MAPPINGS, SOFT_FLOAT, SOURCE, Prediction, machines, predicted

MARKS = {"measured": "m", "published": "p", "nameplate": "n", "derived": "d", "modelled": "*"}
MODEL_TEXT = (
    "int16: the plan of `spindl plan resnet50 --machine ...`, kept in spindl/systems/planned.toml; float32 neurons: "
    "spindl/systems/model.py with the constants of spindl/systems/spinnaker.toml"
)
ABSENT = "-"

Scales = Sequence[tuple[float, float, str]]
"""(from this value on, divisor, unit), the largest first."""
TIMES: Scales = (
    (60 * 24 * 800, 60 * 24 * 365, "years"),
    (60 * 24 * 3, 60 * 24, "d"),
    (180, 60, "h"),
    (1, 1, "min"),
    (0, 1 / 60, "s"),
)
COUNTS: Scales = ((1e6, 1e6, "M"), (1e4, 1e3, "k"), (0, 1, ""))
WATTS: Scales = ((1e3, 1e3, "kW"), (1, 1, "W"), (0, 1e-3, "mW"))
JOULES: Scales = ((0, 1, "J"),)
MEGAJOULES: Scales = ((1e3, 1e3, "GJ"), (0, 1, "MJ"))


@dataclass(frozen=True)
class Row:
    """Training: one system. chips: of the accelerator or the machine. epochs: as few and as many as its runs took."""

    system: str
    chips: int
    epochs: tuple[float, float]
    minutes: Figure
    images_per_second: Figure
    watts: Figure | None
    joules_per_image: Figure | None

    @property
    def modelled(self) -> bool:
        """Whether nothing of it was run."""
        return self.minutes.label == "modelled"


@dataclass(frozen=True)
class Text:
    """A table in words: a title, the head and the lines."""

    title: str
    head: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def training_rows() -> tuple[Row, ...]:
    """All systems that train ResNet-50 to 75.9 %, the slowest first."""
    rows = [
        Row(
            f"{each.system} ({each.round})",
            each.chips,
            each.epochs,
            each.minutes,
            each.images_per_second,
            each.watts,
            each.joules_per_image,
        )
        for each in published().training
    ]
    rows += [_row(predicted(machine, mapping)) for mapping in MAPPINGS for machine in _shown(mapping)]
    return tuple(sorted(rows, key=lambda row: -row.minutes.value))


def _shown(mapping: str) -> tuple[str, ...]:
    return machines() if mapping == INT16 else (machines()[0], machines()[-1])


def _row(p: Prediction) -> Row:
    name = f"SpiNNaker, {p.title}, {p.mapping}" + (", arithmetic only" if p.mapping == SOFT_FLOAT else "")
    return Row(name, p.batch, (p.epochs, p.epochs), p.minutes, p.images_per_second, p.watts, p.joules_per_image)


def source_numbers() -> dict[str, int]:
    """Source -> its number in the lists below the tables; the model comes last."""
    return {name: number for number, name in enumerate([*published().sources, SOURCE], start=1)}


def source_lines() -> tuple[str, ...]:
    """The sources, in the order of their numbers."""
    return (*published().sources.values(), MODEL_TEXT)


def legend() -> str:
    """What the marks behind the numbers mean."""
    return "; ".join(f"{mark} {label}: {LABELS[label]}" for label, mark in MARKS.items())


def training_table() -> Text:
    """Time to train, rate, power and energy of all systems."""
    numbers = source_numbers()
    lines = []
    for row in training_rows():
        figures = (row.minutes, row.images_per_second, row.watts, row.joules_per_image)
        scales = (TIMES, COUNTS, WATTS, JOULES)
        texts = [shown(figure, scale) for figure, scale in zip(figures, scales, strict=True)]
        named = sorted({numbers[figure.source] for figure in figures if figure is not None})
        lines.append((row.system, *texts, ",".join(str(number) for number in named)))
    return Text(
        "ResNet-50 v1.5 on ImageNet to 75.9 %",
        ("system", "time to train", "images/s", "power", "J/image", "source"),
        tuple(lines),
    )


def spinnaker_table() -> Text:
    """What is modelled of SpiNNaker: one image a chip."""
    lines = []
    for machine in machines():
        p = predicted(machine)
        lines.append(
            (
                p.title,
                f"{p.batch:,}",
                f"{p.epochs:.1f}",
                _plain(p.minutes, TIMES),
                _plain(p.evaluation_minutes, TIMES),
                _plain(p.megajoules, MEGAJOULES),
                _plain(p.inference_per_second, COUNTS),
                str(math.ceil(p.decoding_cores.high)),
            )
        )
    return Text(
        "SpiNNaker, int16, modelled",
        (
            "machine",
            "batch",
            "epochs (assumed)",
            "time to train",
            "of it evaluation",
            "energy",
            "inference images/s",
            "decoding cores",
        ),
        tuple(lines),
    )


def neuromorphic_table() -> Text:
    """Inference, and learning on neuromorphic machines: other tasks, so not to be compared number by number."""
    numbers = source_numbers()
    lines = []
    for each in published().neuromorphic:
        rate, power = each.images_per_second, each.watts
        parts = [each.result]
        if rate and power:
            parts.append(f"{_plain(rate, COUNTS)} images/s at {_plain(power, WATTS)}")
        mark = f"{MARKS[each.label]}, grade {each.grade}"
        lines.append((each.system, each.task, "; ".join(parts), mark, str(numbers[each.source])))
    for machine in (machines()[0], machines()[-1]):
        p = predicted(machine)
        result = f"{_plain(p.inference_per_second, COUNTS)} images/s at {_plain(p.watts, WATTS)}"
        task = "inference; ImageNet with ResNet-50"
        lines.append((f"SpiNNaker, {p.title}, int16", task, result, MARKS["modelled"], str(numbers[SOURCE])))
    return Text(
        "Other tasks: inference, and learning on neuromorphic machines",
        ("system", "task", "result", "label", "source"),
        tuple(lines),
    )


def markdown(table: Text) -> str:
    """A table in Markdown."""
    rows = [table.head, tuple("---" for _ in table.head), *table.lines]
    body = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return f"### {table.title}\n\n{body}\n"


def markdown_page() -> str:
    """All tables, the legend and the sources in Markdown."""
    tables = [markdown(table) for table in (training_table(), spinnaker_table(), neuromorphic_table())]
    sources = "\n".join(f"{number}. {text}" for number, text in enumerate(source_lines(), start=1))
    return "\n".join([*tables, f"Marks: {legend()}.\n", f"Sources:\n\n{sources}\n"])


FIGURES = ("minutes", "images_per_second", "watts", "joules_per_image")
PARTS = ("value", "low", "high", "label", "grade", "source", "bound")


def csv_text() -> str:
    """The training rows with every number's range, label, grade and source."""
    numbers = source_numbers()
    texts = source_lines()
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["system", "chips", "epochs_low", "epochs_high"]
    writer.writerow([*head, *(f"{figure}_{part}" for figure in FIGURES for part in PARTS)])
    for row in training_rows():
        cells: list[object] = [row.system, row.chips, *row.epochs]
        for name in FIGURES:
            figure: Figure | None = getattr(row, name)
            if figure is None:
                cells += [""] * len(PARTS)
            else:
                source = texts[numbers[figure.source] - 1]
                cells += [figure.value, figure.low, figure.high, figure.label, figure.grade, source, figure.bound]
        writer.writerow(cells)
    return out.getvalue()


def shown(figure: Figure | None, scales: Scales) -> str:
    """A number with its range, unit and mark: "6.3 (4.9-8.2) k *"; "-" for None."""
    if figure is None:
        return ABSENT
    return f"{'<= ' if figure.bound else ''}{_plain(figure, scales)} {MARKS[figure.label]}"


def without_range(figure: Figure, scales: Scales) -> str:
    """A number with its unit only."""
    return _plain(replace(figure, low=figure.value, high=figure.value), scales)


def _plain(figure: Figure, scales: Scales) -> str:
    divisor, unit = next((divisor, unit) for limit, divisor, unit in scales if figure.value >= limit)
    digits = 2 if figure.label == "modelled" else 3
    text = _short(figure.value / divisor, digits)
    ends = [_short(end / divisor, digits) for end in (figure.low, figure.high)]
    if figure.low != figure.high:
        text = f"{text} ({ends[0]}-{ends[1]})"
    return f"{text} {unit}".rstrip()


def _short(value: float, digits: int) -> str:
    """The value to that many digits, in thousands with commas."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = digits - 1 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, decimals)}f}"
