"""Small pieces of pages: escaped tags, axes with round numbers, numbers with units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

COLOURS = 8
"""Categorical colours of page.css: classes f1 to f8 fill with them, s1 to s8 draw lines."""


def tag(name: str, *content: str, **attributes: object) -> str:
    """An element; attributes that are None are left out, underscores in names become hyphens or, at the end, vanish."""
    words = [
        f'{key.rstrip("_").replace("_", "-")}="{escape(_short(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{' '.join([name, *words])}>{''.join(content)}</{name}>"


def _short(value: object) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def text(content: str, x: float, y: float, class_: str = "", anchor: str | None = None, **more: object) -> str:
    """A text of a drawing."""
    return tag("text", escape(content), x=x, y=y, class_=class_ or None, text_anchor=anchor, **more)


def drawing(
    width: float, height: float, *content: str, label: str, class_: str = "chart", widest: float | None = None
) -> str:
    """An SVG that scales with the page, up to `widest` pixels; `label` is for those who cannot see it."""
    return tag(
        "svg",
        *content,
        class_=class_,
        viewBox=f"0 0 {_short(float(width))} {_short(float(height))}",
        role="img",
        aria_label=label,
        style=None if widest is None else f"max-width:{widest:.0f}px",
    )


def title(content: str) -> str:
    """What a browser shows when the mouse rests on the element around it."""
    return tag("title", escape(content))


@dataclass(frozen=True)
class Scale:
    """Values to places of a drawing.

    Attributes:
        low, high: values at its ends, above 0 if `log`.
        start, end: their places.
        log: whether decades are equally long.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.log:
            share = (log10(max(value, self.low)) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int = 5) -> list[float]:
        """Round values between its ends: powers of ten, or about `count` multiples of 1, 2 or 5."""
        if self.log:
            powers = [10.0**k for k in range(ceil(log10(self.low) - 1e-9), floor(log10(self.high) + 1e-9) + 1)]
            if len(powers) < 3:
                powers = [
                    f * p
                    for p in [powers[0] / 10 if powers else 10.0 ** floor(log10(self.low)), *powers]
                    for f in (1, 2, 5)
                ]
                return [value for value in powers if self.low <= value <= self.high]
            return powers[:: max(1, ceil(len(powers) / (count + 1)))]
        step = round_step((self.high - self.low) / count)
        first = ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, floor(self.high / step + 1e-9) + 1)]


def round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `least`."""
    power = 10.0 ** floor(log10(least)) if least > 0 else 1.0
    return next(f * power for f in (1, 2, 5, 10) if f * power >= least * (1 - 1e-9))


def covering(values: Sequence[float], zero: bool = False) -> tuple[float, float]:
    """Ends of a linear axis for some values, a little beyond them; from 0 on if `zero`."""
    low, high = (0.0 if zero else min(values)), max(values)
    if high <= low:
        return low - (not zero), low + 1
    margin = 0.04 * (high - low)
    return low if zero else low - margin, high + margin


def shortened(name: str, most: int = 26) -> str:
    """A name with its middle left out where it is too long."""
    if len(name) <= most:
        return name
    head = (most - 1) // 2
    return f"{name[:head]}…{name[head + 1 - most :]}"


_UNITS = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))


def amount(value: float, unit: str = "", digits: int = 3) -> str:
    """A number with a prefix of its unit: 12.3 ms, 4.56 MB, 789."""
    if value == 0:
        return f"0 {unit}".strip()
    size, prefix = next(((s, p) for s, p in _UNITS if abs(value) >= s * 0.9995), _UNITS[-1])
    scaled = value / size
    whole = len(str(int(abs(scaled)))) if abs(scaled) >= 1 else 1
    shown = f"{scaled:.{max(0, digits - whole)}f}"
    shown = shown.rstrip("0").rstrip(".") if "." in shown and float(value).is_integer() and size == 1 else shown
    return f"{shown} {prefix}{unit}".strip()


def rate(value: float) -> str:
    """So many a second: never with a prefix that makes small rates look large."""
    return amount(value) if value >= 1 else f"{value:.3g}"


def plain(value: float) -> str:
    """A number of an axis."""
    if value and (abs(value) < 1e-3 or abs(value) >= 1e5):
        return amount(value) if abs(value) >= 1e5 else f"{value:.0e}".replace("e-0", "e-")
    return f"{value:.6g}"


def percent(share: float) -> str:
    """A share as per cent, with as many digits as it deserves."""
    return f"{100 * share:.1f} %" if share >= 0.0005 or share <= 0 else "< 0.1 %"


def axes(
    x: Scale,
    y: Scale,
    x_label: str,
    x_format: Callable[[float], str] = plain,
    y_format: Callable[[float], str] = plain,
    ticks: tuple[int, int] = (5, 5),
) -> str:
    """Grid lines with their values; the name of the x axis below."""
    parts = []
    for value in y.ticks(ticks[1]):
        parts.append(tag("line", x1=x.start, x2=x.end, y1=y(value), y2=y(value), class_="grid"))
        parts.append(text(y_format(value), x.start - 6, y(value) + 4, "tick", "end"))
    for value in x.ticks(ticks[0]):
        parts.append(tag("line", x1=x(value), x2=x(value), y1=y.start, y2=y.start + 4, class_="axis"))
        parts.append(text(x_format(value), x(value), y.start + 16, "tick", "middle"))
    parts.append(tag("line", x1=x.start, x2=x.end, y1=y.start, y2=y.start, class_="axis"))
    if x_label:
        parts.append(text(x_label, x.end, y.start + 32, "name", "end"))
    return "".join(parts)


def box(x: float, y: float, width: float, height: float) -> str:
    """The path of a rectangle."""
    a, b, c, d = (_short(float(value)) for value in (x, y, width, height))
    return f"M{a} {b}h{c}v{d}h-{c}z"


def legend(items: Sequence[tuple[str, str]]) -> str:
    """(class of the colour, name) of each, as a line above a drawing. Class "dash" draws a dashed line."""
    entries = (tag("li", tag("i", class_=class_), escape(name)) for class_, name in items)
    return tag("ul", *entries, class_="legend")
