"""Tasks on elements that do not see each other: any cut will do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from spindl.plan.draft import Draft
from spindl.plan.jobs import Job
from spindl.plan.layout import element_bytes
from spindl.plan.task import At, Call, Regions, Task, pieces, shares, store

LEAST = 256
"""Elements that are worth a core of their own."""
PIECE = 4096
"""Elements of a step: large enough that the step costs little, small enough that loads hide behind kernels."""
CYCLES = 16
"""Rough cycles of an element, for dealing."""


def flat_tasks(
    draft: Draft,
    number: int,
    node: int,
    kernel: str,
    operands: Mapping[str, int],
    result: tuple[str, int],
    arguments: Mapping[str, int],
    *,
    count: str = "count",
    in_place: str = "",
    shard: tuple[int, int] | None = None,
) -> list[Task]:
    """One kernel over all elements of some values of one shape.

    Args:
        draft: gains the result's buffer.
        number: of the job.
        node: for reports.
        kernel: its name.
        operands: argument name -> node.
        result: argument name, node.
        arguments: the other arguments.
        count: name of the argument that counts elements.
        in_place: operand whose place the result takes, of the same size.
        shard: the elements of the result that there are operands for; None: all.
    """
    name, target = result
    stored = draft.keep(target)
    whole = prod(draft.node(target).shape)
    begin, end = shard or (0, whole)
    sizes = {key: element_bytes(draft.node(i).format) for key, i in operands.items()}
    size = element_bytes(draft.node(target).format)
    room = draft.limits.tile // 4 // (sum(sizes.values()) + (0 if in_place else size)) // 8 * 8
    tasks = []
    for start, stop in shares(end - begin, draft.limits.cores, 8, LEAST):
        regions, calls = Regions(), []
        for turn, (first, last) in enumerate(pieces(start, stop, min(PIECE, room))):
            side, loads, words = turn % 2, [], dict[str, int | At](arguments)
            for key, i in operands.items():
                move, at = regions.load(
                    f"{key}{side}", draft.place(i).buffer, first * sizes[key], (last - first) * sizes[key]
                )
                loads.append(move)
                words[key] = at
            at = words[in_place] if in_place else regions.at(f"{name}{side}", (last - first) * size + 8)  # type: ignore[assignment]
            assert isinstance(at, At)
            words |= {name: at, count: last - first}
            save = store(stored.buffer, (begin + first) * size, (last - first) * size, at, whole * size)
            calls.append(Call(kernel, node, words, tuple(loads), (save,)))
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=(stop - start) * CYCLES))
    return tasks


def rounding_words(draft: Draft, job: Job) -> dict[str, int]:
    """`site`, `bits`, `activation`, `ties` of a job's rounding."""
    r = job.rounding
    if r is None:  # nothing is rounded
        return {"site": 0, "bits": 16, "activation": 0, "ties": 0}
    node = draft.node(r.requantise)
    return {
        "site": draft.site(node.inputs[1]),
        "bits": int(node.attributes["bits"]),
        "activation": r.activation,
        "ties": int(node.attributes.get("ties") == "even"),
    }


def _narrow(draft: Draft, number: int, job: Job) -> list[Task]:
    index = job.nodes[0]
    node = draft.node(index)
    arguments = {"bits": int(node.attributes["bits"])}
    (master,) = node.inputs
    shard = draft.shards.get(master)
    return flat_tasks(draft, number, index, "narrow", {"x": master}, ("y", index), arguments, shard=shard)


def _relu(draft: Draft, number: int, job: Job) -> list[Task]:
    index = job.nodes[0]
    node = draft.node(index)
    arguments = {"activation": 2 if node.op == "relu6" else 1, "x_exponent": draft.exponent(node.inputs[0])}
    return flat_tasks(draft, number, index, "relu", {"x": node.inputs[0]}, ("y", index), arguments, in_place="x")


def _relu_gradient(draft: Draft, number: int, job: Job) -> list[Task]:
    index = job.nodes[0]
    node = draft.node(index)
    dy, y = node.inputs
    arguments = {"activation": 2 if node.op == "relu6_gradient" else 1, "y_exponent": draft.exponent(y)}
    operands = {"dy": dy, "y": y}
    return flat_tasks(draft, number, index, "relu_gradient", operands, ("dx", index), arguments, in_place="dy")


def add_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """A rounded sum of two values."""
    assert job.rounding is not None
    x, y = draft.node(job.rounding.producer).inputs
    arguments = {"x_exponent": draft.exponent(x), "y_exponent": draft.exponent(y), **rounding_words(draft, job)}
    target = job.rounding.requantise
    in_place = "x" if draft.homes[x] != draft.homes[y] else ""
    return flat_tasks(draft, number, target, "add", {"x": x, "y": y}, ("z", target), arguments, in_place=in_place)


def features_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Rounding of a value that comes in 32 or 64 bits: the features of an input."""
    assert job.rounding is not None
    x, target = job.rounding.producer, job.rounding.requantise
    size, total = element_bytes(draft.node(x).format), prod(draft.node(x).shape)
    arguments = {"x_bytes": size, "rows": 1, "x_pitch": 0, "y_pitch": 0, **rounding_words(draft, job)}
    arguments |= {"x_exponent": draft.exponent(x), "wide_exponent": draft.exponent(x)}
    assert total < 1 << 32
    return flat_tasks(draft, number, target, "requantise", {"x": x}, ("y", target), arguments, count="columns")


def sigmoid_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Sigmoid and tanh."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    arguments = {"hyperbolic": int(node.op == "tanh"), "x_exponent": draft.exponent(node.inputs[0])}
    arguments |= rounding_words(draft, job)
    return flat_tasks(draft, number, target, "sigmoid", {"x": node.inputs[0]}, ("y", target), arguments, in_place="x")


def sigmoid_gradient_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """Gradients of sigmoid and tanh."""
    assert job.rounding is not None
    node, target = draft.node(job.rounding.producer), job.rounding.requantise
    dy, y = node.inputs
    arguments = {"hyperbolic": int(node.op == "tanh_gradient"), "dy_exponent": draft.exponent(dy)}
    arguments |= {"y_exponent": draft.exponent(y), **rounding_words(draft, job)}
    return flat_tasks(
        draft, number, target, "sigmoid_gradient", {"dy": dy, "y": y}, ("dx", target), arguments, in_place="dy"
    )


FLAT: dict[str, Callable[[Draft, int, Job], list[Task]]] = {
    "narrow": _narrow,
    "relu": _relu,
    "relu6": _relu,
    "relu_gradient": _relu_gradient,
    "relu6_gradient": _relu_gradient,
}
"""Builders by kind of job."""
FLAT_ROUNDINGS: dict[str, Callable[[Draft, int, Job], list[Task]]] = {
    "add": add_tasks,
    "input": features_tasks,
    "sigmoid": sigmoid_tasks,
    "tanh": sigmoid_tasks,
    "sigmoid_gradient": sigmoid_gradient_tasks,
    "tanh_gradient": sigmoid_gradient_tasks,
}
"""Builders of roundings by producer."""
