"""Which nodes are computed together on a tile."""

from __future__ import annotations

from spindl.graph import Graph
from spindl.plan.jobs import Job, find_jobs
from spindl.plan.join import join_jobs
from tests.plan.networks import case


def what(graph: Graph, job: Job) -> str:
    """The op of a rounding, else the kind of a job."""
    return graph.nodes[job.rounding.producer].op if job.rounding is not None else job.kind


def test_elements_go_with_what_reads_them() -> None:
    """A residual block: normalisation into the sum; its backward pass down to BatchNorm's sums, of both branches."""
    graph = case("resnet", steps=1).graph
    found, homes = find_jobs(graph)
    jobs = join_jobs(graph, found, homes)
    chains = {(*(what(graph, each) for each in job.first), what(graph, job)) for job in jobs if job.first}
    assert ("affine", "add") in chains
    assert ("relu_gradient", "sums") in chains
    assert any(chain[:2] == ("relu_gradient", "sums") and chain[-1] == "sums" and len(chain) == 3 for chain in chains)
    assert any(chain[:2] == ("add", "relu_gradient") for chain in chains)
    for job in (job for job in jobs if job.first):
        inside = {i for each in job.first for i in each.writes} - {*job.writes}
        readers = [other for other in jobs if inside & {*other.reads}]
        assert not readers, "what is not stored is read by nobody else"
    written = [i for job in jobs for i in job.writes]
    assert len(written) == len(set(written))
    assert all(homes[i] in written or not graph.nodes[homes[i]].inputs for job in jobs for i in job.reads)
