"""The kernels of the cores on the host (native/kernels_module.cpp); private to spindl.program."""

from numpy import int16, uint8
from numpy.typing import NDArray

def run(
    number: int, words: bytes, memory: NDArray[uint8], exponents: NDArray[int16], sites: NDArray[uint8]
) -> tuple[int, int]:
    """(error, tiles computed again); addresses in `words` count from the start of `memory`; sites have 8 bytes each."""

def cycles(number: int, words: bytes) -> int:
    """Cycles of the tuned version on the cores."""

def scratch(number: int, words: bytes) -> int:
    """Bytes of DTCM that the arguments' scratch region needs."""
