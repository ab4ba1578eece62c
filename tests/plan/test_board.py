"""Networks on 16 chips of an emulated SpiNN-5 equal the simulator to the bit: `bench/board.py` asserts it."""

from __future__ import annotations

import pytest

from bench.board import run, run_bare


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "conv1d", "lenet5", "resnet8"])
def test_steps_through_spinnman(name: str) -> None:
    pytest.importorskip("spinnman")
    assert len(run(name, chips=16, steps=3)) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("name", "steps"), [("resnet8", 3), ("resnet50", 2)])
def test_steps_on_bare_cores(name: str, steps: int) -> None:
    assert len(run_bare(name, 16, steps)) == steps
