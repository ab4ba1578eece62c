"""The kernels of the ARM image by name.

Numbers: contractions from 1, elements from 32, channels from 96, reductions from 160, the runtime's own from 240.
"""

from spindl.program.kernels.channels import CHANNEL_KERNELS
from spindl.program.kernels.contraction import CONTRACTION_KERNELS
from spindl.program.kernels.elements import ELEMENT_KERNELS
from spindl.program.kernels.kernel import Kernel, c_header
from spindl.program.kernels.reductions import REDUCTION_KERNELS
from spindl.program.kernels.runtime import RUNTIME_KERNELS

_ALL = (*CONTRACTION_KERNELS, *ELEMENT_KERNELS, *CHANNEL_KERNELS, *RUNTIME_KERNELS, *REDUCTION_KERNELS)
KERNELS: dict[str, Kernel] = {kernel.name: kernel for kernel in sorted(_ALL, key=lambda kernel: kernel.number)}
"""Name -> kernel, by number."""
assert len(KERNELS) == len({kernel.number for kernel in _ALL}) == len(_ALL), "two kernels share a name or a number"

__all__ = ["KERNELS", "Kernel", "c_header"]
