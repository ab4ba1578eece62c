"""The cycles that the planner is told are those that the emulator counts, and the tables of the costs are complete."""

from __future__ import annotations

import pytest

from spindl.program.kernels.channels import CHANNEL_KERNELS
from spindl.program.kernels.elements import ELEMENT_KERNELS
from spindl.program.kernels.reductions import REDUCTION_KERNELS
from tests.kernels.costs import FEATURES, TOLERANCE, arguments, grid
from tests.kernels.harness import cycles, scratch
from tests.kernels.typical import Call, max_pool_gradient

OURS = [kernel.name for kernel in (*ELEMENT_KERNELS, *CHANNEL_KERNELS, *REDUCTION_KERNELS)]


def test_every_kernel_is_in_the_grid() -> None:
    assert {call.kernel for call in grid()} == set(OURS) == set(FEATURES)


@pytest.mark.parametrize("kernel", OURS)
def test_declared_cycles_are_those_of_the_emulator(kernel: str) -> None:
    """Within the tolerance, or 30 cycles for calls so short that nobody minds."""
    wrong = []
    for call in grid():
        if call.kernel == kernel:
            declared, measured = cycles(kernel, arguments(call)), call.run("ref-on-arm").cycles
            if abs(declared - measured) > max(30, TOLERANCE[kernel] * measured):
                wrong.append((declared, measured, call.arguments))
    assert not wrong


def test_scratch_is_one_image_of_sums() -> None:
    call: Call = max_pool_gradient(8, 4)
    assert scratch(call.kernel, arguments(call)) == call.buffers["scratch"].nbytes
