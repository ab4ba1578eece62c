"""Ops that move elements, in torch; some return views (see ALIASES)."""
# ruff: noqa: D103  (the op table documents each op)

from __future__ import annotations

from typing import Any

import torch

from spindl.graph.graph import Node
from spindl.graph.ops.pointwise import common_exponent
from spindl.run.sim.ops.pointwise import aligned
from spindl.run.sim.ops.table import implements
from spindl.run.sim.values import SimValue

ALIASES = ("reshape", "permute", "slice")
"""Ops whose result may share the memory of its input."""


@implements("reshape")
def reshape(node: Node, x: SimValue) -> SimValue:
    return SimValue(x.data.reshape(node.shape), x.exponent, x.lift)


@implements("permute")
def permute(node: Node, x: SimValue) -> SimValue:
    order: Any = node.attributes["order"]
    return SimValue(x.data.permute(order), x.exponent, x.lift)


@implements("concat")
def concat(node: Node, *parts: SimValue) -> SimValue:
    exponent = common_exponent(*(part.exponent for part in parts))
    axis: Any = node.attributes["axis"]
    return SimValue(torch.cat([aligned(part, exponent) for part in parts], axis), exponent)


@implements("slice")
def slice_op(node: Node, x: SimValue) -> SimValue:
    a: Any = node.attributes
    return SimValue(x.data.narrow(a["axis"], a["start"], a["stop"] - a["start"]), x.exponent)
