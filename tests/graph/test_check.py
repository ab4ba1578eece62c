"""What the checker refuses, one rule at a time; and graphs as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spindl.graph import Graph, Node, check_layer_graph, with_batch
from spindl.graph.graph import Format, GraphError, describe
from spindl.graph.layers import infer
from spindl.graph.operations import LEAVES, check_graph
from spindl.train import Formats
from tests.conftest import Golden
from tests.graph.test_split import NETWORKS, prepared
from tests.networks import small_lenet, small_resnet, window


@pytest.fixture(scope="module")
def graph() -> Graph:
    return prepared("resnet", 4)[0]


def changed(graph: Graph, index: int, **fields: Any) -> Graph:
    nodes = list(graph.nodes)
    nodes[index] = replace(nodes[index], **fields)
    return replace(graph, nodes=tuple(nodes))


def attributes(graph: Graph, index: int, **changes: Any) -> dict[str, Any]:
    return {**graph.nodes[index].attributes, **changes}


def test_a_good_graph_passes(graph: Graph) -> None:
    check_graph(graph)


def test_unknown_op(graph: Graph) -> None:
    with pytest.raises(GraphError, match="'convolve' is not an integer op; the table knows add, add_bias"):
        check_graph(changed(graph, graph.find("convolution")[0], op="convolve"))


def test_wrong_shape(graph: Graph) -> None:
    index = graph.find("requantise")[0]
    with pytest.raises(GraphError, match=r"says \[1, 2\] int16/15, the rule gives \[4, 3, 8, 8\] int16/15"):
        check_graph(changed(graph, index, shape=(1, 2)))


def test_wrong_format(graph: Graph) -> None:
    index = graph.find("requantise")[0]
    with pytest.raises(GraphError, match=r"int16/15, the rule gives .* int16/9"):
        check_graph(changed(graph, index, attributes=attributes(graph, index, bits=9)))


@pytest.mark.parametrize("offset", [0, 1, 1000])
def test_reader_before_source(graph: Graph, offset: int) -> None:
    index = graph.find("extent")[0]
    with pytest.raises(GraphError, match=f"node %{index} .extent. reads a node that comes later"):
        check_graph(changed(graph, index, inputs=(index + offset,)))


def test_negative_input(graph: Graph) -> None:
    with pytest.raises(GraphError, match="reads a node that comes later"):
        check_graph(changed(graph, graph.find("extent")[0], inputs=(-1,)))


@pytest.mark.parametrize(("op", "count"), [("extent", 1), ("requantise", 2), ("affine", 3)])
def test_wrong_number_of_inputs(graph: Graph, op: str, count: int) -> None:
    index = graph.find(op)[0]
    inputs = graph.nodes[index].inputs
    with pytest.raises(GraphError, match=f"has {count + 1} inputs, the op takes {count}"):
        check_graph(changed(graph, index, inputs=(*inputs, inputs[0])))
    with pytest.raises(GraphError, match=f"has {count - 1} inputs, the op takes {count}"):
        check_graph(changed(graph, index, inputs=inputs[:-1]))


def test_too_few_of_any_number(graph: Graph) -> None:
    index = graph.find("direction")[0]
    with pytest.raises(GraphError, match="has 2 inputs, the op takes at least 3"):
        check_graph(changed(graph, index, inputs=graph.nodes[index].inputs[:2]))


def test_missing_attribute(graph: Graph) -> None:
    index = graph.find("requantise")[0]
    with pytest.raises(GraphError, match="attributes do not fit: KeyError"):
        check_graph(changed(graph, index, attributes={}))


def test_update_of_unknown_state(graph: Graph) -> None:
    with pytest.raises(GraphError, match="update of unknown state 'weights/none'"):
        check_graph(replace(graph, updates={**graph.updates, "weights/none": 0}))


def test_update_changes_shape(graph: Graph) -> None:
    other = graph.updates["weights/fc.weight"]
    with pytest.raises(GraphError, match=r"update of 'weights/fc\.bias' changes its shape"):
        check_graph(replace(graph, updates={**graph.updates, "weights/fc.bias": other}))


def test_update_changes_format(graph: Graph) -> None:
    state = graph.nodes[graph.updates["weights/fc.bias"]].shape
    wide = next(i for i, n in enumerate(graph.nodes) if n.shape == state and n.format == Format("wide"))
    with pytest.raises(GraphError, match=r"update of 'weights/fc\.bias' changes its format"):
        check_graph(replace(graph, updates={**graph.updates, "weights/fc.bias": wide}))


def test_output_that_does_not_exist(graph: Graph) -> None:
    with pytest.raises(GraphError, match="'lost' is node %99999"):
        check_graph(replace(graph, outputs={**graph.outputs, "lost": 99999}))


def test_whole_op_of_a_part_of_the_batch(graph: Graph) -> None:
    index = graph.find("saturate32")[0]
    batched = graph.find("affine")[0]
    node = graph.nodes[index]
    broken = changed(graph, index, inputs=(batched,), shape=graph.nodes[batched].shape)
    users = [i for i, n in enumerate(broken.nodes) if index in n.inputs]
    assert node.op == "saturate32" and users
    cut = replace(broken, nodes=broken.nodes[: index + 1], outputs={}, updates={})
    with pytest.raises(GraphError, match="saturate32 needs the whole batch"):
        check_graph(cut)


def test_too_many_gradient_groups() -> None:
    groups = Node("input", (), {"name": "g", "batched": True}, (65539, 1), Format("int16", 16))
    nodes = (groups, Node("sum_groups", (0,), {}, (1,), Format("int32", 32)))
    with pytest.raises(GraphError, match="adds 65539 gradient groups, which may exceed 32 bits"):
        check_graph(Graph(nodes, {"sum": 1}))
    check_graph(Graph((replace(groups, shape=(2**16, 1)), nodes[1]), {"sum": 1}))


# --- layer graphs --------------------------------------------------------------------------------------------------


def test_layer_graph_errors() -> None:
    good = small_lenet().graph()
    check_layer_graph(good)
    relu = good.find("relu")[0]
    broken = {
        "is not a layer op": changed(good, relu, op="gelu"),
        "reads a node that comes later": changed(good, relu, inputs=(relu,)),
        "the rule gives": changed(good, relu, shape=(1, 1)),
        "has format": changed(good, relu, format=Format("wide")),
        "takes 1 to 1 inputs": changed(good, relu, inputs=(0, 0)),
        "one output": replace(good, outputs={}),
    }
    for message, bad in broken.items():
        with pytest.raises(GraphError, match=message):
            check_layer_graph(bad)


def node(*shape: int) -> Node:
    return Node("input", (), {}, shape)


CONVOLUTION = {"stride": (1, 1), "padding": ((0, 0),) * 2, "dilation": (1, 1), "groups": 1}
AVERAGE = {"rows": ((0, 2),), "columns": ((0, 2),), "divisor": None}


@pytest.mark.parametrize(
    ("op", "shapes", "given", "message"),
    [
        ("linear", [(1, 3), (4, 5)], {}, "3 features"),
        ("convolution", [(1, 3, 5, 5), (4, 2, 3, 3)], CONVOLUTION, "3 input channels"),
        ("convolution", [(1, 3, 2, 2), (4, 3, 3, 3)], CONVOLUTION, "larger than the padded input"),
        ("max_pool", [(1, 3, 2, 2)], window(3, 1), "larger than the padded input"),
        ("max_pool", [(1, 3, 2, 2)], window(2, 1, 1) | {"dilation": (3, 3)}, "nothing but padding"),
        ("average_pool", [(1, 3, 4, 4)], AVERAGE | {"rows": ((2, 5),)}, r"rows 2\.\.5 in an input of 4"),
        ("average_pool", [(1, 3, 4, 4)], AVERAGE | {"columns": ((2, 2),)}, r"columns 2\.\.2"),
        ("average_pool", [(1, 3, 4, 4)], AVERAGE | {"divisor": 0}, "divisor of 0"),
        ("reshape", [(1, 3, 4)], {"shape": (13,)}, "has not"),
        ("permute", [(1, 3, 4)], {"order": (1, 0, 2)}, "moves the batch axis"),
        ("add", [(1, 3), (1, 4)], {}, "differ"),
        ("concat", [(1, 3), (1, 4)], {"axis": 0}, "0 is the batch"),
        ("concat", [(1, 3, 2), (1, 4, 3)], {"axis": 1}, "do not agree"),
        ("softmax", [(1, 3)], {"axis": 0}, "0 is the batch"),
        ("softmax", [(1, 3)], {"axis": -1}, "choose 1 to 1"),
        ("batch_norm", [(1, 3, 2, 2), (3,)], {}, "both gamma and beta"),
    ],
)
def test_layer_shape_errors(op: str, shapes: list[tuple[int, ...]], given: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        infer(op, [node(*shape) for shape in shapes], given)


def test_with_batch_changes_only_the_batch() -> None:
    graph = small_resnet().graph()
    large = with_batch(graph, 17)
    check_layer_graph(large)
    assert all(
        b.shape == (a.shape if a.op == "parameter" else (17, *a.shape[1:]))
        for a, b in zip(graph.nodes, large.nodes, strict=True)
    )
    assert with_batch(large, 1) == graph


# --- text ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_json_round_trip(name: str) -> None:
    for graph in (NETWORKS[name]().graph(), prepared(name, 3)[0]):
        text = graph.to_json()
        back = Graph.from_json(text)
        assert back.to_json() == text and back.digest() == graph.digest()
        assert back == replace(graph, nodes=tuple(replace(n, attributes=dict(n.attributes)) for n in graph.nodes))
    check_graph(back)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"nodes": [[1]]}', '{"nodes": [], "outputs": {}}', "null"])
def test_text_that_is_no_graph(text: str) -> None:
    with pytest.raises(GraphError, match="not a saved graph"):
        Graph.from_json(text)


def test_digest_is_of_the_meaning(graph: Graph) -> None:
    renamed = replace(graph, nodes=tuple(replace(n, name="x", source="y.py:3") for n in graph.nodes))
    assert renamed.digest() == graph.digest()
    index = graph.find("requantise")[0]
    assert changed(graph, index, attributes=attributes(graph, index, bits=9)).digest() != graph.digest()
    assert replace(graph, outputs={"only": 0}).digest() != graph.digest()


def test_digests_are_stable(golden: Golden) -> None:
    lines = []
    for name in NETWORKS:
        for size in (1, 2):
            lines.append(f"{name} groups of {size}: {prepared(name, 4, Formats(group_size=size))[0].digest()}")
    golden(Path(__file__).parent / "digests.txt", "\n".join(lines) + "\n")


def test_describe_names_every_node(graph: Graph) -> None:
    lines = describe(graph).splitlines()
    assert len(lines) == len(graph.nodes) + len(graph.outputs) + len(graph.updates)
    assert all(line.startswith(f"%{i} = {graph.nodes[i].op}(") for i, line in enumerate(lines[: len(graph.nodes)]))
    assert sum(node.op in LEAVES for node in graph.nodes) == sum("() [" in line for line in lines)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_node_is_needed(name: str) -> None:
    graph = prepared(name, 3)[0]
    needed = {*graph.outputs.values(), *graph.updates.values()}
    for index in reversed(range(len(graph.nodes))):
        if index in needed:
            needed |= set(graph.nodes[index].inputs)
    assert needed == set(range(len(graph.nodes)))
