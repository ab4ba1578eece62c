"""The declared cycles of element, channel and reduction kernels: linear in a few numbers of the arguments, fitted.

`python -m tests.kernels.costs` measures the grid on the emulator and writes elements.c, channels.c and reductions.c in
kernels/cost anew. Data are typical (see `typical`): only the first few values take the slow way of the rounding.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from spindl.program.kernels import KERNELS
from spindl.program.kernels.channels import CHANNEL_KERNELS
from spindl.program.kernels.elements import ELEMENT_KERNELS
from spindl.program.kernels.reductions import REDUCTION_KERNELS
from tests.kernels import typical
from tests.kernels.typical import BATCH_NORM, Call

COST = Path(__file__).parents[2] / "kernels" / "cost"
PARTS = 32
"""Coefficients are stored in 32nds of a cycle."""

_PIXELS = "a->images * a->outputs * a->output_width"
_CELLS = f"{_PIXELS} * a->kernel_height * a->kernel_width"
_MOVES = "a->count_0 * a->count_1 * a->count_2"
_WHOLE = (
    "(((a->x | a->y | a->x_stride_2 | a->y_stride_2 | a->bytes * a->count_3) & 3) == 0) * "
    "(a->x_stride_3 == (int32_t)a->bytes) * (a->y_stride_3 == (int32_t)a->bytes)"
)
_TWO = "(((a->channels | a->x >> 1 | a->y >> 1) & 1) == 0)"
_MEAN = "a->images * a->rows * a->width"

FEATURES: dict[str, tuple[str, ...]] = {
    "requantise": (
        "a->rows",
        "a->rows * a->columns * (a->x_bytes == 8)",
        "a->rows * a->columns * (a->x_bytes == 4)",
        "a->rows * a->columns * (a->x_bytes == 2)",
    ),
    "move": (
        _MOVES,
        f"{_MOVES} * a->count_3 * a->bytes * {_WHOLE}",
        *(f"{_MOVES} * a->count_3 * (1 - {_WHOLE}) * (a->bytes == {size})" for size in (1, 2, 4, 8)),
    ),
    "narrow": ("a->count",),
    "relu": ("a->activation == 2", "a->count * (a->activation == 1)", "a->count * (a->activation == 2)"),
    "relu_gradient": ("a->activation == 2", "a->count * (a->activation == 1)", "a->count * (a->activation == 2)"),
    "add": ("a->count",),
    "affine": (
        "a->channels",
        "a->pixels * a->channels * (a->x_bytes == 2)",
        "a->pixels * a->channels * (a->x_bytes == 1)",
    ),
    "affine_pair": ("a->channels", "a->pixels * a->channels"),
    "max_pool": ("a->outputs * a->images", _PIXELS, _CELLS, f"{_PIXELS} * a->channels", f"{_CELLS} * a->channels"),
    "max_pool_gradient": (
        "a->outputs * a->images",
        _PIXELS,
        _CELLS,
        f"{_PIXELS} * a->channels",
        f"{_CELLS} * a->channels",
        "a->images * a->dx_rows * a->width * a->channels",
    ),
    "window_sum": (_PIXELS, f"{_PIXELS} * a->channels", f"{_MEAN} * a->channels"),
    "window_sum_gradient": (
        _MEAN,
        f"{_MEAN} * ((a->channels + 15) / 16)",
        f"{_MEAN} * ((a->channels + 15) / 16) * a->outputs * a->output_width",
        f"{_MEAN} * a->channels",
    ),
    "sigmoid": ("a->count * (a->hyperbolic == 0)", "a->count * (a->hyperbolic != 0)"),
    "sigmoid_gradient": ("a->count * (a->hyperbolic == 0)", "a->count * (a->hyperbolic != 0)"),
    "softmax": ("a->outer * a->inner", "a->outer * a->inner * a->length"),
    "softmax_gradient": ("a->outer * a->inner", "a->outer * a->inner * a->length"),
    "dropout": ("a->images", "a->images * a->elements"),
    "cross_entropy": ("a->images", "a->images * a->classes", "a->images * a->classes * (a->dz != 0)"),
    "squared_error": ("a->images", "a->images * a->features", "a->images * a->features * (a->dz != 0)"),
    "binary_cross_entropy": ("a->images", "a->images * a->features", "a->images * a->features * (a->dz != 0)"),
    "channel_sums": (
        "a->channels",
        f"a->pixels * a->channels * {_TWO}",
        f"a->pixels * a->channels * (1 - {_TWO})",
    ),
    **{kernel: ("a->channels",) for kernel in BATCH_NORM},
    "sum_rows": (
        "a->rows",
        "a->count * a->y_bytes * a->first",
        "a->rows * a->count * (a->y_bytes == 8)",
        "a->rows * a->count * (a->y_bytes == 4)",
    ),
    "begin_sites": ("a->count",),
    "merge_sites": ("a->rows", "a->rows * a->count"),
    "next_sites": ("a->count",),
    "exponents": ("a->count",),
    "direction": ("a->count", "a->count * (a->master != 0)", "a->count * (a->gradient != 0)"),
    "scale_direction": ("a->count",),
    "update": (
        "a->count",
        "a->count * (a->velocity != 0)",
        "a->count * (a->decay != 0)",
        "a->count * a->nesterov",
        "a->count * (a->gradient_bytes == 8)",
    ),
    "halve": ("a->count",),
    "largest_bits": ("a->count",),
    "squared_norm": ("a->count",),
    "lars_rate": (),
}
"""What the cycles depend on, as C and, after small changes, Python; a constant comes to each."""

TOLERANCE = dict.fromkeys(FEATURES, 0.05)
"""Allowed relative error. Divisions and pairs take more or less time with their operands."""
TOLERANCE |= dict.fromkeys(
    (*BATCH_NORM, "lars_rate", "sigmoid", "softmax", "cross_entropy", "binary_cross_entropy"), 0.1
)


def grid() -> Iterator[Call]:
    """Calls of every kernel over the range that tiles have."""
    for n in (40, 300, 1000):
        yield from (typical.requantise(n), typical.requantise(n, 4), typical.requantise(n, 2), typical.narrow(n))
        yield typical.add(n)
        yield from (typical.relu(n), typical.relu(n, 2), typical.relu_gradient(n), typical.relu_gradient(n, 2))
        yield from (
            typical.sigmoid(n),
            typical.sigmoid(n, 1),
            typical.sigmoid_gradient(n),
            typical.sigmoid_gradient(n, 1),
        )
        yield from (typical.direction(n), typical.scale_direction(n), typical.halve(n), typical.update(n))
        yield from (typical.update(n, False, False), typical.update(n, True, False), typical.update(n, nesterov=True))
        yield from (typical.update(n, gradient_bytes=8), typical.largest_bits(n), typical.squared_norm(n))
    for pixels, channels in ((16, 16), (49, 32), (196, 6), (25, 3), (400, 4)):
        yield from (typical.affine(pixels, channels), typical.affine(pixels, channels, 1))
        yield from (typical.affine_pair(pixels, channels), typical.channel_sums(pixels, channels))
        yield from (typical.move(pixels, channels), typical.move(pixels, channels, True))
        yield typical.move(pixels, channels, True, 4)
    for size, channels, kernel, stride in ((8, 16, 2, 2), (14, 6, 2, 2), (9, 32, 3, 2), (12, 8, 3, 1), (10, 12, 2, 2)):
        yield from (
            typical.max_pool(size, channels, kernel, stride),
            typical.max_pool_gradient(size, channels, kernel, stride),
        )
    for size, channels, windows in ((7, 32, 1), (8, 16, 2), (6, 48, 3), (7, 64, 1)):
        yield from (typical.window_sum(size, channels, windows), typical.window_sum_gradient(size, channels, windows))
    for outer, length in ((4, 10), (1, 300), (20, 10), (8, 32)):
        yield from (typical.softmax(outer, length), typical.softmax_gradient(outer, length))
        yield from (typical.dropout(outer, length), typical.cross_entropy(outer, length))
        yield from (typical.squared_error(outer, length), typical.binary_cross_entropy(outer, length))
        yield from (typical.sum_rows(outer, length), typical.sum_rows(outer, length, 2))
        yield from (typical.sum_rows(outer, length, 8, 8), typical.merge_sites(outer, length))
        yield from (typical.sum_rows(outer, length, first=1), typical.sum_rows(outer, length, 8, 8, 1))
    for n in (4, 16, 60):
        yield from (typical.per_channel(kernel, n) for kernel in BATCH_NORM)
        yield from (typical.begin_sites(n), typical.next_sites(n), typical.exponents(n))
    yield typical.lars_rate()


def arguments(call: Call) -> dict[str, int]:
    """A call's words with plausible addresses of its buffers."""
    names = [field.name for field in KERNELS[call.kernel].arguments]
    words = {name: 8 for name in names if name in call.buffers}
    return words | {name: 8 if isinstance(value, str) else value for name, value in call.arguments.items()}


def _features(call: Call) -> list[float]:
    names = [field.name for field in KERNELS[call.kernel].arguments]
    a = SimpleNamespace(**(dict.fromkeys(names, 0) | arguments(call)))
    texts = [
        re.sub(r"\(int32_t\)", "", text).replace("a->", "a.").replace(" / ", " // ") for text in FEATURES[call.kernel]
    ]
    return [1.0, *(float(eval(text, {"a": a})) for text in texts)]


def fit() -> dict[str, list[int]]:
    """Kernel -> coefficients in 32nds of a cycle, the constant first."""
    rows: dict[str, list[list[float]]] = {}
    measured: dict[str, list[int]] = {}
    for call in grid():
        rows.setdefault(call.kernel, []).append(_features(call))
        measured.setdefault(call.kernel, []).append(call.run("ref-on-arm").cycles)
    result = {}
    for kernel, matrix in rows.items():
        cycles = np.array(measured[kernel], float)
        scaled = np.array(matrix) / cycles[:, None]  # relative errors count
        result[kernel] = [round(PARTS * float(c)) for c in np.linalg.lstsq(scaled, np.ones(len(cycles)))[0]]
    return result


def source(kernels: tuple[str, ...], coefficients: dict[str, list[int]]) -> str:
    """The text of a cost file."""
    lines = [
        "/* Written by `python -m tests.kernels.costs` from cycles measured on the emulator, in 32nds of a cycle. */"
    ]
    lines += ['#include "spindl_kernels.h"', ""]
    for kernel in kernels:
        head = f"(const spindl_{kernel}_arguments *a) {{"
        terms = [
            f"(int64_t)({text}) * {c}" for text, c in zip(FEATURES[kernel], coefficients[kernel][1:], strict=True) if c
        ]
        lines += [
            f"uint32_t spindl_{kernel}_cycles{head}",
            "    (void)a;",
            f"    int64_t parts = {coefficients[kernel][0]};",
        ]
        lines += [f"    parts += {term};" for term in terms]
        lines += [f"    return parts > 0 ? (uint32_t)(parts / {PARTS}) : 0;", "}", ""]
        scratch = "4 * a->dx_rows * a->width * a->channels" if kernel == "max_pool_gradient" else "0"
        lines += [f"uint32_t spindl_{kernel}_scratch{head}", "    (void)a;", f"    return {scratch};", "}", ""]
    return "\n".join(lines)


def main() -> None:
    """Measure, fit, write."""
    coefficients = fit()
    for name, kernels in (
        ("elements", ELEMENT_KERNELS),
        ("channels", CHANNEL_KERNELS),
        ("reductions", REDUCTION_KERNELS),
    ):
        (COST / f"{name}.c").write_text(source(tuple(kernel.name for kernel in kernels), coefficients))


if __name__ == "__main__":
    main()
