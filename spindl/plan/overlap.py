"""Exchanges beside other work: they are dealt to the phases in which they make the step longest by least.

Without this pass an exchange takes the first phase that it can (new weights: the last one), and all of it that one.
Where that is longer than what is computed there, all cores but those of the exchange wait. Here each exchange that
nothing but updates waits for has a window of phases:

    gather   new weights, around the rings: behind the phase that narrows them, before their first use
    reduce   gradients, around the rings: behind the phase that adds them up on the chip, before their update must begin
    tree     sums over chips that only updates or the host read: alike

What goes around the rings can stop behind each turn and go on in a later phase, on all chips alike. The cores of an
exchange find their part of it first in a phase, and get less else to do there, or nothing: so as many cores
communicate in a phase as have something to send. The update behind an exchange is put where it costs least, too.

How long a phase takes is foreseen from the walk through a plan without this pass: its tasks' times, dealt again. The
caller keeps the plan that is predicted to take fewer cycles, this one or the one without.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import heapify, heapreplace

from spindl.graph.graph import Graph
from spindl.plan.draft import Draft, Stored
from spindl.plan.jobs import Job, Part, dependencies, levels
from spindl.plan.network import Network, up_stream
from spindl.plan.plan import Plan
from spindl.plan.rings import BLOCK_WORDS, gather_tasks, reduce_tasks
from spindl.plan.task import Task
from spindl.plan.walk import BEGIN, END, MEET, MEET_END, Walk
from spindl.program import costs

RINGS = {"reduce": reduce_tasks, "gather": gather_tasks}
"""Kinds of jobs that go around the rings, and who makes their tasks."""
EXCHANGES = frozenset({*RINGS, "tree"})
"""Kinds of jobs that this pass may move."""
TREES = frozenset({"tree", "tree_maximum", "tree_norm"})
"""Kinds of jobs that go over the tree."""
WORDS = tuple(BLOCK_WORDS // n for n in (1, 2, 4, 8))
"""Of a block, at most: what is tried. Smaller blocks fit shorter phases; each costs some 6,000 cycles of its own."""
BEGIN_PART = 8_000
"""Cycles of a part beside its turns: code brought and brought back, chips that begin a phase one after the other."""
ROUNDS = 3
"""How often each exchange is dealt: again when the others have found their places."""


@dataclass(frozen=True)
class Work:
    """Cycles of a job's tasks in a phase.

    Attributes:
        free: of those that any core can run.
        pinned: of those that a core must run, by core.
        way: of exchanges: "ring" or "tree".
        crowded: as `pinned`, where the other way is in use in the same phase.
    """

    free: tuple[float, ...] = ()
    pinned: Mapping[int, float] = field(default_factory=dict)
    way: str = ""
    crowded: Mapping[int, float] = field(default_factory=dict)


@dataclass
class _Phase:
    """What is done in a phase, by number of the job."""

    work: dict[int, Work] = field(default_factory=dict)

    def cycles(self, cores: int, *more: Work) -> float:
        """Until the last core is done, tasks dealt as `spindl.plan.deal` does it; more: of other jobs."""
        loads, every = [0.0] * cores, (*self.work.values(), *more)
        crowded = {"ring", "tree"} <= {work.way for work in every}
        for work in every:
            for core, time in (work.crowded if crowded and work.way else work.pinned).items():
                loads[core] += time
        heapify(loads)
        for time in sorted((time for work in every for time in work.free), reverse=True):
            heapreplace(loads, loads[0] + time)
        return max(loads)


def work_of(walked: Walk, network: Network) -> dict[int, Work]:
    """The work of each job as the walk foresees it, waits for SDRAM and other chips included."""
    found: dict[int, list[tuple[int | None, float]]] = {}
    tree: dict[int, list[Task]] = {}
    for _, _, task, time in _taken(walked):
        found.setdefault(task.job, []).append((task.core, time))
        streams = [call.arguments["stream"] for call in task.calls if call.kernel == "send"]
        if any(isinstance(stream, int) and stream >= up_stream(0) for stream in streams):
            tree.setdefault(task.job, []).append(task)
    works = {job: _work(tasks) for job, tasks in found.items()}
    return works | {job: _tree_work(network, tasks, works[job]) for job, tasks in tree.items()}


def exchange_cycles(plan: Plan, walked: Walk) -> tuple[int, int]:
    """(cycles of exchanges, of these those that make the step longer), as foreseen.

    Counted are the core with most of it in each phase, and what the phase would be shorter without its exchanges,
    its other tasks dealt again.
    """
    others: list[list[tuple[int | None, float]]] = [[] for _ in plan.phases]
    exchanges: list[list[tuple[int | None, float]]] = [[] for _ in plan.phases]
    for phase, core, task, time in _taken(walked):
        if any(call.kernel == "send" for call in task.calls):
            exchanges[phase].append((core, time))
        else:
            others[phase].append((task.core, time))
    every = longer = 0.0
    for mine, rest in zip(exchanges, others, strict=True):
        if mine:
            work, without = _work(mine), _Phase({0: _work(rest)})
            every += max(work.pinned.values())
            longer += without.cycles(plan.machine.cores, work) - without.cycles(plan.machine.cores)
    return round(every), round(longer)


def _taken(walked: Walk) -> Iterator[tuple[int, int, Task, float]]:
    """Phase, core, task, and the cycles from its begin to its end, barriers aside."""
    for core, (mine, taken) in enumerate(zip(walked.steps, walked.taken, strict=True)):
        rows = zip(mine, taken.tolist(), strict=True)
        for _, each in itertools.groupby(rows, lambda row: (row[0].phase, id(row[0].placed))):
            steps = list(each)
            placed = steps[0][0].placed
            if placed is not None:
                time = sum(row[END] - row[BEGIN] - (row[MEET_END] - row[MEET]) for _, row in steps)
                yield steps[0][0].phase, core, placed.task, time


def _work(tasks: Iterable[tuple[int | None, float]]) -> Work:
    free, pinned = [], dict[int, float]()
    for core, time in tasks:
        if core is None:
            free.append(time)
        else:
            pinned[core] = pinned.get(core, 0.0) + time
    return Work(tuple(free), pinned)


@dataclass(frozen=True)
class _Exchange:
    """A job that can be cut behind each of its turns; the tree's have one.

    Attributes:
        words: of a block, at most.
        turns: how many.
        turn: the work of one.
        begin: cycles of a part beside its turns.
    """

    words: int
    turns: int
    turn: Work
    begin: float = BEGIN_PART

    def part(self, turns: int) -> Work:
        """The work of some turns."""

        def several(cycles: Mapping[int, float]) -> dict[int, float]:
            return {core: turns * each + self.begin for core, each in cycles.items()} if turns else {}

        return replace(self.turn, pinned=several(self.turn.pinned), crowded=several(self.turn.crowded))


def _exchanges(draft: Draft, job: Job, known: Work) -> list[_Exchange]:
    """How an exchange can be cut: asked of those who make its tasks; of the tree's it is known what they take."""
    if job.kind not in RINGS:
        return [_Exchange(0, 1, known, 0.0)]
    assert draft.network is not None
    found = []
    for words in WORDS:
        turns, cycles = 0, list[dict[int, float]]()
        for crowded in (False, draft.network.crossing):
            whole = replace(draft, buffers={}, blocks={}, shards={}, stored={job.nodes[0]: Stored("own", 1, 0)})
            tasks = RINGS[job.kind](whole, 0, replace(job, part=Part(0, None, words), crowded=crowded))
            turns = sum(call.kernel == "send" for call in tasks[0].calls)
            cycles.append({})
            for task in tasks:
                assert task.core is not None
                cycles[-1][task.core] = cycles[-1].get(task.core, 0.0) + task.cost / turns
        found.append(_Exchange(words, turns, Work((), cycles[0], "ring", cycles[1])))
    return found


def _tree_work(network: Network, tasks: Sequence[Task], work: Work) -> Work:
    """The work of an exchange over the tree alone in its phase, and beside rings."""
    sent = {call.arguments["block"]: call for task in tasks for call in task.calls if call.kernel == "send"}
    longer, crowded = 0.0, False
    for call in sent.values():  # a word goes up and down through all of the tree
        words, gap = call.arguments["words"], call.arguments["gap"]
        assert isinstance(words, int) and isinstance(gap, int)
        crowded = gap == costs.CROWDED_TREE
        longer += 2 * _depth(network) * words * (costs.word(costs.CROWDED_TREE, False) - costs.word(costs.GAP, False))
    slow, fast = (0.0, -longer) if crowded else (longer, 0.0)
    one, other = ({core: each + more for core, each in work.pinned.items()} for more in (fast, slow))
    return Work((), one, "tree", other if network.crossing else one)


def _depth(network: Network) -> int:
    """Of the tree: how many chips are above the deepest one."""

    def above(chip: int) -> int:
        parent = network.parents[chip]
        return 0 if parent is None else 1 + above(parent)

    return max(above(chip) for chip in range(len(network.parents)))


def with_crowded(jobs: Sequence[Job], phase_of: Sequence[int], network: Network) -> tuple[Job, ...]:
    """The jobs; exchanges that share their phase with others that go over the same links say so."""
    rings = {phase for job, phase in zip(jobs, phase_of, strict=True) if job.kind in RINGS}
    trees = {phase for job, phase in zip(jobs, phase_of, strict=True) if job.kind in TREES}
    both = rings & trees if network.crossing else set()
    return tuple(
        replace(job, crowded=True) if phase in both and job.kind in TREES | RINGS.keys() else job
        for job, phase in zip(jobs, phase_of, strict=True)
    )


@dataclass(frozen=True)
class _Step:
    """Jobs, what they need, and which of them can be moved.

    Attributes:
        jobs, phase_of, needs: in the order of the jobs.
        last: number of the last phase.
        windows: of each exchange that can be moved: its first and last phase.
        updates: jobs that wait for such exchanges, and that nothing waits for.
    """

    jobs: Sequence[Job]
    phase_of: Sequence[int]
    needs: Sequence[set[int]]
    last: int
    windows: Mapping[int, tuple[int, int]]
    updates: frozenset[int]


def beside_others(
    graph: Graph,
    homes: Mapping[int, int],
    jobs: Sequence[Job],
    phase_of: Sequence[int],
    draft: Draft,
    walked: Walk,
) -> tuple[tuple[Job, ...], list[int]]:
    """The jobs with their exchanges cut into parts, and the phase of each; in the order of phases.

    Args:
        graph, homes: what is computed.
        jobs, phase_of: with each exchange in one phase.
        draft: of a chip, with its network; nothing in it is changed.
        walked: a plan of that chip, made from these phases.
    """
    assert draft.network is not None
    step, known = _movable(graph, homes, jobs, phase_of), work_of(walked, draft.network)
    cores = draft.limits.cores
    phases = [_Phase() for _ in range(step.last + 1)]
    for number, work in known.items():
        if 0 <= number < len(jobs) and number not in step.windows and number not in step.updates:
            phases[phase_of[number]].work[number] = work
    ways = {n: _exchanges(draft, jobs[n], known.get(n, Work())) for n in step.windows}
    parts: dict[int, list[tuple[int, Part]]] = {}
    placed: dict[int, int] = {}
    for _ in range(ROUNDS):
        for number in sorted(step.windows, key=lambda n: (step.windows[n][1] - step.windows[n][0], n)):
            mine = {n for n in step.updates if number in step.needs[n]}
            for phase in phases:
                for n in (number, *mine):
                    phase.work.pop(n, None)
            parts[number] = _deal(phases, cores, step, number, ways[number])
            for update in sorted(n for n in mine if step.needs[n] & step.windows.keys() <= parts.keys()):
                ends = [parts[n][-1][0] if n in parts else phase_of[n] for n in step.needs[update]]
                work = known.get(update, Work())
                later = range(max(ends) + 1, step.last + 1)
                placed[update] = min(later, key=lambda k: phases[k].cycles(cores, work) - phases[k].cycles(cores))
                phases[placed[update]].work[update] = work
    return _with_parts(graph, homes, jobs, parts, placed)


def _movable(graph: Graph, homes: Mapping[int, int], jobs: Sequence[Job], phase_of: Sequence[int]) -> _Step:
    needs = dependencies(graph, jobs, homes)
    last = max(phase_of)
    behind: list[set[int]] = [set() for _ in jobs]
    height = [0] * len(jobs)  # how many others follow each other behind a job, at most
    for number in reversed(range(len(jobs))):
        for other in needs[number]:
            behind[other].add(number)
            height[other] = max(height[other], height[number] + 1)
    final = {n for n, job in enumerate(jobs) if job.kind == "update" and not behind[n]}
    windows = {}
    for number, job in enumerate(jobs):
        first = max((phase_of[other] + 1 for other in needs[number]), default=0)
        if job.kind == "gather":
            windows[number] = first, phase_of[number]
        elif job.kind == "reduce" or (job.kind == "tree" and behind[number] <= final):
            windows[number] = first, last - height[number]
    updates = frozenset(n for n in final if needs[n] & windows.keys())
    return _Step(jobs, phase_of, needs, last, windows, updates)


def _deal(
    phases: Sequence[_Phase], cores: int, step: _Step, number: int, ways: Sequence[_Exchange]
) -> list[tuple[int, Part]]:
    """The parts of an exchange, by phase, cut in the way that costs least; what is done in the phases is completed."""
    first, stop = step.windows[number]
    late = step.jobs[number].kind == "gather"
    window = phases[first : stop + 1]
    dealt = [_turns(window, cores, exchange, late) for exchange in ways]
    longer, counts = min(dealt, key=lambda each: each[0])
    exchange = ways[dealt.index((longer, counts))]
    parts, turn = [], 0
    for phase, count in enumerate(counts, first):
        if count:
            phases[phase].work[number] = exchange.part(count)
            parts.append((phase, Part(turn, turn + count, exchange.words)))
            turn += count
    return parts


def _turns(window: Sequence[_Phase], cores: int, exchange: _Exchange, late: bool) -> tuple[float, list[int]]:
    """(how much longer some phases get, an exchange's turns in each), each turn where it costs least.

    Among equals a turn goes to the first phase, or with `late` to the last.
    """
    counts = [0] * len(window)
    alone = [phase.cycles(cores) for phase in window]
    now, then = list(alone), [phase.cycles(cores, exchange.part(1)) for phase in window]
    order = range(len(window))[:: -1 if late else 1]
    for _ in range(exchange.turns):
        k = min(order, key=lambda k: then[k] - now[k])
        counts[k] += 1
        now[k], then[k] = then[k], window[k].cycles(cores, exchange.part(counts[k] + 1))
    return sum(now) - sum(alone), counts


def _with_parts(
    graph: Graph,
    homes: Mapping[int, int],
    jobs: Sequence[Job],
    parts: Mapping[int, Sequence[tuple[int, Part]]],
    updates: Mapping[int, int],
) -> tuple[tuple[Job, ...], list[int]]:
    """The jobs in the order of their phases, exchanges in parts, updates where they were put."""
    result: list[Job] = []
    at_least: dict[int, int] = {}
    for number, job in enumerate(jobs):
        if number in updates:
            at_least[len(result)] = updates[number]
        if number not in parts:
            result.append(job)
        for phase, part in parts.get(number, ()):
            at_least[len(result)] = phase
            result.append(replace(job, part=part) if job.kind in RINGS else job)
    phase_of = levels(graph, result, homes, at_least)
    order = sorted(range(len(result)), key=lambda n: (phase_of[n], n))
    return tuple(result[n] for n in order), [phase_of[n] for n in order]
