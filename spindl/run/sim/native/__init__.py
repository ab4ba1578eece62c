"""The native kernels (spindl._native) as a Backend.

Kernels take channels-last arrays (`memory_array`) and per-channel numbers as int64; they write into arrays of a Memory
and return the statistics of a rounding as Python integers.
"""

from __future__ import annotations

from functools import partial
from types import ModuleType

import torch

from spindl.run.interface import RunError
from spindl.run.sim.compiler import Backend
from spindl.run.sim.memory import Memory

kernels: ModuleType | None
try:
    from spindl import _native

    kernels = _native
except ImportError:  # a source tree without a compiler: torch alone
    kernels = None


def available_paths() -> tuple[str, ...]:
    """The vector paths of this CPU and installation, the fastest first."""
    if kernels is None:
        return ("torch",)
    return (*kernels.vector_paths(), "torch")


def choose_backend(memory: Memory, device: torch.device, path: str | None, threads: int) -> Backend:
    """The fastest Backend of this machine for a device, or the one asked for.

    Args:
        memory: where results go.
        device: native kernels are for CPUs.
        path: one of `available_paths`; None: the fastest.
        threads: of the kernels.

    Raises:
        RunError: no such path, or this machine or installation does not have it.
    """
    here = available_paths() if device.type == "cpu" else ("torch",)
    chosen = here[0] if path is None else path
    if chosen not in here:
        raise RunError(f"no vector path '{chosen}' on {device}", "vector_path", f"use one of {', '.join(here)}")
    if chosen == "torch":
        return Backend()
    from spindl.run.sim.native import channels, contraction, elementwise, update  # noqa: F401  (fill the tables)
    from spindl.run.sim.native.table import HOST_OPERATIONS, OPERATIONS, ROUNDINGS

    return Backend(
        chosen,
        operations={name: partial(function, memory) for name, function in OPERATIONS.items()},
        host_operations=HOST_OPERATIONS,
        roundings={name: partial(function, memory) for name, function in ROUNDINGS.items()},
        groups=partial(update.find_updates, memory=memory),
        activate=partial(_activate, chosen, threads),
    )


def _activate(path: str, threads: int) -> None:
    assert kernels is not None
    if kernels.vector_path() != path:
        kernels.set_vector_path(path)
    if kernels.threads() != threads:
        kernels.set_threads(threads)
