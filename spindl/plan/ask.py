"""What the planner asks the kernels: cycles and scratch bytes of a call, from the functions beside their code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from struct import Struct

from spindl import _kernels
from spindl.plan.task import At
from spindl.program import costs
from spindl.program.kernels import KERNELS

_SOMEWHERE = 0x1000
"""An address for regions: what matters to a kernel is how far from whole words something lies."""


@cache
def _names(kernel: str) -> tuple[int, tuple[str, ...], Struct]:
    entry = KERNELS[kernel]
    names = tuple(field.name for field in entry.arguments)
    return entry.number, names, Struct(f"<{len(names)}I")


def _packed(kernel: str, arguments: Mapping[str, int | At]) -> tuple[int, bytes]:
    number, names, layout = _names(kernel)
    values = [arguments.get(name, 0) for name in names]
    words = [(v if isinstance(v, int) else _SOMEWHERE + v.offset) & 0xFFFFFFFF for v in values]
    return number, layout.pack(*words)


def scratch_bytes(kernel: str, arguments: Mapping[str, int | At]) -> int:
    """Bytes of scratch that a call needs; arguments that are not given count as 0."""
    return int(_kernels.scratch(*_packed(kernel, arguments)))


def cycles(kernel: str, arguments: Mapping[str, int | At]) -> int:
    """Predicted cycles of a call; arguments that are not given count as 0. Waiting of `receive` is not in it."""
    if not KERNELS[kernel].on_host:
        words = arguments.get("words", 0)
        assert isinstance(words, int)
        return costs.stream(kernel, words)
    return int(_kernels.cycles(*_packed(kernel, arguments)))
