"""The ops that work on the host: a few integers per channel, site or parameter, by the interpreter's own meaning."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindl.graph.graph import Node
from spindl.graph.operations import Meaning, Value, lookup
from spindl.number.sites import next_site

HOST_OPS = (
    "inverse_deviation",
    "running_inverse_deviation",
    "batch_norm_scale",
    "batch_norm_offset",
    "running_offset",
    "gamma_gradient",
    "running_gamma_gradient",
    "batch_norm_slope",
    "batch_norm_gradient_offset",
    "running_mean",
    "running_variance",
    "pair_to_wide",
    "next_site",
    "lars_rate",
)


def host_operations() -> dict[str, Meaning]:
    """Op name -> function (node, *values) -> Value."""
    return {name: lookup(name).meaning for name in HOST_OPS} | {"next_site": next_site_op}


def next_site_op(node: Node, site: Value, extent: Value) -> Value:
    """As the interpreter's, with less work per site: a training graph has hundreds."""
    a: Any = node.attributes
    before = (site.exponent, tuple(site.mantissa.tolist()))
    exponent, history = next_site(before, int(extent.mantissa), a["bits"], a["headroom"], a["lowest"])
    return Value(np.array(history, dtype=np.int64), exponent)
