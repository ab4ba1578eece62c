"""Plan: what each core of a machine does in a training step, and where everything lies."""

from spindl.plan.emit import emit
from spindl.plan.errors import PlanError, TooLarge
from spindl.plan.machine import machine_of, nearest
from spindl.plan.passes import plan_chips, plan_step
from spindl.plan.plan import Machine, Phase, Plan

__all__ = [
    "Machine",
    "Phase",
    "Plan",
    "PlanError",
    "TooLarge",
    "emit",
    "machine_of",
    "nearest",
    "plan_chips",
    "plan_step",
]
