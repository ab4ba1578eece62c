"""Every PyTorch operation that spindl takes: the layer ops it becomes, their settings, and equal results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from spindl.model import UnsupportedModel, capture
from tests.model.witness import assert_faithful, only, ops


class Functional(nn.Module):
    """A forward given as a function; parameters reach it through `self`."""

    def __init__(self, function: Callable[..., Tensor], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x) if self._modules or self._parameters else self.function(x)


IMAGE, SIGNAL = (4, 9, 7), (4, 11)

CASES: dict[str, tuple[nn.Module, tuple[int, ...], list[str]]] = {
    "linear": (nn.Linear(6, 3), (6,), ["linear"]),
    "linear without bias": (nn.Linear(6, 3, bias=False), (6,), ["linear"]),
    "linear over rows": (nn.Linear(6, 3), (5, 6), ["linear"]),
    "convolution": (nn.Conv2d(4, 6, 3), IMAGE, ["convolution"]),
    "pointwise": (nn.Conv2d(4, 6, 1, bias=False), IMAGE, ["convolution"]),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), IMAGE, ["convolution"]),
    "depthwise": (nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=(1, 2), groups=4), IMAGE, ["convolution"]),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=(2, 1), padding=2), IMAGE, ["convolution"]),
    "same": (nn.Conv2d(4, 6, 3, padding="same"), IMAGE, ["convolution"]),
    "same, even kernel": (nn.Conv2d(4, 6, (2, 4), padding="same"), IMAGE, ["convolution"]),
    "valid": (nn.Conv2d(4, 6, 3, padding="valid"), IMAGE, ["convolution"]),
    "1-D convolution": (nn.Conv1d(4, 6, 5, stride=2, padding=2, dilation=2, groups=2), SIGNAL, ["convolution"]),
    "1-D same": (nn.Conv1d(4, 6, 4, padding="same"), SIGNAL, ["convolution"]),
    "zero padding": (nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(4, 6, 3, padding=1)), IMAGE, ["convolution"]),
    "1-D zero padding": (nn.Sequential(nn.ConstantPad1d((3, 0), 0.0), nn.Conv1d(4, 6, 4)), SIGNAL, ["convolution"]),
    "batch norm 2-D": (nn.BatchNorm2d(4, eps=1e-3, momentum=0.3), IMAGE, ["batch_norm"]),
    "batch norm of signals": (nn.BatchNorm1d(4), SIGNAL, ["batch_norm"]),
    "batch norm of features": (nn.BatchNorm1d(6), (6,), ["batch_norm"]),
    "batch norm, not affine": (nn.BatchNorm2d(4, affine=False), IMAGE, ["batch_norm"]),
    "relu": (nn.ReLU(), IMAGE, ["relu"]),
    "relu in place": (nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True)), (6,), ["linear", "relu"]),
    "relu_": (Functional(torch.relu_), IMAGE, ["relu"]),
    "clamp at 0": (Functional(lambda x: x.clamp(min=0)), IMAGE, ["relu"]),
    "clamp_min": (Functional(lambda x: torch.clamp_min(x, 0)), IMAGE, ["relu"]),
    "relu6": (nn.ReLU6(), IMAGE, ["relu6"]),
    "hardtanh": (nn.Hardtanh(0, 6, inplace=True), IMAGE, ["relu6"]),
    "clamp to 6": (Functional(lambda x: x.clamp(0, 6)), IMAGE, ["relu6"]),
    "sigmoid": (nn.Sigmoid(), IMAGE, ["sigmoid"]),
    "tanh": (Functional(torch.tanh), IMAGE, ["tanh"]),
    "softmax": (nn.Softmax(-1), (6,), ["softmax"]),
    "softmax over channels": (nn.Softmax(1), IMAGE, ["softmax"]),
    "dropout": (nn.Dropout(0.4), IMAGE, ["dropout"]),
    "functional dropout": (
        Functional(lambda self, x: F.dropout(self.fc(x), 0.3, self.training), fc=nn.Linear(6, 6)),
        (6,),
        ["linear", "dropout"],
    ),
    "dropout of nothing": (nn.Sequential(nn.Dropout(0.0), nn.ReLU()), IMAGE, ["relu"]),
    "max pool": (nn.MaxPool2d(2), IMAGE, ["max_pool"]),
    "max pool, all settings": (
        nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(2, 3)),
        IMAGE,
        ["max_pool"],
    ),
    "1-D max pool": (nn.MaxPool1d(3, 2, 1), SIGNAL, ["max_pool"]),
    "max pool, harmless ceil_mode": (nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE, ["max_pool"]),
    "adaptive max pool": (nn.AdaptiveMaxPool2d((3, 1)), IMAGE, ["max_pool"]),
    "average pool": (nn.AvgPool2d(2), IMAGE, ["average_pool"]),
    "average pool, padding counted": (nn.AvgPool2d(3, 2, padding=1), IMAGE, ["average_pool"]),
    "average pool, padding left out": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), IMAGE, ["average_pool"]),
    "average pool, divisor": (nn.AvgPool2d((2, 3), divisor_override=5), IMAGE, ["average_pool"]),
    "1-D average pool": (nn.AvgPool1d(4, 3, padding=1), SIGNAL, ["average_pool"]),
    "1-D average pool, padding left out": (nn.AvgPool1d(4, 3, 1, count_include_pad=False), SIGNAL, ["average_pool"]),
    "adaptive average pool": (nn.AdaptiveAvgPool2d((4, 3)), IMAGE, ["average_pool"]),
    "1-D adaptive average pool": (nn.AdaptiveAvgPool1d(4), SIGNAL, ["average_pool"]),
    "global average": (Functional(lambda x: x.mean((2, 3))), IMAGE, ["average_pool", "reshape"]),
    "global average, kept": (Functional(lambda x: x.mean((-1, -2), keepdim=True)), IMAGE, ["average_pool"]),
    "mean of rows": (Functional(lambda x: x.mean(3)), IMAGE, ["average_pool", "reshape"]),
    "mean of a signal": (Functional(lambda x: torch.mean(x, -1)), SIGNAL, ["average_pool", "reshape"]),
    "flatten": (nn.Flatten(), IMAGE, ["reshape"]),
    "flatten the image": (Functional(lambda x: x.flatten(2)), IMAGE, ["reshape"]),
    "unflatten": (nn.Unflatten(1, (2, 3)), (6,), ["reshape"]),
    "view": (Functional(lambda x: x.view(x.size(0), -1)), IMAGE, ["reshape"]),
    "view by features": (Functional(lambda x: x.view(-1, 4 * 9 * 7)), IMAGE, ["reshape"]),
    "reshape": (Functional(lambda x: x.reshape(x.shape[0], 2, 2, 63)), IMAGE, ["reshape"]),
    "reshape to itself": (Functional(lambda x: x.view(x.shape).relu()), IMAGE, ["relu"]),
    "squeeze": (
        Functional(lambda x: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1)),
        IMAGE,
        ["average_pool", "reshape", "reshape"],
    ),
    "squeeze all": (Functional(lambda x: F.adaptive_avg_pool2d(x, 1).squeeze()), IMAGE, ["average_pool", "reshape"]),
    "unsqueeze": (Functional(lambda x: x.unsqueeze(1)), SIGNAL, ["reshape"]),
    "index a single cell": (
        Functional(lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]),
        IMAGE,
        ["average_pool", "reshape", "reshape"],
    ),
    "permute": (Functional(lambda x: x.permute(0, 2, 3, 1)), IMAGE, ["permute"]),
    "transpose": (Functional(lambda x: x.transpose(1, -1)), IMAGE, ["permute"]),
    "transpose twice": (
        Functional(lambda x: x.transpose(1, 2).relu().transpose(1, 2)),
        SIGNAL,
        ["permute", "relu", "permute"],
    ),
    "permute, contiguous, view": (
        Functional(lambda x: x.permute(0, 2, 1).contiguous().view(x.shape[0], -1)),
        SIGNAL,
        ["permute", "reshape"],
    ),
    "permute and reshape": (
        Functional(lambda x: x.permute(0, 2, 1).reshape(x.shape[0], -1)),
        SIGNAL,
        ["permute", "reshape"],
    ),
    "add": (Functional(lambda x: x + x.relu()), IMAGE, ["relu", "add"]),
    "add to itself": (Functional(lambda x: x + x), IMAGE, ["add"]),
    "torch.add": (Functional(lambda x: torch.add(x, torch.tanh(x), alpha=1)), IMAGE, ["tanh", "add"]),
    "sum of a list": (Functional(lambda x: sum([x.relu(), x.tanh(), x])), IMAGE, ["relu", "tanh", "add", "add"]),
    "concat": (Functional(lambda x: torch.cat([x, x.relu(), x], 1)), IMAGE, ["relu", "concat"]),
    "concat along the last axis": (Functional(lambda x: torch.concat((x, x.tanh()), -1)), IMAGE, ["tanh", "concat"]),
    "concat of one": (Functional(lambda x: torch.cat([x.relu()], 1)), IMAGE, ["relu"]),
    "identity": (nn.Sequential(nn.Identity(), nn.ReLU(), nn.Identity()), IMAGE, ["relu"]),
    "clone, float, contiguous": (
        Functional(lambda x: x.clone().float().contiguous().relu() if x.dtype == torch.float32 else x.relu()),
        IMAGE,
        ["relu"],
    ),
    "channels last": (Functional(lambda x: x.contiguous(memory_format=torch.channels_last).relu()), IMAGE, ["relu"]),
    "full slice": (Functional(lambda x: x[:, :4].relu()), IMAGE, ["relu"]),
    "unused branch": (Functional(lambda x: (x.exp(), x.relu())[1]), IMAGE, ["relu"]),
    "embedded assertion": (Functional(lambda x: x.relu() if x.shape[1] == 4 else x.exp()), IMAGE, ["relu"]),
}


@pytest.mark.parametrize("case", CASES)
def test_operation(case: str) -> None:
    module, shape, expected = CASES[case]
    assert ops(assert_faithful(module, shape)) == expected


def test_convolution_attributes() -> None:
    graph = capture(nn.Conv2d(4, 8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=4), (4, 9, 12))
    node = only(graph, "convolution")
    assert dict(node.attributes) == {
        "stride": (2, 1),
        "padding": ((1, 1), (2, 2)),
        "dilation": (1, 2),
        "groups": 4,
    }
    assert node.shape == (1, 8, 5, 8)


def test_same_padding_puts_the_odd_one_behind() -> None:
    graph = capture(nn.Conv2d(4, 6, (2, 4), padding="same"), IMAGE)
    assert only(graph, "convolution").attributes["padding"] == ((0, 1), (1, 2))


def test_zero_padding_goes_into_the_convolution() -> None:
    graph = capture(nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(4, 6, 3, padding=1)), IMAGE)
    assert only(graph, "convolution").attributes["padding"] == ((1, 4), (2, 3))


def test_one_dimensional_attributes() -> None:
    graph = capture(nn.Sequential(nn.Conv1d(4, 6, 5, padding=2), nn.AvgPool1d(2), nn.MaxPool1d(3)), SIGNAL)
    assert only(graph, "convolution").attributes["padding"] == ((2, 2),)
    average = only(graph, "average_pool").attributes
    assert average == {"rows": ((0, 1),), "columns": ((0, 2), (2, 4), (4, 6), (6, 8), (8, 10)), "divisor": None}
    assert only(graph, "max_pool").attributes["kernel"] == (3,)


def test_batch_norm_attributes() -> None:
    module = nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.25))
    attributes = {
        "eps": 1e-3,
        "momentum": 0.25,
        "running_mean": "0.running_mean",
        "running_var": "0.running_var",
        "frozen": False,
    }
    assert dict(only(capture(module, IMAGE), "batch_norm").attributes) == attributes
    assert dict(only(capture(module, IMAGE, training=False), "batch_norm").attributes) == {**attributes, "frozen": True}
    assert len(only(capture(nn.BatchNorm2d(4, affine=False), IMAGE), "batch_norm").inputs) == 1


def test_batch_norm_in_eval_mode_is_frozen() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    module[1].eval()
    graph = assert_faithful(module, IMAGE)
    assert [graph.nodes[i].attributes["frozen"] for i in graph.find("batch_norm")] == [True, False]


def test_pooling_windows() -> None:
    counted = only(capture(nn.AvgPool2d(3, 2, padding=1), IMAGE), "average_pool").attributes
    assert counted["rows"] == ((0, 2), (1, 4), (3, 6), (5, 8), (7, 9))
    assert counted["divisor"] == 9
    left_out = only(capture(nn.AvgPool2d(3, 2, padding=1, count_include_pad=False), IMAGE), "average_pool").attributes
    assert left_out["rows"] == counted["rows"]
    assert left_out["divisor"] is None
    adaptive = only(capture(nn.AdaptiveAvgPool2d((4, 3)), IMAGE), "average_pool").attributes
    assert adaptive["rows"] == ((0, 3), (2, 5), (4, 7), (6, 9))
    assert adaptive["columns"] == ((0, 3), (2, 5), (4, 7))


def test_layout_and_activation_attributes() -> None:
    assert only(capture(nn.Flatten(), IMAGE), "reshape").attributes == {"shape": (252,)}
    assert only(capture(Functional(lambda x: x.permute(0, 2, 3, 1)), IMAGE), "permute").attributes["order"] == (
        0,
        2,
        3,
        1,
    )
    assert only(capture(nn.Softmax(-1), IMAGE), "softmax").attributes == {"axis": 3}
    assert only(capture(nn.Dropout(0.25), IMAGE), "dropout").attributes == {"p": 0.25}


def test_parameters() -> None:
    module = nn.Sequential(nn.Linear(6, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    module[0].weight.requires_grad_(False)
    graph = capture(module, (6,))
    parameters = [graph.nodes[i] for i in graph.find("parameter")]
    assert [(p.attributes["name"], p.attributes["trainable"], p.shape) for p in parameters] == [
        ("0.weight", False, (3, 6)),
        ("0.bias", True, (3,)),
        ("2.weight", True, (2, 3)),
    ]
    assert [p.name for p in parameters] == ["0.weight", "0.bias", "2.weight"]
    assert graph.nodes[0].op == "input"
    assert graph.nodes[0].shape == (1, 6)


def test_in_place_on_a_shared_value_is_seen_by_all_readers() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = F.relu(y, inplace=True)
        z += x
        return y + z  # y is the same memory as z

    module = Functional(forward, conv=nn.Conv2d(4, 4, 3, padding=1))
    graph = assert_faithful(module, IMAGE)
    assert ops(graph) == ["convolution", "relu", "add", "add"]
    total = graph.nodes[graph.outputs["output"]]
    assert total.inputs[0] == total.inputs[1]


def test_in_place_through_a_view_is_refused() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.conv(x)
        z = y.flatten(1).relu_()  # also changes y
        return y.flatten(1) + z

    module = Functional(forward, conv=nn.Conv2d(4, 4, 3, padding=1))
    with pytest.raises(UnsupportedModel, match="overwritten in place"):
        capture(module, IMAGE)


def test_in_place_through_a_view_is_fine_if_nobody_reads_the_base() -> None:
    module = Functional(lambda self, x: self.conv(x).flatten(1).relu_(), conv=nn.Conv2d(4, 4, 3, padding=1))
    assert ops(assert_faithful(module, IMAGE)) == ["convolution", "reshape", "relu"]


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.data())
def test_any_convolution_and_pooling(data: st.DataObject) -> None:
    def pick(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    groups = pick(1, 3)
    size = (pick(6, 12), pick(6, 12))
    kernel, dilation = (pick(1, 3), pick(1, 3)), (pick(1, 2), pick(1, 2))
    convolution = nn.Conv2d(
        groups * pick(1, 2),
        groups * pick(1, 2),
        kernel,
        (pick(1, 2), pick(1, 2)),
        data.draw(st.sampled_from([0, 1, (0, 2)])),
        dilation,
        groups,
        data.draw(st.booleans()),
    )
    pool = data.draw(
        st.sampled_from(
            [nn.MaxPool2d(1), nn.AvgPool2d(1, 2), nn.AdaptiveAvgPool2d((pick(1, 3), pick(1, 3))), nn.AvgPool2d(2, 1, 1)]
        )
    )
    shape = (convolution.in_channels, *size)
    graph = assert_faithful(nn.Sequential(convolution, pool), shape)
    assert ops(graph)[0] == "convolution"
