"""The kernels of the ARM image by name.

Numbers: contractions from 1, elements from 32, channels from 96, reductions and exponents from 160.
"""

from spindl.program.kernels.channels import CHANNEL_KERNELS
from spindl.program.kernels.contraction import CONTRACTION_KERNELS
from spindl.program.kernels.elements import ELEMENT_KERNELS
from spindl.program.kernels.kernel import Kernel, c_header
from spindl.program.kernels.reductions import REDUCTION_KERNELS

_ALL = (*CONTRACTION_KERNELS, *ELEMENT_KERNELS, *CHANNEL_KERNELS, *REDUCTION_KERNELS)
KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in sorted(_ALL, key=lambda kernel: kernel.number)}
"""Name -> kernel, by number."""

__all__ = ["KERNELS", "Kernel", "c_header"]
