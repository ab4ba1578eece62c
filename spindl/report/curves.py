"""Drawings of a run: curves over steps, clipped values, exponents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log10

from spindl.report.model import Exponent, Series
from spindl.report.svg import Scale, amount, axes, covering, drawing, legend, plain, shortened, tag, text, title

WIDTH, HEIGHT = 460, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 40


@dataclass(frozen=True)
class Line:
    """A curve and how it is drawn: colour 1 to 8, dashed or not, with a mark at each point or not."""

    series: Series
    colour: int
    dashed: bool = False
    marks: bool = False


def chart(
    label: str,
    lines: Sequence[Line],
    *,
    y_format: Callable[[float], str] = plain,
    zero: bool = False,
    log: bool = False,
    x_label: str = "step",
) -> str:
    """Curves with a legend; "" if there is nothing to draw."""
    lines = [line for line in lines if line.series.y]
    if not lines:
        return ""
    values = [y for line in lines for y in line.series.y]
    # single steps may be far out: the band may be cut, the curves are not
    xs = [x for line in lines for x in line.series.x]
    x = Scale(min(0, *xs) if len(xs) > 1 else 0, max(xs) or 1, _LEFT, WIDTH - _RIGHT)
    log = log and min(values) > 0
    low, high = (min(values) / 1.15, max(values) * 1.15) if log else covering(values, zero)
    y = Scale(low, high, HEIGHT - _BOTTOM, _TOP, log and high / low > 1)
    parts = [axes(x, y, x_label, lambda v: amount(v) if v >= 1e4 else plain(v), y_format)]
    parts += [_band(line, x, y) for line in lines if line.series.low]
    parts += [_line(line, x, y, y_format) for line in lines]
    names = [(f"s{line.colour}{' dash' if line.dashed else ''}", line.series.name) for line in lines]
    return legend(names) + drawing(WIDTH, HEIGHT, *parts, label=label)


def _band(line: Line, x: Scale, y: Scale) -> str:
    def place(at: float, value: float) -> str:
        return f"{x(at):.1f} {min(max(y(value), _TOP), HEIGHT - _BOTTOM):.1f}"

    upper = [place(*point) for point in zip(line.series.x, line.series.high, strict=True)]
    lower = [place(*point) for point in zip(line.series.x, line.series.low, strict=True)]
    return tag("path", d=f"M{'L'.join([*upper, *reversed(lower)])}z", class_=f"band f{line.colour}")


def _line(line: Line, x: Scale, y: Scale, y_format: Callable[[float], str]) -> str:
    places = [(x(a), y(b)) for a, b in zip(line.series.x, line.series.y, strict=True)]
    path = "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    parts = [tag("path", d=path, class_=f"line s{line.colour}{' dash' if line.dashed else ''}")]
    if line.marks or len(places) == 1:
        for (a, b), at, value in zip(places, line.series.x, line.series.y, strict=True):
            hint = title(f"{line.series.name}, step {at:,.0f}: {y_format(value)}")
            parts.append(tag("circle", hint, cx=a, cy=b, r=3.5, class_=f"mark f{line.colour}"))
    return "".join(parts)


def saturation_map(counts: Mapping[str, Sequence[int]], bins: Sequence[int], most: int = 40) -> str:
    """Clipped values by place (rows) and time: the darker, the more; the sum on the right."""
    rows = list(counts.items())[:most]
    if not rows:
        return ""
    left, right, height = 168, 56, 18
    width = WIDTH - left - right
    highest = log10(1 + max(max(values) for _, values in rows))
    parts = []
    for number, (place, values) in enumerate(rows):
        top, step = number * height, width / len(values)
        parts.append(text(shortened(place), left - 8, top + 13, "row", "end"))
        parts.append(tag("rect", x=left, y=top + 2, width=width, height=height - 4, class_="empty"))
        for at, value in enumerate(values):
            if value:
                hint = title(f"{place}: {value:,} clipped up to step {bins[at]:,}")
                shade = round(0.25 + 0.75 * log10(1 + value) / highest, 2)
                x = left + at * step
                parts.append(
                    tag("rect", hint, x=x, y=top + 2, width=step, height=height - 4, class_="f4", fill_opacity=shade)
                )
        parts.append(text(amount(float(sum(values))), WIDTH, top + 13, "tick", "end"))
    bottom = len(rows) * height
    parts.append(text("step 1", left, bottom + 14, "tick"))
    parts.append(text(f"{bins[-1]:,}", left + width, bottom + 14, "tick", "end"))
    return drawing(WIDTH, bottom + 20, *parts, label="values clipped by rounding place and step")


def exponent_map(exponents: Sequence[Exponent]) -> str:
    """For each rounding place: the powers of two that its format spans, and where its largest values lie."""
    if not exponents:
        return ""
    left, right, height = 168, 12, 16
    tops = [e.exponent + e.bits - 1 for e in exponents]
    low, high = min(e.exponent for e in exponents), max([*tops, *(x for e in exponents for x in e.extents)])
    x = Scale(low - 1, high + 1, left, WIDTH - right)
    bottom = len(exponents) * height
    parts = []
    for value in x.ticks(6):
        parts.append(tag("line", x1=x(value), x2=x(value), y1=0, y2=bottom, class_="grid"))
        parts.append(text(f"2^{value:.0f}", x(value), bottom + 14, "tick", "middle"))
    for number, (e, top) in enumerate(zip(exponents, tops, strict=True)):
        y = number * height
        hint = f"{e.site}: unit 2^{e.exponent}, {e.bits} bits"
        hint += (
            f", largest values lately 2^{min(e.extents)} to 2^{max(e.extents)}" if e.extents else ", all zero lately"
        )
        parts.append(text(shortened(e.site), left - 8, y + 12, "row", "end"))
        parts.append(
            tag(
                "rect",
                title(hint),
                x=x(e.exponent),
                y=y + 4,
                width=x(top) - x(e.exponent),
                height=height - 8,
                rx=3,
                class_="span f1",
            )
        )
        if e.extents:
            start, end = x(min(e.extents)), x(max(e.extents))
            parts.append(tag("rect", x=start - 2, y=y + 2, width=end - start + 4, height=height - 4, rx=2, class_="f2"))
    return drawing(WIDTH, bottom + 20, *parts, label="exponents of the rounding places")
