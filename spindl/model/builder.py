"""The forward graph under construction, and the values that stand for PyTorch's tensors meanwhile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from spindl.graph import GraphError, Node
from spindl.graph.layers import infer

Shape = tuple[int, ...]
UNSUPPORTED = "unsupported"
"""Op of the node that stands for a result spindl cannot compute, so that the rest can still be looked at."""


@dataclass(frozen=True)
class Activation:
    """A tensor with one entry for each image: the node that makes it."""

    index: int


@dataclass(frozen=True)
class Parameter:
    """A parameter of the module, by its key in the state_dict."""

    name: str
    shape: Shape
    trainable: bool


@dataclass(frozen=True)
class Buffer:
    """A buffer of the module, by its key in the state_dict."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A tensor that is neither an input nor registered in the module."""


@dataclass(frozen=True)
class Padded:
    """An activation with zeros around it: (before, after) for each spatial axis. Only a convolution can take it."""

    index: int
    padding: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Stale:
    """A view of a tensor that was overwritten in place since."""


@dataclass(frozen=True)
class Unknown:
    """A result of something unsupported, of no shape that could stand in the graph."""


Value: TypeAlias = "Activation | Parameter | Buffer | Constant | Padded | Stale | Unknown | tuple[Value, ...]"


class Rejected(Exception):
    """An operation, as it is used here, cannot be captured. Becomes a Finding."""

    def __init__(self, reason: str, remedy: str, operation: str = "") -> None:
        super().__init__(reason)
        self.reason, self.remedy, self.operation = reason, remedy, operation


class Untraceable(Exception):
    """An operand is the result of something already reported, and of no known shape."""


@dataclass
class Builder:
    """Nodes so far; `name_hint` and `source` belong to the operation that is being converted."""

    nodes: list[Node] = field(default_factory=list)
    values: dict[Any, Value] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    path: str = ""
    leaf: bool = False
    source: str = ""
    image_shape: Shape | None = None

    def value(self, operand: Any) -> Value:
        """What a tensor operand of the exported program stands for."""
        return self.values.get(operand, Unknown())

    def activation(self, operand: Any) -> int:
        """Node of an operand that must be an activation. Raises Rejected, or Untraceable for the result of something
        already reported."""
        match self.value(operand):
            case Activation(index):
                return index
            case Parameter(name):
                raise Rejected(
                    f"it computes with the parameter '{name}' itself; it may only be a weight or bias of a layer",
                    "put the parameter into a Linear, Conv or BatchNorm layer",
                )
            case Buffer(name):
                raise Rejected(
                    f"it computes with the buffer '{name}'; only batch norm's running statistics may be used",
                    "fold the constant into the data or into the next layer's weights",
                )
            case Constant():
                raise Rejected(
                    "it computes with a constant tensor that is not part of the model's state",
                    "fold the constant into the data or into the next layer's weights",
                )
            case Padded():
                raise Rejected(
                    "its input was padded; padding can only be merged into a convolution",
                    "pad with zeros directly before a convolution, or use the padding argument of the layer",
                )
            case Stale():
                raise Rejected(
                    "it reads a view of a tensor that was overwritten in place since",
                    "use the operation that is not in place (y = F.relu(x), y = y + x)",
                )
            case _:
                raise Untraceable

    def parameter(self, operand: Any, role: str) -> int:
        """Node of an operand that must be a parameter; `role` is its name in messages. Raises Rejected."""
        match self.value(operand):
            case Parameter(name, shape, trainable):
                if name not in self.parameters:
                    attributes = {"name": name, "trainable": trainable}
                    self.parameters[name] = self._append(Node("parameter", (), attributes, shape, name=name))
                return self.parameters[name]
            case Buffer(name):
                raise Rejected(f"its {role} is the buffer '{name}'", "make it nn.Parameter(..., requires_grad=False)")
            case Constant():
                raise Rejected(
                    f"its {role} is not registered in the module, so the state_dict does not hold it",
                    "assign it to the module (nn.ModuleList instead of a list, nn.Parameter instead of a tensor)",
                )
            case _:
                raise Rejected(
                    f"its {role} is computed in the forward; it must be a parameter as it is stored",
                    "store the weight in the shape the layer needs, as an nn.Parameter",
                )

    def buffer(self, operand: Any, role: str) -> str:
        """Key in the state_dict of an operand that must be a buffer. Raises Rejected."""
        match self.value(operand):
            case Buffer(name):
                return name
            case _:
                raise Rejected(
                    f"its {role} is not a registered buffer", "use the layer nn.BatchNorm1d or nn.BatchNorm2d"
                )

    def shape(self, index: int) -> Shape:
        """Shape of a node, with a batch of 1."""
        return self.nodes[index].shape

    def emit(self, op: str, inputs: Sequence[int], attributes: Mapping[str, Any] | None = None) -> Activation:
        """Append a layer op. Raises Rejected if the table's rule refuses the shapes."""
        given = dict(attributes or {})
        try:
            shape = infer(op, [self.nodes[i] for i in inputs], given)
        except GraphError as error:
            raise Rejected(error.what, "check the layer's sizes against its input") from error
        node = Node(op, tuple(inputs), given, shape, name=self.unique_name(op), source=self.source)
        return Activation(self._append(node))

    def emit_unsupported(self, image_shape: Shape) -> Activation:
        """Append the stand-in for a result that cannot be computed."""
        return Activation(self._append(Node(UNSUPPORTED, (), {}, (1, *image_shape), source=self.source)))

    def unique_name(self, op: str) -> str:
        """The module's path for the first op of a layer, else the path and the op; "#2" and so on if taken."""
        if self.leaf and self.path and self.path not in self.names:
            name = self.path
        else:
            stem = f"{self.path}.{op}" if self.path else op
            name, count = stem, 1
            while name in self.names:
                count += 1
                name = f"{stem}#{count}"
        self.names.add(name)
        return name

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1
