"""Numbers of the SpiNNaker chip, each with unit, source and how far it may be off."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """One number: its value, unit, where it is from, and the range in which the truth may lie (equal ends: exact)."""

    value: float
    unit: str
    source: str
    low: float
    high: float


def _exact(value: float, unit: str, source: str) -> Fact:
    return Fact(value, unit, source, value, value)


@dataclass(frozen=True)
class Chip:
    """What the planner and the emulator need to know about a chip."""

    cores: Fact
    clock: Fact
    router_clock: Fact
    itcm: Fact
    dtcm: Fact
    system_ram: Fact
    sdram: Fact
    router_entries: Fact
    sdram_bandwidth: Fact
    dma_bandwidth: Fact
    sdram_latency: Fact
    system_ram_latency: Fact
    system_register_latency: Fact
    peripheral_latency: Fact
    symbol_time: Fact
    hop_latency: Fact
    ethernet_release: Fact


CHIP = Chip(
    cores=_exact(18, "cores", "datasheet v2.02 section 1"),
    clock=_exact(200e6, "Hz", "spinnaker_tools sark.struct cpu_clk"),
    router_clock=Fact(133.3e6, "Hz", "spinnaker_tools clk_div 0x33 (400 MHz / 3)", 100e6, 200e6),
    itcm=_exact(32 * 1024, "bytes", "datasheet v2.02 section 3"),
    dtcm=_exact(64 * 1024, "bytes", "datasheet v2.02 section 3"),
    system_ram=_exact(32 * 1024, "bytes", "datasheet v2.02 section 17"),
    sdram=_exact(128 * 1024 * 1024, "bytes", "datasheet v2.02 section 13"),
    router_entries=_exact(1024, "entries", "datasheet v2.02 section 10"),
    sdram_bandwidth=Fact(
        600e6, "bytes/s", "raw peak 1.04 GB/s at 130 MHz DDR; 665 MB/s if every burst misses its row", 250e6, 900e6
    ),
    dma_bandwidth=Fact(267e6, "bytes/s", "SpiNNaker workshop 2015: about 15 ns per word and core", 200e6, 300e6),
    sdram_latency=Fact(20, "cycles", "workshop 2015: more than 100 ns per access of a core", 20, 60),
    system_ram_latency=Fact(12, "cycles", "derived: bridge, NoC and 133 MHz bus, 60-150 ns", 8, 30),
    system_register_latency=Fact(12, "cycles", "same path as System RAM", 8, 30),
    peripheral_latency=Fact(4, "cycles", "assumed", 2, 8),
    symbol_time=Fact(20e-9, "s", "AppNote 7: 2-of-7 links, about 50 M symbols/s of 4 bits", 14e-9, 22e-9),
    hop_latency=Fact(0.32e-6, "s", "derived: router 25-40 ns and serialisation 0.16-0.22 us", 0.2e-6, 0.5e-6),
    ethernet_release=Fact(30e-6, "s", "SC&MP frees a tag only after it starts the reply", 5e-6, 100e-6),
)
