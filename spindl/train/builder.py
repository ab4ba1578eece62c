"""Builder: appends nodes of integer ops, each with the shape and format that the op table gives it."""

from __future__ import annotations

from collections.abc import Sequence

from spindl.graph import ops  # noqa: F401  (fills the table)
from spindl.graph.graph import Attribute, Format, Graph, Node
from spindl.graph.operations import COUNT, SITE, lookup
from spindl.number.sites import HISTORY, LOWEST_EXPONENT

HEADROOM = 1
"""Free bits above the largest extent of the last 16 steps (NUMERICS trials: saturates about 1e-9 of the elements)."""

FEW_BITS_DISCARDED = frozenset(("add", "concat", "dropout", "max_pool_gradient", "window_sum", "window_sum_gradient"))
"""Ops whose exact values are rounded with ties to even. They are sums of few int16 values, of which rounding drops a
bit or two: one value in two or four is a tie, and rounding those up would shift the mean of the tensor. At the shortcut
of a ResNet's first block that shift was a third of the gradient of the BatchNorm before it (docs/accuracy.md).
Contractions and affine maps drop 8 bits and more; their ties are too rare to matter, and half-up costs them nothing."""


class Builder:
    """Collects the nodes of one integer graph.

    In training every rounding place also measures its exact values and updates its site; in evaluation the exponents of
    the State are used as they are.
    """

    def __init__(self, training: bool, batch: int) -> None:
        self.training = training
        self.batch = batch
        self.nodes: list[Node] = []
        self.outputs: dict[str, int] = {}
        self.updates: dict[str, int] = {}
        self._states: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._layer = ("", "")
        self._draws = 0
        self._inputs: dict[str, int] = {}

    def at(self, name: str, source: str) -> None:
        """The layer that the following nodes belong to."""
        self._layer = (name, source)

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _leaf(self, op: str, shape: Sequence[int], format: Format, **attributes: Attribute) -> int:
        return self._append(Node(op, (), attributes, tuple(shape), format, *self._layer))

    def emit(self, op: str, *inputs: int, **attributes: Attribute) -> int:
        """Append a node; returns its index. Shape and format come from the op table."""
        shape, format = lookup(op).infer([self.nodes[i] for i in inputs], attributes)
        return self._append(Node(op, inputs, attributes, shape, format, *self._layer))

    def input(self, name: str, shape: Sequence[int], format: Format, *, batched: bool) -> int:
        """A value given anew in each step; asking twice gives the same node."""
        if name not in self._inputs:
            self._inputs[name] = self._leaf("input", shape, format, name=name, batched=batched)
        return self._inputs[name]

    def draws(self) -> dict[str, int]:
        """What a place of random draws is keyed by: nodes of positions, seed and step, and its own number."""
        self._draws += 1
        return {
            "positions": self.input("positions", (self.batch,), Format("label"), batched=True),
            "seed": self.input("seed", (), COUNT, batched=False),
            "step": self.input("step", (), COUNT, batched=False),
            "site": self._draws,
        }

    def constant(self, values: Sequence[int], exponent: int, format: Format) -> int:
        """Integers known when the graph is made; shape (len(values),), or () for a single scalar format."""
        shape = () if format.kind == "scalar" else (len(values),)
        return self._leaf("constant", shape, format, values=tuple(values), exponent=exponent)

    def state(self, name: str, shape: Sequence[int], format: Format, role: str) -> int:
        """A value that lives from step to step; asking twice gives the same node."""
        if name not in self._states:
            self._states[name] = self._leaf("state", shape, format, name=name, role=role)
        return self._states[name]

    def unique(self, name: str) -> str:
        """The name itself, or name.2, name.3, ... where it is taken (shared modules run more than once)."""
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}.{count}"

    def site(self, name: str) -> int:
        """The state of one rounding place."""
        return self.state(f"site/{name}", (HISTORY,), SITE, "site")

    def watch(self, wide: int, site: int, name: str, bits: int, headroom: int, lowest: int = LOWEST_EXPONENT) -> None:
        """Measure the exact values at a site and let its exponent follow."""
        extent = self.emit("extent", wide)
        following = self.emit("next_site", site, extent, bits=bits, headroom=headroom, lowest=lowest)
        self.updates[f"site/{name}"] = following
        self.outputs[f"extent/{name}"] = extent

    def round(self, wide: int, name: str, bits: int, lowest: int = LOWEST_EXPONENT) -> int:
        """Round exact values to int16 at a site of this (unique) name."""
        name = self.unique(name)
        return self.round_at(wide, self.site(name), name, bits, lowest)

    def round_at(self, wide: int, site: int, name: str, bits: int, lowest: int = LOWEST_EXPONENT) -> int:
        """Round exact values to int16 at a site that exists already."""
        attributes = {"bits": bits} | ({"ties": "even"} if self.nodes[wide].op in FEW_BITS_DISCARDED else {})
        result = self.emit("requantise", wide, site, **attributes)
        if self.training:
            self.outputs[f"saturation/{name}"] = self.emit("saturation", wide, site, **attributes)
            self.watch(wide, site, name, bits, HEADROOM, lowest)
        return result

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a node made so far."""
        return self.nodes[index].shape

    def reshape(self, x: int, shape: Sequence[int]) -> int:
        """The elements of each image in another shape; nothing if it is that already."""
        if self.shape(x)[1:] == tuple(shape):
            return x
        return self.emit("reshape", x, shape=tuple(shape))

    def reshape_whole(self, x: int, shape: Sequence[int]) -> int:
        """A parameter's elements in another shape."""
        return x if self.shape(x) == tuple(shape) else self.emit("reshape", x, shape=tuple(shape), whole=True)

    def graph(self) -> Graph:
        """The finished graph, without the nodes nobody needs."""
        needed = [False] * len(self.nodes)
        for index in (*self.outputs.values(), *self.updates.values()):
            needed[index] = True
        for index in reversed(range(len(self.nodes))):
            if needed[index]:
                for source in self.nodes[index].inputs:
                    needed[source] = True
        place: dict[int, int] = {}
        kept: list[Node] = []
        for index, node in enumerate(self.nodes):
            if needed[index]:
                place[index] = len(kept)
                inputs = tuple(place[i] for i in node.inputs)
                kept.append(Node(node.op, inputs, node.attributes, node.shape, node.format, node.name, node.source))
        return Graph(
            tuple(kept),
            {name: place[i] for name, i in self.outputs.items()},
            {name: place[i] for name, i in self.updates.items()},
        )
