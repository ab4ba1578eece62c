"""Graph: the hand-over type between the model, the training transform and the executors.

Grammar (checked by `check_graph`):

    Graph   = nodes in an order in which every input stands before its user,
              outputs {name: node}, updates {state name: node}
    Node    = (op, inputs, attributes, shape, format, name, source)
    Format  = (kind, bits)
    op      = a name in the table of layer ops (forward graphs) or of integer ops (training graphs)

Shapes are logical, in PyTorch's order (batch, channels, height, width); how an executor lays a tensor out in memory is
its own affair. A forward graph is captured for a batch of 1 and `with_batch` gives the same graph for another batch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Literal

from spindl.errors import SpindlError

Kind = Literal["real", "int16", "int32", "wide", "uint8", "label", "pair", "site", "scalar", "count"]
"""What a value is.

real: a number of a forward graph, before formats are decided.
int16, int32: mantissas with one exponent per tensor.
wide: exact sums (int64, below 2^62), one exponent.
uint8: image bytes; label: class indices.
pair: soft floats, last axis (mantissa, exponent).
site: exponent and history of a rounding place; scalar: one integer mantissa with an exponent; count: a plain integer.
"""

Attribute = int | float | bool | str | None | tuple[Any, ...]


class GraphError(SpindlError):
    """A Graph breaks a rule of the op table; the message names the node."""


@dataclass(frozen=True)
class Format:
    """Kind of a value and, for mantissas, the bits in use including the sign."""

    kind: Kind
    bits: int = 0

    def __str__(self) -> str:
        return f"{self.kind}/{self.bits}" if self.bits else self.kind


REAL = Format("real")


@dataclass(frozen=True)
class Node:
    """One value: the op that makes it, the nodes it is made from, and what it looks like."""

    op: str
    inputs: tuple[int, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    shape: tuple[int, ...] = ()
    format: Format = REAL
    name: str = ""
    source: str = ""

    def attribute_text(self) -> str:
        """The attributes as `key=value` text, for listings."""
        return ", ".join(f"{key}={value}" for key, value in self.attributes.items())


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order; `outputs` are results, `updates` the new values of state after a step."""

    nodes: tuple[Node, ...]
    outputs: Mapping[str, int]
    updates: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))

    def find(self, op: str) -> list[int]:
        """Indices of all nodes of one op."""
        return [index for index, node in enumerate(self.nodes) if node.op == op]

    def users(self) -> list[list[int]]:
        """For each node the nodes that read it, in order."""
        result: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                result[source].append(index)
        return result

    def to_json(self) -> str:
        """The whole graph as canonical JSON text (keys sorted, no white space)."""
        document = {
            "nodes": [
                [n.op, n.inputs, dict(n.attributes), n.shape, [n.format.kind, n.format.bits], n.name, n.source]
                for n in self.nodes
            ],
            "outputs": dict(self.outputs),
            "updates": dict(self.updates),
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Graph:
        """The graph that `to_json` wrote. Raises GraphError if the text is something else."""
        try:
            document = json.loads(text)
            nodes = tuple(
                Node(
                    op,
                    tuple(inputs),
                    {key: _tuples(value) for key, value in attributes.items()},
                    tuple(shape),
                    Format(kind, bits),
                    name,
                    source,
                )
                for op, inputs, attributes, shape, (kind, bits), name, source in document["nodes"]
            )
            return Graph(nodes, document["outputs"], document["updates"])
        except (KeyError, TypeError, ValueError) as error:
            raise GraphError(f"this is not a saved graph: {error}") from error

    def digest(self) -> str:
        """SHA-256 of the canonical JSON without names and source lines: equal for graphs that mean the same."""
        bare = replace(self, nodes=tuple(replace(n, name="", source="") for n in self.nodes))
        return sha256(bare.to_json().encode()).hexdigest()


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def describe(graph: Graph, indices: Sequence[int] | None = None) -> str:
    """A listing, one node a line: index, op, inputs, shape, format, attributes, layer."""
    lines = []
    for index in indices if indices is not None else range(len(graph.nodes)):
        node = graph.nodes[index]
        inputs = " ".join(f"%{i}" for i in node.inputs)
        lines.append(
            f"%{index} = {node.op}({inputs}) {list(node.shape)} {node.format} {node.attribute_text()}  # {node.name}"
        )
    lines += [f"output {name} = %{index}" for name, index in graph.outputs.items()]
    lines += [f"update {name} = %{index}" for name, index in graph.updates.items()]
    return "\n".join(lines)
