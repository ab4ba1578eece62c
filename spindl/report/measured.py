"""Step counters of cores, and the Plan that they walked through -> the same times as a prediction's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spindl.plan.deal import Placed
from spindl.plan.plan import Plan
from spindl.plan.task import Call
from spindl.report.errors import ReportError
from spindl.report.model import CoreTimeline, Origin, Phase, Slice, StepReport, Work
from spindl.report.planned import Times, calls_of, labels, step_report

_WAITS: tuple[tuple[str, Work, str], ...] = (
    ("barrier", "wait_barrier", "waiting at the barrier"),
    ("dma", "wait_dma", "waiting for DMA"),
)


def measured_report(
    plan: Plan, counters: Sequence[Sequence[Mapping[str, int]]], executor: str, graph_name: str = "train"
) -> StepReport:
    """A step as cores counted it.

    Args:
        plan: that they walked through.
        counters: of each core, of each step of its schedule: cycles in "kernel", asleep for "dma" and at a "barrier",
            and in "total" (spindl.program.core.STEP_COUNTERS).
        executor: "emu" or "board".
        graph_name: of what was run.

    Raises:
        ReportError: the counters are not those of this plan.
    """
    return step_report(plan, graph_name, Origin("measured", executor), measured_times(plan, counters), _NOTES)


_NOTES = (
    "Each core counted its own cycles per step of its schedule; the order within a step (barrier, transfers, kernel) "
    "is the schedule's, and what the runtime needed itself follows the kernel.",
)


def measured_times(plan: Plan, counters: Sequence[Sequence[Mapping[str, int]]]) -> Times:
    """Slices of each core; see `measured_report`. A phase ends when its last core has come to the next barrier."""
    named = labels(plan.graph)
    if len(counters) != plan.machine.cores:
        raise ReportError(f"counters of {len(counters)} cores for a plan of {plan.machine.cores}", "counters")
    lines, ends = [], [0.0] * len(plan.phases)
    for core, steps in enumerate(counters):
        calls = calls_of(plan, core)
        expected = sum(max(1, len(phase)) for phase in calls)
        if len(steps) != expected:
            raise ReportError(
                f"core {core} counted {len(steps)} steps, its schedule has {expected}",
                "counters",
                "use the plan it ran",
            )
        now, at = 0.0, 0
        slices: list[Slice] = []
        for number, phase in enumerate(calls):
            calls_or_none: list[tuple[Placed, Call] | None] = [*phase] or [None]
            for each in calls_or_none:
                count = steps[at]
                at += 1
                layer, stage, work = named.of(*each) if each else ("", "other", "kernel")
                kernel = each[1].kernel if each else ""
                start = now
                for name, kind, title in _WAITS:
                    if count[name]:
                        where = "" if kind == "wait_barrier" else layer
                        slices.append(Slice(now, now + count[name], kind, title, where, stage if where else "other"))
                        now += count[name]
                if count["kernel"]:
                    slices.append(Slice(now, now + count["kernel"], work, kernel, layer, stage))
                now += count["kernel"]
                rest = start + count["total"] - now
                if rest > 0:
                    slices.append(Slice(now, now + rest, "runtime", "runtime", layer, stage))
                    now += rest
            ends[number] = max(ends[number], now)
        lines.append(CoreTimeline((0, 0), core, tuple(slices)))
    starts = [0.0, *ends[:-1]]
    phases = tuple(Phase(p.name, a, b) for p, a, b in zip(plan.phases, starts, ends, strict=True))
    return Times(phases, tuple(lines))
