"""Contractions whose cycles are recorded: matrix products in three layouts, tiles of convolutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.kernels.contraction_cases import DIRECTIONS, Case

RECORD = Path(__file__).parent / "contraction_cycles.json"
ANY = Case(shift=18, values="random")


def gemm(rows: int, columns: int, depth: int, direction: str) -> Case:
    """A matrix product of rows x columns sums of `depth` products, as a linear layer in one of the three directions."""
    inputs, outputs, pixels = {
        "convolution": (depth, columns, rows),
        "convolution_input_gradient": (columns, depth, rows),
        "convolution_weight_gradient": (rows, columns, depth),
    }[direction]
    return replace(ANY, inputs=inputs, outputs=outputs, shape=(1, pixels), kernel=(1, 1))


def convolution(
    inputs: int, outputs: int, shape: tuple[int, int], kernel: int, stride: int = 1, pad: int | None = None
) -> Case:
    p = kernel // 2 if pad is None else pad
    return replace(
        ANY,
        inputs=inputs,
        outputs=outputs,
        shape=shape,
        kernel=(kernel, kernel),
        stride=(stride, stride),
        padding=((p, p), (p, p)),
    )


def table_cases() -> dict[str, tuple[str, Case, dict[str, Any]]]:
    """Name -> kernel, case, options."""
    cases: dict[str, tuple[str, Case, dict[str, Any]]] = {}
    names = dict(zip(DIRECTIONS, ("NT", "NN", "TN"), strict=True))
    for direction, name in names.items():
        narrow = {"narrow": True} if direction == "convolution_weight_gradient" else {}
        for rows, columns, depth in ((32, 64, 64), (32, 64, 128), (24, 64, 256), (8, 32, 576)):
            cases[f"{name} {rows}x{columns}x{depth} int16"] = (direction, gemm(rows, columns, depth, direction), narrow)
        cases[f"{name} 32x64x64 int64 sums"] = (direction, gemm(32, 64, 64, direction), {"sums": True})
    cases["TN 32x64x64 added in int32"] = (DIRECTIONS[2], gemm(32, 64, 64, DIRECTIONS[2]), {})
    tiles = {
        "1x1 64->64, 2x56": convolution(64, 64, (2, 56), 1),
        "1x1 64->128 stride 2, 4x28": convolution(64, 128, (4, 28), 1, 2),
        "3x3 32->48, 6x14": convolution(32, 48, (6, 14), 3),
        "3x3 32->48 stride 2, 8x14": convolution(32, 48, (8, 14), 3, 2),
        "3x3 32->48, 7x7": convolution(32, 48, (7, 7), 3),
        "7x7 3->64 stride 2, 8x32": convolution(3, 64, (8, 32), 7, 2),
        "5x5 1->6, 28x28": convolution(1, 6, (28, 28), 5, 1, 2),
        "5x5 6->16, 14x14": convolution(6, 16, (14, 14), 5, 1, 0),
        "depthwise 3x3 32, 8x8": replace(convolution(1, 1, (8, 8), 3), groups=32),
        "3x3 32 groups of 4->4, 7x7": replace(convolution(4, 4, (7, 7), 3), groups=32),
    }
    for name, case in tiles.items():
        for direction in DIRECTIONS:
            if name.startswith("7x7") and direction == "convolution_input_gradient":
                continue  # a first layer needs none
            narrow = {"narrow": True} if direction == "convolution_weight_gradient" else {}
            cases[f"{name} {direction[11:].strip('_').replace('_', ' ') or 'forward'}"] = (direction, case, narrow)
    return cases


def products(case: Case) -> int:
    rows, columns = case.y_shape
    return int(np.prod(case.shapes["w"])) * case.images * rows * columns
