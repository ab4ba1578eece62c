"""Hot loops of the planner (native/planner_module.cpp); private to spindl.plan."""

from numpy import float64, int32, int64, uint32
from numpy.typing import NDArray

def walk(
    steps: NDArray[float64],
    transfers: NDArray[uint32],
    first: NDArray[uint32],
    start: NDArray[float64],
    constants: NDArray[float64],
    taken: NDArray[float64],
    moved: NDArray[float64],
) -> None:
    """When a chip's cores do their steps: a discrete-event model of walker, DMA engines and SDRAM; cycles.

    Args:
        steps: of all cores, core after core: cycles of the kernel (below 0: none), bytes of code that it brings, bytes
            of its block, loads, stores, flags (1 barrier before it, 2 ordered, 4 left out).
        transfers: rows, and bytes of a row, in the order of the steps, loads before stores.
        first: number of each core's first step, and that of all steps.
        start: cycles that each core needs before its first step.
        constants: as in native/planner/walk.hpp.
        taken: filled: of each step begin, end; begin and end of the transfer of its code and of its barrier; cycles
            asleep for DMA, when that ended; begin and end of its kernel.
        moved: filled: begin and end of each transfer.

    Raises:
        ValueError: the tables do not match.
    """

def check_memory(accesses: NDArray[int64], owner: NDArray[int32]) -> tuple[int, int, int, int]:
    """The first transfer that breaks a rule of spindl.plan.check about words of SDRAM.

    Args:
        accesses: of all phases, in a phase the stores before the loads: phase, core, number of the call, 1 for a store,
            number of the buffer, first word, words of a row, rows, words between rows, the word behind the buffer.
        owner: of each word the number of the buffer that the host left there, or -1; changed.

    Returns what is wrong (0: nothing; 1: outside of SDRAM; 2: two cores write; 3: read while another core writes;
    4: read behind a store of the phase; 5: another buffer's word), the number of the transfer, the word, the buffer
    that has it.
    """
