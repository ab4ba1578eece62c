"""Kernels: contraction."""

from spindl.program.kernels.kernel import Kernel

CONTRACTION_KERNELS: tuple[Kernel, ...] = ()
