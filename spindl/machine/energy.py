"""Power and energy of SpiNNaker: constants that SpiNNTools 7.4.1 uses (SpiNNMachine version_spin1/3/5.py)."""

from __future__ import annotations

from dataclasses import dataclass

from spindl.machine.facts import Fact
from spindl.machine.topology import Topology


@dataclass(frozen=True)
class Power:
    """What draws power; boards and chips when idle, cores on top of that while they do not sleep.

    Attributes:
        chip, board3, board5: idle.
        core: on top, while it does not sleep.
        packet: energy of one.
        sdram: energy of a byte moved.
        box, frame: what stands around a single board, and around 24.
    """

    chip: Fact
    core: Fact
    packet: Fact
    board3: Fact
    board5: Fact
    sdram: Fact
    box: Fact
    frame: Fact


POWER = Power(
    chip=Fact(0.35, "W", "idle chip with its SDRAM: rails of a 48-chip board, Stromatias 2014", 0.30, 0.40),
    core=Fact(0.034, "W", "core that does not sleep: 27.5 W for 806 cores, SpiNNTools 7.4.1", 0.030, 0.040),
    packet=Fact(1.8e-9, "J", "72-bit packet and router: 25 pJ/bit, Painkras 2013", 0.8e-9, 1.8e-9),
    board3=Fact(3.56, "W", "4-chip board, idle: measurement of an hour, SpiNNTools 7.4.1", 3.56, 4.0),
    board5=Fact(26.84, "W", "48-chip board, idle: Stromatias 2014", 26.84, 30.0),
    sdram=Fact(60e-12, "J/byte", "assumed: LPDDR1 array and pins", 40e-12, 80e-12),
    box=Fact(5.04, "W", "power supply and box of a single board: SpiNNTools 7.4.1", 5.04, 5.04),
    frame=Fact(154.16, "W", "switch and fans of a frame of 24 boards, active: SpiNNTools 7.4.1", 117.0, 540.0),
)


def idle_watts(topology: Topology) -> Fact:
    """What a machine draws while its cores sleep: its boards; rectangles of chips that are no boards: their chips."""
    if topology.name == "spin3":
        return POWER.board3
    if topology.name == "spin5" or "triads" in topology.name:
        one, count = POWER.board5, topology.boards
    else:
        one, count = POWER.chip, len(topology.places)
    return Fact(one.value * count, "W", f"{count} x {one.source}", one.low * count, one.high * count)
