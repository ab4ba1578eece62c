"""Kernels: channels."""

from spindl.program.kernels.kernel import Kernel

CHANNEL_KERNELS: tuple[Kernel, ...] = ()
