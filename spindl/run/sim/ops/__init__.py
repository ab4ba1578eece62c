"""The integer ops on torch tensors, by subject as in `spindl/graph/ops`; importing this fills the table."""

from spindl.run.sim.ops import activation, batch_norm, contraction, layout, loss, pointwise, pooling, update
from spindl.run.sim.ops.table import TORCH_OPS

__all__ = [
    "TORCH_OPS",
    "activation",
    "batch_norm",
    "contraction",
    "layout",
    "loss",
    "pointwise",
    "pooling",
    "update",
]
