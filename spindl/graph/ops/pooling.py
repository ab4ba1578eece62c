"""Pooling: the first maximum of a window, or the sum over windows times a reciprocal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spindl.graph.graph import Format, Node
from spindl.graph.layers import infer
from spindl.graph.operations import WIDE, Value, operation
from spindl.graph.ops.contraction import taps

RECIPROCAL_BITS = 20
"""Average pooling multiplies by round(2^20 / k)."""
LOWEST = np.int64(-(2**15))
"""Below every int16 mantissa: the value of padding, which never wins."""


def _windows(x: NDArray[Any], outputs: tuple[int, ...], a: Mapping[str, Any]) -> NDArray[np.int64]:
    """(window positions in row-major order, N, C, OH, OW): what each window sees, padding as LOWEST."""
    kernel = a["kernel"]
    seen = np.full((kernel[0] * kernel[1], *x.shape[:2], *outputs), LOWEST, dtype=np.int64)
    for i, j, read, write in taps(x.shape[2:], outputs, kernel, a):
        seen[i * kernel[1] + j, :, :, *write] = x[:, :, *read]
    return seen


def _pool_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    return infer("max_pool", nodes[:1], a), nodes[0].format


@operation(
    "max_pool", _pool_rule, combine="batch", formula="largest mantissa of each window, padding never wins; e = e_x"
)
def max_pool(node: Node, x: Value) -> Value:
    """int16 (N, C, H, W) -> int16 (N, C, OH, OW)."""
    return Value(_windows(x.mantissa, node.shape[2:], node.attributes).max(axis=0), x.exponent)


@operation(
    "max_pool_gradient",
    lambda nodes, a: (nodes[1].shape, WIDE),
    combine="batch",
    formula="dx[cell] = sum of dy over the windows whose first maximum (row-major) is the cell; e = e_dy",
)
def max_pool_gradient(node: Node, dy: Value, x: Value) -> Value:
    """int16 (N, C, OH, OW), int16 (N, C, H, W) -> wide (N, C, H, W)."""
    a = node.attributes
    winner = _windows(x.mantissa, dy.mantissa.shape[2:], a).argmax(axis=0)
    dx = np.zeros(x.mantissa.shape, dtype=np.int64)
    for i, j, read, write in taps(x.mantissa.shape[2:], dy.mantissa.shape[2:], a["kernel"], a):
        won = winner[:, :, *write] == i * a["kernel"][1] + j
        dx[:, :, *read] += np.where(won, dy.mantissa[:, :, *write], 0)
    return Value(dx, dy.exponent)


def reciprocals(a: Mapping[str, Any]) -> NDArray[np.int64]:
    """(OH, OW): round(2^20 / k), half up, with k = the divisor or each window's own number of cells."""
    heights = np.array([stop - start for start, stop in a["rows"]], dtype=np.int64)
    widths = np.array([stop - start for start, stop in a["columns"]], dtype=np.int64)
    cells = heights[:, None] * widths[None, :]
    k = np.full_like(cells, a["divisor"]) if a["divisor"] is not None else cells
    return ((2 << RECIPROCAL_BITS) + k) // (2 * k)


@operation(
    "window_sum",
    lambda nodes, a: ((*nodes[0].shape[:2], len(a["rows"]), len(a["columns"])), WIDE),
    combine="batch",
    formula="y = round(2^20 / k) * sum of the window; e = e_x - 20",
)
def window_sum(node: Node, x: Value) -> Value:
    """int16 (N, C, H, W) -> wide (N, C, OH, OW). Attributes rows, columns ((start, stop), ...), divisor or None."""
    a = node.attributes
    rows = np.stack([x.mantissa[:, :, start:stop].sum(axis=2) for start, stop in a["rows"]], axis=2)
    sums = np.stack([rows[..., start:stop].sum(axis=3) for start, stop in a["columns"]], axis=3)
    return Value(sums * reciprocals(a), x.exponent - RECIPROCAL_BITS)


@operation(
    "window_sum_gradient",
    lambda nodes, a: ((*nodes[0].shape[:2], *a["input_shape"]), WIDE),
    combine="batch",
    formula="dx[cell] = sum over the windows with the cell of round(2^20 / k) * dy; e = e_dy - 20",
)
def window_sum_gradient(node: Node, dy: Value) -> Value:
    """int16 (N, C, OH, OW) -> wide (N, C, H, W); attribute input_shape = (H, W)."""
    a = node.attributes
    dx = np.zeros((*dy.mantissa.shape[:2], *a["input_shape"]), dtype=np.int64)
    scaled = dy.mantissa * reciprocals(a)
    for i, (top, bottom) in enumerate(a["rows"]):
        for j, (left, right) in enumerate(a["columns"]):
            dx[:, :, top:bottom, left:right] += scaled[:, :, i : i + 1, j : j + 1]
    return Value(dx, dy.exponent - RECIPROCAL_BITS)
