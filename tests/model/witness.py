"""A forward graph evaluated in float64, written apart from spindl: what a captured graph is compared with."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from spindl.graph import Graph, Node, check_layer_graph, with_batch
from spindl.model import capture

IMAGES = 5


def evaluate(graph: Graph, state: dict[str, Tensor], images: Tensor) -> Tensor:
    """The output of a graph for a batch; dropout draws from torch's generator in the order of the nodes."""
    values: list[Tensor] = []
    for node in graph.nodes:
        values.append(_node(node, [values[i] for i in node.inputs], state, images))
        if node.op != "parameter":
            assert tuple(values[-1].shape) == node.shape, node
    return values[graph.outputs["output"]]


def _node(node: Node, inputs: list[Tensor], state: dict[str, Tensor], images: Tensor) -> Tensor:
    a: Any = node.attributes
    x = inputs[0] if inputs else images
    match node.op:
        case "input":
            return images
        case "parameter":
            return state[a["name"]]
        case "linear":
            y = torch.einsum("...i,oi->...o", x, inputs[1])
            return y + inputs[2] if len(inputs) == 3 else y
        case "convolution":
            padded = F.pad(x, [size for pair in reversed(a["padding"]) for size in pair])
            function = F.conv1d if x.dim() == 3 else F.conv2d
            bias = inputs[2] if len(inputs) == 3 else None
            return function(padded, inputs[1], bias, a["stride"], 0, a["dilation"], a["groups"])
        case "batch_norm":
            return _batch_norm(a, inputs, state)
        case "relu":
            return x.clamp(min=0)
        case "relu6":
            return x.clamp(0, 6)
        case "sigmoid":
            return 1 / (1 + torch.exp(-x))
        case "tanh":
            return (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x))
        case "softmax":
            return torch.exp(x) / torch.exp(x).sum(a["axis"], keepdim=True)
        case "dropout":
            return F.dropout(x, a["p"], training=True)
        case "max_pool":
            padded = F.pad(x, [size for pair in reversed(a["padding"]) for size in pair], value=float("-inf"))
            for axis, (kernel, stride, dilation) in enumerate(
                zip(a["kernel"], a["stride"], a["dilation"], strict=True)
            ):
                windows = padded.unfold(axis + 2, dilation * (kernel - 1) + 1, stride)
                padded = windows[..., ::dilation].amax(-1)
            return padded
        case "average_pool":
            image = x if x.dim() == 4 else x[:, :, None]
            cells = [
                [
                    image[:, :, top:bottom, left:right].sum((2, 3)) / (a["divisor"] or (bottom - top) * (right - left))
                    for left, right in a["columns"]
                ]
                for top, bottom in a["rows"]
            ]
            pooled = torch.stack([torch.stack(row, -1) for row in cells], -2)
            return pooled if x.dim() == 4 else pooled[:, :, 0]
        case "reshape":
            return x.reshape(len(x), *a["shape"])
        case "permute":
            return x.permute(a["order"])
        case "add":
            return x + inputs[1]
        case "concat":
            return torch.cat(inputs, a["axis"])
    raise AssertionError(node.op)


def _batch_norm(a: Any, inputs: list[Tensor], state: dict[str, Tensor]) -> Tensor:
    x = inputs[0]
    along = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    if a["frozen"]:
        mean, variance = state[a["running_mean"]], state[a["running_var"]]
    else:
        mean, variance = x.mean(along), x.var(along, unbiased=False)
    y = (x - mean.reshape(shape)) / (variance.reshape(shape) + a["eps"]).sqrt()
    return y * inputs[1].reshape(shape) + inputs[2].reshape(shape) if len(inputs) == 3 else y


def randomise_statistics(module: nn.Module) -> None:
    """Running statistics, weights and biases of batch norms that are not all 0 and 1."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_mean.normal_(generator=generator)
                part.running_var.uniform_(0.5, 2, generator=generator)
                if part.affine:
                    part.weight.uniform_(0.5, 2, generator=generator)
                    part.bias.normal_(generator=generator)


def assert_faithful(module: nn.Module, input_shape: tuple[int, ...]) -> Graph:
    """Assert that the graphs of train and eval mode compute what the module does; return that of train mode."""
    randomise_statistics(module)
    images = torch.randn(IMAGES, *input_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    flags = {name: part.training for name, part in module.named_modules()}
    graphs = {}
    for training in (True, False):
        graph = capture(module, input_shape, training=training)
        check_layer_graph(graph)
        before = {name: value.clone() for name, value in module.state_dict().items()}
        module.double()
        if not training:
            module.eval()
        state = {name: value.clone() for name, value in module.state_dict().items()}
        torch.manual_seed(3)
        with torch.no_grad():
            expected = module(images)
        module.float().load_state_dict(before)
        for name, part in module.named_modules():
            part.training = flags[name]
        torch.manual_seed(3)
        found = evaluate(with_batch(graph, IMAGES), state, images)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
        graphs[training] = graph
    assert not any(node.op == "dropout" for node in graphs[False].nodes)
    return graphs[True]


def ops(graph: Graph) -> list[str]:
    """Layer ops in order, without inputs and parameters."""
    return [node.op for node in graph.nodes if node.op not in ("input", "parameter")]


def only(graph: Graph, op: str) -> Node:
    """The one node of an op."""
    (index,) = graph.find(op)
    return graph.nodes[index]
