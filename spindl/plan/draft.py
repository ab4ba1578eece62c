"""Draft: what the passes know about a chip's step while its tasks are built.

Values get their places in SDRAM (buffers), numbers in the exponent table and in the table of sites, and words of state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from spindl.graph.graph import Graph, Node
from spindl.graph.ops.contraction import ALIGNMENT as BIAS_ALIGNMENT
from spindl.graph.ops.loss import MULTIPLIER_BITS, TARGET_EXPONENT
from spindl.graph.ops.pooling import RECIPROCAL_BITS
from spindl.plan.errors import PlanError
from spindl.plan.jobs import Job
from spindl.plan.layout import aligned, element_bytes
from spindl.plan.network import Network
from spindl.plan.task import CORE, At, Task
from spindl.program.kernels.reductions import EXPONENT_RULES, EXPONENT_TARGET_STATE

BATCH_NORM_BITS = 16
"""Fraction bits of BatchNorm's scales (docs/numbers.md)."""
Q30 = -30
_SAME_EXPONENT = frozenset(
    {"relu", "relu6", "relu_gradient", "relu6_gradient", "max_pool", "max_pool_gradient"}
    | {"reshape", "permute", "slice", "sum_groups", "channel_sum", "exponent_of", "saturate32", "batch_sum", "descend"}
)
"""Ops whose result has the exponent of their first input."""


@dataclass(frozen=True)
class Stored:
    """Where a value lies.

    Attributes:
        buffer: its name.
        parts: partial sums, one behind the other, that must be added; 1: the value itself.
        bytes: of one part.
    """

    buffer: str
    parts: int
    bytes: int


@dataclass
class Buffer:
    """A piece of SDRAM.

    Attributes:
        size: bytes.
        content: what the host writes there once; None: nothing, or in every step.
        kept: whether it holds something between steps.
    """

    size: int
    content: bytes | None = None
    kept: bool = False


@dataclass(frozen=True)
class Rule:
    """How one exponent follows from others: see spindl.program.kernels.reductions.EXPONENT_RULE."""

    target: int
    rule: int
    a: int = 0
    b: int = 0
    constant: int = 0


@dataclass(frozen=True)
class Limits:
    """What tasks may use.

    Attributes:
        cores: that compute.
        tile: bytes of DTCM for one task.
    """

    cores: int
    tile: int


@dataclass
class Draft:
    """See the module."""

    graph: Graph
    homes: Mapping[int, int]
    limits: Limits
    buffers: dict[str, Buffer] = field(default_factory=dict)
    stored: dict[int, Stored] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)
    numbers: dict[tuple[str, int], int] = field(default_factory=dict)
    sites: dict[int, int] = field(default_factory=dict)
    words: dict[int, int] = field(default_factory=dict)
    overflow: dict[int, int] = field(default_factory=dict)
    halvings: list[Any] = field(default_factory=list)
    users: list[list[int]] = field(default_factory=list)
    moving_sites: int = 0
    chips: int = 1
    chip: int = 0
    network: Network | None = None
    """Of several chips."""
    entrances: tuple[int, ...] = (0,)
    """Of each chip the number of the one through which data for it enters (`spindl.plan.machine.entrances`)."""
    shards: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Nodes of which this chip has some elements only: first, behind the last, in the order of memory."""
    blocks: dict[str, int] = field(default_factory=dict)
    """How many blocks the streams of a ring, or of the tree, carry in a step so far."""
    narrow: bool = False
    """Weight gradients are kept as the int16 of one image each."""
    per_byte: int = 0
    """Cycles that a byte of a core's schedule is worth."""
    staged: dict[str, str] = field(default_factory=dict)
    """Buffers that take the place of others, by name."""

    # --- values ------------------------------------------------------------------------------------------------------

    def node(self, index: int) -> Node:
        """A node of the graph."""
        return self.graph.nodes[index]

    def place(self, index: int) -> Stored:
        """Where a value lies that exists already."""
        return self.stored[self.homes[index]]

    def buffer(self, name: str, size: int, content: bytes | None = None, kept: bool = False) -> str:
        """A new buffer."""
        assert name not in self.buffers, name
        self.buffers[name] = Buffer(aligned(size), content, kept)
        return name

    def stored_state(self, name: str) -> Stored:
        """Where a state lies."""
        return next(
            self.stored[i] for i, n in enumerate(self.graph.nodes) if n.op == "state" and n.attributes["name"] == name
        )

    def count(self, index: int) -> int:
        """Elements of a node's value on this chip."""
        start, stop = self.shards.get(index, (0, prod(self.node(index).shape)))
        return stop - start

    def room(self, index: int) -> int:
        """Elements that there is room for on every chip: those of the largest shard, so that all lie alike."""
        whole = prod(self.node(index).shape)
        return min(whole, -(-whole // (8 * self.chips)) * 8) if index in self.shards else whole

    def copy(self) -> Draft:
        """A draft that later changes of this one leave alone."""
        return replace(
            self,
            buffers=dict(self.buffers),
            stored=dict(self.stored),
            rules=list(self.rules),
            numbers=dict(self.numbers),
            words=dict(self.words),
            overflow=dict(self.overflow),
            halvings=list(self.halvings),
        )

    def numbered(self, streams: str, count: int) -> list[int]:
        """Numbers for the next blocks of the streams of a ring or tree.

        A receiver tells blocks apart by their numbers modulo 16, also from the last one of the step before: so only the
        first block of a step is 0 modulo 16.
        """
        first = self.blocks.get(streams, 0)
        self.blocks[streams] = first + count
        return [k and (k - 1) // 15 * 16 + 1 + (k - 1) % 15 for k in range(first, first + count)]

    def keep(self, index: int, parts: int = 1, narrow: bool = False) -> Stored:
        """A new buffer for a node's value, or for its partial sums; narrow: of an int32 tensor as int16."""
        size = self.room(index) * element_bytes(self.node(index).format) // (2 if narrow else 1)
        room = aligned(size) if parts > 1 else size
        stored = Stored(self.buffer(f"node/{index}", room * parts), parts, room)
        self.stored[index] = stored
        return stored

    def wide_constant(self, index: int) -> int:
        """A number (below 0) for an int32 constant as 64-bit integers, for a kernel that reads them so."""
        key = -1 - index
        if key not in self.stored:
            values = self.node(index).attributes["values"]
            content = b"".join(int(v).to_bytes(8, "little", signed=True) for v in values)
            self.stored[key] = Stored(self.buffer(f"wide constant/{index}", len(content), content), 1, len(content))
        return key

    def norm(self, index: int) -> str:
        """A new buffer for a squared norm and the bits of the largest element; returns its name."""
        self.stored[index] = Stored(self.buffer(f"node/{index}", 16), 1, 16)
        return self.stored[index].buffer

    def watched_by(self, wide: int) -> int | None:
        """The state node of the site that measures a wide value outside of a rounding; None if there is none."""
        for extent in self.users[wide]:
            if self.node(extent).op == "extent":
                for user in self.users[extent]:
                    if self.node(user).op == "next_site":
                        return self.node(user).inputs[0]
        return None

    # --- exponents ---------------------------------------------------------------------------------------------------

    def site(self, index: int) -> int:
        """Number of a site, from its state node."""
        return self.sites[index]

    def word(self, index: int) -> int:
        """Number of the word of state that holds a state's exponent."""
        return self.words.setdefault(index, len(self.words))

    def _rule(self, rule: str, a: int = 0, b: int = 0, constant: int = 0) -> int:
        number = len(self.rules)
        self.rules.append(Rule(number, EXPONENT_RULES[rule], a, b, constant))
        return number

    def constant(self, exponent: int) -> int:
        """Number of a value with a fixed exponent."""
        return self._once(("constant", exponent), lambda: self._rule("constant", constant=exponent))

    def exponent(self, index: int) -> int:
        """Number of a node's exponent in the exponent table."""
        return self._once(("node", index), lambda: self._exponent(index))

    def site_exponent(self, index: int) -> int:
        """Number of the exponent that a site is in use with."""
        return self._once(("site", index), lambda: self._rule("site", self.site(index)))

    def _once(self, key: tuple[str, int], make: object) -> int:
        if key not in self.numbers:
            assert callable(make)
            self.numbers[key] = int(make())
        return self.numbers[key]

    def _plus(self, number: int, constant: int) -> int:
        return self._rule("value", number, constant=constant)

    def _aligned(self, numbers: Sequence[int]) -> int:
        lowest = highest = numbers[0]
        for number in numbers[1:]:
            lowest, highest = self._rule("minimum", lowest, number), self._rule("maximum", highest, number)
        return self._rule("align", lowest, highest)

    def _exponent(self, index: int) -> int:
        node = self.node(index)
        op, a = node.op, node.attributes
        inputs = node.inputs
        if op == "constant":
            return self.constant(int(a["exponent"]))
        if op == "input":
            return self.constant(TARGET_EXPONENT if node.format.kind == "int32" else 0)
        if op == "state":
            return self._rule("state", self.word(index))
        if op in ("requantise", "direction", "pair_to_wide", "scale_direction"):
            place = {"requantise": 1, "direction": 2, "pair_to_wide": 1, "scale_direction": 2}[op]
            return self.site_exponent(inputs[place])
        if op in ("momentum",):
            return self.exponent(inputs[1])
        if op == "narrow":
            return self._plus(self.exponent(inputs[0]), 32 - int(a["bits"]))
        if op in ("convolution", "convolution_input_gradient", "convolution_weight_gradient", "channel_dot"):
            return self._rule("sum", self.exponent(inputs[0]), self.exponent(inputs[1]))
        if op == "add_bias":
            return self._rule(
                "maximum", self.exponent(inputs[0]), self._plus(self.exponent(inputs[1]), -BIAS_ALIGNMENT)
            )
        if op == "affine":
            return self.exponent(inputs[2])
        if op == "affine_pair":
            return self.exponent(inputs[4])
        if op in ("batch_norm_offset", "running_offset", "batch_norm_gradient_offset"):
            return self._plus(self.site_exponent(inputs[-1]), -BATCH_NORM_BITS)
        if op in ("batch_norm_scale", "batch_norm_slope"):
            site, reference = (inputs[2], inputs[3]) if op == "batch_norm_scale" else (inputs[4], inputs[3])
            return self._rule(
                "difference", self.site_exponent(site), self.exponent(reference), constant=-BATCH_NORM_BITS
            )
        if op in ("add", "concat"):
            return self._aligned([self.exponent(i) for i in inputs])
        if op in ("window_sum", "window_sum_gradient"):
            return self._plus(self.exponent(inputs[0]), -RECIPROCAL_BITS)
        if op in ("sigmoid", "tanh", "softmax", "cross_entropy_gradient", "binary_cross_entropy_gradient"):
            return self.constant(Q30)
        if op in ("sigmoid_gradient", "tanh_gradient", "softmax_gradient"):
            y = self.exponent(inputs[1])
            return self._rule("sum", self._rule("sum", self.exponent(inputs[0]), y), y)
        if op == "dropout":
            return self._plus(self.exponent(inputs[0]), -14)
        if op == "squared_error_gradient":
            both = self._aligned([self.exponent(inputs[0]), self.constant(TARGET_EXPONENT)])
            return self._plus(both, -MULTIPLIER_BITS)
        if op in _SAME_EXPONENT:
            return self.exponent(inputs[0])
        if op.endswith("_loss"):
            return self.constant(TARGET_EXPONENT)
        if op in ("correct", "binary_correct"):
            return self.constant(0)
        raise PlanError(f"the exponent of {op} is not known before a step", node.name)

    # --- state -------------------------------------------------------------------------------------------------------

    def overflow_word(self, master: int) -> int:
        """Number of the word that says whether a weight tensor overflowed in its update."""
        return self.overflow.setdefault(master, len(self.overflow))


def state_rule(word: int, rule: str, a: int, b: int = 0) -> Rule:
    """A rule for a word of the state."""
    return Rule(word, EXPONENT_RULES[rule] + EXPONENT_TARGET_STATE, a, b)


OVERFLOW = At(CORE + "overflow")
"""The core's own words of overflow, one per weight tensor; the first one at least, also if there are none."""
WORDS = At(CORE + "words")
"""Words of state: exponents, then the chip's words of overflow."""

JobTasks = list[Task]
__all__ = ["OVERFLOW", "WORDS", "Buffer", "Draft", "Job", "Limits", "Rule", "Stored", "state_rule"]
