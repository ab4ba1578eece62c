"""Counters of cores -> counters of a step, with its energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spindl.machine import CHIP, Topology
from spindl.machine.energy import POWER, idle_watts
from spindl.run.counters import Count

NAMES = {
    "cycles_kernel": "kernel_cycles",
    "cycles_waiting_dma": "cycles_waiting_dma",
    "cycles_waiting_barrier": "cycles_waiting_barrier",
    "cycles_waiting_stream": "cycles_waiting_stream",
    "tiles_redone": "tiles_redone",
    "sdram_bytes_read": "sdram_bytes_read",
    "sdram_bytes_written": "sdram_bytes_written",
    "packets_sent": "packets_sent",
    "packets_received": "packets_received",
    "packets_repeated": "packets_repeated",
}
"""Names of a step's counters (`spindl.run.counters`) -> of a core's (`spindl.program.core.core_counters`)."""


def summed_counters(cores: Sequence[Mapping[str, int]], topology: Topology, executor: str) -> dict[str, Count]:
    """Sums over the cores; "cycles" of the core that took longest; joules of the machine by its idle power, the cores'
    cycles awake, packets and SDRAM."""
    sums = {name: sum(core[field] for core in cores) for name, field in NAMES.items() if field in cores[0]}
    cycles = max(core["cycles"] for core in cores)
    waits = sum(value for name, value in sums.items() if name.startswith("cycles_waiting_"))
    awake = max(0, sum(core["cycles"] for core in cores) - waits)
    seconds = cycles / CHIP.clock.value
    joules = idle_watts(topology).value * seconds + POWER.core.value * awake / CHIP.clock.value
    joules += POWER.packet.value * sums["packets_sent"]
    joules += POWER.sdram.value * (sums["sdram_bytes_read"] + sums["sdram_bytes_written"])
    values = {"cycles": cycles, **sums, "seconds": seconds, "joules": joules}
    return {
        name: Count(value, "modelled" if name == "joules" else "measured", executor) for name, value in values.items()
    }
