"""Unmodified scripts of the SpiNNTools, from mapping to extraction, against what each step must give.

They need more packages: `pip install ".[spinntools]"`. Each runs in a process of its own, on a board restored from a
snapshot: SpiNNakerGraphFrontEnd (a source of timed packets, gathered live by the host) and sPyNNaker (neurons).
"""

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

pytest.importorskip("spynnaker", reason="needs the extra [spinntools]")
pytest.importorskip("spinnaker_graph_front_end", reason="needs the extra [spinntools]")

pytestmark = pytest.mark.slow

BOARDS = [("spin3", 3, True), ("spin3", 3, False), ("spin5", 5, True), ("spin5", 5, False)]

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


def run_script(script: str, machine: Machine, folder: Path, version: int, monitors: bool) -> dict[str, Any]:
    """Runs `script`, which writes result.json, with a configuration that only names the machine."""
    settings = (
        f"[Machine]\nmachine_name = {machine.host}\nversion = {version}\nenable_advanced_monitor_support = {monitors}\n"
    )
    for name in ("spynnaker.cfg", ".spynnaker.cfg", "spiNNakerGraphFrontEnd.cfg", ".spiNNakerGraphFrontEnd.cfg"):
        (folder / name).write_text(settings)
    (folder / "script.py").write_text(script)
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    result: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return result


@pytest.mark.parametrize(("kind", "version", "monitors"), BOARDS)
def test_a_small_network(
    booted: Callable[..., Machine], tmp_path: Path, kind: str, version: int, monitors: bool
) -> None:
    result = run_script(SCRIPT, booted(kind, connected=True), tmp_path, version, monitors)
    for neuron in range(NEURONS):
        spikes, trace = reference(10 + neuron)
        assert result["spikes"][neuron] == spikes
        assert [row[neuron] for row in result["v"]] == pytest.approx(trace, abs=ROUNDING)


KEYS, RUN = 8, 100
SENT = {key: [10 + 3 * key, 60 + key] for key in range(KEYS)}  # milliseconds

LIVE = f"""
import json, time
import spinnaker_graph_front_end as front_end
from pacman.model.graphs.machine import MachineEdge
from spinn_front_end_common.utilities.connections import LiveEventConnection
from spinn_front_end_common.utilities.utility_objs import LivePacketGatherParameters
from spinn_front_end_common.utility_models import (
    EIEIOParameters, LivePacketGatherMachineVertex, ReverseIPTagMulticastSourceMachineVertex)

received = []
connection = LiveEventConnection("gatherer", receive_labels=["source"], local_port=None)
connection.add_receive_callback("source", lambda label, time, keys: received.extend((time, key) for key in keys))
front_end.setup(n_chips_required=1)
front_end.add_socket_address(None, None, connection.local_port)
source = ReverseIPTagMulticastSourceMachineVertex(
    n_keys={KEYS}, label="source", eieio_params=EIEIOParameters(), send_buffer_times={list(SENT.values())})
gatherer = LivePacketGatherMachineVertex(
    LivePacketGatherParameters(tag=1, port=10000, hostname="localhost"), label="gatherer")
for vertex in (source, gatherer):
    front_end.add_machine_vertex_instance(vertex)
front_end.add_machine_edge_instance(MachineEdge(source, gatherer), "events")
gatherer.add_incoming_source(source, "events")
front_end.run({RUN})
time.sleep(1)
front_end.stop()
with open("result.json", "w") as file:
    json.dump({{"received": received}}, file)
"""


@pytest.mark.parametrize(("kind", "version", "monitors"), BOARDS)
def test_timed_packets_reach_the_host(
    booted: Callable[..., Machine], tmp_path: Path, kind: str, version: int, monitors: bool
) -> None:
    result = run_script(LIVE, booted(kind, connected=True), tmp_path, version, monitors)
    received = sorted(tuple(event) for event in result["received"])
    assert received == sorted((time, key) for key, times in SENT.items() for time in times)
