"""Activations made again in the backward pass: the same bits, in less memory."""

from __future__ import annotations

from dataclasses import replace

from spindl.graph.interpreter import interpret
from spindl.graph.operations import check_graph
from spindl.plan.layout import value_bytes
from spindl.plan.recompute import with_recomputed
from tests.plan.networks import case
from tests.plan.test_equality import assert_same, check


def test_the_graph_means_the_same() -> None:
    c = case("resnet", steps=1)
    graph, made = with_recomputed(c.graph, 1 << 30)
    check_graph(graph)
    assert len(graph.nodes) == len(c.graph.nodes) + len(made)
    assert {graph.nodes[i].op for i in made} == {"affine", "requantise", "relu"}
    for mine, theirs in zip(
        interpret(graph, c.state, c.inputs[0])[:2], interpret(c.graph, c.state, c.inputs[0])[:2], strict=True
    ):
        assert mine.keys() == theirs.keys()
        assert_same(mine, theirs)
    for new, old in made.items():
        assert new > old
        users = {graph.nodes[i].op for i in graph.users()[new]} - {"requantise", "relu"}
        assert users <= {"convolution_weight_gradient", "relu_gradient"}


def test_a_plan_of_it_gives_the_same_bits() -> None:
    c = case("resnet", steps=2)
    check(replace(c, graph=with_recomputed(c.graph, 1 << 30)[0]), 4)


def test_as_many_as_are_asked_for() -> None:
    graph = case("resnet", steps=1).graph
    assert with_recomputed(graph, 0) == (graph, {})
    sizes = {}
    for size in (1, 1 << 30):
        again, made = with_recomputed(graph, size)
        sizes[size] = [value_bytes(again.nodes[i]) for i in made if again.nodes[i].op == "relu"]
    assert len(sizes[1]) == 1 < len(sizes[1 << 30])
    assert sizes[1][0] == max(sizes[1 << 30])
