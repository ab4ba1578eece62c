"""What all tiles of contractions share: the geometry, the arguments of the kernels, their scratch region."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from spindl.plan.ask import scratch_bytes
from spindl.plan.draft import Draft
from spindl.plan.jobs import Job
from spindl.plan.task import At, Call, Regions
from spindl.plan.tiles.space import axis
from spindl.program.kernels.contraction import FLAGS


@dataclass(frozen=True)
class Geometry:
    """A convolution as the kernels see it; pointwise ones have one image of one row."""

    images: int
    x_rows: int
    x_columns: int
    y_rows: int
    y_columns: int
    groups: int
    inputs: int
    outputs: int
    kernel: tuple[int, int]
    rows: dict[str, int]
    columns: dict[str, int]

    @property
    def is_flat(self) -> bool:
        """One row of columns that do not see each other: they may be cut as rows are."""
        one = self.images == 1 and self.x_rows == self.y_rows == 1
        return one and self.taps == 1 and self.x_columns == self.y_columns > 1

    def __hash__(self) -> int:
        """The axes aside: they are dicts."""
        return hash((self.images, self.x_rows, self.x_columns, self.y_rows, self.inputs, self.outputs, self.kernel))

    @property
    def x_channels(self) -> int:
        """Of all groups."""
        return self.groups * self.inputs

    @property
    def y_channels(self) -> int:
        """Of all groups."""
        return self.groups * self.outputs

    @property
    def taps(self) -> int:
        """Products of one output and one input channel."""
        return self.kernel[0] * self.kernel[1]


def geometry(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], a: Any, keep_images: bool = False) -> Geometry:
    """Of a convolution of x to y with weights w, from their logical shapes and its attributes."""
    groups = int(a["groups"])
    rows, columns = axis(a, w[2:], 0), axis(a, w[2:], 1)
    images, height, width, outputs, output_width = x[0], x[2], x[3], y[2], y[3]
    point = all(
        side == {"kernel": 1, "stride": 1, "dilation": side["dilation"], "padding": 0} for side in (rows, columns)
    )
    if point and x[2:] == y[2:]:
        if keep_images:
            height, width = 1, height * width
        else:
            images, height, width = 1, 1, images * height * width
        outputs, output_width = height, width
    return Geometry(
        images, height, width, outputs, output_width, groups, w[1], w[0] // groups, (w[2], w[3]), rows, columns
    )


def contraction_words(draft: Draft, job: Job, g: Geometry) -> dict[str, int | At]:
    """The arguments that all tiles of a job have in common."""
    assert job.rounding is not None
    node = draft.node(job.rounding.producer)
    requantise = draft.node(job.rounding.requantise)
    words: dict[str, int | At] = {
        "x_columns": g.x_columns,
        "y_columns": g.y_columns,
        "groups": 1,
        "inputs": g.inputs,
        "outputs": g.outputs,
        "kernel_rows": g.kernel[0],
        "kernel_columns": g.kernel[1],
        "stride_rows": g.rows["stride"],
        "stride_columns": g.columns["stride"],
        "dilation_rows": g.rows["dilation"],
        "dilation_columns": g.columns["dilation"],
        "left": -g.columns["padding"],
        "first_exponent": draft.exponent(node.inputs[0]),
        "second_exponent": draft.exponent(node.inputs[1]),
        "bias": 0,
        "bias_exponent": 0,
        "site": draft.site(requantise.inputs[1]),
        "bits": int(requantise.attributes["bits"]),
        "flags": FLAGS["RELU"] if job.rounding.activation == 1 else 0,
    }
    return words


def with_scratch(kernel: str, calls: list[Call], regions: Regions) -> tuple[Call, ...]:
    """The same calls with a scratch region that is large enough for each of them."""
    kinds = {
        tuple([v if isinstance(v, int) else v.offset % 4 for v in call.arguments.values()]): call.arguments
        for call in calls
        if call.kernel == kernel
    }
    needed = max(scratch_bytes(kernel, arguments) for arguments in kinds.values())
    words: dict[str, int | At] = {"scratch": regions.at("scratch", max(8, needed)), "scratch_bytes": max(8, needed)}
    return tuple(
        replace(call, arguments={**call.arguments, **words}) if call.kernel == kernel else call for call in calls
    )
