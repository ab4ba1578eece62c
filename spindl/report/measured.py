"""Step counters of cores, and the Plan that they walked through -> the same times as a prediction's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from spindl.plan.deal import Placed
from spindl.plan.plan import Plan
from spindl.plan.task import Call
from spindl.plan.walk import core_steps
from spindl.report.errors import ReportError
from spindl.report.model import CoreTimeline, Origin, Phase, Slice, Stage, StepReport, Work
from spindl.report.planned import Labels, Times, calls_of, labels, step_report

XY = tuple[int, int]
CoreSteps = Sequence[Mapping[str, int]]


def measured_report(
    plans: Sequence[Plan], counters: Mapping[XY, Sequence[CoreSteps]], executor: str, graph_name: str = "train"
) -> StepReport:
    """A step as cores counted it.

    Args:
        plans: of each chip, in the order of `counters`.
        counters: of each chip, each core, each step of its schedule: cycles in "kernel", asleep for "dma" and at a
            "barrier", and in "total" (spindl.program.core.STEP_COUNTERS).
        executor: "emu" or "board".
        graph_name: of what was run.

    Raises:
        ReportError: the counters are not those of these plans.
    """
    return step_report(plans[0], graph_name, Origin("measured", executor), measured_times(plans, counters), _NOTES)


_NOTES = (
    "Each core counted its own cycles per step of its schedule; the order within a step (barrier, transfers, kernel) "
    "is the schedule's, and what the runtime needed itself follows the kernel.",
)


def measured_times(plans: Sequence[Plan], counters: Mapping[XY, Sequence[CoreSteps]]) -> Times:
    """Slices of each core; see `measured_report`. A phase ends when its last core has come to the next barrier."""
    plan = plans[0]
    lines, ends = [], [0.0] * len(plan.phases)
    if not len(counters) == len(plans) == plan.machine.chips:
        raise ReportError(f"counters of {len(counters)} chips for a plan of {plan.machine.chips}", "counters")
    named = labels(plan.graph)
    for own_plan, (chip, cores) in zip(plans, counters.items(), strict=True):
        if len(cores) != plan.machine.cores:
            raise ReportError(f"counters of {len(cores)} cores for a plan of {plan.machine.cores}", f"chip {chip}")
        starts = _starts(own_plan, cores)
        for core, steps in enumerate(cores):
            line, own = _core(own_plan, named, chip, core, steps, starts[core])
            lines.append(line)
            ends = [max(pair) for pair in zip(ends, own, strict=True)]
    phases = tuple(Phase(p.name, a, b) for p, a, b in zip(plan.phases, [0.0, *ends[:-1]], ends, strict=True))
    return Times(phases, tuple(lines))


def _starts(plan: Plan, cores: Sequence[CoreSteps]) -> list[float]:
    """When each core of a chip began its step, after the first: barriers end for all at the same moment."""
    released = []
    for core, steps in enumerate(cores):
        now, mine = 0.0, []
        for step, count in zip(core_steps(plan, core), steps, strict=False):
            if step.barrier:
                mine.append(now + count["barrier"])
            now += count["total"]
        released.append(mine)
    late = [median([a - b for a, b in zip(released[0], mine, strict=False)] or [0.0]) for mine in released]
    return [each - min(late) for each in late]


def _core(
    plan: Plan, named: Labels, chip: XY, core: int, steps: CoreSteps, start: float
) -> tuple[CoreTimeline, list[float]]:
    """A core's time line, and when its phases ended."""
    calls = calls_of(plan, core)
    expected = sum(max(1, len(phase)) for phase in calls)
    if len(steps) != expected:
        raise ReportError(
            f"core {core} counted {len(steps)} steps, its schedule has {expected}", "counters", "use the plan it ran"
        )
    counts, now = iter(steps), start
    ends: list[float] = []
    slices = [Slice(0.0, start, "wait_barrier", "not begun")] if start else []
    for phase in calls:
        calls_or_none: list[tuple[Placed, Call] | None] = [*phase] or [None]
        for each in calls_or_none:
            count = next(counts)
            layer, stage, work = named.of(*each) if each else ("", "other", "kernel")
            end = now + count["total"]
            waited = min(count["dma"], count["total"] - count["kernel"] - count["barrier"])  # the first: also before it
            spans: list[tuple[int, Work, str]] = [
                (count["barrier"], "wait_barrier", "waiting at the barrier"),
                (waited, "wait_dma", "waiting for DMA"),
                (count["kernel"], work, each[1].kernel if each else ""),
            ]
            spans.append((count["total"] - sum(span[0] for span in spans), "runtime", "runtime"))
            for length, kind, title in spans:
                if length > 0:
                    where: tuple[str, Stage] = ("", "other") if kind == "wait_barrier" else (layer, stage)
                    slices.append(Slice(now, now + length, kind, title, *where))
                    now += length
            now = max(now, end)
        ends.append(now)
    return CoreTimeline(chip, core, tuple(slices)), ends
