"""Each op on random and extreme inputs, in torch and in native kernels: equal to the interpreter's meaning."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindl.graph.graph import Graph
from spindl.graph.interpreter import interpret
from spindl.graph.operations import OPERATIONS, Value
from spindl.run.sim import Simulator
from spindl.run.sim.roundings import AFTER
from spindl.run.sim.values import to_host
from spindl.train.builder import Builder
from tests.run.sim.cases import CASES, Case, Draw
from tests.run.sim.support import VECTOR_PATHS, assert_equal

seeds = st.integers(0, 2**32 - 1)
examples = settings(max_examples=30, deadline=None, derandomize=True, database=None)


def begin(case: Case) -> tuple[Builder, list[int], dict[str, Value], dict[str, Value]]:
    """A builder that holds the case's inputs: sites and parameters as state, the rest as inputs."""
    b = Builder(True, 1)
    nodes, state, inputs = [], {}, {}
    for number, (value, format) in enumerate(case.inputs):
        name = f"{format.kind}{number}"
        if format.kind in ("site", "int32", "scalar"):
            nodes.append(b.state(name, value.mantissa.shape, format, "test"))
            state[name] = value
        else:
            nodes.append(b.input(name, value.mantissa.shape, format, batched=False))
            inputs[name] = value
    return b, nodes, state, inputs


def check(graph: Graph, state: dict[str, Value], inputs: dict[str, Value], vector_path: str) -> None:
    expected, _, _ = interpret(graph, state, inputs)
    simulator = Simulator(graph, vector_path=vector_path)
    for _ in range(2):  # the second run reuses memory
        found, _ = simulator.run(simulator.load(state), inputs)
        assert_equal({name: to_host(value) for name, value in found.items()}, expected)


def test_every_op_has_a_case() -> None:
    assert CASES.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("vector_path", VECTOR_PATHS)
@pytest.mark.parametrize("op", sorted(CASES))
def test_op(op: str, vector_path: str) -> None:
    @examples
    @given(seeds)
    def run(seed: int) -> None:
        case = CASES[op](Draw(seed))
        b, nodes, state, inputs = begin(case)
        b.outputs["result"] = b.emit(op, *nodes, **case.attributes)
        check(b.graph(), state, inputs, vector_path)

    run()


WIDE_OPS = sorted(
    op
    for op in CASES
    if op not in ("batch_sum", "squared_norm")
    and begin(CASES[op](Draw(0)))[0].emit  # the builder of a case exists
    and OPERATIONS[op].combine == "batch"
)


@pytest.mark.parametrize("vector_path", VECTOR_PATHS)
@pytest.mark.parametrize("op", WIDE_OPS)
def test_rounded_op(op: str, vector_path: str) -> None:
    @examples
    @given(seeds)
    def run(seed: int) -> None:
        draw = Draw(seed)
        case = CASES[op](draw)
        b, nodes, state, inputs = begin(case)
        wide = b.emit(op, *nodes, **case.attributes)
        if b.nodes[wide].format.kind != "wide" or not b.shape(wide):
            return
        if op == "convolution" and draw.integer(0, 1):
            bias, format = draw.value(CASES["add_bias"](draw).inputs[1][1], (b.shape(wide)[1],), -27)
            wide = b.emit("add_bias", wide, b.state("bias", bias.mantissa.shape, format, "fixed"))
            state["bias"] = bias
        site, format = draw.site()
        exponent = b.site("rounded")
        state["site/rounded"] = Value(site.mantissa, interesting(draw, b, nodes, case, site.exponent))
        bits = draw.integer(8, 16)
        rounded = b.emit("requantise", wide, exponent, bits=bits)
        if draw.integer(0, 3):
            b.outputs["extent"] = b.emit("extent", wide)
        if draw.integer(0, 3):
            b.outputs["saturation"] = b.emit("saturation", wide, exponent, bits=bits)
        if op == "convolution_weight_gradient" and draw.integer(0, 3):
            rounded = b.emit("sum_groups", rounded)
        elif draw.integer(0, 1):
            rounded = b.emit("relu", rounded)
        b.outputs["result"] = rounded
        check(b.graph(), state, inputs, vector_path)

    run()


def interesting(draw: Draw, b: Builder, nodes: list[int], case: Case, fallback: int) -> int:
    """An exponent for the site at which some sums saturate and some do not, or any exponent."""
    if draw.integer(0, 2) == 0:
        return fallback
    exponents = [value.exponent for value, format in case.inputs if format.kind in ("int16", "wide", "uint8")]
    return max(-60, min(30, sum(exponents[:2]) + draw.integer(-4, 24)))


def test_joinable_ops_are_in_the_table() -> None:
    assert AFTER.keys() <= OPERATIONS.keys()
