"""Kernels: elements."""

from spindl.program.kernels.kernel import Kernel

ELEMENT_KERNELS: tuple[Kernel, ...] = ()
