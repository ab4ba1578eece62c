"""Kernels that the runtime itself brings: moving words about in DTCM."""

from spindl.program.kernels.kernel import Kernel
from spindl.program.records import Field

RUNTIME_KERNELS: tuple[Kernel, ...] = (
    Kernel(
        "copy",
        160,
        (
            Field("x", "I", "source, a multiple of 4"),
            Field("y", "I", "destination, a multiple of 4; must not begin inside the source behind its first word"),
            Field("words", "I", "number of 32-bit words"),
        ),
        "y = x, word by word.",
    ),
)
