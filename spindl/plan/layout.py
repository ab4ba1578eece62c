"""How values lie in memory: images as [image][row][column][channel], everything else in row-major order.

A tensor's *memory shape* is its logical shape with axis 1 moved to the end if it has three axes or more. Gradients,
momentum and master weights lie as the weights do: [output][row][column][input].
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod

from spindl.graph.graph import Format, Node

ELEMENT_BYTES = {"int16": 2, "int32": 4, "wide": 8, "uint8": 1, "label": 4, "pair": 4, "scalar": 8, "count": 8}
"""Bytes of one element; a pair is two elements of its logical shape; a scalar is {int32 mantissa, int32 exponent}."""
ALIGNMENT = 8
"""Buffers start at multiples of it and are padded to it (docs: kernels/README.md, Memory)."""


def aligned(size: int) -> int:
    """The size rounded up to whole buffers."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def element_bytes(format: Format) -> int:
    """Bytes of an element of this format."""
    return ELEMENT_BYTES[format.kind]


def value_bytes(node: Node) -> int:
    """Bytes that a node's value takes."""
    return prod(node.shape) * element_bytes(node.format)


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Distance in memory, in elements, between neighbours along each logical axis."""
    order = (0, *range(2, len(shape)), 1) if len(shape) >= 3 else tuple(range(len(shape)))
    result, step = [0] * len(shape), 1
    for axis in reversed(order):
        result[axis], step = step, step * shape[axis]
    return tuple(result)


@dataclass(frozen=True)
class Loop:
    """One loop of a copy: how often, and the steps through source and target in elements."""

    count: int
    source: int
    target: int


def merged(loops: list[Loop]) -> list[Loop]:
    """The same copy with fewer loops, the target's longest steps first."""
    rest = sorted((loop for loop in loops if loop.count > 1), key=lambda loop: -loop.target)
    result: list[Loop] = []
    for loop in rest:
        if result and (result[-1].source, result[-1].target) == (loop.count * loop.source, loop.count * loop.target):
            result[-1] = Loop(result[-1].count * loop.count, loop.source, loop.target)
        else:
            result.append(loop)
    return result or [Loop(1, 1, 1)]


def reshape_loops(before: tuple[int, ...], after: tuple[int, ...]) -> list[Loop] | None:
    """How the elements move when a tensor of one logical shape becomes another; None if loops cannot say it."""
    if len(before) <= 2 and len(after) <= 2:  # both in row-major order
        return merged([Loop(prod(before), 1, 1)])
    source, target = strides(before), strides(after)
    loops = []
    i, j = len(before) - 1, len(after) - 1
    left, right = (before[i] if before else 1), (after[j] if after else 1)
    from_step, to_step = (source[i] if before else 1), (target[j] if after else 1)
    while i >= 0 and j >= 0:
        count = gcd(left, right)
        if count == 1 and left > 1 and right > 1:
            return None
        if count > 1:
            loops.append(Loop(count, from_step, to_step))
        left, right, from_step, to_step = left // count, right // count, from_step * count, to_step * count
        if left == 1:
            i -= 1
            left, from_step = (before[i], source[i]) if i >= 0 else (1, 1)
        if right == 1:
            j -= 1
            right, to_step = (after[j], target[j]) if j >= 0 else (1, 1)
    return merged(loops)


def permute_loops(before: tuple[int, ...], order: tuple[int, ...]) -> list[Loop]:
    """The same for numpy's transpose: axis k of the result is axis order[k] of the source."""
    source = strides(before)
    target = strides(tuple(before[axis] for axis in order))
    return merged([Loop(before[axis], source[axis], target[k]) for k, axis in enumerate(order)])


def stays(loops: list[Loop] | None) -> bool:
    """Whether every element already lies where it should."""
    return loops is not None and all(loop.source == loop.target for loop in loops)


def granule(step_bytes: int) -> int:
    """Smallest number of steps of this many bytes that is a multiple of a DMA word."""
    return 4 // gcd(4, step_bytes)
