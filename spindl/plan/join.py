"""Jobs on the elements of images that follow each other become one: its tiles stay in DTCM between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from spindl.graph.graph import Graph
from spindl.plan.jobs import Job, ordered


def join_jobs(graph: Graph, jobs: tuple[Job, ...], homes: Mapping[int, int]) -> tuple[Job, ...]:
    """Jobs on elements become part of the first job that reads what they make, and their values are not loaded again.

    A sum of gradients that nothing else reads goes with the gradient of ReLU behind it, that one with the sums of all
    BatchNorms that it reaches, and a normalisation that only a sum reads goes with the sum.
    """
    makers = {index: job for job in jobs for index in job.writes}
    readers: dict[int, list[Job]] = {}
    for job in jobs:
        for index in job.reads:
            readers.setdefault(index, []).append(job)
    public = {homes[index] for index in (*graph.outputs.values(), *graph.updates.values())}
    gone: set[int] = set()
    result = []

    def maker(operand: int, reader: Job, kind: str, alone: bool) -> Job | None:
        home = homes[operand]
        job = makers.get(home)
        same = graph.nodes[operand].shape == graph.nodes[home].shape
        if job is None or id(job) in gone or _element_kind(graph, job) != kind or not same:
            return None
        mine = readers[home] == [reader] and home not in public if alone else readers[home][0] is reader
        return job if mine and graph.nodes[operand].format.kind == "int16" else None

    for job in jobs:
        kind, chain = _element_kind(graph, job), list[Job]()
        if kind == "sums":
            gradient = maker(_summed(graph, job), job, "relu_gradient", False) if id(job) not in gone else None
            if gradient is not None:
                added = maker(graph.nodes[gradient.nodes[0]].inputs[0], gradient, "add", True)
                chain = [gradient] if added is None else [added, gradient]
                chain += [
                    other
                    for other in readers[gradient.writes[0]]
                    if other.kind == "sums" and other is not job and homes[_summed(graph, other)] == gradient.writes[0]
                ]
        elif kind == "add":
            assert job.rounding is not None
            x, y = graph.nodes[job.rounding.producer].inputs
            found = [maker(i, job, "affine", True) for i in (x, y)] if homes[x] != homes[y] else []
            chain = [each for each in found if each is not None][:1]
        gone |= {id(each) for each in chain}
        result.append((job, tuple(chain)))
    joined = [_with_first(job, chain, readers, public) for job, chain in result if id(job) not in gone]
    return ordered(graph, joined, homes)


def _summed(graph: Graph, job: Job) -> int:
    """What BatchNorm's sums add up."""
    return graph.nodes[job.nodes[0]].inputs[0]


def _element_kind(graph: Graph, job: Job) -> str:
    """The op of a rounding, otherwise the kind of the job; ReLU's gradients are alike."""
    if job.kind == "rounding" and job.rounding is not None:
        op = graph.nodes[job.rounding.producer].op
        whole = op != "affine" or graph.nodes[graph.nodes[job.rounding.producer].inputs[0]].format.kind == "int16"
        return op if whole else ""
    return "relu_gradient" if job.kind == "relu6_gradient" else job.kind


def _with_first(job: Job, chain: tuple[Job, ...], readers: Mapping[int, list[Job]], public: set[int]) -> Job:
    if not chain:
        return job
    every = (*chain, job)
    made = {i for each in chain for i in each.writes}
    inside = {i for one, other in pairwise(every) for i in one.writes if readers[i] == [other]} - public
    reads = tuple(dict.fromkeys(i for each in every for i in each.reads if i not in made))
    return replace(job, first=chain, reads=reads, writes=(*job.writes, *sorted(made - inside)))
