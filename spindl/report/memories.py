"""Drawings of memory over time."""

from __future__ import annotations

from spindl.report.model import MemoryMap
from spindl.report.svg import Scale, amount, drawing, legend, tag, text, title

KINDS = {
    "weights": "f1",
    "optimiser state": "f5",
    "activations": "f3",
    "gradients": "f2",
    "inputs": "f7",
    "statistics": "f6",
    "exponents": "f8",
    "constants": "f8",
    "operands": "f1",
    "results": "f2",
    "scratch": "f3",
    "tables": "f5",
    "runtime": "f8",
}
"""Colours of what memory is for."""
_LONGEST = 1500


def memory_chart(memory: MemoryMap, height: int = 300, whole: bool = False) -> str:
    """Address upwards, time to the right, a rectangle for each region.

    Args:
        memory: to draw.
        height: of the drawing.
        whole: show all of the capacity, not only what is used.
    """
    top = memory.capacity if whole else memory.used
    if not memory.regions or not top or not memory.end:
        return ""
    width, left = 460, 60
    x = Scale(0, memory.end, left, width - 8)
    y = Scale(0, top, height - 30, 8)
    parts = [tag("rect", x=left, y=8, width=width - 8 - left, height=height - 38, class_="empty")]
    for value in _sizes(top):
        parts.append(tag("line", x1=left, x2=width - 8, y1=y(value), y2=y(value), class_="grid"))
        parts.append(text(_bytes(value), left - 6, y(value) + 4, "tick", "end"))
    drawn = sorted(memory.regions, key=lambda region: -region.bytes)[:_LONGEST]
    for region in drawn:
        start = region.address - memory.base
        tall = y(start) - y(start + region.bytes)
        hint = f"{region.name} ({region.kind}): {region.bytes:,} bytes at {region.address:#x}, "
        hint += f"{memory.times}s {region.first:g} to {region.last:g}"
        wide = max(x(region.last) - x(region.first), 0.5)
        outlined = " cell" if wide > 4 and tall > 2.5 else ""
        place = {"x": x(region.first), "y": y(start + region.bytes), "width": wide, "height": max(tall, 0.2)}
        parts.append(tag("rect", title(hint), **place, class_=f"{KINDS.get(region.kind, 'f8')}{outlined}"))
    parts.append(text(f"{memory.times} 0", left, height - 14, "tick"))
    parts.append(text(f"{memory.end:g}", width - 8, height - 14, "tick", "end"))
    kinds = [kind for kind in KINDS if any(region.kind == kind for region in drawn)]
    return legend([(KINDS[kind], kind) for kind in kinds]) + drawing(width, height, *parts, label=memory.title)


def memory_use(memory: MemoryMap) -> str:
    """What is used of what there is, as a sentence."""
    share = 100 * memory.used / memory.capacity
    return f"{_bytes(memory.used)} of {_bytes(memory.capacity)} used ({share:.1f} %)."


def _sizes(top: float) -> list[float]:
    """Round numbers of bytes, in powers of two."""
    step = 1.0
    while top / step > 6:
        step *= 2
    return [k * step for k in range(int(top / step) + 1)]


def _bytes(value: float) -> str:
    for size, unit in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return amount(value, "B") if value else "0"
