"""An unmodified sPyNNaker script, from mapping to extraction, against a step-by-step reference simulation."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spindl.emulator import Machine

pytest.importorskip("spynnaker", reason="sPyNNaker 7.4.1")

pytestmark = pytest.mark.slow

NEURONS, STEPS, WEIGHT = 5, 100, 5.0
ROUNDING = 2.5e-3  # mV: weights have 16 bits, states are s16.15, the reference is in doubles

SCRIPT = f"""
import json
import pyNN.spiNNaker as p
p.setup(1.0)
source = p.Population({NEURONS}, p.SpikeSourceArray(spike_times=[[10 + i] for i in range({NEURONS})]))
cells = p.Population({NEURONS}, p.IF_curr_exp())
p.Projection(source, cells, p.OneToOneConnector(), p.StaticSynapse(weight={WEIGHT}, delay=1.0))
cells.record(["spikes", "v"])
p.run({STEPS})
spikes = [[float(t) for t in train] for train in cells.get_data("spikes").segments[0].spiketrains]
v = [[float(x) for x in row] for row in cells.get_data("v").segments[0].filter(name="v")[0].magnitude]
p.end()
with open("result.json", "w") as file:
    json.dump({{"spikes": spikes, "v": v}}, file)
"""


def reference(spike_at: int) -> tuple[list[float], list[float]]:
    """One IF_curr_exp neuron with sPyNNaker's defaults, solved exactly over each step: spike times, and v per step."""
    membrane, synapse, resistance, rest, threshold = math.exp(-1 / 20), math.exp(-1 / 5), 20.0, -65.0, -50.0
    v, current, refractory = rest, 0.0, 0
    spikes: list[float] = []
    trace: list[float] = []
    for step in range(STEPS):
        trace.append(v)
        if step == spike_at + 1:
            current += WEIGHT * 5 * (1 - synapse)
        if refractory > 0:
            refractory -= 1
        else:
            steady = current * resistance + rest
            v = steady - membrane * (steady - v)
            if v >= threshold:
                spikes.append(float(step))
                v, refractory = rest, 1
        current *= synapse
    return spikes, trace


def run_script(machine: Machine, folder: Path, version: int, monitors: bool) -> dict[str, Any]:
    settings = (
        f"[Machine]\nmachine_name = {machine.host}\nversion = {version}\nenable_advanced_monitor_support = {monitors}\n"
    )
    for name in ("spynnaker.cfg", ".spynnaker.cfg"):
        (folder / name).write_text(settings)
    (folder / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "HOME": str(folder)}
    subprocess.run([sys.executable, "script.py"], cwd=folder, env=environment, check=True, timeout=300)
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.mark.parametrize(("kind", "version", "monitors"), [("spin3", 3, True), ("spin3", 3, False), ("spin5", 5, True)])
def test_a_small_network(
    booted: Callable[..., Machine], tmp_path: Path, kind: str, version: int, monitors: bool
) -> None:
    result = run_script(booted(kind, connected=True), tmp_path, version, monitors)
    for neuron in range(NEURONS):
        spikes, trace = reference(10 + neuron)
        assert result["spikes"][neuron] == spikes
        assert [row[neuron] for row in result["v"]] == pytest.approx(trace, abs=ROUNDING)
