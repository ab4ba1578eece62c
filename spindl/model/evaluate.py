"""A forward graph in PyTorch's floating point: the yardstick for `spindl compare` and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spindl.graph import Graph, Node

Masks = Mapping[str, Tensor]


def _pads(padding: Any) -> list[int]:
    """((before, after), ...) of each axis -> the order F.pad wants: last axis first."""
    return [size for pair in reversed(padding) for size in pair]


def _convolution(node: Node, x: Tensor, w: Tensor, bias: Tensor | None = None) -> Tensor:
    a = node.attributes
    convolve = F.conv1d if w.dim() == 3 else F.conv2d
    return convolve(F.pad(x, _pads(a["padding"])), w, bias, a["stride"], 0, a["dilation"], a["groups"])


def _max_pool(node: Node, x: Tensor) -> Tensor:
    a = node.attributes
    pool = F.max_pool1d if x.dim() == 3 else F.max_pool2d
    return pool(F.pad(x, _pads(a["padding"]), value=float("-inf")), a["kernel"], a["stride"], 0, a["dilation"])


def _average_pool(node: Node, x: Tensor) -> Tensor:
    a = node.attributes
    image = x.unsqueeze(2) if x.dim() == 3 else x
    rows = []
    for top, bottom in a["rows"]:
        cells = []
        for left, right in a["columns"]:
            divisor = a["divisor"] if a["divisor"] is not None else (bottom - top) * (right - left)
            cells.append(image[:, :, top:bottom, left:right].sum(dim=(2, 3)) / divisor)
        rows.append(torch.stack(cells, dim=-1))
    result = torch.stack(rows, dim=-2)
    return result.squeeze(2) if x.dim() == 3 else result


_OPS: dict[str, Callable[..., Tensor]] = {
    "linear": lambda node, x, w, b=None: F.linear(x, w, b),
    "convolution": _convolution,
    "relu": lambda node, x: F.relu(x),
    "relu6": lambda node, x: F.relu6(x),
    "sigmoid": lambda node, x: torch.sigmoid(x),
    "tanh": lambda node, x: torch.tanh(x),
    "softmax": lambda node, x: F.softmax(x, node.attributes["axis"]),
    "max_pool": _max_pool,
    "average_pool": _average_pool,
    "reshape": lambda node, x: x.reshape(x.shape[0], *node.attributes["shape"]),
    "permute": lambda node, x: x.permute(node.attributes["order"]),
    "add": lambda node, x, y: x + y,
    "concat": lambda node, *xs: torch.cat(xs, node.attributes["axis"]),
}


def evaluate(
    graph: Graph,
    parameters: Mapping[str, Tensor],
    x: Tensor,
    *,
    training: bool,
    masks: Masks | None = None,
) -> list[Tensor]:
    """The value of every node of a forward graph.

    Args:
        graph: a forward graph; its batch size does not matter.
        parameters: weights and running statistics by state_dict key. Gradients flow to those that require them.
        x: the network's input (N, ...), in the type the arithmetic should have.
        training: BatchNorm over the batch (running statistics are not updated), dropout by `masks`.
        masks: for each dropout layer (by name) the factors its input is multiplied by; a layer without is the identity.
    """
    values: list[Tensor] = []
    for node in graph.nodes:
        inputs = [values[i] for i in node.inputs]
        a = node.attributes
        if node.op == "input":
            value = x
        elif node.op == "parameter":
            value = parameters[a["name"]]
        elif node.op == "dropout":
            value = inputs[0] * masks[node.name] if training and masks and node.name in masks else inputs[0]
        elif node.op == "batch_norm":
            weight, bias = inputs[1:] if len(inputs) == 3 else (None, None)
            fresh = training and not a.get("frozen", False)
            mean, variance = (None, None) if fresh else (parameters[a["running_mean"]], parameters[a["running_var"]])
            value = F.batch_norm(inputs[0], mean, variance, weight, bias, fresh, 0.0, a["eps"])
        else:
            value = _OPS[node.op](node, *inputs)
        values.append(value)
    return values
