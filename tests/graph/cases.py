"""Inputs for every integer op: typical ones, extremes and zeros, from fixed seeds.

One list of cases, several questions: the golden vectors (`test_vectors`), whether int64 could overflow
(`test_bounds`), and whether parts of a batch combine to the whole (`test_split`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from spindl.graph import ops  # noqa: F401  (fills the table)
from spindl.graph.graph import Format, Node
from spindl.graph.operations import OPERATIONS, Value, as_int64
from spindl.number import pairs
from spindl.number.rounding import limit
from spindl.number.sites import EMPTY, HISTORY
from spindl.number.tables import ONE_Q30

INT16 = Format("int16", 16)
INT32 = Format("int32", 32)
WIDE = Format("wide")
PAIR = Format("pair", 31)
SITE = Format("site")
SCALAR = Format("scalar", 15)
COUNT = Format("count")
LABEL = Format("label")
UINT8 = Format("uint8")
FIXED = -27
LARGEST_WIDE = 2**62 - 1


@dataclass(frozen=True)
class Case:
    """One application of an op: its inputs with their formats, and its attributes."""

    op: str
    inputs: tuple[tuple[Format, Value], ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    def node(self) -> Node:
        sources = [Node("input", (), {}, np.shape(value.mantissa), format) for format, value in self.inputs]
        shape, format = OPERATIONS[self.op].infer(sources, self.attributes)
        return Node(self.op, tuple(range(len(sources))), self.attributes, shape, format)

    def run(self) -> Value:
        """The meaning applied, with the promises of the table checked: the inferred shape, and below 2^62."""
        node = self.node()
        result = OPERATIONS[self.op].meaning(node, *(value for _, value in self.inputs))
        mantissa = np.asarray(result.mantissa)
        assert mantissa.shape == node.shape
        assert all(abs(int(v)) <= LARGEST_WIDE for v in mantissa.reshape(-1))
        return Value(as_int64(mantissa), result.exponent)


def evaluate(op: str, *inputs: tuple[Format, Value], **attributes: Any) -> Value:
    return Case(op, inputs, attributes).run()


Input = tuple[Format, Value]


@dataclass
class Maker:
    """Seeded inputs."""

    generator: np.random.Generator

    def int16(self, shape: tuple[int, ...], exponent: int = -12, bits: int = 16) -> Input:
        largest = limit(bits)
        return Format("int16", bits), Value(self.generator.integers(-largest, largest, shape, endpoint=True), exponent)

    def small(self, shape: tuple[int, ...], exponent: int = -12) -> Input:
        """Many zeros and ties."""
        return INT16, Value(self.generator.integers(-2, 2, shape, endpoint=True), exponent)

    def positive(self, shape: tuple[int, ...], exponent: int, largest: int = 32767) -> Input:
        return INT16, Value(self.generator.integers(0, largest, shape, endpoint=True), exponent)

    def int32(self, shape: tuple[int, ...], exponent: int = FIXED, bits: int = 32) -> Input:
        largest = limit(bits)
        return INT32, Value(self.generator.integers(-largest, largest, shape, endpoint=True), exponent)

    def wide(self, shape: tuple[int, ...], exponent: int = -24, bits: int = 40) -> Input:
        largest = 2**bits - 1
        return WIDE, Value(self.generator.integers(-largest, largest, shape, endpoint=True), exponent)

    def labels(self, count: int, classes: int) -> Input:
        return LABEL, Value(self.generator.integers(0, classes, count))

    def pairs(self, count: int, exponent: int = -30, *, positive: bool = True) -> Input:
        mantissa = self.generator.integers(2**30, 2**31, count)
        sign = 1 if positive else self.generator.choice([-1, 1], count)
        return PAIR, Value(np.stack([sign * mantissa, exponent + self.generator.integers(-6, 7, count)], axis=1))


def full(format: Format, shape: tuple[int, ...], number: int, exponent: int = 0) -> Input:
    return format, Value(np.full(shape, number, dtype=np.int64), exponent)


def most(shape: tuple[int, ...], exponent: int = -12, sign: int = 1) -> Input:
    """Every element at the largest magnitude of 16 bits."""
    return full(INT16, shape, sign * 32767, exponent)


def zeros(shape: tuple[int, ...], exponent: int = -12, format: Format = INT16) -> Input:
    return full(format, shape, 0, exponent)


def site(exponent: int, *extents: int) -> Input:
    history = [*extents, *[EMPTY] * (HISTORY - len(extents))]
    return SITE, Value(np.array(history, dtype=np.int64), exponent)


def scalar(mantissa: int, exponent: int = 0) -> Input:
    return SCALAR, Value(np.array(mantissa), exponent)


def count(number: int) -> Input:
    return COUNT, Value(np.array(number))


def geometry(stride: int = 1, padding: Any = 0, dilation: int = 1, groups: int = 1) -> dict[str, Any]:
    sides = ((padding, padding),) * 2 if isinstance(padding, int) else padding
    return {"stride": (stride, stride), "padding": sides, "dilation": (dilation, dilation), "groups": groups}


def window(kernel: int, stride: int, padding: int = 0, dilation: int = 1) -> dict[str, Any]:
    return {key: value for key, value in geometry(stride, padding, dilation).items() if key != "groups"} | {
        "kernel": (kernel, kernel)
    }


def data_sums(x: np.ndarray, exponent: int) -> tuple[Input, Input]:
    """Channel sums of x and x^2, x (N, C)."""
    return (WIDE, Value(x.sum(axis=0), exponent)), (WIDE, Value((x * x).sum(axis=0), 2 * exponent))


EPS = pairs.from_fraction(pairs.Fraction("0.00001"))
Cases = Callable[[Maker], list[Case]]
CASES: dict[str, Cases] = {}


def cases(op: str) -> list[Case]:
    """The cases of an op; the same on every call."""
    return CASES[op](Maker(np.random.default_rng(crc32(op.encode()))))


def _for(op: str) -> Callable[[Cases], Cases]:
    def register(make: Cases) -> Cases:
        CASES[op] = make
        return make

    return register


def _plain(op: str, inputs: Callable[[Maker], list[tuple[Input, ...]]], **attributes: Any) -> None:
    CASES[op] = lambda m: [Case(op, given, attributes) for given in inputs(m)]


# --- activations ---------------------------------------------------------------------------------------------------

CURVES = (-60, -14, -11, -8, -3, 4, 60)


def _curve(m: Maker) -> list[tuple[Input, ...]]:
    return [(m.int16((2, 6), e),) for e in CURVES] + [(most((1, 2), 0, -1),), (zeros((2, 2)),), (m.small((2, 4), -1),)]


_plain("sigmoid", _curve)
_plain("tanh", _curve)
_plain(
    "sigmoid_gradient",
    lambda m: [
        (m.int16((2, 5)), m.positive((2, 5), -14, 2**14)),
        (most((1, 2), 5), most((1, 2), -20)),
        (m.int16((2, 3)), m.positive((2, 3), -5, 32)),
        (m.int16((1, 2)), m.positive((1, 2), 1, 1)),
    ],
)
_plain(
    "tanh_gradient",
    lambda m: [
        (m.int16((2, 5)), m.int16((2, 5), -14, 15)),
        (most((1, 2), 5), most((1, 2), -20, -1)),
        (m.int16((2, 3)), m.int16((2, 3), -5, 6)),
    ],
)


@_for("softmax")
def _softmax(m: Maker) -> list[Case]:
    rows = [Case("softmax", (m.int16((2, 5), e),), {"axis": 1}) for e in CURVES]
    return [
        *rows,
        Case("softmax", (m.int16((2, 3, 4), -10),), {"axis": 1}),
        Case("softmax", (m.int16((2, 3, 4), -10),), {"axis": 2}),
        Case("softmax", (zeros((1, 7)),), {"axis": 1}),
        Case("softmax", ((INT16, Value(np.array([[32767, -32767, 32767]]), -20)),), {"axis": 1}),
    ]


@_for("softmax_gradient")
def _softmax_gradient(m: Maker) -> list[Case]:
    return [
        Case("softmax_gradient", (m.int16((2, 5)), m.positive((2, 5), -14, 2**13)), {"axis": 1}),
        Case("softmax_gradient", (m.int16((2, 3, 2)), m.positive((2, 3, 2), -15, 2**13)), {"axis": 2}),
        Case("softmax_gradient", (most((1, 32), 0, -1), most((1, 32), -20)), {"axis": 1}),
    ]


# --- batch normalisation -------------------------------------------------------------------------------------------

_plain("channel_sum", lambda m: [(m.int16((3, 2, 2, 2)),), (m.int16((4, 3), 7),), (most((5, 1, 3), -60, -1),)])
_plain(
    "channel_dot",
    lambda m: [
        (m.int16((3, 2, 2, 2)), m.int16((3, 2, 2, 2), -9)),
        (most((5, 2)), most((5, 2), -60, -1)),
        (m.small((4, 3)), m.small((4, 3))),
    ],
)


@_for("inverse_deviation")
def _inverse_deviation(m: Maker) -> list[Case]:
    def case(x: np.ndarray, exponent: int, eps: tuple[int, int] = EPS) -> Case:
        return Case("inverse_deviation", data_sums(x, exponent), {"count": len(x), "eps": eps})

    spread = m.generator.integers(-32767, 32768, (24, 3))
    constant = np.full((8, 2), 32767)
    most_elements = 2**31 - 1
    enormous = (
        full(WIDE, (1,), -32767 * most_elements, -12),
        full(WIDE, (1,), 32767**2 * most_elements, -24),
    )
    return [
        *(case(spread, e) for e in (-60, -33, -32, -12, 0, 30, 60)),
        *(case(constant, e) for e in (-60, -12, -4, 3, 60)),  # eps alone, which rounds to 0 at the larger exponents
        case(spread[:2], -12, pairs.from_fraction(pairs.Fraction(1))),
        case(np.zeros((3, 1), dtype=np.int64), -12),
        Case("inverse_deviation", enormous, {"count": most_elements, "eps": EPS}),
    ]


@_for("running_inverse_deviation")
def _running_inverse_deviation(m: Maker) -> list[Case]:
    none = (PAIR, Value(np.array([[0, 0], [2**30, -200], [2**31 - 1, 100]])))
    return [Case("running_inverse_deviation", (given,), {"eps": EPS}) for given in (m.pairs(4), m.pairs(4, -60), none)]


_plain("exponent_of", lambda m: [(m.int16((2, 2)),), (zeros((1, 3), 17),)])


def _scale(m: Maker) -> list[tuple[Input, ...]]:
    x = m.int16((2, 3))
    return [
        (m.int32((3,)), m.pairs(3), site(-12), x),
        (m.int32((3,)), m.pairs(3, -10), site(-60), x),  # saturates
        (m.int32((3,)), m.pairs(3, -40), site(60), x),  # vanishes
        (zeros((3,), FIXED, INT32), m.pairs(3), site(-9), x),
    ]


_plain("batch_norm_scale", _scale)


def _offset_inputs(m: Maker) -> list[tuple[Input, ...]]:
    n = 24
    mean = full(WIDE, (2,), -32767 * n, -12)
    scale = full(WIDE, (2,), 2**31 - 1, -16)
    return [
        (m.int32((2,)), m.wide((2,), -16, 20), (WIDE, Value(m.generator.integers(-(10**5), 10**5, 2), -12)), site(-12)),
        (full(INT32, (2,), 2**31 - 1, FIXED), scale, mean, site(-60)),
        (full(INT32, (2,), 1 - 2**31, FIXED), scale, mean, site(60)),
    ]


_plain("batch_norm_offset", _offset_inputs, count=24)
_plain(
    "running_offset",
    lambda m: [
        (m.int32((2,)), m.wide((2,), -16, 20), m.pairs(2, -33, positive=False), site(-12)),
        (full(INT32, (2,), 2**31 - 1, FIXED), full(WIDE, (2,), 2**31 - 1, -16), m.pairs(2, 40), site(-60)),
        (zeros((2,), FIXED, INT32), m.wide((2,), -20, 12), zeros((2, 2), 0, PAIR), site(-9)),
    ],
)


def _gradient_sums(m: Maker, n: int) -> tuple[Input, Input, Input]:
    g, x = m.generator.integers(-32767, 32768, (n, 3)), m.generator.integers(-32767, 32768, (n, 3))
    return (WIDE, Value(g.sum(axis=0), -18)), (WIDE, Value((g * x).sum(axis=0), -30)), (WIDE, Value(x.sum(axis=0), -12))


_plain(
    "gamma_gradient",
    lambda m: [
        (*_gradient_sums(m, 24), m.pairs(3)),
        (zeros((2,), -18, WIDE), zeros((2,), -30, WIDE), full(WIDE, (2,), 24 * 32767, -12), m.pairs(2)),
        (
            full(WIDE, (1,), -24 * 32767, 0),
            full(WIDE, (1,), 24 * 32767**2, 0),
            full(WIDE, (1,), 24 * 32767, 0),
            m.pairs(1),
        ),
    ],
    count=24,
)
_plain(
    "running_gamma_gradient",
    lambda m: [
        (*_gradient_sums(m, 24)[:2], m.pairs(3, -33, positive=False), m.pairs(3)),
        (zeros((2,), -18, WIDE), zeros((2,), -30, WIDE), m.pairs(2), m.pairs(2)),
        (full(WIDE, (1,), -24 * 32767, 0), full(WIDE, (1,), 24 * 32767**2, 0), m.pairs(1, 20), m.pairs(1, 20)),
    ],
)
_plain(
    "batch_norm_slope",
    lambda m: [
        (m.int32((3,)), m.pairs(3), m.pairs(3, -35, positive=False), full(WIDE, (3,), 5, -12), site(-12)),
        (m.int32((3,)), m.pairs(3), m.pairs(3, 0, positive=False), full(WIDE, (3,), 5, -12), site(-60)),  # saturates
        (m.int32((2,)), m.pairs(2), zeros((2, 2), 0, PAIR), full(WIDE, (2,), 5, -12), site(-12)),
    ],
    count=24,
)
_plain(
    "batch_norm_gradient_offset",
    lambda m: [
        (
            m.wide((2,), -14, 22),
            m.wide((2,), -20, 22),
            (WIDE, Value(np.array([77777, -77777]), -18)),
            (WIDE, Value(np.array([-3, 98765]), -12)),
            site(-16),
        ),
        (
            full(WIDE, (1,), 2**31 - 1, 0),
            full(WIDE, (1,), 1 - 2**31, 0),
            full(WIDE, (1,), 24 * 32767, 0),
            full(WIDE, (1,), 24 * 32767, 0),
            site(16),
        ),
    ],
    count=24,
)
_plain(
    "running_mean",
    lambda m: [
        (m.pairs(3, positive=False), (WIDE, Value(np.array([1000, -5, 0]), -12))),
        (zeros((1, 2), 0, PAIR), full(WIDE, (1,), -24 * 32767, 20)),
    ],
    count=24,
    momentum=3277,
)


@_for("running_variance")
def _running_variance(m: Maker) -> list[Case]:
    spread, constant = m.generator.integers(-32767, 32768, (24, 2)), np.full((24, 2), -7)
    old = m.pairs(2)
    attributes = {"count": 24, "momentum": 3277}
    return [
        Case("running_variance", (old, *data_sums(spread, -12)), attributes),
        Case("running_variance", (old, *data_sums(constant, -12)), attributes),
        Case("running_variance", (old, *data_sums(constant, -12)), {"count": 24, "momentum": 2**15}),
        Case("running_variance", (zeros((2, 2), 0, PAIR), *data_sums(spread[:2], 30)), {"count": 2, "momentum": 1}),
    ]


_plain(
    "pair_to_wide",
    lambda m: [
        (m.pairs(3, positive=False), site(-20)),
        (m.pairs(2, 40, positive=False), site(-60)),
        (m.pairs(2, -90), site(0)),
        (zeros((1, 2), 0, PAIR), site(0)),
    ],
)

# --- contractions --------------------------------------------------------------------------------------------------

UNEVEN = ((1, 0), (0, 2))


@_for("convolution")
def _convolution(m: Maker) -> list[Case]:
    return [
        Case("convolution", (m.int16((2, 2, 4, 3)), m.int16((3, 2, 3, 3), -20, 14)), geometry(1, 1)),
        Case("convolution", (m.int16((1, 4, 5, 5)), m.int16((4, 2, 2, 2))), geometry(2, 1, 2, groups=2)),
        Case("convolution", (m.int16((2, 3, 4, 4)), m.int16((3, 1, 2, 2))), geometry(1, UNEVEN, groups=3)),
        Case("convolution", (most((1, 8, 1, 1), -60), most((2, 8, 1, 1), 60, -1)), geometry()),
        Case("convolution", (zeros((1, 1, 2, 2)), m.int16((1, 1, 1, 1))), geometry(2)),
    ]


@_for("convolution_input_gradient")
def _input_gradient(m: Maker) -> list[Case]:
    def case(dy: Input, w: Input, shape: tuple[int, ...], **g: Any) -> Case:
        return Case("convolution_input_gradient", (dy, w), {**geometry(**g), "input_shape": shape})

    return [
        case(m.int16((2, 3, 4, 3)), m.int16((3, 2, 3, 3)), (2, 4, 3), padding=1),
        case(m.int16((1, 4, 3, 3)), m.int16((4, 2, 2, 2)), (4, 5, 5), stride=2, padding=1, dilation=2, groups=2),
        case(m.int16((1, 1, 2, 2)), m.int16((1, 1, 2, 2)), (1, 4, 4), stride=2),  # cells that no window reads
        case(most((1, 8, 1, 1)), most((8, 1, 1, 1)), (1, 1, 1)),
    ]


@_for("convolution_weight_gradient")
def _weight_gradient(m: Maker) -> list[Case]:
    def case(dy: Input, x: Input, shape: tuple[int, ...], group_size: int, **g: Any) -> Case:
        attributes = {**geometry(**g), "weight_shape": shape, "group_size": group_size}
        return Case("convolution_weight_gradient", (dy, x), attributes)

    return [
        case(m.int16((3, 2, 3, 2)), m.int16((3, 2, 3, 2)), (2, 2, 3, 3), 1, padding=1),
        case(m.int16((3, 2, 3, 2)), m.int16((3, 2, 3, 2)), (2, 2, 3, 3), 2, padding=1),
        case(m.int16((3, 4, 2, 2)), m.int16((3, 4, 5, 5)), (4, 2, 2, 2), 3, stride=3, dilation=2, groups=2),
        case(most((2, 1, 4, 4)), most((2, 1, 4, 4), 0, -1), (1, 1, 1, 1), 2),
    ]


_plain("sum_groups", lambda m: [(m.int16((3, 2, 2)),), (most((50, 2)),), (m.int16((1, 3)),)])
_plain(
    "add_bias",
    lambda m: [
        (m.wide((2, 2, 2, 2)), m.int32((2,))),
        (m.wide((2, 2), -50), m.int32((2,))),
        (m.wide((2, 2), -70), m.int32((2,))),  # the sum is rounded to e_b - 30
        (m.wide((2, 2), 3), m.int32((2,))),  # the bias is rounded
        (m.wide((2, 2), 60), m.int32((2,))),
        (full(WIDE, (1, 1), 2**61 - 1, -57), full(INT32, (1,), 2**31 - 1, -27)),
        (full(WIDE, (1, 1), 1 - 2**61, -57), full(INT32, (1,), 1 - 2**31, -27)),
    ],
)

# --- rounding and element-wise -------------------------------------------------------------------------------------


def _roundable(m: Maker) -> list[tuple[Input, ...]]:
    return [
        (m.wide((2, 3)), site(-3)),
        (m.wide((2, 3)), site(-24)),  # saturates
        (m.wide((2, 3)), site(-60)),  # a left shift
        (m.wide((1, 3), -100, 61), site(60)),
        (full(WIDE, (1, 2), LARGEST_WIDE, -60), site(60)),
        (full(WIDE, (1, 2), -LARGEST_WIDE, 60), site(-60)),
        ((WIDE, Value(np.array([[-3, -2, -1, 0, 1, 2, 3]]), -1)), site(0)),
        (zeros((1, 2), -60, WIDE), site(60)),
    ]


def _ties(m: Maker) -> list[tuple[Input, ...]]:
    largest = limit(15)
    ends = [2 * largest + 1, 2 * largest - 1, -2 * largest - 1, 1 - 2 * largest]
    tie = WIDE, Value(np.array([ends]), -1)
    return [*_roundable(m), (tie, site(0)), ((WIDE, Value(4 * np.array([ends]), -3)), site(0))]


for _op in ("requantise", "saturation"):
    CASES[_op] = lambda m, op=_op: [
        *(Case(op, given, {"bits": 15}) for given in _ties(m)),
        *(Case(op, given, {"bits": 15, "ties": "even"}) for given in _ties(m)),
    ]
_plain(
    "extent",
    lambda m: [
        (m.wide((2, 3)),),
        (zeros((2, 3), 5, WIDE),),
        (full(WIDE, (1,), 2**20, -7),),
        (full(WIDE, (1,), 2**20 - 1, -7),),
        (full(WIDE, (1,), -(2**20), -7),),
        (full(WIDE, (1,), -LARGEST_WIDE, 0),),
        (zeros((0, 3), 5, WIDE),),
    ],
)
_plain(
    "next_site",
    lambda m: [
        (site(-12), count(3)),
        (site(-12, *range(16)), count(-2)),
        (site(-12, 40, 3), count(EMPTY)),
        (site(-58), count(EMPTY)),
        (site(-12), count(-100)),
        (site(50), count(120)),
    ],
    bits=15,
    headroom=1,
    lowest=-60,
)
CASES["narrow"] = lambda m: [
    *(Case("narrow", (m.int32((2, 3), -31),), {"bits": bits}) for bits in (8, 14, 16)),
    Case("narrow", (full(INT32, (2,), 2**31 - 1, 3),), {"bits": 16}),
    Case("narrow", (full(INT32, (2,), 1 - 2**31, 3),), {"bits": 14}),
]


def _sums(m: Maker) -> list[tuple[Input, ...]]:
    apart = [(-12, -12), (-12, -9), (0, -30), (0, -31), (0, -32), (-40, 0), (60, -60)]
    return [(m.int16((2, 3), a), m.int16((2, 3), b)) for a, b in apart] + [(most((1, 2), 0), most((1, 2), -30))]


_plain("add", _sums)
CASES["concat"] = lambda m: [
    Case("concat", (m.int16((2, 2, 2), -12), m.int16((2, 1, 2), -10)), {"axis": 1}),
    Case("concat", (m.int16((2, 2), 0), m.int16((2, 3), -40), m.int16((2, 1), 2)), {"axis": 1}),
    Case("concat", (m.int16((2, 2, 3), -60), m.int16((2, 2, 1), 60)), {"axis": 2}),
]
_plain(
    "affine",
    lambda m: [
        (m.int16((2, 2, 2, 2)), m.wide((2,), -16, 20), m.wide((2,), -28, 30)),
        ((UINT8, Value(m.generator.integers(0, 256, (1, 3, 2, 2)))), m.wide((3,), -24, 18), m.wide((3,), -24, 26)),
        (most((1, 1)), full(WIDE, (1,), 2**31 - 1, 0), full(WIDE, (1,), 2**61 + 2**46, 0)),
        (most((1, 1), 0, -1), full(WIDE, (1,), 2**31 - 1, 0), full(WIDE, (1,), -(2**61) - 2**46, 0)),
    ],
)
_plain(
    "affine_pair",
    lambda m: [
        (m.int16((2, 2, 2)), m.wide((2,), -16, 20), m.int16((2, 2, 2)), m.wide((2,), -16, 20), m.wide((2,), -28, 30)),
        (
            most((1, 1)),
            full(WIDE, (1,), 2**31 - 1, 0),
            most((1, 1)),
            full(WIDE, (1,), 2**31 - 1, 0),
            full(WIDE, (1,), 2**47, 0),
        ),
    ],
)
_plain("relu", lambda m: [(m.int16((2, 5)),), (m.small((2, 5)),)])
_plain("relu_gradient", lambda m: [(m.int16((2, 5)), m.small((2, 5)))])
_plain("relu6", lambda m: [(m.int16((2, 5), e),) for e in (-60, -13, -12, -11, 0, 2, 3, 4, 60)])
_plain(
    "relu6_gradient",
    lambda m: [
        (m.int16((2, 4)), (INT16, Value(np.array([[0, 1, 24575, 24576], [24576, 24570, 0, 3]]), -12))),
        (m.int16((1, 3)), (INT16, Value(np.array([[0, 1, 32767]]), -20))),
        (m.int16((1, 3)), (INT16, Value(np.array([[0, 0, 1]]), 3))),
    ],
)
CASES["dropout"] = lambda m: [
    Case(
        "dropout",
        (x, (LABEL, Value(places)), count(seed), count(step)),
        {"site": number, "threshold": int(p * 2**32), "multiplier": round(2**14 / (1 - p))},
    )
    for x, places, seed, step, number, p in [
        (m.int16((3, 2, 2, 2)), np.array([4, 5, 6]), 7, 3, 1, 0.5),
        (m.int16((2, 8)), np.array([0, 2**31]), 2**32 + 5, 10**6, 2, 0.1),
        (most((1, 30)), np.array([9]), 0, 0, 1, 0.9999),
    ]
]
_plain(
    "saturate32",
    lambda m: [(m.wide((2, 3), -20, 33),), (full(WIDE, (2,), -LARGEST_WIDE),), (full(WIDE, (1,), 2**31, 0),)],
)
_plain("batch_sum", lambda m: [(m.wide((5,)),), (zeros((0,), 0, WIDE),)])

# --- pooling, layout -----------------------------------------------------------------------------------------------


@_for("max_pool")
def _max_pool(m: Maker) -> list[Case]:
    return [
        Case("max_pool", (m.int16((2, 2, 4, 4)),), window(2, 2)),
        Case("max_pool", (m.small((1, 2, 5, 5)),), window(3, 2, 1)),
        Case("max_pool", (most((1, 1, 3, 3), 0, -1),), window(3, 1, 1)),  # padding never wins
        Case("max_pool", (m.small((1, 1, 5, 5)),), window(2, 1, 1, 2)),
    ]


@_for("max_pool_gradient")
def _max_pool_gradient(m: Maker) -> list[Case]:
    return [
        Case("max_pool_gradient", (m.int16((2, 2, 2, 2)), m.small((2, 2, 4, 4))), window(2, 2)),
        Case("max_pool_gradient", (m.int16((1, 2, 3, 3)), m.small((1, 2, 5, 5))), window(3, 2, 1)),
        Case("max_pool_gradient", (most((1, 1, 3, 3)), zeros((1, 1, 3, 3))), window(3, 1, 1)),
        Case("max_pool_gradient", (m.int16((1, 1, 5, 5)), m.small((1, 1, 5, 5))), window(2, 1, 1, 2)),
    ]


AREAS: list[dict[str, Any]] = [
    {"rows": ((0, 2), (2, 4)), "columns": ((0, 2), (2, 4)), "divisor": None},
    {"rows": ((0, 3), (2, 4)), "columns": ((0, 4), (1, 2), (1, 4)), "divisor": None},
    {"rows": ((0, 4),), "columns": ((0, 4),), "divisor": 9},
]
CASES["window_sum"] = lambda m: (
    [Case("window_sum", (m.int16((2, 2, 4, 4)),), area) for area in AREAS]
    + [Case("window_sum", (most((1, 1, 4, 4)),), {**AREAS[2], "divisor": 1})]
)
CASES["window_sum_gradient"] = lambda m: [
    Case(
        "window_sum_gradient",
        (m.int16((2, 2, len(area["rows"]), len(area["columns"]))),),
        {**area, "input_shape": (4, 4)},
    )
    for area in AREAS
]
CASES["reshape"] = lambda m: [
    Case("reshape", (m.int16((2, 2, 3)),), {"shape": (6,)}),
    Case("reshape", (m.int32((2, 3)),), {"shape": (2, 3, 1, 1), "whole": True}),
]
CASES["permute"] = lambda m: [
    Case("permute", (m.int16((2, 2, 3)),), {"order": (0, 2, 1)}),
    Case("permute", (m.int16((2, 2, 3, 2)),), {"order": (0, 3, 1, 2)}),
]
CASES["slice"] = lambda m: [
    Case("slice", (m.int16((2, 4, 2)),), {"axis": 1, "start": 1, "stop": 3}),
    Case("slice", (m.int16((2, 4, 2)),), {"axis": 2, "start": 0, "stop": 1}),
]

# --- losses --------------------------------------------------------------------------------------------------------


def _classified(op: str, *smoothings: float) -> Cases:
    def make(m: Maker) -> list[Case]:
        attributes = [{"smoothing": int(s * ONE_Q30 + 0.5)} for s in smoothings] or [{}]
        tie = (INT16, Value(np.array([[5, 5, 1], [-32767, 32767, 32767], [0, 0, 0]]), -12))
        return [
            Case(op, given, a)
            for a in attributes
            for given in [
                *((m.int16((3, 5), e), m.labels(3, 5)) for e in CURVES),
                (tie, (LABEL, Value(np.array([0, 2, 1])))),
                (m.int16((1, 2), -12), m.labels(1, 2)),
            ]
        ]

    return make


CASES["cross_entropy_gradient"] = _classified("cross_entropy_gradient", 0.0, 0.1)
CASES["cross_entropy_loss"] = _classified("cross_entropy_loss", 0.0, 0.1)
CASES["correct"] = _classified("correct")


def _targets(m: Maker, shape: tuple[int, ...], low: int, high: int) -> Input:
    return INT32, Value(m.generator.integers(low, high, shape, endpoint=True), -16)


def _squared(m: Maker) -> list[tuple[Input, ...]]:
    largest = 2**31 - 1
    return [
        *((m.int16((2, 3), e), _targets(m, (2, 3), -(2**18), 2**18)) for e in (-60, -46, -14, -8, 0, 14, 60)),
        (most((1, 3), -46, -1), full(INT32, (1, 3), largest, -16)),
        (most((1, 3), 14, -1), full(INT32, (1, 3), largest, -16)),
    ]


_plain("squared_error_gradient", _squared, multiplier=(2 * (2 << 20) + 3) // 6)
_plain("squared_error_loss", _squared)


def _binary(m: Maker) -> list[tuple[Input, ...]]:
    certain = (INT32, Value(m.generator.choice([0, 2**16], (2, 3)), -16))
    return [(m.int16((2, 3), e), _targets(m, (2, 3), 0, 2**16)) for e in CURVES] + [(m.small((2, 3), -1), certain)]


_plain("binary_cross_entropy_gradient", _binary, multiplier=((2 << 20) + 3) // 6)
_plain("binary_cross_entropy_loss", _binary)
_plain("binary_correct", _binary)

# --- update --------------------------------------------------------------------------------------------------------


def _directions(m: Maker) -> list[tuple[Input, ...]]:
    largest = 2**31 - 1
    huge = full(WIDE, (3,), -LARGEST_WIDE, 60)
    return [
        (m.int32((2, 3), -31), scalar(20000, -22), site(-20), m.int32((2, 3), -18, 20)),
        (m.int32((3,)), scalar(0), site(-30), m.wide((3,), -30), m.int32((3,), -12)),
        (full(INT32, (3,), -largest, -31), scalar(32767, 20), site(-60), *[huge] * 5),
        (m.int32((3,), -31), scalar(20000, -22), site(60), m.int32((3,))),
    ]


_plain("direction", _directions)
_plain(
    "momentum",
    lambda m: [
        (m.int32((2, 3), -25), m.wide((2, 3), -24, 30), scalar(29491, -15)),
        (full(INT32, (2,), 2**31 - 1, 40), full(WIDE, (2,), 6 * 2**59, -60), scalar(32767, 3)),
        (full(INT32, (2,), 1 - 2**31, 40), full(WIDE, (2,), -6 * 2**59, -60), scalar(32767, 3)),
        (zeros((2,), 0, INT32), m.wide((2,), -60), scalar(29491, -15)),
    ],
)
CASES["descend"] = lambda m: [
    Case("descend", (*given, rate), {"fixed": fixed})
    for fixed in (False, True)
    for *given, rate in [
        (m.int32((2, 3), -31, 31), m.int32((2, 3), -25, 20), scalar(26214, -22)),
        (m.int32((2, 3), -31), m.int32((2, 3), -25), scalar(26214, -15)),
        (full(INT32, (2,), 2104533975, -31), full(INT32, (2,), 0, -25), scalar(1)),
        (full(INT32, (2,), 2104533976, -31), full(INT32, (2,), 0, -25), scalar(1)),
        (full(INT32, (2,), -(2**31) + 1, -60), full(INT32, (2,), 2**31 - 1, 60), scalar(32767, 20)),
        (m.int32((2,), 20), m.int32((2,), -60), scalar(0)),
    ]
]
_plain(
    "squared_norm",
    lambda m: [
        (m.int16((3, 3)),),
        (m.int32((3, 3)),),
        (m.wide((4,), -60, 61),),
        (zeros((2,), 3, INT32),),
        (full(WIDE, (2,), LARGEST_WIDE),),
        (full(INT32, (3,), -1, 5),),
    ],
)
CASES["lars_rate"] = lambda m: [
    Case("lars_rate", given, {"batch": 32, "eta": pairs.from_fraction(pairs.Fraction("0.001")), "eps": eps})
    for eps in ((0, 0), pairs.from_fraction(pairs.Fraction(1, 1000)))
    for given in [
        (full(WIDE, (), 123456789, -20), full(WIDE, (), 987654321, -30), scalar(20971, -22), scalar(26214, -23)),
        (full(WIDE, (), LARGEST_WIDE, -120), full(WIDE, (), 1, 100), scalar(32767, 3), scalar(0)),
        (full(WIDE, (), 0, -20), full(WIDE, (), 5, -30), scalar(20971, -22), scalar(26214, -23)),
        (full(WIDE, (), 5, -20), full(WIDE, (), 0, -30), scalar(20971, -22), scalar(26214, -23)),
        (full(WIDE, (), 5, -20), full(WIDE, (), 7, -30), scalar(0), scalar(26214, -23)),
    ]
]
_plain(
    "scale_direction",
    lambda m: [
        (m.wide((2, 3), -24, 30), scalar(20971, -22), site(-40)),
        (full(WIDE, (2,), -LARGEST_WIDE, 0), scalar(32767, 10), site(-60)),
        (m.wide((2,), -24, 30), scalar(0), site(60)),
    ],
)
