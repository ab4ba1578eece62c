"""Which builder makes the tasks of a job."""

from __future__ import annotations

from collections.abc import Callable

from spindl.plan.draft import Draft
from spindl.plan.errors import PlanError
from spindl.plan.jobs import Job
from spindl.plan.rings import gather_tasks, reduce_tasks, total_tasks
from spindl.plan.task import Task
from spindl.plan.tiles.channels import channel_tasks
from spindl.plan.tiles.contraction import convolution_tasks, input_gradient_tasks, weight_gradient_tasks
from spindl.plan.tiles.flat import FLAT, FLAT_ROUNDINGS
from spindl.plan.tiles.images import (
    batch_sum_tasks,
    concat_tasks,
    dropout_tasks,
    loss_tasks,
    move_tasks,
    softmax_tasks,
)
from spindl.plan.tiles.pixels import pixel_tasks
from spindl.plan.tiles.update import largest_tasks, lars_rate_tasks, norm_tasks, squared_tasks, update_tasks
from spindl.plan.tiles.windows import max_pool_gradient_tasks, max_pool_tasks, window_sum_tasks
from spindl.plan.trees import tree_maximum_tasks, tree_norm_tasks, tree_tasks

Builder = Callable[[Draft, int, Job], list[Task]]

BUILDERS: dict[str, Builder] = {
    **FLAT,
    "max_pool": max_pool_tasks,
    "loss": loss_tasks,
    "batch_sum": batch_sum_tasks,
    "move": move_tasks,
    "sums": pixel_tasks,
    "channels": channel_tasks,
    "update": update_tasks,
    "squared_norm": norm_tasks,
    "largest": largest_tasks,
    "squared": squared_tasks,
    "total": total_tasks,
    "reduce": reduce_tasks,
    "gather": gather_tasks,
    "tree": tree_tasks,
    "tree_maximum": tree_maximum_tasks,
    "tree_norm": tree_norm_tasks,
    "lars_rate": lars_rate_tasks,
}
"""By kind of job."""
ROUNDINGS: dict[str, Builder] = {
    **FLAT_ROUNDINGS,
    "affine": pixel_tasks,
    "affine_pair": pixel_tasks,
    "max_pool_gradient": max_pool_gradient_tasks,
    "window_sum": window_sum_tasks,
    "window_sum_gradient": window_sum_tasks,
    "softmax": softmax_tasks,
    "softmax_gradient": softmax_tasks,
    "dropout": dropout_tasks,
    "concat": concat_tasks,
    "convolution": convolution_tasks,
    "convolution_input_gradient": input_gradient_tasks,
    "convolution_weight_gradient": weight_gradient_tasks,
}
"""By the op that makes the exact values."""


def build(draft: Draft, number: int, job: Job) -> list[Task]:
    """The tasks of a job. Raises PlanError if there is no builder for it."""
    kind = job.kind
    builder = BUILDERS.get(kind)
    if kind == "rounding":
        assert job.rounding is not None
        kind = draft.node(job.rounding.producer).op
        builder = pixel_tasks if job.first else ROUNDINGS.get(kind)
    if builder is None:
        node = draft.node(job.nodes[0])
        raise PlanError(f"no tasks for {kind}", node.name, "run this model on the simulator")
    return builder(draft, number, job)
