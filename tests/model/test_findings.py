"""What cannot be trained exactly: each thing is found, alone or with others, with place, reason and remedy."""

from __future__ import annotations

import random
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune
from torch.utils.checkpoint import checkpoint

from spindl.model import Finding, UnsupportedModel, capture, check, describe_findings, export
from spindl.model.remedies import MODULES, OPERATIONS, remedy_for


class Net(nn.Module):
    """A linear layer, then whatever the test does to its result."""

    def __init__(self, then: Callable[..., Any], width: int = 4, **parts: Any) -> None:
        super().__init__()
        self.fc = nn.Linear(4, width)
        self.then = then
        for name, part in parts.items():
            if isinstance(part, Tensor) and not isinstance(part, nn.Parameter):
                self.register_buffer(name, part)
            else:
                setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.then(self, self.fc(x))


def changed(module: nn.Module, **settings: Any) -> nn.Module:
    """The module with attributes set."""
    for name, value in settings.items():
        setattr(module, name, value)
    return module


def poisoned(value: float, name: str = "weight") -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    with torch.no_grad():
        (module[0].weight if name == "weight" else module[1].running_var)[0] = value
    return module


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return torch.relu(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


doubled = Doubled.apply  # captured early, as in PyTorch's own examples


@torch.library.custom_op("spindl_test::tripled", mutates_args=())
def tripled(x: Tensor) -> Tensor:
    return 3 * x


tripled.register_fake(torch.empty_like)


def branching(self: nn.Module, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return torch.relu(x)
    return torch.tanh(x)


def no_grad(self: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.relu(x)


def autocast(self: nn.Module, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = self.other(x)
    return x.float()


def buffer_in_place(self: nn.Module, x: Tensor) -> Tensor:
    self.seen.add_(1)
    return x


def buffer_assigned(self: nn.Module, x: Tensor) -> Tensor:
    self.seen = self.seen + 1
    return x


def tensor_hook(self: nn.Module, x: Tensor) -> Tensor:
    x.register_hook(lambda gradient: 2 * gradient)
    return x


def other_in_eval(self: nn.Module, x: Tensor) -> Tensor:
    return torch.relu(x) if self.training else torch.tanh(x)


def skipped_in_eval(self: nn.Module, x: Tensor) -> Tensor:
    y = torch.relu(x)
    return y + x if self.training else y + y


def python_random(self: nn.Module, x: Tensor) -> Tensor:
    return torch.relu(x) if random.random() < 2 else x


def numpy_random(self: nn.Module, x: Tensor) -> Tensor:
    return torch.relu(x) if np.random.rand() < 2 else x


def image(self: nn.Module, x: Tensor) -> Tensor:
    return x.view(-1, 4, 4, 4)


def with_hook(register: str, hook: Callable[..., Any]) -> nn.Module:
    module = Net(lambda self, x: x)
    getattr(module.fc, register)(hook)
    return module


def parameter_hook() -> nn.Module:
    module = nn.Linear(4, 4)
    module.weight.register_hook(lambda gradient: gradient)
    return module


def on_image(layer: nn.Module) -> nn.Module:
    """A layer on images of 4 channels, 4 x 4."""
    return Net(lambda self, x: self.layer(image(self, x)).flatten(1), width=64, layer=layer)


# name: (module, {(layer, operation)}, a piece of the reason, a piece of the remedy)
FAULTS: dict[str, tuple[Callable[[], nn.Module], set[tuple[str, str]], str, str]] = {
    "gelu": (lambda: Net(lambda self, x: F.gelu(x)), {("", "gelu")}, "no exact integer meaning", "nn.ReLU"),
    "nn.GELU": (lambda: nn.Sequential(nn.Linear(4, 4), nn.GELU()), {("1", "gelu")}, "integer meaning", "nn.ReLU"),
    "silu": (lambda: Net(lambda self, x: F.silu(x, inplace=True)), {("", "silu_")}, "integer meaning", "nn.ReLU"),
    "leaky relu": (lambda: Net(lambda self, x: F.leaky_relu(x)), {("", "leaky_relu")}, "integer meaning", "nn.ReLU"),
    "hardtanh": (lambda: Net(lambda self, x: F.hardtanh(x)), {("", "hardtanh")}, "cuts at -1", "nn.ReLU6"),
    "clamp": (lambda: Net(lambda self, x: x.clamp(0, 1)), {("", "clamp")}, "cuts at 0 and 1", "nn.ReLU6"),
    "layer norm": (lambda: nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), {("1", "nn.LayerNorm")}, "", "BatchNorm"),
    "group norm": (lambda: on_image(nn.GroupNorm(2, 4)), {("layer", "nn.GroupNorm")}, "", "BatchNorm"),
    "instance norm": (lambda: on_image(nn.InstanceNorm2d(4)), {("layer", "nn.InstanceNorm2d")}, "", "BatchNorm"),
    "local response norm": (
        lambda: on_image(nn.LocalResponseNorm(2)),
        {("layer", "nn.LocalResponseNorm")},
        "",
        "BatchNorm",
    ),
    "transposed convolution": (
        lambda: on_image(nn.ConvTranspose2d(4, 2, 2)),
        {("layer", "nn.ConvTranspose2d")},
        "",
        "enlarges",
    ),
    "upsample": (lambda: on_image(nn.Upsample(scale_factor=2)), {("layer", "nn.Upsample")}, "", "enlarges"),
    "pixel shuffle": (lambda: on_image(nn.PixelShuffle(2)), {("layer", "nn.PixelShuffle")}, "", "enlarges"),
    "embedding": (
        lambda: Net(lambda self, x: self.e(x.argmax(1)), e=nn.Embedding(4, 4)),
        {("", "argmax"), ("e", "nn.Embedding")},
        "",
        "one-hot",
    ),
    "lstm": (
        lambda: Net(lambda self, x: self.lstm(x.view(-1, 2, 2))[0].flatten(1), lstm=nn.LSTM(2, 3, batch_first=True)),
        {("lstm", "nn.LSTM")},
        "",
        "Conv1d",
    ),
    "attention": (
        lambda: Net(lambda self, x: F.scaled_dot_product_attention(*[x.view(-1, 2, 2)] * 3).flatten(1)),
        {("", "scaled_dot_product_attention")},
        "",
        "attention",
    ),
    "3-D convolution": (
        lambda: Net(lambda self, x: self.c(x.view(-1, 1, 4, 4, 4)).flatten(1), width=64, c=nn.Conv3d(1, 1, 2)),
        {("c", "nn.Conv3d")},
        "",
        "slices",
    ),
    "3-D batch norm": (
        lambda: Net(lambda self, x: self.n(x.view(-1, 1, 4, 4, 4)).flatten(1), width=64, n=nn.BatchNorm3d(1)),
        {("n", "nn.BatchNorm3d")},
        "",
        "slices",
    ),
    "circular padding": (
        lambda: on_image(nn.Conv2d(4, 2, 3, padding=1, padding_mode="circular")),
        {("layer", "nn.Conv2d")},
        "circular",
        "zeros",
    ),
    "reflection padding": (lambda: on_image(nn.ReflectionPad2d(1)), {("layer", "pad")}, "reflect", "zeros"),
    "padding before pooling": (
        lambda: on_image(nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(2))),
        {("layer.1", "max_pool2d")},
        "padded",
        "padding",
    ),
    "channel padding": (
        lambda: on_image(nn.Sequential(nn.ConstantPad3d((0, 0, 0, 0, 1, 1), 0.0), nn.Conv2d(6, 1, 1))),
        {("layer.0", "pad")},
        "channels",
        "1x1",
    ),
    "cropping": (
        lambda: on_image(nn.Sequential(nn.ZeroPad2d(-1), nn.Conv2d(4, 1, 1))),
        {("layer.0", "pad")},
        "negative",
        "stride",
    ),
    "ceil_mode": (
        lambda: on_image(nn.MaxPool2d(3, 2, ceil_mode=True)),
        {("layer", "max_pool2d")},
        "ceil_mode",
        "ceil_mode=False",
    ),
    "ceil_mode of averages": (
        lambda: on_image(nn.AvgPool2d(3, 2, ceil_mode=True)),
        {("layer", "avg_pool2d")},
        "ceil_mode",
        "ceil_mode=False",
    ),
    "indices of maxima": (
        lambda: Net(lambda self, x: F.max_pool2d(image(self, x), 2, return_indices=True)[0].flatten(1), width=64),
        {("", "max_pool2d_with_indices")},
        "",
        "return_indices",
    ),
    "adaptive max pool": (
        lambda: on_image(nn.AdaptiveMaxPool2d(3)),
        {("layer", "adaptive_max_pool2d")},
        "does not divide",
        "MaxPool2d",
    ),
    "log softmax": (lambda: Net(lambda self, x: F.log_softmax(x, 1)), {("", "log_softmax")}, "", "logits"),
    "softmax over the batch": (lambda: Net(lambda self, x: F.softmax(x, 0)), {("", "softmax")}, "batch", "dim=1"),
    "dropout of channels": (lambda: on_image(nn.Dropout2d()), {("layer", "feature_dropout")}, "", "nn.Dropout"),
    "dropout of everything": (lambda: Net(lambda self, x: F.dropout(x, 1.0)), {("", "dropout")}, "p is 1", "below 1"),
    "noise": (lambda: Net(lambda self, x: x + torch.rand_like(x)), {("", "rand_like")}, "", "nn.Dropout"),
    "multiplication": (lambda: Net(lambda self, x: x * x.sigmoid()), {("", "mul")}, "", "factor"),
    "scale": (lambda: Net(lambda self, x: x / 2), {("", "div")}, "", "factor"),
    "number added": (lambda: Net(lambda self, x: x + 1), {("", "add")}, "number 1", "bias"),
    "alpha": (lambda: Net(lambda self, x: torch.add(x, x, alpha=2)), {("", "add")}, "alpha is 2", "alpha=1"),
    "broadcast": (
        lambda: Net(lambda self, x: x.view(-1, 2, 2) + x.view(-1, 2, 2).mean(2, keepdim=True)),
        {("", "add")},
        "broadcasting",
        "same shape",
    ),
    "parameter added": (
        lambda: Net(lambda self, x: x + self.p, p=nn.Parameter(torch.ones(4))),
        {("", "add")},
        "parameter 'p'",
        "layer",
    ),
    "buffer added": (lambda: Net(lambda self, x: x + self.b, b=torch.ones(4)), {("", "add")}, "buffer 'b'", "fold"),
    "constant added": (
        lambda: Net(lambda self, x: x + torch.tensor([1.0, 2, 3, 4])),
        {("", "add")},
        "constant tensor",
        "fold",
    ),
    "matmul": (
        lambda: Net(lambda self, x: x @ self.w, w=nn.Parameter(torch.ones(4, 2))),
        {("", "matmul")},
        "",
        "F.linear",
    ),
    "computed weight": (
        lambda: Net(lambda self, x: F.linear(x, self.w.t()), w=nn.Parameter(torch.ones(4, 2))),
        {("", "t")},
        "parameter 'w' itself",
        "Linear",
    ),
    "weight in a buffer": (
        lambda: Net(lambda self, x: F.linear(x, self.w), w=torch.ones(2, 4)),
        {("", "linear")},
        "buffer 'w'",
        "nn.Parameter",
    ),
    "layers in a list": (
        lambda: Net(lambda self, x: self.parts[0](x), parts=[nn.Linear(4, 2)]),
        {("", "linear")},
        "not registered",
        "nn.ModuleList",
    ),
    "transposed batch": (lambda: Net(lambda self, x: x.t().relu().t()), {("", "t")}, "not the batch", "first axis"),
    "batch in the features": (
        lambda: Net(lambda self, x: x.view(-1, 2).relu().view(-1, 4)),
        {("", "view")},
        "not the batch",
        "x.flatten(1)",
    ),
    "joined batches": (lambda: Net(lambda self, x: torch.cat([x, x])), {("", "cat"), ("", "output")}, "", "first axis"),
    "part of a tensor": (lambda: Net(lambda self, x: x[:, :2]), {("", "slice")}, "a part", "two layers"),
    "one entry": (lambda: Net(lambda self, x: x.view(-1, 2, 2)[:, 0]), {("", "select")}, "a part", "two layers"),
    "chunk": (lambda: Net(lambda self, x: x.chunk(2, 1)[0]), {("", "chunk")}, "", "two layers"),
    "expand": (lambda: Net(lambda self, x: x.view(-1, 4, 1).expand(-1, -1, 3)), {("", "expand")}, "repeats", "shape"),
    "mean of features": (lambda: Net(lambda self, x: x.mean(1, keepdim=True)), {("", "mean")}, "image axes", "(2, 3)"),
    "maximum": (
        lambda: on_image(nn.Flatten(2)).requires_grad_(True) and Net(lambda self, x: x.amax(1, True)),
        {("", "amax")},
        "",
        "pool",
    ),
    "detach": (lambda: Net(lambda self, x: x + x.detach()), {("", "detach")}, "cuts the gradient", "requires_grad_"),
    "data": (lambda: Net(lambda self, x: x + x.data), {("", "detach")}, "cuts the gradient", "requires_grad_"),
    "no_grad": (lambda: Net(no_grad), {("", "set_grad_enabled")}, "cuts the gradient", "requires_grad_"),
    "autocast": (lambda: Net(autocast, other=nn.Linear(4, 4)), {("", "autocast")}, "", "torch.autocast"),
    "double": (lambda: Net(lambda self, x: x.double().float()), {("", "to")}, "float64", "formats"),
    "integers": (lambda: Net(lambda self, x: x.int().float()), {("", "to")}, "int32", "formats"),
    "item": (
        lambda: Net(lambda self, x: x + x.max().item()),
        {("", "max"), ("", "item")},
        "values of a tensor",
        "a value may not",
    ),
    "value index": (
        lambda: Net(lambda self, x: x[x > 0].sum().expand(3, 1)),
        {("", "gt"), ("", "index"), ("", "sum")},
        "values of a tensor",
        "same layers",
    ),
    "branch on values": (lambda: Net(branching), {("", "control flow on values")}, "by the values", "a value may not"),
    "fixed batch": (
        lambda: Net(lambda self, x: x.view(3, 4)),
        {("", "fixed batch size")},
        "certain numbers",
        "x.shape[0]",
    ),
    "branch on the batch": (
        lambda: Net(lambda self, x: torch.relu(x) if x.shape[0] > 2 else x),
        {("", "fixed batch size")},
        "certain numbers",
        "do not branch",
    ),
    "custom function": (
        lambda: Net(lambda self, x: doubled(x)),
        {("", "autograd.Function Doubled")},
        "backward would be ignored",
        "plain",
    ),
    "reentrant checkpoint": (
        lambda: Net(lambda self, x: checkpoint(torch.relu, x, use_reentrant=True)),
        {("", "autograd.Function CheckpointFunction"), ("", "set_grad_enabled")},
        "",
        "use_reentrant=False",
    ),
    "tensor hook": (lambda: Net(tensor_hook), {("", "Tensor.register_hook")}, "not call", "remove"),
    "parameter hook": (parameter_hook, {("", "hook on 'weight'")}, "not call", "remove"),
    "backward hook": (
        lambda: with_hook("register_full_backward_hook", lambda m, i, o: None),
        {("fc", "backward hook")},
        "gradients",
        "remove",
    ),
    "forward hook": (
        lambda: with_hook("register_forward_hook", lambda m, i, o: 2 * o),
        {("fc", "forward hook")},
        "changes",
        "only watch",
    ),
    "forward pre-hook": (
        lambda: with_hook("register_forward_pre_hook", lambda m, i: (2 * i[0],)),
        {("fc", "forward hook")},
        "changes",
        "watch",
    ),
    "weight norm": (
        lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(4, 4))),
        {("0", "parametrization")},
        "'weight' is computed",
        "remove_parametrizations",
    ),
    "spectral norm": (
        lambda: nn.Sequential(parametrizations.spectral_norm(nn.Linear(4, 4))),
        {("0", "parametrization")},
        "'weight' is computed",
        "remove_parametrizations",
    ),
    "old spectral norm": (
        lambda: nn.Sequential(nn.utils.spectral_norm(nn.Linear(4, 4))),
        {("0", "SpectralNorm")},
        "computed",
        "remove_spectral",
    ),
    "pruning": (
        lambda: nn.Sequential(prune.l1_unstructured(nn.Linear(4, 4), "weight", 2)),
        {("0", "L1Unstructured")},
        "computed",
        "prune.remove",
    ),
    "NaN": (lambda: poisoned(float("nan")), {("0", "NaN or infinity")}, "'weight' holds 4", "again"),
    "infinity": (lambda: poisoned(float("inf")), {("0", "NaN or infinity")}, "'weight' holds 4", "again"),
    "negative variance": (lambda: poisoned(-0.5, "var"), {("1", "negative variance")}, "-0.5", "reset_running_stats"),
    "half": (lambda: nn.Linear(4, 4).half(), {("", "torch.float16")}, "not float32", "module.float()"),
    "bfloat16": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4).bfloat16()),
        {("1", "torch.bfloat16")},
        "",
        "float()",
    ),
    "float64": (lambda: nn.Linear(4, 4).double(), {("", "torch.float64")}, "not float32", "module.float()"),
    "complex": (
        lambda: nn.Sequential(
            nn.Linear(4, 4), changed(nn.ReLU(), scale=nn.Parameter(torch.ones(2, dtype=torch.complex64)))
        ),
        {("1", "torch.complex64")},
        "not float32",
        "module.float()",
    ),
    "meta": (lambda: nn.Linear(4, 4, device="meta"), {("", "device")}, "meta", "cpu"),
    "lazy": (lambda: nn.LazyLinear(4), {("", "lazy parameter")}, "no shape", "once"),
    "no outputs": (
        lambda: nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 4)),
        {("0", "nn.Linear"), ("1", "nn.Linear")},
        "is 0",
        "feature",
    ),
    "momentum None": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=None)),
        {("1", "nn.BatchNorm1d")},
        "None",
        "0.1",
    ),
    "momentum": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, momentum=1.5)),
        {("1", "nn.BatchNorm1d")},
        "1.5",
        "0.1",
    ),
    "eps": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, eps=1e-12)),
        {("1", "nn.BatchNorm1d")},
        "1e-12",
        "1e-5",
    ),
    "no statistics": (
        lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4, track_running_stats=False)),
        {("1", "nn.BatchNorm1d")},
        "no running statistics",
        "track_running_stats",
    ),
    "functional batch norm": (
        lambda: Net(lambda self, x: F.batch_norm(x, None, None, training=True)),
        {("", "batch_norm")},
        "statistics",
        "track",
    ),
    "functional eps": (
        lambda: Net(lambda self, x: F.batch_norm(x, self.m, self.v, eps=0.5), m=torch.zeros(4), v=torch.ones(4)),
        {("", "batch_norm")},
        "eps is 0.5",
        "1e-5",
    ),
    "batch norm twice": (
        lambda: Net(lambda self, x: self.n(torch.relu(self.n(x))), n=nn.BatchNorm1d(4)),
        {("n", "batch_norm")},
        "second time",
        "of its own",
    ),
    "buffer written": (
        lambda: Net(buffer_in_place, seen=torch.zeros(1)),
        {("", "write to 'seen'")},
        "changes it",
        "outside",
    ),
    "buffer replaced": (
        lambda: Net(buffer_assigned, seen=torch.zeros(1)),
        {("", "write to 'seen'")},
        "changes it",
        "outside",
    ),
    "two outputs": (lambda: Net(lambda self, x: (x, x)), {("", "several outputs")}, "tuple of 2", "only the logits"),
    "dictionary": (
        lambda: Net(lambda self, x: {"logits": x}),
        {("", "several outputs")},
        "dict of 1",
        "only the logits",
    ),
    "classes": (lambda: Net(lambda self, x: x.argmax(1)), {("", "argmax"), ("", "output")}, "", "logits"),
    "loss": (lambda: Net(lambda self, x: x.sum()), {("", "sum"), ("", "output")}, "", "logits"),
    "other layers in eval": (
        lambda: Net(other_in_eval),
        {("relu", "forward that differs in eval mode")},
        "relu where eval mode computes tanh",
        "both",
    ),
    "other inputs in eval": (
        lambda: Net(skipped_in_eval),
        {("add", "forward that differs in eval mode")},
        "other inputs",
        "both modes",
    ),
    "random": (lambda: Net(python_random), {("", "random numbers")}, "random", "nn.Dropout"),
    "numpy random": (lambda: Net(numpy_random), {("", "random numbers")}, "random", "nn.Dropout"),
    "kernel too large": (lambda: on_image(nn.Conv2d(4, 1, 5)), {("", "forward")}, "can't be greater", "one image"),
    "wrong width": (lambda: nn.Linear(5, 2), {("", "forward")}, "cannot be multiplied", "one image"),
    "two inputs": (lambda: nn.Bilinear(4, 4, 2), {("", "several inputs")}, "input1, input2", "one tensor"),
    "custom operator": (
        lambda: Net(lambda self, x: tripled(x)),
        {("", "spindl_test::tripled")},
        "custom operator",
        "build it from",
    ),
    "data parallel": (lambda: nn.DataParallel(nn.Linear(4, 4)), {("", "DataParallel")}, "wraps", ".module"),
    "torchscript": (lambda: torch.jit.script(nn.Linear(4, 4)), {("", "torch.jit")}, "Python code", "before"),
    "compiled": (lambda: torch.compile(nn.Linear(4, 4)), {("", "OptimizedModule")}, "wraps", "torch.compile"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("fault", FAULTS)
def test_fault(fault: str) -> None:
    build, expected, reason, remedy = FAULTS[fault]
    torch.manual_seed(0)
    module = build()
    with pytest.raises(UnsupportedModel) as caught:
        capture(module, (4,))
    findings = [finding for finding in caught.value.findings if not finding.warning]
    assert {(finding.layer, finding.operation) for finding in findings} == expected, describe_findings(findings)
    assert any(reason in finding.reason for finding in findings), describe_findings(findings)
    assert any(remedy in finding.remedy for finding in findings), describe_findings(findings)
    assert findings[0].operation in str(caught.value)
    assert f"{len(findings)} thing" in caught.value.what


class Everything(nn.Module):
    """Many faults at once, behind a branch that alone would stop the export."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.bn = nn.BatchNorm1d(4, momentum=None)
        self.spare = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(x)
        if x.mean() > 100:  # line: branch
            x = torch.relu(x)
        x = F.gelu(x)  # line: gelu
        x = self.norm(x)  # line: norm
        x = self.bn(x)
        x = x * 2  # line: scale
        return doubled(x)  # line: custom


def rounds(self: nn.Module, x: Tensor) -> Tensor:
    for _ in range(2000 + int(x.abs().max())):  # line: rounds
        x = torch.relu(x)
    return x


def test_a_loop_as_long_as_a_value_is_not_followed_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.export would take many minutes for so many rounds, each longer than the one before."""
    monkeypatch.setattr(export, "DRAFT_SECONDS", 0.5)
    started = monotonic()
    (finding,) = check(Net(rounds), (4,))
    assert monotonic() - started < 60
    assert (finding.operation, finding.source) == ("control flow on values", line_of("rounds"))


def line_of(marker: str) -> str:
    with open(__file__) as file:
        numbers = [number for number, text in enumerate(file, 1) if text.rstrip().endswith(f"# line: {marker}")]
    return f"test_findings.py:{numbers[0]}"


def test_everything_is_found_at_once_with_its_line() -> None:
    findings = check(Everything(), (4,))
    with pytest.raises(UnsupportedModel) as caught:
        capture(Everything(), (4,))
    assert caught.value.findings == findings
    found = {(finding.operation, finding.source) for finding in findings}
    assert found == {
        ("nn.BatchNorm1d", ""),
        ("control flow on values", line_of("branch")),
        ("gelu", line_of("gelu")),
        ("nn.LayerNorm", line_of("norm")),
        ("mul", line_of("scale")),
        ("autograd.Function Doubled", line_of("custom")),
    }


def test_lines_of_what_torch_export_itself_refuses() -> None:
    module = Net(branching)
    (finding,) = check(module, (4,))
    assert finding.source == f"test_findings.py:{branching.__code__.co_firstlineno + 1}"
    then: Any = lambda self, x: x.view(3, 4)  # noqa: E731  # line: three
    for _ in range(2):
        (finding,) = check(Net(then), (4,))
        assert finding.source == line_of("three")


def test_line_of_an_exception_in_the_forward() -> None:
    def fails(self: nn.Module, x: Tensor) -> Tensor:
        raise KeyError("no such thing")  # line: raises

    (finding,) = check(Net(fails), (4,))
    assert (finding.operation, finding.source) == ("forward", line_of("raises"))
    assert "KeyError" in finding.reason


def test_line_of_a_tensor_hook() -> None:
    (finding,) = check(Net(tensor_hook), (4,))
    assert finding.source == f"test_findings.py:{tensor_hook.__code__.co_firstlineno + 1}"


def test_notes_do_not_stop_capture() -> None:
    module = Net(lambda self, x: x, spare=nn.Linear(2, 2))
    module.fc.requires_grad_(False)
    findings = check(module, (4,))
    assert [(finding.operation, finding.warning) for finding in findings] == [
        ("unused parameter", True),
        ("unused parameter", True),
        ("nothing to train", True),
    ]
    assert capture(module, (4,)).find("linear")


def test_nothing_to_find() -> None:
    assert check(nn.Linear(4, 2), (4,)) == ()
    assert describe_findings(()) == "nothing unsupported was found"


def test_a_hook_that_only_watches_is_fine_and_never_sees_a_tracing_tensor() -> None:
    seen: list[type] = []
    module = with_hook("register_forward_hook", lambda m, i, o: seen.append(type(o)))
    assert check(module, (4,)) == ()
    assert set(seen) == {Tensor}


def test_checkpointing_without_reentry_is_fine() -> None:
    assert check(Net(lambda self, x: checkpoint(self.fc, x, use_reentrant=False)), (4,)) == ()


def test_only_eval_faults_are_found_too() -> None:
    module = Net(lambda self, x: torch.relu(x) if self.training else F.gelu(x))
    assert [finding.operation for finding in check(module, (4,))] == ["gelu"]
    assert check(Net(lambda self, x: F.gelu(x) if self.training else torch.relu(x)), (4,), training=False) == ()


@pytest.mark.parametrize("shape", [(), (0,), (1, 2, 3, 4), (-1, 4), (2.5,)])
def test_bad_input_shape(shape: Any) -> None:
    (finding,) = check(nn.Linear(4, 2), shape)
    assert finding.operation == "input_shape"
    with pytest.raises(UnsupportedModel, match="not the shape of one image"):
        capture(nn.Linear(4, 2), shape)


def test_not_a_module() -> None:
    (finding,) = check(nn.Linear, (4,))  # type: ignore[arg-type]
    assert "not a torch.nn.Module" in finding.reason


def test_finding_text() -> None:
    finding = Finding("layer1.0", "net.py:12", "gelu", "it has no meaning", "use ReLU")
    assert str(finding) == "layer1.0 (net.py:12): gelu: it has no meaning\n  -> use ReLU"
    assert str(Finding("", "", "gelu", "a", "b", warning=True)) == "note: model: gelu: a\n  -> b"


def test_remedies_name_real_things() -> None:
    for name in MODULES:
        assert hasattr(nn, name), name
    for name in OPERATIONS:
        known = hasattr(torch.ops.aten, name) or name in ("set_grad_enabled", "autocast", "cond")
        assert known or hasattr(torch.ops.aten, f"{name}_"), name
    assert "convolution" in remedy_for("no_such_operation")
