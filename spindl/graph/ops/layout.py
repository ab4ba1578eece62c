"""Ops that move elements and never change them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from spindl.graph.graph import Format, GraphError, Node
from spindl.graph.layers import infer
from spindl.graph.operations import WIDE, Value, operation
from spindl.graph.ops.pointwise import aligned, common_exponent


def _reshape_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    batch = nodes[0].shape[0]
    shape = tuple(a["shape"])
    # An image's elements keep their number; the batch axis may absorb or release further axes only for parameters.
    if a.get("whole", False):
        return shape, nodes[0].format
    if prod(nodes[0].shape[1:]) != prod(shape):
        raise GraphError(f"reshape: {list(nodes[0].shape[1:])} and {list(shape)} have different numbers of elements")
    return (batch, *shape), nodes[0].format


@operation("reshape", _reshape_rule, combine="batch", formula="the same elements, in row-major order; e = e_x")
def reshape(node: Node, x: Value) -> Value:
    """any -> the same format. Attribute shape: of one image; with whole=True, of the entire tensor (parameters)."""
    shape = node.attributes["shape"]
    return Value(
        x.mantissa.reshape(shape if node.attributes.get("whole", False) else (x.mantissa.shape[0], *shape)), x.exponent
    )


@operation(
    "permute",
    lambda nodes, a: (tuple(nodes[0].shape[axis] for axis in a["order"]), nodes[0].format),
    combine="batch",
    formula="axes in another order; e = e_x",
)
def permute(node: Node, x: Value) -> Value:
    """any -> the same format. Attribute order: as for numpy.transpose."""
    return Value(np.ascontiguousarray(x.mantissa.transpose(node.attributes["order"])), x.exponent)


@operation(
    "concat",
    lambda nodes, a: (infer("concat", nodes, a), WIDE),
    combine="batch",
    formula="inputs side by side along `axis`, aligned as in `add`",
)
def concat(node: Node, *parts: Value) -> Value:
    """int16 for each part -> wide. Attribute axis."""
    exponent = common_exponent(*(part.exponent for part in parts))
    return Value(np.concatenate([aligned(part, exponent) for part in parts], axis=node.attributes["axis"]), exponent)


def _slice_rule(nodes: Sequence[Node], a: Mapping[str, Any]) -> tuple[tuple[int, ...], Format]:
    shape = list(nodes[0].shape)
    shape[a["axis"]] = a["stop"] - a["start"]
    return tuple(shape), nodes[0].format


@operation("slice", _slice_rule, combine="batch", formula="elements start..stop-1 along `axis`; e = e_x")
def slice_op(node: Node, x: Value) -> Value:
    """any -> the same format: one part of it (the gradient of concat). Attributes axis, start, stop."""
    a = node.attributes
    cut = [slice(None)] * x.mantissa.ndim
    cut[a["axis"]] = slice(a["start"], a["stop"])
    return Value(x.mantissa[tuple(cut)], x.exponent)
