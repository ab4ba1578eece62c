"""The integer ops by subject; importing this package fills the table."""

from spindl.graph.ops import activation, batch_norm, contraction, layout, loss, pointwise, pooling, update

__all__ = ["activation", "batch_norm", "contraction", "layout", "loss", "pointwise", "pooling", "update"]
