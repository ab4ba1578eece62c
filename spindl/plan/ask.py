"""What the planner asks the kernels: cycles and scratch bytes of a call, from the functions beside their code."""

from __future__ import annotations

from collections.abc import Mapping
from struct import pack

from spindl import _kernels
from spindl.plan.task import At
from spindl.program.kernels import KERNELS

_SOMEWHERE = 0x1000
"""An address for regions: what matters to a kernel is how far from whole words something lies."""


def _packed(kernel: str, arguments: Mapping[str, int | At]) -> tuple[int, bytes]:
    entry = KERNELS[kernel]
    values = {
        field.name: _SOMEWHERE + value.offset if isinstance(value := arguments.get(field.name, 0), At) else value
        for field in entry.arguments
    }
    words = entry.words(values)
    return entry.number, pack(f"<{len(words)}I", *words)


def scratch_bytes(kernel: str, arguments: Mapping[str, int | At]) -> int:
    """Bytes of scratch that a call needs; arguments that are not given count as 0."""
    return int(_kernels.scratch(*_packed(kernel, arguments)))


def cycles(kernel: str, arguments: Mapping[str, int | At]) -> int:
    """Predicted cycles of a call; arguments that are not given count as 0."""
    return int(_kernels.cycles(*_packed(kernel, arguments)))
