"""Contractions of one tile on the cores, and what the interpreter says they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import spindl.graph.ops  # noqa: F401
from spindl.graph.graph import Node
from spindl.graph.layers import window_outputs
from spindl.graph.operations import OPERATIONS, Value
from spindl.program.kernels import KERNELS
from spindl.program.kernels.contraction import FLAGS
from tests.kernels.harness import EMPTY, Result, Site, cycles, run, scratch

Array = NDArray[Any]
DIRECTIONS = ("convolution", "convolution_input_gradient", "convolution_weight_gradient")
RESULT = {"convolution": "y", "convolution_input_gradient": "x", "convolution_weight_gradient": "w"}
EXPONENTS = (-13, -14, -15)
"""Of x, w and y where they are operands."""


@dataclass(frozen=True)
class Case:
    """One convolution: sizes, what its mantissas look like, how its results are rounded."""

    images: int = 1
    groups: int = 1
    inputs: int = 4
    outputs: int = 4
    shape: tuple[int, int] = (5, 5)
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0))
    dilation: tuple[int, int] = (1, 1)
    x_more: int = 0
    y_more: int = 0
    values: str = "random"
    shift: int = 16
    bits: int = 15
    relu: bool = False
    bias: int | None = None
    seed: int = 0

    @property
    def attributes(self) -> dict[str, Any]:
        keys = ("groups", "stride", "padding", "dilation")
        return {"group_size": 1, **{key: getattr(self, key) for key in keys}}

    @property
    def y_shape(self) -> tuple[int, int]:
        h, w = (
            window_outputs(self.shape[i], self.kernel[i], self.stride[i], self.padding[i], self.dilation[i])
            for i in range(2)
        )
        return h, w

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Logical shapes."""
        channels, outputs = self.groups * self.inputs, self.groups * self.outputs
        return {
            "x": (self.images, channels, *self.shape),
            "w": (outputs, self.inputs, *self.kernel),
            "y": (self.images, outputs, *self.y_shape),
        }

    def mantissas(self, name: str) -> Array:
        """Random operands; "extreme": all near the largest magnitude, so that int32 sums overflow."""
        rng = np.random.default_rng((self.seed, ord(name)))
        shape = self.shapes[name]
        limit = {"x": 2**15 - 1, "w": 2**13 - 1, "y": 2**15 - 1}[name]
        if self.values == "extreme":
            signs = np.where(rng.random(shape) < 0.02, -1, 1)
            return (signs * (2**15 - 1 - rng.integers(0, 3, shape))).astype(np.int64)
        if self.values == "largest":
            return np.full(shape, 2**15 - 1, np.int64)
        if self.values == "alternating":
            return np.where(rng.random(shape) < 0.5, -limit, limit).astype(np.int64)
        if self.values == "sparse":
            return np.where(rng.random(shape) < 0.9, 0, rng.integers(-limit, limit + 1, shape))
        if self.values == "zero":
            return np.zeros(shape, np.int64)
        if self.values == "powers":
            return np.asarray(1 << rng.integers(0, 8, shape)) * rng.choice([-1, 1], shape)
        return np.asarray(rng.integers(-limit // 4, limit // 4 + 1, shape))

    def bias_mantissas(self) -> Array:
        rng = np.random.default_rng((self.seed, 77))
        return rng.integers(-(2**28), 2**28, self.groups * self.outputs)


@st.composite
def cases(draw: st.DrawFn, largest: int = 9) -> Case:
    """Cases of every kind, small."""
    kernel = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(2))
    least = [max(1, (kernel[i] - 1) * dilation[i] + 1 - sum(padding[i])) for i in range(2)]
    shape = tuple(draw(st.integers(low, low + 4)) for low in least)
    return Case(
        images=draw(st.integers(1, 3)),
        groups=draw(st.sampled_from([1, 1, 2, 3])),
        inputs=draw(st.integers(1, largest)),
        outputs=draw(st.integers(1, largest)),
        shape=(shape[0], shape[1]),
        kernel=kernel,
        stride=(draw(st.integers(1, 3)), draw(st.integers(1, 3))),
        padding=(padding[0], padding[1]),
        dilation=dilation,
        x_more=draw(st.integers(0, 3)),
        y_more=draw(st.integers(0, 3)),
        values=draw(st.sampled_from(["random", "extreme", "alternating", "sparse", "powers", "zero"])),
        shift=draw(st.one_of(st.integers(10, 20), st.integers(-3, 40))),
        bits=draw(st.sampled_from([8, 14, 15, 16])),
        relu=draw(st.booleans()),
        bias=draw(st.sampled_from([None, -27, -27, -35, -20, -5, 10])),
        seed=draw(st.integers(0, 10_000)),
    )


def to_memory(name: str, logical: Array, dtype: Any, more: int, filler: int = 0) -> Array:
    """NCHW to [n][h][w][pitch], OIHW to [o][h][w][i]."""
    lying = np.moveaxis(logical, 1, -1)
    if name != "w":
        extra = np.full((*lying.shape[:-1], more), filler)
        lying = np.concatenate([lying, extra], axis=-1)
    return np.ascontiguousarray(lying).astype(dtype)


def from_memory(name: str, memory: Array, channels: int) -> Array:
    """The logical tensor of what lies in memory."""
    return np.moveaxis(memory[..., :channels], -1, 1).astype(np.int64)


def exponent_of(direction: str) -> int:
    """Of the sums of a direction, by EXPONENTS."""
    return sum(EXPONENTS[i] for i, name in enumerate("xwy") if name != RESULT[direction])


def exact(case: Case, direction: str) -> Value:
    """The interpreter's exact sums; a weight gradient has a first axis of images."""
    operands = [Value(case.mantissas(name), EXPONENTS["xwy".index(name)]) for name in "xwy"]
    x, w, y = operands
    shapes, attributes = case.shapes, case.attributes
    meaning = OPERATIONS[direction].meaning
    if direction == "convolution":
        return meaning(Node(direction, attributes=attributes, shape=shapes["y"]), x, w)
    if direction == "convolution_input_gradient":
        more = {"input_shape": shapes["x"][1:]}
        return meaning(Node(direction, attributes={**attributes, **more}, shape=shapes["x"]), y, w)
    return meaning(Node(direction, attributes={**attributes, "weight_shape": shapes["w"]}), y, x)


def with_bias(case: Case, direction: str, sums: Value) -> Value:
    if case.bias is None or direction != "convolution":
        return sums
    return OPERATIONS["add_bias"].meaning(Node("add_bias"), sums, Value(case.bias_mantissas(), case.bias))


def rounded(case: Case, direction: str, sums: Value) -> tuple[Array, Site]:
    """What the graph makes of exact sums: rounded (and ReLU), the site afterwards."""
    sums = with_bias(case, direction, sums)
    site = Value(np.zeros(16, np.int64), exponent_of(direction) + case.shift)
    node = Node("requantise", attributes={"bits": case.bits})
    y = OPERATIONS["requantise"].meaning(node, sums, site).mantissa
    extent = int(OPERATIONS["extent"].meaning(node, sums).mantissa)
    saturated = int(OPERATIONS["saturation"].meaning(node, sums, site).mantissa)
    if case.relu and direction == "convolution":
        y = np.maximum(y, 0)
    return y, Site(site.exponent, extent, saturated)


@dataclass(frozen=True)
class Call:
    """A kernel's call before it is run.

    Attributes:
        arguments: all but the addresses of buffers.
        buffers: by name, as they lie in memory.
        cycles, scratch: as declared.
    """

    direction: str
    arguments: dict[str, Any]
    buffers: dict[str, Array]
    cycles: int
    scratch: int

    @property
    def words(self) -> tuple[int, ...]:
        """The argument words, addresses 0 (that of a bias: not 0)."""
        kernel = KERNELS[self.direction]
        return kernel.words({field.name: _number(self.arguments.get(field.name, 0)) for field in kernel.arguments})


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else 4


def arguments_of(
    case: Case,
    direction: str,
    *,
    sums: bool = False,
    narrow: bool = False,
    before: Array | None = None,
    window: tuple[int, int] | None = None,
) -> Call:
    """The call of a kernel for a case; arguments as for run_case."""
    result_name, shapes = RESULT[direction], case.shapes
    stride, padding, span = case.stride[0], case.padding[0][0], (case.kernel[0] - 1) * case.dilation[0]
    x_rows, y_rows = (0, case.shape[0]), (0, case.y_shape[0])
    if window and direction != "convolution_input_gradient":
        y_rows = window
        x_rows = (max(0, y_rows[0] * stride - padding), (y_rows[1] - 1) * stride - padding + span + 1)
    elif window:
        x_rows = window
        y_rows = (max(0, -(-(x_rows[0] + padding - span) // stride)), (x_rows[1] - 1 + padding) // stride + 1)
    first_x, last_x = _within(x_rows, case.shape[0])
    first_y, last_y = _within(y_rows, case.y_shape[0])
    cut = {"x": slice(first_x, last_x), "y": slice(first_y, last_y), "w": slice(None)}
    more = {"x": case.x_more, "y": case.y_more, "w": 0}
    kind = np.int64 if sums else np.int32 if result_name == "w" and not narrow else np.int16
    buffers: dict[str, Array] = {}
    for name in "xwy":
        if name == result_name:
            shape = list(shapes[name])
            if name != "w":
                shape[2] = cut[name].stop - cut[name].start
            content = np.zeros(shape, np.int64) if before is None else before
            buffers[name] = to_memory(name, content, kind, more[name], filler=-7)
        else:
            buffers[name] = to_memory(name, case.mantissas(name)[:, :, cut[name]], np.int16, more[name], filler=12345)
    biased = case.bias is not None and direction == "convolution" and not sums
    if biased:
        buffers["bias"] = case.bias_mantissas().astype(np.int32)
    flags = FLAGS["SUMS"] * sums | FLAGS["NARROW"] * narrow | FLAGS["ADD"] * (before is not None)
    flags |= FLAGS["RELU"] * (case.relu and direction == "convolution" and not sums)
    operands = [i for i, name in enumerate("xwy") if name != result_name]
    arguments: dict[str, Any] = {
        "images": case.images,
        "x_rows": buffers["x"].shape[1],
        "x_columns": case.shape[1],
        "x_pitch": buffers["x"].shape[3],
        "y_rows": buffers["y"].shape[1],
        "y_columns": case.y_shape[1],
        "y_pitch": buffers["y"].shape[3],
        "groups": case.groups,
        "inputs": case.inputs,
        "outputs": case.outputs,
        "kernel_rows": case.kernel[0],
        "kernel_columns": case.kernel[1],
        "stride_rows": case.stride[0],
        "stride_columns": case.stride[1],
        "dilation_rows": case.dilation[0],
        "dilation_columns": case.dilation[1],
        "top": first_y * stride - padding - first_x,
        "left": -case.padding[1][0],
        "first_exponent": operands[0],
        "second_exponent": operands[1],
        "bias": "bias" if biased else 0,
        "bias_exponent": 3 if biased else 0,
        "site": 1,
        "bits": case.bits,
        "flags": flags,
    }
    numbers = {key: _number(value) for key, value in arguments.items()}
    size = scratch(direction, numbers)
    buffers["scratch"] = stale(size)
    return Call(direction, {**arguments, "scratch_bytes": size}, buffers, cycles(direction, numbers), size)


def stale(size: int) -> Array:
    """Scratch bytes, full of the value that ends panels and that no operand holds."""
    return np.resize(np.array([0, 0x80], np.uint8), size)


def _within(rows: tuple[int, int], size: int) -> tuple[int, int]:
    """Rows that exist, at least one of them."""
    first = min(rows[0], size - 1)
    return first, max(min(rows[1], size), first + 1)


def run_case(
    case: Case,
    direction: str,
    where: str,
    *,
    sums: bool = False,
    narrow: bool = False,
    before: Array | None = None,
    site: Site | None = None,
    window: tuple[int, int] | None = None,
    shift: dict[str, int] | None = None,
) -> tuple[Array, Result]:
    """Runs a case on a kernel: the logical result, and all of what the harness says.

    Args:
        case: what to run.
        direction: name of the kernel.
        where: as for the harness.
        sums: exact sums instead of rounded ones.
        narrow: a weight gradient as int16.
        before: what lies in the place of the result, to be added to.
        site: the site before; by default one that has seen nothing.
        window: rows (first, last + 1) of the result's image, or of y for a weight gradient; the other tensor is cut to
            the rows that belong to them.
        shift: of addresses, for alignment tests.
    """
    call = arguments_of(case, direction, sums=sums, narrow=narrow, before=before, window=window)
    if shift:  # what is not at a whole word may need more scratch
        numbers = {key: _number(value) for key, value in call.arguments.items()}
        size = scratch(direction, {**numbers, **shift})
        call.buffers["scratch"], call.arguments["scratch_bytes"] = stale(size), size
    sites = (Site(0), site or Site(exponent_of(direction) + case.shift))
    exponents = (*EXPONENTS, case.bias or 0)
    result = run(direction, call.arguments, call.buffers, exponents, sites, where, shift=shift)
    assert result.error == 0
    for name, given in call.buffers.items():
        if name not in {RESULT[direction], "scratch"}:
            assert np.array_equal(result.buffers[name], given), f"{name} has changed"
    assert result.sites[0] == Site(0)
    memory = result.buffers[RESULT[direction]]
    channels = case.shapes[RESULT[direction]][1]
    if RESULT[direction] != "w":
        assert (memory[..., channels:] == -7).all(), "what lies between the pixels has changed"
    return from_memory(RESULT[direction], memory, channels), result


def seen_before(case: Case, direction: str) -> Site:
    """A site that has seen so large sums that it learns nothing new."""
    return Site(exponent_of(direction) + case.shift, exponent_of(direction) + 45)


def merged(first: Site, second: Site) -> Site:
    """Of two parts of a tensor."""
    return Site(first.exponent, max(first.extent, second.extent), first.saturated + second.saturated)


NOTHING = EMPTY
