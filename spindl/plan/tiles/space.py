"""Cuts of images: ranges of images and of rows, so that slabs fit a core and stores are whole words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from spindl.plan.layout import granule
from spindl.plan.task import shares


@dataclass(frozen=True)
class Slab:
    """Whole images first..last-1, or rows top..bottom-1 of the one image `first`."""

    first: int
    last: int
    top: int
    bottom: int

    @property
    def images(self) -> int:
        """How many images it touches."""
        return self.last - self.first

    @property
    def rows(self) -> int:
        """Rows of each image."""
        return self.bottom - self.top


def slabs(start: int, stop: int, height: int, most_rows: int, image_granule: int, row_granule: int) -> list[Slab]:
    """Cut global rows start..stop-1 (image * height + row) into slabs of at most `most_rows` rows in all.

    Both ends must be at image boundaries if image_granule > 1.
    """
    result, at = [], start
    while at < stop:
        image, row = divmod(at, height)
        whole = (stop - at) // height if row == 0 else 0
        count = min(whole, most_rows // height)
        if image_granule > 1 and count < whole:
            count = max(count // image_granule, 1) * image_granule
        if count:
            count = min(count, whole)
            result.append(Slab(image, image + count, 0, height))
            at += count * height
        else:
            size = max(most_rows // row_granule, 1) * row_granule
            bottom = min(row + size, height, row + stop - at)
            result.append(Slab(image, image + 1, row, bottom))
            at += bottom - row
    return result


def row_shares(
    images: int, height: int, row_bytes: int, parts: int, least: int = 1
) -> tuple[list[tuple[int, int]], int, int]:
    """Global rows of a result dealt to at most `parts` tasks; (ranges, image granule, row granule)."""
    image_granule = granule(height * row_bytes)
    row_granule = granule(row_bytes)
    if image_granule > 1:
        ranges = [(a * height, b * height) for a, b in shares(images, parts, image_granule, -(-least // height))]
        return ranges, image_granule, row_granule
    return shares(images * height, parts, row_granule, least), 1, row_granule


def rows_seen(
    p0: int, p1: int, *, kernel: int, stride: int, dilation: int, padding: int, height: int
) -> tuple[int, int]:
    """Rows of the input that the windows of output rows p0..p1-1 see; at least one row."""
    top = max(0, p0 * stride - padding)
    bottom = min(height, (p1 - 1) * stride - padding + (kernel - 1) * dilation + 1)
    top = min(top, height - 1)
    return top, max(bottom, top + 1)


def windows_over(
    r0: int, r1: int, *, kernel: int, stride: int, dilation: int, padding: int, outputs: int
) -> tuple[int, int]:
    """Output rows whose windows may see input rows r0..r1-1; at least one row."""
    first = -(-(r0 + padding - (kernel - 1) * dilation) // stride)
    last = (r1 - 1 + padding) // stride + 1
    first = min(max(0, first), outputs - 1)
    return first, max(first + 1, min(outputs, last))


def axis(a: Mapping[str, Any], kernel: tuple[int, ...], which: int) -> dict[str, int]:
    """kernel, stride, dilation, padding (before) of one spatial axis."""
    return {
        "kernel": int(kernel[which]),
        "stride": int(a["stride"][which]),
        "dilation": int(a["dilation"][which]),
        "padding": int(a["padding"][which][0]),
    }
