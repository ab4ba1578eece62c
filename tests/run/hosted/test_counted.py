"""What machines count: every step's counters, and one step in full, as the page of a run shows it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from spindl.graph.products import total_products
from spindl.machine import CHIP, parse_topology
from spindl.machine.energy import POWER
from spindl.planning import planned
from spindl.program import Program, Progress, State
from spindl.report.agreement import differences
from spindl.report.counted import save_counted
from spindl.report.folder import MODELLED, STEP
from spindl.report.model import load_step
from spindl.run.counters import check_counts
from spindl.run.emu.session import open_session
from spindl.run.hosted.counted import summed_counters
from spindl.run.hosted.session import COUNT_EVERY, COUNTED_STEP
from tests.plan.networks import case


def test_sums_of_cores() -> None:
    core = {"cycles": 1000, "kernel_cycles": 600, "cycles_waiting_dma": 200, "cycles_waiting_barrier": 50}
    core |= {"sdram_bytes_read": 4000, "sdram_bytes_written": 1000, "packets_sent": 7, "packets_received": 5}
    found = summed_counters([core, core | {"cycles": 1500}], parse_topology("spin3"), "emu")
    check_counts(found)
    assert found["cycles"].value == 1500
    assert found["cycles_kernel"].value == 1200
    assert found["packets_sent"].value == 14
    assert "tiles_redone" not in found  # nobody counted it
    idle = POWER.board3.value * 1500 / CHIP.clock.value
    awake = POWER.core.value * (2500 - 500) / CHIP.clock.value
    assert found["joules"].value == pytest.approx(idle + awake + 14 * POWER.packet.value + 10_000 * POWER.sdram.value)
    assert {name for name, count in found.items() if count.source == "modelled"} == {"joules"}


def test_a_step_in_full(tmp_path: Path) -> None:
    """The second training step is counted step by step, its neighbours are not; the planner foresaw it."""
    pytest.importorskip("spinnman")
    c = case("lenet", steps=3)
    program = planned(Program({"train": c.graph}, {}), "emu", "spin3")
    counts = []
    with closing(open_session(program, State(c.state, Progress(0)), device="spin3")) as session:
        assert session.counters() == {}
        for number, inputs in enumerate(c.inputs, 1):
            session.step("train", inputs)
            check_counts(session.counters())
            counts.append(session.counters())
            assert (session.counted is not None) == (number >= COUNTED_STEP)
        counted = session.counted
    assert counted is not None
    assert COUNT_EVERY > 3
    ours, theirs = counts[1]["cycles"].value, counts[2]["cycles"].value
    assert theirs < ours < 1.05 * theirs  # counting takes a little
    assert {count["multiply_accumulates"].value for count in counts} == {total_products(c.graph)}
    assert counts[1]["packets_dropped"].value == 0
    foreseen = program.plans["train"].predicted  # what `sim` reports
    assert foreseen.keys() <= counts[1].keys()
    assert foreseen["cycles"] == pytest.approx(theirs, rel=0.1)
    assert foreseen["sdram_bytes_written"] == counts[2]["sdram_bytes_written"].value
    assert counts[1]["sdram_bytes_written"] == counts[2]["sdram_bytes_written"]
    tables = counted.counters[0, 0]
    assert sum(step["kernel"] for core in tables for step in core) == counts[1]["cycles_kernel"].value
    assert max(sum(step["total"] for step in core) for core in tables) == pytest.approx(ours, rel=0.001)
    save_counted(tmp_path, c.graph, counted.topology, counted.cores, counted.counters, session.executor)
    modelled, measured = load_step(tmp_path / MODELLED), load_step(tmp_path / STEP)
    assert measured.origin.label == "measured on the emulator"
    (_, foreseen, found), *layers = differences(modelled, measured)
    assert foreseen == pytest.approx(found, rel=0.1)
    assert len(layers) > 5
