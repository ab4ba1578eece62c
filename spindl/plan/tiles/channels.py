"""Tasks of BatchNorm's numbers per channel: a whole chain of kernels over a range of channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spindl.graph.graph import Node
from spindl.plan.draft import Draft, Stored
from spindl.plan.jobs import Job, operands
from spindl.plan.layout import element_bytes
from spindl.plan.task import At, Call, Move, Regions, Task, shares, store

LEAST = 2
"""Channels that are worth a core of their own."""
CYCLES = 1500
"""Rough cycles of one kernel and channel, for dealing."""

_NAMES: Mapping[str, tuple[str, ...]] = {
    "inverse_deviation": ("s1", "s2"),
    "running_inverse_deviation": ("variance",),
    "batch_norm_scale": ("gamma", "inverse"),
    "batch_norm_offset": ("beta", "scale", "s1"),
    "running_offset": ("beta", "scale", "mean"),
    "gamma_gradient": ("sg", "sgx", "s1", "inverse"),
    "running_gamma_gradient": ("sg", "sgx", "mean", "inverse"),
    "batch_norm_slope": ("gamma", "inverse", "gradient"),
    "batch_norm_gradient_offset": ("scale", "slope", "sg", "s1"),
    "running_mean": ("running", "s1"),
    "running_variance": ("running", "s1", "s2"),
    "pair_to_wide": ("x",),
}
"""Arguments of each kernel that are arrays, in the order of the op's inputs."""
_EXPONENTS: Mapping[str, Mapping[str, int]] = {
    "inverse_deviation": {"s1": 0},
    "batch_norm_scale": {"gamma": 0, "reference": 3},
    "batch_norm_offset": {"beta": 0},
    "running_offset": {"beta": 0, "scale": 1},
    "gamma_gradient": {"sgx": 1},
    "running_gamma_gradient": {"sg": 0, "sgx": 1},
    "batch_norm_slope": {"gamma": 0, "s1": 3},
    "running_mean": {"s1": 1},
    "running_variance": {"s1": 1},
}
"""Arguments `<name>_exponent`, and the input whose exponent it is."""
_SITES = {"batch_norm_scale": 2, "batch_norm_offset": 3, "running_offset": 3, "batch_norm_slope": 4, "pair_to_wide": 1}


def _numbers(draft: Draft, node: Node) -> dict[str, int | At]:
    a: Any = node.attributes
    words: dict[str, int | At] = {}
    for name, place in _EXPONENTS.get(node.op, {}).items():
        words[f"{name}_exponent"] = draft.exponent(node.inputs[place])
    if node.op in _SITES:
        words["site"] = draft.site(node.inputs[_SITES[node.op]])
    if "count" in a and node.op != "running_offset":
        words["count"] = int(a["count"])
    if "eps" in a:
        words |= {"eps_mantissa": int(a["eps"][0]), "eps_exponent": int(a["eps"][1])}
    if "momentum" in a:
        words["momentum"] = int(a["momentum"])
    return words


def channel_bytes(node: Node) -> int:
    """Bytes of one channel of a node's value."""
    return 8 if node.format.kind == "pair" else element_bytes(node.format)


def load_part_sums(
    draft: Draft, regions: Regions, name: str, stored: Stored, node: int, first: int, count: int, size: int, to: int
) -> tuple[Call, At]:
    """A call that adds the parts of a range of elements: `size` bytes each, results of `to` bytes."""
    rows, pitch = stored.parts, stored.bytes
    move, at = regions.load_rows(f"{name}.parts", stored.buffer, first * size, count * size, rows, pitch)
    result = regions.at(name, count * to)
    words: dict[str, int | At] = {"x": at, "y": result, "x_bytes": size, "y_bytes": to, "rows": rows, "count": count}
    words |= {"x_pitch": count * size, "first": 1}
    return Call("sum_rows", node, words, (move,)), result


def _bytes_of_channel(draft: Draft, job: Job) -> int:
    """Of all operands, with their parts, and of all results."""
    total = sum(channel_bytes(draft.node(i)) for i in job.nodes)
    for home in job.reads:
        parts = draft.place(home).parts
        total += 8 + (8 * parts if parts > 1 else 0)
    return total


def channel_tasks(draft: Draft, number: int, job: Job) -> list[Task]:
    """All kernels of the job, on each range of channels."""
    channels = draft.node(job.nodes[0]).shape[0]
    updates = {draft.homes[i]: name for name, i in draft.graph.updates.items()}
    for index in job.writes:
        if index in updates:
            state = draft.stored_state(updates[index])
            draft.stored[index] = state
        else:
            draft.keep(index)
    each = _bytes_of_channel(draft, job)
    most = max(1, (draft.limits.tile - 16 * (len(job.nodes) + len(job.reads)) - 64) // each)
    tasks = []
    for start, stop in shares(channels, max(draft.limits.cores, -(-channels // most)), 1, min(LEAST, most)):
        regions, calls, places = Regions(), list[Call](), dict[int, At]()
        for index in job.nodes:
            node = draft.node(index)
            words, loads, stores = _numbers(draft, node), list[Move](), list[Move]()
            words["channels"] = stop - start
            for name, source in zip(_NAMES[node.op], operands(node), strict=True):
                home = draft.homes[source]
                if name == "scale" and draft.node(home).format.kind == "int32":
                    home = draft.wide_constant(home)
                if home not in places:
                    stored = draft.stored[home]
                    size = stored.bytes // channels if home < 0 else channel_bytes(draft.node(home))
                    if stored.parts > 1:
                        call, places[home] = load_part_sums(
                            draft, regions, f"v{home}", stored, index, start, stop - start, 8, 8
                        )
                        calls.append(call)
                    else:
                        move, places[home] = regions.load(
                            f"v{home}", stored.buffer, start * size, (stop - start) * size
                        )
                        loads.append(move)
                words[name] = places[home]
            size = channel_bytes(node)
            places[index] = words["y"] = regions.at(f"v{index}", (stop - start) * size)
            if index in job.writes:
                stored = draft.stored[index]
                stores.append(store(stored.buffer, start * size, (stop - start) * size, places[index], channels * size))
            calls.append(Call(node.op, index, words, tuple(loads), tuple(stores)))
        cost = (stop - start) * len(job.nodes) * CYCLES
        tasks.append(Task(number, tuple(calls), regions.sizes, cost=cost))
    return tasks
