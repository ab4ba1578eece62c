"""Tasks of the optimiser: each parameter's update over ranges of its elements, and LARS's norms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from spindl.plan.draft import OVERFLOW, WORDS, Draft, Stored
from spindl.plan.errors import PlanError
from spindl.plan.jobs import Job
from spindl.plan.layout import element_bytes
from spindl.plan.task import At, Call, Move, Regions, Task, pieces, shares, store
from spindl.plan.tiles.channels import load_part_sums
from spindl.plan.trees import SITE_BYTES

LEAST, PIECE, CYCLES = 64, 512, 90
"""Elements that are worth a core, elements of a step, rough cycles of an element."""


@dataclass(frozen=True)
class Halving:
    """What `halve` needs if a weight tensor overflows: nodes of master, rate and site, and the buffer of U."""

    master: int
    rate: int
    site: int
    change: str


@dataclass(frozen=True)
class _Descent:
    """The nodes of one parameter's step, as the op table names them; None where it has no such node."""

    descend: int
    master: int
    rate: int
    change: int
    velocity: int | None
    new_velocity: int | None
    factor: int | None
    nesterov: bool
    step: int
    site: int


def _descent(draft: Draft, descend: int) -> _Descent:
    node = draft.node
    master, change, rate = node(descend).inputs
    total, nesterov = node(change).inputs[0], False
    new_velocity = None
    if node(total).op == "momentum" and node(node(total).inputs[0]).op == "saturate32":
        nesterov, new_velocity = True, node(total).inputs[0]
        total = node(new_velocity).inputs[0]
    if node(total).op == "momentum":
        velocity, step, factor = node(total).inputs
        new_velocity = new_velocity if nesterov else change
        site = _site(draft, step)
        return _Descent(descend, master, rate, change, velocity, new_velocity, factor, nesterov, step, site)
    return _Descent(descend, master, rate, change, None, None, None, False, total, _site(draft, total))


def _site(draft: Draft, step: int) -> int:
    """The state node of the site that a direction is formed at."""
    if draft.node(step).op not in ("direction", "scale_direction"):
        raise PlanError("an update of another form", draft.node(step).name, "run this model on the simulator")
    return draft.node(step).inputs[2]


def update_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """direction, momentum, saturate32, scale_direction, descend: one after the other on each piece.

    A master's elements and its gradients lie in the same order, whatever their shapes.
    """
    updates = {draft.homes[i]: name for name, i in draft.graph.updates.items()}
    descends = [i for i in job.nodes if draft.node(i).op == "descend"]
    steps = [_descent(draft, i) for i in descends]
    shard = next((draft.shards[i] for i in job.reads if i in draft.shards), None)
    if shard is not None:  # a chip that has a shard of a master has the same of all that moves it
        draft.shards |= dict.fromkeys(job.nodes, shard)
    total = draft.count(job.nodes[0])
    for index in job.writes:
        if index in updates:
            draft.stored[index] = draft.stored_state(updates[index])
        elif draft.node(index).op not in ("momentum", "saturate32"):
            draft.keep(index)
    for step in steps:
        if not draft.node(step.descend).attributes["fixed"]:
            kept = step.change if step.nesterov or step.velocity is None else step.new_velocity
            assert kept is not None
            if kept not in draft.stored:
                draft.keep(kept)
            draft.overflow_word(step.master)
            draft.halvings.append(Halving(step.master, step.rate, step.site, draft.stored[kept].buffer))
    parts = max((draft.place(i).parts for i in job.reads), default=1)
    piece = max(8, min(PIECE, draft.limits.tile // 2 // (56 + 8 * parts) // 8 * 8))
    tasks = []
    for start, stop in shares(total, draft.limits.cores, 8, LEAST):
        regions, calls = Regions(), list[Call]()
        for turn, (first, last) in enumerate(pieces(start, stop, piece)):
            calls += _Piece(draft, job, regions, turn % 2, first, last, total).calls(steps)
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * CYCLES))
    return tasks


class _Piece:
    """The calls on one range of elements; loads join the call that comes next."""

    def __init__(self, draft: Draft, job: Job, regions: Regions, side: int, first: int, last: int, total: int) -> None:
        self.draft, self.job, self.regions, self.side = draft, job, regions, side
        self.first, self.last, self.total = first, last, total
        self.count = last - first
        self.places: dict[int, At] = {}
        self.loads: list[Move] = []
        self.result: list[Call] = []

    def scalar(self, index: int) -> At:
        """A scalar's place."""
        move, at = self.regions.load(f"s{index}.{self.side}", self.draft.place(index).buffer, 0, 8)
        if index not in self.places:
            self.loads.append(move)
            self.places[index] = at
        return at

    def operand(self, index: int) -> At:
        """A tensor's place, after it has been loaded or its parts have been added."""
        home = self.draft.homes[index]
        if home not in self.places:
            stored, size = self.draft.place(home), element_bytes(self.draft.node(home).format)
            name = f"v{home}.{self.side}"
            if stored.parts > 1:
                call, self.places[home] = load_part_sums(
                    self.draft, self.regions, name, stored, self.job.nodes[0], self.first, self.count, size, size
                )
                self.result.append(call)
            else:
                move, self.places[home] = self.regions.load(name, stored.buffer, self.first * size, self.count * size)
                self.loads.append(move)
        return self.places[home]

    def save(self, index: int, at: At, size: int) -> list[Move]:
        """A store of a node's range, if it has a buffer."""
        if index not in self.draft.stored:
            return []
        buffer = self.draft.stored[index].buffer
        return [store(buffer, self.first * size, self.count * size, at, self.total * size)]

    def emit(self, kernel: str, index: int, words: dict[str, int | At], stores: list[Move]) -> None:
        """One call with all loads that wait."""
        self.result.append(Call(kernel, index, {**words, "count": self.count}, tuple(self.loads), tuple(stores)))
        self.loads = []

    def calls(self, steps: list[_Descent]) -> list[Call]:
        """All calls of the job on this range."""
        fused = {step.step for step in steps if self._is_fused(step)}
        for index in self.job.nodes:
            op = self.draft.node(index).op
            if op == "direction" and index not in fused:
                self._direction(index)
            elif op == "scale_direction":
                step, rate, site = self.draft.node(index).inputs
                at = self.regions.at(f"v{index}.{self.side}", 8 * self.count)
                words: dict[str, int | At] = {"step": self.operand(step), "rate": self.scalar(rate), "y": at}
                words |= {"site": self.draft.site(site), "step_exponent": self.draft.exponent(step)}
                self.places[index] = at
                self.emit("scale_direction", index, words, self.save(index, at, 8))
        for descent in steps:
            self._update(descent)
        return self.result

    def _is_fused(self, step: _Descent) -> bool:
        """Whether the kernel `update` forms the direction itself: one gradient, and nobody else wants it."""
        node = self.draft.node(step.step)
        return node.op == "direction" and len(node.inputs) == 4 and step.step not in self.job.writes

    def _direction(self, index: int) -> None:
        node = self.draft.node(index)
        master, decay, site, *gradients = node.inputs
        none = self.draft.node(decay).op == "constant"
        at = self.regions.at(f"v{index}.{self.side}", 8 * self.count)
        watched = self.draft.watched_by(index) == site and not any(
            self.draft.node(user).op in ("momentum", "saturate32") for user in self.draft.users[index]
        )
        for k, gradient in enumerate(gradients):
            home = self.draft.homes[gradient]
            words: dict[str, int | At] = {"master": 0, "decay": 0, "gradient": self.operand(gradient), "y": at}
            words |= {"gradient_bytes": element_bytes(self.draft.node(home).format), "first": int(k == 0)}
            words |= {"site": self.draft.site(site), "master_exponent": self.draft.exponent(master)}
            words |= {"gradient_exponent": self.draft.exponent(gradient)}
            if k == 0 and not none:
                words |= {"master": self.operand(master), "decay": self.scalar(decay)}
            end = k == len(gradients) - 1
            words["watch"] = int(watched and end)
            self.emit("direction", index, words, self.save(index, at, 8) if end else [])
        self.places[index] = at

    def _update(self, step: _Descent) -> None:
        draft, fused = self.draft, self._is_fused(step)
        fixed = bool(draft.node(step.descend).attributes["fixed"])
        size = 4 * self.count
        words: dict[str, int | At] = {"velocity": 0, "factor": 0, "decay": 0, "change": 0}
        if fused:
            _, decay, _, gradient = draft.node(step.step).inputs
            words |= {"gradient": self.operand(gradient), "decay": self.scalar(decay), "ready": 0}
            words["gradient_bytes"] = element_bytes(draft.node(draft.homes[gradient]).format)
            words["gradient_exponent"] = draft.exponent(gradient)
        else:
            words |= {"gradient": self.operand(step.step), "ready": 1, "gradient_bytes": 8}
            words["gradient_exponent"] = draft.exponent(step.step)
        master = self.operand(step.master)
        words |= {"master": master, "rate": self.scalar(step.rate), "site": draft.site(step.site)}
        words |= {"y": master, "overflow": OVERFLOW, "fixed": int(fixed), "nesterov": int(step.nesterov)}
        words |= {"master_exponent": draft.exponent(step.master), "velocity_exponent": 0}
        if not fixed:
            words["overflow"] = OVERFLOW.plus(4 * draft.overflow_word(step.master))
        stores = self.save(step.descend, master, 4)
        if step.velocity is not None:
            assert step.factor is not None and step.new_velocity is not None
            velocity = self.operand(step.velocity)
            words |= {"velocity": velocity, "factor": self.scalar(step.factor)}
            words["velocity_exponent"] = draft.exponent(step.velocity)
            stores += self.save(step.new_velocity, velocity, 4)
        if step.change in draft.stored and step.change != step.new_velocity:
            words["change"] = change = self.regions.at(f"u{step.change}.{self.side}", size)
            stores += self.save(step.change, change, 4)
        self.emit("update", step.descend, words, stores)


def halving_tasks(draft: Draft, number: int, halving: Halving) -> list[Task]:
    """After all updates: W and its exponent once more, where some element of the tensor overflowed."""
    total = draft.count(halving.master)
    master = draft.place(halving.master).buffer
    condition = WORDS.plus(4 * (len(draft.words) + draft.overflow_word(halving.master)))
    tasks = []
    for start, stop in shares(total, draft.limits.cores, 8, LEAST):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, min(2 * PIECE, draft.limits.tile // 32 // 8 * 8))):
            side, size = turn % 2, 4 * (last - first)
            load_w, at_w = regions.load(f"w{side}", master, 4 * first, size)
            load_u, at_u = regions.load(f"u{side}", halving.change, 4 * first, size)
            load_r, at_r = regions.load(f"rate{side}", draft.place(halving.rate).buffer, 0, 8)
            words: dict[str, int | At] = {"master": at_w, "step": at_u, "rate": at_r, "y": at_w, "count": last - first}
            words |= {"master_exponent": draft.exponent(halving.master), "site": draft.site(halving.site)}
            save = store(master, 4 * first, size, at_w, 4 * total)
            calls.append(Call("halve", halving.master, words, (load_w, load_u, load_r), (save,), condition))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=64))
    return tasks


# --- LARS ------------------------------------------------------------------------------------------------------------


def norm_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The squared norm of a tensor and the bits of its largest element: one core, two passes.

    The result's buffer holds the norm (int64) and, behind it, the bits (int32).
    """
    index = job.nodes[0]
    stored = draft.norm(index)
    regions = Regions()
    largest, norm = regions.at("largest", 8), regions.at("norm", 8)
    calls = _passes(draft, regions, index, "largest_bits", {"largest": largest})
    calls += _passes(draft, regions, index, "squared_norm", {"largest": largest, "y": norm})
    calls[-1] = replace(calls[-1], stores=(Move(stored, 0, norm, 8), Move(stored, 8, largest, 4)))
    return [Task(number, tuple(calls), regions.sizes, cost=draft.count(_normed(draft, index)) * 30)]


def largest_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The bits of the largest element of a chip's shard, as the extent of a site: a tree finds the largest extent."""
    index = job.nodes[0]
    site = draft.buffer(f"largest/{index}", SITE_BYTES)
    draft.stored[index] = Stored(site, 1, SITE_BYTES)
    regions = Regions()
    largest, at = regions.at("largest", 8), regions.at("site", SITE_BYTES)
    calls = [Call("", index, loads=(Move(_zero(draft), 0, at, SITE_BYTES),))]
    calls += _passes(draft, regions, index, "largest_bits", {"largest": largest})
    calls.append(_halfword(index, largest, at.plus(_EXTENT), (Move(site, 0, at, SITE_BYTES),)))
    return [Task(number, tuple(calls), regions.sizes, cost=draft.count(_normed(draft, index)) * 12)]


def squared_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """The squared norm of a chip's shard, scaled by the largest element of all shards."""
    index = job.nodes[0]
    site, stored = draft.stored[index].buffer, draft.norm(index)
    regions = Regions()
    load, at = regions.load("site", site, 0, SITE_BYTES)
    largest, norm = regions.at("largest", 8), regions.at("norm", 8)
    calls = [_halfword(index, at.plus(_EXTENT), largest, (), (load, Move(_zero(draft), 0, largest, SITE_BYTES)))]
    calls += _passes(draft, regions, index, "squared_norm", {"largest": largest, "y": norm})
    calls[-1] = replace(calls[-1], stores=(Move(stored, 0, norm, 8), Move(stored, 8, largest, 4)))
    return [Task(number, tuple(calls), regions.sizes, cost=draft.count(_normed(draft, index)) * 18)]


_EXTENT = 2  # bytes from the start of a site to its extent


def _zero(draft: Draft) -> str:
    return "zero" if "zero" in draft.buffers else draft.buffer("zero", SITE_BYTES, bytes(SITE_BYTES))


def _halfword(node: int, x: At, y: At, stores: tuple[Move, ...], loads: tuple[Move, ...] = ()) -> Call:
    """Copies two bytes."""
    words: dict[str, int | At] = {"x": x, "y": y, "bytes": 2}
    words |= {f"count_{axis}": 1 for axis in range(4)}
    words |= {f"{side}_stride_{axis}": 2 for side in "xy" for axis in range(4)}
    return Call("move", node, words, loads, stores)


def _normed(draft: Draft, index: int) -> int:
    """The value whose norm a node is."""
    return draft.homes[draft.node(index).inputs[0]]


def _passes(draft: Draft, regions: Regions, index: int, kernel: str, words: dict[str, int | At]) -> list[Call]:
    """A kernel over all elements that this chip has of a value."""
    source = _normed(draft, index)
    size, calls = element_bytes(draft.node(source).format), []
    for turn, (first, last) in enumerate(pieces(0, draft.count(source), min(1024, draft.limits.tile // 32 // 8 * 8))):
        load, at = regions.load(f"x{turn % 2}", draft.place(source).buffer, first * size, (last - first) * size)
        each = {**words, "x": at, "x_bytes": size, "first": int(turn == 0), "count": last - first}
        calls.append(Call(kernel, index, each, (load,)))
    return calls


def lars_rate_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """LARS's rate of one parameter, from its norms."""
    index = job.nodes[0]
    node = draft.node(index)
    a: Any = node.attributes
    weight, gradient, rate, decay = node.inputs
    regions, loads = Regions(), list[Move]()
    words: dict[str, int | At] = {"batch": int(a["batch"])}
    for name, norm in (("weight", weight), ("gradient", gradient)):
        move, at = regions.load(name, draft.place(norm).buffer, 0, 12)
        loads.append(move)
        words |= {f"{name}_norm": at, f"{name}_largest": at.plus(8)}
        words[f"{name}_exponent"] = draft.exponent(draft.node(norm).inputs[0])
    for name, scalar in (("rate", rate), ("decay", decay)):
        move, words[name] = regions.load(name, draft.place(scalar).buffer, 0, 8)
        loads.append(move)
    for name in ("eta", "eps"):
        words |= {f"{name}_mantissa": int(a[name][0]), f"{name}_exponent": int(a[name][1])}
    words["y"] = at_y = regions.at("y", 8)
    save = store(draft.keep(index).buffer, 0, 8, at_y, 8)
    return [Task(number, (Call("lars_rate", index, words, tuple(loads), (save,)),), regions.sizes, cost=5000)]


Builder = Callable[[Draft, int, Job], list[Task]]
