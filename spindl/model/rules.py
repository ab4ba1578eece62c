"""One rule for each PyTorch operation that is a layer op, or disappears into one.

A rule reads the operands of one exported operation and returns the value it makes; it raises Rejected where the
operation is used in a way the layer ops cannot say. Rules are found by the operation's full name, such as
"aten.conv2d.default"; the in-place form of an operation ("aten.relu_.default") has the rule of the plain one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias

import torch

from spindl.graph.layers import window_outputs
from spindl.model.builder import Activation, Buffer, Builder, Padded, Rejected, Unknown, Value
from spindl.model.remedies import OPERATIONS

Arguments = Mapping[str, Any]
"""Operands of an operation by the names of its schema, defaults filled in; tensors are nodes of the program."""

Rule: TypeAlias = Callable[[Builder, Arguments], Value]
Windows: TypeAlias = tuple[tuple[int, int], ...]

RULES: dict[str, Rule] = {}

EPSILON_RANGE = (1e-8, 1e-1)
"""Batch norm's eps must lie in here to be added to an integer variance without drowning it or vanishing in it."""


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update({f"aten.{name}": rule for name in names})
        return rule

    return register


@_rule("linear.default")
def _linear(b: Builder, a: Arguments) -> Value:
    inputs = [b.activation(a["input"]), b.parameter(a["weight"], "weight")]
    if a["bias"] is not None:
        inputs.append(b.parameter(a["bias"], "bias"))
    return b.emit("linear", inputs)


@_rule("conv1d.default", "conv2d.default", "conv1d.padding", "conv2d.padding")
def _convolution(b: Builder, a: Arguments) -> Value:
    source = b.value(a["input"])
    x, extra = (source.index, source.padding) if isinstance(source, Padded) else (b.activation(a["input"]), None)
    weight = b.parameter(a["weight"], "weight")
    kernel = b.shape(weight)[2:]
    stride, dilation = _per_axis(a["stride"], len(kernel)), _per_axis(a["dilation"], len(kernel))
    if a["padding"] == "same":
        # PyTorch puts the odd one out behind the image.
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        padding = tuple((t // 2, t - t // 2) for t in total)
    elif a["padding"] == "valid":
        padding = ((0, 0),) * len(kernel)
    else:
        padding = tuple((p, p) for p in _per_axis(a["padding"], len(kernel)))
    if extra is not None:
        padding = tuple((p[0] + e[0], p[1] + e[1]) for p, e in zip(padding, extra, strict=True))
    inputs = [x, weight]
    if a["bias"] is not None:
        inputs.append(b.parameter(a["bias"], "bias"))
    attributes = {"stride": stride, "padding": padding, "dilation": dilation, "groups": a["groups"]}
    return b.emit("convolution", inputs, attributes)


@_rule("batch_norm.default")
def _batch_norm(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["input"])
    if len(b.shape(x)) > 4:
        raise Rejected("batch norm of volumes is not supported", "fold the depth into the channels", "batch_norm")
    if (a["weight"] is None) != (a["bias"] is None):
        raise Rejected("it has only one of weight and bias", "give both, or affine=False")
    inputs = [x]
    if a["weight"] is not None:
        inputs += [b.parameter(a["weight"], "weight"), b.parameter(a["bias"], "bias")]
    if a["running_mean"] is None or a["running_var"] is None:
        raise Rejected("it keeps no running statistics", "leave track_running_stats=True")
    frozen = not a["training"]
    mean, var = b.buffer(a["running_mean"], "running_mean"), b.buffer(a["running_var"], "running_var")
    if mean in b.running and not frozen:
        raise Rejected(
            f"it updates the running statistics '{mean}' a second time in one forward",
            "give every call a BatchNorm layer of its own; the convolutions around it may be shared",
        )
    b.running.add(mean)
    low, high = EPSILON_RANGE
    if not low <= a["eps"] <= high:
        raise Rejected(f"eps is {a['eps']:g}, outside {low:g} to {high:g}", "use PyTorch's default of 1e-5")
    if not frozen and not 0 < a["momentum"] <= 1:
        raise Rejected(f"momentum is {a['momentum']:g}, outside 0 (exclusive) to 1", "use PyTorch's default of 0.1")
    attributes = {
        "eps": float(a["eps"]),
        "momentum": float(a["momentum"]),
        "running_mean": mean,
        "running_var": var,
        "frozen": frozen,
    }
    return b.emit("batch_norm", inputs, attributes)


@_rule("relu.default")
def _relu(b: Builder, a: Arguments) -> Value:
    return b.emit("relu", [b.activation(a["self"])])


@_rule("relu6.default")
def _relu6(b: Builder, a: Arguments) -> Value:
    return b.emit("relu6", [b.activation(a["self"])])


@_rule("sigmoid.default")
def _sigmoid(b: Builder, a: Arguments) -> Value:
    return b.emit("sigmoid", [b.activation(a["self"])])


@_rule("tanh.default")
def _tanh(b: Builder, a: Arguments) -> Value:
    return b.emit("tanh", [b.activation(a["self"])])


@_rule("hardtanh.default")
def _hardtanh(b: Builder, a: Arguments) -> Value:
    return _clip(b, a["self"], a["min_val"], a["max_val"])


@_rule("clamp.default")
def _clamp(b: Builder, a: Arguments) -> Value:
    return _clip(b, a["self"], a["min"], a["max"])


@_rule("clamp_min.default")
def _clamp_min(b: Builder, a: Arguments) -> Value:
    return _clip(b, a["self"], a["min"], None)


def _clip(b: Builder, operand: Any, low: float | None, high: float | None) -> Value:
    if low == 0 and high is None:
        return b.emit("relu", [b.activation(operand)])
    if low == 0 and high == 6:
        return b.emit("relu6", [b.activation(operand)])
    reason = f"it cuts at {low} and {high}; only 0 and none (relu), or 0 and 6 (relu6) are supported"
    raise Rejected(reason, OPERATIONS["clamp"])


@_rule("softmax.int")
def _softmax(b: Builder, a: Arguments) -> Value:
    if a["dtype"] not in (None, torch.float32):
        raise Rejected(f"it asks for {a['dtype']}", "leave dtype out")
    x = b.activation(a["self"])
    axis = a["dim"] % len(b.shape(x))
    if axis == 0:
        raise Rejected("it runs along the batch", "give the axis of the classes, for example dim=1")
    return b.emit("softmax", [x], {"axis": axis})


@_rule("dropout.default")
def _dropout(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["input"])
    if not a["train"] or a["p"] == 0:
        return Activation(x)
    if not a["p"] < 1:
        raise Rejected("p is 1: nothing is kept", "use a probability below 1")
    return b.emit("dropout", [x], {"p": float(a["p"])})


@_rule("max_pool1d.default", "max_pool2d.default")
def _max_pool(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    size = b.shape(x)[2:]
    kernel = _per_axis(a["kernel_size"], len(size))
    stride = _per_axis(a["stride"] or kernel, len(size))
    padding = tuple((p, p) for p in _per_axis(a["padding"], len(size)))
    dilation = _per_axis(a["dilation"], len(size))
    if a["ceil_mode"]:
        _reject_ceil_mode(size, kernel, stride, padding, dilation)
    attributes = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return b.emit("max_pool", [x], attributes)


@_rule("adaptive_max_pool1d.default", "adaptive_max_pool2d.default")
def _adaptive_max_pool(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    size = b.shape(x)[2:]
    outputs = _per_axis(a["output_size"], len(size))
    if any(s % o for s, o in zip(size, outputs, strict=True)):
        reason = f"{list(outputs)} does not divide the image of {list(size)}"
        raise Rejected(reason, "choose sizes that divide, or use nn.MaxPool2d")
    kernel = tuple(s // o for s, o in zip(size, outputs, strict=True))
    none, ones = ((0, 0),) * len(size), (1,) * len(size)
    attributes = {"kernel": kernel, "stride": kernel, "padding": none, "dilation": ones}
    return (b.emit("max_pool", [x], attributes), Unknown())


@_rule("avg_pool1d.default", "avg_pool2d.default")
def _average_pool(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    size = b.shape(x)[2:]
    kernel = _per_axis(a["kernel_size"], len(size))
    stride = _per_axis(a["stride"] or kernel, len(size))
    padding = _per_axis(a["padding"], len(size))
    if a["ceil_mode"]:
        _reject_ceil_mode(size, kernel, stride, tuple((p, p) for p in padding), (1,) * len(size))
    windows = []
    for s, k, step, p in zip(size, kernel, stride, padding, strict=True):
        count = window_outputs(s, k, step, (p, p), 1)
        starts = [i * step - p for i in range(count)]
        windows.append(tuple((max(start, 0), min(start + k, s)) for start in starts))
    divisor = a.get("divisor_override")
    if divisor is None and a["count_include_pad"] and any(padding):
        divisor = prod(kernel)
    if divisor is not None and divisor < 1:
        raise Rejected(f"divisor_override is {divisor}", "leave it out, or give a positive number")
    return _emit_average(b, x, windows, divisor)


@_rule("adaptive_avg_pool1d.default", "adaptive_avg_pool2d.default")
def _adaptive_average_pool(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    size = b.shape(x)[2:]
    windows = [
        tuple((i * s // o, -((i + 1) * s // -o)) for i in range(o))
        for s, o in zip(size, _per_axis(a["output_size"], len(size)), strict=True)
    ]
    return _emit_average(b, x, windows, None)


@_rule("mean.dim")
def _mean(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    shape = b.shape(x)
    axes = {axis % len(shape) for axis in a["dim"] or range(len(shape))}
    if a["dtype"] not in (None, torch.float32):
        raise Rejected(f"it asks for {a['dtype']}", "leave dtype out")
    if len(shape) not in (3, 4) or min(axes) < 2:
        raise Rejected(
            f"it averages axes {sorted(axes)} of [batch, {', '.join(map(str, shape[1:]))}]; only image axes can be",
            "average height and width, x.mean((2, 3)), or the last axis of a signal, x.mean(2)",
        )
    windows = [
        ((0, size),) if axis in axes else tuple((i, i + 1) for i in range(size))
        for axis, size in enumerate(shape)
        if axis >= 2
    ]
    pooled = _emit_average(b, x, windows, None)
    if a["keepdim"]:
        return pooled
    kept = tuple(size for axis, size in enumerate(shape) if axis not in axes)
    return b.emit("reshape", [pooled.index], {"shape": kept[1:]})


def _emit_average(b: Builder, x: int, windows: Sequence[Windows], divisor: int | None) -> Activation:
    rows = windows[0] if len(windows) == 2 else ((0, 1),)
    return b.emit("average_pool", [x], {"rows": rows, "columns": windows[-1], "divisor": divisor})


@_rule(
    "view.default",
    "_unsafe_view.default",
    "reshape.default",
    "view_as.default",
    "reshape_as.default",
    "flatten.using_ints",
    "unflatten.int",
    "squeeze.default",
    "squeeze.dim",
    "squeeze.dims",
    "unsqueeze.default",
    "expand.default",
    "expand_as.default",
)
def _reshape(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    if b.image_shape is None or prod(b.image_shape) != prod(b.shape(x)[1:]):
        raise Rejected("it repeats elements", OPERATIONS["expand"])
    if b.image_shape == b.shape(x)[1:]:
        return Activation(x)
    return b.emit("reshape", [x], {"shape": b.image_shape})


@_rule("permute.default")
def _permute(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    return _emit_permute(b, x, [axis % len(b.shape(x)) for axis in a["dims"]])


@_rule("transpose.int", "swapaxes.default", "swapdims.default")
def _transpose(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    rank = len(b.shape(x))
    first, second = (a[key] % rank for key in (("dim0", "dim1") if "dim0" in a else ("axis0", "axis1")))
    order = list(range(rank))
    order[first], order[second] = order[second], order[first]
    return _emit_permute(b, x, order)


@_rule("t.default", "numpy_T.default")
def _reverse(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    return _emit_permute(b, x, list(reversed(range(len(b.shape(x))))))


def _emit_permute(b: Builder, x: int, order: list[int]) -> Value:
    if order == sorted(order):
        return Activation(x)
    if order[0] != 0:
        raise Rejected("it moves the batch axis", "leave the first axis where it is; every layer works image by image")
    return b.emit("permute", [x], {"order": tuple(order)})


@_rule("slice.Tensor")
def _slice(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    if b.image_shape != b.shape(x)[1:]:
        raise Rejected("it takes a part of the tensor", OPERATIONS["slice"])
    return Activation(x)


@_rule("select.int")
def _select(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    if b.shape(x)[a["dim"]] != 1 or a["dim"] % len(b.shape(x)) == 0:
        raise Rejected("it takes a part of the tensor", OPERATIONS["select"])
    return _reshape(b, a)


@_rule("add.Tensor")
def _add(b: Builder, a: Arguments) -> Value:
    if a["alpha"] != 1:
        raise Rejected(f"alpha is {a['alpha']}", "add with alpha=1; learn the factor as part of the layer before")
    if isinstance(a["other"], (int, float)):
        if a["other"] == 0:
            return Activation(b.activation(a["self"]))
        raise Rejected(f"it adds the number {a['other']:g}", "let the bias of the layer before learn it")
    x, y = b.activation(a["self"]), b.activation(a["other"])
    if b.shape(x) != b.shape(y):
        raise Rejected(
            f"it adds {list(b.shape(x)[1:])} and {list(b.shape(y)[1:])} (one image); broadcasting is not supported",
            "give both operands the same shape",
        )
    return b.emit("add", [x, y])


@_rule("cat.default", "concat.default", "concatenate.default")
def _concat(b: Builder, a: Arguments) -> Value:
    inputs = [b.activation(operand) for operand in a["tensors"]]
    if len(inputs) == 1:
        return Activation(inputs[0])
    axis = a["dim"] % len(b.shape(inputs[0]))
    if axis == 0:
        raise Rejected("it joins batches", "give the axis of the channels, dim=1")
    return b.emit("concat", inputs, {"axis": axis})


@_rule("pad.default", "constant_pad_nd.default")
def _pad(b: Builder, a: Arguments) -> Value:
    x = b.activation(a["self"])
    spatial = len(b.shape(x)) - 2
    pad = list(a["pad"])
    pad += [0] * (2 * (spatial + 2) - len(pad))
    padding = tuple((pad[2 * i], pad[2 * i + 1]) for i in reversed(range(spatial)))
    if a.get("mode", "constant") != "constant" or a["value"] not in (None, 0):
        raise Rejected(f"it pads with {a.get('mode', 'constant')} values", OPERATIONS["pad"])
    if any(pad[2 * spatial :]):
        raise Rejected("it pads the channels or the batch", "make the channels with a 1x1 convolution")
    if min(pad) < 0:
        raise Rejected("it cuts off the border (negative padding)", "choose stride and padding of the layers instead")
    return Padded(x, padding)


@_rule(
    "contiguous.default",
    "clone.default",
    "alias.default",
    "to.dtype",
    "to.device",
    "to.dtype_layout",
    "to.other",
    "_to_copy.default",
    "type_as.default",
    "positive.default",
)
def _nothing(b: Builder, a: Arguments) -> Value:
    return Activation(b.activation(a["self"]))


def is_step_counter(value: Value) -> bool:
    """Whether a value is batch norm's num_batches_tracked, which plays no part in the arithmetic."""
    return isinstance(value, Buffer) and value.name.endswith("num_batches_tracked")


def _per_axis(value: int | Sequence[int], axes: int) -> tuple[int, ...]:
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * axes if len(given) == 1 else given


def _reject_ceil_mode(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> None:
    """Raise Rejected where rounding up gives another window than rounding down."""
    for s, k, step, p, d in zip(size, kernel, stride, padding, dilation, strict=True):
        left_over = (s + sum(p) - d * (k - 1) - 1) % step
        # PyTorch drops the extra window again if it would start in the padding behind the image.
        if left_over and window_outputs(s, k, step, p, d) * step < s + p[0]:
            raise Rejected(
                f"ceil_mode=True gives a window that leaves the image of {list(size)}",
                "leave ceil_mode=False, or choose an input size that the stride divides",
            )
