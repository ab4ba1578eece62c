"""What a SpiNNaker machine draws: numbers of SpiNNTools 7.4.1, which are measurements of one board and one frame."""

from __future__ import annotations

from spindl.machine.facts import Fact

BOARD_WATTS = Fact(26.84, "W", "48-chip board, idle (Stromatias 2014, as in SpiNNTools 7.4.1)", 26.84, 30.0)
CORE_WATTS = Fact(0.034, "W", "per core that does not sleep (SpiNNTools 7.4.1: 27.5 W for 806 cores)", 0.030, 0.040)
BOX_WATTS = Fact(5.04, "W", "power supply and box of a single board (SpiNNTools 7.4.1)", 5.04, 5.04)
FRAME_WATTS = Fact(154.16, "W", "switch and fans of a frame of 24 boards, active (SpiNNTools 7.4.1)", 117.0, 540.0)
PACKET_JOULES = Fact(1.8e-9, "J", "72-bit packet and router (Painkras 2013: 25 pJ/bit)", 1.0e-9, 3.6e-9)
SDRAM_JOULES = Fact(60e-12, "J/byte", "assumed: LPDDR1 array and pins", 40e-12, 80e-12)
