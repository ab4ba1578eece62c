"""Kernels: reductions."""

from spindl.program.kernels.kernel import Kernel

REDUCTION_KERNELS: tuple[Kernel, ...] = ()
