"""What is planned once for all chips that share a batch: everything but the tasks that know which chip they are on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spindl.plan.draft import Buffer, Draft, Rule, Stored
from spindl.plan.jobs import Job
from spindl.plan.memory import Life, place
from spindl.plan.task import Task
from spindl.plan.tiles.build import build

OF_A_CHIP = frozenset({"narrow", "update", "squared_norm", "largest", "squared"}) | frozenset(
    {"reduce", "gather", "tree", "tree_maximum", "tree_norm"}
)
"""Kinds of jobs whose tasks differ from chip to chip."""


@dataclass(frozen=True)
class Built:
    """Tasks of a job, and what building them has added to the draft."""

    tasks: Sequence[Task]
    buffers: Mapping[str, Buffer]
    stored: Mapping[int, Stored]
    rules: Sequence[Rule]
    numbers: Mapping[tuple[str, int], int]
    words: Mapping[int, int]
    overflow: Mapping[int, int]
    halvings: Sequence[Any]


@dataclass
class Known:
    """What the chips planned before have left for the others: jobs by number, places in SDRAM, cycles of kernels."""

    jobs: dict[int, Built] = field(default_factory=dict)
    places: dict[tuple[tuple[str, int, Life], ...], tuple[dict[str, int], int]] = field(default_factory=dict)
    cycles: dict[tuple[object, ...], int] = field(default_factory=dict)


def tasks_of(draft: Draft, number: int, job: Job, known: Known) -> Sequence[Task]:
    """The tasks of a job, built here or for a chip before. Raises PlanError, TooLarge."""
    if job.kind in OF_A_CHIP:
        return build(draft, number, job)
    if number not in known.jobs:
        before = draft.copy()
        tasks = build(draft, number, job)
        known.jobs[number] = Built(
            tasks,
            _added(before.buffers, draft.buffers),
            _added(before.stored, draft.stored),
            draft.rules[len(before.rules) :],
            _added(before.numbers, draft.numbers),
            _added(before.words, draft.words),
            _added(before.overflow, draft.overflow),
            draft.halvings[len(before.halvings) :],
        )
        return tasks
    built = known.jobs[number]
    draft.buffers |= built.buffers
    draft.stored |= built.stored
    draft.rules += built.rules
    draft.numbers |= built.numbers
    draft.words |= built.words
    draft.overflow |= built.overflow
    draft.halvings += built.halvings
    return built.tasks


def _added(before: Mapping[Any, Any], after: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in after.items() if key not in before or before[key] is not value}


def placed(buffers: Mapping[str, Buffer], life: Mapping[str, Life], known: Known) -> tuple[dict[str, int], int]:
    """Addresses in SDRAM and bytes in all: the same for chips with the same buffers."""
    key = tuple((name, buffers[name].size, span) for name, span in life.items())
    if key not in known.places:
        known.places[key] = place(buffers, life)
    return known.places[key]
